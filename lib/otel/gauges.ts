import type { Attributes, BatchObservableResult, Meter, Observable } from '@opentelemetry/api'
import type { ObservedQueue } from '../telemetry/channels.ts'
import { ATTRIBUTES, LABELS, METRICS, namesOf, SYSTEM, type GaugeName } from './names.ts'

interface Observed {
  readonly queue: ObservedQueue
  /** Whether to read the gauges of the whole queue, too. */
  readonly whole: boolean
}

/** The gauges of one meter. Two services of a process that share a queue are read once. */
class QueueGauges {
  readonly #meter: Meter
  readonly #gauges: Readonly<Record<GaugeName, Observable>>
  readonly #observed = new Set<Observed>()
  readonly #collect = (result: BatchObservableResult): Promise<void> => this.#observe(result)

  constructor (meter: Meter) {
    this.#meter = meter
    this.#gauges = Object.fromEntries(namesOf('gauge').map(name => {
      const { unit, description } = METRICS[name]
      return [name, meter.createObservableGauge(name, { unit, description })]
    })) as Record<GaugeName, Observable>
  }

  add (observed: Observed): () => void {
    const all = Object.values(this.#gauges)
    if (this.#observed.size === 0) this.#meter.addBatchObservableCallback(this.#collect, all)
    this.#observed.add(observed)
    return () => {
      this.#observed.delete(observed)
      if (this.#observed.size === 0) this.#meter.removeBatchObservableCallback(this.#collect, all)
    }
  }

  async #observe (result: BatchObservableResult): Promise<void> {
    const observed = [...this.#observed]
    const prefixes = new Set(observed.map(({ queue }) => queue.keyPrefix))
    await Promise.all([...prefixes].map(keyPrefix => this.#observeQueue(result, keyPrefix, observed.filter(({ queue }) => queue.keyPrefix === keyPrefix))))
  }

  async #observeQueue (result: BatchObservableResult, keyPrefix: string, observed: readonly Observed[]): Promise<void> {
    const base: Attributes = { [ATTRIBUTES.system]: SYSTEM, [ATTRIBUTES.destination]: keyPrefix }
    const observe = (name: GaugeName, value: number, state?: string) => {
      result.observe(this.#gauges[name], value, state === undefined ? base : { ...base, [LABELS.state]: state })
    }
    observe('async_charts.feed.up', observed.every(({ queue }) => queue.isFeedUp) ? 1 : 0)
    const slots = observed.map(({ queue }) => queue.slots).filter(slots => slots !== null)
    if (slots.length > 0) {
      const used = slots.reduce((sum, slots) => sum + slots.used, 0)
      observe('async_charts.worker.slots', used, 'used')
      observe('async_charts.worker.slots', Math.max(0, slots.reduce((sum, slots) => sum + slots.total, 0) - used), 'free')
    }
    const source = observed.find(({ whole }) => whole)
    if (!source) return
    // A store that does not respond gives no values. Alerts are written for the absence of values.
    const stats = await source.queue.stats().catch(() => null)
    if (!stats) return
    const { queue_length, delayed_count, processing_count, oldest_waiting_at, paused, updated_at } = stats
    observe('async_charts.tasks', Math.max(0, queue_length - delayed_count), 'waiting')
    observe('async_charts.tasks', delayed_count, 'delayed')
    observe('async_charts.tasks', processing_count, 'processing')
    observe('async_charts.queue.oldest.age', oldest_waiting_at === null ? 0 : Math.max(0, Date.parse(updated_at) - Date.parse(oldest_waiting_at)) / 1_000)
    observe('async_charts.queue.paused', paused ? 1 : 0)
  }
}

const known = new WeakMap<Meter, QueueGauges>()

/** Observes a queue at each collection. Returns a function that stops this. */
export function observeQueue (queue: ObservedQueue, meter: Meter, whole: boolean): () => void {
  let gauges = known.get(meter)
  if (!gauges) {
    gauges = new QueueGauges(meter)
    known.set(meter, gauges)
  }
  return gauges.add({ queue, whole })
}
