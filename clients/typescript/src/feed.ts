import { Refused } from './errors.js'
import { Transport, pause, problemOf, retryAfter, sleep, spread } from './transport.js'
import type { Job, Problem } from './types.js'

/** Who listens to one job. */
export interface Listener {
  state(job: Job): void
  refused(error: Refused): void
}

interface Followed { after: number; listeners: Set<Listener> }
interface Message { type: string; job?: Job; id?: string; code?: string; detail?: string; at?: string; [more: string]: unknown }

type Way = 'socket' | 'events' | 'poll'
const mostIDs = 100 // of a stream or a long-poll
const silence = 30_000 // of a socket until it is asked whether it is there

/**
 * A Feed is the one connection on which all jobs of a client are followed: a socket, or a stream of
 * events where sockets don't pass, or long-polls. Each job has its revision as the cursor, so a
 * connection that breaks skips no end and repeats none. It never gives up.
 */
export class Feed {
  private readonly jobs = new Map<string, Followed>()
  private ways: Way[]
  private running = false
  private change: (() => void) | undefined // of the followed jobs, to who streams
  private socket: WebSocket | undefined
  private watches = new Map<string, { message: object; hint(m: Message): void }>()

  constructor(private readonly transport: Transport) {
    const wished = transport.options.transports ?? ['socket', 'events', 'poll']
    this.ways = wished.filter((w) => w !== 'socket' || typeof WebSocket !== 'undefined')
    if (!this.ways.length) this.ways = ['poll']
  }

  /** follow tells a listener of each newer revision of a job. It returns how to end that. */
  follow(id: string, after: number, listener: Listener): () => void {
    let f = this.jobs.get(id)
    if (!f) this.jobs.set(id, f = { after, listeners: new Set() })
    f.listeners.add(listener)
    f.after = Math.min(after, f.after)
    this.tell('subscribe', [id])
    return () => {
      f.listeners.delete(listener)
      if (f.listeners.size || this.jobs.get(id) !== f) return
      this.jobs.delete(id)
      this.tell('unsubscribe', [id])
    }
  }

  /** watch sends a message of another kind over the socket, now and after each reconnect. */
  watch(key: string, message: object, hint: (m: Message) => void): () => void {
    this.watches.set(key, { message, hint })
    if (this.socket?.readyState === 1) this.socket.send(JSON.stringify(message))
    this.wake()
    return () => { this.watches.delete(key); this.change?.() }
  }

  private get idle() { return !this.jobs.size && !this.watches.size }

  private tell(type: string, ids: string[]) {
    if (this.socket?.readyState === 1) {
      const jobs = ids.map((id) => ({ id, after: this.jobs.get(id)?.after ?? 0 }))
      this.socket.send(JSON.stringify({ type, jobs }))
    }
    this.change?.()
    this.wake()
  }

  private wake() {
    if (this.running || this.idle) return
    this.running = true
    this.run().finally(() => { this.running = false; this.wake() })
  }

  /** run keeps a connection while there is somebody to tell. */
  private async run() {
    await null // those who are added in the same turn go together
    let n = 0, blocked = 0
    const proven = () => { n = 0 }
    while (!this.idle) {
      const way = this.ways[0]!
      let good = false
      try {
        good = await (way === 'socket' ? this.viaSocket(proven) : way === 'events' ? this.viaEvents(proven) : this.viaPolls(proven))
      } catch (error) {
        if (error instanceof Refused && (error.status === 401 || error.status === 403)) return this.refuseAll(error)
      }
      if (this.idle) return
      if (!good) {
        try {
          if (this.ways.length > 1 && await this.passes() && ++blocked > 1) { this.ways.shift(); blocked = 0 }
        } catch (error) {
          if (error instanceof Refused) return this.refuseAll(error)
        }
        await sleep(pause(n++))
      }
    }
  }

  /** passes reports whether plain requests come through; whoever is nobody is told so by them, not by a socket. */
  private async passes(): Promise<boolean> {
    const token = await this.transport.credential()
    const [id] = this.jobs.keys()
    const answer = id ? await this.transport.once('/v1/jobs', 'GET', token, { query: { id: id + '.0' }, patience: 5000 })
      : await this.transport.once('/v1/types', 'GET', token, { patience: 5000 })
    if (answer.status === 401 || answer.status === 403) await this.refusal(answer, token)
    return answer.ok
  }

