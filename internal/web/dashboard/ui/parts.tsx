// Parts that pages share. A state has one colour, one sign and its word, always together.
import { Fragment, h, type ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { type State, ui } from './api.js'
import { short, count, plain } from './format.js'

export const open: State[] = ['uploading', 'waiting', 'scheduled', 'queued', 'running', 'retrying']
export const ends: State[] = ['succeeded', 'failed', 'canceled', 'expired']

const ring = <circle cx="8" cy="8" r="6.25" fill="none" stroke="currentColor" stroke-width="1.5" />
const disc = <circle cx="8" cy="8" r="7" fill="currentColor" />
const line = (d: string, w = 1.5) => <path d={d} fill="none" stroke="currentColor" stroke-width={w} />
const cut = (d: string) => <path d={d} fill="none" class="cutout" stroke-width="1.75" />

const signs: Record<string, ComponentChildren> = {
  uploading: <Fragment>{ring}{line('M8 11.5V5M5.2 7.6 8 4.8l2.8 2.8')}</Fragment>,
  waiting: <Fragment>{ring}{line('M5.5 5.8v4.4M8 5.8v4.4M10.5 5.8v4.4')}</Fragment>,
  scheduled: <Fragment>{ring}{line('M8 4.2V8l2.6 1.8')}</Fragment>,
  queued: ring,
  running: <Fragment>{ring}<path d="M8 3.8a4.2 4.2 0 0 1 0 8.4z" fill="currentColor" /></Fragment>,
  retrying: line('M13.6 5.2A6.25 6.25 0 1 0 14.2 8.8M13.9 1.8v3.8h-3.8'),
  succeeded: <Fragment>{disc}{cut('m4.8 8.2 2.3 2.3 4.2-4.6')}</Fragment>,
  failed: <Fragment><path d="M1.2 1.2h13.6v13.6H1.2z" fill="currentColor" />{cut('m5 5 6 6m0-6-6 6')}</Fragment>,
  canceled: <Fragment>{disc}{cut('M4.5 8h7')}</Fragment>,
  expired: <Fragment>{disc}{cut('M8 4v4.2l2.8 1.8')}</Fragment>,
  alarm: <Fragment><path d="M8 1 15.5 14.5H.5z" fill="currentColor" />{cut('M8 5.6v4M8 11v1.6')}</Fragment>,
  ok: line('m2.5 8.5 3.8 3.8L13.5 4', 2),
  paused: line('M5 3v10M11 3v10', 2.5),
}

export const Sign = ({ of, tint }: { of: string; tint?: string }) =>
  <svg class={'sg ' + (tint ?? of)} viewBox="0 0 16 16" aria-hidden="true">{signs[of]}</svg>

export const StateOf = ({ s, children }: { s: string; children?: ComponentChildren }) =>
  <span class={'st ' + s}><Sign of={s} />{s}{children}</span>

/** A link to one of our pages; the router takes the click. */
export const A = ({ to, ...rest }: { to: string; class?: string; children?: ComponentChildren; 'aria-label'?: string; 'aria-current'?: 'page' | 'true'; title?: string }) =>
  <a href={ui + to} data-in {...rest} />

/** Text of strangers. */
export const Say = ({ text, most }: { text?: string | null; most?: number }) => <bdi>{plain(text, most)}</bdi>

/** A section opens with one strong line: title left, figures right. */
export function Sec({ id, title, note, end, children, c }: { id: string; title: ComponentChildren; note?: ComponentChildren; end?: ComponentChildren; children?: ComponentChildren; c?: string }) {
  return <section class={'sec ' + (c ?? '')} aria-labelledby={id}>
    <header><h2 id={id}>{title}</h2>{note && <span class="soft small">{note}</span>}{end != null && <span class="end">{end}</span>}</header>
    {children}
  </section>
}

/** A table that scrolls for itself. */
export const Table = ({ label, c, head, children }: { label: string; c?: string; head: ComponentChildren; children?: ComponentChildren }) =>
  <div class="scroll" tabIndex={0} role="group" aria-label={label}>
    <table class={c}><thead><tr>{head}</tr></thead><tbody>{children}</tbody></table>
  </div>

export const Th = ({ c, children, unseen }: { c?: string; children?: ComponentChildren; unseen?: boolean }) =>
  <th scope="col" class={c}>{unseen ? <span class="unseen">{children}</span> : children}</th>

export const Num = ({ n, to, c, label }: { n: number | undefined; to?: string; c?: string; label?: string }) =>
  <td class={'num ' + (n ? '' : 'zero ') + (c ?? '')}>{to && n ? <A to={to} aria-label={label}>{count(n)}</A> : count(n ?? 0)}</td>

/** A bar's width is an attribute: styles in markup aren't allowed here. */
export const Bar = ({ of, c, tint }: { of: number | null; c?: string; tint?: string }) =>
  <svg class={`bar ${c ?? ''} ${tint ?? ''} ${of == null ? 'unknown' : ''}`} aria-hidden="true"><rect width={of == null ? '100%' : Math.max(0, Math.min(100, of * 100)).toFixed(1) + '%'} /></svg>

export const Facts = ({ children }: { children: ComponentChildren }) => <dl class="facts">{children}</dl>
export const Fact = ({ k, children }: { k: string; children: ComponentChildren }) => <Fragment><dt>{k}</dt><dd>{children}</dd></Fragment>

export function Copy({ text, label = 'Copy', c = 'bare' }: { text: string; label?: string; c?: string }) {
  const [done, setDone] = useState(false)
  const copy = () => navigator.clipboard?.writeText(text).then(() => { setDone(true); setTimeout(() => setDone(false), 1500) }, () => {})
  return <button type="button" class={c} onClick={copy}>{done ? 'Copied' : label}</button>
}

export const Code = ({ text, label }: { text: string; label: string }) =>
  <div class="copy"><pre class="pre" tabIndex={0} role="group" aria-label={label}>{text}</pre><Copy text={text} c="" /></div>

export const Seg = <T extends string>({ label, all, now, set }: { label: string; all: [T, string][]; now: T; set: (v: T) => void }) =>
  <span class="seg" role="group" aria-label={label}>{all.map(([v, word]) =>
    <button type="button" key={v} aria-pressed={v === now} onClick={() => set(v)}>{word}</button>)}</span>

// --- charts: own SVG, with its numbers in words and as a table ---

/** A few round steps up to at least max. */
export function scale(max: number): number {
  const raw = Math.max(max, 3) / 3, ten = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 3, 5, 10].map((m) => m * ten).find((s) => s >= raw)!
  return step * 3
}

