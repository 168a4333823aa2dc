import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { retryUntilAborted } from '../../lib/service/retry-until-aborted.ts'

const never = () => new Promise<never>(() => {})

t.test('what fails is tried again, whether it rejects or throws', async t => {
  const errors = [new Error('rejected'), new Error('thrown')]
  const told: unknown[] = []
  const act = () => {
    const [error] = errors.splice(0, 1)
    if (error?.message === 'thrown') throw error
    return error ? Promise.reject(error) : Promise.resolve('done')
  }
  const expected = [...errors]
  t.equal(await retryUntilAborted(act, { signal: new AbortController().signal, failed: error => told.push(error) }), 'done')
  t.strictSame(told, expected)
})

for (const [when, act] of [['while nothing answers', never], ['between two tries', () => Promise.reject(new Error('down'))]] as const) {
  t.test(`an abort ${when} ends it with its reason`, async t => {
    const abort = new AbortController()
    const reason = new Error('not wanted')
    const tried = retryUntilAborted<void>(act, { signal: abort.signal, failed: () => {} })
    await delay(1)
    abort.abort(reason)
    await t.rejects(tried, reason)
  })
}

t.test('what is aborted already is not begun', async t => {
  let begun = 0
  const tried = retryUntilAborted(() => ++begun, { signal: AbortSignal.abort(new Error('too late')), failed: () => {} })
  await t.rejects(tried, { message: 'too late' })
  t.equal(begun, 0)
})

t.test('a try under way has its grace', async t => {
  const abort = new AbortController()
  const tried = retryUntilAborted(() => delay(20, 'saved'), { signal: abort.signal, grace: 60_000, failed: () => {} })
  abort.abort()
  t.equal(await tried, 'saved')
})
