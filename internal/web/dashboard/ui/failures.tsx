import { Fragment, h } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { may, post, useShared, usePoll, type Operation, type Stats } from './api.js'
import { clock, count, moment, percent } from './format.js'
import { A, Bar, Chart, Say, Sec, Seg, StateOf, Table, Th } from './parts.js'
import { Bulk } from './bulk.js'
import { go, withQuery } from './route.js'

interface Group { group: string; type: string; code: string; message: string; n: number; first: string; last: string; samples: string[] }
interface Groups { groups: Group[]; scanned: number; total: number; complete: boolean }

export function Failures({ query }: { query: URLSearchParams }) {
  const since = query.get('since') ?? '', type = query.get('type') ?? '', chosen = query.get('group')
  const counts = useShared((s) => s.counts)
  const { data, error } = usePoll(async (signal) => ({ groups: await may<Groups>('/v1/failures', { signal, query: { since, type } }) }), 5000, since + type)
  const stats = usePoll((signal) => may<Stats>('/v1/stats', { signal, query: { window: since === '24h' || !since ? '24h' : '1h', type } }), 15_000, since + type).data
  useEffect(() => { document.title = 'Failures · Longshore' }, [])
  const groups = data?.groups
  const most = Math.max(1, ...(groups?.groups ?? []).map((g) => g.n)), total = groups?.groups.reduce((n, g) => n + g.n, 0) ?? 0
  const open = groups?.groups.find((g) => g.group === chosen)
  const bad = stats?.points.map((p) => (p.ended.failed ?? 0) / (stats.step_ms / 60_000)) ?? []
  return <Fragment>
    <div class="head"><h1>Failures</h1>{groups && <span class="soft"><b>{count(total)}</b> in {count(groups.groups.length)} {groups.groups.length === 1 ? 'group' : 'groups'}</span>}
      <div class="end"><Seg label="Time range" all={[['1h', '1 h'], ['24h', '24 h'], ['', 'all kept']]} now={since} set={(v) => go(withQuery('/failures', query, { since: v, group: '' }), true)} />
        <label class="unseen" for="type">Type</label><select id="type" value={type} onChange={(e) => go(withQuery('/failures', query, { type: e.currentTarget.value, group: '' }), true)}><option value="">all types</option>
          {[...new Set([...(counts?.types.map((t) => t.type) ?? []), ...(type ? [type] : [])])].map((t) => <option key={t}>{t}</option>)}</select></div></div>
    {bad.length > 1 && <Chart id="f" title="Failed" unit="a minute" now={count(bad[Math.max(0, bad.length - 2)])} times={stats!.points.map((p) => clock(p.at, false))} fill="fill" series={[{ name: 'failed', tint: 'fail', values: bad }]}
      say={`Jobs failed a minute: up to ${count(Math.max(...bad))}, now ${count(bad[bad.length - 2])}.`} />}
    {error && !data && <p class="empty soft">Not read yet: the server doesn’t answer.</p>}
    {data && !groups && <p class="empty soft">This server doesn’t group failures. <A class="go" to="/jobs?state=failed">The failed jobs</A></p>}
    {groups && !groups.groups.length && <p class="empty"><span class="st"><svg class="sg succeeded" viewBox="0 0 16 16" aria-hidden="true"><path d="m2.5 8.5 3.8 3.8L13.5 4" fill="none" stroke="currentColor" stroke-width="2" /></svg>Nothing has failed{since ? ` in the last ${since === '1h' ? 'hour' : 'day'}` : ''}.</span> <span class="soft">Failures are grouped here by type, code and message.</span></p>}
    {groups && groups.groups.length > 0 && <Sec id="g" title="Groups" note={<Fragment>same type, code and message, numbers folded</Fragment>} end={`${count(groups.scanned)} read${groups.complete ? ', exact' : ' of ' + count(groups.total)}; retried ones left out`}>
      <Table label="Groups" c="fold" head={<Fragment><Th c="num">jobs</Th><Th c="least" unseen>share</Th><Th>type</Th><Th>code</Th><Th>message</Th><Th c="num less">first</Th><Th c="num">last</Th><Th c="least" unseen>open</Th></Fragment>}>
        {groups.groups.map((g) => {
          const jobs = `/jobs?state=failed&type=${encodeURIComponent(g.type)}&group=${encodeURIComponent(g.group)}`, here = withQuery('/failures', query, { group: g.group === chosen ? '' : g.group })
          return <tr key={g.group} class={g.group === chosen ? 'chosen' : ''}><td class="num"><A to={jobs} aria-label={count(g.n) + ' jobs'}><b class={g.n > most / 10 ? 'tint failed' : ''}>{count(g.n)}</b></A></td>
            <td class="least"><svg class="share" aria-hidden="true"><rect width={(g.n * 100 / most).toFixed(1) + '%'} /></svg></td><th scope="row"><A to={here}>{g.type}</A></th><td class="mono under">{g.code}</td><td class="wide under"><A to={here}><Say text={g.message} most={240} /></A></td>
            <td class="num soft less">{moment(g.first)}</td><td class="num last">{moment(g.last)}</td><td class="least num"><A class="btn" to={here} aria-label={`${g.group === chosen ? 'Close' : 'Open'} ${g.type} ${g.code}`}>{g.group === chosen ? 'Close' : 'Open'}</A></td></tr>
        })}
      </Table></Sec>}
    {open && <One key={open.group} g={open} since={since} />}
    <Operations />
  </Fragment>
}