export interface Series { name: string; tint: string; values: number[] }

export function Chart({ id, title, unit, now, series, times, say, fill }: {
  id: string; title: string; unit: string; now: string; series: Series[]; times: string[]; say: string; fill?: string
}) {
  const top = scale(Math.max(0, ...series.flatMap((s) => s.values)))
  const n = Math.max(1, times.length - 1)
  const path = (v: number[]) => v.map((y, i) => (i ? 'L' : 'M') + (i * 600 / n).toFixed(1) + ' ' + (128 - y * 128 / top).toFixed(1)).join('')
  const main = series[0]!
  const labels = [0, 0.25, 0.5, 0.75, 1].map((f) => times[Math.round(f * (times.length - 1))] ?? '')
  return <figure class="chart" aria-labelledby={id}>
    <figcaption><h2 id={id}>{title}</h2> <span class="soft small">{unit}</span><strong>{now}</strong></figcaption>
    <div class="plot">
      <p class="y" aria-hidden="true">{[1, 2 / 3, 1 / 3, 0].map((f) => <span>{short(Math.round(top * f))}</span>)}</p>
      <svg viewBox="0 0 600 128" preserveAspectRatio="none" role="img" aria-label={say}>
        {[0, 1, 2, 3].map((i) => <line x1="0" x2="600" y1={i * 128 / 3} y2={i * 128 / 3} class={i === 3 ? 'base' : ''} />)}
        {main.values.length > 1 && <path class={fill ?? 'under'} d={path(main.values) + 'L600 128L0 128Z'} />}
        {series.map((s) => <path key={s.name} class={'line ' + s.tint} d={path(s.values)} />)}
      </svg>
      <p class="x" aria-hidden="true">{labels.map((l) => <span>{l}</span>)}</p>
    </div>
    <div class="key">{series.map((s) => <span class={s.tint} key={s.name}><i />{s.name}</span>)}
      <details><summary>Table</summary><table><thead><tr><Th>time</Th>{series.map((s) => <Th c="num">{s.name}</Th>)}</tr></thead>
        <tbody>{times.map((t, i) => i % Math.ceil(times.length / 12) === 0 || i === times.length - 1
          ? <tr><td>{t}</td>{series.map((s) => <td class="num">{count(s.values[i])}</td>)}</tr> : null)}</tbody></table></details></div>
  </figure>
}

// --- trees of JSON: text nodes, opened by hand ---

const widest = 100, deepest = 20

export const Tree = ({ value }: { value: unknown }) => <ul class="tree"><Node value={value} depth={0} /></ul>

function Node({ name, value, depth }: { name?: string; value: unknown; depth: number }) {
  const [all, setAll] = useState(false)
  const label = name === undefined ? null : <i><Say text={name} most={200} /> </i>
  if (value === null || typeof value !== 'object') {
    return <li>{label}<Say text={typeof value === 'string' ? JSON.stringify(value) : String(value)} most={4000} /></li>
  }
  const list = Array.isArray(value)
  const entries = list ? value.map((v, i) => [String(i), v] as const) : Object.entries(value)
  const [a, b] = list ? '[]' : '{}'
  if (!entries.length) return <li>{label}{a + b!}</li>
  if (depth >= deepest) return <li>{label}<Say text={JSON.stringify(value)} most={200} /></li>
  const shown = all ? entries : entries.slice(0, widest)
  return <li><details open={depth < 2 && entries.length <= 20}><summary>{label}{a} {entries.length} {b}</summary><ul>
    {shown.map(([k, v]) => <Node key={k} name={k} value={v} depth={depth + 1} />)}
    {shown.length < entries.length && <li><button type="button" class="link" onClick={() => setAll(true)}>{entries.length - shown.length} more</button></li>}
  </ul></details></li>
}

export const Empty = ({ children }: { children: ComponentChildren }) => <p class="soft empty">{children}</p>
