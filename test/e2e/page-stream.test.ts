import t from 'tap'
import { messages } from '../../examples/chat/messages.ts'
import { freePort } from '../helpers/ports.ts'
import { openBrowser } from '../helpers/chromium.ts'
import { browserTest, visit } from './browser.ts'
import { ask, electricity, employment, gapminder, generate, headings, isDrawn, isGone, isShown, message, penguins, sharedDemo, startDemo, weather } from './chat.ts'
import { startExample } from './example.ts'

t.test('the page follows its charts', browserTest, async t => {
  const browser = await openBrowser(t)

  await t.test('says where a chart stands in the line, and when it will be there', async t => {
    const demo = await startDemo(t, 1_500)
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

  await t.test('shows in one tab what was asked for in another', async t => {
    // A chart must take longer than a busy machine takes to find the button.
    const demo = await sharedDemo(2_000)
    const { page, faults } = await visit(browser, demo.address)
    const other = await page.context().newPage()
    await other.goto(demo.address)
    const [here, there] = [message(page, weather), message(other, weather)]
    await isShown(here.getByText('No chart yet.'))

    await ask(there, 'by weather')
    await isShown(here.getByRole('progressbar', { name: 'By weather' }))
    t.ok(await isDrawn(here))
    t.same(await headings(here), ['By weather'])
    await generate(there)
    await here.getByRole('button', { name: 'Cancel' }).click()
    await isShown(there.getByText('Cancelled'))
    t.same(faults, [])
  })

  await t.test('has one stream for each message that is looked at', async t => {
    const demo = await sharedDemo(100)
    const { page, faults } = await visit(browser, demo.address)
    const open = new Set<unknown>()
    let most = 0
    page.on('request', request => {
      if (!request.url().includes('/stream/by-message/')) return
      open.add(request)
      most = Math.max(most, open.size)
    })
    page.on('requestfinished', request => open.delete(request))
    page.on('requestfailed', request => open.delete(request))

    const adjustments = ['', 'log scale']
    for (const { question } of messages) {
      for (const adjustment of adjustments) await ask(message(page, question), adjustment)
    }
    for (const { question } of messages) {
      await message(page, question).scrollIntoViewIfNeeded()
      for (const i of adjustments.keys()) await isShown(message(page, question).getByRole('img').nth(i))
    }
    t.ok(most > 0 && most <= 4, `${most} streams at a time`)
    t.same(faults, [])
  })

  await t.test('comes back where a stream was refused', async t => {
    const demo = await startDemo(t, 1_500)
    const { page } = await visit(browser, demo.address)
    let refused = 0
    let isStarting = true
    await page.route(`**/by-message/${messages[0]!.id}*`, route => {
      // What the page shows first is there.
      if (route.request().url().includes('content=true')) return route.continue()
      if (refused === 0 && !route.request().url().includes('/stream/')) return route.continue()
      if (refused++ === 0) return route.fulfill({ contentType: 'text/event-stream', body: 'retry: 2000\n: too many streams, come back\n\n' })
      return isStarting ? route.fulfill({ status: 503, body: 'another server is being started' }) : route.continue()
    })
    await page.reload()
    const asked = message(page, weather)
    await generate(asked)
    await isShown(asked.getByText('Connection lost, reconnecting…'))
    isStarting = false
    t.ok(await isDrawn(asked))
    t.ok(refused > 1)
  })

  await t.test('says when the connection is lost, and what has become of the chart', async t => {
    const PORT = String(await freePort())
    const demo = await startExample(t, 'demo', { PORT, PACE: '60000' })
    const { page } = await visit(browser, demo.address)
    const asked = message(page, gapminder)
    await generate(asked)
    await isShown(asked.getByRole('status').filter({ hasText: 'Reading the data' }))
    t.equal(await demo.end('SIGTERM'), 0, 'an open page does not keep the demo from ending')
    await isShown(asked.getByText('Connection lost, reconnecting…'))

    const other = message(page, weather)
    await generate(other)
    await isShown(other.getByText('No answer from the server yet, asking again…'))
    await isShown(other.getByText('The server cannot be reached'))
    await isGone(other.getByText('asking again'))

    await startExample(t, 'demo', { PORT, PACE: '10' })
    await asked.scrollIntoViewIfNeeded()
    await isShown(asked.getByText('The server does not know this chart any more'))
    await asked.getByRole('button', { name: 'Retry' }).click()
    t.ok(await isDrawn(asked))
    await generate(other)
    t.ok(await isDrawn(other))
    t.notOk(await other.getByText('The server cannot be reached').isVisible())
  })
})
