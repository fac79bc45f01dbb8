import { Fragment, h } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ask, useLive, usePoll, useShared, Refused, type Job, type State } from './api.js'
import { count, moment, percent, plain, span } from './format.js'
import { A, Bar, Say, Sec, StateOf, Table, Th, ends, open } from './parts.js'
import { go, withQuery } from './route.js'
import { Bulk } from './bulk.js'

/** A job as a list shows it. */
export interface Row {
  id: string; type: string; state: State; rev: number; priority: string; created_at: string; started_at?: string; finished_at?: string; run_at?: string
  attempt: number; max_attempts: number; code?: string; message?: string; fraction?: number; note?: string; waiting_for?: string
  retried_as?: string; worker?: string; labels?: Record<string, string>; cancel_requested?: boolean
}

export const rowOf = (j: Job): Row => ({ id: j.id, type: j.type, state: j.state, rev: j.rev, priority: j.priority, created_at: j.created_at, started_at: j.started_at,
  finished_at: j.finished_at, run_at: j.run_at, attempt: j.attempt, max_attempts: j.max_attempts, code: j.error?.code, message: j.error?.message,
  fraction: j.overall ?? undefined, note: j.progress?.note, waiting_for: j.waiting_for, retried_as: j.retried_as, worker: j.worker, labels: j.labels, cancel_requested: j.cancel_requested })

interface List { rows: Row[]; next?: string; scanned: number; complete: boolean }

let rows = true // whether the server knows view=row

async function load(query: Record<string, string>, signal: AbortSignal): Promise<List> {
  if (rows) {
    try {
      const answer = await ask<List & { jobs?: Job[] }>('/v1/jobs', { query: { ...query, view: 'row' }, signal })
      return answer.rows ? answer : { ...answer, rows: answer.jobs!.map(rowOf) }
    } catch (error) {
      if (!(error instanceof Refused) || !error.problem.errors?.some((e) => e.pointer === '?view')) throw error
      rows = false
    }
  }
  const { jobs, ...rest } = await ask<{ jobs: Job[] } & Omit<List, 'rows'>>('/v1/jobs', { query, signal })
  return { rows: jobs.map(rowOf), ...rest }
}

const limit = 50
export const filters = ['state', 'type', 'code', 'group', 'worker', 'label', 'retried', 'since', 'until', 'created_since', 'id_prefix', 'tenant']

