import type { Logger } from '../../generator.ts'
import type { StoredTask } from '../../task.ts'
import type { Checkpoint, Claim, Claimed, ProgressReport, Settled, Settlement } from '../task-store.ts'
import { isReplyError } from './connections.ts'
import { countFitting } from './gatherer.ts'
import { toClaimedTask, toTask, withState, type RawClaimedTask, type RawTask } from './records.ts'
import type { Argument, ScriptRunner } from './script-runner.ts'
import { toTasks, type Found } from './task-reader.ts'
import { fromWord, toWord } from './words.ts'

/** ms after which a worker whose claim was refused because Redis is full asks again. */
const FULL_RETRY_MS = 1_000
/** Leases that one script ends, and bytes of their charts at most: Redis serves nobody else meanwhile. */
const MAX_SETTLED = { items: 100, bytes: 2 ** 22 }

type LeaseAnswer = 'ok' | 'cancelled' | 'stale'
type RawExpired = [task_id: string, attempt: number, worker_id: string]
type RawClaimed = [claimed: RawClaimedTask[], lost: RawTask[], due: number, now: string, deferred: number, expired: RawExpired[]]
/** `ended`: the task, or its last state where the caller has the task as it was claimed. */
type RawSettled = [answer: string, ended?: Found | string]

const toClaimed = ([claimed, lost, due, , deferred, expired]: RawClaimed): Claimed => ({
  tasks: claimed.map(toClaimedTask).filter(task => task !== null),
  lost: toTasks(lost),
  due: due < 0 ? null : due,
  expired: expired.map(([task_id, attempt, worker_id]) => ({ task_id, attempt, worker_id: fromWord(worker_id) })),
  ...(deferred === 1 ? { deferred: true } : {})
})

const claimArguments = (claim: Claim | null): Argument[] => claim
  ? [toWord(claim.worker_id), toWord(claim.claim_id), claim.count, claim.leaseDuration, claim.runningPerTenant, claim.beside, claim.lane ?? 0]
  : ['', '', 0, 0, 0, 0, 0]

function settlementArguments (settlement: Settlement): Argument[] {
  const { task_id, lease, verb } = settlement
  switch (verb) {
    case 'complete': return [task_id, lease, verb, settlement.chart_id, settlement.content ?? '', settlement.claimed ? 1 : '', '']
    case 'fail': return [task_id, lease, verb, settlement.code, settlement.message ?? '', settlement.delay ?? '', Math.random()]
    case 'release': return [task_id, lease, verb, '', '', '', '']
  }
}

const toFinished = (settlement: Settlement, ended: RawTask | string): StoredTask | null => typeof ended === 'string'
  ? withState((settlement as Settlement & { verb: 'complete' }).claimed!, ended)
  : toTask(ended)

const sizeOf = (settlement: Settlement) => ({ bytes: settlement.verb === 'complete' ? Buffer.byteLength(settlement.content ?? '') : 0 })

/** What workers do with leases. */
export class RedisLeases {
  readonly #runner: ScriptRunner
  readonly #logger: Logger | undefined

  constructor (runner: ScriptRunner, logger: Logger | undefined) {
    this.#runner = runner
    this.#logger = logger
  }

  async claim (claim: Claim): Promise<Claimed> {
    return this.#toClaimed(await this.#runner.runOnTime<RawClaimed>('claim', claimArguments(claim), claim.leaseDuration, ([,,, now]) => now), claim)
  }

  async settle (settlements: readonly Settlement[], claim: Claim | null): Promise<{ settled: Settled[], claimed: Claimed }> {
    // Many settlements take more than one script. Only the last of these claims: attempts end independently of each other.
    const count = countFitting(settlements.map(sizeOf), MAX_SETTLED)
    if (count < settlements.length) {
      const first = await this.settle(settlements.slice(0, count), null)
      const rest = await this.settle(settlements.slice(count), claim)
      return { settled: [...first.settled, ...rest.settled], claimed: { ...rest.claimed, lost: [...first.claimed.lost, ...rest.claimed.lost] } }
    }
    if (!claim || claim.count === 0) return this.#run('settle', settlements, claim)
    try {
      return await this.#run('settleAndClaim', settlements, claim)
    } catch (error) {
      // A full Redis refuses the script before it runs. It accepts the settlements alone; a claim that it has answered before is answered again.
      if (!isReplyError(error, 'OOM')) throw error
      const { settled, claimed } = await this.#run('settle', settlements, { ...claim, count: 0 })
      return { settled, claimed: { ...claimed, due: Math.min(claimed.due ?? Infinity, FULL_RETRY_MS) } }
    }
  }

  async progress (reports: readonly ProgressReport[]): Promise<boolean[]> {
    const current = await this.#runner.run<number[]>('progress', reports.flatMap(report => {
      const steps = Object.entries(report.step_progress)
      return [report.task_id, report.lease, report.progress ?? '', report.step ?? '', steps.length, ...steps.flat()]
    }))
    return current.map(Boolean)
  }

  checkpoint ({ task_id, lease, name, value, maxBytes }: Checkpoint): Promise<'ok' | 'stale' | 'too_large'> {
    return this.#runner.run('checkpoint', [task_id, lease, name, value, maxBytes])
  }

  async extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<LeaseAnswer[]> {
    const args = [leaseDuration, ...leases.flatMap(({ task_id, lease }) => [task_id, lease])]
    const [answers] = await this.#runner.runOnTime<[LeaseAnswer[], now: string]>('extend', args, leaseDuration, ([, now]) => now)
    return answers
  }

  async #run (script: 'settle' | 'settleAndClaim', settlements: readonly Settlement[], claim: Claim | null): Promise<{ settled: Settled[], claimed: Claimed }> {
    const args = [...claimArguments(claim), ...settlements.flatMap(settlementArguments)]
    const [answers, claimed] = await this.#runner.runOnTime<[RawSettled[], RawClaimed]>(script, args, claim?.leaseDuration ?? 0, ([, [,,, now]]) => now)
    return {
      settled: answers.map(([answer, ended], i) => ({ current: answer === 'ok', finished: ended ? toFinished(settlements[i]!, ended) : null })),
      claimed: claim ? await this.#toClaimed(claimed, claim) : toClaimed(claimed)
    }
  }

  /** What was claimed. A task whose request is not JSON fails here: no attempt of it begins. */
  async #toClaimed (raw: RawClaimed, { claim_id }: Claim): Promise<Claimed> {
    const claimed = toClaimed(raw)
    const [records] = raw
    if (claimed.tasks.length === records.length) return claimed
    const unreadable = records.filter(one => toClaimedTask(one) === null).map(([record]) => record)
    try {
      return { ...claimed, lost: [...claimed.lost, ...toTasks(await this.#runner.run<Found[]>('failUnreadable', [toWord(claim_id), ...unreadable]))] }
    } catch (error) {
      this.#logger?.warn({ err: error }, 'tasks with unreadable requests could not be failed, they will be claimed again when their leases expire')
      return claimed
    }
  }
}
