import { Fragment, h } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ask, longshore, may, root, say, usePoll, Refused, type Job, type Kind, type Schema } from './api.js'
import { bytes, duration, percent, plain, span } from './format.js'
import { A, Bar, Code, Say, Sec, StateOf } from './parts.js'
import { Trouble } from './jobs.js'
import { go, withQuery } from './route.js'
import type { Run, Upload } from '../../../../clients/typescript/src/index.js'

type Values = Record<string, unknown>

/** A file on its way: its bytes are counted here, its job by the server. */
interface Sending { key: number; file: File; run: Run; upload?: Upload; job?: Job; trouble?: string; id?: string }
let sendings: Sending[] = [] // outlive the page, as the uploads do
let draws = 0

export function NewJob({ query }: { query: URLSearchParams }) {
  const { data, error } = usePoll((signal) => ask<{ types: Kind[] }>('/v1/types', { signal }), 60_000)
  const from = query.get('from') ?? ''
  const old = usePoll(async (signal) => from ? { job: await ask<Job>('/v1/jobs/' + from, { signal }), input: await may<{ payload: Values }>(`/v1/jobs/${from}/payload`, { signal }) } : undefined, 600_000, from)
  useEffect(() => { document.title = 'New job · Longshore' }, [])
  const name = query.get('type') ?? old.data?.job.type ?? data?.types[0]?.type ?? ''
  const kind = data?.types.find((k) => k.type === name)
  return <Fragment><div class="head"><h1>New job</h1> {from && <span class="soft">like <A class="go mono" to={'/jobs/' + from}>…{from.slice(-6)}</A></span>}</div>
    {error && !data && <Trouble error={error} />}
    {data && !data.types.length && <p class="empty soft">Types come with the first worker that serves them: start one, and they are here.</p>}
    {data && data.types.length > 0 && (!from || old.data || old.error) &&
      <Sec id="w" title="What" note={kind && <Say text={kind.doc} most={300} />}>
        <div class="form head-form"><div class="field"><label for="ty">type</label><select id="ty" value={name} onChange={(e) => go(withQuery('/new', query, { type: e.currentTarget.value, from: '' }))}>
          {!kind && <option value={name}>{plain(name, 64)}</option>}{data.types.map((k) => <option key={k.type}>{k.type}</option>)}</select>
          {kind && <small>lane {kind.lane}, {kind.timeout_ms ? `timeout ${duration(kind.timeout_ms)}, ` : ''}{kind.max_attempts} {kind.max_attempts === 1 ? 'attempt' : 'attempts'}</small>}</div></div>
        {kind ? <Form key={kind.type + from} kind={kind} begin={old.data?.input?.payload ?? {}} /> : <p class="soft empty">No worker serves this type now.</p>}
      </Sec>}
  </Fragment>
}

/** parse reads what was typed; undefined: nothing, so the type's default holds. */
function parse(s: Schema, text: string): unknown {
  if (text === '') return undefined
  const t = kindOf(s)
  if (t === 'integer' || t === 'number') return Number.isFinite(Number(text)) ? Number(text) : text
  if (t === 'string') return text
  try { return JSON.parse(text) } catch { return text }
}
const kindOf = (s: Schema) => Array.isArray(s.type) ? s.type.find((t) => t !== 'null') ?? '' : s.type ?? (s.properties ? 'object' : '')

/** What is wrong with a value, said before it is sent; the server has the last word. */
function wrong(s: Schema, v: unknown, required: boolean): string {
  if (v === undefined) return required ? 'is needed' : ''
  const t = kindOf(s)
  if ((t === 'integer' && !Number.isInteger(v)) || (t === 'number' && typeof v !== 'number')) return t === 'integer' ? 'a whole number' : 'a number'
  if (typeof v === 'number' && s.minimum !== undefined && v < s.minimum) return 'at least ' + s.minimum
  if (typeof v === 'number' && s.maximum !== undefined && v > s.maximum) return 'at most ' + s.maximum
  if (typeof v === 'string' && t !== 'string' && t !== '' && !s.enum) return t === 'array' ? 'JSON: [ … ]' : 'JSON'
  if (typeof v === 'string' && s.maxLength !== undefined && v.length > s.maxLength) return `at most ${s.maxLength} characters`
  return ''
}

function rule(s: Schema, required: boolean): string {
  const words: string[] = []
  if (s.description) words.push(s.description)
  if (s.minimum !== undefined && s.maximum !== undefined) words.push(`${s.minimum} to ${s.maximum}`)
  else if (s.minimum !== undefined) words.push('at least ' + s.minimum)
  else if (s.maximum !== undefined) words.push('at most ' + s.maximum)
  if (!required && s.default !== undefined) words.push('default ' + JSON.stringify(s.default))
  return words.join('; ')
}

