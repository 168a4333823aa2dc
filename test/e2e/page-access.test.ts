import t from 'tap'
import { messages } from '../../examples/chat/messages.ts'
import { openBrowser } from '../helpers/chromium.ts'
import { browserTest, visit } from './browser.ts'
import { isDrawn, isShown, message, startDemo, weather } from './chat.ts'

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
      const drawn = await asked.getByRole('img').evaluate(image => (image as unknown as { naturalWidth: number }).naturalWidth)
      t.ok(width / drawn > 0.9, `labels of 12 px are ${(12 * width / drawn).toFixed(1)} px`)
    }
    const { width } = (await page.locator('main').boundingBox())!
    t.ok(width <= 360, 'nothing sticks out')
    t.same(faults, [])
  })
})
