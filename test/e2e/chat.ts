// What one sees and does on the page of the chat.
import type { Locator, Page } from 'playwright-core'
import tap from 'tap'
import { messages } from '../../examples/chat/messages.ts'
import { freePort } from '../helpers/ports.ts'
import { startExample, type Example, type Test } from './example.ts'

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

export async function startDemo (t: Test, pace: number, port?: number): Promise<Example> {
  return startExample(t, 'demo', { PORT: String(port ?? await freePort()), PACE: String(pace) })
}

const shared = new Map<number, Promise<Example>>()

/** One demo for all tests of a file: each browser context is a visitor of its own. For charts that are made quickly: what one leaves behind, the next waits for. */
export function sharedDemo (pace: number): Promise<Example> {
  const known = shared.get(pace)
  if (known) return known
  const demo = startDemo(tap, pace)
  shared.set(pace, demo)
  return demo
}
