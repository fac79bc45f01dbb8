// What the pages know of the installation, and how they hear of changes.
import { useEffect, useRef, useState } from 'preact/hooks'
import { Longshore, Refused, type Ask, type Job, type State } from '../../../../clients/typescript/src/index.js'

export type { Job, State }
export { Refused }

// …/ui/assets/<hash>/app.js: so the pages work below any path
export const root = new URL('../../../', import.meta.url).href.replace(/\/$/, '')
export const ui = root + '/ui'

const pasted = 'longshore.token'
function kept(): string | undefined {
  try { return sessionStorage.getItem(pasted) ?? undefined } catch { return undefined }
}

export const longshore = new Longshore({ url: root, token: kept(), storage: null })

/** sign keeps a token for this tab. */
export function sign(token: string | undefined) {
  try { token ? sessionStorage.setItem(pasted, token) : sessionStorage.removeItem(pasted) } catch { /* memory only */ }
  absent.clear()
  longshore.transport.setToken(token)
  set({ denied: false, signed: !!token })
}

// --- one small store ---

export interface Counts { counts: Partial<Record<State, number>>; retried?: number; total: number; types: TypeCounts[]; ended?: Partial<Record<State, number>> }
export interface TypeCounts { type: string; counts: Partial<Record<State, number>>; retried?: number }
export interface Point { at: string; ended: Partial<Record<State, number>>; created: number; waiting: number; running: number }
export interface Stats { window: string; step_ms: number; points: Point[]; run_ms?: { p50: number; p95: number } }
export interface Queue { queue: string; name?: string; lane: string; priority: string; pending: number; active: number; latency_ms: number; paused: boolean; parked?: { type: string; pending: number; served: boolean }[] }
export interface Worker {
  id?: string; host: string; pid: number; version?: string; state?: string; slots: Record<string, number>; busy?: number
  runs?: { job: string; type: string; attempt: number; since: string }[]; rss_bytes?: number; lag_ms?: number; beat_at?: string
  started_at?: string; types?: string[]; control?: boolean; bad?: string[]
}
export interface Pause { queue?: string; name?: string; lane?: string; priority?: string; type?: string; why: string; by: string; at: string; until?: string; state: string; not_obeyed_by?: { host: string; pid: number }[] }
export interface Alert { alert: string; state: string; since: string; count?: number; summary: string; what_to_do: string }
export interface Operation {
  id: string; rev: number; done: boolean; state: State; kind: string; action: string; filter?: Record<string, string>; why?: string; by?: string
  created_at: string; finished_at?: string; n: number; moved: number; skipped?: Record<string, number>
  errors?: { id: string; code: string; detail: string }[]; workers?: { id: string; outcome: string }[]
}
export interface Kind { type: string; doc: string; lane: string; timeout_ms: number; max_attempts: number; retention_ms?: number; input: string; schema: Schema; sandbox?: string }
export interface Schema {
  type?: string | string[]; properties?: Record<string, Schema>; required?: string[]; items?: Schema; enum?: unknown[]; default?: unknown
  description?: string; minimum?: number; maximum?: number; minLength?: number; maxLength?: number; pattern?: string; format?: string
  writeOnly?: boolean; examples?: unknown[]; maxItems?: number; minItems?: number; additionalProperties?: boolean | Schema; anyOf?: Schema[]; oneOf?: Schema[]
}

interface Shared { counts?: Counts; stats?: Stats; queues?: Queue[]; workers?: Worker[]; pauses?: Pause[]; alerts?: Alert[]; denied: boolean; away?: number; signed: boolean; said: string }

let shared: Shared = { denied: false, signed: !!kept(), said: '' }
const hearers = new Set<() => void>()
export function set(change: Partial<Shared>) { shared = { ...shared, ...change }; hearers.forEach((h) => h()) }
export const get = () => shared

/** useShared draws a component anew when what it picks is another one. */
export function useShared<T>(pick: (s: Shared) => T): T {
  const [, draw] = useState(0)
  const seen = useRef<T>()
  seen.current = pick(shared)
  useEffect(() => {
    const hear = () => { if (pick(shared) !== seen.current) draw((n) => n + 1) }
    hearers.add(hear)
    hear()
    return () => { hearers.delete(hear) }
  }, [])
  return seen.current
}

// --- requests ---

const absent = new Set<string>() // routes that this release, or this credential, doesn't have

/** ask is one try: pages ask again by themselves. It says to all pages when the server is away or wants a credential. */
export async function ask<T>(path: string, o: Ask = {}): Promise<T> {
  const t = longshore.transport
  let answer: Response
  try {
    answer = await t.once(path, o.method ?? 'GET', await t.credential(), { patience: 15_000, ...o })
  } catch (error) {
    if (!o.signal?.aborted && !shared.away) set({ away: Date.now() })
    throw error
  }
  if (answer.ok) {
    if (shared.away) set({ away: undefined })
    return (answer.status === 204 ? undefined : await answer.json()) as T
  }
  const problem = await answer.json().catch(() => ({}))
  const refused = new Refused({ code: 'http_' + answer.status, title: answer.statusText, ...problem, status: answer.status })
  if (answer.status === 401) set({ denied: true })
  if (answer.status >= 502 && !shared.away) set({ away: Date.now() })
  if (answer.status < 500 && shared.away) set({ away: undefined })
  if (answer.status === 403 && refused.code === 'step_up') location.href = ui + '/login/again?return_to=' + encodeURIComponent(location.pathname + location.search)
  throw refused
}

