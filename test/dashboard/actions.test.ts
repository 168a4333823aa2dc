import type { Page } from 'playwright-core'
import t from 'tap'
import { ChartGenerationError, errors, memoryStore, type TaskStore } from '../../lib/index.ts'
import type { Host } from '../helpers/app.ts'
import { until } from '../helpers/gate.ts'
import { openBrowser } from '../helpers/chromium.ts'
import { browserTest } from '../e2e/browser.ts'
import { startDashboard } from './dashboard.ts'
import { line, visit } from './visitor.ts'

/** Moves the focus by Tab alone. */
async function tabTo (page: Page, name: string | RegExp): Promise<void> {
  const wanted = new RegExp(name)
  for (let presses = 0; presses < 80; presses++) {
    await page.keyboard.press('Tab')
    const reached = await page.evaluate('document.activeElement === document.body ? "" : document.activeElement.ariaLabel ?? document.activeElement.textContent') as string
    if (wanted.test(reached)) return
  }
  throw new Error(`Tab does not reach ${name}`)
}

async function fail (host: Host, count: number, code = 'NO_DATA'): Promise<string[]> {
  const ids = []
  for (let i = 0; i < count; i++) ids.push((await host.as('ada@acme').finished({ error: new ChartGenerationError('No rows', { code }) })).task_id)
  return ids
}

const dialog = (page: Page) => page.getByRole('dialog')
const status = (page: Page) => dialog(page).getByRole('status')
const says = (page: Page, text: string | RegExp) => status(page).filter({ hasText: text }).waitFor()
const note = (page: Page, text: string) => page.locator('#notes').getByText(text).waitFor()

