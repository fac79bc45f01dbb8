import { Fragment, h, type ComponentChildren, type VNode } from 'preact'
import { useEffect } from 'preact/hooks'
import { may, root, useShared, usePoll, type Stats, type Kind, failingSince } from './api.js'
import { clock, count, percent, placeOf, span } from './format.js'
import { A, Chart, Code, Fact, Facts, Bar, Num, Sec, Seg, Sign, StateOf, Table, Th, ends, open } from './parts.js'
import { go, withQuery } from './route.js'

const titles: Record<string, string> = { uploading: 'coming in', waiting: 'for other jobs', scheduled: 'for their time', queued: 'for a worker',
  running: 'on workers', retrying: 'to be tried again', succeeded: '', failed: 'not retried', canceled: 'by request', expired: 'never started' }

export function Overview({ query }: { query: URLSearchParams }) {
  const counts = useShared((s) => s.counts), queues = useShared((s) => s.queues), workers = useShared((s) => s.workers)
  const span24 = query.get('window') === '24h' ? '24h' : '1h', type = query.get('type') ?? ''
  useEffect(() => { document.title = 'Overview · Longshore' }, [])
  const shared = useShared((s) => s.stats)
  const own = usePoll((signal) => span24 === '1h' && !type ? Promise.resolve(undefined)
    : may<Stats>('/v1/stats', { signal, query: { window: span24, type } }), 10_000, span24 + type)
  const stats = span24 === '1h' && !type ? shared : own.data
  const known = counts || queues
  const nothing = counts ? counts.total === 0 && !Object.values(counts.ended ?? {}).some(Boolean) : queues && !workers?.length
  if (nothing) return <First />
  const c = counts?.counts ?? (queues ? { queued: queues.reduce((n, q) => n + q.pending, 0), running: queues.reduce((n, q) => n + q.active, 0) } : {})
  const live = open.reduce((n, s) => n + (c[s] ?? 0), 0), ended = ends.reduce((n, s) => n + (c[s] ?? 0), 0)
  const slots = workers?.reduce((n, w) => n + Object.values(w.slots).reduce((a, b) => a + b, 0), 0)
  const oldest = Math.max(0, ...(queues ?? []).map((q) => q.pending ? q.latency_ms : 0))
  const under: Record<string, string> = { ...titles, running: slots ? `of ${count(slots)} slots` : titles['running']!, queued: oldest ? 'oldest ' + span(oldest) : titles['queued']! }
  const figure = (s: string) => {
    const n = c[s as keyof typeof c]
    if (s === 'waiting' && !n) return null
    return <li class={s === 'failed' && n ? 'loud' : ''} key={s}><A to={s === 'failed' ? '/failures' : '/jobs?state=' + s}><StateOf s={s} /><b class={(n ?? 0) >= 100_000 ? 'long' : ''}>{known ? count(n ?? (counts ? 0 : undefined)) : '–'}</b>
      <small>{ended && ends.includes(s as never) && n ? (n / ended < 0.001 ? '< 0.1 %' : percent(n / ended)) + ' of ends' : under[s]}</small></A></li>
  }
  return <Fragment>
    <div class="head"><h1>Overview</h1><div class="end">
      <Seg label="Time range" all={[['1h', '1 h'], ['24h', '24 h']]} now={span24} set={(v) => go(withQuery('/', query, { window: v === '1h' ? '' : v }), true)} />
      <label class="unseen" for="type">Type</label>
      <select id="type" value={type} onChange={(e) => go(withQuery('/', query, { type: e.currentTarget.value }), true)}>
        <option value="">all types</option>{counts?.types.map((t) => <option key={t.type}>{t.type}</option>)}</select></div></div>
    <Alarms />
    <div class="cols">
      <Sec id="n" title="Now" c="c7" end={counts && count(live) + (live === 1 ? ' job is' : ' jobs are') + ' not ended'}><ul class="figures">{open.map(figure)}</ul></Sec>
      <Sec id="e" title="Ended" c="c5" end={counts && count(ended) + ' kept'}><ul class="figures">{ends.map(figure)}</ul></Sec>
    </div>
    <Charts stats={stats} window={span24} />
    <div class="cols"><TypesNow /><div class="c3 stack side"><Slots took={stats?.run_ms} /></div></div>
  </Fragment>
}

