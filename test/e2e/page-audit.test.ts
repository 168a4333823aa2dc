import t from 'tap'
import { openBrowser } from '../helpers/chromium.ts'
import { audit } from './audit.ts'
import { browserTest, visit } from './browser.ts'
import { ask, cards, employment, generate, isDrawn, isShown, message, sharedDemo, startDemo, weather } from './chat.ts'

t.test('the page under audit', browserTest, async t => {
  const browser = await openBrowser(t)

  await t.test('has no fault that axe can find', async t => {
    const [slow, quick] = await Promise.all([startDemo(t, 60_000), sharedDemo(10)])
    for (const [name, options] of Object.entries({
      'in the light': {},
      'in the dark': { colorScheme: 'dark' },
      'on a phone': { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }
    } as const)) {
      const what = name === 'in the dark' ? 'colors' : 'everything'
      const { page } = await visit(browser, slow.address, options)
      await generate(message(page, weather))
      await isShown(message(page, weather).getByRole('progressbar'))
      await generate(message(page, weather))
      await isShown(message(page, weather).getByText('This chart is already being made'))
      await generate(message(page, employment))
      await message(page, employment).getByRole('button', { name: 'Cancel' }).click()
      await isShown(message(page, employment).getByText('Cancelled'))
      t.same(await audit(page, what), [], `${name}: one chart is being made, and one was cancelled`)
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
      t.same(await audit(page, what), [], `${name}: two equal charts with their data, and one that failed`)
      await page.context().close()
    }
  })
})
