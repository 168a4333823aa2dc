import type { AbortCode, GenerateChart, GenerateContext, Logger, ProgressUpdate } from '../generator.ts'
import { toContent, type Charts } from '../service/charts.ts'
import type { Leases } from '../service/leases.ts'
import { AttemptError, SerializedContent, type Outcome } from '../service/outcome.ts'
import { toReport, type Report } from '../service/progress.ts'
import { UNSAVED_CHART, type Settlements } from '../service/settlements.ts'
import type { ClaimedTask, Settlement } from '../store/task-store.ts'
import type { Chart, TraceContext } from '../task.ts'
import type { QueueTelemetry, TracedAttempt } from '../telemetry/queue-telemetry.ts'
import { AttemptAbort } from './attempt-abort.ts'
import { Checkpoints } from './checkpoints.ts'
import { readDependencies } from './read-dependencies.ts'
import { ReportBuffer } from './report-buffer.ts'

/** ms between an abort and the moment at which a generator that still runs is abandoned. */
const ABORT_GRACE_MS = 1_000
/** Maximum ms before the end of a lease at which its attempt is aborted; a tenth of the lease if that is less. */
const MAX_LEASE_MARGIN_MS = 500

export interface AttemptOptions {
  readonly claimed: ClaimedTask
  readonly generate: GenerateChart
  readonly leases: Leases
  readonly settlements: Settlements
  readonly charts: Charts
  readonly telemetry: QueueTelemetry
  /** ms */
  readonly leaseDuration: number
  /** ms */
  readonly attemptTimeout: number
  readonly logger: Logger
  /** Called when there is progress to send. */
  readonly onProgress: () => void
}

/** One attempt of a task, under one lease. It aborts itself before its lease ends, so that no other worker can run the task meanwhile. */
export class Attempt implements TracedAttempt {
  readonly task_id: string
  readonly lease: number
  readonly #options: AttemptOptions
  readonly #startedAt: number
  readonly #abort = new AttemptAbort()
  /** Null until the first report. */
  #reports: ReportBuffer | null = null
  #logger: Logger | null = null
  #leaseTimer: NodeJS.Timeout | undefined
  #leaseEnd = 0
  /** Ends the wait for the generator; null: it does not run. */
  #resolveOutcome: ((outcome: Outcome | null) => void) | null = null
  #graceTimer: NodeJS.Timeout | undefined
  #hasEnded = false
  #trace: TraceContext | null = null

  /** `sentAt`: when the claim was sent, on this process's monotonic clock. */
  constructor (options: AttemptOptions, sentAt: number) {
    const { task, lease } = options.claimed
    this.task_id = task.task_id
    this.lease = lease
    this.#options = options
    this.#startedAt = sentAt
    this.confirm(sentAt)
  }

  /** Created when it is first used, because most attempts log nothing. */
  get log (): Logger {
    const { claimed: { task: { task_id, message_id, attempt } }, logger } = this.#options
    this.#logger ??= logger.child({ task_id, message_id, attempt })
    return this.#logger
  }

  get signal (): AbortSignal {
    return this.#abort.signal
  }

  get abortCode (): AbortCode | null {
    return this.#abort.reason?.code ?? null
  }

  thrownOf (settlement: Settlement): unknown {
    return this.#options.settlements.thrownOf(settlement)
  }

