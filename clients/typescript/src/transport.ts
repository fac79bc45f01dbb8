import { Refused } from './errors.js'
import type { Problem } from './types.js'

export interface Options {
  /** Where Longshore is, with the path in front of /v1 if there is one. In a page, its own origin by default. */
  url?: string | URL
  /** A token or a key; for pages a token of POST /v1/tokens. */
  token?: string
  /** Gives the next token: before the first request if there is none, and when one is refused or near its end. */
  getToken?: () => Promise<string>
  fetch?: typeof fetch
  /** Remembers uploads and jobs over reloads; localStorage by default, null for none. */
  storage?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'> | null
  /** Ways to follow jobs, best first. */
  transports?: ('socket' | 'events' | 'poll')[]
}

export interface Ask {
  method?: string
  query?: Record<string, string | number | boolean | undefined>
  headers?: Record<string, string>
  /** JSON, unless it is a Blob, bytes or text. */
  body?: unknown
  signal?: AbortSignal | undefined
  /** In place of the client's. */
  token?: string | undefined
  /** May be sent again after an unknown outcome. Default: all but POST without an Idempotency-Key. */
  repeat?: boolean
  /** Milliseconds until the answer's head must be there. */
  patience?: number
}

/** sleep ends early where the network or the page comes back. */
export function sleep(ms: number, signal?: AbortSignal, wake = true): Promise<void> {
  return new Promise((resolve, reject) => {
    const scope = globalThis as Partial<EventTarget>
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
      if (wake) for (const name of ['online', 'focus']) scope.removeEventListener?.(name, end)
      resolve()
    }
    const stop = () => { end(); reject(signal!.reason) }
    const timer = setTimeout(end, ms)
    if (signal?.aborted) return stop()
    signal?.addEventListener('abort', stop)
    if (wake) for (const name of ['online', 'focus']) scope.addEventListener?.(name, end)
  })
}

/** Milliseconds before try n (from 0): doubling to 15 s, drawn between half and all of it. */
export const pause = (n: number) => Math.min(15_000, 250 * 2 ** n) * (0.5 + Math.random() / 2)

/** A wait that somebody else asked for, and up to a quarter more: others were told the same. */
export const spread = (ms: number) => ms * (1 + Math.random() / 4)

/** What Retry-After says, in milliseconds (RFC 9110, section 10.2.3); undefined: nothing. */
export function retryAfter(headers: Headers): number | undefined {
  const text = headers.get('Retry-After')
  if (!text) return undefined
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}

export function draw(): string {
  if (crypto.randomUUID) return crypto.randomUUID() // not there in pages of http
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('')
}

const passing = new Set([408, 425, 429, 502, 503, 504])

/** Transport makes requests, and makes them again where that does no harm. */
export class Transport {
  readonly base: string
  private token: string | undefined
  private renewal: Promise<string> | undefined

  constructor(readonly options: Options) {
    const here = typeof location === 'undefined' ? undefined : location.origin + '/'
    const url = new URL(String(options.url ?? here ?? 'http://127.0.0.1:8080'), here)
    this.base = (url.origin + url.pathname).replace(/\/+$/, '')
    this.token = options.token
  }

  url(path: string, query: Ask['query'] = {}): string {
    const given = Object.entries(query).filter(([, v]) => v !== undefined && v !== '').map(([k, v]) => [k, String(v)])
    const text = new URLSearchParams(given as [string, string][]).toString()
    return (path.startsWith('/') ? this.base + path : path) + (text && '?' + text)
  }

  /** The token that counts now; undefined: none is needed. */
  async credential(): Promise<string | undefined> {
    if (!this.token && this.options.getToken) await this.renew(undefined)
    return this.token
  }

  setToken(token: string | undefined): void { this.token = token }

  /** renew gets another token in place of one that was refused, once for all who ask. */
  async renew(old: string | undefined): Promise<string | undefined> {
    if (!this.options.getToken || (this.token && this.token !== old)) return this.token
    this.renewal ??= this.options.getToken().finally(() => { this.renewal = undefined })
    return (this.token = await this.renewal)
  }

  /** send answers with what the server says, after as many tries as it takes; it throws Refused. */
  async send(path: string, ask: Ask = {}): Promise<Response> {
    const method = ask.method ?? 'GET'
    const repeat = ask.repeat ?? (method !== 'POST' || !!ask.headers?.['Idempotency-Key'])
    let renewed = false
    for (let n = 0; ; n++) {
      const token = (!renewed && ask.token) || await this.credential()
      let answer: Response
      try {
        answer = await this.once(path, method, token, ask)
      } catch (error) {
        if (ask.signal?.aborted) throw ask.signal.reason
        if (!repeat) throw error
        await sleep(pause(n), ask.signal)
        continue
      }
      if (answer.ok || answer.status === 304) return answer
      const refused = new Refused(await problemOf(answer))
      if (answer.status === 401 && this.options.getToken && !renewed) {
        renewed = true
        await this.renew(token)
        continue
      }
      if (refused.code === 'store_reset') throw refused // that ends by an operator alone
      // 429 and 503 say that nothing was done
      if (!passing.has(answer.status) || (!repeat && answer.status !== 429 && answer.status !== 503)) throw refused
      const after = retryAfter(answer.headers)
      await sleep(Math.max(spread(after ?? 0), pause(n)), ask.signal, after === undefined)
    }
  }

  async json<T>(path: string, ask: Ask = {}): Promise<T> {
    return await (await this.send(path, ask)).json() as T
  }

  /** once makes one try, which ends where its head takes too long. */
  async once(path: string, method: string, token: string | undefined, ask: Ask): Promise<Response> {
    const headers: Record<string, string> = { ...ask.headers }
    if (token) headers['Authorization'] = 'Bearer ' + token
    let body = ask.body as BodyInit | null | undefined
    if (body != null && typeof body !== 'string' && !(body instanceof Blob) && !ArrayBuffer.isView(body)) {
      body = JSON.stringify(body)
      headers['Content-Type'] ??= 'application/json'
    }
    const cut = new AbortController()
    const stop = () => cut.abort(ask.signal!.reason)
    if (ask.signal?.aborted) stop()
    ask.signal?.addEventListener('abort', stop)
    const timer = setTimeout(() => cut.abort(new Error('no answer in time')), ask.patience ?? 30_000)
    try {
      const call = this.options.fetch ?? globalThis.fetch
      return await call(this.url(path, ask.query), { method, headers, body: body ?? null, signal: cut.signal,
        credentials: 'same-origin', redirect: 'follow' })
    } finally {
      clearTimeout(timer)
      // the body is read under the caller's signal still: the listener goes with it
    }
  }
}

/** problemOf reads a refusal, whoever sent it: proxies send pages. */
export async function problemOf(answer: Response): Promise<Problem> {
  const problem = await answer.json().catch(() => undefined) as Partial<Problem> | undefined
  return { title: answer.statusText, ...(problem ?? {}), code: problem?.code ?? 'http_' + answer.status, status: answer.status }
}
