import { Fragment, h } from 'preact'
import { may, usePoll, useTick, type Job } from './api.js'
import { clock, count, span } from './format.js'
import { A, Say, Sec, Sign } from './parts.js'

interface Waiting { for: string; limit?: string; holders?: string[]; line?: number; why?: string; until?: string; workers: number; slots: number; queued: number; pause?: { type?: string; queue?: string; by: string; why?: string } }
interface Entry { at: string; what: string; attempt?: number; worker?: string; by?: string; code?: string; message?: string; state?: string; other?: string }

/** What a moment begins, until the next one: filled is work, hollow is waiting. */
const kinds: Record<string, { sign: string; tint?: string; word: string; filled?: boolean }> = {
  created: { sign: 'queued', word: 'created' }, uploaded: { sign: 'queued', word: 'stored, queued' }, due: { sign: 'queued', word: 'due, queued' },
  started: { sign: 'running', word: 'attempt', filled: true }, failed_attempt: { sign: 'retrying', word: 'failed, waits' }, lost: { sign: 'alarm', tint: 'failed', word: 'worker lost' },
  changed: { sign: 'scheduled', word: 'changed' }, postponed: { sign: 'scheduled', word: 'postponed' }, cancel_requested: { sign: 'canceled', word: 'asked to end' }, retried: { sign: 'retrying', word: 'retried' }, released: { sign: 'queued', word: 'released' },
  retry_of: { sign: 'retrying', word: 'a retry' }, callback_resend: { sign: 'queued', word: 'callback again' }, callback: { sign: 'ok', tint: 'succeeded', word: 'callback' },
  uploading: { sign: 'uploading', word: 'upload', filled: true }, scheduled: { sign: 'scheduled', word: 'waits for its time' }, finished: { sign: 'ok', word: 'finished' }, canceled: { sign: 'canceled', word: 'canceled' },
}

/** Where the server has no timeline, the record tells the story of a job that went well. */
function fromRecord(job: Job): Entry[] {
  const e: Entry[] = [{ at: job.created_at, what: 'created', state: job.state }]
  for (const a of job.errors ?? []) e.push({ at: a.at, what: 'failed_attempt', attempt: a.attempt, code: a.code, message: a.message })
  if (job.started_at) e.push({ at: job.started_at, what: 'started', attempt: job.attempt, worker: job.worker })
  if (job.finished_at) e.push({ at: job.finished_at, what: 'finished', state: job.state, code: job.error?.code })
  return e.sort((a, b) => Date.parse(a.at) - Date.parse(b.at))
}

