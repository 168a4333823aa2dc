import type { AbortCode, GenerateChart, GenerateContext, Logger, ProgressUpdate } from '../generator.ts'
import { toContent } from '../service/charts.ts'
import { UNSAVED_CHART, type Leases } from '../service/leases.ts'
import { AttemptError, SerializedContent, type Outcome } from '../service/outcome.ts'
import { merge, toReport, type Report } from '../service/progress.ts'
import { Checkpoints } from './checkpoints.ts'
import { readDependencies } from './read-dependencies.ts'
import type { Settlement, ClaimedTask, TraceContext } from '../store/task-store.ts'
import type { QueueTelemetry, TracedAttempt } from '../telemetry/queue-telemetry.ts'
import type { Chart } from '../task.ts'

/** ms that a generator gets to answer its signal before it is abandoned. */
const GRACE = 1_000
/** ms before the end of a lease at which its attempt is aborted, at most; a tenth of the lease where that is less. */
const LEASE_MARGIN = 500

export class AbortError extends Error {
  readonly code: AbortCode

  constructor (code: AbortCode) {
    super(`The attempt was aborted: ${code}`)
    this.name = 'AbortError'
    this.code = code
  }
}

export interface AttemptOptions {
  readonly taken: ClaimedTask
  readonly generate: GenerateChart
  readonly leases: Leases
  readonly telemetry: QueueTelemetry
  readonly leaseDuration: number
  readonly attemptTimeout: number
  readonly logger: Logger
  /** Called when there is progress to be stored. */
  readonly onProgress: () => void
}

/** One try of one task under one lease. It aborts itself before another process could start the same task. */
export class Attempt implements TracedAttempt {
  readonly task_id: string
  readonly lease: number
  readonly #options: AttemptOptions
  readonly #startedAt: number
  #logger: Logger | null = null
  /** Why it was aborted, if it was; the signal is made when it is first asked for, as most generators never do. */
  #reason: AbortError | null = null
  #controller: AbortController | null = null
  #onAborted: () => void = () => {}
  #report: Report | null = null
  #taken: Report | null = null
  #leaseTimer: NodeJS.Timeout | undefined
  #leaseEnd = 0
  #settled = false
  #trace: TraceContext | null = null

  /** `sentAt`: when the request that gave the lease was sent, on this process's monotonic clock. */
  constructor (options: AttemptOptions, sentAt: number) {
    const { task, lease } = options.taken
    this.task_id = task.task_id
    this.lease = lease
    this.#options = options
    this.#startedAt = sentAt
    this.confirm(sentAt)
  }

  /** Made when it is first needed: most attempts say nothing. */
  get log (): Logger {
    const { taken: { task: { task_id, message_id, attempt } }, logger } = this.#options
    this.#logger ??= logger.child({ task_id, message_id, attempt })
    return this.#logger
  }

