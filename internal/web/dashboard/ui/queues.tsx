import { Fragment, h } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { may, post, say, set, useShared, usePoll, type Pause, type Worker } from './api.js'
import { bytes, clock, count, moment, placeOf, span } from './format.js'
import { A, Bar, Fact, Facts, Say, Sec, Sign, Table, Th } from './parts.js'

/** What is done is seen at once: the numbers are asked for anew. */
async function reread() {
  const [list, pauses, own] = await Promise.all([may<{ queues: never[]; workers: Worker[] }>('/v1/queues'), may<{ pauses: Pause[] }>('/v1/pauses'), may<{ workers: Worker[] }>('/v1/workers')])
  set({ queues: list?.queues, pauses: pauses?.pauses, workers: own?.workers ?? list?.workers })
}

/** Queues beside the default one are paused whole. */
const pathOf = (q: { name?: string; lane?: string; priority?: string }) => q.name ?? `${q.lane}/${q.priority}`

export function QueuesWorkers() {
  const queues = useShared((s) => s.queues), workers = useShared((s) => s.workers), pauses = useShared((s) => s.pauses)
  const [ask, setAsk] = useState<Target | undefined>(), [trouble, setTrouble] = useState('')
  useEffect(() => { document.title = 'Queues, workers · Longshore' }, [])
  const act = (what: string, path: string, body: unknown = {}) => { setTrouble(''); return post(path, body).then(() => { say(what); return reread() }, (e) => setTrouble(String(e.message))) }
  const running = queues?.reduce((n, q) => n + q.active, 0), queued = queues?.reduce((n, q) => n + q.pending, 0)
  const slots = workers?.reduce((n, w) => n + Object.values(w.slots).reduce((a, b) => a + b, 0), 0) ?? 0
  const held = new Map(pauses?.map((p) => [p.type ? 't' + p.type : pathOf(p), p]))
  const steer = pauses !== undefined
  return <Fragment>
    <div class="head"><h1>Queues, workers</h1> {queues && <span class="soft">{count(running)} running, {count(queued)} queued{workers ? `, ${count(Math.max(0, slots - (running ?? 0)))} slots free` : ''}</span>}
      <div class="end">{steer && workers?.some((w) => w.control) && <button type="button" onClick={() => setAsk({ kind: 'drain', name: 'all workers', path: '/v1/workers/all/drain' })}>Drain all</button>}</div></div>
    {trouble && <p class="tint failed" role="alert"><Say text={trouble} /></p>}
    <div class="cols">
      <Sec id="q" title="Queues" c="c8" end="high 6, default 3, low 1 by weight"><Table label="Queues" head={<Fragment><Th>queue</Th><Th c="num">running</Th><Th c="num">queued</Th><Th c="num least">parked</Th><Th c="num">oldest</Th><Th unseen>pause</Th></Fragment>}>
        {queues?.map((q) => {
          const parked = q.parked?.reduce((n, p) => n + p.pending, 0) ?? 0, name = placeOf(q), path = `/v1/queues/${pathOf(q)}`
          return <tr key={q.queue}><th scope="row">{name}{q.paused && <span class="st retrying tag"><Sign of="paused" tint="retrying" />paused</span>}</th>
            <td class={'num ' + (q.active ? '' : 'zero')}>{q.active ? <A to="/jobs?state=running" aria-label={`${count(q.active)} running`}>{count(q.active)}</A> : 0}</td><td class={'num ' + (q.pending ? '' : 'zero')}>{q.pending ? <A to="/jobs?state=queued">{count(q.pending)}</A> : 0}</td><td class={'num least ' + (parked ? '' : 'zero')}>{count(parked)}</td>
            <td class="num">{q.pending ? span(q.latency_ms) : ''}</td><td class="num">{!steer ? null : q.paused || held.has(pathOf(q))
              ? <button type="button" aria-label={'Resume ' + name} onClick={() => void act(name + ' goes on.', path + '/resume')}>Resume</button> : <button type="button" aria-label={'Pause ' + name} onClick={() => setAsk({ kind: 'pause', name, path: path + '/pause' })}>Pause</button>}</td></tr>
        })}
      </Table></Sec>
      <div class="c4 stack"><div id="pauses"><Sec id="pa" title="Pauses" end="only you, or their time, end them">
        {pauses?.map((p) => {
          const what = p.type ?? placeOf(p)
          return <Facts key={what}><Fact k={p.type ? 'type' : 'queue'}><span class="st"><Sign of="paused" tint="retrying" /><b>{what}</b></span>{p.state !== 'paused' && <span class="soft"> {p.state}</span>}</Fact><Fact k="since">{moment(p.at)}, by <Say text={p.by} most={60} />, {p.until ? 'until ' + clock(p.until) : 'no end set'}</Fact>
            <Fact k="why"><Say text={p.why || 'not said'} most={300} /></Fact>{!!p.not_obeyed_by?.length && <Fact k="not obeyed">{p.not_obeyed_by.map((w) => `${w.host} ${w.pid}`).join(', ')}: older releases</Fact>}
            <Fact k=""><button type="button" onClick={() => void act(what + ' goes on.', p.type ? `/v1/types/${encodeURIComponent(p.type)}/resume` : `/v1/queues/${pathOf(p)}/resume`)}>Resume {what}</button></Fact></Facts>
        })}
        {pauses && !pauses.length && <p class="soft empty">Nothing is paused.</p>}
        {!pauses && <p class="soft empty">{queues?.some((q) => q.paused) ? 'Paused queues are marked at the left.' : 'No queue is paused.'}</p>}
        {pauses && <PauseType open={(name) => setAsk({ kind: 'pause', name, path: `/v1/types/${encodeURIComponent(name)}/pause` })} />}
      </Sec></div></div>
    </div>
    <Workers workers={workers} steer={steer} drain={(w) => setAsk({ kind: 'drain', name: `${w.id} on ${w.host}`, path: `/v1/workers/${w.id}/drain` })} resume={(w) => void act(`${w.id} takes jobs again.`, `/v1/workers/${w.id}/resume`)} stop={(w) => setAsk({ kind: 'stop', name: `${w.id} on ${w.host}`, path: `/v1/workers/${w.id}/stop` })} />
    <Gone />
    {ask && <Confirm t={ask} close={() => setAsk(undefined)} act={act} />}
  </Fragment>
}

