// Looks at the alerts on the dashboard's overview: alerts.mjs CHROMIUM URL TEXT, where TEXT is in one of them. It
// says what was wrong with the page.
import { open } from './chromium.mjs'

const [executablePath, url, text] = process.argv.slice(2)
const trouble = []
const { context, end } = await open(executablePath)
try {
  await context.addInitScript(() => addEventListener('securitypolicyviolation', (e) => console.error('CSP ' + e.violatedDirective + ' ' + e.blockedURI)))
  const page = await context.newPage()
  page.on('pageerror', (error) => trouble.push(String(error)))
  page.on('console', (m) => { if (/CSP|Content Security|Trusted/.test(m.text())) trouble.push(m.text()) })
  await page.goto(url + '/ui/')
  await page.locator('.alarms li', { hasText: text }).getByText('Open the groups').waitFor()
  if (await page.locator('.alarms img').count()) trouble.push('a text of an alert became an element')
} catch (error) {
  trouble.push(String(error))
} finally {
  await end()
}
console.log(JSON.stringify({ trouble }))
