import { Fragment, h } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { ask, longshore, post, say, Refused, type Operation } from './api.js'
import { clock, count } from './format.js'
import { A, Seg } from './parts.js'
import type { Row } from './jobs.js'

type Verb = 'retry' | 'cancel' | 'delete'
interface Dry { n: number; exact: boolean; by_type?: Record<string, number>; samples?: string[]; before: string }
const word: Record<Verb, string> = { retry: 'Retry', cancel: 'Cancel', delete: 'Delete' }
const fits: Record<Verb, (r: Row) => boolean> = {
  retry: (r) => ['failed', 'canceled', 'expired', 'succeeded'].includes(r.state),
  cancel: (r) => !['failed', 'canceled', 'expired', 'succeeded'].includes(r.state),
  delete: (r) => ['failed', 'canceled', 'expired', 'succeeded'].includes(r.state),
}

/** The dry run's number first, and the verb with the number in it. What comes later isn't taken. */
export function Bulk({ filter, chosen, total, close }: { filter: Record<string, string>; chosen: Row[]; total?: number; close: () => void }) {
  const ended = ['failed', 'canceled', 'expired', 'succeeded'].includes(filter['state'] ?? chosen[0]?.state ?? '')
  const [verb, setVerb] = useState<Verb>(ended ? 'retry' : 'cancel')
  const [all, setAll] = useState(!chosen.length)
  const [why, setWhy] = useState(''), [dry, setDry] = useState<Dry | undefined>(), [said, setSaid] = useState(''), [busy, setBusy] = useState(false)
  const [begun, setBegun] = useState<Operation | undefined>(), [again, setAgain] = useState(0)
  const some = Object.keys(filter).length > 0
  useEffect(() => { if (!chosen.length && some) setAll(true) }, [chosen.length])
  useEffect(() => {
    setDry(undefined); setSaid('')
    if (!all) return
    const cut = new AbortController()
    ask<Dry>('/v1/bulk', { method: 'POST', body: { action: verb, filter, dry_run: true }, signal: cut.signal })
      .then(setDry, (e) => cut.signal.aborted || setSaid(e instanceof Refused && e.status === 404 ? 'This server changes only what is selected.' : String(e.message)))
    return () => cut.abort()
  }, [verb, all, JSON.stringify(filter), again])
  const picked = chosen.filter(fits[verb])
  const n = all ? dry?.n : picked.length
  const act = async () => {
    setBusy(true); setSaid('')
    try {
      if (all) {
        const op = await post<Operation>('/v1/bulk', { action: verb, filter, before: dry!.before, max: dry!.n, ...(why ? { why } : {}) })
        setBegun(op)
        say(`${word[verb]} of ${count(dry!.n)} jobs has begun.`)
      } else {
        const failed: string[] = []
        for (const r of picked) {
          const path = `/v1/jobs/${r.id}` + (verb === 'delete' ? '' : '/' + verb)
          await ask(path, { method: verb === 'delete' ? 'DELETE' : 'POST' }).catch((e) => failed.push(`${r.id.slice(-6)}: ${e.message}`))
        }
        say(`${count(picked.length - failed.length)} jobs: ${verb} asked for.`)
        if (failed.length) setSaid(failed.slice(0, 3).join('; '))
        else close()
      }
    } catch (e) { setSaid(String((e as Error).message)) }
    setBusy(false)
  }
  if (begun) return <Begun op={begun} close={close} />
  return <form class="bulk" aria-label="Change jobs" onSubmit={(e) => { e.preventDefault(); void act() }}>
    <div><p><span class="n">{n === undefined ? '…' : (dry && all && !dry.exact ? 'about ' : '') + count(n)}</span> &nbsp;{all ? total !== undefined && total !== n ? `of ${count(total)} ` : '' : `of ${count(chosen.length)} selected `}would be {verb === 'retry' ? 'retried' : verb === 'cancel' ? 'canceled' : 'deleted'} <span class="soft">if you say so now</span></p>
      <p class="small soft least">{all ? dry ? <Fragment>Dry run: {Object.entries(dry.by_type ?? {}).slice(0, 4).map(([t, k]) => `${count(k)} ${t}`).join(', ') || 'none'}. Counted at {clock(dry.before)}; what comes later is not taken.</Fragment> : said ? '' : 'Counting …'
        : chosen.length > picked.length ? `${count(chosen.length - picked.length)} left out: not in a state for it.` : 'One after the other, now.'}</p>
      {said && <p class="small tint failed" role="alert">{said}</p>}</div>
    <div><div class="pair"><Seg label="What to do" all={[['retry', 'Retry'], ['cancel', 'Cancel'], ['delete', 'Delete']]} now={verb} set={setVerb} />
      {chosen.length > 0 && <Fragment><input type="radio" name="which" id="w-some" checked={!all} onChange={() => setAll(false)} /><label class="inl" for="w-some">{count(chosen.length)} selected</label></Fragment>}
      {some && <Fragment><input type="radio" name="which" id="w-all" checked={all} onChange={() => setAll(true)} /><label class="inl" for="w-all">all that match</label></Fragment>}</div>
      {all && <label>why, for the record<input value={why} maxLength={200} onInput={(e) => setWhy(e.currentTarget.value)} placeholder="said in the operation and the audit log" /></label>}</div>
    <div class="do"><button type="button" onClick={close}>Close</button>{all && <button type="button" onClick={() => setAgain((k) => k + 1)}>Count again</button>}
      <button class={verb === 'retry' ? 'first' : 'grave'} disabled={!n || busy}>{word[verb]} {n === undefined ? '' : count(n)} {n === 1 ? 'job' : 'jobs'}</button></div>
  </form>
}

/** An operation that has begun here is followed to its end. */
export function useOperation(first: Operation): Operation {
  const [op, setOp] = useState(first)
  useEffect(() => {
    const cut = new AbortController()
    void (async () => {
      for (let now = first; !now.done && !cut.signal.aborted;) {
        try {
          now = await longshore.request<Operation>(`/v1/operations/${first.id}`, { query: { wait: '20s', after: now.rev }, patience: 40_000, signal: cut.signal })
          setOp(now)
        } catch { return }
      }
    })()
    return () => cut.abort()
  }, [first.id])
  return op
}

function Begun({ op: first, close }: { op: Operation; close: () => void }) {
  const op = useOperation(first)
  const skipped = Object.values(op.skipped ?? {}).reduce((a, b) => a + b, 0)
  return <div class="bulk" role="status"><div><p><span class="n">{count(op.moved)}</span> &nbsp;of {count(op.n)} {op.action === 'retry' ? 'retried' : op.action === 'cancel' ? 'canceled' : 'deleted'}{skipped ? `, ${count(skipped)} skipped` : ''}
    <span class="soft"> {op.state}</span></p><p class="small soft">{Object.entries(op.skipped ?? {}).map(([c, k]) => `${count(k)} ${c}`).join(', ')}</p></div><div><A class="go" to="/failures#operations">All operations</A></div>
    <div class="do">{!op.done && <button type="button" onClick={() => void post(`/v1/operations/${op.id}/cancel`, {})}>Stop</button>}<button type="button" onClick={close}>Close</button></div></div>
}
