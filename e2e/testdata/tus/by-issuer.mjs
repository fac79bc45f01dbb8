// People log in by an issuer: by-issuer.mjs CHROMIUM SITE LINK. LINK is of has@example.com. Prints
// "done <step>" lines; a step that goes wrong ends it.
import { open } from './chromium.mjs'

const [executablePath, site, link] = process.argv.slice(2)
const { context, end } = await open(executablePath)

function check(ok, what) {
  if (!ok) throw new Error(what)
}

// at waits for what the page says.
async function says(page, text) {
  await page.locator('main').getByText(text).first().waitFor({ timeout: 180_000 })
}

// atIssuer is somebody at the issuer's own pages.
async function atIssuer(page, name) {
  await page.locator('input[name=login]').fill(name)
  await page.locator('input[name=password]').fill('any')
  await page.locator('button[type=submit]').click()
  await page.locator('button[type=submit]').click() // consent
}

async function begin() {
  await context.clearCookies()
  const page = context.pages()[0]
  await page.goto(site + '/ui/login?return_to=/ui/login/account')
  await page.getByRole('link', { name: /Sign in with/ }).click()
  return page
}

try {
  for (const [step, name, text] of [['invited', 'invited@example.com', 'viewer, tenant default'],
    ['welcome', 'eve@welcome.example', 'viewer, tenant default'],
    ['unverified', 'unverified-eve@welcome.example', 'Nobody has invited you'],
    ['nobody', 'eve@example.org', 'Nobody has invited you'],
    ['has a login', 'has@example.com', null]]) {
    if (step === 'has a login') {
      await context.clearCookies()
      const page = context.pages()[0]
      await page.goto(link)
      await page.getByLabel('New password').fill('correct horse battery')
      await page.getByRole('button').first().click()
      await says(page, 'has@example.com')
    }
    const page = await begin()
    await atIssuer(page, name)
    await says(page, text ?? 'You have another way to log in')
    if (step === 'invited') {
      // Who has no other way to log in proves again who it is there; that the issuer knows it is no proof.
      const before = (await context.cookies()).find((c) => c.name === '__Host-longshore').value
      await page.goto(site + '/ui/login/again?return_to=/ui/login/account')
      check(await page.locator('input[name=password]').count() === 0, 'a password is asked for')
      await page.getByRole('link', { name: /Prove it at/ }).click()
      await page.locator('input[name=login]').waitFor({ timeout: 180_000 })
      await atIssuer(page, 'somebody-else@example.com')
      await says(page, 'didn’t let you in')
      await page.goto(site + '/ui/login/again?return_to=/ui/login/account')
      await page.getByRole('link', { name: /Prove it at/ }).click()
      await atIssuer(page, name)
      await says(page, text)
      check((await context.cookies()).find((c) => c.name === '__Host-longshore').value !== before, 'the same session')
      console.log('done again')
    }
    console.log('done ' + step)
  }
  const page = context.pages()[0]
  await context.clearCookies()
  await page.goto(site + '/ui/login?return_to=/ui/login/account')
  await page.getByLabel('E-mail').fill('has@example.com')
  await page.getByLabel('Password').fill('correct horse battery')
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.getByRole('link', { name: /too$/ }).click()
  await atIssuer(page, 'another-name@example.com')
  await says(page, 'You can sign in by')
  const again = await begin()
  await atIssuer(again, 'another-name@example.com')
  await says(again, 'operator, tenant default')
  console.log('done linked')

  // Another browser's way back is worth nothing, nor one that is used twice.
  const third = await begin()
  await context.clearCookies({ domain: 'localhost' })
  await atIssuer(third, 'another-name@example.com')
  await says(third, 'begun in another browser')
  let back
  third.on('request', (request) => {
    if (request.url().includes('/issuer/back?')) back ??= request.url()
  })
  await begin()
  await atIssuer(third, 'another-name@example.com')
  await says(third, 'operator, tenant default')
  for (const url of [back, back.replace(/state=[^&]*/, 'state=x')]) {
    await third.goto(url)
    await says(third, 'begun in another browser')
  }
  console.log('done other browser')
} catch (error) {
  console.error(error, context.pages()[0].url(), (await context.pages()[0].content()).slice(0, 3000))
  process.exitCode = 1
} finally {
  await end()
}
