import { Fragment, h } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { ask, longshore, may, root, say, usePoll, useTick, Refused, type Job } from './api.js'
import { bytes, count, millis, moment, percent, placeOf, plain, span } from './format.js'
import { A, Bar, Copy, Fact, Facts, Say, Sec, Sign, StateOf, Table, Th, Tree } from './parts.js'
import { Story } from './story.js'
import { Log } from './log.js'
import { Trouble, waits } from './jobs.js'
import { go } from './route.js'

interface Input { payload: unknown; input?: { name?: string; size?: number; content_type?: string; job?: string; output?: string } }

/** useJob follows a job by the tab's socket; a change is drawn at most ten times a second. */
function useJob(id: string): { job?: Job; error?: Error } {
  const [state, set] = useState<{ job?: Job; error?: Error }>({})
  useEffect(() => {
    const cut = new AbortController()
    void (async () => {
      try {
        const first = await longshore.get(id, { signal: cut.signal })
        set({ job: first })
        document.title = `${first.type} · ${first.state} · Longshore`
        if (first.done) return
        let timer: ReturnType<typeof setTimeout> | undefined, newest = first
        for await (const job of longshore.follow(id, { after: first.rev, signal: cut.signal })) {
          newest = job
          if (job.done) { clearTimeout(timer); set({ job }); document.title = `${job.type} · ${job.state} · Longshore`; say(`The job has ${job.state}.`) }
          else timer ??= setTimeout(() => { timer = undefined; set({ job: newest }) }, 100)
        }
      } catch (error) {
        if (!cut.signal.aborted) set((s) => ({ ...s, error: error as Error }))
      }
    })()
    return () => cut.abort(new Error('left'))
  }, [id])
  return state
}

export function JobPage({ id }: { id: string }) {
  const { job, error } = useJob(id)
  const input = usePoll((signal) => may<Input>(`/v1/jobs/${id}/payload`, { signal }), 600_000, id + (job?.state === 'uploading' ? '' : '.')).data
  const [trouble, setTrouble] = useState<Error | undefined>()
  const [twice, setTwice] = useState(false)
  if (!job) return <Fragment><div class="head"><h1>Job</h1> <code class="soft">{plain(id, 40)}</code></div>{error && <Trouble error={error} />}{error instanceof Refused && error.status === 404 && <p class="soft">It was deleted, or its time to be kept is over. <A class="go" to="/jobs">All jobs</A></p>}</Fragment>
  const act = (path: string, after: (answer: Job) => void, method = 'POST') => { setTrouble(undefined); ask<Job>(path, { method }).then(after, setTrouble) }
  const retry = (again = false) => act(`/v1/jobs/${id}/retry` + (again ? '?again=true' : ''), (made) => { say('Retried as a new job.'); go('/jobs/' + made.id) })
  const already = trouble instanceof Refused && trouble.code === 'already_retried' ? String(trouble.problem['job'] ?? '') : ''
  return <Fragment>
    <div class="job"><StateOf s={job.state} /><h1><Say text={job.type} most={64} /></h1> <code class="soft">{job.id}</code> <Copy text={job.id} label="Copy id" />
      <div class="end">{job.done && <button type="button" class={job.state === 'failed' && !broken(job) ? 'first' : ''} onClick={() => retry()}>Retry</button>}<A class="btn" to={`/new?from=${job.id}`}>Run again with changes</A>
        {!job.done && <button type="button" class="grave" disabled={job.cancel_requested} onClick={() => act(`/v1/jobs/${id}/cancel`, () => say('The job is asked to end.'))}>{job.cancel_requested ? 'Being canceled' : 'Cancel'}</button>}
        {job.done && <button type="button" class="grave" onClick={() => twice ? act(`/v1/jobs/${id}`, () => { say('The job is deleted.'); go('/jobs') }, 'DELETE') : setTwice(true)} onBlur={() => setTwice(false)}>{twice ? 'Delete for good' : 'Delete'}</button>}</div></div>
    {already ? <p class="note" role="alert">It was retried already, <A class="go" to={'/jobs/' + already}>as this job</A>. <button type="button" class="link" onClick={() => retry(true)}>Once more all the same</button></p>
      : trouble && <p class="tint failed" role="alert"><Say text={trouble.message} /></p>}
    {job.state === 'waiting' && job.hold && !job.hold.released_at && <p class="note">Held: <Say text={job.hold.why} most={200} /> <button type="button" class="first" onClick={() => act(`/v1/jobs/${id}/release`, () => say('The job is released.'))}>Release</button></p>}
    {!job.done && job.state !== 'running' && <Change job={job} failed={setTrouble} />}
    {job.state === 'canceled' && job.error && <p class="note">It never ran: <Say text={job.error.message} most={200} />.</p>}
    {job.state === 'failed' ? <Why job={job} /> : <Whole job={job} size={input?.input?.size} />}
    <div class="cols">
      <div class="c8 stack"><Story job={job} /><Attempts job={job} /><Log key={job.id} job={job} /><Outputs job={job} /></div>
      <div class="c4 stack side"><FactsOf job={job} input={input} />
        {input && <Sec id="p" title="Payload" end={<Copy text={JSON.stringify(input.payload, null, 2)} label="Copy" c="link" />}><Big value={input.payload} name={`payload-${id}.json`} /></Sec>}
        <Sec id="r" title="Result" end={job.result !== undefined && <Copy text={JSON.stringify(job.result, null, 2)} label="Copy" c="link" />}>{job.result !== undefined ? <Big value={job.result} name={`result-${id}.json`} /> : <p class="soft empty">{job.done ? job.outputs?.length ? 'Its files.' : 'None.' : 'None yet.'}</p>}</Sec></div>
    </div>
  </Fragment>
}

