import fs from 'node:fs'
import { spawn } from 'node:child_process'
import { LongshoreFail } from './longshore.mjs'

const keep = []
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

const acts = {
  echo: (event) => event,
  about: (_, context) => ({ id: context.awsRequestId, arn: context.invokedFunctionArn, custom: context.custom,
    left: context.getRemainingTimeInMillis() / 1000, pid: process.pid, tmp: process.env.TMPDIR,
    name: process.env.AWS_LAMBDA_FUNCTION_NAME, memory: Number(process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE),
    handler: process.env._HANDLER, env: Object.entries(process.env).map(([k, v]) => `${k}=${v}`) }),
  error: () => { throw new RangeError('no luck') },
  fail: () => { throw new LongshoreFail('never') },
  exit: ({ n }) => { fs.writeSync(2, 'last words\n'); process.exit(n) },
  sleep: async ({ n }) => { await pause(n); return 'slept' },
  log: () => { console.log('to stdout'); console.error('to stderr') },
  'log later': ({ n }) => { setTimeout(() => console.log('too late'), n) },
  alloc: ({ n }) => { keep.push(Buffer.alloc(n << 20, 'x')); return 'filled' },
  leave: () => spawn('sleep', ['1000'], { stdio: 'ignore' }).pid,
  bytes: ({ n }) => Buffer.alloc(n),
  stream: async function * () { yield '{"streamed":'; yield 'true}' },
  'stream error': async function * () { yield 'part'; throw new Error('half way') },
  write: ({ text }, context) => {
    fs.writeFileSync(context.out + '/answer.txt', text)
    context.progress(1, 4, 'a quarter')
    return 'written'
  },
  tell: ({ text }, context) => { fs.appendFileSync(context.custom.control, text + '\n'); return 'told' },
  input: (_, context) => fs.readFileSync(context.input, 'utf8'),
  litter: () => { fs.writeFileSync(process.env.TMPDIR + '/litter', ''); return process.env.TMPDIR },
  list: () => fs.readdirSync(process.env.TMPDIR).length,
}

export async function handler(event, context) {
  if (!acts[event.do]) throw new Error(`what is ${event.do}?`)
  return acts[event.do](event, context)
}
