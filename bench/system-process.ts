// One system in a process of its own, as a producer, a worker or a server: does what the process that measures tells it.
import { setTimeout as delay } from 'node:timers/promises'
import { systems, type SystemName } from './systems/index.ts'
import { makeRequest, MAX_BATCH, type BenchRequest, type Producer } from './systems/system.ts'

export type EnqueueMode = 'serial' | 'in flight' | 'bulk'

/** ms, and µs of CPU of this process. */
export interface Effort { readonly elapsed: number, readonly cpu: number }

export type Calls = typeof calls

const IN_FLIGHT = 100
const [name, url] = process.argv.slice(2) as [SystemName, string]
const system = systems[name]

const enqueueBy: Readonly<Record<EnqueueMode, (producer: Producer, requests: readonly BenchRequest[]) => Promise<void>>> = {
  async serial (producer, requests) {
    for (const request of requests) await producer.add(request)
  },

  async 'in flight' (producer, requests) {
    let next = 0
    await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
      while (next < requests.length) await producer.add(requests[next++]!)
    }))
  },

  async bulk (producer, requests) {
    for (let begin = 0; begin < requests.length; begin += MAX_BATCH) await producer.addBatch(requests.slice(begin, begin + MAX_BATCH))
  }
}

let producer: Producer
let opened: { close (): Promise<unknown> }
let starts: Array<[message_id: string, at: number]>

const calls = {
  async openProducer (): Promise<void> {
    opened = producer = await system.openProducer(url)
  },

  async enqueue ({ count, mode }: { count: number, mode: EnqueueMode }): Promise<Effort> {
    const requests = Array.from({ length: count }, (_, i) => makeRequest(i))
    globalThis.gc?.()
    const stop = startClock()
    await enqueueBy[mode](producer, requests)
    return stop()
  },

  /** Adds one task after the other, `gap` ms apart: the moments at which each was added. */
  async addApart ({ count, gap }: { count: number, gap: number }): Promise<typeof starts> {
    const added: typeof starts = []
    for (let i = 0; i < count; i++) {
      const request = makeRequest(i)
      await delay(gap)
      added.push([request.message_id, now()])
      await producer.add(request)
    }
    return added
  },

  /** Works all that waits. The clock starts with the first task, as a worker takes as long to start as many tasks. */
  async process ({ count, concurrency }: { count: number, concurrency: number }): Promise<Effort> {
    globalThis.gc?.()
    let stop: ReturnType<typeof startClock> | undefined
    let left = count
    let end: (effort: Effort) => void
    const ended = new Promise<Effort>(resolve => { end = resolve })
    opened = await system.openWorker(url, {
      concurrency,
      onStart: () => { stop ??= startClock() },
      onEnd: () => { if (--left === 0) end(stop!()) }
    })
    return ended
  },

  /** Works what comes, until it is closed. */
  async work ({ concurrency }: { concurrency: number }): Promise<void> {
    starts = []
    opened = await system.openWorker(url, { concurrency, onStart: ({ message_id }) => starts.push([message_id, now()]), onEnd () {} })
  },

  async startTimes (): Promise<typeof starts> {
    return starts
  },

  /** Adds one task after the other, `gap` ms apart: how long each took until this process saw its end, ms. */
  async followApart ({ count, gap }: { count: number, gap: number }): Promise<number[]> {
    const server = await system.openServer(url)
    const times: number[] = []
    for (let i = 0; i < count; i++) {
      const request = makeRequest(i)
      await delay(gap)
      const begin = now()
      await server.addAndWait(request)
      times.push(now() - begin)
    }
    await server.close()
    return times
  },

  /** Waits for a task that nobody works, until the process is ended. */
  async followOne (): Promise<void> {
    const server = await system.openServer(url)
    server.addAndWait(makeRequest(0)).catch(() => {})
  },

  async close (): Promise<void> {
    await opened.close()
  }
}

/** ms of a clock that all processes of a machine share. */
function now (): number {
  return Number(process.hrtime.bigint()) / 1e6
}

function startClock (): () => Effort {
  const cpuBefore = process.cpuUsage()
  const begin = now()
  return () => {
    const elapsed = now() - begin
    const { user, system } = process.cpuUsage(cpuBefore)
    return { elapsed, cpu: user + system }
  }
}

process.on('message', async ([call, argument]: [keyof Calls, never]) => {
  try {
    process.send!({ result: await calls[call](argument) })
  } catch (error) {
    process.send!({ error: error instanceof Error ? error.stack : String(error) })
  }
})
process.on('disconnect', () => process.exit())
