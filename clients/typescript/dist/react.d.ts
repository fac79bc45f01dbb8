import type { ReactNode } from 'react';
import type { Job, Longshore, Run, UploadOptions } from './index.js';
/** Gives its client to the hooks below it. Make the client once, outside of what is rendered. */
export declare function LongshoreProvider(props: {
    client: Longshore;
    children?: ReactNode;
}): import("react").FunctionComponentElement<import("react").ProviderProps<Longshore | null>>;
/** The client of the nearest LongshoreProvider. */
export declare function useLongshore(): Longshore;
/** What a component sees of a job: the newest snapshot, and why there will be no other, if it is refused. */
export interface JobView<Result = unknown> {
    job: Job<Result> | undefined;
    error: unknown;
}
/** Follows a job until its end; null follows none. */
export declare function useJob<Result = unknown>(id: string | null | undefined): JobView<Result>;
/** An upload of one component, and its job from the first byte to the result. */
export interface UploadView<Result = unknown> extends JobView<Result> {
    /** Sends a file and runs a job on it; what went before is left to itself. */
    start(file: Blob, options: UploadOptions): Run<Result>;
    /** Bytes that the server has, and of how many. */
    sent: number;
    size: number;
    paused: boolean;
    pause(): void;
    resume(): void;
    /** Asks for the job's end. */
    cancel(): Promise<void>;
    /** Forgets it here; the upload goes on. */
    reset(): void;
}
/** Uploads files. An upload outlives its component: what was begun is not lost by a click on another page. */
export declare function useUpload<Result = unknown>(): UploadView<Result>;
