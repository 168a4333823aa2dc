import t from 'tap'
import { messages } from '../../examples/chat/messages.ts'
import { openBrowser } from '../helpers/chromium.ts'
import { colorsOf } from './audit.ts'
import { browserTest, visit } from './browser.ts'
import { generate, isDrawn, isShown, message, sharedDemo, startDemo, weather } from './chat.ts'

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

  await t.test('shows progress in forced colours', async t => {
    const demo = await startDemo(t, 60_000)
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page } = await visit(browser, demo.address, { forcedColors: 'active', colorScheme })
      const bar = message(page, weather).getByRole('progressbar')
      await generate(message(page, weather))
      await isShown(bar)
      // The demo is slow on purpose: the page is given its half here.
      await bar.locator('div').evaluate(fill => { (fill as unknown as { style: { minInlineSize: string } }).style.minInlineSize = '50%' })
      const [done, left, edge] = await colorsOf(bar, [[0.25, 0.5], [0.75, 0.5], [0.75, 0]])
      t.not(done, left, `${colorScheme}: what is done differs from what is left`)
      t.not(edge, left, `${colorScheme}: and one sees how much is left`)
    }
  })

  await t.test('says without JavaScript that it needs it, and nothing else', async t => {
    const demo = await sharedDemo(10)
    const page = await (await browser.newContext({ javaScriptEnabled: false })).newPage()
    await page.goto(demo.address)
    t.match(await page.locator('main').innerText(), /^This chat needs JavaScript\. [^\n]*reload the page\.$/)
    t.equal(await page.locator('main').getAttribute('aria-busy'), null, 'nothing more is coming')
  })

  await t.test('fits a phone, in the dark too', async t => {
    const demo = await sharedDemo(10)
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
