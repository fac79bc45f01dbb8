import { Refused } from './errors.js'
import { Transport, draw, pause, problemOf, retryAfter, sleep, spread } from './transport.js'
import type { DirectUpload, UploadPart } from './schema.js'
import type { Controls } from './types.js'

export interface UploadOptions extends Controls {
  type: string
  payload?: unknown
  /** The file's name, if it has none itself. */
  filename?: string
  /** Stops the upload here; the server keeps what it has for a day. */
  signal?: AbortSignal
  idempotencyKey?: string
  /** The one that began it, after a reload: a page's upload goes on with it past its end. Default: the client's. */
  token?: string
  /** Straight to the bucket that the server keeps files in, in parts of 5 MiB and more; where it has none, as ever. */
  direct?: boolean
  /** Told after each piece: bytes that the server has. */
  onUpload?: (upload: Upload) => void
}

/** What is remembered of an upload or a job over a reload of the page. */
export interface Remembered { key: string; id?: string; type: string; name?: string; size?: number; at: number; draw: string }

const least = 256 << 10, most = 32 << 20, aim = 1000 // bytes and milliseconds of a piece

/** Memory is what this page has under way. */
export class Memory {
  private readonly storage
  private readonly prefix: string
  constructor(transport: Transport) {
    let storage = transport.options.storage
    try { storage ??= storage === null ? null : globalThis.localStorage } catch { /* a page without storage */ }
    this.storage = storage ?? undefined
    this.prefix = `longshore:${transport.base}:`
  }
  get(key: string): Remembered | undefined {
    try { return JSON.parse(this.storage?.getItem(this.prefix + key) ?? 'null') ?? undefined } catch { return undefined }
  }
  set(r: Remembered) { try { this.storage?.setItem(this.prefix + r.key, JSON.stringify(r)) } catch { /* full */ } }
  forget(key: string) { this.storage?.removeItem(this.prefix + key) }
  all(): Remembered[] {
    const keys = Array.from({ length: this.storage?.length ?? 0 }, (_, i) => this.storage!.key(i) ?? '')
    return keys.filter((k) => k.startsWith(this.prefix)).map((k) => this.get(k.slice(this.prefix.length)))
      .filter((r): r is Remembered => !!r).sort((a, b) => a.at - b.at)
  }
}

/** keyOf names a file and what is to be done with it: the same again goes on. */
export function keyOf(file: Blob, o: UploadOptions): string {
  const f = file as Partial<File>
  const text = JSON.stringify([f.name ?? o.filename ?? '', file.size, f.lastModified ?? 0, o.type, o.payload ?? null])
  let h = 0xcbf29ce484222325n // FNV-1a, 64 bits
  for (let i = 0; i < text.length; i++) h = BigInt.asUintN(64, (h ^ BigInt(text.charCodeAt(i))) * 0x100000001b3n)
  return h.toString(36)
}

/**
 * An Upload sends a file in pieces, by tus 1.0, each as long as about a second takes. After a cut, a
 * restart or a reload it asks how much is there, and goes on. It never gives up but where it is refused.
 */
export class Upload {
  sent = 0
  /** Bytes a second, of the last pieces; 0 = not known. */
  rate = 0
  paused = false
  readonly id: Promise<string>
  /** Why it can't go on; never, if it can. */
  readonly failed: Promise<unknown>
  private readonly cut = new AbortController()
  private go: (() => void) | undefined
  private took!: (id: string) => void
  private refuse!: (error: unknown) => void
  private piece = new AbortController()

  constructor(private readonly transport: Transport, private readonly memory: Memory, readonly file: Blob,
    private readonly options: UploadOptions) {
    this.id = new Promise((resolve, reject) => { this.took = resolve; this.refuse = reject })
    this.id.catch(() => {})
    options.signal?.addEventListener('abort', () => this.cut.abort(options.signal!.reason))
    if (options.signal?.aborted) this.cut.abort(options.signal.reason)
    this.failed = new Promise((tell) => {
      this.run().catch((error) => { if (!this.stopped) { this.refuse(error); tell(error) } })
    })
  }

  private stopped = false
  private token: string | undefined
  get size() { return this.file.size }

  /** The job has ended, or nobody follows it: send no more. */
  stop() { this.stopped = true; this.cut.abort(new Error('stopped')); this.go?.() }
  pause() { this.paused = true; this.piece.abort(new Error('paused')); this.tell() }
  resume() { this.paused = false; this.go?.(); this.tell() }

