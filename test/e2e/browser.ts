import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import { chromiumPath } from '../helpers/chromium.ts'
import type { Test } from './example.ts'

const ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'
]

const executablePath = await chromiumPath()

/** For tests that need a browser. */
export const browserTest = { skip: executablePath === null ? 'no Chromium' : false } as const

export async function launchBrowser (t: Test): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: executablePath!, args: ARGS })
  t.teardown(() => browser.close())
  return browser
}

/** The page of somebody new, and everything that went wrong on it. */
export async function visit (browser: Browser, address: string, options: BrowserContextOptions = {}): Promise<{ page: Page, faults: string[] }> {
  const page = await (await browser.newContext(options)).newPage()
  const faults: string[] = []
  page.on('pageerror', error => faults.push(error.message))
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(message.text())
  })
  await page.goto(address)
  await page.locator('main[aria-busy=false]').waitFor()
  return { page, faults }
}
