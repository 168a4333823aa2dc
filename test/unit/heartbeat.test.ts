import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { silentLogger } from '../../lib/silent-logger.ts'
import type { Leases } from '../../lib/service/leases.ts'
import type { Attempt } from '../../lib/worker/attempt.ts'
import { Heartbeat } from '../../lib/worker/heartbeat.ts'
import { gate, until, type Gate } from '../helpers/gate.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

type Answer = 'ok' | 'cancelled' | 'stale'

/** A heartbeat whose extensions are answered by the test. */
function start (t: { teardown (end: () => void): unknown }, logger = silentLogger) {
  const sent: Array<Gate<Answer>> = []
  const told: string[] = []
  const attempt = { holdsLease: () => true, confirm () { told.push('ok') }, abort (code: string) { told.push(code) } }
  const attempts = new Set<Attempt>()
  const leases = {
    async extend () {
      const answer = gate<Answer>()
      sent.push(answer)
      return [await answer.opened]
    }
  }
  const heartbeat = new Heartbeat({ leases: leases as unknown as Leases, attempts, leaseDuration: 60_000, logger })
  t.teardown(() => heartbeat.stop())
  return { heartbeat, sent, told, leases, run () { attempts.add(attempt as unknown as Attempt) } }
}

t.test('nothing is sent where nothing runs, whether hints arrive or not', async t => {
  const { heartbeat, sent } = start(t)
  heartbeat.feed(false)
  await delay(800)
  heartbeat.feed(true)
  t.equal(sent.length, 0)
})

t.test('while hints do not arrive leases are prolonged again and again', async t => {
  const { heartbeat, sent, run } = start(t)
  run()
  heartbeat.feed(false)
  t.equal(sent.length, 1)
  sent[0]!.open('ok')
  await until(() => sent.length === 2, 1_000)
  sent[1]!.open('ok')
  heartbeat.feed(true)
  await delay(800)
  t.equal(sent.length, 3, 'once more when they arrive again, then no more')
})

t.test('an extension that is asked for while one is under way is sent after it', async t => {
  const { heartbeat, sent, told, run } = start(t)
  run()
  heartbeat.beat()
  heartbeat.feed(true)
  heartbeat.beat()
  t.equal(sent.length, 1)
  sent[0]!.open('ok')
  await until(() => sent.length === 2)
  sent[1]!.open('cancelled')
  await until(() => told.length === 2)
  t.same(told, ['ok', 'CANCELLED'])
  t.equal(sent.length, 2)
})

t.test('a store that is away is warned of once', async t => {
  const logger = recordingLogger()
  const { heartbeat, leases, run } = start(t, logger)
  let calls = 0
  leases.extend = async () => {
    calls++
    throw new Error('no')
  }
  run()
  heartbeat.feed(false)
  await until(() => calls === 2)
  t.equal(logger.said(/could not be extended/).length, 1)
})
