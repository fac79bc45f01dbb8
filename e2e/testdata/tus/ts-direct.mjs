// Drives clients/typescript in Node straight to a bucket, or where there is none: ts-direct.mjs URL FILE.
import { openAsBlob } from 'node:fs'
import { Longshore } from './longshore.js'

const [url, file] = process.argv.slice(2)
const longshore = new Longshore({ url, transports: ['events'], storage: null })
const told = []
const run = longshore.upload(await openAsBlob(file), { type: 'file.checksum', direct: true, filename: 'in.bin', labels: { of: 'a page' },
  onUpload: (u) => told.push(u.sent) })
const end = await run.end
console.log(JSON.stringify({ state: end.state, sha256: end.result?.sha256, label: end.labels?.of, told: told.length, most: Math.max(...told) }))