  private tell() { this.options.onUpload?.(this) }

  private async run() {
    const { options, memory, file } = this
    const key = keyOf(file, options)
    const before = options.idempotencyKey ? undefined : memory.get(key)
    const known: Remembered = before ?? { key, type: options.type, name: (file as File).name ?? options.filename,
      size: file.size, at: Date.now(), draw: options.idempotencyKey ?? draw() }
    if (!before) memory.set(known)
    this.token = options.token ?? await this.transport.credential()
    if (options.direct && await this.straight(known)) return
    let id = known.id
    let offset = id ? await this.offset(id) : undefined
    if (!id || offset === undefined) { // the first time, or its day is over
      if (id) known.draw = draw()
      memory.set({ ...known, id: undefined })
      id = await this.create(known.draw) // the same key again is the same upload
      offset = await this.offset(id)
    }
    memory.set({ ...known, id })
    this.took(id)
    if (offset !== undefined) await this.pieces(id, offset) // else its job tells why
  }

  /** straight sends the file to where the server says its parts go; false: there is no bucket. */
  private async straight(known: Remembered): Promise<boolean> {
    const { signal: _, idempotencyKey: _k, token: _t, onUpload: _o, filename, ...asked } = this.options
    let up: DirectUpload
    try {
      up = await this.transport.json<DirectUpload>('/v1/uploads', { method: 'POST', token: this.token, signal: this.cut.signal,
        headers: { 'Idempotency-Key': known.draw }, body: { ...asked, size: this.file.size,
          filename: (this.file as File).name ?? filename, content_type: this.file.type || undefined } })
    } catch (error) {
      if (error instanceof Refused && error.problem.errors?.some((e) => e.pointer === '/direct')) return false
      throw error
    }
    this.memory.set({ ...known, id: up.id })
    this.took(up.id)
    const path = '/v1/uploads/' + up.id
    const post = <T>(rest: string, body: unknown) => this.transport.json<T>(path + rest, { method: 'POST', repeat: true, token: this.token,
      signal: this.cut.signal, body })
    try {
      for (let from = 1, failures = 0; !up.complete;) {
        while (this.paused && !this.stopped) await new Promise<void>((resolve) => { this.go = resolve })
        this.cut.signal.throwIfAborted()
        this.sent = up.bytes_done
        this.tell()
        if (up.parts_done === up.part_count) {
          await post('/complete', {})
          break
        }
        const begun = Date.now(), before = this.sent
        const fine = await this.parts(up.parts.slice(0, 12), up.part_size)
        if (this.sent > before) this.rate = (this.sent - before) * 1000 / Math.max(1, Date.now() - begun)
        if (fine) failures = 0
        else if (!this.paused) await sleep(pause(failures++), this.cut.signal)
        if (!up.parts.length) from = up.next ?? 1
        up = await post('/parts', { from })
      }
    } catch (error) {
      if (!(error instanceof Refused) || (error.status !== 404 && error.status !== 410)) throw error // else its job tells why
    }
    return true
  }

  /** parts sends some, a few at a time, and says whether all arrived. */
  private async parts(parts: UploadPart[], size: number): Promise<boolean> {
    this.piece = new AbortController()
    const stop = () => this.piece.abort(this.cut.signal.reason)
    this.cut.signal.addEventListener('abort', stop)
    const left = [...parts]
    let fine = true
    const send = async () => {
      for (let p = left.shift(); p && fine; p = left.shift()) {
        const from = (p.number - 1) * size
        try {
          const answer = await (this.transport.options.fetch ?? globalThis.fetch)(p.url, { method: 'PUT', headers: p.headers,
            body: this.file.slice(from, from + p.size), signal: this.piece.signal, credentials: 'omit', redirect: 'error' })
          if (!answer.ok) throw new Error('refused by the bucket')
          this.sent += p.size
          this.tell()
        } catch { fine = false } // asking again tells the rest
      }
    }
    await Promise.all([send(), send(), send()])
    this.cut.signal.removeEventListener('abort', stop)
    this.cut.signal.throwIfAborted()
    return fine
  }

