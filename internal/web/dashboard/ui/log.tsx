import { Fragment, h } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { longshore, Refused, root, type Job } from './api.js'
import { count, millis } from './format.js'
import { Copy, Say, Sec } from './parts.js'

interface Line { n: number; attempt: number; at: string; level: string; msg: string; dropped?: number }
const most = 2000 // lines in the page: the first ones, and the newest

/** The lines of a job as they come; what didn't fit is counted, not hidden. */
export function Log({ job }: { job: Job }) {
  const [lines, set] = useState<Line[] | undefined>(), [follow, setFollow] = useState(true), [dropped, setDropped] = useState(0)
  const box = useRef<HTMLOListElement>(null), stick = useRef(true)
  useEffect(() => {
    const cut = new AbortController()
    let all: Line[] = [], gone = 0, timer: ReturnType<typeof setTimeout> | undefined
    const draw = () => { timer = undefined; set(all.slice()); setDropped(gone) }
    void (async () => {
      try {
        for await (const line of longshore.logs(job.id, { follow: true, signal: cut.signal })) {
          if (line.dropped) gone += line.dropped
          all.push(line)
          if (all.length > most * 1.2) { gone += all.length - most; all = [...all.slice(0, most / 2), ...all.slice(-most / 2)] }
          timer ??= setTimeout(draw, 100)
        }
        draw()
      } catch (e) {
        if (!cut.signal.aborted && !(e instanceof Refused)) draw()
      }
    })()
    return () => { cut.abort(); clearTimeout(timer) }
  }, [job.id])
  useEffect(() => { if (follow && stick.current && box.current && !job.done) box.current.scrollTop = box.current.scrollHeight }, [lines])
  if (!lines?.length) return null
  return <Sec id="l" title="Log" note={job.attempt ? `attempt ${lines.at(-1)!.attempt ?? job.attempt}` : ''}
    end={<Fragment>{!job.done && <label><input type="checkbox" checked={follow} onChange={(e) => setFollow(e.currentTarget.checked)} /> follow &nbsp;</label>}{count(lines.filter((l) => l.n && !l.dropped).length)} lines, {count(dropped)} left out &nbsp; <Copy text={`curl -N '${root}/v1/jobs/${job.id}/logs?follow=true'`} label="as curl" c="link" /></Fragment>}>
    <ol class="log" ref={box} tabIndex={0} aria-label="Log lines" onScroll={(e) => { const b = e.currentTarget; stick.current = b.scrollHeight - b.scrollTop - b.clientHeight < 30 }}>
      {lines.map((l) => l.dropped ? <li class="gap" key={l.n + 'd'}>— {count(l.dropped)} lines left out: an attempt keeps its first and its last half —</li>
        : <li key={l.n}><span>{l.n}</span><span>{millis(l.at)}</span><span class={l.level.toLowerCase()}>{l.level.toLowerCase()}</span><span><Say text={l.msg} most={8192} /></span></li>)}</ol></Sec>
}
