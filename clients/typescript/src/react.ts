/**
 * Hooks for React 18 and later: `useJob` and `useUpload`. They take the client from
 * `<LongshoreProvider client={…}>`. However many components look at a job, it is followed once, and not
 * beyond its end.
 */
import { createContext, createElement, useCallback, useContext, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import type { ReactNode } from 'react'
import type { Job, Longshore, Run, UploadOptions } from './index.js'

const Client = createContext<Longshore | null>(null)

/** Gives its client to the hooks below it. Make the client once, outside of what is rendered. */
export function LongshoreProvider(props: { client: Longshore; children?: ReactNode }) {
  return createElement(Client.Provider, { value: props.client }, props.children)
}

/** The client of the nearest LongshoreProvider. */
export function useLongshore(): Longshore {
  const client = useContext(Client)
  if (!client) throw new Error('longshore/react: there is no <LongshoreProvider> above')
  return client
}

/** What a component sees of a job: the newest snapshot, and why there will be no other, if it is refused. */
export interface JobView<Result = unknown> {
  job: Job<Result> | undefined
  error: unknown
}

const nothing: JobView = { job: undefined, error: undefined }

/** One job that some components look at. */
class Watched {
  view = nothing
  private readonly listeners = new Set<() => void>()
  private stop: AbortController | undefined

  constructor(private readonly client: Longshore, private readonly id: string, private readonly left: () => void) {}

  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener)
    if (!this.stop && !this.view.job?.done && !this.view.error) void this.follow(this.stop = new AbortController())
    return () => {
      this.listeners.delete(listener)
      // StrictMode leaves and comes again in one go, and so does a list that is drawn anew.
      setTimeout(() => {
        if (this.listeners.size) return
        this.stop?.abort(new Error('nobody looks'))
        this.stop = undefined
        this.left()
      })
    }
  }

  private async follow(stop: AbortController) {
    try {
      for await (const job of this.client.follow(this.id, { after: this.view.job?.rev ?? 0, signal: stop.signal })) {
        this.tell({ job, error: undefined })
      }
    } catch (error) {
      if (!stop.signal.aborted) this.tell({ job: this.view.job, error })
    }
  }

  private tell(view: JobView) {
    this.view = view
    for (const l of [...this.listeners]) l()
  }
}

const watched = new WeakMap<Longshore, Map<string, Watched>>()

function jobsOf(client: Longshore): Map<string, Watched> {
  let jobs = watched.get(client)
  if (!jobs) watched.set(client, jobs = new Map())
  return jobs
}

function watch(client: Longshore, id: string, listener: () => void) {
  const jobs = jobsOf(client)
  let one = jobs.get(id)
  if (!one) {
    const made = one = new Watched(client, id, () => { if (jobs.get(id) === made) jobs.delete(id) })
    jobs.set(id, made)
  }
  return one.subscribe(listener)
}

/** Follows a job until its end; null follows none. */
export function useJob<Result = unknown>(id: string | null | undefined): JobView<Result> {
  const client = useLongshore()
  const subscribe = useCallback((listener: () => void) => id ? watch(client, id, listener) : () => {}, [client, id])
  const view = useSyncExternalStore(subscribe, () => (id && jobsOf(client).get(id)?.view) || nothing, () => nothing)
  return view as JobView<Result>
}

/** An upload of one component, and its job from the first byte to the result. */
export interface UploadView<Result = unknown> extends JobView<Result> {
  /** Sends a file and runs a job on it; what went before is left to itself. */
  start(file: Blob, options: UploadOptions): Run<Result>
  /** Bytes that the server has, and of how many. */
  sent: number
  size: number
  paused: boolean
  pause(): void
  resume(): void
  /** Asks for the job's end. */
  cancel(): Promise<void>
  /** Forgets it here; the upload goes on. */
  reset(): void
}

interface Sending { run: Run; sent: number; size: number; paused: boolean; job: Job | undefined; error: unknown }

/** Uploads files. An upload outlives its component: what was begun is not lost by a click on another page. */
export function useUpload<Result = unknown>(): UploadView<Result> {
  const client = useLongshore()
  const [now, show] = useState<Sending>()
  const current = useRef<Run | undefined>(undefined)

  const start = useCallback((file: Blob, options: UploadOptions) => {
    let run: Run | undefined
    const change = (part: Partial<Sending>) => {
      if (run && current.current === run) show((s) => s && s.run === run ? { ...s, ...part } : s)
    }
    run = client.upload(file, {
      ...options,
      onUpload: (u) => { options.onUpload?.(u); change({ sent: u.sent, paused: u.paused }) },
    })
    current.current = run
    show({ run, sent: 0, size: file.size, paused: false, job: undefined, error: undefined })
    void (async (run: Run) => {
      try {
        for await (const job of run) change({ job })
      } catch (error) { change({ error }) }
    })(run)
    return run as Run<Result>
  }, [client])

  const acts = useMemo(() => ({
    pause: () => current.current?.pause(),
    resume: () => current.current?.resume(),
    cancel: async () => { await current.current?.cancel() },
    reset: () => { current.current = undefined; show(undefined) },
  }), [])
  const { job, error, sent = 0, size = 0, paused = false } = now ?? {}
  return { job: job as Job<Result> | undefined, error, sent, size, paused, start, ...acts }
}
