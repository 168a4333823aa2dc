import type { FastifyInstance } from 'fastify'
import { messages } from '../chat/messages.ts'
import type { Killed, LoadWorkers } from './load-workers.ts'

/** Number of charts in a load test. */
const CHARTS = 40
const identity = { user_id: 'load-test' }

interface Run {
  readonly batch_id: string
  killed: Killed | null
  isOver: boolean
  error: string | null
}

/** Fills the queue, kills a worker, and reports the state of the charts. */
export async function loadTest (fastify: FastifyInstance, { workers }: { workers: LoadWorkers }): Promise<void> {
  const queue = fastify.asyncCharts
  let run: Run | null = null
  const stopped = new AbortController()

  async function follow (run: Run): Promise<void> {
    try {
      const { signal } = stopped
      run.killed = await workers.kill(signal)
      const states = queue.watchBatch(run.batch_id, { signal })[Symbol.asyncIterator]()
      // The iteration ends after the last task has ended.
      while (!(await states.next()).done);
    } catch (error) {
      run.error = (error as Error).message
    } finally {
      await workers.stop()
      run.isOver = true
    }
  }

  fastify.addHook('preClose', async () => stopped.abort())
  fastify.addHook('onClose', () => workers.stop())

  // The body is JSON, which pages of other sites cannot send without a preflight.
  fastify.post('/load', { schema: { body: { type: 'object' } } }, async (_request, reply) => {
    if (run && !run.isOver) return reply.code(409).send({ message: 'The load test is under way already' })
    await workers.start()
    const wishes = messages.flatMap(({ id, suggestions }) => [null, ...suggestions].map(adjustment_query => ({ message_id: id, adjustment_query, force_create: true })))
    const { batch_id } = await queue.enqueueChartTasks(Array.from({ length: CHARTS }, (_, i) => wishes[i % wishes.length]!), identity)
    run = { batch_id, killed: null, isOver: false, error: null }
    follow(run)
    return reply.code(202).send({ batch_id })
  })

  fastify.get('/load', async () => {
    if (!run) return { total: CHARTS, counts: null, killed: null, is_over: true, error: null }
    const { tasks } = (await queue.getBatch(run.batch_id)) ?? { tasks: [] }
    const counts = { waiting: 0, running: 0, completed: 0, failed: 0 }
    const charts = new Set<string>()
    for (const { status, chart_id } of tasks) {
      counts[({ PENDING: 'waiting', PROCESSING: 'running', COMPLETED: 'completed', FAILED: 'failed', CANCELLED: 'failed' } as const)[status]]++
      if (chart_id !== null) charts.add(chart_id)
    }
    const { killed, isOver, error } = run
    const hit = tasks.filter(({ task_id }) => killed?.task_ids.includes(task_id))
    return {
      total: CHARTS,
      counts: { ...counts, charts: charts.size },
      killed: killed && { worker: killed.worker, tasks: hit.map(({ task_id, status, attempt }) => ({ task_id, status, attempt })) },
      is_over: isOver,
      error
    }
  })
}
