// The address is the state: filters survive a reload, and back goes back.
import { useEffect, useState } from 'preact/hooks'
import { ui } from './api.js'

export interface Route { path: string; query: URLSearchParams }

function here(): Route {
  const path = decodeURI(location.href.slice(0, location.href.length - location.search.length - location.hash.length).slice(ui.length)) || '/'
  return { path: path.replace(/(.)\/$/, '$1'), query: new URLSearchParams(location.search) }
}

const hearers = new Set<() => void>()
const tell = () => hearers.forEach((f) => f())
addEventListener('popstate', tell)

/** go shows another page; replace: in place of this one, for what changes while typing. */
export function go(to: string, replace = false) {
  const before = here().path
  history[replace ? 'replaceState' : 'pushState'](null, '', ui + to)
  tell()
  if (replace || here().path === before) return
  scrollTo(0, 0)
  const hash = location.hash.slice(1)
  requestAnimationFrame(() => {
    if (hash) document.getElementById(hash)?.scrollIntoView()
    else document.getElementById('main')?.focus({ preventScroll: true })
  })
}

/** with returns an address with some parameters of the query changed; "" takes one out. */
export function withQuery(path: string, query: URLSearchParams, change: Record<string, string>): string {
  const q = new URLSearchParams(query)
  for (const [k, v] of Object.entries(change)) v ? q.set(k, v) : q.delete(k)
  const text = q.toString()
  return path + (text && '?' + text)
}

export function useRoute(): Route {
  const [route, set] = useState(here)
  useEffect(() => {
    const hear = () => set(here())
    hearers.add(hear)
    return () => { hearers.delete(hear) }
  }, [])
  return route
}
