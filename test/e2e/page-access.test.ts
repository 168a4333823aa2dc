import t from 'tap'
import { messages } from '../../examples/chat/messages.ts'
import { openBrowser } from '../helpers/chromium.ts'
import { audit, colorsOf } from './audit.ts'
import { browserTest, visit } from './browser.ts'
import { ask, cards, employment, focusOf, generate, isDrawn, isShown, message, startDemo, weather } from './chat.ts'

t.test('the page in every hand', browserTest, async t => {
  const browser = await openBrowser(t)

  await t.test('works by keyboard', async t => {
    const demo = await startDemo(t, 60_000)
    const { page } = await visit(browser, demo.address)
    const asked = message(page, weather)
    await asked.getByLabel('Adjust the chart').fill('as a line chart')
    await page.keyboard.press('Enter')
    await isShown(asked.getByRole('progressbar', { name: 'As a line chart' }))
    await asked.getByRole('button', { name: 'Cancel' }).focus()
    await page.keyboard.press('Enter')
    await isShown(asked.getByText('Cancelled'))
    await isShown(asked.locator('.card:focus'))
    await page.keyboard.press('Tab')
    await isShown(asked.getByRole('button', { name: 'Dismiss' }).and(page.locator(':focus')))
    await page.keyboard.press('Tab')
    await isShown(asked.getByLabel('Adjustment for the next attempt').and(page.locator(':focus')))
  })

  await t.test('has everything on the way of the Tab key, in the order of the page', async t => {
    const demo = await startDemo(t, 10)
    const { page, faults } = await visit(browser, demo.address)
    const asked = message(page, weather)
    await generate(asked)
    t.ok(await isDrawn(asked))
    await asked.getByRole('region', { name: 'Some of the rows' }).focus()
    const stops = []
    for (let i = 0; i < 8; i++) {
      await page.keyboard.press('Tab')
      stops.push(await focusOf(page))
    }
    t.same(stops, ['Data', 'Download SVG', 'adjustment', 'Generate chart', 'by weather', 'as a line chart by year', 'only 2015, sorted', 'force'])

    await page.keyboard.press('Space')
    await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Enter')
    t.equal(await focusOf(page), 'adjustment', 'a suggestion goes into the field')
    await page.keyboard.press('Enter')
    await cards(asked).nth(1).getByRole('img').waitFor()
    await page.keyboard.press('Enter')
    await cards(asked).nth(1).getByRole('img').waitFor()
    t.equal(await focusOf(page), 'adjustment', 'new charts leave the focus where it is')

    await asked.getByText('Data', { exact: true }).first().focus()
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    await isShown(asked.getByRole('group', { name: 'Data of “Precipitation by month”' }).and(page.locator(':focus')))
    t.same(faults, [])
  })

  await t.test('keeps the focus and the scroll position where the chart exists already', async t => {
    const demo = await startDemo(t, 10)
    const { page, faults } = await visit(browser, demo.address, { viewport: { width: 900, height: 700 } })
    const asked = message(page, weather)
    const button = asked.getByRole('button', { name: 'Generate chart' })
    for (const [i, adjustment] of ['', 'by weather', 'by year'].entries()) {
      await ask(asked, adjustment)
      await cards(asked).nth(i).getByRole('img').waitFor()
    }
    await button.scrollIntoViewIfNeeded()
    const before = [await page.evaluate('scrollY'), await button.boundingBox()]
    await generate(asked)
    await isShown(asked.getByRole('status').filter({ hasText: 'You already have this chart' }))
    t.same([await page.evaluate('scrollY'), await button.boundingBox()], before)
    t.equal(await focusOf(page), 'Generate chart')

    await page.keyboard.press('Tab')
    await asked.getByRole('button', { name: 'Show it' }).focus()
    await page.keyboard.press('Enter')
    await isShown(cards(asked).first().and(page.locator(':focus')))
    const { y } = (await cards(asked).first().boundingBox())!
    t.ok(y >= 0 && y < 700, 'the user goes to the chart, when the user wants to')
    t.same(faults, [])
  })

  await t.test('keeps the focus where the page is loaded again', async t => {
    const demo = await startDemo(t, 10)
    const { page } = await visit(browser, demo.address)
    let failing = true
    await page.route('**/messages', route => failing ? route.abort() : route.continue())
    await page.route('**/by-message/*', route => failing ? route.abort() : route.continue())
    await page.reload()
    const again = page.getByRole('button', { name: 'Try again' })
    await again.focus()
    await page.keyboard.press('Enter')
    await isShown(again.and(page.locator(':focus')))
    await page.unroute('**/messages')
    await page.keyboard.press('Enter')
    await isShown(message(page, weather).getByRole('region', { name: 'Some of the rows' }).and(page.locator(':focus')))

    const load = message(page, weather).getByRole('button', { name: 'Load again' })
    await load.focus()
    failing = false
    await page.keyboard.press('Enter')
    await isShown(message(page, weather).getByText('No chart yet.'))
    t.equal(await focusOf(page), 'adjustment')
  })

  await t.test('has no fault that axe can find', async t => {
    const [slow, quick] = await Promise.all([startDemo(t, 60_000), startDemo(t, 10)])
    for (const [name, options] of Object.entries({
      'in the light': {},
      'in the dark': { colorScheme: 'dark' },
      'on a phone': { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }
    } as const)) {
      const { page } = await visit(browser, slow.address, options)
      await generate(message(page, weather))
      await isShown(message(page, weather).getByRole('progressbar'))
      await generate(message(page, weather))
      await isShown(message(page, weather).getByText('This chart is already being made'))
      await generate(message(page, employment))
      await message(page, employment).getByRole('button', { name: 'Cancel' }).click()
      await isShown(message(page, employment).getByText('Cancelled'))
      t.same(await audit(page), [], `${name}: one chart is being made, and one was cancelled`)
      await message(page, weather).getByRole('button', { name: 'Cancel' }).click()

      await page.goto(quick.address)
      await generate(message(page, weather))
      t.ok(await isDrawn(message(page, weather)))
      await message(page, weather).getByLabel('Make a new chart').check()
      await generate(message(page, weather))
      await cards(message(page, weather)).nth(1).getByRole('img').waitFor()
      for (const summary of await message(page, weather).getByText('Data', { exact: true }).all()) await summary.click()
      await ask(message(page, employment), 'as a pie chart')
      await isShown(message(page, employment).getByRole('alert').filter({ hasText: 'not understood' }))
      t.same(await audit(page), [], `${name}: two equal charts with their data, and one that failed`)
      await page.context().close()
    }
  })

  await t.test('shows progress in forced colours', async t => {
    const demo = await startDemo(t, 60_000)
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page } = await visit(browser, demo.address, { forcedColors: 'active', colorScheme })
      const bar = message(page, weather).getByRole('progressbar')
      await generate(message(page, weather))
      await isShown(bar)
      // The demo is slow on purpose: the page is given its half here.
      await bar.locator('div').evaluate(fill => (fill as unknown as { setAttribute (name: string, value: string): void }).setAttribute('style', 'min-inline-size: 50%; transition: none'))
      const [done, left, around] = await colorsOf(page, bar, [0.25, 0.75, -0.02])
      t.not(done, left, `${colorScheme}: what is done differs from what is left`)
      t.not(done, around, `${colorScheme}: and from the page around it`)
    }
  })

  await t.test('says without JavaScript that it needs it, and nothing else', async t => {
    const demo = await startDemo(t, 10)
    const page = await (await browser.newContext({ javaScriptEnabled: false })).newPage()
    await page.goto(demo.address)
    t.match(await page.locator('main').innerText(), /^This chat needs JavaScript\. [^\n]*reload the page\.$/)
    t.equal(await page.locator('main').getAttribute('aria-busy'), null, 'nothing more is coming')
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
      const drawn = await asked.getByRole('img').evaluate(image => (image as unknown as { naturalWidth: number }).naturalWidth)
      t.ok(width / drawn > 0.9, `labels of 12 px are ${(12 * width / drawn).toFixed(1)} px`)
    }
    const { width } = (await page.locator('main').boundingBox())!
    t.ok(width <= 360, 'nothing sticks out')
    t.same(faults, [])
  })
})
