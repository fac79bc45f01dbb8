// Renders longshore/react in StrictMode: ts-react.mjs URL FILE. It says "kill" when the server may be killed, and
// what came of all at the end.
import { openAsBlob } from 'node:fs'
import React, { StrictMode, createElement as h } from 'react'
import renderer from 'react-test-renderer'
import { Longshore } from './longshore.js'
import { LongshoreProvider, useJob, useUpload } from './react.js'

globalThis.IS_REACT_ACT_ENVIRONMENT = true
const [url, file] = process.argv.slice(2)
const longshore = new Longshore({ url, transports: ['events'], storage: null })
const fail = (why) => { throw new Error(why) }
const { act } = renderer

// followed are the jobs that the client was asked to follow
const followed = []
const follow = longshore.follow.bind(longshore)
longshore.follow = (id, options) => { followed.push(id); return follow(id, options) }

// until renders on while time passes
async function until(what, ok) {
  for (let n = 0; !ok(); n++) {
    if (n > 6000) fail('never: ' + what)
    await act(() => new Promise((resolve) => setTimeout(resolve, 20)))
  }
}
const mount = async (element) => {
  let root
  await act(async () => { root = renderer.create(h(StrictMode, null, h(LongshoreProvider, { client: longshore }, element))) })
  return root
}
const text = (root) => JSON.stringify(root.toJSON())

// twenty components look at one job; it ends while the server is killed and started
const State = ({ id }) => { const { job, error } = useJob(id); return h('p', null, error ? 'error ' + error.status : job?.state ?? '…') }
const soon = await longshore.submit({ type: 'math.primes', payload: { n: 1000 }, run_at: new Date(Date.now() + 4000).toISOString() }).id
const many = await mount(Array.from({ length: 20 }, (_, i) => h(State, { id: soon, key: i })))
await until('scheduled', () => text(many).split('scheduled').length === 21)
console.log('kill')
await until('succeeded', () => text(many).split('succeeded').length === 21)
const streams = followed.filter((id) => id === soon).length

// after its end nothing asks on, and whoever comes later asks once; null follows nothing
followed.length = 0
await act(async () => many.update(h(StrictMode, null, h(LongshoreProvider, { client: longshore }, [h(State, { id: soon, key: 0 }), h(State, { id: null, key: 1 })]))))
await act(() => new Promise((resolve) => setTimeout(resolve, 300)))
const later = followed.length
if (!text(many).includes('succeeded') || !text(many).includes('…')) fail(text(many))

// another id of the same component is another job; one that isn't there says so
let refused = 0
const Gone = ({ id }) => { const { error } = useJob(id); refused = error?.status ?? 0; return null }
const gone = await mount(h(Gone, { id: '01a20967-50f3-73e0-89b5-4af387a3557a' }))
await until('refused', () => refused)
await act(async () => { gone.unmount(); many.unmount() })

// an upload from its first byte to the result, and one whose component goes
const blob = await openAsBlob(file)
const states = []
let view
const Upload = () => {
  view = useUpload()
  const state = view.job?.state ?? (view.size ? 'sending' : '')
  if (state && states.at(-1) !== state) states.push(state)
  return h('progress', { value: view.sent, max: view.size })
}
const sending = await mount(h(Upload))
await act(async () => { view.start(blob, { type: 'file.checksum', filename: 'one.bin' }) })
await until('its end', () => view.job?.done)
if (view.sent !== blob.size || view.size !== blob.size || view.error) fail(JSON.stringify(view))
const sha256 = view.job.result.sha256, seen = [...states]
await act(async () => view.reset())
if (view.job || view.size) fail('reset leaves ' + JSON.stringify(view))
let run
await act(async () => { run = view.start(blob, { type: 'file.checksum', filename: 'two.bin' }) })
await act(async () => sending.unmount())
const other = (await run.result()).sha256
console.log(JSON.stringify({ streams, later, states: seen, sha256, other, refused }))
process.exit(0)
