// Drives clients/typescript in Node over connections that break: ts-node.mjs URL FILE WAY. It says "restart"
// when the server may be killed, and what came of all at the end.
import { openAsBlob } from 'node:fs'
import { Longshore, Refused, JobFailed } from './longshore.js'

const [url, file, way] = process.argv.slice(2)
const longshore = new Longshore({ url, transports: [way], storage: null })
const fail = (why) => { throw new Error(why) }

// refusals are typed, and point to the place
const refused = await longshore.submit({ type: 'math.primes', payload: { n: 'many' } }).end.then(() => fail('taken'), (e) => e)
if (!(refused instanceof Refused) || refused.code !== 'invalid' || refused.problem.errors[0].pointer !== '/payload/n') throw refused

// aborting ends following, never the job
const abort = new AbortController()
const far = longshore.submit({ type: 'math.primes', payload: { n: 5 }, run_at: new Date(Date.now() + 3600e3).toISOString() },
  { signal: abort.signal })
for await (const job of far) if (job.state === 'scheduled') break
abort.abort(new Error('enough'))
const why = await far.end.catch((e) => e)
if (why.message !== 'enough') fail('abort: ' + why)
const still = await longshore.get(await far.id)
if (still.state !== 'scheduled') fail('the job is ' + still.state)
const again = longshore.follow(await far.id)
await again.cancel()
if ((await again.end).state !== 'canceled') fail('not canceled')
if (!(await again.result().catch((e) => e) instanceof JobFailed)) fail('a result of a canceled job')

// an upload, and jobs in a crowd, while connections break and the server is killed
console.log('restart')
const ids = new Set()
const submissions = Array.from({ length: 700 }, (_, i) => ({ type: 'math.primes', payload: { n: i + 2 } }))
for await (const one of longshore.submitMany(submissions)) one.id ? ids.add(one.id) : fail(JSON.stringify(one.error))
const blob = await openAsBlob(file)
const upload = longshore.upload(blob, { type: 'file.checksum', filename: 'in.bin' })
const ends = await Promise.all([...ids].slice(0, 150).map((id) => longshore.follow(id).end))
let revs = []
for await (const job of upload) revs.push(job.rev)
if (revs.some((r, i) => i && r <= revs[i - 1])) fail('revisions go back: ' + revs)
const end = await upload.end
console.log(JSON.stringify({ jobs: ids.size, ended: ends.filter((j) => j.state === 'succeeded').length,
  sha256: (await upload.result()).sha256, state: end.state }))
process.exit(0)
