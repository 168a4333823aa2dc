import { ChartStatus, type StoredTask } from '../../task.ts'
import { DEFERRED_DUE_MS, MAX_CAPPED_MOVES, MAX_CLAIMED, MAX_CLAIMED_BYTES, MAX_DUE, MAX_CASCADE } from '../rules.ts'
import type { Checkpoint, Claim, Claimed, ExpiredLease, ProgressReport, Settled, Settlement } from '../task-store.ts'
import { bytesOf, mustRunAlone, toClaimedTask, type Entry } from './entry.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { MemoryState } from './memory-state.ts'
import type { Reads } from './reads.ts'
import type { SortedSet } from './sorted-set.ts'
import type { WorkSignal } from './work-signal.ts'

/** Tasks that have ended, without those whose end the caller knows. */
const lostOf = (ended: readonly Entry[], known: ReadonlySet<string>): StoredTask[] =>
  ended.map(({ task }) => task).filter(({ task_id }) => !known.has(task_id))

interface LeasesOptions {
  readonly state: MemoryState
  readonly lifecycle: Lifecycle
  readonly reads: Reads
  readonly workSignal: WorkSignal
  readonly now: () => number
  readonly monotonic: () => number
}

/** What workers do with leases. */
export class MemoryLeases {
  readonly #state: MemoryState
  readonly #lifecycle: Lifecycle
  readonly #reads: Reads
  readonly #workSignal: WorkSignal
  readonly #now: () => number
  readonly #monotonic: () => number

  constructor ({ state, lifecycle, reads, workSignal, now, monotonic }: LeasesOptions) {
    this.#state = state
    this.#lifecycle = lifecycle
    this.#reads = reads
    this.#workSignal = workSignal
    this.#now = now
    this.#monotonic = monotonic
  }