/** A job that waits may wait otherwise: in another queue, until another time, or no longer. */
function Change({ job, failed }: { job: Job; failed: (error?: Error) => void }) {
  const change = (body: object, done: string) => { failed(undefined); longshore.change(job.id, body).then(() => say(done), failed) }
  return <p class="note change"><label>Priority <select value={job.priority} onChange={(e) => change({ priority: e.currentTarget.value }, 'The job is in another queue.')}>{['high', 'default', 'low'].map((p) => <option>{p}</option>)}</select></label>{' '}
    <label>Not before <input type="datetime-local" onChange={(e) => { const at = new Date(e.currentTarget.value); if (at.getTime() > Date.now()) change({ run_at: at.toISOString() }, 'The job waits for another time.') }} /></label>{' '}
    {(job.state === 'scheduled' || job.state === 'retrying') && <button type="button" onClick={() => change({ run_at: new Date(0).toISOString() }, 'The job is queued.')}>Run now</button>}</p>
}

const broken = (job: Job) => ['corrupt_input', 'type_mismatch', 'payload_refused', 'image_too_large', 'record_too_long', 'upload_incomplete', 'unsupported'].includes(job.error?.code ?? '')

/** One bar from the first byte to the result: upload and run are its halves. */
function Whole({ job, size }: { job: Job; size?: number }) {
  const p = job.progress
  useTick(!job.done)
  const upload = p?.phase === 'upload' ? p : undefined
  const hadUpload = !!upload || (size !== undefined && size > 0) || (p?.phase === 'run' && !!p.bytes_total)
  const overall = job.overall
  const ran = job.started_at ? Date.parse(job.finished_at ?? new Date().toISOString()) - Date.parse(job.started_at) : 0
  const what = job.state === 'running' ? p?.note ? <Say text={p.note} most={200} /> : 'running' : job.state === 'uploading' ? 'uploading' : job.done ? `${job.state} ${job.finished_at ? 'after ' + span(Date.parse(job.finished_at) - Date.parse(job.created_at)) : ''}`
    : <Fragment>{job.state}{job.waiting_for && <span class="soft">, waits {waits[job.waiting_for] ?? 'for ' + job.waiting_for}</span>}{job.run_at && (job.state === 'scheduled' || job.state === 'retrying') && <span class="soft">, due {moment(job.run_at)}, in {span(Date.parse(job.run_at) - Date.now())}</span>}</Fragment>
  const run = hadUpload ? overall == null ? (job.state === 'running' ? null : 0) : Math.max(0, overall * 2 - 1) : overall
  const first = job.state === 'uploading' ? overall == null ? upload?.fraction ?? null : Math.min(1, overall * 2) : 1
  return <div class={'whole ' + (hadUpload ? '' : 'one')} role="group" aria-label="From the first byte to the result">
    <p class="say" role="progressbar" aria-valuenow={overall == null ? undefined : Math.round(overall * 100)} aria-valuemin={0} aria-valuemax={100} aria-label="Whole job"><b>{overall == null ? '…' : percent(overall)}</b> <span>{what}{!job.done && p?.rate_bytes_per_s ? <span class="soft"> at {bytes(Math.round(p.rate_bytes_per_s))}/s</span> : ''}{!job.done && p?.eta_s ? <span class="soft">, about {span(p.eta_s * 1000)} left</span> : ''}</span></p>
    {hadUpload && <div class="uploading"><Bar of={first} /></div>}<div class={job.done ? job.state : 'running'}><Bar of={job.state === 'succeeded' ? 1 : run} /></div>
    {hadUpload && <p><span class="st uploading"><Sign of="uploading" />upload <b>{bytes(size ?? p?.bytes_total ?? p?.bytes_done)}</b></span> <span>{upload ? `${bytes(upload.bytes_done)} there` : 'whole'}</span></p>}
    <p><span class={'st ' + (job.done ? job.state : 'running')}><Sign of={job.done ? job.state : 'running'} />run <b>{p?.phase === 'run' && p.bytes_total ? (job.done ? '' : bytes(p.bytes_done) + ' of ') + bytes(p.bytes_total) : p?.phase === 'run' && p.records ? count(p.records) : ''}</b></span> <span>{ran ? span(ran) : 'not begun'}</span></p>
  </div>
}

