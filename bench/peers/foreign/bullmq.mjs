// The roles of BullMQ; see doc.go. Jobs go when they are done.
import { Queue, QueueEvents, Worker } from 'bullmq'

const url = new URL(process.env.TARGET)
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null }
const now = () => Math.round((performance.timeOrigin + performance.now()) * 1e6)
const [role, count, gap] = process.argv.slice(2)
const options = { removeOnComplete: true, removeOnFail: true }

if (role === 'work') {
  let done = 0, due = false, last = 0
  const report = () => {
    due = false
    console.log(`done ${process.pid} ${done} ${last}`)
  }
  const worker = new Worker('bench', async (job) => {
    last = now()
    done++
    if (!due) setTimeout(report, 10)
    due = true
    if (job.data.t > 0) console.log(`late ${last - job.data.t}`)
  }, { connection, concurrency: 256 })
  await worker.waitUntilReady()
  console.log('ready')
  process.once('SIGTERM', async () => {
    await worker.close()
    process.exit(0)
  })
} else if (role === 'finish') {
  // Finishes jobs at a rate a second; the result is the time.
  const worker = new Worker('bench', async () => ({ t: now() }),
    { connection, concurrency: 100, limiter: { max: Math.ceil(Number(count) / 100), duration: 10 } })
  process.once('SIGTERM', async () => {
    await worker.close()
    process.exit(0)
  })
} else if (role === 'wait') {
  const queue = new Queue('bench', { connection, defaultJobOptions: options })
  const events = new QueueEvents('bench', { connection })
  events.setMaxListeners(0)
  await events.waitUntilReady()
  const late = []
  const waits = []
  for (let left = Number(count); left > 0; left -= 1000) {
    const part = Array.from({ length: Math.min(1000, left) }, () => ({ name: 'noop', data: { t: 0 } }))
    for (const job of await queue.addBulk(part)) {
      waits.push(job.waitUntilFinished(events).then((value) => late.push((now() - value.t) / 1e6)))
    }
  }
  console.log('parked')
  await Promise.all(waits)
  late.sort((a, b) => a - b)
  const at = (q) => late[Math.min(late.length - 1, Math.floor(late.length * q))]
  console.log('late ' + JSON.stringify({ N: late.length, P50: at(0.5), P99: at(0.99), Max: at(1) }))
  await events.close()
  await queue.close()
} else {
  const queue = new Queue('bench', { connection, defaultJobOptions: options })
  await queue.waitUntilReady()
  if (role === 'bulk') {
    const began = now()
    for (let left = Number(count); left > 0; left -= 1000) {
      const part = Array.from({ length: Math.min(1000, left) }, () => ({ name: 'noop', data: { t: 0 } }))
      await queue.addBulk(part)
    }
    console.log(`took ${now() - began}`)
  } else {
    for (let i = 0; i < Number(count); i++) {
      await new Promise((resolve) => setTimeout(resolve, Number(gap)))
      await queue.add('noop', { t: now() })
    }
  }
  await queue.close()
}
