// Opens a page in Chromium and waits until it says how its upload ended:
// browser.mjs CHROMIUM URL. Prints what the page said.
import { open } from './chromium.mjs'

const [executablePath, url] = process.argv.slice(2)
const { context, end } = await open(executablePath)
let code = 1
try {
  const page = await context.newPage()
  page.on('console', (message) => console.error(message.text()))
  page.on('pageerror', (error) => console.error(String(error)))
  await page.goto(url)
  const ended = await page.waitForFunction(() => window.ended, null, { timeout: 180_000 })
  console.log(JSON.stringify(await ended.jsonValue()))
  code = 0
} finally {
  await end()
  process.exitCode = code
}
