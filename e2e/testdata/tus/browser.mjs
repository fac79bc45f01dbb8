// Opens a page in Chromium and waits until it says how its upload ended:
// browser.mjs CHROMIUM URL. Prints what the page said.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const [executablePath, url] = process.argv.slice(2)
const profile = mkdtempSync(join(tmpdir(), 'longshore-browser-'))
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  timeout: 120_000,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
})
context.setDefaultTimeout(120_000) // of a machine that does much else
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
  await context.close()
  rmSync(profile, { recursive: true, force: true })
  process.exitCode = code
}
