import type { Feed } from './feed.js';
import type { Transport } from './transport.js';
import type { Upload } from './upload.js';
import type { Job, Output } from './types.js';
/**
 * A Run is one job from the first byte of its upload to its end. It is an async iterable of snapshots,
 * the newest each time; `end` is the last one, be it a success or not. Aborting `signal` stops following,
 * never the job.
 */
export declare class Run<Result = unknown> implements AsyncIterable<Job<Result>> {
    private readonly transport;
    /** The job's id, as soon as the server has taken it. */
    readonly id: Promise<string>;
    /** The job once it has ended. A failed job is no exception. */
    readonly end: Promise<Job<Result>>;
    /** The newest snapshot; undefined before the first. */
    current: Job<Result> | undefined;
    /** Of an upload: how far it is from here. */
    upload: Upload | undefined;
    private readonly waiting;
    private ended;
    private failure;
    private finish;
    private fail;
    constructor(transport: Transport, feed: Feed, id: Promise<string>, options?: {
        after?: number;
        signal?: AbortSignal | undefined;
        upload?: Upload;
    });
    private see;
    private stop;
    private wake;
    [Symbol.asyncIterator](): AsyncIterator<Job<Result>>;
    /** Asks for the job's end. */
    cancel(): Promise<void>;
    /** Holds the upload back; the server keeps what it has for a day. */
    pause(): void;
    resume(): void;
    /** The result of a job that succeeds; throws JobFailed otherwise. */
    result(): Promise<Result>;
    /** What the job made; throws JobFailed. */
    outputs(): Promise<Output[]>;
}
/** unauthorized reports whether a credential was refused, so that somebody must sign in. */
export declare const unauthorized: (error: unknown) => boolean;
