// How numbers, sizes and times are written, everywhere the same.

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
export const count = (n: number | undefined | null) => n == null ? '–' : whole.format(n)

/** A number in few letters, for the marks of an axis: 1.5 M. */
export function short(n: number): string {
  if (n < 10_000) return count(n)
  const [by, unit] = n < 1e6 ? [1e3, 'k'] : n < 1e9 ? [1e6, 'M'] : [1e9, 'G']
  return (n / by).toFixed(n / by < 100 && n % by ? 1 : 0) + ' ' + unit
}

export function bytes(n: number | undefined | null): string {
  if (n == null) return '–'
  if (n < 1024) return n + ' B'
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let i = -1, v = n
  do { v /= 1024; i++ } while (v >= 1023.5 && i < units.length - 1)
  return (v < 10 ? v.toFixed(1) : v.toFixed(0)) + ' ' + units[i]
}

/** A length of time, two units at most. */
export function span(ms: number | undefined | null): string {
  if (ms == null || !Number.isFinite(ms)) return '–'
  if (ms < 0) ms = 0
  if (ms < 1000) return Math.round(ms) + ' ms'
  const s = ms / 1000
  if (s < 99.5) return (s < 9.95 ? s.toFixed(1) : Math.round(s)) + ' s'
  const min = Math.floor(s / 60), h = Math.floor(min / 60), d = Math.floor(h / 24)
  if (min < 60) return `${min} min` + (min < 10 && Math.round(s % 60) ? ` ${Math.round(s % 60)} s` : '')
  if (h < 48) return `${h} h ${min % 60} min`
  return `${d} d ${h % 24} h`
}

const two = (n: number) => String(n).padStart(2, '0')
export const clock = (t: string | number | Date, seconds = true) => {
  const d = new Date(t)
  return two(d.getHours()) + ':' + two(d.getMinutes()) + (seconds ? ':' + two(d.getSeconds()) : '')
}
export const millis = (t: string) => clock(t) + '.' + String(new Date(t).getMilliseconds()).padStart(3, '0')

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
/** A moment: the time of today, else the day too. */
export function moment(t: string | number | undefined): string {
  if (!t) return '–'
  const d = new Date(t), now = new Date()
  if (d.toDateString() === now.toDateString()) return clock(d)
  return `${d.getDate()} ${months[d.getMonth()]} ${clock(d, false)}`
}

export const percent = (f: number) => (f > 0 && f < 0.1 ? (f * 100).toFixed(1) : Math.floor(f * 100 + 1e-9)) + ' %'

export function duration(ms: number): string {
  if (ms % 3_600_000 === 0) return ms / 3_600_000 + ' h'
  if (ms % 60_000 === 0) return ms / 60_000 + ' min'
  return span(ms)
}

/**
 * Text of strangers: control characters and marks that turn the direction are shown as signs, so that nobody
 * is led to read another text than there is.
 */
export function plain(text: string | undefined | null, most = 2000): string {
  if (!text) return ''
  const cut = text.length > most ? text.slice(0, most) + ' …' : text
  return cut.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (c) => String.fromCharCode(0x2400 + (c === '\u007f' ? 0x21 : c.charCodeAt(0))))
    .replace(/[\u0080-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, (c) => '‹U+' + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0') + '›')
}

/** Where jobs wait: a lane and a priority, of the queue that is named where it isn't the default one. */
export const placeOf = (q: { name?: string; lane?: string; priority?: string }) => [q.name, q.lane, q.priority].filter(Boolean).join(', ')