t.test('what is done on the dashboard', browserTest, async t => {
  const browser = await openBrowser(t)
  const open = async (t: Parameters<typeof startDashboard>[0], options: Parameters<typeof startDashboard>[2] = {}) => {
    const dashboard = await startDashboard(t, 'memory', options)
    const address = await dashboard.app.listen({ port: 0, host: '127.0.0.1' })
    return { ...dashboard, url: `${address}/charts-dashboard/` }
  }

  await t.test('by keyboard alone', async t => {
    const { host, url } = await open(t)
    const [failed] = await fail(host, 1)
    const { page, faults } = await visit(browser, url)
    await line(page).filter({ hasText: 'Live' }).waitFor()

    await page.keyboard.press('Tab')
    t.match(await page.locator(':focus').textContent(), 'Skip to the content')
    await page.keyboard.press('Enter')
    await tabTo(page, 'Pause queue')
    await page.keyboard.press('Enter')
    t.equal(await page.locator(':focus').textContent(), 'Back', 'the answer that changes nothing comes first')
    await page.keyboard.press('Escape')
    await dialog(page).waitFor({ state: 'hidden' })
    t.equal((await host.service.getQueueStats()).paused, false)
    t.equal(await page.locator(':focus').textContent(), 'Pause queue', 'and the keyboard is where it was')
    await page.keyboard.press('Enter')
    await tabTo(page, '^Pause queue$')
    await page.keyboard.press('Enter')
    await note(page, 'The queue is paused.')
    await page.getByRole('button', { name: 'Resume queue' }).waitFor()
    t.equal((await host.service.getQueueStats()).paused, true)
    await tabTo(page, 'Resume queue')
    await page.keyboard.press('Enter')
    await note(page, 'The queue goes on.')

    await page.goto(`${url}tasks`)
    await tabTo(page, '^Failed$')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/tasks?status=FAILED')
    await tabTo(page, `Select task ${failed!.slice(0, 8)}`)
    await page.keyboard.press('Space')
    await line(page).filter({ hasText: 'Updates wait while tasks are selected.' }).waitFor()
    await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Shift+Tab')
    await tabTo(page, 'Select all on this page')
    await page.getByRole('button', { name: 'Retry 1', exact: true }).focus()
    await page.keyboard.press('Enter')
    await says(page, 'Retry 1 task?')
    await tabTo(page, '^Retry 1 task$')
    await page.keyboard.press('Enter')
    await says(page, '1 task retried.')
    t.equal(await page.locator(':focus').textContent(), 'Close')
    await page.keyboard.press('Enter')
    await dialog(page).waitFor({ state: 'hidden' })
    await line(page).filter({ hasText: 'Live' }).waitFor()

    await page.goto(`${url}tasks/${failed}`)
    await tabTo(page, 'Retry again')
    await page.keyboard.press('Enter')
    await note(page, 'It is being generated again already.')
    await tabTo(page, 'Show that task')
    await page.keyboard.press('Enter')
    await page.getByText('Retry of').waitFor()
    await tabTo(page, 'Cancel task')
    await page.keyboard.press('Enter')
    await tabTo(page, '^Cancel task$')
    await page.keyboard.press('Enter')
    await note(page, 'The task is cancelled.')
    await page.getByText('before it was started').waitFor()
    t.equal(await page.locator(':focus').evaluate(element => (element as unknown as { id: string }).id), 'main', 'the button is gone: the keyboard goes on in the content')

    await page.goto(`${url}failures`)
    await tabTo(page, 'Retry all')
    await page.keyboard.press('Enter')
    await says(page, 'Retry 1 task?')
    await page.keyboard.press('Escape')
    t.same(faults, [])
    await page.context().close()
  })

  await t.test('many at once: those that are selected', async t => {
    const { host, url } = await open(t)
    const [failed] = await fail(host, 2)
    const waiting = [await host.as('ada').create(), await host.as('ada').create()]
    const { page } = await visit(browser, `${url}tasks`)
    await page.getByLabel('Select all on this page').check()
    await page.getByText('4 selected').waitFor()
    const more = await host.as('bob').create()
    const answer = page.waitForResponse(response => response.request().resourceType() === 'fetch' && response.status() === 200)
    await answer
    t.equal(await page.getByRole('row').filter({ hasText: more.task_id.slice(0, 8) }).count(), 0, 'nothing moves below the hand that selects')
    await host.as('bob').delete(`/async/${more.task_id}`)
    await page.getByLabel(`Select task ${failed!.slice(0, 8)}`).uncheck()
    await page.getByText('3 selected').waitFor()
    await page.getByRole('button', { name: 'Retry 1', exact: true }).waitFor()
    await host.as('ada').delete(`/async/${waiting[0]!.task_id}`)
    await page.getByRole('button', { name: 'Cancel 2', exact: true }).click()
    await says(page, 'Cancel 2 tasks? This is final')
    await dialog(page).getByRole('button', { name: 'Cancel 2 tasks' }).click()
    await says(page, '1 task cancelled.')
    await dialog(page).getByRole('button', { name: 'Close' }).click()
    await page.getByText('None selected').waitFor()
    t.equal((await host.service.getQueueStats()).queue_length, 0)
    t.equal(await page.getByRole('button', { name: 'Cancel', exact: true }).getAttribute('aria-disabled'), 'true')
    await page.context().close()
  })

  await t.test('many at once: all that match, a part at a time, counted before', async t => {
    const { host, url } = await open(t)
    for (let i = 0; i < 4; i++) await host.service.enqueueChartTasks(Array.from({ length: 60 }, () => ({ message_id: crypto.randomUUID() })), { user_id: 'grace', org_id: 'navy' })
    const kept = await host.as('ada').create()
    const { page, asked } = await visit(browser, `${url}tasks`)
    t.equal(await page.getByRole('button', { name: 'Cancel all that match' }).count(), 0, 'without a filter it would be everything')
    await page.goto(`${url}tasks?org_id=navy`)
    await page.getByRole('button', { name: 'Cancel all that match' }).click()
    await says(page, 'Cancel 240 tasks? This is final')
    await dialog(page).getByRole('button', { name: 'Cancel 240 tasks' }).click()
    await says(page, '240 tasks cancelled.')
    t.ok(asked.filter(call => call === 'POST /charts-dashboard/tasks/cancel').length >= 3, 'in more than one call')
    t.match((await host.as('ada').get(`/async/${kept.task_id}/status`)).json(), { status: 'PENDING' }, 'others are left alone')
    await dialog(page).getByRole('button', { name: 'Close' }).click()
    await page.getByRole('button', { name: 'Retry all that match' }).click()
    await says(page, 'No failed task matches.')
    await page.context().close()
  })

  await t.test('many at once: all that have failed, each once', async t => {
    const { host, url } = await open(t, { generate: async () => { throw new ChartGenerationError('No rows', { code: 'NO_DATA' }) }, worker: { concurrency: 50 } })
    const { tasks: [first] } = await host.service.enqueueChartTasks(Array.from({ length: 100 }, () => ({ message_id: crypto.randomUUID() })), { user_id: 'grace' })
    await host.service.enqueueChartTasks(Array.from({ length: 60 }, () => ({ message_id: crypto.randomUUID() })), { user_id: 'grace' })
    await until(async () => (await host.service.getQueueStats()).queue_length + (await host.service.getQueueStats()).processing_count === 0)
    await host.service.pauseQueue()
    const { page, asked } = await visit(browser, `${url}failures`)
    await page.getByRole('button', { name: 'Retry all' }).click()
    await dialog(page).getByRole('button', { name: 'Retry 160 tasks' }).click()
    await says(page, '160 tasks retried.')
    t.equal(asked.filter(call => call.startsWith('POST')).length, 2, 'each part once')
    t.equal((await host.service.getQueueStats()).queue_length, 160)
    t.match(await host.service.getTaskStatus(first!.task.task_id), { status: 'FAILED' }, 'what has failed stays as it is')
    await page.context().close()
  })

  await t.test('goes on where it was: a store that is away, a session that has ended, a user who stops', async t => {
    const store = memoryStore()
    let cancels = 0
    let isAway = false
    const fragile = new Proxy(store, {
      get (target, verb: keyof TaskStore) {
        const value = target[verb] as unknown
        if (verb !== 'cancelAll') return typeof value === 'function' ? value.bind(target) : value
        return async (task_ids: string[]) => {
          if (isAway) {
            isAway = false
            throw new errors.CHARTS_ERR_STORE_UNAVAILABLE()
          }
          if (++cancels === 4) isAway = true
          return target.cancelAll(task_ids)
        }
      }
    })
    const { host, url } = await open(t, { store: fragile })
    const add = async () => { for (let i = 0; i < 3; i++) await host.service.enqueueChartTasks(Array.from({ length: 80 }, () => ({ message_id: crypto.randomUUID() })), { user_id: 'grace' }) }
    await add()
    const visitor = await visit(browser, `${url}tasks?user_id=grace`)
    const { page } = visitor
    await page.getByRole('button', { name: 'Cancel all that match' }).click()
    await dialog(page).getByRole('button', { name: 'Cancel 240 tasks' }).click()
    await says(page, '240 tasks cancelled.')
    t.equal((await host.service.getQueueStats()).queue_length, 0, 'a store that was away did not stop it')
    await dialog(page).getByRole('button', { name: 'Close' }).click()

    await add()
    let calls = 0
    await page.route('**/tasks/cancel', async route => {
      // The session ends before the second part.
      if (++calls === 2) await visitor.signOut()
      await route.continue()
    })
    await page.getByRole('button', { name: 'Cancel all that match' }).click()
    await dialog(page).getByRole('button', { name: 'Cancel 240 tasks' }).click()
    await says(page, /signed out.*Sign in again in another tab, then go on\. 100 tasks are cancelled so far\./)
    await visitor.signIn()
    await dialog(page).getByRole('button', { name: 'Go on' }).click()
    await says(page, '240 tasks cancelled.')
    await dialog(page).getByRole('button', { name: 'Close' }).click()

    await add()
    await page.unroute('**/tasks/cancel')
    let release!: () => void
    const held = new Promise<void>(resolve => { release = resolve })
    let parts = 0
    await page.route('**/tasks/cancel', async route => {
      if (++parts > 1) await held
      await route.continue().catch(() => {})
    })
    await page.getByRole('button', { name: 'Cancel all that match' }).click()
    await dialog(page).getByRole('button', { name: 'Cancel 240 tasks' }).click()
    await says(page, 'Cancelled 100 of 240…')
    await dialog(page).getByRole('button', { name: 'Stop' }).click()
    release()
    await dialog(page).waitFor({ state: 'hidden' })
    await note(page, 'Stopped: 100 tasks cancelled.')
    t.ok((await host.service.getQueueStats()).queue_length > 0, 'what was not begun is left as it was')
    await page.context().close()
  })

  await t.test('what cannot be done is said', async t => {
    const { host, url } = await open(t, { limits: { waitingPerTenant: 1 } })
    await fail(host, 3)
    const running = await host.as('ada').create()
    const { page } = await visit(browser, `${url}failures`)
    await page.getByRole('button', { name: 'Retry all' }).click()
    await dialog(page).getByRole('button', { name: 'Retry 3 tasks' }).click()
    await says(page, '1 task retried. 2 tasks could not be:')
    t.match(await dialog(page).getByRole('list').textContent(), 'CHARTS_ERR_TOO_MANY_TASKS')
    await dialog(page).getByRole('button', { name: 'Close' }).click()

    await page.goto(`${url}tasks/${running.task_id}`)
    await page.getByRole('button', { name: 'Cancel task' }).click()
    await host.finish(running.task_id, { content: 1 })
    await dialog(page).getByRole('button', { name: 'Cancel task' }).click()
    await note(page, 'The chart task has already finished')
    await page.getByText('Open the JSON').waitFor()
    await page.context().close()
  })
})
