// A Chromium of a test, with a profile of its own that goes at the end.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync']
const patience = 120_000 // ms, of a machine that does much else

export async function open(executablePath, options = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'longshore-browser-'))
  const context = await chromium.launchPersistentContext(profile,
    { executablePath, headless: true, timeout: patience, args, ...options })
  context.setDefaultTimeout(patience)
  const end = async () => {
    try { await context.close() } finally { rmSync(profile, { recursive: true, force: true }) }
  }
  return { context, end }
}
