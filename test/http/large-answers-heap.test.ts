import t from 'tap'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

const fixture = fileURLToPath(new URL('../fixtures/large-host.js', import.meta.url))
const AT_ONCE = 20

interface Ready { readonly base: string, readonly message_id: string, readonly batch_id: string, readonly task_id: string }

for (const store of ['redis', 'memory', 'host'] as const) {
  t.test(`a heap of 512 MB outlasts twenty large answers at once, ${store}`, { timeout: 400_000 }, async t => {
    const url = await redisUrl()
    const keyPrefix = uniquePrefix(t)
    const child = fork(fixture, {
      env: { PATH: process.env['PATH'], REDIS_URL: url, STORE: store, KEY_PREFIX: keyPrefix }, execArgv: [...process.execArgv, '--max-old-space-size=512']
    })
    const exited = once(child, 'exit')
    t.teardown(async () => {
      if (child.connected) child.disconnect()
      await exited
      const redis = new Redis(url)
      await removeKeys(redis, keyPrefix)
      redis.disconnect()
    })
    const [{ base, message_id, batch_id, task_id }] = await once(child, 'message') as [Ready]
    const ofMessage = `/by-message/${message_id}?limit=100`
    for (const path of store === 'redis' ? [ofMessage, `/async/batch/${batch_id}`] : [ofMessage]) {
      const waits: number[] = []
      const refused: number[] = []
      const done = new AbortController()
      const others = (async () => {
        while (!done.signal.aborted) {
          const begin = performance.now()
          const response = await fetch(`${base}/async/${task_id}/status`)
          await response.arrayBuffer()
          if (response.status !== 200) refused.push(response.status)
          waits.push(performance.now() - begin)
          await delay(5)
        }
      })()
      const answers = await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        const response = await fetch(`${base}${path}`)
        // Read as it comes, and parsed by one at a time: this process has other limits.
        let bytes = 0
        for await (const chunk of response.body!) bytes += chunk.length
        return { status: response.status, bytes }
      }))
      done.abort()
      await others
      t.comment(`${path}: ${answers[0]!.bytes} bytes each; meanwhile ${waits.length} statuses, the slowest in ${Math.round(Math.max(...waits))} ms`)
      t.same(refused, [])
      t.same(answers.map(({ status }) => status), Array(AT_ONCE).fill(200))
      t.equal(child.exitCode, null)
    }
    const body = await (await fetch(`${base}${ofMessage}`)).json() as { charts: Array<{ content?: string }>, active_tasks: object[], content_complete: boolean }
    t.equal(body.charts.length, 100)
    t.equal(body.charts.filter(chart => chart.content?.length === 1_000_000).length, 8)
    t.equal(body.content_complete, false)
    t.equal(body.active_tasks.length, 100)
  })
}
