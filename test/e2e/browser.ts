import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { chromiumPath } from '../helpers/chromium.ts'

const executablePath = await chromiumPath()

/** For tests that need a browser. */
export const browserTest = { skip: executablePath === null ? 'no Chromium' : false } as const

/** The page of somebody new, and everything that went wrong on it. */
export async function visit (browser: Browser, address: string, options: BrowserContextOptions = {}): Promise<{ page: Page, faults: string[] }> {
  const page = await (await browser.newContext(options)).newPage()
  // A limit for what hangs: ten charts are drawn at a time here, and the machine has other tests to run.
  page.setDefaultTimeout(90_000)
  const faults: string[] = []
  page.on('pageerror', error => faults.push(error.message))
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(message.text())
  })
  await page.goto(address)
  await page.locator('main[aria-busy=false]').waitFor()
  return { page, faults }
}
