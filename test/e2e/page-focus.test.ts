import t from 'tap'
import { openBrowser } from '../helpers/chromium.ts'
import { browserTest, visit } from './browser.ts'
import { ask, cards, focusOf, generate, isDrawn, isShown, message, sharedDemo, weather } from './chat.ts'

t.test('the page keeps the focus', browserTest, async t => {
  const browser = await openBrowser(t)

  await t.test('has everything on the way of the Tab key, in the order of the page', async t => {
    const demo = await sharedDemo(10)
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
    const demo = await sharedDemo(10)
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
    const demo = await sharedDemo(10)
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
})
