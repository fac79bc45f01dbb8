import { readEvents } from './feed.js';
import { Run } from './run.js';
import { Transport, type Ask, type Options } from './transport.js';
import { type Remembered, type UploadOptions } from './upload.js';
import type { Filter, Job, JobChange, LogLine, Page, Submission, Submitted } from './types.js';
export { JobFailed, Refused } from './errors.js';
export { Run, unauthorized } from './run.js';
export type { Ask, Options } from './transport.js';
export type { Remembered, UploadOptions } from './upload.js';
export type { Upload } from './upload.js';
export type * from './types.js';
/** All that /openapi.json describes. */
export type * as api from './schema.js';
/** A client of one Longshore. All its runs share one connection. */
export declare class Longshore {
    /** For requests that have no method here. */
    readonly transport: Transport;
    private readonly feed;
    private readonly memory;
    constructor(options?: Options | string);
    /** Submits a job without a file. Whatever happens on the way, it becomes one job. */
    submit<Result = unknown>(submission: Submission, options?: {
        signal?: AbortSignal;
    }): Run<Result>;
    /** Uploads a file in pieces and runs a job on it. The same file after a reload goes on where it was. */
    upload<Result = unknown>(file: Blob, options: UploadOptions): Run<Result>;
    /** Follows a job that is there; `after` is the revision that is known. */
    follow<Result = unknown>(id: string, options?: {
        after?: number;
        signal?: AbortSignal;
    }): Run<Result>;
    /** What this page had under way when it was left: uploads want their file again, jobs are followed by id. */
    unfinished(): Remembered[];
    forget(key: string): void;
    get<Result = unknown>(id: string, options?: {
        signal?: AbortSignal;
    }): Promise<Job<Result>>;
    /** One long-poll: the job once it has ended, or moved beyond `after`, or as it is when the wait is over. */
    wait<Result = unknown>(id: string, options?: {
        wait?: string;
        after?: number;
        signal?: AbortSignal;
    }): Promise<Job<Result>>;
    /** lets a job go that is held; a second time it does nothing */
    release(id: string): Promise<Job>;
    cancel(id: string): Promise<Job>;
    /** Has a job that waits wait otherwise; `rev` is the revision that it is to have. One that has begun: `already_started`. */
    change(id: string, change: JobChange, options?: {
        rev?: number;
    }): Promise<Job>;
    /** A new job like an ended one, made once: where an answer was lost, the repeat finds it. */
    retry<Result = unknown>(id: string, changes?: {
        payload?: unknown;
        set?: object;
        priority?: string;
    }): Run<Result>;
    private retried;
    delete(id: string): Promise<void>;
    /** One page of jobs, newest first. */
    page(filter?: Filter & {
        limit?: number;
        cursor?: string;
    }, options?: {
        signal?: AbortSignal;
    }): Promise<Page<Job>>;
    /** All jobs of a filter, page by page. */
    list(filter?: Filter, options?: {
        signal?: AbortSignal;
    }): AsyncGenerator<Job>;
    /** Submits many jobs, some hundred a request, and tells of each. What has no answer yet is sent again under its key. */
    submitMany(submissions: Iterable<Submission> | AsyncIterable<Submission>, options?: {
        signal?: AbortSignal;
    }): AsyncGenerator<Submitted>;
    private group;
    /** The bytes of an output; of the only one, or the result as JSON, without a name. */
    output(id: string, name?: string, options?: {
        signal?: AbortSignal;
    }): Promise<Response>;
    /** An address for <img> or a download. It carries the token, which must be a page's. */
    outputURL(id: string, name?: string): Promise<string>;
    /** The lines that a job logs; with `follow` until its end. */
    logs(id: string, options?: {
        after?: number;
        follow?: boolean;
        signal?: AbortSignal;
    }): AsyncGenerator<LogLine>;
    /** Any other request, with this client's credential and its patience. */
    request<T>(path: string, ask?: Ask): Promise<T>;
    /** Hints of what changed, over the shared socket where there is one. */
    watch(key: string, message: object, hint: (m: Record<string, unknown>) => void): () => void;
}
export { readEvents };
