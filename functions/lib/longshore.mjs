// Serves a function of Longshore's mode lambda:  node longshore.mjs app.handler
//
// app.mjs:  export async function handler(event, context) { return { hello: event.name } }
//
// What it returns becomes the job's result, as JSON; a Uint8Array is taken as it is, an async iterable
// or a stream is streamed. An error is a failed attempt, a LongshoreFail a failure for good.
import http from 'node:http'
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

/** Fails the job for good: it is not tried again. */
export class LongshoreFail extends Error { name = 'LongshoreFail' }
/** What a job is besides its payload. Paths are undefined where there is nothing. */
class Context {
  constructor(headers) {
    this.awsRequestId = headers['lambda-runtime-aws-request-id']
    this.invokedFunctionArn = headers['lambda-runtime-invoked-function-arn']
    this.deadline = Number(headers['lambda-runtime-deadline-ms'])
    this.custom = JSON.parse(headers['lambda-runtime-client-context'] || '{}').custom ?? {}
    this.attempt = Number(this.custom.attempt ?? 1)
    this.job = this.custom.job
    this.input = this.custom.input
    this.inputType = this.custom.input_type
    this.out = this.custom.out // files in this folder become the job's outputs
  }
  getRemainingTimeInMillis() { return Math.max(0, this.deadline - Date.now()) }
  /** Writes a line to the job's control channel. */
  tell(line) { fs.appendFileSync(this.custom.control, JSON.stringify(line) + '\n') }
  progress(done, total = 0, note = '') { this.tell({ progress: { done, total, note } }) }
  /** Has the job run again later ("30s"), which counts as no attempt. */
  retryIn(duration) { this.tell({ retry_in: duration }) }
  /** Has another job submitted if this one succeeds. */
  submit(type, payload = {}, controls = {}) { this.tell({ submit: { type, payload, ...controls } }) }
}
const [hostname, port] = (process.env.AWS_LAMBDA_RUNTIME_API ?? '').split(':')
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
function call(method, where, send = (request) => request.end()) {
  return new Promise((resolve, reject) => {
    const to = { hostname, port, method, agent, path: '/2018-06-01/runtime/' + where }
    const request = http.request(to, (response) => {
      const parts = []
      response.on('data', (part) => parts.push(part))
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(parts) }))
      response.on('error', reject)
    })
    request.on('error', reject)
    request.setNoDelay(true)
    Promise.resolve(send(request)).catch(reject)
  })
}
const post = (where, body) => call('POST', where, (request) => {
  request.setHeader('Content-Length', Buffer.byteLength(body))
  request.end(body)
})
const stream = (where, parts) => call('POST', where, async (request) => {
  request.setHeader('Trailer', 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body')
  request.setHeader('Transfer-Encoding', 'chunked')
  try {
    for await (const part of parts) {
      if (!request.write(part)) await new Promise((resolve) => request.once('drain', resolve))
    }
  } catch (error) {
    const said = describe(error)
    request.addTrailers({ 'Lambda-Runtime-Function-Error-Type': JSON.parse(said).errorType,
      'Lambda-Runtime-Function-Error-Body': Buffer.from(said).toString('base64') })
  }
  request.end()
})
const describe = (error) => JSON.stringify({
  errorType: error?.name ?? 'Error', errorMessage: error?.message ?? String(error),
  stackTrace: String(error?.stack ?? '').split('\n').slice(1).map((line) => line.trim()) })
async function load(name) {
  const dot = name.lastIndexOf('.')
  const base = path.resolve(name.slice(0, dot))
  const file = ['.mjs', '.js', '.cjs'].map((end) => base + end).find((one) => fs.existsSync(one))
  const module = await import(pathToFileURL(file ?? base + '.mjs'))
  const handler = module[name.slice(dot + 1)] ?? module.default?.[name.slice(dot + 1)]
  if (typeof handler !== 'function') throw new TypeError(`${name} is no function`)
  return handler
}
async function main(name) {
  const handler = await load(name).catch(async (error) => {
    await post('init/error', describe(error))
    throw error
  })
  for (;;) {
    const { headers, body } = await call('GET', 'invocation/next')
    const where = 'invocation/' + headers['lambda-runtime-aws-request-id']
    let answer, failed
    try {
      answer = await handler(JSON.parse(body), new Context(headers))
    } catch (error) { failed = describe(error) }
    if (failed) await post(where + '/error', failed)
    else if (answer instanceof Uint8Array) await post(where + '/response', answer)
    else if (answer?.[Symbol.asyncIterator]) await stream(where + '/response', answer)
    else await post(where + '/response', JSON.stringify(answer) ?? 'null')
  }
}
const started = process.argv[1] && pathToFileURL(fs.realpathSync(process.argv[1])).href
if (started === import.meta.url) main(process.argv[2] ?? process.env._HANDLER) // awaited, it would hold imports up