  private refuseAll(error: Refused) {
    for (const [id] of [...this.jobs]) this.refuse(id, error)
    this.watches.clear()
  }

  private refuse(id: string, error: Refused) {
    const f = this.jobs.get(id)
    this.jobs.delete(id)
    f?.listeners.forEach((l) => l.refused(error))
  }

  /** seen passes a newer snapshot on; after a job's end nothing more comes. */
  private seen(job: Job) {
    const f = this.jobs.get(job.id)
    if (!f || job.rev === f.after && !job.done) return
    f.after = job.rev
    if (job.done) this.jobs.delete(job.id)
    f.listeners.forEach((l) => l.state(job))
  }

  private missing(id: string, code: string, detail?: string) {
    if (code === 'not_found') {
      this.refuse(id, new Refused({ code, status: 404, detail: detail ?? 'there is no such job' }))
    } else if (code === 'store_reset') {
      this.refuse(id, new Refused({ code, status: 503, detail: detail ?? 'the job may be lost with the store\'s data' }))
    } else { // for the moment: full, or unreadable
      setTimeout(() => this.jobs.has(id) && this.tell('subscribe', [id]), 5000)
    }
  }

  private batch(most: number) {
    return [...this.jobs].slice(0, most).map(([id, f]) => `${id}.${f.after}`).join(',')
  }

  // --- the ways; each ends with whether it worked ---

  private open(token: string | undefined): WebSocket {
    const protocols = ['longshore.v1']
    if (token) {
      const coded = btoa(token).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
      protocols.push('longshore.bearer.' + coded)
    }
    return new WebSocket(this.transport.url('/v1/socket').replace(/^http/, 'ws'), protocols)
  }

  private async talk(socket: WebSocket, token: string | undefined, proven: () => void): Promise<boolean> {
    let good = false, heard = Date.now(), asked = 0, code = 0
    const look = () => {
      const [first] = this.jobs
      if (socket.readyState !== 1 || !first || Date.now() - heard < silence) return
      if (asked && Date.now() - asked > 10_000) return socket.close() // it said nothing to that
      asked ||= Date.now()
      socket.send(JSON.stringify({ type: 'subscribe', jobs: [{ id: first[0], after: 0 }] })) // always answered
    }
    const nudge = () => { heard = Math.min(heard, Date.now() - silence); look() }
    const timer = setInterval(look, 10_000)
    const scope = globalThis as Partial<EventTarget>
    for (const name of ['online', 'focus']) scope.addEventListener?.(name, nudge)
    try {
      await new Promise<void>((resolve) => {
        const opening = setTimeout(() => { if (!good) { socket.close(); resolve() } }, 10_000)
        this.change = () => { if (this.idle) socket.close() }
        socket.onopen = () => {
          good = true
          this.socket = socket
          const jobs = [...this.jobs].slice(0, 1000).map(([id, f]) => ({ id, after: f.after }))
          if (jobs.length) socket.send(JSON.stringify({ type: 'subscribe', jobs }))
          for (const w of this.watches.values()) socket.send(JSON.stringify(w.message))
          if (this.idle) socket.close()
        }
        socket.onmessage = (event) => {
          heard = Date.now(); asked = 0
          proven()
          const m = JSON.parse(String(event.data)) as Message
          if (m.type === 'state') this.seen(m.job!)
          else if (m.type === 'error' && m.id) this.missing(m.id, m.code ?? '', m.detail)
          else if (m.type === 'expiring') {
            this.transport.renew(token).then((next) => {
              token = next
              if (next) socket.send(JSON.stringify({ type: 'token', token: next }))
            }, () => {})
          } else if (typeof m['key'] === 'string') this.watches.get(m['key'])?.hint(m)
        }
        socket.onclose = (event) => { clearTimeout(opening); code = event.code; resolve() }
      })
    } finally {
      clearInterval(timer)
      for (const name of ['online', 'focus']) scope.removeEventListener?.(name, nudge)
      this.socket = this.change = undefined
    }
    if (code === 4401 && !await this.transport.renew(token).then((next) => next && next !== token)) {
      throw new Refused({ code: 'unauthorized', status: 401, detail: 'the credential counts no more' })
    }
    if (good) await sleep(Math.random() * 300) // so that not all come back at once
    return good
  }