export function Jobs({ query }: { query: URLSearchParams }) {
  const filter: Record<string, string> = {}
  for (const f of filters) if (query.get(f)) filter[f] = query.get(f)!
  const cursor = query.get('cursor') ?? '', key = JSON.stringify([filter, cursor])
  useEffect(() => { document.title = [filter['state'], filter['type'], 'Jobs'].filter(Boolean).join(' · ') + ' · Longshore' }, [key])
  const poll = usePoll((signal) => load({ ...filter, limit: String(limit), ...(cursor ? { cursor } : {}) }, signal), 3000, key)
  const counts = useShared((s) => s.counts)
  const [shown, setShown] = useState<{ key: string; list: List } | undefined>()
  const [chosen, setChosen] = useState<Set<string>>(new Set())
  const [bulk, setBulk] = useState(false)
  const table = useRef<HTMLDivElement>(null), at = useRef(-1), [, draw] = useState(0)

  const now = shown?.key === key ? shown.list : undefined, fresh = poll.data
  const old = new Set(now?.rows.map((r) => r.id))
  const news = now && fresh ? fresh.rows.filter((r) => !old.has(r.id)).length : 0
  const held = () => chosen.size > 0 || bulk || at.current >= 0 || !!table.current?.matches(':hover') || !!table.current?.contains(document.activeElement)
  // new rows enter at once, but never under a pointer or focus
  useEffect(() => { if (fresh && (!now || !held())) setShown({ key, list: fresh }) }, [fresh])
  useEffect(() => { setChosen(new Set()); setBulk(false); at.current = -1 }, [key])
  const list = now ?? fresh
  const live = useLive((list?.rows ?? []).map((r) => ({ ...r, done: ends.includes(r.state) }) as unknown as Job))
  // what the last page says counts more than an older shown one; what the socket says counts most
  const known = new Map(fresh?.rows.map((r) => [r.id, r]))
  const newest = (r: Row): Row => {
    const page = known.get(r.id), push = live.get(r.id)
    let best = page && page.rev >= r.rev ? page : r
    if (push?.created_at && push.rev > best.rev && 'lane' in push) best = { ...best, ...rowOf(push) }
    return best
  }
  const all = (list?.rows ?? []).map(newest)

  useEffect(() => {
    const press = (e: KeyboardEvent) => {
      if ((e.target as Element).matches?.('input:not([type=checkbox]), textarea, select, dialog *') || e.ctrlKey || e.metaKey || e.altKey) return
      const row = all[at.current]
      if (e.key === 'j' || e.key === 'k') {
        at.current = Math.max(0, Math.min(all.length - 1, at.current + (e.key === 'j' ? 1 : -1)))
        draw((n) => n + 1)
        table.current?.querySelectorAll('tbody tr')[at.current]?.scrollIntoView({ block: 'nearest' })
      } else if (e.key === 'x' && row) toggle(row.id)
      else if (e.key === 'o' && row) go('/jobs/' + row.id)
      else if (e.key === 'Escape') { at.current = -1; draw((n) => n + 1) }
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  })
  const toggle = (id: string) => setChosen((c) => { const n = new Set(c); n.has(id) ? n.delete(id) : n.add(id); return n })
  const change = (c: Record<string, string>, replace = false) => go(withQuery('/jobs', query, { cursor: '', ...c }), replace)
  const ofType = filter['type'] ? counts?.types.find((t) => t.type === filter['type'])?.counts ?? {} : counts?.counts
  const chips = Object.entries(filter).filter(([k]) => k !== 'state')
  const total = filter['state'] && chips.every(([k]) => k === 'type') ? ofType?.[filter['state'] as State] : undefined
  const when = (r: Row) => ends.includes(r.state) ? r.finished_at : r.state === 'running' ? r.started_at : r.state === 'scheduled' || r.state === 'retrying' ? r.run_at ?? r.created_at : r.created_at
  const failedOnly = filter['state'] === 'failed'

  return <Fragment>
    <div class="head"><h1>Jobs</h1>{!!Object.keys(filter).length && <button type="button" class="link" onClick={() => go('/jobs')}>all jobs</button>}
      <div class="end"><A class="btn first" to={'/new' + (filter['type'] ? '?type=' + encodeURIComponent(filter['type']) : '')}>New job</A></div></div>
    <div class="filters">
      <ul class="states" aria-label="States">{[...open, ...ends].map((s) => s === 'waiting' && !ofType?.[s] && filter['state'] !== s ? null :
        <li key={s}><A to={withQuery('/jobs', query, { cursor: '', state: filter['state'] === s ? '' : s })} aria-current={filter['state'] === s ? 'true' : undefined}>
          <StateOf s={s}> {ofType && <b>{count(ofType[s] ?? 0)}</b>}</StateOf></A></li>)}</ul>
      <form class="filter" role="search" aria-label="Filter" onSubmit={(e) => { e.preventDefault(); addWords(e.currentTarget, change) }}>
        {chips.map(([k, v]) => <span class="chip" key={k}><Say text={k === 'type' ? v : k.replace('_', ' ') + ' ' + v} most={60} /><button type="button" aria-label={`Remove ${k}=${v}`} onClick={() => change({ [k]: '' })}>×</button></span>)}
        <label class="unseen" for="q">Add to the filter</label><input class="query" id="q" name="q" placeholder="type=image.resize  label=user=7  worker=  since=1h  id=01a2…" autocomplete="off" spellcheck={false} />
        <label class="unseen" for="ft">Type</label><select id="ft" value={filter['type'] ?? ''} onChange={(e) => change({ type: e.currentTarget.value })}><option value="">any type</option>
          {[...new Set([...(counts?.types.map((t) => t.type) ?? []), ...(filter['type'] ? [filter['type']] : [])])].map((t) => <option key={t}>{t}</option>)}</select>
        {failedOnly && <Fragment><label class="unseen" for="fr">Retried</label><select id="fr" value={filter['retried'] ?? ''} onChange={(e) => change({ retried: e.currentTarget.value })}><option value="">not retried</option><option value="any">retried too</option></select></Fragment>}
      </form></div>
    {poll.error && !list && <Trouble error={poll.error} />}
    {list && !all.length && <None filter={filter} list={list} on={(c) => change({ cursor: c })} />}
    {all.length > 0 && <Sec id="l" title={count(all.length) + (total !== undefined ? ' of ' + count(total) : list!.complete && !cursor ? '' : ' shown')}
      note={news > 0 && <button type="button" class="link" onClick={() => { at.current = -1; setShown({ key, list: fresh! }) }}>{count(news)} new, show</button>}
      end={<span class="least"><kbd>j</kbd> <kbd>k</kbd> move &nbsp; <kbd>x</kbd> select &nbsp; <kbd>o</kbd> open</span>}>
      <div ref={table}><Table label="Jobs" c="picks" head={<Fragment>
        <th scope="col"><input type="checkbox" aria-label="Select all shown" checked={chosen.size > 0 && all.every((r) => chosen.has(r.id))} onChange={(e) => setChosen(new Set(e.currentTarget.checked ? all.map((r) => r.id) : []))} /></th>
        <Th>state</Th><Th>type</Th><Th>id</Th>{!failedOnly && <Th c="least">how far</Th>}<Th c="num less">attempt</Th>{failedOnly && <Th c="least">code</Th>}<Th c="least">{failedOnly ? 'message' : 'note'}</Th><Th c="num least">took</Th><Th c="less">worker</Th><Th c="num">{filter['state'] && ends.includes(filter['state'] as State) ? 'ended' : 'at'}</Th></Fragment>}>
        {all.map((r, i) => <tr key={r.id} class={(chosen.has(r.id) ? 'chosen ' : '') + (i === at.current ? 'cursor' : '')}>
          <td><input type="checkbox" aria-label={'Select ' + r.id.slice(-6)} checked={chosen.has(r.id)} onChange={() => toggle(r.id)} /></td>
          <td><StateOf s={r.state} />{r.cancel_requested && !ends.includes(r.state) && <small class="soft"> to be canceled</small>}{r.retried_as && <small class="soft"> retried</small>}</td>
          <td><A to={'/jobs/' + r.id}><Say text={r.type} most={64} /></A></td>
          <td class="mono"><A to={'/jobs/' + r.id} title={r.id}><span class="soft">{r.id.slice(0, 8)}…</span>{r.id.slice(-6)}</A></td>
          {!failedOnly && <td class="least">{r.state === 'running' || r.state === 'uploading' ? <span class="far"><Bar c="thin" tint={r.state} of={r.fraction ?? null} /> {r.fraction != null ? percent(r.fraction) : ''}</span> : <span class="soft">{r.waiting_for ? waits[r.waiting_for] ?? r.waiting_for : ''}</span>}</td>}
          <td class="num less">{r.attempt || r.max_attempts > 1 ? `${r.attempt}/${r.max_attempts}` : ''}</td>
          {failedOnly && <td class="mono least">{r.code}</td>}
          <td class="cut soft least" title={plain(r.message ?? r.note, 300)}>{!failedOnly && r.code ? <code>{r.code} </code> : null}<Say text={r.message ?? (ends.includes(r.state) ? '' : r.note)} most={160} /></td>
          <td class="num least">{r.started_at && (r.finished_at || r.state === 'running') ? span(Date.parse(r.finished_at ?? new Date().toISOString()) - Date.parse(r.started_at)) : ''}</td>
          <td class="less soft">{r.worker ? <A to="/queues#workers">{r.worker}</A> : ''}</td>
          <td class="num" title={when(r)}>{r.state === 'scheduled' || r.state === 'retrying' ? 'due ' : ''}{moment(when(r))}</td></tr>)}
      </Table></div>
      <div class="pages">{cursor && <button type="button" onClick={() => history.back()}>Newer</button>}{list!.next && !list!.complete && <A class="btn" to={withQuery('/jobs', query, { cursor: list!.next })}>Older</A>}
        <span class="soft small">{list!.scanned > all.length ? `${count(list!.scanned)} looked at` : ''}</span></div>
      {(chosen.size > 0 || bulk) ? <Bulk key={key} filter={filter} chosen={all.filter((r) => chosen.has(r.id))} total={total} close={() => { setChosen(new Set()); setBulk(false) }} />
        : Object.keys(filter).length > 0 && <p><button type="button" onClick={() => setBulk(true)}>Change all that match …</button></p>}
    </Sec>}
  </Fragment>
}

export const waits: Record<string, string> = { time: 'for its time', jobs: 'for other jobs', release: 'for a release', limit: 'for a limit', paused: 'paused', worker: 'no worker takes it', slots: 'for its turn' }

function addWords(form: HTMLFormElement, change: (c: Record<string, string>) => void) {
  const field = form.elements.namedItem('q') as HTMLInputElement, c: Record<string, string> = {}
  for (const word of field.value.trim().split(/\s+/).filter(Boolean)) {
    const [, k, v] = /^(\w+)=(.+)$/.exec(word) ?? []
    if (k === 'id') c['id_prefix'] = v!
    else if (k && filters.includes(k)) c[k] = v!
    else if (/^[0-9a-f][0-9a-f-]{3,}$/i.test(word)) c['id_prefix'] = word
    else c['type'] = word
  }
  field.value = ''
  if (Object.keys(c).length) change(c)
}

function None({ filter, list, on }: { filter: Record<string, string>; list: List; on: (cursor: string) => void }) {
  const any = Object.keys(filter).length > 0
  if (!list.complete && list.next) return <p class="empty">None among the {count(list.scanned)} newest that were looked at. <button type="button" onClick={() => on(list.next!)}>Look further</button></p>
  return <p class="empty soft">{any ? <Fragment>No job matches. <A class="go" to="/jobs">Show all</A></Fragment> : <Fragment>There is no job yet. <A class="go" to="/new">Send a first one</A></Fragment>}</p>
}

export function Trouble({ error }: { error: Error }) {
  if (!(error instanceof Refused)) return <p class="empty soft">Not read yet: the server doesn’t answer. This goes on by itself.</p>
  const what = error.status === 403 ? 'Your credential doesn’t show this: ' : error.status === 404 ? 'There is nothing here: ' : ''
  return <p class="empty" role="alert">{what}<Say text={error.message} /></p>
}
