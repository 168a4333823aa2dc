import * as fc from 'fast-check'
import { ChartPriority, ChartVisibility, type TraceContext } from '../../lib/task.ts'

/** A task to be created. A number stands for the n-th latest thing that exists when the command is played. */
export interface Wish {
  readonly user: number
  readonly org: number | null
  readonly message: number
  readonly visibility: ChartVisibility
  readonly wanted: number
  readonly force: boolean
  readonly priority: ChartPriority
  /** ms from now */
  readonly run_in: number | null
  readonly supersede: boolean
  /** Existing tasks or, in a batch, earlier tasks of it. */
  readonly needs: readonly number[]
  readonly repeats: number | null
  readonly trace: TraceContext | null
  readonly attempts: number
  readonly exponential: boolean
  readonly inside: boolean
}

/** What all tasks of a call have in common. */
export interface Terms {
  readonly key: number | null
  readonly body: number
  readonly waitingPerTenant: number
  readonly scheduledPerTenant: number
  readonly queueLength: number
  readonly queueTimeout: number
  readonly weight: number
  readonly long: boolean
  /** When a chart exists: report it as missing, as a host does whose `chartStore` has lost it. */
  readonly lost: boolean
}

export interface ClaimWish {
  readonly worker: number
  readonly isRepeated: boolean
  readonly count: number
  readonly runningPerTenant: number
  readonly beside: number
}

export type SettlementWish = { readonly held: number } & (
  | { readonly verb: 'complete', readonly content: boolean }
  | { readonly verb: 'fail', readonly delay: number | null | 'never', readonly message: boolean }
  | { readonly verb: 'release' }
)

export type Command =
  | { readonly verb: 'enqueue', readonly terms: Terms, readonly wish: Wish }
  | { readonly verb: 'batch', readonly terms: Terms, readonly wishes: readonly Wish[] }
  | { readonly verb: 'repeat', readonly call: number }
  | { readonly verb: 'claim', readonly claim: ClaimWish }
  | { readonly verb: 'settle', readonly settlements: readonly SettlementWish[], readonly claim: ClaimWish | null }
  | { readonly verb: 'progress', readonly reports: ReadonlyArray<{ held: number, progress: number | null, step: string | null, step_progress: Record<string, number> }> }
  | { readonly verb: 'checkpoint', readonly held: number, readonly name: string, readonly value: string, readonly maxBytes: number }
  | { readonly verb: 'extend', readonly held: readonly number[], readonly duration: number }
  | { readonly verb: 'cancel', readonly task: number }
  | { readonly verb: 'cancelAll', readonly tasks: readonly number[] }
  | { readonly verb: 'pause', readonly paused: boolean }
  | { readonly verb: 'cleanup' }
  | { readonly verb: 'pass', readonly ms: number }

/** ms. Long, because Redis keys expire by the real clock, which must not happen during a test. */
export const LEASE = 60_000
export const DELAY = 1_000
export const RETENTION = {
  short: { task: 600, status: 300, messageIndex: 900 },
  long: { task: 7_200, status: 7_200, messageIndex: 7_200 }
}

/** The n-th latest thing; small, so that commands often concern the same things. */
const index = fc.nat(11)
const often = <T>(usual: T, rare: fc.Arbitrary<T>, weight = 3) => fc.oneof({ weight, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: rare })

