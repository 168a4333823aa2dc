import t from 'tap'
import { messages } from '../../examples/chat/messages.ts'
import { openBrowser } from '../helpers/chromium.ts'
import { browserTest, visit } from './browser.ts'
import { ask, cards, electricity, employment, generate, headings, isDrawn, isGone, isShown, message, penguins, sharedDemo, startDemo, weather } from './chat.ts'

interface Styled {
  computedStyleMap (): { get (property: string): { value: string } }
}

t.test('the page of the demo', browserTest, async t => {
  const browser = await openBrowser(t)

  await t.test('shows a chart coming, picks it up after a reload, and shows it when it is there', async t => {
    const demo = await startDemo(t, 1_500)
    const { page, faults } = await visit(browser, demo.address)
    t.equal(await page.getByRole('article').count(), messages.length)
    const asked = message(page, weather)
    await isShown(asked.getByText('No chart yet.'))
    const table = asked.getByRole('region', { name: 'Some of the rows' })
    await isShown(table.getByRole('columnheader', { name: 'Precipitation (mm)' }))
    t.same(await table.locator('td.number').allTextContents(), ['116.50', '12.05', '160.63'], 'as many decimals in each row')
    t.match(await table.locator('.number').evaluateAll(cells => cells.map(cell => (cell as unknown as Styled).computedStyleMap().get('text-align').value)), ['end', 'end', 'end', 'end'])

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
    const { width } = (await asked.getByRole('img').boundingBox())!
    t.ok(width > 600, `${width} px wide: it fills its card`)
    t.notOk(await bar.isVisible())

    await asked.getByText('Data', { exact: true }).click()
    await isShown(asked.getByRole('group', { name: 'Data of “Precipitation by month”' }).getByRole('cell', { name: 'Dec' }))
    t.equal(await asked.getByRole('link', { name: 'Download SVG' }).getAttribute('download'), 'precipitation-by-month.svg')

    await page.reload()
    t.ok(await isDrawn(asked), 'and it is still there later')
    t.same(faults, [])
  })

  await t.test('cancels, fails and retries', async t => {
    const demo = await sharedDemo(500)
    const { page, faults } = await visit(browser, demo.address)

    const failing = message(page, employment)
    const reason = failing.getByRole('alert').filter({ hasText: '“as a pie chart” was not understood. You can say: “as a bar' })
    await ask(failing, 'as a pie chart')
    await isShown(reason)
    await page.reload()
    await isShown(reason)
    t.notMatch(await page.locator('main').innerText(), /[A-Z]{2,}_[A-Z]/, 'codes are for programs')
    t.equal(await failing.getByLabel('Adjustment for the next attempt').inputValue(), 'as a pie chart')
    await failing.getByLabel('Adjustment for the next attempt').fill('as a bar chart')
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

    await message(page, penguins).getByRole('button', { name: 'by island' }).click()
    await generate(message(page, penguins))
    t.ok(await isDrawn(message(page, penguins)))
    t.same(faults, [])
  })

  await t.test('says that a chart is there already', async t => {
    const demo = await sharedDemo(500)
    const { page, faults } = await visit(browser, demo.address)
    const asked = message(page, electricity)
    await generate(asked)
    await isShown(asked.getByRole('progressbar', { name: 'Default chart' }))
    t.notOk(await asked.getByText('already').isVisible(), 'not of a new one, whether the stream or the answer comes first')
    await generate(asked)
    await isShown(asked.getByText('This chart is already being made'))
    t.ok(await isDrawn(asked))
    await generate(asked)
    await isShown(asked.getByRole('status').filter({ hasText: 'You already have this chart' }))
    await isShown(asked.locator('.card.marked'))
    t.equal(await cards(asked).count(), 1, 'the same chart is not made twice')
    await asked.getByRole('button', { name: 'Show it' }).click()
    await isShown(asked.locator('.card.marked:focus'))
    await asked.getByLabel('Make a new chart even if this one exists').check()
    await generate(asked)
    await isGone(asked.getByText('You already have this chart'))
    await cards(asked).nth(1).getByRole('img').waitFor()
    t.equal(await cards(asked).count(), 2, 'unless one wants it')
    t.same(faults, [])
  })

  await t.test('dismisses what has failed or was cancelled, for good', async t => {
    const demo = await sharedDemo(500)
    const { page, faults } = await visit(browser, demo.address)
    const asked = message(page, weather)
    const dismiss = cards(asked).getByRole('button', { name: 'Dismiss' })
    await generate(asked)
    await asked.getByRole('button', { name: 'Cancel' }).click()
    await dismiss.click()
    await isShown(asked.getByText('No chart yet.'))
    await isShown(asked.getByRole('button', { name: 'Generate chart' }).and(page.locator(':focus')))

    await ask(asked, 'as a pie chart')
    await dismiss.click()
    await isShown(asked.getByText('No chart yet.'))
    await page.reload()
    await isShown(asked.getByText('No chart yet.'))
    await ask(asked, 'as a doughnut')
    await isShown(asked.getByRole('alert').filter({ hasText: 'doughnut' }))
    t.same(await headings(asked), ['As a doughnut'])
    await page.reload()
    await isShown(asked.getByRole('alert').filter({ hasText: 'doughnut' }))
    t.same(await headings(asked), ['As a doughnut'], 'what fails later is another matter')
    t.same(faults, [])
  })

  await t.test('has its charts in the order in which they were asked for, before and after a reload', async t => {
    const demo = await sharedDemo(500)
    const { page, faults } = await visit(browser, demo.address)
    const asked = message(page, weather)
    const inOrder = ['Default chart', 'By weather', 'As a pie chart']
    for (const adjustment of ['', 'by weather', 'as a pie chart']) await ask(asked, adjustment)
    await isShown(asked.getByRole('alert'))
    await asked.getByRole('img').nth(1).waitFor()
    t.same(await headings(asked), inOrder)
    await page.reload()
    await isShown(asked.getByRole('alert'))
    t.same(await headings(asked), inOrder, 'though the failure was asked for before the charts were there')

    await ask(asked, 'by year')
    await asked.getByRole('img').nth(2).waitFor()
    await page.reload()
    await asked.getByRole('img').nth(2).waitFor()
    t.same(await headings(asked), ['Default chart', 'By weather', 'By year'])
    t.same(faults, [])
  })
})
