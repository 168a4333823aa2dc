import { ChartPriority } from '../../task.ts'
import { ARRIVALS, CAPPED_CYCLE, CAPPED_NORMAL_EVERY, CAPPED_RANK, ROUND, STRIDE_HIGH, STRIDE_LOW, STRIDE_NORMAL } from '../rules.ts'
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
  readonly #capped = new Map<string, SortedSet>()
  /** Places that each tenant's capped tasks have got. */
  readonly #places = new Map<string, number>()
  /** The lower task that has got its tenant's next place, so that no higher task of the tenant takes it. */
  readonly #reserved = new Map<string, string>()
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

  /** Position of a waiting task by the rules of `pop`: 1 is the next. Null: it is not in a queue. */
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
      // If both are due at once, the higher one goes first.
      const before = (turn - this.#due[other]) / STRIDE[other]
      return Math.max(0, Math.min(i < own ? Math.floor(before) + 1 : Math.ceil(before), this.#queues[other].size))
    })
    return ahead.reduce((sum, count) => sum + count, this.#queues.requeued.size) + 1
  }

  /** Queues a task. Its turn is one round (by the tenant's weight) after the tenant's last one, or after the current turn. */
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

  /** Undoes a `pop`. */
  putBack ({ id, queue, score }: Popped): void {
    this.#queues[queue].add(id, score)
    if (queue !== 'requeued') this.#due[queue] -= STRIDE[queue]
  }

  /** Moves a popped task whose tenant is at its cap out of the queue, with its queue and its turn. */
  holdAtCap ({ id, queue, score }: Popped, tenant: string): void {
    let capped = this.#capped.get(tenant)
    if (!capped) this.#capped.set(tenant, capped = new SortedSet())
    capped.add(id, (QUEUES.indexOf(queue) + 1) * CAPPED_RANK + Math.floor(score))
  }

  /** Returns up to `room` of a tenant's capped tasks to their queues, with the turns that they had there, which are due. Their number; null: the tenant has none. */
  readmit (tenant: string, room: number): number | null {
    const capped = this.#capped.get(tenant)
    if (!capped) return null
    let count = 0
    for (let head; count < room && (head = this.#nextCapped(capped, tenant)); count++) {
      capped.remove(head.id)
      this.#enter(QUEUES[Math.floor(head.score / CAPPED_RANK) - 1]!, head.id, head.score % CAPPED_RANK)
    }
    if (capped.size === 0) this.#capped.delete(tenant)
    return count
  }

  /**
   * Removes a task. If its turn was its tenant's last, the tenant's next task gets that turn: a tenant that replaces its charts does not fall
   * behind.
   */
  remove (id: string, tenant: string, priority: ChartPriority, weight: number): void {
    const capped = this.#capped.get(tenant)
    const score = this.#queues[priority].scoreOf(id) ?? capped?.scoreOf(id) ?? null
    const turn = this.#turns[priority].get(tenant)
    if (score !== null && Math.floor(score % CAPPED_RANK) === turn) this.#turns[priority].set(tenant, turn - Math.floor(ROUND / weight))
    for (const name of QUEUES) this.#queues[name].remove(id)
    capped?.remove(id)
    if (capped?.size === 0) this.#capped.delete(tenant)
  }

  /** Forgets the turns of a tenant without waiting tasks. */
  forget (tenant: string): void {
    for (const priority of PRIORITIES) this.#turns[priority].delete(tenant)
    this.#places.delete(tenant)
    this.#reserved.delete(tenant)
  }

  /** Removes the lower task that has got the tenant's next place from its queue, and returns its id; null: there is none. */
  popReserved (tenant: string): string | null {
    const id = this.#reserved.get(tenant)
    this.#reserved.delete(tenant)
    return id !== undefined && (this.#queues.normal.remove(id) || this.#queues.low.remove(id)) ? id : null
  }

  /** Resets the shares when no task waits. */
  reset (): void {
    this.#clock = 0
    this.#order = 0
    for (const priority of PRIORITIES) this.#rounds[priority] = 0
  }

  /** The next capped task of a tenant. Of 21 places, 16 go to the first task, 4 to a normal and 1 to a low one, if there are such: else its high tasks would starve its lower ones. */
  #nextCapped (capped: SortedSet, tenant: string): Member | undefined {
    const head = capped.first
    if (!head || head.score < 2 * CAPPED_RANK) return head
    const places = (this.#places.get(tenant) ?? 0) + 1
    this.#places.set(tenant, places)
    if (places % CAPPED_CYCLE % CAPPED_NORMAL_EVERY > 0) return head
    const at = places % CAPPED_CYCLE === 0 ? 4 : 3
    const lower = capped.firstFrom(at * CAPPED_RANK)
    if (!lower || lower.score >= (at + 1) * CAPPED_RANK) return head
    this.#reserved.set(tenant, lower.id)
    return lower
  }

  #enter (name: QueueName, id: string, score: number): void {
    this.#queues[name].add(id, score)
    if (name === 'requeued' || this.#queues[name].size > 1) return
    // A priority that becomes non-empty is due one stride later, so it cannot pre-empt higher ones.
    this.#due[name] = this.#clock + STRIDE[name]
  }
}
