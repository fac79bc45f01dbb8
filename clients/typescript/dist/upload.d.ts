import { Transport } from './transport.js';
import type { Controls } from './types.js';
export interface UploadOptions extends Controls {
    type: string;
    payload?: unknown;
    /** The file's name, if it has none itself. */
    filename?: string;
    /** Stops the upload here; the server keeps what it has for a day. */
    signal?: AbortSignal;
    idempotencyKey?: string;
    /** The one that began it, after a reload: a page's upload goes on with it past its end. Default: the client's. */
    token?: string;
    /** Straight to the bucket that the server keeps files in, in parts of 5 MiB and more; where it has none, as ever. */
    direct?: boolean;
    /** Told after each piece: bytes that the server has. */
    onUpload?: (upload: Upload) => void;
}
/** What is remembered of an upload or a job over a reload of the page. */
export interface Remembered {
    key: string;
    id?: string;
    type: string;
    name?: string;
    size?: number;
    at: number;
    draw: string;
}
/** Memory is what this page has under way. */
export declare class Memory {
    private readonly storage;
    private readonly prefix;
    constructor(transport: Transport);
    get(key: string): Remembered | undefined;
    set(r: Remembered): void;
    forget(key: string): void;
    all(): Remembered[];
}
/** keyOf names a file and what is to be done with it: the same again goes on. */
export declare function keyOf(file: Blob, o: UploadOptions): string;
/**
 * An Upload sends a file in pieces, by tus 1.0, each as long as about a second takes. After a cut, a
 * restart or a reload it asks how much is there, and goes on. It never gives up but where it is refused.
 */
export declare class Upload {
    private readonly transport;
    private readonly memory;
    readonly file: Blob;
    private readonly options;
    sent: number;
    /** Bytes a second, of the last pieces; 0 = not known. */
    rate: number;
    paused: boolean;
    readonly id: Promise<string>;
    /** Why it can't go on; never, if it can. */
    readonly failed: Promise<unknown>;
    private readonly cut;
    private go;
    private took;
    private refuse;
    private piece;
    constructor(transport: Transport, memory: Memory, file: Blob, options: UploadOptions);
    private stopped;
    private token;
    get size(): number;
    /** The job has ended, or nobody follows it: send no more. */
    stop(): void;
    pause(): void;
    resume(): void;
    private tell;
    private run;
    /** straight sends the file to where the server says its parts go; false: there is no bucket. */
    private straight;
    /** parts sends some, a few at a time, and says whether all arrived. */
    private parts;
    private create;
    /** offset asks how much the server has; undefined: nothing any more. */
    private offset;
    private pieces;
    /** patch sends one piece. What passes by itself is a wait; the rest is thrown. */
    private patch;
}
