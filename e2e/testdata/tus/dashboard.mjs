// Drives the dashboard in Chromium: dashboard.mjs CHROMIUM URL PICTURE. It says "worker", "kill" and "start" when a
// worker is to come, and the server to be killed and started, and what came of all at the end.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { open } from './chromium.mjs'

const [executablePath, url, picture] = process.argv.slice(2)
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const trouble = [], foreign = []
const api = async (path, body) => (await fetch(url + path, body && { method: 'POST', body: JSON.stringify(body),
  headers: { 'Content-Type': 'application/json' } })).json()
const submit = (type, payload, more) => api('/v1/jobs', { type, payload, ...more })
const long = { n: 60_000_000_000 }

const { context, end } = await open(executablePath)
let code = 1, last = { end }
try {
  await context.addInitScript(() => addEventListener('securitypolicyviolation', (e) => console.error('CSP ' + e.violatedDirective + ' ' + e.blockedURI)))
  const page = await context.newPage()
  const state = (word) => page.locator('.job > .st', { hasText: word }).waitFor({ timeout: 120_000 })
  page.on('pageerror', (error) => trouble.push(String(error)))
  page.on('console', (m) => { if (/CSP|Content Security|Trusted/.test(m.text())) trouble.push(m.text()) })
  page.on('request', (r) => { if (!r.url().startsWith(url) && !r.url().startsWith('blob:' + url) && !r.url().startsWith('ws' + url.slice(4))) foreign.push(r.url()) })

  // nothing is there: what to do first
  await page.goto(url + '/ui/')
  await page.getByText('nothing has run here yet').waitFor()
  await page.getByText('no worker yet, listening').waitFor()
  console.log('worker')
  await page.getByText('1 worker is there').or(page.getByText('of 2 slots')).or(page.locator('h2', { hasText: 'Types' })).first().waitFor()

  // a form from the schema: what is wrong is said at its field, then it runs
  await page.goto(url + '/ui/new?type=math.primes')
  await page.getByLabel('n *').fill('many')
  await page.getByRole('button', { name: 'Run it' }).click()
  await page.locator('#f-n-d', { hasText: 'whole number' }).waitFor()
  await page.getByLabel('n *').fill('1000')
  await page.getByRole('button', { name: 'Run it' }).click()
  await state('succeeded')
  await page.getByText('168').first().waitFor() // the primes below

  // a picture, dropped, paused and gone on with, to its preview
  await page.goto(url + '/ui/new?type=image.resize')
  await page.getByLabel('width').fill('64')
  const cdp = await context.newCDPSession(page)
  await cdp.send('Network.enable')
  const slow = (uploadThroughput) => cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput })
  await slow(40_000)
  const bytes = readFileSync(picture).toString('base64')
  const data = await page.evaluateHandle((text) => {
    const d = new DataTransfer()
    d.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], 'in.png', { type: 'image/png' }))
    return d
  }, bytes)
  await page.dispatchEvent('.drop', 'drop', { dataTransfer: data })
  await page.getByRole('button', { name: 'Upload and run' }).click()
  await page.locator('.sending a').waitFor()
  await page.getByRole('button', { name: 'Pause in.png' }).click()
  await page.locator('.sending', { hasText: 'paused' }).waitFor()
  await slow(-1)
  await page.getByRole('button', { name: 'Resume in.png' }).click()
  await page.locator('.sending .st', { hasText: 'succeeded' }).waitFor({ timeout: 120_000 })
  await page.locator('.sending a').click()
  await page.waitForFunction(() => document.querySelector('figure img')?.naturalWidth === 64)
  const pictured = page.url()

  // cancel what runs
  const running = await submit('math.primes', long, { timeout: '10m' })
  await page.goto(url + '/ui/jobs/' + running.id)
  await state('running')
  await page.getByRole('button', { name: 'Cancel' }).click()
  await state('canceled')

  // a job that fails says why, and is retried as another one
  const broken = await (await fetch(url + '/v1/jobs/csv.to_ndjson', { method: 'POST', body: 'a,b\n1\n' })).json()
  await page.goto(url + '/ui/jobs/' + broken.id)
  await page.locator('.why .code', { hasText: 'corrupt_input' }).waitFor()
  await page.getByRole('button', { name: 'Retry' }).click()
  await page.waitForURL((u) => !u.pathname.endsWith(broken.id) && u.pathname.includes('/jobs/'))

  // filters stand in the address: they survive a reload, and back goes back
  await page.goto(url + '/ui/jobs')
  await page.locator('.states a', { hasText: 'canceled' }).click()
  await page.waitForURL(/state=canceled/)
  await page.locator('tbody tr').first().waitFor()
  await page.reload()
  await page.locator('.states [aria-current]', { hasText: 'canceled' }).waitFor()
  await page.locator('tbody tr').first().waitFor() // the rows come after the frame
  const canceled = await page.locator('tbody tr').count()
  await page.locator('tbody a').first().click()
  await state('canceled')
  await page.goBack()
  await page.locator('.states [aria-current]', { hasText: 'canceled' }).waitFor()
  await page.goBack()
  await page.locator('.states:not(:has([aria-current]))').waitFor()
  await page.locator('tbody tr').nth(3).waitFor()

  // markup in a label is text, on the job's page and as a filter
  const marked = await submit('math.primes', { n: 1000 }, { labels: { user: '<img src=x onerror=alert(1)>' } })
  for (const path of ['jobs/' + marked.id, 'jobs?label=' + encodeURIComponent('user=<img src=x onerror=alert(1)>')]) {
    await page.goto(url + '/ui/' + path)
    await page.getByText('<img src=x onerror=alert(1)>').first().waitFor()
    if (await page.locator('img[src="x"]').count()) trouble.push('markup became an element on ' + path)
  }

  // a group of failures is retried: the dry run's number first
  await page.goto(url + '/ui/failures')
  await page.getByRole('link', { name: /^Open csv/ }).click()
  await page.getByRole('button', { name: 'Dry run of a retry' }).click()
  await page.locator('.bulk input').last().fill('the feed is mended')
  await page.getByRole('button', { name: /^Retry \d+ jobs?$/ }).click()
  await page.locator('#operations tbody tr', { hasText: 'the feed is mended' }).locator('.st', { hasText: 'succeeded' }).waitFor()

  // a queue is paused and goes on; the worker is drained and takes again
  await page.goto(url + '/ui/queues')
  await page.getByRole('button', { name: 'Pause cpu, low' }).click()
  await page.locator('#why').fill('on call')
  await page.locator('dialog button.first').click()
  await page.locator('#pauses', { hasText: 'on call' }).waitFor()
  await page.getByRole('button', { name: 'Resume cpu, low' }).first().click()
  await page.locator('#pauses', { hasText: 'Nothing is paused' }).waitFor()
  await page.getByRole('button', { name: /^Drain \w{6}$/ }).click()
  await page.locator('dialog button.first').click()
  await page.locator('#workers td', { hasText: 'draining' }).waitFor()
  await page.getByRole('button', { name: /^Resume \w{6}$/ }).click()
  await page.locator('#workers td', { hasText: 'taking' }).waitFor()

  // the server is killed and started: the page says so, and catches up by itself
  const survivor = await submit('math.primes', { n: 1000 }, { run_at: new Date(Date.now() + 5000).toISOString() })
  await page.goto(url + '/ui/jobs/' + survivor.id)
  await page.locator('h1', { hasText: 'math.primes' }).waitFor()
  console.log('kill')
  await page.locator('.away').waitFor({ timeout: 120_000 })
  console.log('start')
  await state('succeeded')
  await page.locator('.away').waitFor({ state: 'detached', timeout: 120_000 })

  // the socket is one a tab, and what all pages need to be read by everybody is there, light and dark, wide and narrow
  await end()
  const looked = {}
  last = await open(executablePath, { bypassCSP: true, reducedMotion: 'reduce' })
  const p = await last.context.newPage()
  for (const [path, width] of [['', 1440], ['jobs?state=failed', 360], ['jobs/' + survivor.id, 360], ['jobs/' + broken.id, 1440],
    [pictured.slice(url.length + 4), 1440], ['failures', 1440], ['queues', 360], ['new?type=image.resize', 1440], ['types', 1440], ['access', 360]]) {
    await p.setViewportSize({ width, height: 900 })
    await p.goto(url + '/ui/' + path)
    await p.locator('h1').first().waitFor()
    await p.locator('main :is(.sec, .empty)').first().waitFor()
    await p.evaluate(axe)
    for (const colorScheme of ['light', 'dark']) {
      await p.emulateMedia({ colorScheme, reducedMotion: 'reduce' }) // no colour on its way to another
      const found = await p.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
      for (const v of found.violations) trouble.push(`${colorScheme} ${path} ${v.id} ${v.nodes[0].target} ${v.nodes[0].any[0]?.message ?? ''}`)
      looked[colorScheme] = (looked[colorScheme] ?? 0) + 1
    }
    const wide = await p.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    if (wide > 0) trouble.push(`${path} is ${wide} px wider than ${width}`)
  }
  console.log(JSON.stringify({ trouble, foreign, canceled, looked }))
  code = 0
} catch (error) {
  console.error(error, trouble)
} finally {
  await last.end().catch(() => {})
  process.exitCode = code
}
