import t from 'tap'
import type { Locator, Page } from 'playwright-core'
import { messages } from '../../examples/chat/messages.ts'
import { freePort } from '../helpers/ports.ts'
import { browserTest, launchBrowser, visit } from './browser.ts'
import { startExample, type Example, type Test } from './example.ts'

const [weather, employment, electricity, penguins, gapminder] = messages.map(({ question }) => question) as [string, string, string, string, string]

const message = (page: Page, question: string) => page.getByRole('article').filter({ hasText: question })
const generate = (within: Locator) => within.getByRole('button', { name: 'Generate chart' }).click()
const isShown = (locator: Locator) => locator.waitFor({ state: 'visible' })

async function ask (within: Locator, adjustment: string): Promise<void> {
  await within.getByLabel('Adjust the chart').fill(adjustment)
  await generate(within)
}

/** A picture that is really there: a broken one has no height. */
async function isDrawn (within: Locator): Promise<boolean> {
  const image = within.getByRole('img')
  await isShown(image)
  const box = await image.boundingBox()
  return box !== null && box.height > 100
}

async function startDemo (t: Test, pace: number, port?: number): Promise<Example> {
  return startExample(t, 'demo', { PORT: String(port ?? await freePort()), PACE: String(pace) })
}

t.test('the page of the demo', browserTest, async t => {
  const browser = await launchBrowser(t)

  await t.test('says where a chart stands in the line, and when it will be there', async t => {
    const demo = await startDemo(t, 2_000)
    const { page, faults } = await visit(browser, demo.address)
    await generate(message(page, weather))
    t.ok(await isDrawn(message(page, weather)))
    // Two are made at a time.
    for (const question of [employment, electricity, penguins, gapminder]) await generate(message(page, question))
    await isShown(message(page, gapminder).getByRole('status').filter({ hasText: /^Waiting, number 2 in line$/ }))
    await isShown(message(page, gapminder).getByText(/^0 % · about \d+ s$/))
    await message(page, penguins).getByRole('button', { name: 'Cancel' }).click()
    await isShown(message(page, gapminder).getByRole('status').filter({ hasText: /^Waiting, next in line$/ }))
    t.ok(await isDrawn(message(page, gapminder)))
    t.same(faults, [])
  })

  await t.test('shows a chart coming, picks it up after a reload, and shows it when it is there', async t => {
    const demo = await startDemo(t, 1_500)
    const { page, faults } = await visit(browser, demo.address)
    t.equal(await page.getByRole('article').count(), messages.length)
    const asked = message(page, weather)
    await isShown(asked.getByText('No chart yet.'))
    await isShown(asked.getByRole('cell', { name: '160.63' }))

    await generate(asked)
    const bar = asked.getByRole('progressbar')
    await isShown(bar)
    await isShown(asked.locator('.steps .done').getByText('Reading the data'))
    t.ok(Number(await bar.getAttribute('aria-valuenow')) >= 25)
    t.match(await bar.getAttribute('aria-valuetext'), /^\d+ %, Planning the chart$/)
    await isShown(asked.getByRole('status').filter({ hasText: 'Planning the chart' }))

    await page.reload()
    await isShown(bar)
    t.ok(Number(await bar.getAttribute('aria-valuenow')) >= 25, 'not from the beginning')
    t.ok(await isDrawn(asked))
    t.match(await asked.getByRole('img').getAttribute('alt'), /^Precipitation by month/)
    t.notOk(await bar.isVisible())

    await asked.getByText('Data', { exact: true }).click()
    await isShown(asked.getByRole('region', { name: 'Data of the chart' }).getByRole('cell', { name: 'Dec' }))
    t.equal(await asked.getByRole('link', { name: 'Download SVG' }).getAttribute('download'), 'precipitation-by-month.svg')

    await page.reload()
    t.ok(await isDrawn(asked), 'and it is still there later')
    t.same(faults, [])
  })

  await t.test('cancels, fails and retries', async t => {
    const demo = await startDemo(t, 500)
    const { page, faults } = await visit(browser, demo.address)
    const cards = (within: Locator) => within.getByRole('list').locator('.card')

    const failing = message(page, employment)
    await ask(failing, 'as a pie chart')
    await isShown(failing.getByRole('alert').filter({ hasText: '“as a pie chart” was not understood' }))
    await isShown(failing.getByText('ADJUSTMENT_NOT_UNDERSTOOD'))
    await page.reload()
    await isShown(failing.getByText('ADJUSTMENT_NOT_UNDERSTOOD'))
    t.equal(await failing.getByLabel('Adjustment for the next try').inputValue(), 'as a pie chart')
    await failing.getByLabel('Adjustment for the next try').fill('as a bar chart')
    await failing.getByRole('button', { name: 'Retry' }).click()
    t.ok(await isDrawn(failing))
    t.equal(await cards(failing).count(), 1, 'in the place of what had failed')
    await page.reload()
    t.ok(await isDrawn(failing))
    t.equal(await cards(failing).count(), 1, 'what failed before is history')

    const cancelled = message(page, electricity)
    await generate(cancelled)
    await cancelled.getByRole('button', { name: 'Cancel' }).click()
    await isShown(cancelled.getByText('Cancelled'))
    t.notOk(await cancelled.getByRole('progressbar').isVisible())
    await cancelled.getByRole('button', { name: 'Retry' }).click()
    t.ok(await isDrawn(cancelled))

    await generate(cancelled)
    await isShown(cancelled.locator('.pointed-out'))
    t.equal(await cards(cancelled).count(), 1, 'the same chart is not made twice')
    await cancelled.getByLabel('New, even if it exists').check()
    await generate(cancelled)
    await cards(cancelled).nth(1).getByRole('img').waitFor()
    t.equal(await cards(cancelled).count(), 2, 'unless one wants it')

    await message(page, penguins).getByRole('button', { name: 'by island' }).click()
    await generate(message(page, penguins))
    t.ok(await isDrawn(message(page, penguins)))
    t.same(faults, [])
  })

  await t.test('follows more charts than it has streams for', async t => {
    const demo = await startDemo(t, 100)
    const { page, faults } = await visit(browser, demo.address)
    const open = new Set<unknown>()
    let most = 0
    page.on('request', request => {
      if (!request.url().includes('/stream/')) return
      open.add(request)
      most = Math.max(most, open.size)
    })
    page.on('requestfinished', request => open.delete(request))
    page.on('requestfailed', request => open.delete(request))

    const adjustments = ['', 'log scale']
    for (const { question } of messages) {
      for (const adjustment of adjustments) await ask(message(page, question), adjustment)
    }
    await page.locator('figure:visible').nth(messages.length * adjustments.length - 1).waitFor()
    t.ok(most > 1 && most <= 4, `${most} streams at a time`)
    t.same(faults, [])
  })

  await t.test('says when the connection is lost, and what has become of the chart', async t => {
    const port = await freePort()
    const demo = await startDemo(t, 60_000, port)
    const { page } = await visit(browser, demo.address)
    const asked = message(page, gapminder)
    await generate(asked)
    await isShown(asked.getByRole('status').filter({ hasText: 'Reading the data' }))
    t.equal(await demo.end('SIGTERM'), 0, 'an open page does not keep the demo from ending')
    await isShown(asked.getByText('Connection lost, reconnecting…'))

    const other = message(page, weather)
    await generate(other)
    await isShown(other.getByText('The server cannot be reached'))

    await startDemo(t, 10, port)
    await isShown(asked.getByText('The server does not know this chart any more'))
    await asked.getByRole('button', { name: 'Retry' }).click()
    t.ok(await isDrawn(asked))
    await generate(other)
    t.ok(await isDrawn(other))
    t.notOk(await other.getByText('The server cannot be reached').isVisible())
  })

  await t.test('works by keyboard', async t => {
    const demo = await startDemo(t, 60_000)
    const { page } = await visit(browser, demo.address)
    const asked = message(page, weather)
    await asked.getByLabel('Adjust the chart').fill('as a line chart')
    await page.keyboard.press('Enter')
    await isShown(asked.getByRole('progressbar', { name: 'Chart, “as a line chart”' }))
    await asked.getByRole('button', { name: 'Cancel' }).focus()
    await page.keyboard.press('Enter')
    await isShown(asked.getByText('Cancelled'))
    await isShown(asked.locator('.card:focus'))
    await page.keyboard.press('Tab')
    await isShown(asked.getByLabel('Adjustment for the next try').and(page.locator(':focus')))
  })

  await t.test('fits a phone, in the dark too', async t => {
    const demo = await startDemo(t, 10)
    const { page, faults } = await visit(browser, demo.address, { viewport: { width: 360, height: 740 }, colorScheme: 'dark', isMobile: true, hasTouch: true })
    for (const { question } of messages) {
      const asked = message(page, question)
      await asked.getByRole('button', { name: 'Generate chart' }).tap()
      t.ok(await isDrawn(asked))
      const { width } = (await asked.getByRole('img').boundingBox())!
      t.ok(width <= 336, `${width} px wide`)
    }
    const { width } = (await page.locator('main').boundingBox())!
    t.ok(width <= 360, 'nothing sticks out')
    t.same(faults, [])
  })
})
