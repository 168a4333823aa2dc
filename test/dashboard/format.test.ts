import t from 'tap'
import { duration } from '../../lib/dashboard/format.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

t.test('a duration has two units at most, and no unit that is zero', async t => {
  const texts: Array<[ms: number, text: string]> = [
    [12, '12 ms'], [1_540, '1.5 s'], [42 * SECOND, '42 s'], [2 * MINUTE, '2 min'], [2 * MINUTE + 5 * SECOND, '2 min 5 s'],
    [3 * HOUR, '3 h'], [3 * HOUR + 20 * MINUTE, '3 h 20 min'], [49 * HOUR, '2 d 1 h']
  ]
  for (const [ms, text] of texts) t.equal(duration(ms), text)
})
