import { Feed, readEvents } from './feed.js'
import { Run } from './run.js'
import { Transport, draw, pause, sleep, spread, type Ask, type Options } from './transport.js'
import { Refused } from './errors.js'
import { Memory, Upload, keyOf, type Remembered, type UploadOptions } from './upload.js'
import type { Filter, Job, JobChange, LogLine, Page, Problem, Submission, Submitted } from './types.js'

export { JobFailed, Refused } from './errors.js'
export { Run, unauthorized } from './run.js'
export type { Ask, Options } from './transport.js'
export type { Remembered, UploadOptions } from './upload.js'
export type { Upload } from './upload.js'
export type * from './types.js'
/** All that /openapi.json describes. */
export type * as api from './schema.js'

const lines = 500 // of a request of submitMany

/** A client of one Longshore. All its runs share one connection. */
export class Longshore {
  /** For requests that have no method here. */
  readonly transport: Transport
  private readonly feed: Feed
  private readonly memory: Memory

  constructor(options: Options | string = {}) {
    this.transport = new Transport(typeof options === 'string' ? { url: options } : options)
    this.feed = new Feed(this.transport)
    this.memory = new Memory(this.transport)
  }

  /** Submits a job without a file. Whatever happens on the way, it becomes one job. */
  submit<Result = unknown>(submission: Submission, options: { signal?: AbortSignal } = {}): Run<Result> {
    const { idempotencyKey = draw(), ...body } = submission
    const id = this.transport.json<Job>('/v1/jobs', { method: 'POST', body, headers: { 'Idempotency-Key': idempotencyKey },
      signal: options.signal }).then((job) => job.id)
    return new Run(this.transport, this.feed, id, options)
  }

  /** Uploads a file in pieces and runs a job on it. The same file after a reload goes on where it was. */
  upload<Result = unknown>(file: Blob, options: UploadOptions): Run<Result> {
    const upload = new Upload(this.transport, this.memory, file, options)
    const run = new Run<Result>(this.transport, this.feed, upload.id, { upload, signal: options.signal })
    const forget = (job: Job) => { if (job.done) this.memory.forget(keyOf(file, options)) }
    run.end.then(forget, (error) => { if (error instanceof Refused && error.status !== 401) this.memory.forget(keyOf(file, options)) })
    return run
  }

  /** Follows a job that is there; `after` is the revision that is known. */
  follow<Result = unknown>(id: string, options: { after?: number; signal?: AbortSignal } = {}): Run<Result> {
    return new Run(this.transport, this.feed, Promise.resolve(id), options)
  }

  /** What this page had under way when it was left: uploads want their file again, jobs are followed by id. */
  unfinished(): Remembered[] { return this.memory.all() }
  forget(key: string): void { this.memory.forget(key) }

  get<Result = unknown>(id: string, options: { signal?: AbortSignal } = {}): Promise<Job<Result>> {
    return this.transport.json(`/v1/jobs/${enc(id)}`, options)
  }

  /** One long-poll: the job once it has ended, or moved beyond `after`, or as it is when the wait is over. */
  wait<Result = unknown>(id: string, options: { wait?: string; after?: number; signal?: AbortSignal } = {}): Promise<Job<Result>> {
    const { wait = '25s', after, signal } = options
    return this.transport.json(`/v1/jobs/${enc(id)}`, { query: { wait, after }, patience: 60_000, signal })
  }

  /** lets a job go that is held; a second time it does nothing */
  release(id: string): Promise<Job> { return this.transport.json(`/v1/jobs/${enc(id)}/release`, { method: 'POST', repeat: true }) }
  cancel(id: string): Promise<Job> { return this.transport.json(`/v1/jobs/${enc(id)}/cancel`, { method: 'POST', repeat: true }) }

  /** Has a job that waits wait otherwise; `rev` is the revision that it is to have. One that has begun: `already_started`. */
  change(id: string, change: JobChange, options: { rev?: number } = {}): Promise<Job> {
    const headers = options.rev === undefined ? undefined : { 'If-Match': `"${options.rev}"` }
    return this.transport.json(`/v1/jobs/${enc(id)}`, { method: 'PATCH', body: change, headers, repeat: true })
  }

  /** A new job like an ended one, made once: where an answer was lost, the repeat finds it. */
  retry<Result = unknown>(id: string, changes?: { payload?: unknown; set?: object; priority?: string }): Run<Result> {
    return new Run(this.transport, this.feed, this.retried(id, changes))
  }

  private async retried(id: string, body: unknown): Promise<string> {
    for (let n = 0; ; n++) {
      try {
        return (await this.transport.json<Job>(`/v1/jobs/${enc(id)}/retry`, { method: 'POST', body })).id
      } catch (error) {
        if (!(error instanceof Refused)) await sleep(pause(n))
        else if (n && error.code === 'already_retried') return String(error.problem['job'])
        else throw error
      }
    }
  }

  async delete(id: string): Promise<void> { await this.transport.send(`/v1/jobs/${enc(id)}`, { method: 'DELETE' }) }