function Form({ kind, begin }: { kind: Kind; begin: Values }) {
  const fields = Object.entries(kind.schema.properties ?? {}), needed = new Set(kind.schema.required ?? [])
  const [texts, setTexts] = useState<Record<string, string>>(() => Object.fromEntries(fields.flatMap(([k, s]) => begin[k] === undefined ? [] :
    [[k, typeof begin[k] === 'string' && kindOf(s) === 'string' ? begin[k] as string : JSON.stringify(begin[k])]])))
  const [priority, setPriority] = useState('default'), [runAt, setRunAt] = useState(''), [tried, setTried] = useState(false), [busy, setBusy] = useState(false)
  const [trouble, setTrouble] = useState<Error | undefined>(), [files, setFiles] = useState<File[]>([]), [over, setOver] = useState(false), [, draw] = useState(0)
  const picker = useRef<HTMLInputElement>(null)
  useEffect(() => { const t = setInterval(() => { if (sendings.length) draw((n) => n + 1) }, 250); return () => clearInterval(t) }, [])
  const payload: Values = {}, bad: Record<string, string> = {}
  for (const [k, s] of fields) {
    const v = parse(s, texts[k] ?? ''), w = wrong(s, v, needed.has(k))
    if (v !== undefined) payload[k] = v
    if (w) bad[k] = w
  }
  for (const e of trouble instanceof Refused ? trouble.problem.errors ?? [] : []) {
    const [, k] = /^\/payload\/([^/]+)/.exec(e.pointer) ?? []
    if (k && texts[k] === (trouble as { texts?: Record<string, string> }).texts?.[k]) bad[k] = e.detail
  }
  const wrongOnes = Object.keys(bad), takesFile = kind.input !== 'none', needsFile = kind.input === 'required'
  const controls = { ...(priority !== 'default' ? { priority: priority as 'high' } : {}), ...(runAt ? { run_at: new Date(runAt).toISOString() } : {}) }
  const refuse = (e: unknown) => setTrouble(Object.assign(e as Error, { texts }))
  const submit = async () => {
    setTried(true); setTrouble(undefined)
    if (wrongOnes.length || (needsFile && !files.length)) {
      document.getElementById(wrongOnes.length ? 'f-' + wrongOnes[0] : 'pick')?.focus()
      return
    }
    if (files.length) {
      for (const file of files) send(kind.type, file, payload, controls, () => draw((n) => n + 1))
      setFiles([])
      say(`${files.length} ${files.length === 1 ? 'file is' : 'files are'} being uploaded.`)
      return
    }
    setBusy(true)
    try {
      const run = longshore.submit({ type: kind.type, payload, ...controls })
      const id = await run.id
      run.end.catch(() => {})
      go('/jobs/' + id)
    } catch (e) { refuse(e) }
    setBusy(false)
  }
  const take = (list: FileList | null | undefined) => { if (list?.length) setFiles((f) => [...f, ...list]) }
  return <div class="cols two"><form class="form c7" noValidate onSubmit={(e) => { e.preventDefault(); void submit() }}>
    {fields.map(([k, s]) => <Field key={k} name={k} s={s} need={needed.has(k)} text={texts[k] ?? ''} bad={tried || trouble || (texts[k] ?? '') !== '' ? bad[k] : ''} set={(t) => setTexts((o) => ({ ...o, [k]: t }))} />)}
    {!fields.length && <p class="soft">This type takes no payload.</p>}
    <div class="field"><label for="pr">priority</label><select id="pr" value={priority} onChange={(e) => setPriority(e.currentTarget.value)}><option>high</option><option>default</option><option>low</option></select></div>
    <div class="field"><label for="ra">not before</label><input id="ra" type="datetime-local" value={runAt} onInput={(e) => setRunAt(e.currentTarget.value)} /><small>empty: as soon as a worker is free</small></div>
    {takesFile && <div class="field"><span class="label" id="fl">{needsFile ? 'files' : 'file, or none'}</span>
      <div class={'drop' + (over ? ' over' : '')} role="group" aria-labelledby="fl" onDragOver={(e) => { e.preventDefault(); setOver(true) }} onDragLeave={() => setOver(false)} onDrop={(e) => { e.preventDefault(); setOver(false); take(e.dataTransfer?.files) }}>
        <p>{files.length ? `${files.length} chosen, ${bytes(files.reduce((n, f) => n + f.size, 0))}` : 'Drop files here, or'} <button type="button" id="pick" onClick={() => picker.current?.click()}>choose {files.length ? 'more' : 'files'}</button></p>
        <input ref={picker} id="files" type="file" hidden multiple aria-label="Files" onChange={(e) => { take(e.currentTarget.files); e.currentTarget.value = '' }} />
        {files.length > 0 && <ul>{files.map((f, i) => <li key={i}><span><Say text={f.name} most={80} /></span><span class="soft">{bytes(f.size)}</span><button type="button" class="bare" aria-label={'Leave out ' + f.name} onClick={() => setFiles(files.filter((_, n) => n !== i))}>×</button></li>)}</ul>}
      </div>{tried && needsFile && !files.length && <small class="say">a file is needed</small>}</div>}
    {trouble && <p class="tint failed" role="alert"><Say text={trouble.message} /></p>}
    <div class="do"><button class="first big" disabled={busy}>{files.length ? `Upload ${files.length === 1 ? 'and run' : files.length + ' files and run'}` : 'Run it'}</button>
      {tried && wrongOnes.length > 0 && <span class="small tint failed">{wrongOnes.map((k) => <button type="button" class="link" key={k} onClick={() => document.getElementById('f-' + k)?.focus()}>{k}: {bad[k]}</button>)}</span>}</div>
    {sendings.length > 0 && <Sendings redraw={() => draw((n) => n + 1)} />}
  </form>
    <Same kind={kind} payload={payload} priority={priority} file={takesFile ? files[0]?.name ?? (needsFile ? 'FILE' : undefined) : undefined} /></div>
}