interface Target { kind: 'pause' | 'drain' | 'stop'; name: string; path: string }

function Confirm({ t, close, act }: { t: Target; close: () => void; act: (what: string, path: string, body: unknown) => Promise<unknown> }) {
  const box = useRef<HTMLDialogElement>(null)
  const [why, setWhy] = useState(''), [long, setLong] = useState('')
  useEffect(() => box.current?.showModal(), [])
  const verb = { pause: 'Pause', drain: 'Drain', stop: 'Stop' }[t.kind]
  const what = { pause: 'Workers finish what they have and take no more of it, on all machines, through deploys and restarts, until it is resumed.',
    drain: 'It finishes what it has and takes nothing more. It stays, and can be resumed.', stop: 'It finishes what it has within its grace, then ends. Whatever started it may start it again.' }[t.kind]
  return <dialog ref={box} aria-labelledby="ask-title" onClose={close}>
    <form class="form bare-form" onSubmit={(e) => { e.preventDefault(); void act(`${verb}: ${t.name}.`, t.path, { ...(why ? { why } : {}), ...(t.kind === 'pause' && long ? { for: long } : {}) }).then(() => box.current?.close()) }}>
      <h2 id="ask-title">{verb} {t.name}</h2><p class="soft">{what}</p>
      <div class="field"><label for="why">why</label><input id="why" value={why} required={t.kind === 'pause'} maxLength={200} autofocus onInput={(e) => setWhy(e.currentTarget.value)} /><small>said to everybody who looks</small></div>
      {t.kind === 'pause' && <div class="field"><label for="long">for</label><input id="long" value={long} placeholder="30m" pattern="[0-9.]+(ms|s|m|h)" onInput={(e) => setLong(e.currentTarget.value)} /><small>empty: until it is resumed</small></div>}
      <div class="do"><button type="button" onClick={() => box.current?.close()}>Close</button><button class={t.kind === 'stop' ? 'grave' : 'first'}>{verb} {t.name}</button></div>
    </form></dialog>
}

function PauseType({ open }: { open: (name: string) => void }) {
  const kinds = usePoll((signal) => may<{ types: { type: string }[] }>('/v1/types', { signal }), 60_000).data?.types
  const [name, setName] = useState('')
  if (!kinds?.length) return null
  return <form class="form" onSubmit={(e) => { e.preventDefault(); open(name || kinds[0]!.type) }}><div class="field"><label for="pt">pause a type</label><div class="pair"><select id="pt" value={name || kinds[0]!.type} onChange={(e) => setName(e.currentTarget.value)}>{kinds.map((k) => <option key={k.type}>{k.type}</option>)}</select><button>Pause …</button></div></div></form>
}

