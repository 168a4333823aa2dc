import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { WorkerRenewal } from '../../lib/store/redis/worker-renewal.ts'

t.test('a renewal that fails is due again after the same time', async t => {
  let now = 0
  mock.timers.enable({ apis: ['setInterval'] })
  const clock = mock.method(performance, 'now', () => now)
  t.teardown(() => {
    mock.timers.reset()
    clock.mock.restore()
  })
  const registered: number[] = []
  const renewal = new WorkerRenewal(async () => {
    registered.push(now)
    if (registered.length === 2) throw new Error('away')
  })
  await renewal.add({ worker_id: 'worker', host: 'host', pid: 1, version: '1.0.0', concurrency: 1, state: 'running', started_at: '2030-01-01T00:00:00.000Z' })
  for (let i = 0; i < 20; i++) {
    now += 1_000
    mock.timers.tick(1_000)
    await setImmediate()
  }
  renewal.close()
  t.same(registered, [0, 9_000, 18_000])
})