/** What is wrong comes first: what, since when, what to do. When nothing is wrong the list is gone. */
function Alarms() {
  const alerts = useShared((s) => s.alerts), told = new Set(alerts?.map((a) => a.alert))
  const stats = useShared((s) => s.stats), pauses = useShared((s) => s.pauses), queues = useShared((s) => s.queues), workers = useShared((s) => s.workers)
  const all: VNode[] = []
  const row = (key: string, sign: string, tint: string, text: ComponentChildren, what: ComponentChildren, when: string, doing: ComponentChildren) =>
    all.push(<li key={key}><Sign of={sign} tint={tint} /><p>{text}<br /><span class="soft">{what}</span></p><span class="when">{when}</span><div class="do">{doing}</div></li>)
  for (const a of alerts ?? []) {
    row('a' + a.alert, 'alarm', 'failed', <b>{a.alert}</b>, <Fragment>{a.summary}{a.count ? ` (${count(a.count)})` : ''}<br />{a.what_to_do}</Fragment>,
      `since ${clock(a.since, false)}, ${span(Date.now() - Date.parse(a.since))}`, opens(a.alert))
  }
  const points = stats?.points ?? [], since = failingSince(points)
  if (since !== undefined) {
    const n = points.slice(since).reduce((a, p) => a + (p.ended.failed ?? 0), 0), at = points[since]!.at
    row('fail', 'alarm', 'failed', <b>{count(n)} {n === 1 ? 'job has' : 'jobs have'} failed</b>, 'More than in the minutes before. The groups say what they have in common.',
      `since ${clock(at, false)}, ${span(Date.now() - Date.parse(at))}`, <A class="btn" to="/failures">Open the groups</A>)
  }
  for (const p of pauses ?? []) {
    const what = p.type ?? placeOf(p)
    if (told.has('paused:' + (p.type ?? p.queue))) continue
    row('p' + what, 'paused', 'retrying', <b>{what} is paused</b>, <Fragment>Why: “{p.why || 'not said'}”, by {p.by}. {p.until ? `Until ${clock(p.until)}.` : 'Nothing ends a pause but you.'}</Fragment>,
      `since ${clock(p.at, false)}, ${span(Date.now() - Date.parse(p.at))}`, <A class="btn" to="/queues#pauses">Open the pause</A>)
  }
  if (!pauses) for (const q of queues ?? []) if (q.paused) {
    row('q' + q.queue, 'paused', 'retrying', <b>{placeOf(q)} is paused</b>, `${count(q.pending)} jobs wait in it.`, '', <A class="btn" to="/queues">Open the queue</A>)
  }
  for (const w of workers ?? []) if (w.bad?.length) {
    row('w' + w.host + w.pid, 'alarm', 'retrying', <b>Worker {w.id ?? w.pid} on {w.host}</b>, w.bad.join(', '), '', <A class="btn" to="/queues#workers">Open the workers</A>)
  }
  const waits = (queues ?? []).filter((q) => q.pending && !q.paused)
  if (queues && workers && !workers.length && waits.length) {
    row('none', 'alarm', 'failed', <b>No worker is there</b>, <Fragment>{count(waits.reduce((n, q) => n + q.pending, 0))} jobs wait. Start one with this server’s Redis and blobs: <code>worker</code></Fragment>,
      'oldest ' + span(Math.max(...waits.map((q) => q.latency_ms))), null)
  }
  for (const q of queues ?? []) for (const p of q.parked ?? []) if (!p.served && !told.has('unserved:' + p.type)) {
    row('u' + q.queue + p.type, 'alarm', 'retrying', <b>{p.type}: {count(p.pending)} wait, and no worker takes the type</b>, 'Start a worker that has it, or cancel them.', '', <A class="btn" to={'/jobs?type=' + encodeURIComponent(p.type)}>Open the jobs</A>)
  }
  if (!all.length) return null
  return <Sec id="a" title="To do" end={all.length === 1 ? '1 alarm' : all.length + ' alarms'}><ul class="alarms">{all}</ul></Sec>
}

/** opens is the page on which an alert can be looked into. */
function opens(alert: string) {
  const kind = alert.split(':')[0]!, about = alert.slice(kind.length + 1)
  const to: Record<string, [string, string]> = { failures: ['/failures', 'Open the groups'], paused: ['/queues#pauses', 'Open the pause'], age: ['/queues', 'Open the queues'],
    unserved: ['/jobs?type=' + encodeURIComponent(about), 'Open the jobs'], 'worker-memory': ['/queues#workers', 'Open the workers'],
    'worker-lag': ['/queues#workers', 'Open the workers'], 'worker-lost': ['/queues#workers', 'Open the workers'] }
  const at = to[kind]
  return at ? <A class="btn" to={at[0]}>{at[1]}</A> : null
}

