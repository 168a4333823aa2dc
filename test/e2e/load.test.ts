import t from 'tap'
import { Redis } from 'ioredis'
import { openBrowser } from '../helpers/chromium.ts'
import { freePort } from '../helpers/ports.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'
import { audit } from './audit.ts'
import { browserTest } from './browser.ts'
import { startExample } from './example.ts'

t.test('the load test of the examples', browserTest, async t => {
  const browser = await openBrowser(t)

  async function watch (t: { same (a: unknown, b: unknown): unknown, match (a: unknown, b: unknown): unknown }, address: string, killed: RegExp) {
    const page = await (await browser.newContext()).newPage()
    page.setDefaultTimeout(150_000)
    const faults: string[] = []
    page.on('pageerror', error => faults.push(error.message))
    await page.goto(`${address}/`)
    await page.getByRole('link', { name: 'load' }).click()
    await page.getByRole('button', { name: 'Start the load test' }).click()
    const stages = page.getByRole('listitem')
    await stages.filter({ hasText: killed }).waitFor()
    const task = stages.filter({ hasText: killed }).getByRole('link').first()
    const dashboard = await page.context().newPage()
    dashboard.setDefaultTimeout(150_000)
    await dashboard.goto(`${address}/${await task.getAttribute('href')}`)
    await stages.filter({ hasText: 'Its charts run again: attempt 2.' }).waitFor()
    await page.getByText('Nothing was lost.').waitFor()
    t.same(await audit(page), [])
    t.match(await stages.last().textContent(), 'All 40 charts are there, each once.')
    await dashboard.getByText('Completed', { exact: true }).waitFor()
    const attempts = dashboard.locator('.attempts tbody tr')
    t.match(await attempts.first().textContent(), /worker lost|failed/)
    t.match(await attempts.last().textContent(), 'completed')
    await dashboard.getByRole('link', { name: 'Overview' }).click()
    await dashboard.locator('.tile').filter({ hasText: /^Completed40/ }).waitFor()
    t.same(faults, [])
    await page.context().close()
  }

  await t.test('kills a thread of the demo, and no chart is lost', async t => {
    const demo = await startExample(t, 'demo', { PORT: String(await freePort()), PACE: '100' })
    await watch(t, demo.address, /Killed a worker thread in the middle of [\da-f]{8}/)
  })

  await t.test('kills a worker process of the server with SIGKILL, and no chart is lost', async t => {
    const url = await redisUrl()
    const keyPrefix = uniquePrefix(t)
    t.teardown(async () => {
      const redis = new Redis(url)
      await removeKeys(redis, keyPrefix)
      redis.disconnect()
    })
    const server = await startExample(t, 'server', { REDIS_URL: url, KEY_PREFIX: keyPrefix, LEASE_DURATION: '1500', PACE: '100', PORT: String(await freePort()) })
    await watch(t, server.address, /Killed worker process \d+ in the middle of [\da-f]{8}/)
    t.equal(await server.end('SIGTERM'), 0, 'and its workers end with it')
  })
})