  /** The lease was granted or extended by a command sent at `sentAt`: it holds for its full duration from then on. */
  confirm (sentAt: number): void {
    const { leaseDuration } = this.#options
    clearTimeout(this.#leaseTimer)
    if (this.#hasEnded) return
    this.#leaseEnd = sentAt + leaseDuration - Math.min(MAX_LEASE_MARGIN_MS, leaseDuration / 10)
    // In whole ms, so that attempts share a duration: Node keeps a list of timers for each.
    this.#leaseTimer = setTimeout(() => this.abort('LEASE_LOST'), Math.max(0, Math.floor(this.#leaseEnd - performance.now())))
  }

  /** Whether the lease is to be extended. A lost lease is not, even if the generator still runs: another worker may claim the task. */
  holdsLease (): boolean {
    if (this.#hasEnded) return true
    // In a process that was suspended, this may run before the timer of the lease.
    if (performance.now() >= this.#leaseEnd) this.abort('LEASE_LOST')
    const code = this.abortCode
    return code === null || code === 'TIMEOUT' || code === 'SHUTDOWN'
  }

  /** Aborts the generator's signal, and abandons the generator if it still runs a second later. Without effect after the attempt has ended. */
  abort (code: AbortCode): void {
    if (this.#hasEnded || !this.#abort.abort(code)) return
    if (this.#resolveOutcome) this.#graceTimer = setTimeout(() => this.#abandonGenerator(), ABORT_GRACE_MS)
  }

  /** What was reported since the last call, as one report; null: nothing. */
  takeReport (): Report | null {
    return this.#reports?.take() ?? null
  }

  /** Keeps a report that could not be stored for the next `takeReport`. */
  putBack (report: Report): void {
    this.#reports?.putBack(report)
  }

  /** Releases the task without running its generator. */
  decline (): Settlement {
    this.#end()
    return this.#release()
  }

  /** Runs the generator. Resolves to the settlement of the attempt; null: its lease is lost or its task cancelled, so there is nothing to settle. */
  async run (trace: TraceContext | null = null): Promise<Settlement | null> {
    this.#trace = trace
    const timeout = setTimeout(() => this.abort('TIMEOUT'), this.#options.attemptTimeout)
    try {
      const outcome = this.#unsavedChart() ?? await this.#generate()
      this.#resolveOutcome = null
      // Saving a chart has a timeout of its own. A chart that was generated must not be lost to the timeout of the attempt.
      clearTimeout(timeout)
      if (outcome && !this.#abort.reason) return await this.#settlementOf(outcome)
    } catch (error) {
      if (!this.#abort.reason) {
        if (!(error instanceof AttemptError)) throw error
        return await this.#settlementOf({ error })
      }
    } finally {
      this.#end()
      clearTimeout(timeout)
    }
    return this.#settleAborted(this.abortCode!)
  }

  /** The chart that an earlier attempt has generated and could not save. */
  #unsavedChart (): Outcome | null {
    const json = this.#options.claimed.checkpoints.get(UNSAVED_CHART)
    if (json === undefined || !toContent(json)) return null
    this.log.info({}, 'an earlier attempt has generated the chart, which is now saved')
    return { content: new SerializedContent(json) }
  }

  /** The outcome of the generator; null: it was aborted, and abandoned because it ignored its signal. */
  #generate (): Promise<Outcome | null> {
    return new Promise<Outcome | null>(resolve => {
      // Each attempt passes here: `withInterrupt` would allocate several closures more.
      this.#resolveOutcome = resolve
      void this.#callGenerator(resolve)
    })
  }

  #abandonGenerator (): void {
    this.log.error({ code: this.abortCode }, 'the generator ignored its signal and was abandoned')
    this.#resolveOutcome?.(null)
  }

  async #callGenerator (resolve: (outcome: Outcome) => void): Promise<void> {
    const { generate, charts, claimed: { task, request } } = this.#options
    try {
      const dependencies = await (task.depends_on.length === 0 ? [] : readDependencies({ task, charts, signal: this.signal, log: () => this.log }))
      // An abort before this call could not stop a generator in a thread.
      if (this.#abort.reason) throw this.#abort.reason
      resolve({ content: await generate(request, this.#contextOf(dependencies)) })
    } catch (error) {
      resolve({ error })
    }
  }

  #contextOf (dependencies: readonly Chart[]): GenerateContext {
    const { leases, telemetry, claimed } = this.#options
    const attempt = this
    const progress = (update: ProgressUpdate) => this.#report(update)
    let checkpoints: Checkpoints | undefined
    return {
      get signal () { return attempt.signal },
      attempt: claimed.task.attempt,
      progress,
      step: (name, fn) => {
        checkpoints ??= new Checkpoints({ claimed, leases, telemetry, signal: this.signal, log: () => this.log, progress, onStale: () => this.abort('LEASE_LOST') })
        return checkpoints.step(name, fn)
      },
      dependencies,
      trace: this.#trace ?? undefined,
      get log () { return attempt.log }
    }
  }

  #report (update: ProgressUpdate): void {
    if (this.#hasEnded || this.#abort.reason) return
    let report
    try {
      report = toReport(this.task_id, this.lease, update)
    } catch {
      // A getter of the update has thrown. Progress never fails a generator.
      return
    }
    this.#reports ??= new ReportBuffer()
    if (this.#reports.add(report)) this.#options.onProgress()
  }

  #end (): void {
    this.#hasEnded = true
    clearTimeout(this.#leaseTimer)
    clearTimeout(this.#graceTimer)
  }

  #release (): Settlement {
    return { task_id: this.task_id, lease: this.lease, verb: 'release' }
  }

  #settlementOf (outcome: Outcome): Promise<Settlement> {
    const { settlements, claimed: { task, lease } } = this.#options
    return settlements.prepare(task, lease, outcome, this, this.#startedAt)
  }

  #settleAborted (code: AbortCode): Settlement | null | Promise<Settlement> {
    this.log.info({ code }, 'the attempt was aborted')
    switch (code) {
      case 'TIMEOUT': return this.#settlementOf({ error: new AttemptError('CHARTS_ERR_ATTEMPT_TIMEOUT', { retryable: true }) })
      case 'SHUTDOWN': return this.#release()
      case 'CANCELLED':
      case 'LEASE_LOST': return null
    }
  }
}
