// This package, in the files that it ships: dist/lib, which `npm run bench` has compiled.
import { Redis } from 'ioredis'
import { ChartQueueService, runWorker, type ChartTask } from '../../lib/index.ts'
import type { QueueSystem } from './system.ts'

const TENANTS = 50
// The defaults refuse a backlog of the size that is measured here.
const LIMITS = { queueLength: 0, waitingPerTenant: 0 }

let next = 0
const nextIdentity = () => ({ user_id: `user-${next++ % TENANTS}` })

async function openService (url: string) {
  const redis = new Redis(url)
  const service = new ChartQueueService({ redis, limits: LIMITS })
  await service.ready(5_000)
  const close = async () => {
    await service.close()
    redis.disconnect()
  }
  return { service, close }
}

export const asyncCharts: QueueSystem = {
  async openProducer (url) {
    const { service, close } = await openService(url)
    return {
      add: request => service.enqueueChartTask(request, nextIdentity()),
      addBatch: requests => service.enqueueChartTasks(requests, nextIdentity()),
      close
    }
  },

  async openWorker (url, { concurrency, onStart, onEnd }) {
    const redis = new Redis(url)
    const worker = await runWorker({
      redis,
      concurrency,
      limits: LIMITS,
      handleSignals: false,
      async generate (request) {
        onStart(request)
        return {}
      },
      onFinished: onEnd
    })
    return {
      async close () {
        await worker.stop()
        redis.disconnect()
      }
    }
  },

  async openServer (url) {
    const { service, close } = await openService(url)
    return {
      async addAndWait (request) {
        const { task } = await service.enqueueChartTask(request, nextIdentity())
        let last: ChartTask = task
        for await (const state of service.watchTask(task.task_id, { after: task.version })) last = state
        return last
      },
      close
    }
  }
}
