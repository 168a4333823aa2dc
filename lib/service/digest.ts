import { hash } from 'node:crypto'

/** Bytes of the hash that a digest keeps. */
const DIGEST_BYTES = 18

/** The SHA-256 of texts. Each is preceded by its length, so that no other list of texts has the same input. */
export const hashOf = (...texts: string[]): Buffer => hash('sha256', texts.map(text => `${text.length}:${text}`).join(''), 'buffer')

/** Whether JSON has the same members as the object itself: it is a plain list or object, and has no `toJSON`. */
function isPlain (value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return (prototype === Object.prototype || prototype === Array.prototype) && typeof (value as { toJSON?: unknown }).toJSON !== 'function'
}

/**
 * A value as JSON with sorted keys; undefined where `JSON.stringify` returns undefined. `key`: the name of the member, which `toJSON` is
 * given.
 * @throws what `JSON.stringify` throws
 */
function canonical (value: unknown, key: string): string | undefined {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (!isPlain(value)) {
    // A date, a boxed string, an instance of a class: what it is in JSON, only JSON.stringify knows.
    const json = JSON.stringify({ [key]: value })
    return canonical((JSON.parse(json) as Record<string, unknown>)[key], key)
  }
  const members: string[] = []
  if (Array.isArray(value)) {
    // By index: a hole is null in JSON, too.
    for (let i = 0; i < value.length; i++) members.push(canonical(value[i], String(i)) ?? 'null')
    return `[${members.join()}]`
  }
  for (const name of Object.keys(value).sort()) {
    const member = canonical((value as Record<string, unknown>)[name], name)
    if (member !== undefined) members.push(`${JSON.stringify(name)}:${member}`)
  }
  return `{${members.join()}}`
}

/**
 * A short key that is equal for equal values: 24 characters of base64url. Values are compared as `JSON.stringify` writes them, whatever the
 * order of their keys. A part that is undefined differs from null.
 * @throws what `JSON.stringify` throws
 */
export function digest (...parts: unknown[]): string {
  return hashOf(...parts.map(part => canonical(part, '') ?? '')).subarray(0, DIGEST_BYTES).toString('base64url')
}
