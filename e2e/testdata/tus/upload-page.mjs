// Uploads a file in a page of examples/upload-page and waits for its job's end:
// upload-page.mjs CHROMIUM URL FILE LONGSHORE OTHER-JOB. Prints what the page shows, and how
// another job is answered to the page's token.
import { open } from './chromium.mjs'

const [executablePath, url, file, longshore, other] = process.argv.slice(2)
const { context, end } = await open(executablePath)
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
  await end()
  process.exitCode = code
}