  private async viaSocket(proven: () => void): Promise<boolean> {
    const token = await this.transport.credential()
    return this.talk(this.open(token), token, proven)
  }

  private async viaEvents(proven: () => void): Promise<boolean> {
    if (!this.jobs.size) { await this.changed(); return true }
    if (this.jobs.size > mostIDs) return this.viaPolls(proven)
    const cut = new AbortController()
    const token = await this.transport.credential()
    let answer: Response
    this.change = () => cut.abort(new Error('other jobs'))
    try {
      answer = await this.transport.once('/v1/events', 'GET', token,
        { query: { id: this.batch(mostIDs) }, headers: { Accept: 'text/event-stream' }, signal: cut.signal })
      if (answer.status === 204) return this.viaPolls(proven)
      if (!answer.ok) await this.refusal(answer, token)
      await readEvents(answer.body!, (name, data) => {
        proven()
        if (name === 'state') this.seen(JSON.parse(data) as Job)
        else if (name === 'missing') {
          const { id, code } = JSON.parse(data) as { id: string; code: string }
          this.missing(id, code)
        } else if (name === 'expiring') void this.transport.renew(token).then(() => cut.abort(), () => {})
      }, cut)
      return true
    } catch (error) {
      if (cut.signal.aborted && (cut.signal.reason as Error)?.message !== 'silent') return true
      throw error
    } finally { this.change = undefined }
  }

  private async viaPolls(proven: () => void): Promise<boolean> {
    if (!this.jobs.size) { await this.changed(); return true }
    const all = [...this.jobs.keys()]
    const token = await this.transport.credential()
    const cut = new AbortController()
    if (all.length <= mostIDs) this.change = () => cut.abort()
    try {
      for (let i = 0; i < all.length; i += mostIDs) {
        const ids = all.slice(i, i + mostIDs).filter((id) => this.jobs.has(id))
        if (!ids.length) continue
        const query = { id: ids.map((id) => `${id}.${this.jobs.get(id)!.after}`).join(','),
          wait: all.length > mostIDs ? '1s' : '25s' }
        const answer = await this.transport.once('/v1/jobs', 'GET', token, { query, signal: cut.signal, patience: 40_000 })
        if (!answer.ok) await this.refusal(answer, token)
        const list = await answer.json() as { jobs: Job[]; missing?: string[]; store_reset?: string[] }
        proven()
        list.jobs.forEach((job) => this.seen(job))
        list.missing?.forEach((id) => this.missing(id, list.store_reset?.includes(id) ? 'store_reset' : 'not_found'))
      }
      return true
    } catch (error) {
      if (cut.signal.aborted) return true
      throw error
    } finally { this.change = undefined }
  }

  private changed() {
    return new Promise<void>((resolve) => { this.change = resolve }).finally(() => { this.change = undefined })
  }

  private async refusal(answer: Response, token: string | undefined): Promise<never> {
    const problem: Problem = await problemOf(answer)
    if (answer.status === 401) {
      const next = await this.transport.renew(token)
      if (next && next !== token) throw new Error('another token')
    }
    if (answer.status === 429 || answer.status === 503) {
      await sleep(spread(Math.min(30_000, retryAfter(answer.headers) ?? 1000)))
    }
    throw new Refused(problem)
  }
}


/** readEvents reads Server-Sent Events, whose server says something at least each 15 s. */
export async function readEvents(body: ReadableStream<Uint8Array>, take: (name: string, data: string, id: string) => void,
  cut: AbortController): Promise<void> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as ReadableWritablePair<string, Uint8Array>).getReader()
  let rest = '', name = 'message', data: string[] = [], id = ''
  for (;;) {
    const timer = setTimeout(() => cut.abort(new Error('silent')), 40_000)
    const { done, value } = await reader.read().finally(() => clearTimeout(timer))
    if (done) return
    const lines = (rest + value).split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      if (line === '') {
        if (data.length) take(name, data.join('\n'), id)
        name = 'message'; data = []
        continue
      }
      const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line)!
      if (field === 'event') name = text!
      else if (field === 'data') data.push(text!)
      else if (field === 'id') id = text!
    }
  }
}
