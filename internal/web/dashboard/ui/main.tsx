import { Fragment, h, render } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { failingSince, may, set, sign, ui, useFrame, useShared, useTick } from './api.js'
import { clock, count, span } from './format.js'
import { A, Sign } from './parts.js'
import { Overview } from './overview.js'
import { Jobs } from './jobs.js'
import { JobPage } from './job.js'
import { Failures } from './failures.js'
import { QueuesWorkers } from './queues.js'
import { NewJob } from './newjob.js'
import { Types } from './types.js'
import { Access } from './access.js'
import { go, useRoute } from './route.js'

const pages: [string, string][] = [['/', 'Overview'], ['/jobs', 'Jobs'], ['/failures', 'Failures'], ['/queues', 'Queues, workers'], ['/new', 'New job']]
const more: [string, string][] = [['/types', 'Types'], ['/access', 'Access']]

function useTheme(): [boolean, () => void] {
  const key = 'longshore.theme'
  const asked = () => { try { return localStorage.getItem(key) } catch { return null } }
  const dark = () => (document.documentElement.dataset['theme'] ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark'
  const [, draw] = useState(0)
  useEffect(() => {
    const theme = asked()
    if (theme) document.documentElement.dataset['theme'] = theme
    draw(1)
  }, [])
  const flip = () => {
    const next = dark() ? 'light' : 'dark'
    document.documentElement.dataset['theme'] = next
    try { localStorage.setItem(key, next) } catch { /* for this page only */ }
    draw((n) => n + 1)
  }
  return [dark(), flip]
}

const Brand = () => <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M2 15.5h16M4.5 15.5V9h5v6.5M11 15.5v-4h4.5v4M2 5h16" fill="none" stroke="currentColor" stroke-width="1.75" /><path class="hook" d="M13.2 5v3.5" fill="none" stroke-width="1.75" /></svg>

/** What runs now, what fails, since when: on every page. */
function Strip() {
  const counts = useShared((s) => s.counts), queues = useShared((s) => s.queues), workers = useShared((s) => s.workers)
  const pauses = useShared((s) => s.pauses), stats = useShared((s) => s.stats), away = useShared((s) => s.away)
  useTick(!!away)
  const running = counts?.counts.running ?? queues?.reduce((n, q) => n + q.active, 0)
  const queued = counts?.counts.queued ?? queues?.reduce((n, q) => n + q.pending, 0)
  const points = stats?.points ?? [], since = failingSince(points)
  const rate = points.length > 1 ? points[points.length - 2]!.ended.failed ?? 0 : undefined
  const failed = counts ? counts.counts.failed ?? 0 : undefined
  const oldest = Math.max(0, ...(queues ?? []).map((q) => q.pending ? q.latency_ms : 0))
  const taking = workers?.filter((w) => w.state !== 'draining' && w.state !== 'stopping').length
  const held = (pauses?.length ?? queues?.filter((q) => q.paused).length) || 0
  return <Fragment>
    <ul class="now" aria-label="Now">
      <li><A to="/jobs?state=running"><Sign of="running" /><b>{count(running)}</b> <span>running</span></A></li>
      <li><A to="/jobs?state=queued"><Sign of="queued" /><b>{count(queued)}</b> <span>queued</span></A></li>
      <li><A to="/failures" class={failed || rate ? 'failed' : ''}><Sign of="failed" tint={failed || rate ? 'failed' : 'still'} />
        {since !== undefined ? <Fragment><b>{count(rate)}/min</b> <span>fail<span class="wordy"> since {clock(points[since]!.at, false)}</span></span></Fragment>
          : <Fragment><b>{count(failed)}</b> <span>failed</span></Fragment>}</A></li>
      <li class="wordy wait"><A to="/queues"><b>{queues ? oldest ? span(oldest) : '0 s' : '–'}</b> <span>oldest wait</span></A></li>
      <li class="extra"><A to="/queues#workers"><b>{taking === workers?.length ? count(taking) : `${count(taking)} of ${count(workers?.length)}`}</b> <span>{workers?.length === 1 ? 'worker' : 'workers'}</span></A></li>
      {held > 0 && <li class="extra"><A to="/queues#pauses"><Sign of="paused" tint="retrying" /><b>{held}</b> <span>{held === 1 ? 'pause' : 'pauses'}</span></A></li>}
    </ul>
  </Fragment>
}

/** The last hour, a tick a minute; failures red from below. */
function Hour() {
  const points = useShared((s) => s.stats)?.points
  if (!points || points.length < 2) return null
  const all = points.map((p) => Object.values(p.ended).reduce((a, b) => a + (b ?? 0), 0)), bad = points.map((p) => p.ended.failed ?? 0)
  const top = Math.max(1, ...all), step = 600 / points.length
  const ticks = (v: number[], least: number, high: number, of: number) => v.map((n, i) => n ? `M${(i * step + step / 2).toFixed(1)} 24V${(24 - Math.max(least, n * high / of)).toFixed(1)}` : '').join('')
  const worst = Math.max(8, ...bad) // few failures among many ends are to be seen too
  const since = failingSince(points), at = (i: number) => clock(points[i]!.at, false)
  const spots = [0, 0.25, 0.5, 0.75, 1]
  const say = `The last ${points.length} minutes: up to ${count(top)} ends a minute, up to ${count(Math.max(...bad))} of them failures` +
    (since !== undefined ? `, more than before since ${at(since)}.` : '.')
  return <div class="hour"><p>Ended, last hour</p><div>
    <svg class="ticks" viewBox="0 0 600 24" preserveAspectRatio="none" role="img" aria-label={say}>
      <path class="none" d={points.map((_, i) => `M${(i * step + step / 2).toFixed(1)} 24V23`).join('')} /><path class="all" d={ticks(all, 1.2, 22, top)} /><path class="bad" d={ticks(bad, 1.2, top < worst * 2 ? 22 * worst / top : 10, worst)} /></svg>
    <svg class="axis" aria-hidden="true">
      {spots.map((f, n) => {
        const i = Math.round(f * (points.length - 1)), x = f * 100
        if (since !== undefined && Math.abs(since / points.length - f) < 0.08) return null
        return <text key={n} x={x + '%'} y="13" text-anchor={n === 0 ? 'start' : n === 4 ? 'end' : 'middle'}>{at(i)}</text>
      })}
      {since !== undefined && <text class="since" x={((since + 0.5) * 100 / points.length).toFixed(1) + '%'} y="13" text-anchor="middle">{at(since)}</text>}
    </svg>
  </div></div>
}

function Rail({ path }: { path: string }) {
  const failed = useShared((s) => s.counts?.counts.failed)
  const item = ([to, name]: [string, string]) => <li key={to}><A to={to} aria-current={(to === '/' ? path === '/' : path === to || path.startsWith(to + '/')) ? 'page' : undefined}>{name}
    {to === '/failures' && !!failed && <span class="n failed" aria-label={count(failed) + ' failed'}>{count(failed)}</span>}</A></li>
  return <nav class="rail" aria-label="Pages"><ul>{pages.map(item)}<li class="part">More</li>{more.map(item)}</ul></nav>
}

/** Said while the server can't be reached, or can't reach its Redis: the page keeps what it knows. */
function Away() {
  const away = useShared((s) => s.away)
  useTick(!!away)
  if (!away || Date.now() - away < 1500) return null
  return <p class="away" role="status"><Sign of="alarm" tint="retrying" /> <span><b>The server doesn’t answer</b> for {span(Date.now() - away)}: it, or its Redis, is away.
    What you see is from before; the page goes on by itself. <span class="soft">On its machine: <code>enqueue doctor</code></span></span></p>
}

function SignIn() {
  const [text, setText] = useState('')
  return <div class="alone"><main id="main">
    <p class="brand"><Brand />Longshore</p>
    <section class="sec" aria-labelledby="t"><header><h1 id="t">Sign in</h1><span class="end">{location.host}</span></header>
      <form class="form" onSubmit={(e) => { e.preventDefault(); if (text.trim()) sign(text.trim()) }}>
        <div class="field"><label for="tok">A token or API key</label>
          <input id="tok" type="password" autocomplete="off" required value={text} onInput={(e) => setText(e.currentTarget.value)} />
          <small>Kept in this tab until it is closed. <code>enqueue keys add</code> makes one.</small></div>
        <button class="first big">Open the dashboard</button>
      </form></section>
    <p class="small"><a class="go" href={ui + '/login?return_to=' + encodeURIComponent(location.pathname + location.search)}>Sign in with e-mail, passkey or your company’s account</a></p>
  </main></div>
}

const Keys = ({ close }: { close: () => void }) => {
  const box = useRef<HTMLDialogElement>(null)
  useEffect(() => box.current?.showModal(), [])
  const all: [string, string][] = [['/', 'find'], ['j k', 'next, previous row'], ['x', 'select the row'], ['o', 'open the row'], ['g o', 'overview'], ['g j', 'jobs'],
    ['g f', 'failures'], ['g q', 'queues, workers'], ['n', 'new job'], ['t', 'light, dark'], ['?', 'this list']]
  return <dialog ref={box} aria-labelledby="keys-title" onClose={close}><h2 id="keys-title">Keys</h2>
    <dl class="facts">{all.map(([k, what]) => <Fragment><dt><kbd>{k}</kbd></dt><dd>{what}</dd></Fragment>)}</dl>
    <button type="button" onClick={() => box.current?.close()}>Close</button></dialog>
}

/** find opens a job by its id, or the list by what was typed. */
function find(text: string) {
  const t = text.trim()
  if (!t) return
  if (/^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(t)) return go('/jobs/' + t.toLowerCase())
  const q = new URLSearchParams()
  for (const word of t.split(/\s+/)) {
    const [k, v] = word.split(/[=:](.*)/s)
    if (v && ['state', 'type', 'code', 'worker', 'label', 'since', 'until', 'group', 'retried'].includes(k!)) q.set(k!, v)
    else if (/^[0-9a-f-]{4,}$/i.test(word)) q.set('id_prefix', word)
    else q.set('type', word)
  }
  go('/jobs?' + q)
}

function App() {
  const { path, query } = useRoute()
  const denied = useShared((s) => s.denied), signed = useShared((s) => s.signed), said = useShared((s) => s.said)
  const [dark, flip] = useTheme()
  const [keys, setKeys] = useState(false), [person, setPerson] = useState(false)
  // The session's cookie is none that a script can see: the server says whether somebody is signed in by one.
  useEffect(() => {
    if (!denied && !signed) void may<{ sessions: unknown[] }>('/v1/sessions').then((s) => setPerson(!!s?.sessions.length), () => undefined)
  }, [denied, signed])
  useFrame()
  useEffect(() => {
    let before = ''
    const press = (e: KeyboardEvent) => {
      if ((e.target as Element).matches?.('input, textarea, select, dialog *') || e.ctrlKey || e.metaKey || e.altKey) return
      const pair = before + e.key
      before = e.key === 'g' ? 'g ' : ''
      const to = ({ 'g o': '/', 'g j': '/jobs', 'g f': '/failures', 'g q': '/queues', n: '/new' } as Record<string, string>)[pair]
      if (to) go(to)
      else if (e.key === '?') setKeys(true)
      else if (e.key === 't') flip()
      else if (e.key === '/') { e.preventDefault(); document.getElementById('find')?.focus() }
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
  if (denied) return <SignIn />
  const [, first = '', rest = ''] = /^\/([^/]*)\/?(.*)$/.exec(path) ?? []
  const page = first === '' ? <Overview query={query} /> : first === 'jobs' && rest ? <JobPage key={rest} id={rest} /> : first === 'jobs' ? <Jobs query={query} />
    : first === 'failures' ? <Failures query={query} /> : first === 'queues' ? <QueuesWorkers /> : first === 'new' ? <NewJob query={query} />
    : first === 'types' ? <Types /> : first === 'access' ? <Access /> : <Fragment><div class="head"><h1>No such page</h1></div><p>Try the <A class="go" to="/">overview</A>.</p></Fragment>
  return <Fragment>
    <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById('main')?.focus() }}>To the page</a>
    <div class="frame">
      <header class="top"><div class="strip"><A class="brand" to="/"><Brand />Longshore</A><Strip />
        <div class="tools"><form role="search" aria-label="Find" onSubmit={(e) => { e.preventDefault(); find((e.currentTarget.elements.namedItem('find') as HTMLInputElement).value) }}>
          <label class="unseen" for="find">Find a job by id, label or type</label><input class="find" id="find" name="find" type="search" placeholder="Find, press /" /></form>
          <button type="button" class="bare" onClick={flip}>{dark ? 'Light' : 'Dark'}</button>
          <button type="button" class="bare least" aria-label="Keys" onClick={() => setKeys(true)}>?</button>
          {person && <Fragment><a class="bare" href={ui + '/login/account'}>Account</a>
            <form method="post" action={ui + '/login/logout'}><button class="bare">Sign out</button></form></Fragment>}
          {signed && <button type="button" class="bare" onClick={() => { sign(undefined); set({ denied: true }) }}>Sign out</button>}</div></div>
        <Hour /></header>
      <Rail path={path} />
      <main id="main" tabIndex={-1}><Away />{page}</main>
    </div>
    <p class="unseen" role="status" aria-live="polite">{said}</p>
    {keys && <Keys close={() => setKeys(false)} />}
  </Fragment>
}

// One listener for all links of ours: a click with a modifier is the browser's.
document.addEventListener('click', (e) => {
  const a = (e.target as Element).closest?.('a[data-in]')
  if (!a || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return
  e.preventDefault()
  go((a as HTMLAnchorElement).href.slice(ui.length))
})


render(<App />, document.getElementById('app')!)
