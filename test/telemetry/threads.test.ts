import t from 'tap'
import { otel } from '../../lib/otel/index.ts'
import { startQueue } from '../helpers/queue.ts'
import { recordTraces } from '../helpers/telemetry.ts'

const generator = new URL('../fixtures/traced-generator.js', import.meta.url)

t.test('a generator in a thread runs in the trace of its attempt', async t => {
  const { tracer, span } = recordTraces(t)
  const queue = await startQueue(t, 'memory', { telemetry: otel({ tracer }) })
  await queue.work(generator, { telemetry: otel({ tracer }) })
  const task = await queue.run()
  const { trace_id, span_id } = await span(/^process /)
  t.same(await queue.content(task), { active: span_id, told: `00-${trace_id}-${span_id}-01`, inStep: span_id })
  t.match(await span('step query'), { trace_id, parent_id: span_id }, 'the step is a span of the process that has the thread')
})

t.test('a generator in a thread has no trace where nobody traces', async t => {
  const queue = await startQueue(t, 'memory')
  await queue.work(generator)
  t.same(await queue.content(await queue.run()), { active: null, told: null, inStep: null })
})
