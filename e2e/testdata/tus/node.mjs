// Uploads a file with tus-js-client: node.mjs ENDPOINT FILE. Prints a line of
// JSON: how often it tried again, and the job's id.
import fs from 'node:fs'
import * as tus from 'tus-js-client'

const [endpoint, file] = process.argv.slice(2)
let retries = 0
let job
const upload = new tus.Upload(fs.createReadStream(file), {
  endpoint,
  uploadSize: fs.statSync(file).size,
  retryDelays: Array(40).fill(100),
  metadata: { type: 'file.checksum', payload: '{"algorithms":["sha256"]}', filename: '../../in.bin' },
  onShouldRetry: (error, attempt) => {
    console.error(`retry ${attempt}: ${error}`)
    return Boolean(++retries)
  },
  onAfterResponse: (_, response) => { job = response.getHeader('Longshore-Job') ?? job },
  onError: (error) => { console.error(String(error)); process.exit(1) },
  onSuccess: () => { console.log(JSON.stringify({ retries, job, url: upload.url })); process.exit(0) },
})
upload.start()
