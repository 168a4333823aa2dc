import { once } from 'node:events'
import type { Page } from 'playwright-core'
import t from 'tap'
import { ChartGenerationError, memoryStore, runWorker } from '../../lib/index.ts'
import { openBrowser } from '../helpers/chromium.ts'
import { audit } from '../e2e/audit.ts'
import { gate } from '../helpers/gate.ts'
import { browserTest } from '../e2e/browser.ts'
import { startDashboard } from './dashboard.ts'
import { line, visit } from './visitor.ts'

const PHONE = { viewport: { width: 390, height: 780 }, isMobile: true, hasTouch: true }

/** Whether the page scrolls sideways. */
const isTooWide = (page: Page) => page.evaluate('document.documentElement.scrollWidth > document.documentElement.clientWidth')

t.test('the dashboard in every hand', browserTest, async t => {
  const browser = await openBrowser(t)

  await t.test('has no fault that axe can find, and fits the screen', async t => {
    const store = memoryStore()
    const { host, app } = await startDashboard(t, 'memory', { store, paramsSchema: {} })
    const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/charts-dashboard/`
    const long = 'x'.repeat(300)
    const ada = host.as(`${long}@${long}`)
    const failed = await ada.finished({ error: new ChartGenerationError(`No rows ${long}`, { code: `NO_${'A'.repeat(60)}` }) }, { adjustment_query: long })
    const done = await ada.finished({ content: { [long]: long } })
    const running = await ada.create({ params: { [long]: long } })
    const waiting = await ada.create({ depends_on: [running.task_id] })
    const started = gate()
    const worker = await runWorker({
      store,
      generate: async (_request, { signal, progress }) => {
        progress({ step: long, step_progress: 50, progress: 30 })
        started.open()
        await once(signal, 'abort')
        throw signal.reason
      },
      concurrency: 1,
      shutdownTimeout: 0,
      handleSignals: false
    })
    t.teardown(() => worker.stop())
    await started.opened

    const paths = ['', 'tasks', `tasks?user_id=${long}`, 'tasks?user_id=nobody', `tasks/${failed.task_id}`, `tasks/${done.task_id}`, `tasks/${running.task_id}`, `tasks/${waiting.task_id}`, 'workers', 'failures', 'tasks/nonsense']
    for (const [name, options] of Object.entries({ light: {}, dark: { colorScheme: 'dark' }, phone: PHONE } as const)) {
      const { page, faults } = await visit(browser, url, options)
      for (const path of paths) {
        await page.goto(url + path)
        await line(page).filter({ hasText: /./ }).waitFor()
        for (const summary of await page.locator('summary').all()) await summary.click()
        // Colours and markup are those of the desktop.
        if (name !== 'phone') t.same(await audit(page, name === 'dark' ? 'colors' : 'everything'), [], `${name}: ${path.slice(0, 40)}`)
        t.equal(await isTooWide(page), false, `${name}: ${path.slice(0, 40)} fits`)
      }
      await page.goto(url)
      await page.getByRole('button', { name: 'Pause queue' }).click()
      t.same(await audit(page, name === 'dark' ? 'colors' : 'everything'), [], `${name}: the dialog`)
      t.same(faults, [])
      await page.context().close()
    }
  })

  await t.test('can be read without JavaScript', async t => {
    const { host, app } = await startDashboard(t)
    const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/charts-dashboard/`
    const failed = await host.as('ada').finished({ error: new ChartGenerationError('No rows', { code: 'NO_DATA' }) })
    const { page } = await visit(browser, url, { javaScriptEnabled: false })
    t.match(await page.locator('.tiles').innerText(), /Failed\s+1/)
    await page.getByText('As a table').click()
    await page.getByRole('columnheader', { name: 'Completed' }).waitFor()
    t.equal(await page.locator('button:visible').count(), 0, 'nothing is offered that would not work')
    await page.getByRole('link', { name: 'Tasks', exact: true }).click()
    await page.getByText('More filters').click()
    await page.getByLabel('Error code').fill('NO_DATA')
    await page.getByRole('button', { name: 'Filter' }).click()
    await page.getByRole('row').nth(1).getByRole('link').click()
    t.match(await page.locator('main').innerText(), /No rows/)
    await page.getByRole('link', { name: 'Failures' }).click()
    await page.getByRole('heading', { name: 'NO_DATA' }).waitFor()
    await page.getByRole('link', { name: 'Tasks', exact: true }).click()
    await page.getByLabel('Find a task').fill(failed.task_id)
    await page.getByRole('button', { name: 'Find' }).click()
    await page.getByRole('heading', { name: failed.task_id }).waitFor()
    await page.context().close()
  })

  await t.test('shows 10,000 tasks, a page at a time', async t => {
    const { host, app } = await startDashboard(t, 'memory', { limits: { waitingPerTenant: 0, queueLength: 0 } })
    const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/charts-dashboard/`
    for (let i = 0; i < 100; i++) await host.service.enqueueChartTasks(Array.from({ length: 100 }, () => ({ message_id: crypto.randomUUID() })), { user_id: `user-${i % 7}` })
    const { page, faults } = await visit(browser, `${url}tasks`)
    const seen = new Set<string>()
    for (let i = 0; i < 4; i++) {
      const ids = await page.locator('td a.id').evaluateAll(links => links.map(link => (link as unknown as { title: string }).title))
      t.equal(ids.length, 50)
      for (const id of ids) seen.add(id)
      await page.getByRole('link', { name: 'Next page' }).click()
      await page.waitForURL(/cursor=/)
      await page.getByRole('link', { name: 'First page' }).waitFor()
      await page.waitForFunction(`document.querySelector('td a.id').title !== ${JSON.stringify(ids[0])}`)
    }
    t.equal(seen.size, 200, 'none comes twice')
    await page.goto(`${url}tasks?user_id=user-3`)
    await page.getByRole('button', { name: 'Cancel all that match' }).click()
    await page.getByRole('dialog').getByRole('button', { name: /Cancel 1,[45]00 tasks/ }).waitFor()
    t.same(faults, [])
    await page.context().close()
  })

  await t.test('keeps its signs in forced colours, and nothing moves for those who ask for that', async t => {
    const { host, app } = await startDashboard(t)
    const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/charts-dashboard/`
    const { task_id } = await host.as('ada').create()
    await host.progress(task_id, { step: 'rendering', progress: 50 })
    const { page } = await visit(browser, `${url}tasks`, { forcedColors: 'active', reducedMotion: 'reduce' })
    const badge = page.locator('.badge').first()
    await badge.waitFor()
    const border = await badge.evaluate(element => (globalThis as unknown as { getComputedStyle (element: unknown): { borderTopWidth: string } }).getComputedStyle(element).borderTopWidth)
    t.equal(border, '1px')
    t.equal(await page.evaluate('document.getAnimations().length'), 0)
    await page.context().close()
  })
})
