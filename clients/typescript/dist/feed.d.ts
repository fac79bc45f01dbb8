import { Refused } from './errors.js';
import { Transport } from './transport.js';
import type { Job } from './types.js';
/** Who listens to one job. */
export interface Listener {
    state(job: Job): void;
    refused(error: Refused): void;
}
interface Message {
    type: string;
    job?: Job;
    id?: string;
    code?: string;
    detail?: string;
    at?: string;
    [more: string]: unknown;
}
/**
 * A Feed is the one connection on which all jobs of a client are followed: a socket, or a stream of
 * events where sockets don't pass, or long-polls. Each job has its revision as the cursor, so a
 * connection that breaks skips no end and repeats none. It never gives up.
 */
export declare class Feed {
    private readonly transport;
    private readonly jobs;
    private ways;
    private running;
    private change;
    private socket;
    private watches;
    constructor(transport: Transport);
    /** follow tells a listener of each newer revision of a job. It returns how to end that. */
    follow(id: string, after: number, listener: Listener): () => void;
    /** watch sends a message of another kind over the socket, now and after each reconnect. */
    watch(key: string, message: object, hint: (m: Message) => void): () => void;
    private get idle();
    private tell;
    private wake;
    /** run keeps a connection while there is somebody to tell. */
    private run;
    /** passes reports whether plain requests come through; whoever is nobody is told so by them, not by a socket. */
    private passes;
    private refuseAll;
    private refuse;
    /** seen passes a newer snapshot on; after a job's end nothing more comes. */
    private seen;
    private missing;
    private batch;
    private open;
    private talk;
    private viaSocket;
    private viaEvents;
    private viaPolls;
    private changed;
    private refusal;
}
/** readEvents reads Server-Sent Events, whose server says something at least each 15 s. */
export declare function readEvents(body: ReadableStream<Uint8Array>, take: (name: string, data: string, id: string) => void, cut: AbortController): Promise<void>;
export {};