function One({ g, since }: { g: Group; since: string }) {
  const [retry, setRetry] = useState(false)
  const jobs = `/jobs?state=failed&type=${encodeURIComponent(g.type)}&group=${encodeURIComponent(g.group)}`
  return <Sec id="x" title={<Fragment>{g.type}, <code>{g.code}</code></Fragment>} end={`${g.samples.length} of ${count(g.n)}`}>
    <div class="cols"><div class="c8"><pre class="pre wrap" tabIndex={0} role="group" aria-label="Message"><Say text={g.message} most={4000} /></pre>
      <ul class="samples">{g.samples.map((id) => <li key={id}><A class="go mono" to={'/jobs/' + id}>{id}</A></li>)}</ul></div>
      <div class="c4"><dl class="facts"><dt>retry</dt><dd><button type="button" onClick={() => setRetry(true)}>Dry run of a retry</button></dd><dt>all of them</dt><dd><A class="btn" to={jobs}>{count(g.n)} jobs</A></dd><dt>since</dt><dd>{moment(g.first)}</dd></dl></div></div>
    {retry && <Bulk filter={{ state: 'failed', type: g.type, group: g.group, ...(since ? { since } : {}) }} chosen={[]} total={g.n} close={() => setRetry(false)} />}
  </Sec>
}

function Operations() {
  const { data, again } = usePoll((signal) => may<{ operations: Operation[] }>('/v1/operations', { signal }), 2000)
  if (!data?.operations?.length) return null
  return <div id="operations"><Sec id="o" title="Operations" end="kept 7 days"><Table label="Operations" head={<Fragment><Th>state</Th><Th>what</Th><Th>how far</Th><Th c="num">moved</Th><Th c="num least">skipped</Th><Th c="less">why</Th><Th c="num least">begun</Th><Th unseen>stop</Th></Fragment>}>
    {data.operations.map((o) => {
      const skipped = Object.values(o.skipped ?? {}).reduce((a, b) => a + b, 0), far = o.n ? (o.moved + skipped) / o.n : o.done ? 1 : 0
      return <tr key={o.id}><td><StateOf s={o.state} /></td><th scope="row" class="wide half">{o.action} {o.kind === 'bulk' ? count(o.n) + ' ' : ''}<span class="soft">{Object.entries(o.filter ?? {}).map(([k, v]) => k === 'group' ? '' : v).filter(Boolean).join(', ') || o.workers?.map((w) => w.id + (w.outcome ? ' ' + w.outcome : '')).join(', ')}</span></th>
        <td>{o.kind === 'bulk' && <Fragment><Bar c="thin" tint={o.state} of={far} /> {percent(Math.min(1, far))}</Fragment>}</td><td class="num">{count(o.moved)}</td><td class="num least">{count(skipped)}</td><td class="less soft"><Say text={o.why} most={80} /></td><td class="num soft least">{moment(o.created_at)}</td>
        <td class="num">{!o.done && <button type="button" onClick={() => post(`/v1/operations/${o.id}/cancel`, {}).then(again, again)}>Stop</button>}</td></tr>
    })}
  </Table></Sec></div>
}
