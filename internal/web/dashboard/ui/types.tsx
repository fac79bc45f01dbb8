import { Fragment, h } from 'preact'
import { useEffect } from 'preact/hooks'
import { ask, usePoll, useShared, type Kind } from './api.js'
import { count, duration } from './format.js'
import { A, Say, Sec, Table, Th } from './parts.js'
import { Trouble } from './jobs.js'

export function Types() {
  const { data, error } = usePoll((signal) => ask<{ types: Kind[]; refused?: { type: string; reason: string }[] }>('/v1/types', { signal }), 15_000)
  const counts = useShared((s) => s.counts), workers = useShared((s) => s.workers)
  useEffect(() => { document.title = 'Types · Longshore' }, [])
  const served = (t: string) => workers?.some((w) => w.types?.includes(t))
  return <Fragment><div class="head"><h1>Types</h1> {data && <span class="soft">{count(data.types.length)} kinds of work</span>}</div>
    {error && !data && <Trouble error={error} />}
    {data && !data.types.length && <p class="empty soft">Types come with the first worker that serves them.</p>}
    {!!data?.types.length && <Sec id="t" title="Served" end="a job of each by its form"><Table label="Types" head={<Fragment><Th>type</Th><Th>lane</Th><Th c="least">input</Th><Th c="least">what it does</Th><Th c="num less">timeout</Th><Th c="num less">attempts</Th><Th c="num">jobs</Th><Th unseen>new job</Th></Fragment>}>
      {data.types.map((k) => {
        const c = counts?.types.find((t) => t.type === k.type), n = c && Object.values(c.counts).reduce((a, b) => a + (b ?? 0), 0)
        return <tr key={k.type}><th scope="row"><A to={'/jobs?type=' + encodeURIComponent(k.type)}><Say text={k.type} /></A></th><td class="soft">{k.lane}</td><td class="least soft">{k.input === 'none' ? '–' : k.input === 'optional' ? 'file, or none' : 'file'}</td>
          <td class="least wide soft"><Say text={k.doc} most={300} />{k.sandbox ? <span> Sandbox: {k.sandbox}.</span> : ''}{workers?.some((w) => w.types) && !served(k.type) ? <b class="tint retrying"> No living worker takes it.</b> : ''}</td>
          <td class="num less">{k.timeout_ms ? duration(k.timeout_ms) : ''}</td><td class="num less">{k.max_attempts}</td><td class={'num ' + (n ? '' : 'zero')}>{n ? count(n) : counts ? 0 : ''}</td><td class="num"><A class="btn" to={'/new?type=' + encodeURIComponent(k.type)} aria-label={'New ' + k.type}>New</A></td></tr>
      })}</Table></Sec>}
    {!!data?.refused?.length && <Sec id="r" title="Refused" end="published by workers, and not usable"><Table label="Refused types" head={<Fragment><Th>type</Th><Th>why</Th></Fragment>}>{data.refused.map((r) => <tr key={r.type}><th scope="row"><Say text={r.type} /></th><td class="wide soft"><Say text={r.reason} most={500} /></td></tr>)}</Table></Sec>}
  </Fragment>
}