function Field({ name, s, need, text, bad, set }: { name: string; s: Schema; need: boolean; text: string; bad?: string; set: (t: string) => void }) {
  const id = 'f-' + name, t = kindOf(s), say = bad || rule(s, need)
  const common = { id, 'aria-invalid': bad ? true : undefined, 'aria-describedby': say ? id + '-d' : undefined, class: bad ? 'bad' : '' }
  const shown = s.default === undefined ? '' : typeof s.default === 'string' ? s.default : JSON.stringify(s.default)
  const many = t === 'array' && s.items?.enum
  return <div class="field">{many ? <span class="label" id={id + '-l'}>{name}</span> : <label for={id}>{name}{need && <span class="soft"> *</span>}</label>}
    {s.enum ? <select {...common} value={text} onChange={(e) => set(e.currentTarget.value)}><option value="">{shown ? `${shown} (default)` : '–'}</option>{s.enum.map((v) => <option key={String(v)} value={typeof v === 'string' ? v : JSON.stringify(v)}>{String(v)}</option>)}</select>
      : t === 'boolean' ? <select {...common} value={text} onChange={(e) => set(e.currentTarget.value)}><option value="">{shown ? `${shown} (default)` : '–'}</option><option>true</option><option>false</option></select>
      : many ? <div class="pair" role="group" aria-labelledby={id + '-l'}>{s.items!.enum!.map((v) => {
        const now = (() => { try { return JSON.parse(text) as unknown[] } catch { return [] } })(), on = now.includes(v)
        return <label key={String(v)}><input type="checkbox" checked={on} onChange={() => { const n = on ? now.filter((o) => o !== v) : [...now, v]; set(n.length ? JSON.stringify(n) : '') }} /> {String(v)}</label>
      })}</div>
      : t === 'integer' || t === 'number' ? <input {...common} inputMode="decimal" value={text} placeholder={shown} autocomplete="off" onInput={(e) => set(e.currentTarget.value)} />
      : t === 'string' ? <input {...common} value={text} placeholder={shown} autocomplete="off" spellcheck={false} onInput={(e) => set(e.currentTarget.value)} />
      : <textarea {...common} rows={2} value={text} placeholder={shown || (t === 'array' ? '[ … ]' : '{ … }')} spellcheck={false} onInput={(e) => set(e.currentTarget.value)} />}
    {say && <small id={id + '-d'} class={bad ? 'say' : ''}>{bad ? bad : <Say text={say} most={300} />}</small>}</div>
}

/** send begins an upload. It goes on while other pages are shown, and after the server was away. */
function send(type: string, file: File, payload: Values, controls: object, redraw: () => void) {
  const run = longshore.upload(file, { type, payload: Object.keys(payload).length ? payload : undefined, ...controls, onUpload: (u) => { one.upload = u } })
  const one: Sending = { key: ++draws, file, run }
  one.upload = run.upload
  sendings = [...sendings, one]
  run.id.then((id) => { one.id = id; redraw() }, () => {})
  void (async () => { for await (const job of run) one.job = job })().catch((e) => { one.trouble = String(e.message) }).then(redraw)
  redraw()
}

addEventListener('beforeunload', (e) => { if (sendings.some((s) => s.upload && s.upload.sent < s.file.size && !s.job?.done && !s.trouble)) e.preventDefault() })