/** Why it failed, whether the same again would fail again, and the button that helps. */
function Why({ job }: { job: Job }) {
  const e = job.error
  return <section class="why" aria-label="Why it failed">
    <p><span class="code">{e?.code}</span> &nbsp; {job.attempt ? `on attempt ${job.attempt} of ${job.max_attempts}` : 'before its first attempt'}, at {moment(job.finished_at)}</p>
    <pre><Say text={e?.message} most={8000} /></pre>
    <p>{help[e?.code ?? ''] ?? 'The same run may do better another time: what failed need not be the input.'} <A class="go" to={`/failures?type=${encodeURIComponent(job.type)}`}>Jobs that failed like it</A></p>
    <p><A class={'btn ' + (broken(job) ? 'first' : '')} to={`/new?from=${job.id}`}>Run again with changes</A></p>
  </section>
}

const help: Record<string, string> = {
  corrupt_input: 'The input is broken: the same run again fails again. Mend the file, or see whether the type can leave such parts out.',
  type_mismatch: 'The input is of another kind than the type takes: the same run again fails again.',
  image_too_large: 'The picture has more pixels than the worker takes: the same run again fails again.',
  record_too_long: 'A record of the input is longer than the type’s limit: the same run again fails again, unless the limit is raised in the payload.',
  upload_incomplete: 'The file never came whole, so nothing ran. Upload it again.',
  out_of_memory: 'The run was ended at its memory cap. A smaller input, or a worker with more memory, gets through.',
  timeout: 'The run took longer than its timeout. Give it more, or a smaller input.',
  payload_refused: 'The function has changed since the job was accepted, and takes this payload no more.',
  poisoned: 'Its workers died again and again while they ran it. Look at their log before you try again.',
  output_limit: 'It wrote more than it may. Raise the limit in the payload if that is meant.',
  unsupported: 'The worker lacks a program that the job needs.',
}

function Attempts({ job }: { job: Job }) {
  const failed = job.errors ?? []
  if (!failed.length && !job.attempt) return null
  const current = !failed.some((e) => e.attempt === job.attempt)
  return <Sec id="at" title="Attempts" end={`${job.attempt} of ${job.max_attempts} used`}><Table label="Attempts" head={<Fragment><Th c="num">no.</Th><Th>end</Th><Th>code</Th><Th>message</Th><Th c="num least">at</Th></Fragment>}>
    {current && job.attempt > 0 && <tr class="chosen"><td class="num">{job.attempt}</td><td><StateOf s={job.state} /></td><td class="mono">{job.error?.code ?? ''}</td><td class="wide soft"><Say text={job.error?.message ?? job.progress?.note ?? ''} most={300} /></td><td class="num least">{moment(job.finished_at ?? job.started_at)}</td></tr>}
    {failed.slice().reverse().map((e) => <tr key={e.attempt}><td class="num">{e.attempt}</td><td><StateOf s="failed" /></td><td class="mono">{e.code}</td><td class="wide soft"><Say text={e.message} most={300} /></td><td class="num least">{moment(e.at)}</td></tr>)}
  </Table></Sec>
}

/** Only what a browser shows as a picture, and does nothing else with. */
const pictures = ['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/avif', 'image/bmp']
const texts = /^(text\/(plain|csv|x-log)|application\/(json|x-ndjson|jsonl))/