/** Words left, the same moment drawn right, on one axis of time. */
export function Story({ job }: { job: Job }) {
  const told = usePoll((signal) => may<{ entries: Entry[]; waiting?: Waiting }>(`/v1/jobs/${job.id}/timeline`, { signal }), job.done ? 60_000 : 3000, job.id + job.state + job.attempt).data
  useTick(!job.done)
  const entries = told?.entries.length ? told.entries : fromRecord(job)
  const all = entries.filter((e, i) => e.what !== 'failed_attempt' || !entries[i + 1] || entries[i + 1]!.what !== 'finished') // the end says it
  const begin = Date.parse(all[0]!.at), now = job.done ? Date.parse(job.finished_at ?? all.at(-1)!.at) : Date.now()
  const last = Math.max(now, ...all.map((e) => Date.parse(e.at)))
  const whole = nice(Math.max(last - begin, 200)), x = (t: number) => Math.max(0, Math.min(100, (t - begin) * 100 / whole))
  const grid = [0, 0.25, 0.5, 0.75, 1]
  return <Sec id="s" title="Story" end={`${span(last - begin)} since it was created`}>
    <table class="story"><caption class="unseen">What happened, oldest first</caption>
      <thead><tr><th scope="col">at</th><th scope="col">what</th><th scope="col" class="draw"><span class="axis" aria-hidden="true">{grid.map((f) => <span>{f ? span(whole * f) : '0'}</span>)}</span><span class="unseen">how long</span></th></tr></thead>
      <tbody>{all.map((e, i) => {
        const end = e.what === 'finished' || e.what === 'canceled' || e.what === 'callback'
        let k = kinds[e.what] ?? { sign: 'queued', word: e.what.replace(/_/g, ' ') }
        if (e.what === 'created' && (job.state === 'uploading' || all[i + 1]?.what === 'uploaded')) k = kinds['uploading']!
        else if (e.what === 'created' && all[i + 1]?.what === 'due') k = kinds['scheduled']!
        else if (e.what === 'created') k = { sign: 'queued', word: job.state === 'scheduled' ? 'created, waits for its time' : 'created, queued' }
        if (e.what === 'finished') k = { sign: e.state ?? job.state, word: e.state === 'failed' ? 'failed for good' : e.state ?? 'finished', filled: true }
        const from = Date.parse(e.at), next = all.slice(i + 1).find((n) => n.what !== 'cancel_requested'), to = end ? from : next ? Date.parse(next.at) : now
        const a = x(from), w = Math.max(end ? 0.7 : 0.3, x(to) - a), long = to - from, tint = k.tint ?? k.sign, right = a + w < 78
        return <tr key={i}><td class="soft">{clock(e.at)}</td><td class="wide"><div class="ev"><Sign of={k.sign} tint={tint} /><span><b>{k.word}{e.what === 'started' && e.attempt ? ' ' + e.attempt : ''}</b>{' '}
          {e.worker && <Fragment>on <A class="go" to="/queues#workers">{e.worker}</A> </Fragment>}{e.by && <span class="soft">by <Say text={e.by} most={60} /> </span>}{e.code && <code>{e.code} </code>}{e.other && <A class="go mono" to={'/jobs/' + e.other}>…{e.other.slice(-6)}</A>}{e.message && <span class="soft"><Say text={e.message} most={120} /></span>}{e.what === 'lost' && <span class="soft">costs no attempt</span>}</span></div></td>
          <td class="draw"><span class="unseen">{end ? '' : span(long)}</span><svg aria-hidden="true">{grid.map((f) => <line x1={f * 100 + '%'} x2={f * 100 + '%'} y1="0" y2="24" />)}
            <rect class={tint + (k.filled ? '' : ' open')} x={Math.min(99.3, a).toFixed(2) + '%'} y="8" width={w.toFixed(2) + '%'} height="8" />
            {!job.done && <line class="nowline" x1={x(now).toFixed(2) + '%'} x2={x(now).toFixed(2) + '%'} y1="0" y2="24" />}
            {!end && long > 0 && <text x={(right ? a + w : a).toFixed(2) + '%'} dx={right ? 6 : -6} y="16" text-anchor={right ? 'start' : 'end'}>{span(long)}</text>}</svg></td></tr>
      })}</tbody></table>{told?.waiting && !job.done && <p class="waits"><Sign of={told.waiting.for === 'paused' ? 'paused' : told.waiting.for === 'worker' ? 'alarm' : 'scheduled'} tint="retrying" /><span><Why w={told.waiting} /></span></p>}</Sec>
}

/** Why it doesn't start: the first question of a bad night. */
function Why({ w }: { w: Waiting }) {
  if (w.for === 'release') return <Fragment><b>Held</b>: <Say text={w.why} most={200} /></Fragment>
  if (w.for === 'jobs' || w.for === 'limit') return <Fragment>{w.for === 'jobs' ? 'Waits for' : <Fragment>Waits for the limit <b><Say text={w.limit} most={64} /></b>{w.line ? `, with ${w.line - 1} others` : ''}; it is held by</Fragment>} {(w.holders ?? []).map((id, n) => <Fragment>{n ? ', ' : ''}<A class="go mono" to={'/jobs/' + id}>…{id.slice(-6)}</A></Fragment>)}</Fragment>
  if (w.pause) {
    const what = w.pause.type ?? w.pause.queue
    return <Fragment><b>{what} is paused</b> by <Say text={w.pause.by} most={60} />{w.pause.why && <Fragment>: “<Say text={w.pause.why} most={200} />”</Fragment>}{w.until ? `, until ${clock(w.until)}` : ''}. <A class="go" to="/queues#pauses">Open the pause</A></Fragment>
  }
  if (w.for === 'paused') return <Fragment><b>Its queue or its type is paused</b>{w.until ? `, until ${clock(w.until)}` : ''}.</Fragment>
  if (w.until) return <Fragment><b>It waits for its time</b>, {clock(w.until)}, in {span(Date.parse(w.until) - Date.now())}.</Fragment>
  if (w.for === 'worker') return <Fragment><b>No living worker takes it</b>: start one that has its type and serves its lane. <A class="go" to="/queues#workers">Open the workers</A></Fragment>
  if (!w.workers) return <b>It waits for a slot.</b>
  return <Fragment><b>It waits for a slot</b>: {count(w.queued)} {w.queued === 1 ? 'job is' : 'jobs are'} in its queue, for {count(w.slots)} slots of {count(w.workers)} {w.workers === 1 ? 'worker' : 'workers'}.</Fragment>
}

/** An axis ends at a round time. */
function nice(ms: number): number {
  const steps = [200, 400, 800, 1200, 2000, 4000, 8000, 12_000, 20_000, 40_000, 60_000, 120_000, 240_000, 480_000, 720_000, 1_200_000, 2_400_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000, 43_200_000, 86_400_000]
  return steps.find((s) => s >= ms) ?? Math.ceil(ms / 345_600_000) * 345_600_000
}