function Charts({ stats, window }: { stats?: Stats; window: string }) {
  const points = stats?.points ?? []
  if (points.length < 2) {
    return stats === undefined ? null : <Sec id="thr" title="Throughput"><p class="soft empty">The first minutes are being counted; the charts come by themselves.</p></Sec>
  }
  const per = stats!.step_ms / 60_000, times = points.map((p) => clock(p.at, false))
  const all = points.map((p) => Object.values(p.ended).reduce((a, b) => a + (b ?? 0), 0) / per), bad = points.map((p) => (p.ended.failed ?? 0) / per)
  const waiting = points.map((p) => p.waiting), running = points.map((p) => p.running)
  const last = (v: number[]) => v[Math.max(0, v.length - 2)]!
  const say = (what: string, v: number[]) => `${what} in the last ${window === '1h' ? 'hour' : 'day'}: between ${count(Math.min(...v))} and ${count(Math.max(...v))}, now ${count(last(v))}.`
  return <div class="cols">
    <div class="c4 m4"><Chart id="thr" title="Throughput" unit="ended a minute" now={count(last(all))} times={times} series={[{ name: 'ended', tint: 'main', values: all }]} say={say('Jobs ended a minute', all)} /></div>
    <div class="c4 m4"><Chart id="fail" title="Failures" unit="failed a minute" now={count(last(bad))} times={times} fill="fill" series={[{ name: 'failed', tint: 'fail', values: bad }]} say={say('Jobs failed a minute', bad)} /></div>
    <div class="c4 m4"><Chart id="load" title="Waiting" unit="jobs for a worker" now={count(waiting.at(-1))} times={times}
      series={[{ name: 'waiting', tint: 'main', values: waiting }, { name: 'running', tint: 'quiet', values: running }]} say={say('Jobs that wait', waiting)} /></div>
  </div>
}

function TypesNow() {
  const counts = useShared((s) => s.counts)
  const kinds = usePoll((signal) => may<{ types: Kind[] }>('/v1/types', { signal }), 60_000).data?.types
  const lanes = new Map(kinds?.map((k) => [k.type, k.lane]))
  const rows = counts?.types.slice().sort((a, b) => (b.counts.queued ?? 0) - (a.counts.queued ?? 0) || (b.counts.running ?? 0) - (a.counts.running ?? 0) || a.type.localeCompare(b.type)) ?? []
  const at = (t: string, s?: string) => `/jobs?type=${encodeURIComponent(t)}` + (s ? '&state=' + s : '')
  if (!rows.length && kinds) {
    return <Sec id="ty" title="Types" c="c9" end={kinds.length + ' served'}><Table label="Types" head={<Fragment><Th>type</Th><Th>lane</Th><Th c="least">what it does</Th><Th unseen>new job</Th></Fragment>}>
      {kinds.map((k) => <tr key={k.type}><th scope="row"><A to={at(k.type)}>{k.type}</A></th><td class="soft">{k.lane}</td><td class="soft wide least">{k.doc}</td><td class="num"><A class="btn" to={'/new?type=' + encodeURIComponent(k.type)} aria-label={'New ' + k.type}>New</A></td></tr>)}
    </Table></Sec>
  }
  return <Sec id="ty" title="Types" c="c9" end="ordered by what waits"><Table label="Types" head={<Fragment><Th>type</Th><Th c="less">lane</Th><Th c="num">running</Th><Th c="num">queued</Th><Th c="num least">scheduled</Th><Th c="num least">retrying</Th><Th c="num less">succeeded</Th><Th c="num least">fail rate</Th><Th c="num">failed</Th></Fragment>}>
    {rows.map((t) => {
      const failed = t.counts.failed ?? 0, all = failed + (t.counts.succeeded ?? 0)
      return <tr key={t.type}><th scope="row"><A to={at(t.type)}>{t.type}</A></th><td class="soft less">{lanes.get(t.type) ?? '–'}</td>
        <Num n={t.counts.running} to={at(t.type, 'running')} label={`${count(t.counts.running)} ${t.type} running`} /><Num n={t.counts.queued} to={at(t.type, 'queued')} /><Num n={t.counts.scheduled} to={at(t.type, 'scheduled')} c="least" /><Num n={t.counts.retrying} to={at(t.type, 'retrying')} c="least" />
        <Num n={t.counts.succeeded} to={at(t.type, 'succeeded')} c="less" /><td class={'num least ' + (failed ? '' : 'zero')}>{failed ? percent(failed / all) : '0'}</td>
        <td class={'num ' + (failed ? '' : 'zero')}>{failed ? <A class="tint failed" to={`/failures?type=${encodeURIComponent(t.type)}`}>{count(failed)}</A> : '0'}</td></tr>
    })}
  </Table></Sec>
}