function Sendings({ redraw }: { redraw: () => void }) {
  return <div class="drop sending" role="group" aria-label="On the way"><ul>{sendings.map((s) => {
    const u = s.upload, whole = u && u.sent >= s.file.size, done = s.job?.done
    const far = done ? 1 : s.job?.state === 'running' && s.job.overall != null ? s.job.overall : u ? u.sent / Math.max(1, s.file.size) / 2 : 0
    const said = s.trouble ? s.trouble : done ? s.job!.state : u?.paused ? 'paused' : whole ? s.job?.state ?? 'stored' : u?.rate ? `${bytes(Math.round(u.rate))}/s, ${span((s.file.size - u.sent) * 1000 / u.rate)} of upload left` : 'beginning'
    return <li key={s.key}><span>{s.id ? <A class="go" to={'/jobs/' + s.id}><Say text={s.file.name} most={80} /></A> : <Say text={s.file.name} most={80} />} <span class={s.trouble ? 'tint failed' : 'soft'}>{done ? <StateOf s={s.job!.state} /> : <Say text={said} most={300} />}</span></span>
      <span class="num">{s.trouble ? '' : percent(far)} <span class="soft">of {bytes(s.file.size)}</span></span>
      <span class="verbs">{!whole && !done && !s.trouble && u && (u.paused ? <button type="button" aria-label={'Resume ' + s.file.name} onClick={() => { s.run.resume(); redraw() }}>Resume</button> : <button type="button" aria-label={'Pause ' + s.file.name} onClick={() => { s.run.pause(); redraw() }}>Pause</button>)}
        {!done && !s.trouble && s.id && <button type="button" class="grave" aria-label={'Cancel ' + s.file.name} onClick={() => void s.run.cancel().catch((e) => { s.trouble = String(e.message) })}>Cancel</button>}
        {(done || s.trouble) && <button type="button" class="bare" aria-label={'Put away ' + s.file.name} onClick={() => { sendings = sendings.filter((o) => o !== s); redraw() }}>×</button>}</span>
      <Bar of={far} tint={done ? s.job!.state : whole ? 'running' : 'uploading'} /></li>
  })}</ul></div>
}

const quote = (t: string) => /^[\w.,:/@%+=-]+$/.test(t) ? t : `'${t.replace(/'/g, `'\\''`)}'`

/** The same job from a shell and from a program. */
function Same({ kind, payload, priority, file }: { kind: Kind; payload: Values; priority: string; file?: string }) {
  const some = Object.keys(payload).length > 0, high = priority !== 'default'
  const text = useMemo(() => {
    const query = new URLSearchParams()
    for (const [k, v] of Object.entries(payload)) query.set(k, typeof v === 'string' ? v : JSON.stringify(v))
    if (high) query.set('priority', priority)
    const q = query.toString()
    const curl = file ? `curl --data-binary ${quote('@' + file)} \\\n  ${quote(root + '/v1/jobs/' + kind.type + (q ? '?' + q : ''))}`
      : `curl -H 'Content-Type: application/json' \\\n  -d ${quote(JSON.stringify({ type: kind.type, ...(some ? { payload } : {}), ...(high ? { priority } : {}) }))} \\\n  ${root}/v1/jobs`
    const sets = Object.entries(payload).map(([k, v]) => ` \\\n  --set ${quote(k + '=' + (typeof v === 'string' ? v : JSON.stringify(v)))}`).join('')
    const cli = `LONGSHORE_URL=${root} enqueue submit ${kind.type}${file ? ' ' + quote(file) : ''}${sets}${high ? ` \\\n  --priority ${priority}` : ''} --wait`
    const body = [`  type: ${JSON.stringify(kind.type)},`, ...(some ? [`  payload: ${JSON.stringify(payload)},`] : []), ...(high ? [`  priority: ${JSON.stringify(priority)},`] : [])].join('\n')
    const ts = `import { Longshore } from 'longshore'\n\nconst longshore = new Longshore({ url: ${JSON.stringify(root)} })\nconst run = longshore.${file ? 'upload(file, ' : 'submit('}{\n${body}\n})\nfor await (const job of run) console.log(job.state, job.overall)\nconst result = await run.result()`
    return { curl, cli, ts }
  }, [JSON.stringify(payload), priority, file, kind.type])
  return <div class="c5 stack"><Sec id="c1" title="The same by curl"><Code label="curl" text={text.curl} /></Sec><Sec id="c2" title="Command line"><Code label="Command line" text={text.cli} /></Sec><Sec id="c3" title="TypeScript"><Code label="TypeScript" text={text.ts} /></Sec></div>
}
