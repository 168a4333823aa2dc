import type { TSchema } from '@sinclair/typebox'
import { errors } from '../errors.ts'

interface Rename {
  /** The group that the option is in; empty: none. */
  readonly group: string
  readonly from: string
  readonly to: string
  /** Of the warning. */
  readonly code: string
}

/** Names that are accepted for one more minor version. */
export const renames: readonly Rename[] = [
  { group: 'limits', from: 'timeInQueue', to: 'queueTimeout', code: 'CHARTS_DEP001' },
  { group: 'stream', from: 'poll', to: 'pollInterval', code: 'CHARTS_DEP002' },
  { group: '', from: 'poll', to: 'pollInterval', code: 'CHARTS_DEP002' }
]

const warned = new Set<string>()

/** Once for each code in a process: a host may have many queues. */
function warn (code: string, message: string): void {
  if (warned.has(code)) return
  warned.add(code)
  process.emitWarning(message, { type: 'DeprecationWarning', code })
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/**
 * Gives options that came under an old name their new one, and warns.
 * @param options a copy of the host's: it is changed
 * @throws CHARTS_ERR_INVALID_OPTIONS where both names are given
 */
export function acceptOldNames (schema: TSchema, options: unknown, at: string): void {
  for (const { group, from, to, code } of renames) {
    const properties = group === '' ? schema['properties'] : schema['properties'][group]?.properties
    const given = group === '' || !isObject(options) ? options : options[group]
    if (properties?.[to] === undefined || !isObject(given) || given[from] === undefined) continue
    const path = group === '' ? at : `${at}.${group}`
    if (given[to] !== undefined) throw new errors.CHARTS_ERR_INVALID_OPTIONS(`${path}.${from} is the old name of ${path}.${to}: only one of them may be given, got both`)
    given[to] = given[from]
    delete given[from]
    warn(code, `fastify-async-charts: ${path}.${from} was renamed to ${path}.${to}`)
  }
}
