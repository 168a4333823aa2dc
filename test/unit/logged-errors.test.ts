import { test } from 'tap'
import { toLogged } from '../../lib/logging.ts'
import { consoleLogger } from '../../lib/worker/console-logger.ts'

test('all errors of an AggregateError are logged, and cut like others', async t => {
  const { errors } = toLogged(new AggregateError([new Error('first'), new Error('x'.repeat(5_000))], 'both')) as AggregateError
  t.equal(errors[0].message, 'first')
  t.ok(errors[1].message.length < 3_000)
})

test('details that cannot be written as JSON do not keep the message from the console', async t => {
  class OddError extends Error {
    toJSON () { throw new Error('no') }
  }
  const lines = t.capture(console, 'error')
  consoleLogger().error({ err: new OddError('odd') }, 'chart failed')
  t.same(lines().map(({ args }) => args), [['chart failed (unreadable details)']])
})
