// The roles of BullMQ; see doc.go. Jobs go when they are done.
import { Queue, Worker } from 'bullmq'

const url = new URL(process.env.TARGET)
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null }
const now = () => Math.round((performance.timeOrigin + performance.now()) * 1e6)
const [role, count, gap] = process.argv.slice(2)
const options = { removeOnComplete: true, removeOnFail: true }

if (role === 'work') {
  let done = 0, said = 0, last = 0
  const worker = new Worker('bench', async (job) => {
    last = now()
    done++
    if (job.data.t > 0) console.log(`late ${last - job.data.t}`)
  }, { connection, concurrency: 256 })
  const tick = setInterval(() => {
    if (done !== said) console.log(`done ${process.pid} ${done} ${last}`)
    said = done
  }, 10)
  await worker.waitUntilReady()
  console.log('ready')
  process.once('SIGTERM', async () => {
    clearInterval(tick)
    await worker.close()
    process.exit(0)
  })
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