  private async create(key: string): Promise<string> {
    const { type, payload, filename, priority, queue, run_at, timeout, expires_in, max_attempts, retention, callback_url, labels, after, on_failure, hold, limit_key, unique_key } = this.options
    const words: Record<string, unknown> = { type, filename: (this.file as File).name ?? filename, filetype: this.file.type,
      payload: payload === undefined ? undefined : JSON.stringify(payload), priority, queue, run_at, timeout, expires_in,
      max_attempts, retention, callback_url,
      labels: labels && Object.entries(labels).map((l) => l.join('=')).join(','), after: after?.join(','), on_failure, hold, limit_key, unique_key } // refused: said rather than forgotten
    const coded = Object.entries(words).filter(([, v]) => v !== undefined && v !== '')
      .map(([k, v]) => k + ' ' + base64(String(v))).join(',')
    const answer = await this.transport.send('/v1/uploads', { method: 'POST', signal: this.cut.signal, token: this.token, body: '', headers: {
      'Tus-Resumable': '1.0.0', 'Upload-Length': String(this.file.size), 'Upload-Metadata': coded, 'Idempotency-Key': key } })
    return answer.headers.get('Longshore-Job') ?? ''
  }

  /** offset asks how much the server has; undefined: nothing any more. */
  private async offset(id: string): Promise<number | undefined> {
    for (let n = 0; ; n++) {
      try {
        const answer = await this.transport.send('/v1/uploads/' + id, { method: 'HEAD', token: this.token, signal: this.cut.signal, headers: { 'Tus-Resumable': '1.0.0' } })
        return Number(answer.headers.get('Upload-Offset') ?? 0)
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        if (error.status === 404 || error.status === 410) return undefined
        if (error.status !== 423 && error.status !== 507) throw error
        await sleep(pause(n), this.cut.signal)
      }
    }
  }

  private async pieces(id: string, offset: number) {
    let size = least, failures = 0
    this.sent = offset
    this.tell()
    while (offset < this.file.size) {
      while (this.paused && !this.stopped) await new Promise<void>((resolve) => { this.go = resolve })
      this.cut.signal.throwIfAborted()
      const end = Math.min(offset + size, this.file.size), begun = Date.now()
      const next = await this.patch(id, offset, end)
      if (typeof next === 'number') {
        const took = Math.max(1, Date.now() - begun)
        const rate = (end - offset) * 1000 / took
        this.rate = this.rate ? this.rate * 0.7 + rate * 0.3 : rate
        size = Math.min(most, Math.max(least, Math.min(size * 4, Math.round(rate * aim / 1000))))
        failures = 0
        offset = next
      } else {
        if (!this.paused) await sleep(Math.max(next.wait, pause(failures++)), this.cut.signal, next.wait === 0)
        size = Math.max(least, size >> 1)
        if (this.paused) continue
        const there = await this.offset(id)
        if (there === undefined) return // its job tells why
        offset = there
      }
      this.sent = offset
      this.tell()
    }
  }

  /** patch sends one piece. What passes by itself is a wait; the rest is thrown. */
  private async patch(id: string, offset: number, end: number): Promise<number | { wait: number }> {
    this.piece = new AbortController()
    const stop = () => this.piece.abort(this.cut.signal.reason)
    this.cut.signal.addEventListener('abort', stop)
    try {
      const { token } = this
      const answer = await this.transport.once('/v1/uploads/' + id, 'PATCH', token, { signal: this.piece.signal, patience: 120_000,
        body: this.file.slice(offset, end), headers: { 'Tus-Resumable': '1.0.0', 'Upload-Offset': String(offset),
          'Content-Type': 'application/offset+octet-stream' } })
      if (answer.ok) return Number(answer.headers.get('Upload-Offset') ?? end)
      if (answer.status === 401) {
        const next = await this.transport.renew(token)
        if (next && next !== token) { this.token = next; return { wait: 0 } }
      }
      if ([404, 409, 410, 423, 429, 500, 502, 503, 504, 507, 408].includes(answer.status)) {
        return { wait: spread(retryAfter(answer.headers) ?? 0) } // asking for the offset tells the rest
      }
      throw new Refused(await problemOf(answer))
    } catch (error) {
      if (error instanceof Refused) throw error
      this.cut.signal.throwIfAborted()
      return { wait: 0 }
    } finally { this.cut.signal.removeEventListener('abort', stop) }
  }
}

function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (b) => String.fromCharCode(b)).join(''))
}
