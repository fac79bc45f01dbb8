import { JobFailed, Refused } from './errors.js'
import type { Feed } from './feed.js'
import type { Transport } from './transport.js'
import type { Upload } from './upload.js'
import type { Job, Output } from './types.js'

/**
 * A Run is one job from the first byte of its upload to its end. It is an async iterable of snapshots,
 * the newest each time; `end` is the last one, be it a success or not. Aborting `signal` stops following,
 * never the job.
 */
export class Run<Result = unknown> implements AsyncIterable<Job<Result>> {
  /** The job's id, as soon as the server has taken it. */
  readonly id: Promise<string>
  /** The job once it has ended. A failed job is no exception. */
  readonly end: Promise<Job<Result>>
  /** The newest snapshot; undefined before the first. */
  current: Job<Result> | undefined
  /** Of an upload: how far it is from here. */
  upload: Upload | undefined

  private readonly waiting = new Set<() => void>()
  private ended = false
  private failure: unknown
  private finish!: (job: Job<Result>) => void
  private fail!: (error: unknown) => void

  constructor(private readonly transport: Transport, feed: Feed, id: Promise<string>,
    options: { after?: number; signal?: AbortSignal | undefined; upload?: Upload } = {}) {
    this.id = id
    this.upload = options.upload
    this.end = new Promise((resolve, reject) => { this.finish = resolve; this.fail = reject })
    this.end.catch(() => {}) // who awaits it is told
    const { signal } = options
    id.then((known) => {
      if (this.ended) return
      const leave = feed.follow(known, options.after ?? 0, { state: (job) => this.see(job as Job<Result>), refused: (e) => this.stop(e) })
      const stop = () => this.stop(signal!.reason)
      if (signal?.aborted) stop()
      signal?.addEventListener('abort', stop)
      const clean = () => { leave(); signal?.removeEventListener('abort', stop) }
      this.end.then(clean, clean)
    }, (error) => this.stop(error))
    options.upload?.failed.then((error) => this.stop(error))
  }

  private see(job: Job<Result>) {
    this.current = job
    if (job.done) { this.ended = true; this.finish(job); this.upload?.stop() }
    this.wake()
  }

  private stop(error: unknown) {
    if (this.ended) return
    this.ended = true
    this.failure = error
    this.fail(error)
    this.upload?.stop()
    this.wake()
  }

  private wake() { for (const w of [...this.waiting]) w() }

  async* [Symbol.asyncIterator](): AsyncIterator<Job<Result>> {
    for (let seen: Job<Result> | undefined; ;) {
      if (this.current && this.current !== seen) {
        seen = this.current
        yield seen
        if (seen.done) return
        continue
      }
      if (this.failure !== undefined) throw this.failure
      if (this.ended) return
      await new Promise<void>((resolve) => {
        const once = () => { this.waiting.delete(once); resolve() }
        this.waiting.add(once)
      })
    }
  }

  /** Asks for the job's end. */
  async cancel(): Promise<void> {
    await this.transport.send(`/v1/jobs/${await this.id}/cancel`, { method: 'POST', repeat: true })
  }

  /** Holds the upload back; the server keeps what it has for a day. */
  pause(): void { this.upload?.pause() }
  resume(): void { this.upload?.resume() }

  /** The result of a job that succeeds; throws JobFailed otherwise. */
  async result(): Promise<Result> {
    const job = await this.end
    if (job.state !== 'succeeded') throw new JobFailed(job)
    return job.result as Result
  }

  /** What the job made; throws JobFailed. */
  async outputs(): Promise<Output[]> {
    await this.result()
    return (await this.end).outputs ?? []
  }
}

/** unauthorized reports whether a credential was refused, so that somebody must sign in. */
export const unauthorized = (error: unknown) => error instanceof Refused && error.status === 401