/** may asks for what may not be there: undefined then. */
export async function may<T>(path: string, o: Ask = {}): Promise<T | undefined> {
  if (absent.has(path)) return undefined
  try {
    return await ask<T>(path, o)
  } catch (error) {
    if (!(error instanceof Refused) || ![403, 404, 405, 422].includes(error.status)) throw error
    if (!o.query || error.status !== 422) absent.add(path)
    return undefined
  }
}

export const post = <T>(path: string, body?: unknown) => ask<T>(path, { method: 'POST', ...(body === undefined ? {} : { body }) })

/** usePoll asks again and again while the page is seen; `key` begins anew. */
export function usePoll<T>(load: (signal: AbortSignal) => Promise<T>, every: number, key = ''): { data?: T; error?: Error; again: () => void } {
  const [state, setState] = useState<{ data?: T; error?: Error; key: string }>({ key })
  const kick = useRef<() => void>(() => {})
  useEffect(() => {
    const cut = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined, busy = false, more = false
    const turn = async () => {
      clearTimeout(timer)
      if (busy) { more = true; return }
      busy = true
      try {
        const data = await load(cut.signal)
        if (!cut.signal.aborted) setState({ data, key })
      } catch (error) {
        if (!cut.signal.aborted) setState((s) => ({ ...(s.key === key ? s : { key }), error: error as Error }))
      }
      busy = false
      if (cut.signal.aborted) return
      if (more) { more = false; void turn() } else if (!document.hidden) timer = setTimeout(turn, every * (0.9 + Math.random() / 5))
    }
    const seen = () => { if (!document.hidden) void turn() }
    document.addEventListener('visibilitychange', seen)
    addEventListener('online', seen)
    kick.current = () => void turn()
    void turn()
    return () => {
      cut.abort()
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', seen)
      removeEventListener('online', seen)
    }
  }, [key, every])
  const now = state.key === key ? state : {} as typeof state
  return { data: now.data, error: now.error, again: () => kick.current() }
}

/**
 * useLive keeps jobs as they are now, by the one socket of the tab. Changes are drawn together, four times a
 * second at most, however many there are.
 */
export function useLive(jobs: Job[]): Map<string, Job> {
  const [, draw] = useState(0)
  const known = useRef(new Map<string, Job>()).current
  const leave = useRef(new Map<string, () => void>()).current
  const timer = useRef<ReturnType<typeof setTimeout>>()
  const ids = jobs.map((j) => j.id).join()
  useEffect(() => {
    const wanted = new Set(jobs.map((j) => j.id))
    for (const [id, stop] of leave) if (!wanted.has(id)) { stop(); leave.delete(id); known.delete(id) }
    for (const job of jobs) {
      if ((known.get(job.id)?.rev ?? -1) < job.rev) known.set(job.id, job)
      if (job.done || leave.has(job.id)) continue
      const cut = new AbortController()
      leave.set(job.id, () => cut.abort(new Error('not shown')))
      const run = longshore.follow(job.id, { after: job.rev, signal: cut.signal })
      void (async () => {
        for await (const now of run) {
          known.set(now.id, now)
          timer.current ??= setTimeout(() => { timer.current = undefined; draw((n) => n + 1) }, 250)
        }
      })().catch(() => {})
    }
  }, [ids])
  useEffect(() => () => { leave.forEach((stop) => stop()); clearTimeout(timer.current) }, [])
  return known
}

/** useTick draws anew each second, for what counts up. */
export function useTick(on = true, ms = 1000) {
  const [, draw] = useState(0)
  useEffect(() => {
    if (!on) return
    const timer = setInterval(() => { if (!document.hidden) draw((n) => n + 1) }, ms)
    return () => clearInterval(timer)
  }, [on, ms])
}

/** say tells a sentence to those who hear the page; one in ten seconds. */
let last = 0
export function say(text: string) {
  if (Date.now() - last < 10_000) return
  last = Date.now()
  set({ said: text })
}

// --- what is shown on every page, asked for once ---

/** Since when failures come more often than before: the first of the minutes, up to now, that are all bad. */
export function failingSince(points: Point[]): number | undefined {
  const bad = points.map((p) => p.ended.failed ?? 0)
  if (bad.length < 5) return undefined
  const calm = [...bad].sort((a, b) => a - b)[Math.floor(bad.length / 2)]!
  let i = bad.length - 1
  if (bad[i]! <= calm * 2 + 1) i-- // the minute that runs
  if (i < 0 || bad[i]! <= calm * 2 + 1) return undefined
  while (i > 0 && bad[i - 1]! > calm * 2 + 1) i--
  return i
}
export function useFrame() {
  usePoll(async (signal) => {
    const [, list, own] = await Promise.all([may<Counts>('/v1/jobs/count', { signal }).then((counts) => set({ counts })),
      may<{ queues: Queue[]; workers: Worker[] }>('/v1/queues', { signal }), may<{ workers: Worker[] }>('/v1/workers', { signal })])
    set({ queues: list?.queues, workers: own?.workers ?? list?.workers })
  }, 2000)
  usePoll(async (signal) => {
    const [stats, pauses, alerts] = await Promise.all([may<Stats>('/v1/stats?window=1h', { signal }), may<{ pauses: Pause[] }>('/v1/pauses', { signal }),
      may<{ firing: Alert[] }>('/v1/alerts', { signal })])
    set({ stats, pauses: pauses?.pauses, alerts: alerts?.firing })
  }, 10_000)
}