function Outputs({ job }: { job: Job }) {
  const outputs = job.outputs ?? []
  const first = outputs.find((o) => pictures.includes(o.content_type.split(';')[0]!) && o.size < 32 << 20) ?? outputs.find((o) => texts.test(o.content_type))
  const [shown, show] = useState<string | undefined>()
  if (!outputs.length) return job.done && job.state !== 'succeeded' ? <Sec id="o" title="Outputs"><p class="soft empty">None: only a job that has succeeded serves files.</p></Sec> : null
  const one = outputs.find((o) => o.name === shown) ?? first
  return <Sec id="o" title="Outputs" end={`${count(outputs.length)} ${outputs.length === 1 ? 'file' : 'files'}, ${bytes(outputs.reduce((n, o) => n + o.size, 0))}`}>
    <div class={one ? 'shots' : ''}>{one && <Preview key={one.name} job={job.id} o={one} />}
      <Table label="Files" head={<Fragment><Th>file</Th><Th c="num">size</Th><Th c="least">type</Th><Th c="less">sha256</Th><Th unseen>get</Th></Fragment>}>
        {outputs.map((o) => <tr key={o.name} class={one?.name === o.name ? 'chosen' : ''}><th scope="row" class="mono"><Say text={o.name} most={120} /></th><td class="num">{bytes(o.size)}</td><td class="least soft">{plain(o.content_type, 60)}</td><td class="less mono soft">{o.sha256.slice(0, 8)}…</td>
          <td class="num verbs">{(pictures.includes(o.content_type.split(';')[0]!) || texts.test(o.content_type)) && <button type="button" aria-pressed={one?.name === o.name} aria-label={'Show ' + o.name} onClick={() => show(o.name)}>Show</button>}<button type="button" aria-label={'Download ' + o.name} onClick={() => void download(job.id, o.name)}>Download</button></td></tr>)}
      </Table></div></Sec>
}

/** A download is fetched with the tab's credential; the browser never goes to the file. */
async function download(id: string, name: string) {
  const answer = await longshore.output(id, name)
  save(await answer.blob(), name)
}

