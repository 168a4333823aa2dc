import { ChartPriority } from '../../task.ts'
import { ARRIVALS, PARKED_CYCLE, PARKED_NORMAL_EVERY, PARKED_RANK, ROUND, STRIDE_HIGH, STRIDE_LOW, STRIDE_NORMAL } from '../rules.ts'
import { SortedSet, type Member } from './sorted-set.ts'

const PRIORITIES = [ChartPriority.HIGH, ChartPriority.NORMAL, ChartPriority.LOW] as const
const STRIDE = { high: STRIDE_HIGH, normal: STRIDE_NORMAL, low: STRIDE_LOW } as const
const QUEUES = ['requeued', ...PRIORITIES] as const
type QueueName = (typeof QUEUES)[number]

/** A task that was removed from the head of a queue, and its place there. */
export interface Popped {
  readonly id: string
  readonly queue: QueueName
  readonly score: number
}

/**
 * Waiting tasks. Requeued ones go first; then the priorities by their shares, so that none starves; within one the
 * tenants take turns (start-time fair queueing: Goyal, Vin and Cheng, 1996).
 */
export class FairQueue {
  readonly #queues = { requeued: new SortedSet(), high: new SortedSet(), normal: new SortedSet(), low: new SortedSet() }
  readonly #turns = { high: new Map<string, number>(), normal: new Map<string, number>(), low: new Map<string, number>() }
  readonly #due = { high: 0, normal: 0, low: 0 }
  readonly #rounds = { high: 0, normal: 0, low: 0 }
  readonly #parked = new Map<string, SortedSet>()
  /** How often each tenant's next parked task was asked for. */
  readonly #asked = new Map<string, number>()
  /** A lower task of a tenant's that has the place, whatever else of the tenant's comes first. */
  readonly #preferred = new Map<string, string>()
  #clock = 0
  #order = 0

