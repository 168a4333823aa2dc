import { types } from 'node:util'

/** Levels that anything that is stored may be nested: whatever reads it later may be recursive. */
export const MAX_DEPTH = 500

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** Where the string that begins at `start` ends. */
function endOfString (json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let backslashes = 0
    while (json.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return end
  }
}

/** Whether more than `most` brackets open, those within strings included. */
function hasManyBrackets (json: string, most: number): boolean {
  let count = 0
  for (const bracket of '{[') {
    for (let at = json.indexOf(bracket); at >= 0; at = json.indexOf(bracket, at + 1)) if (++count > most) return true
  }
  return false
}

/** Whether JSON is nested deeper than `MAX_DEPTH` levels. `json` must be valid: the text is scanned, not parsed. */
export function isTooDeep (json: string): boolean {
  // Cheap tests first: each level takes two brackets, and few charts have hundreds.
  if (json.length <= 2 * MAX_DEPTH || !hasManyBrackets(json, MAX_DEPTH)) return false
  let depth = 0
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i)
    if (code === QUOTE) i = endOfString(json, i)
    else if (code === OPEN_LIST || code === OPEN_OBJECT) depth++
    else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--
    if (depth > MAX_DEPTH) return true
  }
  return false
}

/**
 * JSON whose strings any store can keep: a lone surrogate, which `JSON.stringify` writes as an escape, becomes U+FFFD.
 * PostgreSQL, for one, refuses it.
 */
export function toWellFormedJson (json: string): string {
  return json.includes('\\ud') ? json.replace(/(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g, '$1\ufffd') : json
}

export const isHolder = (value: unknown): value is object => typeof value === 'object' && value !== null

const hasToJson = (value: unknown): value is { toJSON (key: string): unknown } =>
  typeof (value as { toJSON?: unknown }).toJSON === 'function'

/** Objects that `JSON.stringify` writes as `{}`, or as something that nobody can read back. */
const isEmptied = (value: object): boolean =>
  types.isMap(value) || types.isSet(value) || types.isWeakMap(value) || types.isWeakSet(value) || types.isPromise(value) ||
  types.isRegExp(value) || types.isNativeError(value) || types.isAnyArrayBuffer(value) || ArrayBuffer.isView(value)

const isPlain = (value: object): boolean => {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === Array.prototype || prototype === null
}

const nameOf = (value: object): string => Object.prototype.toString.call(value).slice(8, -1)

/** Why JSON cannot hold a value as it is, whatever that holds in turn; null where it can. */
function faultOf (value: unknown): string | null {
  switch (typeof value) {
    case 'string': return value.isWellFormed() ? null : 'must be well-formed Unicode: it has half of a surrogate pair'
    case 'number': return Number.isFinite(value) ? null : `must be a finite number, not ${value}`
    case 'bigint':
    case 'function':
    case 'symbol': return `must be JSON, which has no ${typeof value}`
    case 'object': return value === null || isPlain(value) || !isEmptied(value) ? null : `must be JSON, which has no ${nameOf(value)}`
    default: return null
  }
}

class JsonFault extends Error {}

/**
 * A member of an input as JSON has it.
 * @throws JsonFault for what `JSON.stringify` refuses, drops, or turns into something else without a word
 */
function toJsonValue (given: unknown): unknown {
  if (given === null || given === undefined || !hasToJson(given)) {
    const fault = faultOf(given)
    if (fault !== null) throw new JsonFault(fault)
    return given
  }
  if (types.isDate(given) && Number.isNaN(given.getTime())) throw new JsonFault('must be a valid date')
  const value = given.toJSON('')
  if (value === undefined) throw new JsonFault('must be JSON: its toJSON returns nothing')
  const fault = faultOf(value)
  if (fault !== null) throw new JsonFault(fault)
  return value
}

function toListed (given: unknown): unknown {
  if (given === undefined) throw new JsonFault('must be JSON, which has no undefined')
  return toJsonValue(given)
}

function checkKey (key: string): void {
  if (!key.isWellFormed()) throw new JsonFault('must have keys of well-formed Unicode')
}

/**
 * What a list or an object holds, as JSON has it. Members that are undefined stay: objects leave them out.
 * @throws JsonFault for the first member that JSON cannot hold as it is, or what a getter throws
 */
export function jsonMembers (holder: object): unknown[] {
  if (Array.isArray(holder)) {
    // By index: a hole would be written as null, too. Copied only where it holds something that has another form.
    for (let i = 0; i < holder.length; i++) if (toListed(holder[i]) !== holder[i]) return Array.from(holder, toListed)
    return holder
  }
  Object.keys(holder).forEach(checkKey)
  return Object.values(holder).map(toJsonValue)
}

/** Where an input is no JSON, as a JSON pointer, and why: for an input of which `jsonMembers` has thrown, at whatever level. */
export function locateJsonFault (input: object): { path: string, message: string } {
  const seen = new Set<unknown>([input])
  const open = [{ path: '', holder: input }]
  let at = ''
  try {
    for (const { path, holder } of open) {
      at = path
      const isList = Array.isArray(holder)
      for (const [key, given] of isList ? holder.entries() : Object.entries(holder)) {
        at = `${path}/${String(key).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')}`
        if (!isList) checkKey(String(key))
        const value = isList ? toListed(given) : toJsonValue(given)
        if (!isHolder(value) || seen.has(value)) continue
        seen.add(value)
        open.push({ path: at, holder: value })
      }
    }
  } catch (error) {
    return { path: at, message: error instanceof JsonFault ? error.message : 'must be JSON: it throws when it is read' }
  }
  return { path: '', message: 'must be JSON' }
}