/** The second has characters that JSON escapes, and text that looks like other fields. */
export const traces: readonly TraceContext[] = [
  { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
  { traceparent: '00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00', tracestate: 'a/b="queue_timeout":1,x="key":"k\\"}},"batch":"b"' }
]

const wish: fc.Arbitrary<Wish> = fc.record({
  user: fc.nat(1),
  org: often<number | null>(null, fc.nat(1), 1),
  message: fc.nat(1),
  visibility: fc.constantFrom(ChartVisibility.PRIVATE, ChartVisibility.ORGANIZATION),
  wanted: fc.nat(2),
  force: fc.boolean(),
  priority: fc.constantFrom(ChartPriority.NORMAL, ChartPriority.HIGH, ChartPriority.LOW),
  run_in: often<number | null>(null, fc.constantFrom(-1, 0, 1, DELAY, LEASE), 5),
  supersede: often<boolean>(false, fc.constant(true), 5),
  needs: often<number[]>([], fc.uniqueArray(index, { minLength: 1, maxLength: 3 }), 2),
  repeats: often<number | null>(null, index, 5),
  trace: often<TraceContext | null>(null, fc.constantFrom(...traces), 1),
  attempts: fc.integer({ min: 1, max: 3 }),
  exponential: fc.boolean(),
  inside: often<boolean>(true, fc.constant(false))
})
const terms: fc.Arbitrary<Terms> = fc.record({
  key: often<number | null>(null, fc.nat(1)),
  body: often(0, fc.constant(1)),
  waitingPerTenant: often(0, fc.constant(2), 5),
  scheduledPerTenant: often(0, fc.constant(2), 5),
  queueLength: often(0, fc.constant(5), 5),
  weight: often(1, fc.constantFrom(2, 7, 60)),
  queueTimeout: often(0, fc.constantFrom(DELAY, LEASE), 2),
  long: fc.boolean(),
  lost: often<boolean>(false, fc.constant(true))
})
const claim: fc.Arbitrary<ClaimWish> = fc.record({
  worker: fc.nat(1),
  isRepeated: often<boolean>(false, fc.constant(true), 5),
  count: fc.nat(3),
  runningPerTenant: fc.nat(2),
  beside: fc.nat(1)
})
const settlement: fc.Arbitrary<SettlementWish> = fc.oneof(
  fc.record({ held: index, verb: fc.constant('complete' as const), content: fc.boolean() }),
  fc.record({ held: index, verb: fc.constant('fail' as const), delay: fc.constantFrom<number | null | 'never'>(null, 'never', 0, 5), message: fc.boolean() }),
  fc.record({ held: index, verb: fc.constant('release' as const) })
)
const percent = fc.constantFrom(0, 10, 50, 99)
const step = fc.constantFrom('query', 'render', '__proto__', '7')
const report = fc.record({
  held: index,
  progress: fc.option(percent),
  step: fc.option(step),
  step_progress: fc.dictionary(step, percent, { maxKeys: 2, noNullPrototype: true })
})

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ verb: fc.constant('enqueue' as const), terms, wish }) },
  { weight: 3, arbitrary: fc.record({ verb: fc.constant('batch' as const), terms, wishes: fc.array(wish, { minLength: 1, maxLength: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('repeat' as const), call: index }) },
  { weight: 8, arbitrary: fc.record({ verb: fc.constant('claim' as const), claim }) },
  { weight: 8, arbitrary: fc.record({ verb: fc.constant('settle' as const), settlements: fc.array(settlement, { minLength: 1, maxLength: 3 }), claim: fc.option(claim) }) },
  { weight: 3, arbitrary: fc.record({ verb: fc.constant('progress' as const), reports: fc.array(report, { minLength: 1, maxLength: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('checkpoint' as const), held: index, name: step, value: fc.constantFrom('1', '"é"', '[1,2,3,4,5,6]'), maxBytes: fc.constantFrom(0, 16, 4) }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('extend' as const), held: fc.array(index, { minLength: 1, maxLength: 3 }), duration: fc.constantFrom(LEASE, LEASE / 2) }) },
  { weight: 3, arbitrary: fc.record({ verb: fc.constant('cancel' as const), task: index }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('cancelAll' as const), tasks: fc.array(index, { minLength: 1, maxLength: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('pause' as const), paused: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('cleanup' as const) }) },
  { weight: 3, arbitrary: fc.record({ verb: fc.constant('pass' as const), ms: fc.constantFrom(1, DELAY, 5 * DELAY, LEASE / 2, LEASE, RETENTION.short.status * 1_000, RETENTION.short.task * 1_000, RETENTION.long.task * 1_000) }) }
)

/** On average, sequences have half as many commands as `max`. */
export const sequences = (max: number): fc.Arbitrary<Command[]> => fc.array(command, { minLength: 1, maxLength: max, size: 'max' })

const plainWish = (wish: Wish): Wish => ({ ...wish, run_in: null, supersede: false, needs: [], repeats: null, inside: true })
const plainTerms = (terms: Terms): Terms => ({ ...terms, waitingPerTenant: 0, scheduledPerTenant: 0, queueLength: 0, weight: 1, queueTimeout: 0, lost: false })
const plainClaim = (claim: ClaimWish): ClaimWish => ({ ...claim, runningPerTenant: 0 })

function plain (command: Command): Command {
  switch (command.verb) {
    case 'enqueue': return { ...command, terms: plainTerms(command.terms), wish: plainWish(command.wish) }
    case 'batch': return { ...command, terms: plainTerms(command.terms), wishes: command.wishes.map(plainWish) }
    case 'claim': return { ...command, claim: plainClaim(command.claim) }
    case 'settle': return {
      ...command,
      settlements: command.settlements.map(({ held }) => ({ held, verb: 'complete', content: true })),
      claim: command.claim && plainClaim(command.claim)
    }
    case 'cancel': case 'cancelAll': return { verb: 'pass', ms: 1 }
    default: return command
  }
}

/** Sequences for the plain path: special options are rare, and in some sequences there are none. */
export const plainSequences = (max: number): fc.Arbitrary<Command[]> => fc.constantFrom(0, 4, 12).chain(oneOf =>
  fc.array(fc.tuple(command, fc.nat(11)).map(([command, n]) => oneOf > 0 && n % oneOf === 0 ? command : plain(command)), { minLength: 1, maxLength: max, size: 'max' }))