  /** Collects what is due, then claims tasks. `known`: tasks whose end the caller knows. */
  claim (claim: Claim, known: ReadonlySet<string> = new Set()): Claimed {
    const { worker_id, claim_id, lane = 0 } = claim
    const before = this.#state.claims.get(`${worker_id}:${lane}`)
    if (before?.claim_id === claim_id && before.expires > this.#now()) {
      const entries = before.ids.map(task_id => this.#state.entries.get(task_id)!)
      const running = entries.filter(entry => entry?.task.status === ChartStatus.PROCESSING && entry.claim_id === claim_id)
      const deferred = this.#lifecycle.propagate(false)
      return this.#toClaimed(running, lostOf([...this.#lifecycle.drain(), ...before.ended], known), before.expired, deferred)
    }
    const expired = this.#collect(claim.runningPerTenant)
    this.#lifecycle.propagate(true)
    const started = this.#start(claim)
    const deferred = this.#lifecycle.propagate(true)
    const ended = this.#lifecycle.drain()
    if (started.length + ended.length + expired.length > 0) {
      const ids = started.map(({ task }) => task.task_id)
      this.#state.claims.set(`${worker_id}:${lane}`, { claim_id, ids, ended, expired, expires: this.#now() + claim.leaseDuration })
    }
    // While the queue is paused, a notified worker would find nothing.
    if (this.#state.queue.any && !this.#state.paused) this.#workSignal.notify()
    return this.#toClaimed(started, lostOf(ended, known), expired, deferred)
  }

  settle (settlements: readonly Settlement[], claim: Claim | null): { settled: Settled[], claimed: Claimed } {
    const settled = settlements.map(settlement => this.#settle(settlement, claim?.runningPerTenant ?? null))
    this.#lifecycle.forgetSettled()
    const known = new Set(settlements.filter((_settlement, i) => settled[i]!.current).map(({ task_id }) => task_id))
    if (claim) return { settled, claimed: this.claim(claim, known) }
    // Without a claim, skip lease collection: if this reply were lost, the endings could not be replayed.
    const deferred = this.#lifecycle.propagate(false)
    return { settled, claimed: this.#toClaimed([], lostOf(this.#lifecycle.drain(), known), [], deferred) }
  }

  progress (reports: readonly ProgressReport[]): boolean[] {
    return reports.map(report => {
      const entry = this.#running(report.task_id, report.lease)
      if (entry) this.#lifecycle.report(entry, report)
      return entry !== null
    })
  }

  checkpoint ({ task_id, lease, name, value, maxBytes }: Checkpoint): 'ok' | 'stale' | 'too_large' {
    const entry = this.#running(task_id, lease)
    if (!entry) return 'stale'
    const others = [...entry.checkpoints].filter(([other]) => other !== name).map(([, text]) => text)
    const bytes = [...others, value].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    if (maxBytes > 0 && bytes > maxBytes) return 'too_large'
    entry.checkpoints.set(name, value)
    return 'ok'
  }

  extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Array<'ok' | 'cancelled' | 'stale'> {
    return leases.map(({ task_id, lease }) => {
      const entry = this.#state.entries.get(task_id)
      if (entry?.lease !== lease) return 'stale'
      if (entry.task.status === ChartStatus.CANCELLED) return 'cancelled'
      if (entry.task.status !== ChartStatus.PROCESSING) return 'stale'
      this.#state.processing.add(task_id, this.#monotonic() + leaseDuration)
      return 'ok'
    })
  }

  /** ms until something is due; null: nothing becomes due by itself. */
  due (deferred: boolean): number | null {
    const { processing, delayed, deadlines } = this.#state
    const next = (set: typeof processing) => set.first?.score ?? Infinity
    const left = Math.min(next(processing) - this.#monotonic(), next(delayed) - this.#now(), next(deadlines) - this.#now())
    const due = Math.min(Math.max(0, left), deferred ? DEFERRED_DUE_MS : Infinity)
    return due === Infinity ? null : due
  }

  #running (task_id: string, lease: number): Entry | null {
    const entry = this.#state.entries.get(task_id)
    return entry?.lease === lease && entry.task.status === ChartStatus.PROCESSING ? entry : null
  }

  #settle (settlement: Settlement, cap: number | null): Settled {
    const { task_id, lease, verb } = settlement
    const entry = this.#state.entries.get(task_id)
    if (entry?.lease !== lease) return { current: false, finished: null }
    if (this.#lifecycle.endReplaced(entry)) return { current: false, finished: null }
    if (entry.task.status === ChartStatus.PROCESSING) this.#lifecycle.settle(entry, settlement, cap)
    else if (entry.settled !== verb) return { current: false, finished: null }
    const ended = entry.task.status === ChartStatus.COMPLETED || entry.task.status === ChartStatus.FAILED
    return { current: true, finished: ended ? this.#reads.shown(entry) : null }
  }

  #toClaimed (started: readonly Entry[], lost: StoredTask[], expired: readonly ExpiredLease[], deferred: boolean): Claimed {
    return { tasks: started.map(toClaimedTask), lost, due: this.due(deferred), expired, ...(deferred ? { deferred } : {}) }
  }

  /** Handles expired leases, passed queue timeouts and due tasks. Returns the attempts whose leases have expired. */
  #collect (cap: number): ExpiredLease[] {
    const { entries, processing, deadlines, delayed } = this.#state
    const expired: ExpiredLease[] = []
    let room = MAX_DUE
    const collect = (due: SortedSet, time: number, handle: (entry: Entry) => void) => {
      const ids = due.upTo(time, room)
      room -= ids.length
      for (const task_id of ids) handle(entries.get(task_id)!)
    }
    collect(processing, this.#monotonic(), entry => {
      const { task: { task_id, attempt }, worker_id } = entry
      if (this.#lifecycle.expire(entry, cap)) expired.push({ task_id, attempt, worker_id })
    })
    collect(deadlines, this.#now(), entry => this.#lifecycle.timeOut(entry))
    collect(delayed, this.#now(), entry => this.#lifecycle.promote(entry))
    return expired
  }

  #start (claim: Claim): Entry[] {
    const { entries, queue, running, paused } = this.#state
    const started: Entry[] = []
    if (paused) return started
    let skipped = 0
    let bytes = 0
    const count = Math.min(claim.count, MAX_CLAIMED)
    while (started.length < count && skipped < MAX_CAPPED_MOVES && this.#lifecycle.cascaded < 2 * MAX_CASCADE && bytes < MAX_CLAIMED_BYTES) {
      const head = queue.pop()
      if (!head) break
      let entry = entries.get(head.id)!
      const { tenant } = entry.draft
      if (this.#state.replaced.has(entry)) {
        queue.putBack(head)
        this.#lifecycle.endReplaced(entry)
        skipped++
        continue
      }
      const isCapped = claim.runningPerTenant > 0
      if (isCapped && running.of(tenant) >= claim.runningPerTenant) {
        queue.holdAtCap(head, tenant)
        skipped++
        continue
      }
      // A requeued task goes first, whatever has the tenant's place.
      const other = isCapped && head.queue !== 'requeued' ? queue.popReserved(tenant) : null
      if (other !== null && !this.#lifecycle.endReplaced(entries.get(other)!)) {
        queue.holdAtCap(head, tenant)
        entry = entries.get(other)!
      }
      const alone = mustRunAlone(entry, entry.task.attempt + 1)
      this.#lifecycle.start(entry, claim, alone && claim.beside + started.length > 0 ? 'queued' : 'started')
      started.push(entry)
      bytes += bytesOf(entry)
      if (alone) break
    }
    return started
  }
}
