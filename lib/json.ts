import { types } from 'node:util'

/** Maximum levels of nesting of stored JSON: code that reads it later may be recursive. */
export const MAX_DEPTH = 500

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** The index of the quote that ends the string that begins at `start`. */
function endOfString (json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let backslashes = 0
    while (json.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return end
  }
}

/** Whether the text has more than `max` opening brackets, including those in strings. */
function hasManyBrackets (json: string, max: number): boolean {
  let count = 0
  for (const bracket of '{[') {
    for (let at = json.indexOf(bracket); at >= 0; at = json.indexOf(bracket, at + 1)) if (++count > max) return true
  }
  return false
}

/** Whether JSON is nested deeper than `MAX_DEPTH` levels. `json` must be valid: the text is scanned, not parsed. */
export function isTooDeep (json: string): boolean {
  // Cheap checks first: each level needs two brackets, and few charts have hundreds.
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
* Replaces lone surrogates, which `JSON.stringify` writes as escapes, with U+FFFD. Some databases refuse them: PostgreSQL, for example.
 */
export function toWellFormedJson (json: string): string {
  return json.includes('\\ud') ? json.replace(/(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g, '$1\ufffd') : json
}

export const isHolder = (value: unknown): value is object => typeof value === 'object' && value !== null

const hasToJson = (value: unknown): value is { toJSON (key: string): unknown } =>
  typeof (value as { toJSON?: unknown }).toJSON === 'function'

/** Objects that `JSON.stringify` writes as `{}`, or in a form that cannot be read back. */
const isEmptied = (value: object): boolean =>
  types.isMap(value) || types.isSet(value) || types.isWeakMap(value) || types.isWeakSet(value) || types.isPromise(value) ||
  types.isRegExp(value) || types.isNativeError(value) || types.isAnyArrayBuffer(value) || ArrayBuffer.isView(value)

const isPlain = (value: object): boolean => {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === Array.prototype || prototype === null
}

const nameOf = (value: object): string => Object.prototype.toString.call(value).slice(8, -1)

/** Why JSON cannot represent a value; null if it can. Members of the value are not checked. */
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
* The value that JSON has for a member of an input.
 * @throws JsonFault if `JSON.stringify` would refuse the value, drop it, or silently change it
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
* The members of a list or an object, as JSON has them. Undefined members of an object stay: `JSON.stringify` leaves them out.
 * @throws JsonFault for the first member that JSON cannot represent; and whatever a getter throws
 */
export function jsonMembers (holder: object): unknown[] {
  if (Array.isArray(holder)) {
    // By index, because JSON has null for a hole, too. Copies the list only if a member has another form in JSON.
    for (let i = 0; i < holder.length; i++) if (toListed(holder[i]) !== holder[i]) return Array.from(holder, toListed)
    return holder
  }
  Object.keys(holder).forEach(checkKey)
  return Object.values(holder).map(toJsonValue)
}

/** The JSON pointer of the first value that JSON cannot represent, and why. For an input for which `jsonMembers` has thrown at some level. */
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
