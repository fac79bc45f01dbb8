import type { Problem } from './types.js';
export interface Options {
    /** Where Longshore is, with the path in front of /v1 if there is one. In a page, its own origin by default. */
    url?: string | URL;
    /** A token or a key; for pages a token of POST /v1/tokens. */
    token?: string;
    /** Gives the next token: before the first request if there is none, and when one is refused or near its end. */
    getToken?: () => Promise<string>;
    fetch?: typeof fetch;
    /** Remembers uploads and jobs over reloads; localStorage by default, null for none. */
    storage?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'> | null;
    /** Ways to follow jobs, best first. */
    transports?: ('socket' | 'events' | 'poll')[];
}
export interface Ask {
    method?: string;
    query?: Record<string, string | number | boolean | undefined>;
    headers?: Record<string, string>;
    /** JSON, unless it is a Blob, bytes or text. */
    body?: unknown;
    signal?: AbortSignal | undefined;
    /** In place of the client's. */
    token?: string | undefined;
    /** May be sent again after an unknown outcome. Default: all but POST without an Idempotency-Key. */
    repeat?: boolean;
    /** Milliseconds until the answer's head must be there. */
    patience?: number;
}
/** sleep ends early where the network or the page comes back. */
export declare function sleep(ms: number, signal?: AbortSignal, wake?: boolean): Promise<void>;
/** Milliseconds before try n (from 0): doubling to 15 s, drawn between half and all of it. */
export declare const pause: (n: number) => number;
/** A wait that somebody else asked for, and up to a quarter more: others were told the same. */
export declare const spread: (ms: number) => number;
/** What Retry-After says, in milliseconds (RFC 9110, section 10.2.3); undefined: nothing. */
export declare function retryAfter(headers: Headers): number | undefined;
export declare function draw(): string;
/** Transport makes requests, and makes them again where that does no harm. */
export declare class Transport {
    readonly options: Options;
    readonly base: string;
    private token;
    private renewal;
    constructor(options: Options);
    url(path: string, query?: Ask['query']): string;
    /** The token that counts now; undefined: none is needed. */
    credential(): Promise<string | undefined>;
    setToken(token: string | undefined): void;
    /** renew gets another token in place of one that was refused, once for all who ask. */
    renew(old: string | undefined): Promise<string | undefined>;
    /** send answers with what the server says, after as many tries as it takes; it throws Refused. */
    send(path: string, ask?: Ask): Promise<Response>;
    json<T>(path: string, ask?: Ask): Promise<T>;
    /** once makes one try, which ends where its head takes too long. */
    once(path: string, method: string, token: string | undefined, ask: Ask): Promise<Response>;
}
/** problemOf reads a refusal, whoever sent it: proxies send pages. */
export declare function problemOf(answer: Response): Promise<Problem>;