  /** Whether a task could be claimed. */
  get any (): boolean {
    return QUEUES.some(name => this.#queues[name].size > 0)
  }

  /** The first task of each queue. */
  get heads (): string[] {
    return QUEUES.flatMap(name => this.#queues[name].first?.id ?? [])
  }

  /** Where a waiting task stands, 1 is the next, if no other comes: by the rules of `pop`. Null where it is not in here. */
  position (id: string, priority: ChartPriority): number | null {
    const rank = this.#queues[priority].rank(id)
    if (rank === null) {
      const requeuedRank = this.#queues.requeued.rank(id)
      return requeuedRank === null ? null : requeuedRank + 1
    }
    const turn = this.#due[priority] + rank * STRIDE[priority]
    const own = PRIORITIES.indexOf(priority)
    const ahead = PRIORITIES.map((other, i) => {
      if (i === own) return rank
      // Where both are due at once, the higher goes first.
      const before = (turn - this.#due[other]) / STRIDE[other]
      return Math.max(0, Math.min(i < own ? Math.floor(before) + 1 : Math.ceil(before), this.#queues[other].size))
    })
    return ahead.reduce((sum, count) => sum + count, this.#queues.requeued.size) + 1
  }

  /** A tenant's next turn comes a round (by its weight) after its last, or after the turn that is being served. */
  pushBack (id: string, tenant: string, priority: ChartPriority, weight: number): void {
    const turns = this.#turns[priority]
    const turn = Math.max(this.#rounds[priority], turns.get(tenant) ?? 0) + Math.floor(ROUND / weight)
    turns.set(tenant, turn)
    this.#order++
    this.#enter(priority, id, turn + (this.#order % ARRIVALS) / ARRIVALS)
  }

  /** Requeued tasks, the longest waiting first. */
  pushFront (id: string, now: number): void {
    this.#enter('requeued', id, now)
  }

  pop (): Popped | null {
    const requeued = this.#queues.requeued.shift()
    if (requeued) return { ...requeued, queue: 'requeued' }
    const waiting = PRIORITIES.filter(priority => this.#queues[priority].size > 0)
    const [first] = waiting
    if (!first) return null
    const queue = waiting.reduce((best, priority) => this.#due[priority] < this.#due[best] ? priority : best, first)
    this.#clock = this.#due[queue]
    this.#due[queue] += STRIDE[queue]
    const head = this.#queues[queue].shift()!
    this.#rounds[queue] = Math.floor(head.score)
    return { ...head, queue }
  }

  /** Undoes a pop: the task leaves the queue in another way. */
  putBack ({ id, queue, score }: Popped): void {
    this.#queues[queue].add(id, score)
    if (queue !== 'requeued') this.#due[queue] -= STRIDE[queue]
  }

  /** A tenant at its cap waits aside, in its own order. */
  park ({ id, queue, score }: Popped, tenant: string): void {
    let parked = this.#parked.get(tenant)
    if (!parked) this.#parked.set(tenant, parked = new SortedSet())
    parked.add(id, (QUEUES.indexOf(queue) + 1) * PARKED_RANK + Math.floor(score))
  }

  /** Brings up to `room` of a tenant's parked tasks back, each with the turn that it had: it has come already. How many; null where none is parked. */
  unpark (tenant: string, room: number): number | null {
    const parked = this.#parked.get(tenant)
    if (!parked) return null
    let count = 0
    for (let head; count < room && (head = this.#nextParked(parked, tenant)); count++) {
      parked.remove(head.id)
      this.#enter(QUEUES[Math.floor(head.score / PARKED_RANK) - 1]!, head.id, head.score % PARKED_RANK)
    }
    if (parked.size === 0) this.#parked.delete(tenant)
    return count
  }

  /**
   * Removes a task. If its turn was its tenant's last, the tenant's next task gets that turn: a tenant that replaces its charts does not fall
   * behind.
   */
  remove (id: string, tenant: string, priority: ChartPriority, weight: number): void {
    const parked = this.#parked.get(tenant)
    const score = this.#queues[priority].scoreOf(id) ?? parked?.scoreOf(id) ?? null
    const turn = this.#turns[priority].get(tenant)
    if (score !== null && Math.floor(score % PARKED_RANK) === turn) this.#turns[priority].set(tenant, turn - Math.floor(ROUND / weight))
    for (const name of QUEUES) this.#queues[name].remove(id)
    parked?.remove(id)
    if (parked?.size === 0) this.#parked.delete(tenant)
  }

  /** A tenant that waits no more has no turn to remember. */
  forget (tenant: string): void {
    for (const priority of PRIORITIES) this.#turns[priority].delete(tenant)
    this.#asked.delete(tenant)
    this.#preferred.delete(tenant)
  }

  /** The task that has the place for which another of its tenant's was popped. */
  prefer (tenant: string): string | null {
    const id = this.#preferred.get(tenant)
    this.#preferred.delete(tenant)
    return id !== undefined && (this.#queues.normal.remove(id) || this.#queues.low.remove(id)) ? id : null
  }

  /** Nobody waits: the shares start afresh. */
  reset (): void {
    this.#clock = 0
    this.#order = 0
    for (const priority of PRIORITIES) this.#rounds[priority] = 0
  }

  /** By its shares again, lest a tenant's high tasks starve its low ones. */
  #nextParked (parked: SortedSet, tenant: string): Member | undefined {
    const head = parked.first
    if (!head || head.score < 2 * PARKED_RANK) return head
    const asked = (this.#asked.get(tenant) ?? 0) + 1
    this.#asked.set(tenant, asked)
    if (asked % PARKED_CYCLE % PARKED_NORMAL_EVERY > 0) return head
    const at = asked % PARKED_CYCLE === 0 ? 4 : 3
    const lower = parked.firstFrom(at * PARKED_RANK)
    if (!lower || lower.score >= (at + 1) * PARKED_RANK) return head
    this.#preferred.set(tenant, lower.id)
    return lower
  }

  #enter (name: QueueName, id: string, score: number): void {
    this.#queues[name].add(id, score)
    if (name === 'requeued' || this.#queues[name].size > 1) return
    // A priority that becomes non-empty is due one stride later, so it cannot pre-empt higher ones.
    this.#due[name] = this.#clock + STRIDE[name]
  }
}
