// A user of the dashboard in a browser.
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'

export interface Visitor {
  readonly page: Page
  /** Errors and warnings of the page, without refused requests. */
  readonly faults: string[]
  /** Requests of the script since the page was opened. */
  readonly asked: string[]
  /** Sets the session cookie, as a sign-in in another tab does. */
  signIn (user?: string): Promise<void>
  signOut (): Promise<void>
}

export async function visit (browser: Browser, url: string, { user = 'root', ...options }: BrowserContextOptions & { user?: string | null } = {}): Promise<Visitor> {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  const faults: string[] = []
  const asked: string[] = []
  page.on('pageerror', error => faults.push(error.message))
  page.on('console', message => {
    // Chromium logs every refused request; the tests check how the page shows it.
    if (/error|warning/.test(message.type()) && !/^Failed to load resource/.test(message.text())) faults.push(message.text())
  })
  page.on('request', request => {
    if (request.resourceType() === 'fetch') asked.push(`${request.method()} ${new URL(request.url()).pathname}`)
  })
  const visitor = {
    page,
    faults,
    asked,
    signIn: (user = 'root') => context.addCookies([{ name: 'user', value: user, url }]),
    signOut: () => context.clearCookies()
  }
  if (user !== null) await visitor.signIn(user)
  await page.goto(url)
  return visitor
}

/** Simulates that another tab is in front, or this one again. */
export async function setHidden (page: Page, hidden: boolean): Promise<void> {
  await page.evaluate(`(() => {
    Object.defineProperties(document, { hidden: { value: ${hidden}, configurable: true }, visibilityState: { value: '${hidden ? 'hidden' : 'visible'}', configurable: true } })
    document.dispatchEvent(new Event('visibilitychange'))
  })()`)
}

/** The value of a tile of the overview. */
export const tile = (page: Page, name: string) => page.locator('.tile').filter({ hasText: new RegExp(`^${name}`) }).locator('dd')
export const line = (page: Page) => page.locator('#connection')