function save(blob: Blob, name: string) {
  const url = URL.createObjectURL(new Blob([blob], { type: 'application/octet-stream' }))
  const a = document.createElement('a')
  a.href = url
  a.download = name.replace(/[/\\\u0000-\u001f]/g, '_')
  a.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

function Preview({ job, o }: { job: string; o: { name: string; size: number; content_type: string } }) {
  const [shown, set] = useState<{ url?: string; text?: string; trouble?: string }>({})
  const kind = o.content_type.split(';')[0]!, picture = pictures.includes(kind)
  useEffect(() => {
    const cut = new AbortController()
    let url = ''
    void (async () => {
      try {
        if (picture) {
          const answer = await longshore.output(job, o.name, { signal: cut.signal })
          url = URL.createObjectURL(new Blob([await answer.arrayBuffer()], { type: kind }))
          if (cut.signal.aborted) URL.revokeObjectURL(url)
          else set({ url })
        } else {
          const answer = await longshore.transport.send(`/v1/jobs/${job}/outputs/${encodeURIComponent(o.name)}`, { headers: { Range: 'bytes=0-65535' }, signal: cut.signal })
          set({ text: await answer.text() })
        }
      } catch (e) { if (!cut.signal.aborted) set({ trouble: String((e as Error).message) }) }
    })()
    return () => { cut.abort(); if (url) URL.revokeObjectURL(url) }
  }, [job, o.name])
  return <figure>{picture ? shown.url ? <img src={shown.url} alt={`Preview of ${plain(o.name, 80)}`} /> : <span class="hole" /> : <pre class="pre preview" tabIndex={0} role="group" aria-label={`Beginning of ${plain(o.name, 80)}`}><Say text={shown.text} most={65_536} /></pre>}
    <figcaption>{shown.trouble ? <Say text={shown.trouble} most={200} /> : <Fragment><Say text={o.name} most={80} />{!picture && o.size > 65_536 && ', its first 64 KiB'}</Fragment>}</figcaption></figure>
}

/** What is over 1 MiB is cut, said, and can be saved. */
function Big({ value, name }: { value: unknown; name: string }) {
  const text = JSON.stringify(value)
  if (text === undefined || text.length <= 1 << 20) return <Tree value={value} />
  return <Fragment><p class="soft">{bytes(text.length)}: the first 64 KiB. <button type="button" class="link" onClick={() => save(new Blob([text]), name)}>Save all</button></p><pre class="pre preview" tabIndex={0} role="group" aria-label="Beginning"><Say text={text.slice(0, 65_536)} most={65_536} /></pre></Fragment>
}

interface Callback { state?: string; status?: string; attempts?: number; url?: string; last_status?: number; last_error?: string; [more: string]: unknown }

function FactsOf({ job, input }: { job: Job; input?: Input }) {
  const callback = usePoll((signal) => may<Callback>(`/v1/jobs/${job.id}/callback`, { signal }), job.done ? 10_000 : 600_000, job.id + job.done).data
  const i = input?.input
  return <Sec id="f" title="Facts" end={`rev ${job.rev}`}><Facts>
    {job.worker && <Fact k="worker"><A to="/queues#workers" class="go">{job.worker}</A></Fact>}
    <Fact k="attempt">{job.attempt} of {job.max_attempts}</Fact>
    <Fact k="queue">{placeOf({ name: job.queue, lane: job.lane, priority: job.priority })}</Fact>
    {job.labels && <Fact k="labels">{Object.entries(job.labels).map(([k, v], n) => <Fragment>{n ? ', ' : ''}<A class="go" to={`/jobs?label=${encodeURIComponent(k + '=' + v)}`}><Say text={`${k}=${v}`} most={100} /></A></Fragment>)}</Fact>}
    {job.retry_of && <Fact k="retry of"><A class="go mono" to={'/jobs/' + job.retry_of}>…{job.retry_of.slice(-12)}</A></Fact>}
    {job.retried_as && <Fact k="retried as"><A class="go mono" to={'/jobs/' + job.retried_as}>…{job.retried_as.slice(-12)}</A></Fact>}
    {job.hold && <Fact k="held"><Say text={job.hold.why} most={200} />{job.hold.released_at && <span class="soft">, released {moment(job.hold.released_at)}{job.hold.released_by && <Fragment> by <Say text={job.hold.released_by} most={80} /></Fragment>}</span>}</Fact>}
    {job.after?.length && <Fact k="after">{job.after.slice(0, 10).map((a, n) => <Fragment>{n ? ', ' : ''}<A class="go mono" to={'/jobs/' + a.id}>…{a.id.slice(-6)}</A> <span class="soft">{a.state ?? 'open'}</span></Fragment>)}{job.after.length > 10 ? `, ${job.after.length - 10} more` : ''}</Fact>}
    <Fact k="created">{millis(job.created_at)} <span class="soft">{moment(job.created_at).length > 8 ? moment(job.created_at) : ''}</span></Fact>
    {job.run_at && !job.done && <Fact k="due">{moment(job.run_at)}</Fact>}
    {job.started_at && <Fact k="started">{millis(job.started_at)}</Fact>}
    {job.finished_at && <Fact k="finished">{millis(job.finished_at)}</Fact>}
    {job.expires_at && !job.started_at && <Fact k="expires">{moment(job.expires_at)}</Fact>}
    {job.usage && <Fact k="usage">{span(job.usage.wall_ms)} wall{job.usage.cpu_ms ? `, ${span(job.usage.cpu_ms)} CPU` : ''}{job.usage.peak_rss_bytes ? `, ${bytes(job.usage.peak_rss_bytes)} peak` : ''}</Fact>}
    {i && <Fact k="input">{i.name ? <Say text={i.name} most={120} /> : i.job ? <A class="go mono" to={'/jobs/' + i.job}>of …{i.job.slice(-6)}</A> : 'a file'}<br /><span class="soft">{bytes(i.size)}{i.content_type ? ', ' + plain(i.content_type, 60) : ''}</span></Fact>}
    {callback && <Fact k="callback"><Say text={String(callback.state ?? callback.status ?? 'asked for')} most={60} />{callback.attempts ? <span class="soft">, {callback.attempts} {callback.attempts === 1 ? 'try' : 'tries'}</span> : ''}{job.done && <Fragment> <button type="button" class="link" onClick={() => { ask(`/v1/jobs/${job.id}/callback/resend`, { method: 'POST' }).then(() => say('The callback is sent once more.'), (e: Error) => say(e.message)) }}>Send again</button></Fragment>}</Fact>}
    <Fact k="as JSON"><Copy text={`curl ${root}/v1/jobs/${job.id}`} label="Copy curl" c="link" />, <Copy text={`enqueue get ${job.id}`} label="Copy CLI" c="link" /></Fact>
  </Facts></Sec>
}
