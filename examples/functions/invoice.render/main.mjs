// Makes an invoice: what stands in {{braces}} in invoice.html is filled in. Uses nothing but Node.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const { LONGSHORE_PAYLOAD, LONGSHORE_FUNCTION, LONGSHORE_OUT, LONGSHORE_CONTROL } = process.env
const { number, customer, lines } = JSON.parse(readFileSync(LONGSHORE_PAYLOAD, 'utf8'))

const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
const money = (cents) => `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`

const sums = lines.map(({ cents, count = 1 }) => cents * count)
const total = sums.reduce((a, b) => a + b, 0)
if (!Number.isSafeInteger(total)) {
  console.error('the total is more than can be reckoned exactly')
  process.exit(65) // never again: the payload is wrong
}
const rows = lines.map(({ text, count = 1 }, i) => {
  const progress = { done: i + 1, total: lines.length, note: `line ${i + 1}` }
  appendFileSync(LONGSHORE_CONTROL, JSON.stringify({ progress }) + '\n')
  return `<tr><td>${escape(text)}</td><td>${count}</td><td>${money(sums[i])}</td></tr>`
})

const values = { number, customer: escape(customer), rows: rows.join('\n'), total: money(total) }
const page = readFileSync(join(LONGSHORE_FUNCTION, 'invoice.html'), 'utf8')
  .replace(/{{(\w+)}}/g, (_, name) => values[name])
writeFileSync(join(LONGSHORE_OUT, `invoice-${number}.html`), page)

console.error(`invoice ${number} has ${lines.length} lines`)
console.log(JSON.stringify({ number, cents: total }))
