export interface APIKey {
    created_at: string;
    /** id of the key that made it, root, or local for the command line at Redis */
    created_by: string;
    expires_at?: string;
    id: string;
    /** the key itself, told once: as Authorization: Bearer */
    key?: string;
    /** to the minute */
    last_used_at?: string;
    name: string;
    /** until when the secret before the last rotation is good */
    old_ends_at?: string;
    rate?: Rate;
    scopes: string[];
    /** the app's own name of a user: its jobs are that user's */
    subject?: string;
    /** a name, or * for the whole installation */
    tenant: string;
    /** patterns of the types that it may submit; none = all */
    types?: string[];
}
export interface After {
    id: string;
    /** how it ended; absent while it is open, gone where its record went first */
    state?: 'succeeded' | 'failed' | 'canceled' | 'expired' | 'gone';
}
export interface AttemptError {
    at: string;
    attempt: number;
    code: string;
    function?: FunctionRun;
    message: string;
}
export interface AuditEntry {
    /** what was done, as keys.create; of a refusal what was wanted */
    action: string;
    /** id of a key or token, root, local for the command line at Redis */
    actor: string;
    /** of the client */
    address?: string;
    /** of refusals: how many in that minute */
    count?: number;
    /** place in the log: ?before= goes on from it */
    id: string;
    /** how the actor showed who it is */
    kind?: string;
    target?: string;
    tenant: string;
    time: string;
}
export interface AuditList {
    entries: AuditEntry[];
}
export interface BatchAnswer {
    /** why the line was refused */
    code?: string;
    /** the job is new: neither key nor id named one that was there */
    created?: boolean;
    detail?: string;
    errors?: Pointer[];
    /** the job's id */
    id?: string;
    /** false: the job was there before, and is not of the batch that the line names */
    joined?: boolean;
    /** number of the line, from 1; empty ones count */
    line: number;
    /** in how many seconds to send the line again */
    retry_after?: number;
    /** what a request of its own would have been answered with */
    status?: number;
    title?: string;
}
export interface BatchLine {
    /** ids of jobs that have to end before it, or their names in the same batch, at most 100: in JSON an array, else with commas */
    after?: string[];
    /** the batch that the job is to be of */
    batch?: string;
    /** what the job is called in its batch, for others to be after it: a repeat with the same name is the same job */
    batch_name?: string;
    /** post the job, signed, to this address when it has ended: http or https, at most 2048 bytes */
    callback_url?: string;
    /** delete the input once the job has succeeded, or has ended anyhow, and not with the job; the type's policy by default, else never */
    delete_input?: 'never' | 'on_success' | 'at_end';
    /** give up unless started within this time */
    expires_in?: string | number;
    /** why it is to wait until somebody releases it: one line, at most 200 bytes */
    hold?: string;
    /** the id the job shall have: a UUIDv7 of the last hour */
    id?: string;
    /** a repeat with the same key returns the first job */
    idempotency_key?: string;
    /** the input of a type that works on a file: an output of another job, by reference */
    input?: unknown;
    /** names and values to find the job by, at most 8: in JSON an object of strings, else user=7,batch=x */
    labels?: Record<string, string>;
    /** what limits of jobs at once tell it apart by, as a customer: one line, at most 256 bytes */
    limit_key?: string;
    /** how often to try */
    max_attempts?: number;
    /** with on_conflict=replace: put its start off for no longer than this from its creation, 1h by default */
    max_wait?: string | number;
    /** where a job has the unique_key: return that one, the default, refuse with duplicate, or replace what it is to do, which implies unique_until=started */
    on_conflict?: 'return' | 'refuse' | 'replace';
    /** what to do where one of these doesn't succeed: cancel, the default, or run */
    on_failure?: 'cancel' | 'run';
    /** an object by the type's schema */
    payload?: unknown;
    /** rank within the type's lane */
    priority?: 'high' | 'default' | 'low';
    /** the queue that it waits in, by default default: a letter or digit, then up to 31 more or dashes: [a-z0-9][a-z0-9-]{0,31} */
    queue?: string;
    /** how long to keep the job after its end */
    retention?: string | number;
    /** do not start before this time */
    run_at?: string;
    /** time limit of one attempt */
    timeout?: string | number;
    /** the kind of work */
    type: string;
    /** there is one job of this key at a time: one line, at most 256 bytes */
    unique_key?: string;
    /** how long that job has its unique_key: until it has started, ended, the default, or is removed */
    unique_until?: 'started' | 'ended' | 'removed';
}
export interface BatchOpened {
    batch: Snapshot;
    /** an answer for each of the jobs that were given */
    jobs?: BatchAnswer[];
}
export interface BatchPage {
    /** those whose records are gone, or can't be read */
    gone?: string[];
    jobs: Snapshot[];
    /** cursor of the next page; absent on the last one */
    next?: string;
}
export interface Callback {
    attempts: number;
    delivered_at?: string;
    gave_up_at?: string;
    last_attempt_at?: string;
    last_error?: string;
    last_status?: number;
    next_attempt_at?: string;
    state: string;
    tries?: CallbackTry[];
    url: string;
}
export interface CallbackTry {
    /** the first 256 bytes of what the receiver said, control characters as escapes */
    answer?: string;
    at: string;
    attempt: number;
    /** as last_error; absent: the receiver took it */
    error?: string;
    /** HTTP's; absent: there was no answer */
    status?: number;
}
export interface ClaimProblem {
    code: string;
    detail?: string;
    errors?: Pointer[];
    /** in how many seconds to say it again */
    retry_after?: number;
    status: number;
    title?: string;
}
export interface Claimed {
    jobs: ClaimedJob[];
}
export interface ClaimedInput {
    name?: string;
    size: number;
    /** media type */
    type?: string;
}
export interface ClaimedJob {
    /** how the jobs before it have ended */
    after?: After[];
    /** from 1 */
    attempt: number;
    /** names this attempt in all that is said of it */
    claim: string;
    id: string;
    input?: ClaimedInput;
    /** from when the request was sent, unless it is renewed */
    lease_ms: number;
    max_attempts: number;
    payload: unknown;
    /** from when the request was sent; then the attempt ends */
    timeout_ms: number;
    /** the trace of whoever submitted the job, as W3C's header */
    traceparent?: string;
    type: string;
}
export interface ClaimedOutput {
    name: string;
    /** bytes; another one is output_mismatch */
    size: number;
}
export interface DirectUpload {
    bytes_done: number;
    /** sha256: each part is sent with its sum, for which its address is asked */
    checksum?: string;
    /** it was completed, and its job began */
    complete: boolean;
    /** when the upload ends, unless its parts are asked for before */
    expires_at?: string;
    /** of the upload, and of its job */
    id: string;
    /** the part from which on to ask for more; none: there are no more */
    next?: number;
    part_count: number;
    /** bytes, of each part but the last; 0 of one that is complete */
    part_size: number;
    /** those that are missing, of the parts that were asked for */
    parts: UploadPart[];
    /** parts that are in the bucket */
    parts_done: number;
    /** bytes */
    size: number;
    /** when the addresses of the parts end; ask for others then */
    urls_expire_at?: string;
}
export interface Error {
    code: string;
    message: string;
}
export interface Finished {
    jobs: FinishedJob[];
}
export interface FinishedJob {
    id: string;
    problem?: ClaimProblem;
    rev?: number;
    state?: string;
}
export interface Function {
    /** the number that new jobs are for */
    current: number;
    type: string;
    /** the oldest first */
    versions: FunctionVersion[];
}
export interface FunctionList {
    functions: FunctionVersion[];
}
export interface FunctionRun {
    version: number;
}
export interface FunctionVersion {
    at: string;
    /** who deployed it: id of a key, root, or open where there is no token */
    by: string;
    doc?: string;
    /** wasm or tar.gz */
    kind: string;
    /** of a rollback: the number whose content it has */
    of?: number;
    /** of what was sent, in hex */
    sha256: string;
    /** of what was sent, in bytes */
    size: number;
    type: string;
    /** its number, from 1; a rollback gets a new one */
    version: number;
}
export interface Hold {
    released_at?: string;
    /** who released it; absent where nobody said */
    released_by?: string;
    why: string;
}
export interface InputRef {
    /** the job that made it */
    job: string;
    /** its name, where that job has several outputs */
    output?: string;
}
export interface JobList {
    /** there are no more; false: go on with next, though the page be short or empty */
    complete?: boolean;
    jobs: Snapshot[];
    missing?: string[];
    /** cursor of the next page; also of a page without jobs that is not complete */
    next?: string;
    /** jobs that were looked at for this page */
    scanned?: number;
    /** those of missing that may be lost with the job store's data */
    store_reset?: string[];
}
export interface KeyList {
    keys: APIKey[];
}
export interface Links {
    cancel?: string;
    events?: string;
    result?: string;
    self: string;
}
export interface Output {
    content_type: string;
    href?: string;
    name: string;
    sha256: string;
    size: number;
}
export interface ParkedInfo {
    pending: number;
    served: boolean;
    type: string;
}
export interface Pointer {
    detail: string;
    pointer: string;
}
export interface Problem {
    code: string;
    detail?: string;
    errors?: Pointer[];
    /** the job that is the retry, with already_retried; that has the key, with duplicate */
    job?: string;
    /** the operation that does the same already, with conflict */
    operation?: string;
    status: number;
    title: string;
}
export interface Progress {
    bytes_done: number;
    bytes_total?: number;
    eta_s?: number;
    fraction?: number;
    note?: string;
    phase: string;
    rate_bytes_per_s?: number;
    records?: number;
}
export interface QueueInfo {
    active: number;
    lane: string;
    latency_ms: number;
    /** the queue's; absent: default */
    name?: string;
    parked?: ParkedInfo[];
    paused: boolean;
    pending: number;
    priority: string;
    queue: string;
}
export interface QueueList {
    queues: QueueInfo[];
    workers: WorkerInfo[];
}
export interface Rate {
    /** of them at once */
    burst: number;
    /** requests */
    n: number;
    /** in this time, a duration */
    per: string;
}
export interface RefusedType {
    reason: string;
    type: string;
}
export interface RemovedFunction {
    /** jobs of it that have not ended: they wait for another deployment, or are canceled */
    open: number;
    type: string;
}
export interface Renewed {
    jobs: RenewedJob[];
}
export interface RenewedJob {
    id: string;
    /** from when the request was sent */
    lease_ms?: number;
    stop?: 'canceled' | 'timeout' | 'lost';
}
export interface ScheduleTick {
    name: string;
    /** the time that the job stands for; absent of one that was made by hand */
    tick?: string;
}
export interface Session {
    address?: string;
    /** what the browser calls itself */
    agent?: string;
    created_at: string;
    /** the one that asks */
    current?: boolean;
    /** at the latest; sooner without a request */
    expires_at: string;
    /** what proved it, as RFC 8176 has it: pwd, otp, hwk, fed; rec is a code for when the app is lost */
    how: string[];
    id: string;
    /** when the person proved last who it is */
    proved_at: string;
}
export interface SessionList {
    sessions: Session[];
}
export interface Snapshot {
    /** the jobs that have to end before it */
    after?: After[];
    attempt: number;
    /** the batch that the job is of */
    batch?: string;
    /** what the job is called in its batch, or the batch itself */
    batch_name?: string;
    cancel_requested: boolean;
    created_at: string;
    /** when the job's input goes before the job does */
    delete_input?: 'on_success' | 'at_end';
    done: boolean;
    error?: Error;
    errors?: AttemptError[];
    expires_at?: string;
    finished_at?: string;
    function?: FunctionRun;
    /** why it waits until somebody releases it, or did */
    hold?: Hold;
    id: string;
    /** when the input went */
    input_deleted_at?: string;
    /** of a batch: how far its jobs are */
    jobs?: Tally;
    /** what the job is found by */
    labels?: Record<string, string>;
    lane: 'cpu' | 'io';
    /** the limit of jobs at once that it waits for, as it was when the job was read */
    limit?: string;
    /** what limits tell it apart by, as a customer */
    limit_key?: string;
    links?: Links;
    max_attempts: number;
    outputs?: Output[];
    /** how far the job is from the first byte of its upload to its result, 0 to 1; it never goes back; null = not known */
    overall: number | null;
    priority: 'high' | 'default' | 'low';
    progress?: Progress;
    /** the queue that it was submitted to; absent: default */
    queue?: string;
    result?: unknown;
    /** the newest job that is a retry of this one */
    retried_as?: string;
    retry_of?: string;
    rev: number;
    run_at?: string;
    /** the schedule that has made the job */
    schedule?: ScheduleTick;
    started_at?: string;
    state: 'uploading' | 'waiting' | 'scheduled' | 'queued' | 'running' | 'retrying' | 'succeeded' | 'failed' | 'canceled' | 'expired';
    /** the app's own name of the user whose the job is */
    subject?: string;
    /** whose the job is, where that isn't default */
    tenant?: string;
    /** the trace of whoever submitted the job, as W3C's header */
    traceparent?: string;
    type: string;
    usage?: Usage;
    /** what the job waits for, reckoned when it is read */
    waiting_for?: 'time' | 'paused' | 'worker' | 'slots' | 'jobs' | 'release' | 'limit';
}
export interface Status {
    /** ok; of /readyz also store_reset: all works, but the job store has lost data */
    status: string;
}
export interface SubmitBody {
    /** ids of jobs that have to end before it, or their names in the same batch, at most 100: in JSON an array, else with commas */
    after?: string[];
    /** the batch that the job is to be of */
    batch?: string;
    /** what the job is called in its batch, for others to be after it: a repeat with the same name is the same job */
    batch_name?: string;
    /** post the job, signed, to this address when it has ended: http or https, at most 2048 bytes */
    callback_url?: string;
    /** delete the input once the job has succeeded, or has ended anyhow, and not with the job; the type's policy by default, else never */
    delete_input?: 'never' | 'on_success' | 'at_end';
    /** give up unless started within this time */
    expires_in?: string | number;
    /** why it is to wait until somebody releases it: one line, at most 200 bytes */
    hold?: string;
    /** the input of a type that works on a file: an output of another job, by reference */
    input?: unknown;
    /** names and values to find the job by, at most 8: in JSON an object of strings, else user=7,batch=x */
    labels?: Record<string, string>;
    /** what limits of jobs at once tell it apart by, as a customer: one line, at most 256 bytes */
    limit_key?: string;
    /** how often to try */
    max_attempts?: number;
    /** with on_conflict=replace: put its start off for no longer than this from its creation, 1h by default */
    max_wait?: string | number;
    /** where a job has the unique_key: return that one, the default, refuse with duplicate, or replace what it is to do, which implies unique_until=started */
    on_conflict?: 'return' | 'refuse' | 'replace';
    /** what to do where one of these doesn't succeed: cancel, the default, or run */
    on_failure?: 'cancel' | 'run';
    /** an object by the type's schema */
    payload?: unknown;
    /** rank within the type's lane */
    priority?: 'high' | 'default' | 'low';
    /** the queue that it waits in, by default default: a letter or digit, then up to 31 more or dashes: [a-z0-9][a-z0-9-]{0,31} */
    queue?: string;
    /** how long to keep the job after its end */
    retention?: string | number;
    /** do not start before this time */
    run_at?: string;
    /** time limit of one attempt */
    timeout?: string | number;
    /** the kind of work */
    type: string;
    /** there is one job of this key at a time: one line, at most 256 bytes */
    unique_key?: string;
    /** how long that job has its unique_key: until it has started, ended, the default, or is removed */
    unique_until?: 'started' | 'ended' | 'removed';
}
export interface Tally {
    canceled: number;
    expired: number;
    failed: number;
    /** more jobs may come */
    open: boolean;
    succeeded: number;
    /** the job that comes when the batch has ended */
    then?: string;
    total: number;
    /** the first of those that failed, were canceled or expired, 100 at most */
    unsuccessful?: string[];
}
export interface Token {
    expires_at: string;
    /** by which it is revoked */
    id: string;
    /** the job that it may submit, by the id that it will have */
    job?: string;
    token: string;
}
export interface TypeInfo {
    /** when an input goes before its job does */
    delete_input?: 'on_success' | 'at_end';
    doc: string;
    forbid_overlap?: boolean;
    input: string;
    lane: string;
    max_attempts: number;
    retention_ms?: number;
    sandbox?: string;
    schema: unknown;
    timeout_ms: number;
    type: string;
    version?: number;
}
export interface TypeList {
    /** definitions that workers published and that can't be used */
    refused?: RefusedType[];
    types: TypeInfo[];
}
export interface UploadPart {
    /** to be sent with it */
    headers: Record<string, string>;
    /** from 1: it begins at (number - 1) × part_size */
    number: number;
    /** bytes, neither more nor less */
    size: number;
    /** where to send it, by PUT; a secret for as long as it is good */
    url: string;
}
export interface Usage {
    cpu_ms?: number;
    peak_rss_bytes?: number;
    wall_ms: number;
}
export interface WorkerInfo {
    host: string;
    pid: number;
    queues?: string[];
    slots: Record<string, number>;
    state?: string;
    types?: string[];
}
