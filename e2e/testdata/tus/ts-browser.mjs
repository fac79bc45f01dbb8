// Drives clients/typescript in a page: ts-browser.mjs CHROMIUM PAGE LONGSHORE FILE. It pauses an upload, reloads the
// page, goes on, and has the server killed (it says "restart") while the job is followed on a socket.
import { open } from './chromium.mjs'

const [executablePath, url, server, file] = process.argv.slice(2)
const { context, end } = await open(executablePath)
let code = 1
try {
  const page = await context.newPage()
  page.on('pageerror', (error) => console.error(String(error)))
  let sent = 0, sockets = 0, streams = 0
  page.on('request', (request) => {
    if (request.method() === 'PATCH') sent += request.postDataBuffer()?.length ?? 0
    if (request.url().includes('/events')) streams++
  })
  page.on('websocket', () => sockets++)
  const load = async () => {
    await page.goto(url)
    await page.evaluate(async (server) => {
      const { Longshore } = await import('./longshore.js')
      window.longshore = new Longshore({ url: server })
    }, server)
    await page.setInputFiles('#file', file)
  }
  await load()
  // paused after the first pieces, and left
  const half = await page.evaluate(() => new Promise((resolve) => {
    const [blob] = document.getElementById('file').files
    const run = window.longshore.upload(blob, { type: 'file.checksum', onUpload: (u) => {
      if (u.sent && !u.paused) { run.pause(); setTimeout(async () => resolve({ sent: u.sent, id: await run.id }), 100) }
    } })
  }))
  const before = sent
  await load()
  sent = 0
  const under = await page.evaluate(() => window.longshore.unfinished())
  const id = await page.evaluate(async () => {
    const [blob] = document.getElementById('file').files
    window.run = window.longshore.upload(blob, { type: 'file.checksum' })
    window.shown = (async () => { for await (const job of window.run) window.last = job })()
    return window.run.id
  })
  await page.waitForFunction(() => window.last?.state === 'queued' || window.last?.done)
  console.log('restart')
  await page.waitForFunction(() => window.last?.done, null, { timeout: 180_000 })
  const end = await page.evaluate(() => window.run.end)
  const left = await page.evaluate(() => window.longshore.unfinished().length)
  console.log(JSON.stringify({ state: end.state, sha256: end.result?.sha256, same: id === half.id && under[0]?.id === id,
    before, half: half.sent, after: sent, left, sockets, streams }))
  code = 0
} finally {
  await end()
  process.exitCode = code
}
