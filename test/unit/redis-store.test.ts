import { EventEmitter } from 'node:events'
import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import type { RedisClient } from '../../lib/store/redis/connections.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'

t.test('a registration that does not reach Redis is no proof that messages arrive, and asks for no other', async t => {
  let now = 0
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  const clock = mock.method(performance, 'now', () => now)
  t.teardown(() => {
    mock.timers.reset()
    clock.mock.restore()
  })
  const calls: string[] = []
  let answer = async (): Promise<unknown> => 1
  class FakeClient extends EventEmitter {
    status = 'ready'
    async connect () {}
    disconnect () { calls.push('disconnect') }
    duplicate () { return new FakeClient() }
    async subscribe () {
      calls.push('subscribe')
    }

    evalsha () {
      calls.push('register')
      return answer()
    }

    async publish () { calls.push('publish') }
  }
  const clients: FakeClient[] = []
  const host = { duplicate: () => clients[clients.push(new FakeClient()) - 1]! }
  const store = new RedisStore({ redis: host as unknown as RedisClient, keyPrefix: 'test' })
  const feed: boolean[] = []
  const off = store.listen({ hint () {}, cancelled () {}, added () {}, feed: up => feed.push(up) })
  for (const client of clients) client.emit('ready')
  await setImmediate()
  t.same(feed, [true])
  await store.registerWorker({ worker_id: 'worker', host: 'host', pid: 1, version: '1.0.0', concurrency: 1, state: 'running', started_at: '2030-01-01T00:00:00.000Z' })
  answer = async () => { throw new Error('Connection is closed.') }
  calls.length = 0
  now += 8_000
  mock.timers.tick(8_000)
  await setImmediate()
  t.same(feed, [true, false])
  t.same(calls, ['register', 'disconnect'])
  off()
  await store.close()
})
