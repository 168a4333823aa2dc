import { createServer, request as ask } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { ChartGenerationError, errors, memoryStore, type TaskStore } from '../../lib/index.ts'
import { gate } from '../helpers/gate.ts'
import { openBrowser } from '../helpers/chromium.ts'
import { browserTest } from '../e2e/browser.ts'
import { startDashboard } from './dashboard.ts'
import { line, setHidden, tile, visit } from './visitor.ts'

const shows = (locator: { filter (options: { hasText: string | RegExp }): { waitFor (): Promise<void> } }, text: string | RegExp) => locator.filter({ hasText: text }).waitFor()

/** A store whose reads fail while `isAway` is set. */
function fragileStore () {
  const store = memoryStore()
  const fragile = { isAway: false, store }
  fragile.store = new Proxy(store, {
    get (target, verb: keyof TaskStore) {
      const value = target[verb] as unknown
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (fragile.isAway && ['stats', 'list', 'inspect', 'readWorkers', 'readHistory', 'cancelAll'].includes(verb)) return Promise.reject(new errors.CHARTS_ERR_STORE_UNAVAILABLE())
        return value.apply(target, args)
      }
    }
  })
  return fragile
}

t.test('the dashboard while it is open', browserTest, async t => {
  const browser = await openBrowser(t)
  const open = async (t: Parameters<typeof startDashboard>[0], options: Parameters<typeof startDashboard>[2] = {}) => {
    const dashboard = await startDashboard(t, 'memory', options)
    const address = await dashboard.app.listen({ port: 0, host: '127.0.0.1' })
    return { ...dashboard, url: `${address}/charts-dashboard/` }
  }

  await t.test('follows the queue by itself', async t => {
    const go = gate()
    const { host, url } = await open(t, {
      generate: async (_request, { progress }) => {
        progress({ step: 'llm_generation', progress: 40 })
        await go.opened
        throw new ChartGenerationError('No rows', { code: 'NO_DATA' })
      }
    })
    await host.service.pauseQueue()
    const { page, faults } = await visit(browser, url)
    await shows(tile(page, 'Waiting'), /^0/)
    await shows(line(page), 'Live')
    await host.as('ada').create()
    await shows(tile(page, 'Waiting'), /^1/)
    await host.service.resumeQueue()
    await shows(page.getByRole('row'), /40 %\s*llm generation/)
    go.open()
    await shows(tile(page, 'Failed'), /^1/)
    await page.locator('.uplot canvas').first().waitFor()
    await page.getByRole('link', { name: 'Failures' }).click()
    await shows(page.getByRole('listitem'), 'NO_DATA')
    t.same(faults, [])
    await page.context().close()
  })

  await t.test('keeps what the user has there: focus, folds, a half-written filter', async t => {
    const { host, url } = await open(t)
    const { page } = await visit(browser, `${url}tasks`)
    await page.getByText('More filters').click()
    await page.getByLabel('User').fill('gra')
    await host.as('ada').create()
    await page.getByRole('row').nth(1).waitFor()
    t.equal(await page.getByLabel('User').inputValue(), 'gra')
    t.equal(await page.locator(':focus').getAttribute('name'), 'user_id')
    const link = page.getByRole('row').nth(1).getByRole('link')
    await link.focus()
    const focused = await link.getAttribute('title')
    await host.as('ada').create()
    await page.getByRole('row').nth(2).waitFor()
    t.equal(await page.locator(':focus').getAttribute('title'), focused, 'rows that come before it do not take it')
    await page.context().close()
  })

  await t.test('asks nothing while nobody sees it, and at once when somebody does', async t => {
    const { host, url } = await open(t)
    for (const path of ['', 'tasks', 'workers', 'failures']) {
      const { page, asked } = await visit(browser, url + path)
      await page.clock.install()
      await shows(line(page), 'Live')
      await setHidden(page, true)
      const before = asked.length
      await page.clock.fastForward(600_000)
      await page.evaluate('new Promise(resolve => requestAnimationFrame(resolve))')
      t.equal(asked.length, before, path)
      const answer = page.waitForResponse(response => response.request().resourceType() === 'fetch')
      await setHidden(page, false)
      await answer
      await page.context().close()
    }
    await host.app.close()
  })

  await t.test('stops when its user wishes, on the next page too', async t => {
    const { host, url } = await open(t)
    const { page, asked } = await visit(browser, url)
    await page.clock.install()
    await shows(line(page), 'Live')
    await page.getByRole('button', { name: 'Pause updates' }).click()
    await shows(line(page), 'Updates are paused.')
    await page.getByRole('link', { name: 'Tasks' }).click()
    await shows(line(page), 'Updates are paused.')
    const before = asked.length
    await host.as('ada').create()
    await page.clock.fastForward(600_000)
    t.equal(asked.length, before)
    await page.getByText('No tasks yet.').waitFor()
    await page.getByRole('button', { name: 'Resume updates' }).click()
    await page.getByRole('row').nth(1).waitFor()
    await shows(line(page), 'Live')
    await page.context().close()
  })

  await t.test('says when the store is away, keeps what it shows, and goes on', async t => {
    const fragile = fragileStore()
    const { host, url } = await open(t, { store: fragile.store })
    await host.as('ada').create()
    const { page, faults } = await visit(browser, url)
    await shows(tile(page, 'Waiting'), /^1/)
    fragile.isAway = true
    await shows(line(page), 'The queue cannot be reached. What you see is as it was; trying again.')
    await shows(tile(page, 'Waiting'), /^1/)
    fragile.isAway = false
    await host.as('ada').create()
    await shows(tile(page, 'Waiting'), /^2/)
    await shows(line(page), 'Live')

    fragile.isAway = true
    await page.goto(`${url}tasks`)
    await page.getByRole('heading', { name: 'The queue cannot be reached' }).waitFor()
    fragile.isAway = false
    await page.getByRole('row').nth(2).waitFor()
    await page.getByRole('link', { name: 'Workers' }).waitFor()
    t.same(faults, [])
    await page.context().close()
  })

  await t.test('says when its user is signed out or may not look any more, and goes on', async t => {
    const { url } = await open(t)
    const visitor = await visit(browser, url)
    const { page, faults } = visitor
    await page.clock.install()
    await shows(line(page), 'Live')
    await visitor.signOut()
    await page.clock.runFor(3_000)
    await shows(line(page), /signed out.*Sign in again/)
    await shows(tile(page, 'Waiting'), /^0/)
    await visitor.signIn('ada')
    await page.clock.runFor(11_000)
    await shows(line(page), 'You may not see this any more.')
    await visitor.signIn('root')
    await page.clock.runFor(11_000)
    await shows(line(page), 'Live')

    await visitor.signOut()
    await page.goto(url)
    await page.getByRole('heading', { name: 'Sign in first' }).waitFor()
    await visitor.signIn('root')
    await setHidden(page, true)
    await setHidden(page, false)
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    t.same(faults, [])
    await page.context().close()
  })

  await t.test('works behind a proxy that strips a path and adds a policy of its own', async t => {
    const { host, url } = await open(t)
    await host.as('ada').create()
    const proxy = createServer((incoming, outgoing) => {
      const target = new URL(incoming.url!.replace(/^\/ops\/deep/, '') || '/', url)
      const forwarded = ask(target, { method: incoming.method!, headers: incoming.headers }, answer => {
        const policies = ["default-src 'self'; script-src 'self'; style-src 'self'; object-src 'none'", String(answer.headers['content-security-policy'])]
        for (const [name, value] of Object.entries(answer.headers)) outgoing.setHeader(name, name === 'content-security-policy' ? policies : value!)
        outgoing.writeHead(answer.statusCode!)
        answer.pipe(outgoing)
      })
      incoming.pipe(forwarded)
    }).listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    t.teardown(() => {
      proxy.closeAllConnections()
      proxy.close()
    })
    const { page, faults } = await visit(browser, `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/ops/deep/charts-dashboard`)
    await shows(line(page), 'Live')
    await page.locator('.uplot canvas').first().waitFor()
    await page.getByRole('button', { name: 'Pause queue' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Pause queue' }).click()
    await page.getByText('The queue is paused. No worker').waitFor()
    await page.getByRole('link', { name: 'Tasks' }).click()
    await page.getByRole('row').nth(1).getByRole('link').click()
    await page.getByRole('heading', { name: 'Request' }).waitFor()
    await page.getByRole('link', { name: 'Overview' }).click()
    await page.getByRole('button', { name: 'Resume queue' }).click()
    await page.getByRole('button', { name: 'Pause queue' }).waitFor()
    t.equal(new URL(page.url()).pathname, '/ops/deep/charts-dashboard/')
    t.same(faults, [])
    await page.context().close()
  })
})
