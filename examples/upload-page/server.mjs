// A web app's backend that lets its pages upload straight to Longshore: it keeps the API key,
// and gives each page a token for one job. Start: see README.md.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const { LONGSHORE_URL, LONGSHORE_TOKEN, PORT = '3000', TTL = '15m' } = process.env
const page = readFileSync(new URL('page.html', import.meta.url))
const client = readFileSync(process.env.CLIENT ?? new URL('../../clients/typescript/dist/longshore.js', import.meta.url))
const jobs = new Set() // an app keeps with each user which jobs are his

async function mint(grant) {
  const answer = await fetch(LONGSHORE_URL + '/v1/tokens', { method: 'POST', body: JSON.stringify({ ...grant, ttl: TTL }),
    headers: { authorization: 'Bearer ' + LONGSHORE_TOKEN, 'content-type': 'application/json' } })
  if (!answer.ok) throw new Error(await answer.text())
  return answer.json()
}

// An app asks its session here who the user is, and what he may upload.
async function token(job) {
  if (job && !jobs.has(job)) throw new Error('not this page\'s job')
  const made = await mint(job ? { jobs: [job] } : { submit: { types: ['file.checksum'], max_bytes: 50e6 } })
  if (!job) jobs.add(made.job)
  console.log(job ? 'renewed' : 'made', job ?? made.job)
  return { longshore: LONGSHORE_URL, ...made }
}

createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost')
  const send = (type, body) => response.setHeader('content-type', type).end(body)
  if (url.pathname === '/') return send('text/html; charset=utf-8', page)
  if (url.pathname === '/longshore.js') return send('text/javascript', client)
  if (request.method !== 'POST' || request.headers['sec-fetch-site'] !== 'same-origin') return response.writeHead(403).end()
  token(url.searchParams.get('job')).then((made) => send('application/json', JSON.stringify(made)),
    (error) => { console.error(error); response.writeHead(502).end() })
}).listen(PORT, '127.0.0.1', function () { console.log('listens http://localhost:' + this.address().port) })
