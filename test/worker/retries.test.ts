import t from 'tap'
import { ChartGenerationError } from '../../lib/index.ts'
import { startQueue, stores } from '../helpers/queue.ts'

// They wait more than they work.
t.jobs = 3

for (const kind of stores) {
  t.test(`each error says when it may be tried again, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 4, backoff: { delay: 60_000, jitter: 0 } } })
    const starts: number[] = []
    const waits = [400, 0, 150]
    await queue.work(async (_request, { attempt }) => {
      starts.push(performance.now())
      const retryDelay = waits[attempt - 1]
      if (retryDelay !== undefined) throw new ChartGenerationError('429', { retryable: true, retryDelay })
      return 'made'
    })
    t.match(await queue.run(), { status: 'COMPLETED', attempt: 4, max_attempts: 4 })
    for (const [i, wait] of waits.entries()) {
      const waited = starts[i + 1]! - starts[i]!
      t.ok(waited >= wait - 2, `try ${i + 2} came ${waited.toFixed()} ms after the one before, ${wait} were asked for`)
      t.ok(waited < 10_000, 'and not by the backoff')
    }
  })

  t.test(`what is not retryable ends at once, whatever delay it names, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind)
    let runs = 0
    await queue.work(async () => {
      runs++
      throw new ChartGenerationError('No rows', { code: 'NO_DATA', retryable: false, retryDelay: 10 })
    })
    t.match(await queue.run(), { status: 'FAILED', error_code: 'NO_DATA', attempt: 1, max_attempts: 3 })
    t.equal(runs, 1)
  })

  t.test(`the number of the attempt can be seen, inside and outside, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 3, backoff: { delay: 50, jitter: 0 } } })
    const inside: number[] = []
    await queue.work(async (_request, { attempt }) => {
      inside.push(attempt)
      if (attempt < 3) throw new Error('broken')
      return attempt
    })
    const { task_id, attempt } = await queue.enqueue()
    t.equal(attempt, 0, 'none yet')
    const outside: string[] = []
    for await (const task of queue.service.watchTask(task_id)) outside.push(`${task.current_step} ${task.attempt}`)
    t.strictSame(inside, [1, 2, 3])
    const story = ['queued 0', 'started 1', 'retrying 1', 'started 2', 'retrying 2', 'started 3', 'completed 3']
    t.strictSame(outside.filter(state => !story.includes(state)), [], 'nothing else')
    t.equal(outside.at(-1), 'completed 3')
    t.ok(outside.includes('retrying 1') && outside.includes('retrying 2'), 'a wait can be told from a start')
  })

  t.test(`a delay that makes no sense is the backoff's, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 2 } })
    await queue.work(async ({ adjustment_query: delay }) => {
      throw new ChartGenerationError('429', { retryable: true, retryDelay: JSON.parse(delay!) ?? NaN })
    })
    for (const delay of ['-1', '"soon"', 'null', '{}']) {
      t.match(await queue.run({ adjustment_query: delay }), { status: 'FAILED', attempt: 2 }, delay)
    }
  })
}
