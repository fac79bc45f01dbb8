// A person registers by a link, and logs in by each way: people.mjs CHROMIUM LINK EMAIL. Prints
// "done <step>" lines; a step that goes wrong ends it.
import { createHmac } from 'node:crypto'
import { createServer } from 'node:http'
import { open } from './chromium.mjs'

const [executablePath, link, email] = process.argv.slice(2)
const site = new URL(link).origin
const password = 'correct horse battery'
const ends = []

async function browser(options = {}) {
  const { context, end } = await open(executablePath, options)
  ends.push(end)
  const page = await context.newPage()
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) {
      console.error(message.text())
      process.exitCode = 1
    }
  })
  page.on('pageerror', (error) => console.error(String(error)))
  return page
}

function check(ok, what) {
  if (!ok) throw new Error(what)
}

// code is what an app shows in a step of 30 s.
function code(secret, step) {
  const bits = [...secret.replace(/ /g, '')].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(step))
  const sum = createHmac('sha1', key).update(counter).digest()
  return String((sum.readUInt32BE(sum[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

const step = () => Math.floor(Date.now() / 30_000)
const at = (page, path) => page.waitForURL((url) => url.pathname === path)
const press = (page, name) => page.getByRole('button', { name, exact: true }).click()

async function signIn(page) {
  await page.goto(site + '/ui/login?return_to=/ui/login/account')
  await page.getByLabel('E-mail').fill(email)
  await page.getByLabel('Password').fill(password)
  await press(page, 'Sign in')
}

async function looks(page, what) {
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme })
    await page.setViewportSize({ width: 360, height: 740 })
    const seen = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth,
      ground: getComputedStyle(document.body).backgroundColor,
      nameless: [...document.querySelectorAll('input:not([type=hidden]), button')].filter((e) =>
        !(e.labels && e.labels.length) && !e.textContent.trim()).map((e) => e.outerHTML),
    }))
    check(seen.wide <= 360, `${what} is ${seen.wide} wide on a phone`)
    check((seen.ground === 'rgb(252, 252, 250)') === (theme === 'light'), `${what} in ${theme} is ${seen.ground}`)
    check(seen.nameless.length === 0, `${what} has no label for ${seen.nameless}`)
  }
}

async function run() {
  const page = await browser()
  await page.goto(site + '/ui/login')
  await looks(page, 'the login page')
  await page.goto(link)
  await page.getByLabel('New password').fill(password)
  await press(page, 'Set it and sign in')
  await at(page, '/ui/login/account')
  await looks(page, 'the account')
  console.log('done register')

  await page.getByRole('link', { name: 'Set up an app' }).click()
  const secret = await page.locator('#secret').textContent()
  check(await page.locator('svg.qr path').count() === 1, 'no QR code')
  const first = step() - 1
  await page.getByLabel('The six digits').fill(code(secret, first))
  await press(page, 'Use this app')
  await page.getByText('Write these down').waitFor()
  const recovery = await page.locator('.codes code').allTextContents()
  await page.getByRole('link', { name: 'I have them' }).click()
  console.log('done codes')

  const cdp = await page.context().newCDPSession(page)
  await cdp.send('WebAuthn.enable')
  await cdp.send('WebAuthn.addVirtualAuthenticator', { options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true,
    hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } })
  await page.getByLabel('Name of a new one').fill('test key')
  await press(page, 'Make a passkey')
  await page.getByText('test key').waitFor()
  await press(page, 'Sign out')
  await at(page, '/ui/login')
  check((await page.evaluate(async () => (await fetch('/v1/jobs')).status)) === 401, 'signed out, and still let in')
  await page.goto(site + '/ui/login?return_to=/ui/login/account')
  await press(page, 'Sign in with a passkey')
  await at(page, '/ui/login/account')
  check((await page.evaluate(async () => (await fetch('/v1/jobs')).status)) === 200, 'a passkey lets nobody in')
  console.log('done passkey')

  const other = await browser({ javaScriptEnabled: false })
  await signIn(other)
  await at(other, '/ui/login/code')
  await other.getByLabel('Six digits').fill(code(secret, Math.max(step(), first + 1)))
  await press(other, 'Go on')
  await at(other, '/ui/login/account')
  console.log('done code, without scripts')

  // What a page of another site may do with the cookie: nothing.
  const foreign = createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end('<p>another site'))
  await new Promise((done) => foreign.listen(0, '127.0.0.1', done))
  const evil = await page.context().newPage()
  await evil.goto(`http://127.0.0.1:${foreign.address().port}/`)
  const tried = await evil.evaluate(async (site) => {
    const asked = await fetch(site + '/v1/jobs', { credentials: 'include', mode: 'no-cors' }).then((r) => r.type, (e) => String(e))
    await fetch(site + '/ui/login/logout', { method: 'POST', credentials: 'include', mode: 'no-cors', body: new URLSearchParams() }).catch(() => {})
    const socket = await new Promise((done) => {
      const ws = new WebSocket(site.replace('http', 'ws') + '/v1/socket', 'longshore.v1')
      ws.onopen = () => done('open')
      ws.onerror = () => done('refused')
    })
    document.body.innerHTML = `<form method="post" action="${site}/ui/login/logout"><button>x</button></form>`
    return { asked, socket }
  }, site)
  check(tried.socket === 'refused', 'a socket of another site opens')
  await evil.getByRole('button').click()
  await evil.waitForLoadState()
  await evil.close()
  foreign.close()
  await page.reload()
  await at(page, '/ui/login/account')
  const socket = await page.evaluate(() => new Promise((done) => {
    const ws = new WebSocket(location.origin.replace('http', 'ws') + '/v1/socket', 'longshore.v1')
    ws.onopen = () => done('open')
    ws.onerror = () => done('refused')
  }))
  check(socket === 'open', 'a socket of our own page is refused')
  console.log('done another site')

  await press(page, 'End')
  await page.waitForFunction(() => document.querySelectorAll('input[name=session]').length === 0)
  for (let i = 0; ; i++) {
    await other.goto(site + '/ui/login/account')
    if (new URL(other.url()).pathname === '/ui/login') break
    check(i < 50, 'a session that was ended goes on')
    await other.waitForTimeout(100)
  }
  console.log('done end another session')

  await signIn(other)
  await other.getByLabel('Six digits').fill(recovery[0])
  await press(other, 'Go on')
  await at(other, '/ui/login/account')
  await other.goto(site + '/ui/login/again?return_to=/ui/login/account')
  await other.getByLabel('Password').fill(password)
  await press(other, 'Go on')
  await other.getByLabel('Six digits').fill(recovery[1])
  await press(other, 'Go on')
  await at(other, '/ui/login/account')
  check((await other.textContent('main')).includes('8 codes are left'), 'codes are used twice')
  console.log('done step-up')
}

try {
  await run()
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  for (const end of ends) await end()
}