function Slots({ took }: { took?: Stats['run_ms'] }) {
  const workers = useShared((s) => s.workers), queues = useShared((s) => s.queues)
  if (!workers) return null
  const lanes = ['cpu', 'io'].map((lane) => ({ lane, all: workers.reduce((n, w) => n + (w.slots[lane] ?? 0), 0), used: queues?.filter((q) => q.lane === lane).reduce((n, q) => n + q.active, 0) ?? 0 }))
  const draining = workers.filter((w) => w.state === 'draining' || w.state === 'stopping').length, bad = workers.filter((w) => w.bad?.length).length
  return <Sec id="w" title="Slots" end={<A to="/queues#workers">{count(workers.length)} {workers.length === 1 ? 'worker' : 'workers'}</A>}><Facts>
    {lanes.map((l) => <Fact k={l.lane}>{count(l.used)} of {count(l.all)}<Bar of={l.all ? l.used / l.all : 0} /></Fact>)}
    <Fact k="taking">{count(workers.length - draining)}</Fact><Fact k="draining">{count(draining)}</Fact>
    {took && <Fact k="a run takes">{span(took.p50)}<span class="soft">, p95 {span(took.p95)}</span></Fact>}
    {bad > 0 && <Fact k="bad"><span class="st failed tint"><Sign of="alarm" tint="failed" />{bad}</span></Fact>}
  </Facts></Sec>
}

/** An empty page says what to do first, with the line to paste. */
function First() {
  const workers = useShared((s) => s.workers), away = useShared((s) => s.away)
  const kinds = usePoll((signal) => may<{ types: Kind[] }>('/v1/types', { signal }), 5000).data?.types
  return <Fragment>
    <div class="head"><h1>Overview</h1> <span class="soft">nothing has run here yet</span></div>
    <div class="cols"><Sec id="b" title="Begin" c="c8" end="this page fills by itself"><ol class="steps">
      <li><b aria-hidden="true">1</b><div><h3>Start a worker</h3><p>It needs the Redis and the blob folder of this server, and no port.</p>
        <Code label="Start a worker" text={'REDIS_URL=redis://127.0.0.1:6379 \\\nBLOB_URL=file:///var/lib/longshore worker'} />
        <p class="st">{workers?.length ? <Fragment><Sign of="ok" tint="succeeded" />{workers.length} {workers.length === 1 ? 'worker is' : 'workers are'} there</Fragment> : <Fragment><Sign of="queued" />no worker yet, listening</Fragment>}</p></div></li>
      <li><b aria-hidden="true">2</b><div><h3>Send a first job</h3><p>A worker counts primes; the answer comes with the same request.</p>
        <Code label="Send a first job" text={`curl -H 'Prefer: wait=20' -H 'Content-Type: application/json' \\\n  -d '{"type":"math.primes","payload":{"n":100000000}}' \\\n  ${root}/v1/jobs`} />
        <p>Or <A class="go" to="/new">fill in a form</A>, or drop a file there.</p></div></li>
      <li><b aria-hidden="true">3</b><div><h3>If something stays still</h3><p>This checks Redis, the blob folder, lanes and types, and says what to do.</p><Code label="Check" text="enqueue doctor" /></div></li>
    </ol></Sec>
      <Sec id="h" title="Here" c="c4"><Facts>
        <Fact k="server"><span class="st"><Sign of={away ? 'alarm' : 'ok'} tint={away ? 'failed' : 'succeeded'} />{away ? 'away' : 'answers'}</span></Fact>
        <Fact k="workers">{workers?.length ? count(workers.length) : <span class="soft">none yet</span>}</Fact>
        <Fact k="jobs"><span class="soft">none yet</span></Fact>
        <Fact k="types">{kinds?.length ? <A class="go" to="/types">{count(kinds.length)}</A> : <span class="soft">come with the first worker</span>}</Fact></Facts></Sec></div>
  </Fragment>
}
