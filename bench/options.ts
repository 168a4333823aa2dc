// What `npm run bench --` understands.
import { parseArgs } from 'node:util'
import { FEATURE_NAMES } from './features.ts'
import { SCENARIO_NAMES } from './peer-scenarios.ts'
import { UsageError } from './usage-error.ts'

export type Mode = 'peers' | 'features' | 'growth' | 'against' | 'from'

export interface BenchOptions {
  readonly mode: Mode
  /** The other build, or the file that `--json` wrote. */
  readonly path: string
  readonly rounds: number
  readonly repetitions: number
  readonly tasks: number
  readonly waiting: number
  readonly idle: number
  /** Scenarios of the peers, or features. */
  readonly only: readonly string[]
  /** Where the first Redis listens, and the others behind it; null: at free ports. */
  readonly port: number | null
  readonly json: string | null
  readonly write: boolean
}

const text = { type: 'string' } as const
const flag = { type: 'boolean' } as const
const OPTIONS = {
  features: flag,
  growth: flag,
  against: text,
  from: text,
  rounds: text,
  repetitions: text,
  tasks: text,
  waiting: text,
  idle: text,
  only: text,
  port: text,
  json: text,
  write: flag
} as const

const MEASURING = ['repetitions', 'port', 'json', 'write']
const ALLOWED: Readonly<Record<Mode, readonly string[]>> = {
  peers: [...MEASURING, 'tasks', 'idle', 'only'],
  features: [...MEASURING, 'tasks', 'only'],
  growth: [...MEASURING, 'waiting'],
  against: ['rounds', 'port'],
  from: ['write']
}
const MAX_PORT = 65_535
const DEFAULT_TASKS = { peers: 4_000, features: 2_000 }
const CHOICES: Partial<Record<Mode, readonly string[]>> = { peers: SCENARIO_NAMES, features: FEATURE_NAMES }

/** @throws UsageError */
export function parseOptions (args: readonly string[]): BenchOptions {
  const values = parse(args)
  const modes = (['features', 'growth', 'against', 'from'] as const).filter(mode => values[mode] !== undefined)
  if (modes.length > 1) throw new UsageError(`--${modes[0]} and --${modes[1]} exclude each other`)
  const mode = modes[0] ?? 'peers'
  for (const name of Object.keys(values)) {
    if (name !== mode && !ALLOWED[mode].includes(name)) throw new UsageError(`--${name} cannot be used ${mode === 'peers' ? 'here' : `with --${mode}`}: it belongs to ${modesOf(name)}`)
  }
  if (values.only !== undefined && values.write) throw new UsageError('--write needs all figures, and --only leaves some out')
  return {
    mode,
    path: values.against ?? values.from ?? '',
    rounds: wholeNumber('rounds', values.rounds, 5),
    repetitions: wholeNumber('repetitions', values.repetitions, 5),
    tasks: wholeNumber('tasks', values.tasks, mode === 'features' ? DEFAULT_TASKS.features : DEFAULT_TASKS.peers),
    waiting: wholeNumber('waiting', values.waiting, 100_000),
    idle: wholeNumber('idle', values.idle, 30),
    only: choose(CHOICES[mode] ?? [], values.only),
    port: values.port === undefined ? null : wholeNumber('port', values.port, NaN, MAX_PORT),
    json: values.json ?? null,
    write: values.write ?? false
  }
}

function modesOf (option: string): string {
  const modes = Object.entries(ALLOWED).filter(([, allowed]) => allowed.includes(option)).map(([mode]) => mode)
  return modes.map(mode => mode === 'peers' ? 'the comparison with peers' : `--${mode}`).join(' and ')
}

function parse (args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values
  } catch (error) {
    throw new UsageError((error as Error).message.split('\n', 1)[0])
  }
}

function wholeNumber (name: string, given: string | undefined, standard: number, max = Infinity): number {
  const value = Number(given ?? standard)
  if (!Number.isInteger(value) || value < 1 || value > max) {
    throw new UsageError(`--${name} must be a whole number from 1${max === Infinity ? '' : ` to ${max}`}, got ${given}`)
  }
  return value
}

/** All, or those that are named or begin so: `--only enqueue,memory`. */
function choose (names: readonly string[], given: string | undefined): string[] {
  if (given === undefined) return [...names]
  const wanted = given.split(',')
  for (const start of wanted) {
    if (!names.some(name => name.startsWith(start))) throw new UsageError(`--only knows no ${start}; there are ${names.join(', ')}`)
  }
  return names.filter(name => wanted.some(start => names.includes(start) ? name === start : name.startsWith(start)))
}
