import { test } from 'tap'
import { ChartGenerationError, errors, isChartsError } from '../../lib/index.ts'

test('an error is of this package by its code, also if another copy threw it', async t => {
  t.equal(isChartsError(new errors.CHARTS_ERR_QUEUE_FULL()), true)
  t.equal(isChartsError(Object.assign(new Error('full'), { code: 'CHARTS_ERR_QUEUE_FULL' })), true)
  for (const error of [new Error('full'), new ChartGenerationError('No rows', { code: 'NO_DATA' }), Object.assign(new Error('?'), { code: 'toString' }), { code: 'CHARTS_ERR_QUEUE_FULL' }, null]) {
    t.equal(isChartsError(error), false)
  }
})
