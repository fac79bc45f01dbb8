import type { Job, Problem } from './types.js';
/** The server refused a request; `code` is stable. */
export declare class Refused extends Error {
    readonly problem: Problem;
    name: string;
    readonly code: string;
    readonly status: number;
    constructor(problem: Problem);
}
/** result() of a job that has ended without success. */
export declare class JobFailed extends Error {
    readonly job: Job;
    name: string;
    readonly code: string;
    constructor(job: Job);
}
