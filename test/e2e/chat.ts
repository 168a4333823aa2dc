// What one sees and does on the page of the chat.
import type { Locator, Page } from 'playwright-core'
import tap from 'tap'
import { messages } from '../../examples/chat/messages.ts'
import { buildDemo } from '../../examples/demo-app.ts'
import type { Test } from './example.ts'

export const [weather, employment, electricity, penguins, gapminder] = messages.map(({ question }) => question) as [string, string, string, string, string]

export const message = (page: Page, question: string) => page.getByRole('article').filter({ hasText: question })
export const cards = (within: Locator) => within.locator('.card')
export const headings = (within: Locator) => cards(within).getByRole('heading').allTextContents()
export const generate = (within: Locator) => within.getByRole('button', { name: 'Generate chart' }).click()
export const isShown = (locator: Locator) => locator.waitFor({ state: 'visible' })
export const isGone = (locator: Locator) => locator.waitFor({ state: 'hidden' })

/** What has the focus: the name of a field, else its text. */
export const focusOf = (page: Page) => page.locator(':focus').evaluate(element => {
  const { name, textContent } = element as unknown as { name?: string, textContent: string }
  return name || textContent
})

export async function ask (within: Locator, adjustment: string): Promise<void> {
  await within.getByLabel('Adjust the chart').fill(adjustment)
  await generate(within)
}

/** A picture that is really there: a broken one has no height. It comes while one looks. */
export async function isDrawn (within: Locator): Promise<boolean> {
  const image = within.getByRole('img')
  await within.scrollIntoViewIfNeeded()
  await isShown(image)
  const box = await image.boundingBox()
  return box !== null && box.height > 100
}

/** A demo in this process: to start one takes a tenth of the time of a process. */
export async function startDemo (t: Test, pace: number): Promise<{ readonly address: string }> {
  const app = await buildDemo({ concurrency: 2, pace, logLevel: undefined })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => {
    app.server.closeAllConnections()
    return app.close()
  })
  return { address }
}

const shared = new Map<number, ReturnType<typeof startDemo>>()

/** One demo for all tests of a process: each browser context is a visitor of its own. For charts that are made quickly: what one leaves behind, the next waits for. */
export function sharedDemo (pace: number): ReturnType<typeof startDemo> {
  const known = shared.get(pace)
  if (known) return known
  const demo = startDemo(tap, pace)
  shared.set(pace, demo)
  return demo
}
