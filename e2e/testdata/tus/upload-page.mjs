// Uploads a file in a page of examples/upload-page and waits for its job's end:
// upload-page.mjs CHROMIUM URL FILE LONGSHORE OTHER-JOB. Prints what the page shows, and how
// another job is answered to the page's token.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const [executablePath, url, file, longshore, other] = process.argv.slice(2)
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
  const tokens = new Set()
  page.on('response', async (response) => {
    if (new URL(response.url()).pathname === '/token' && response.ok()) tokens.add((await response.json()).token)
  })
  await page.goto(url)
  await page.setInputFiles('#file', file)
  await page.waitForFunction(() => document.getElementById('result').textContent, null, { timeout: 180_000 })
  const shown = await page.evaluate(() => [document.getElementById('state').value, document.getElementById('result').textContent])
  const foreign = await page.evaluate(async ([url, token]) =>
    (await fetch(url, { headers: { Authorization: 'Bearer ' + token } })).status, [`${longshore}/v1/jobs/${other}`, [...tokens].at(-1)])
  console.log(JSON.stringify({ state: shown[0], result: JSON.parse(shown[1]), tokens: tokens.size, foreign }))
  code = 0
} finally {
  await context.close()
  rmSync(profile, { recursive: true, force: true })
  process.exitCode = code
}