  /** One page of jobs, newest first. */
  async page(filter: Filter & { limit?: number; cursor?: string } = {}, options: { signal?: AbortSignal } = {}): Promise<Page<Job>> {
    const { jobs, ...rest } = await this.transport.json<Omit<Page<Job>, 'items'> & { jobs: Job[] }>('/v1/jobs',
      { query: { ...filter }, ...options })
    return { items: jobs, ...rest }
  }

  /** All jobs of a filter, page by page. */
  async* list(filter: Filter = {}, options: { signal?: AbortSignal } = {}): AsyncGenerator<Job> {
    for (let cursor: string | undefined; ;) {
      const page = await this.page({ ...filter, cursor }, options)
      yield* page.items
      if (page.complete || !page.next) return
      cursor = page.next
    }
  }

  /** Submits many jobs, some hundred a request, and tells of each. What has no answer yet is sent again under its key. */
  async* submitMany(submissions: Iterable<Submission> | AsyncIterable<Submission>,
    options: { signal?: AbortSignal } = {}): AsyncGenerator<Submitted> {
    let group: Submission[] = [], first = 0
    for await (const s of submissions) {
      group.push(s)
      if (group.length < lines) continue
      yield* this.group(group, first, options.signal)
      first += group.length
      group = []
    }
    yield* this.group(group, first, options.signal)
  }

  private async* group(group: Submission[], first: number, signal?: AbortSignal): AsyncGenerator<Submitted> {
    let open = group.map(({ idempotencyKey, ...s }, i) =>
      ({ index: first + i, line: JSON.stringify({ ...s, idempotency_key: idempotencyKey ?? draw() }) }))
    let after = 0 // seconds, that refused lines ask for
    for (let n = 0; open.length; n++) {
      if (n) await sleep(Math.max(spread(after * 1000), Math.min(5000, pause(n))), signal, !after)
      signal?.throwIfAborted()
      after = 0
      const answered = new Set<number>()
      try {
        const answer = await this.transport.send('/v1/jobs/batch', { method: 'POST', repeat: true, signal,
          body: open.map((o) => o.line + '\n').join(''), headers: { 'Content-Type': 'application/x-ndjson' } })
        for await (const line of readLines(answer.body!)) {
          const told = JSON.parse(line) as { line: number; id?: string; created?: boolean; retry_after?: number } & Problem
          const one = open[told.line - 1]
          if (!one || told.code === 'unavailable' || told.code === 'queue_full' || told.code === 'store_full') {
            after = Math.max(after, told.retry_after ?? 0)
            continue
          }
          answered.add(one.index)
          yield told.id ? { index: one.index, id: told.id, created: !!told.created } : { index: one.index, error: told }
        }
      } catch (error) {
        if (error instanceof Refused || signal?.aborted) throw error // else the connection broke
      }
      open = open.filter((o) => !answered.has(o.index))
    }
  }

  /** The bytes of an output; of the only one, or the result as JSON, without a name. */
  output(id: string, name?: string, options: { signal?: AbortSignal } = {}): Promise<Response> {
    return this.transport.send(outputPath(id, name), options)
  }

  /** An address for <img> or a download. It carries the token, which must be a page's. */
  async outputURL(id: string, name?: string): Promise<string> {
    return this.transport.url(outputPath(id, name), { access_token: await this.transport.credential() })
  }

  /** The lines that a job logs; with `follow` until its end. */
  async* logs(id: string, options: { after?: number; follow?: boolean; signal?: AbortSignal } = {}): AsyncGenerator<LogLine> {
    let { after = 0 } = options
    for (;;) {
      const answer = await this.transport.send(`/v1/jobs/${enc(id)}/logs`,
        { query: { after, follow: options.follow }, signal: options.signal, headers: { Accept: 'application/x-ndjson' } })
      try {
        for await (const text of readLines(answer.body!)) {
          if (!text.trim()) continue
          const line = JSON.parse(text) as LogLine & { end?: boolean }
          if (line.end) return
          if (line.n) after = line.n
          yield line
        }
      } catch (error) {
        if (options.signal?.aborted || !options.follow) throw error
      }
      if (!options.follow) return
    }
  }

  /** Any other request, with this client's credential and its patience. */
  request<T>(path: string, ask?: Ask): Promise<T> { return this.transport.json<T>(path, ask) }

  /** Hints of what changed, over the shared socket where there is one. */
  watch(key: string, message: object, hint: (m: Record<string, unknown>) => void): () => void {
    return this.feed.watch(key, message, hint)
  }
}

const enc = encodeURIComponent
const outputPath = (id: string, name?: string) => `/v1/jobs/${enc(id)}` + (name === undefined ? '/result' : `/outputs/${enc(name)}`)

export { readEvents }

async function* readLines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader(), decoder = new TextDecoder()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      const parts = (rest + decoder.decode(value, { stream: !done })).split('\n')
      rest = done ? '' : parts.pop()!
      for (const line of parts) if (line) yield line
      if (done) return
    }
  } finally { void reader.cancel().catch(() => {}) }
}