function Workers({ workers, steer, drain, resume, stop }: { workers?: Worker[]; steer: boolean; drain: (w: Worker) => void; resume: (w: Worker) => void; stop: (w: Worker) => void }) {
  const [open, setOpen] = useState('')
  const all = workers?.slice().sort((a, b) => (b.bad?.length ?? 0) - (a.bad?.length ?? 0) || a.host.localeCompare(b.host) || a.pid - b.pid)
  const versions = new Set(all?.map((w) => w.version).filter(Boolean))
  return <div id="workers"><Sec id="w" title="Workers" note={all?.some((w) => w.bad?.length) ? 'bad ones first' : ''} end={all && `${count(all.length)} alive${versions.size > 1 ? ', of ' + [...versions].join(' and ') : ''}`}>
    {all && !all.length && <p class="empty">No worker is there. Start one with this server’s Redis and blobs: <code>worker</code></p>}
    {!!all?.length && <Table label="Workers" head={<Fragment><Th>state</Th><Th c="least">id</Th><Th>host</Th><Th c="least">version</Th><Th>slots</Th><Th c="num least">RSS</Th><Th c="num less">lag</Th><Th c="num less">beat</Th><Th c="less">note</Th><Th unseen>verbs</Th></Fragment>}>
      {all.map((w) => {
        const slots = Object.entries(w.slots).filter(([, n]) => n), sum = slots.reduce((n, [, k]) => n + k, 0), key = w.host + w.pid
        const quiet = w.state === 'draining' || w.state === 'stopping'
        return <Fragment key={key}><tr><td>{w.bad?.length ? <span class="st failed tint"><Sign of="alarm" tint="failed" />bad</span> : w.state ?? 'taking'}</td><td class="mono least">{w.id ?? ''}</td><th scope="row"><Say text={w.host} most={60} /> <span class="soft">{w.pid}</span></th><td class="least soft">{w.version ?? ''}</td>
          <td>{w.busy !== undefined ? <span class="far"><Bar c="thin" of={sum ? w.busy / sum : 0} /> {w.busy} of {sum}</span> : ''} <span class="soft least">{slots.map(([l, n]) => `${n} ${l}`).join(', ')}</span></td>
          <td class="num least">{w.rss_bytes ? bytes(w.rss_bytes) : ''}</td><td class="num less">{w.lag_ms !== undefined ? span(w.lag_ms) : ''}</td><td class="num less">{w.beat_at ? clock(w.beat_at) : ''}</td><td class="less soft wide"><Say text={w.bad?.join(', ') ?? (w.control === false ? 'an older release: not steered from here' : w.types?.length === 1 ? w.types[0]! : `${w.types?.length ?? 0} types`)} most={120} /></td>
          <td class="num verbs">{!!w.runs?.length && <button type="button" aria-expanded={open === key} aria-label={`What ${w.id ?? w.pid} runs`} onClick={() => setOpen(open === key ? '' : key)}>Runs</button>}{steer && w.id && w.control !== false && (quiet
            ? <button type="button" aria-label={'Resume ' + w.id} onClick={() => resume(w)}>Resume</button> : <button type="button" aria-label={'Drain ' + w.id} onClick={() => drain(w)}>Drain</button>)}{steer && w.id && w.control !== false && w.state !== 'stopping' && <button type="button" class="least grave" aria-label={'Stop ' + w.id} onClick={() => stop(w)}>Stop</button>}</td></tr>
          {open === key && w.runs?.map((r) => <tr key={r.job} class="run"><td /><td class="least" /><td colSpan={8}><Sign of="running" /> <A class="go" to={'/jobs/' + r.job}>{r.type} <span class="mono">…{r.job.slice(-6)}</span></A> <span class="soft">attempt {r.attempt}, for {span(Date.now() - Date.parse(r.since))}</span></td></tr>)}
        </Fragment>
      })}
    </Table>}
  </Sec></div>
}

interface GoneWorker { id: string; host: string; pid: number; version: string; why: string; at: string; ran?: { job: string; type: string }[] }

function Gone() {
  const list = usePoll((signal) => may<{ workers: GoneWorker[] }>('/v1/workers/gone', { signal }), 15_000).data?.workers
  if (!list?.length) return null
  return <div id="gone"><Sec id="go" title="Gone" end="kept 14 days"><Table label="Workers that are gone" head={<Fragment><Th>why</Th><Th>id</Th><Th>host</Th><Th c="least">version</Th><Th c="least">what it ran</Th><Th c="num">at</Th></Fragment>}>
    {list.slice(0, 50).map((w) => <tr key={w.id + w.at}><td>{w.why === 'lost' ? <span class="st failed tint"><Sign of="alarm" tint="failed" />lost</span> : w.why}</td><td class="mono">{w.id}</td><th scope="row"><Say text={w.host} most={60} /> <span class="soft">{w.pid}</span></th><td class="soft least">{w.version}</td>
      <td class="least wide">{w.ran?.slice(0, 5).map((r) => <A key={r.job} class="go" to={'/jobs/' + r.job}>{r.type} …{r.job.slice(-6)} </A>)}</td><td class="num">{moment(w.at)}</td></tr>)}
  </Table></Sec></div>
}