  /** Aborted where the generator is to stop, or must not begin. */
  get signal (): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#reason) this.#controller.abort(this.#reason)
    return this.#controller.signal
  }

  get abortCode (): AbortCode | null {
    return this.#reason?.code ?? null
  }

  thrownOf (closing: Settlement): unknown {
    return this.#options.leases.thrownOf(closing)
  }

  /** The lease holds for its full duration counted from `sentAt`. */
  confirm (sentAt: number): void {
    const { leaseDuration } = this.#options
    clearTimeout(this.#leaseTimer)
    if (this.#settled) return
    this.#leaseEnd = sentAt + leaseDuration - Math.min(LEASE_MARGIN, leaseDuration / 10)
    this.#leaseTimer = setTimeout(() => this.abort('LEASE_LOST'), Math.max(0, this.#leaseEnd - performance.now()))
  }

  /** Whether the lease is to be prolonged. One that has been lost must be free for others, whatever the generator still does. */
  holdsLease (): boolean {
    if (this.#settled) return true
    // A process that was stopped may come here before its timers do.
    if (performance.now() >= this.#leaseEnd) this.abort('LEASE_LOST')
    const code = this.#reason?.code
    return code === undefined || code === 'TIMEOUT' || code === 'SHUTDOWN'
  }

  /** Asks the generator to stop, and abandons it if it does not within a second. Nothing happens once it has answered. */
  abort (code: AbortCode): void {
    if (this.#settled || this.#reason) return
    this.#reason = new AbortError(code)
    this.#controller?.abort(this.#reason)
    this.#onAborted()
  }

  /** What has been reported since the last call, as one report. */
  takeReport (): Report | null {
    const report = this.#report
    if (report) this.#taken = report
    this.#report = null
    return report
  }

  /** A report that could not be stored is sent again, unless a later one was on its way already. */
  putBack (report: Report): void {
    if (report !== this.#taken) return
    if (this.#report) merge(report, this.#report)
    this.#report = report
  }

  /** Hands the task back before anything was done for it. */
  decline (): Settlement {
    this.#settle()
    return { task_id: this.task_id, lease: this.lease, verb: 'release' }
  }

  /** Runs the generator. How the lease is to be closed; null when it is not this attempt's to close any more. */
  async run (trace: TraceContext | null = null): Promise<Settlement | null> {
    this.#trace = trace
    const { attemptTimeout, leases, taken } = this.#options
    const timeout = setTimeout(() => this.abort('TIMEOUT'), attemptTimeout)
    try {
      const outcome = this.#unsaved() ?? await this.#generate()
      // The host's store has a time of its own: a chart that is there must not be lost to the generator's.
      clearTimeout(timeout)
      if (outcome && !this.#reason) return await leases.prepare(taken.task, taken.lease, outcome, this, this.#startedAt)
    } catch (error) {
      if (!this.#reason) {
        if (!(error instanceof AttemptError)) throw error
        return await leases.prepare(taken.task, taken.lease, { error }, this, this.#startedAt)
      }
    } finally {
      this.#settle()
      clearTimeout(timeout)
    }
    return this.#closeAborted(this.#reason!.code)
  }

  /** The chart that an earlier attempt has made and could not save. */
  #unsaved (): Outcome | null {
    const json = this.#options.taken.checkpoints.get(UNSAVED_CHART)
    if (json === undefined || !toContent(json)) return null
    this.log.info({}, 'the chart of an earlier attempt is saved')
    return { content: new SerializedContent(json) }
  }

  /** The generator's outcome; null when it was aborted and did not answer in time. */
  #generate (): Promise<Outcome | null> {
    const { generate, taken } = this.#options
    return new Promise(resolve => {
      let abandoning: NodeJS.Timeout | undefined
      const settle = (outcome: Outcome | null) => {
        clearTimeout(abandoning)
        this.#onAborted = () => {}
        resolve(outcome)
      }
      this.#onAborted = () => {
        abandoning = setTimeout(() => {
          this.log.error({ code: this.#reason!.code }, 'the generator ignored its signal and was abandoned')
          settle(null)
        }, GRACE)
      }
      this.#dependencies()
        .then(dependencies => {
          // Nobody would want what it makes, and in a thread nobody could stop it.
          if (this.#reason) throw this.#reason
          return generate(taken.request, this.#contextOf(dependencies))
        })
        .then(content => settle({ content }), error => settle({ error }))
    })
  }

  async #dependencies (): Promise<readonly Chart[]> {
    const { leases, taken: { task } } = this.#options
    return task.depends_on.length === 0 ? [] : readDependencies({ task, leases, signal: this.signal, log: () => this.log })
  }

  #contextOf (dependencies: readonly Chart[]): GenerateContext {
    const { leases, telemetry, taken } = this.#options
    const attempt = this
    const progress = (update: ProgressUpdate) => this.#progress(update)
    let checkpoints: Checkpoints | undefined
    return {
      get signal () { return attempt.signal },
      attempt: taken.task.attempt,
      progress,
      step: (name, fn) => {
        checkpoints ??= new Checkpoints({ taken, leases, telemetry, signal: this.signal, log: () => this.log, progress, onStale: () => this.abort('LEASE_LOST') })
        return checkpoints.step(name, fn)
      },
      dependencies,
      trace: this.#trace ?? undefined,
      get log () { return attempt.log }
    }
  }

  #progress (update: ProgressUpdate): void {
    if (this.#settled || this.#reason) return
    let report
    try {
      report = toReport(this.task_id, this.lease, update)
    } catch {
      // An update whose getters throw says nothing; the generator must not pay for it.
      return
    }
    if (this.#report) return merge(this.#report, report)
    this.#report = report
    this.#options.onProgress()
  }

  #settle (): void {
    this.#settled = true
    clearTimeout(this.#leaseTimer)
  }

  #closeAborted (code: AbortCode): Settlement | null | Promise<Settlement> {
    const { task_id, lease } = this
    this.log.info({ code }, 'the attempt was aborted')
    switch (code) {
      case 'TIMEOUT': {
        const error = new AttemptError('CHARTS_ERR_ATTEMPT_TIMEOUT', { retryable: true })
        return this.#options.leases.prepare(this.#options.taken.task, lease, { error }, this, this.#startedAt)
      }
      case 'SHUTDOWN': return { task_id, lease, verb: 'release' }
      case 'CANCELLED':
      case 'LEASE_LOST': return null
    }
  }
}
