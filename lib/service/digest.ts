import { hash } from 'node:crypto'

/** Characters of the hash in base64url that a digest keeps: 18 bytes. */
const DIGEST_LENGTH = 24
/** Names and short words whose JSON is themselves in quotes: most are, and JSON.stringify takes ten times as long. */
const PLAIN_TEXT = /^[ !#-[\]-~]{0,40}$/

/** Texts as one. Each is preceded by its length, so that no other list of texts becomes the same one. */
function join (texts: readonly string[]): string {
  let joined = ''
  for (const text of texts) joined += `${text.length}:${text}`
  return joined
}

/** The SHA-256 of texts. */
export const hashOf = (...texts: string[]): Buffer => hash('sha256', join(texts), 'buffer')

/** Whether JSON has the same members as the object itself: it is a plain list or object, and has no `toJSON`. */
function isPlain (value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return (prototype === Object.prototype || prototype === Array.prototype) && typeof (value as { toJSON?: unknown }).toJSON !== 'function'
}

const quote = (text: string): string => PLAIN_TEXT.test(text) ? `"${text}"` : JSON.stringify(text)

/**
 * A value as JSON with sorted keys; undefined where `JSON.stringify` returns undefined. `key`: the name of the member, which `toJSON` is
 * given.
 * @throws what `JSON.stringify` throws
 */
function canonical (value: unknown, key: string): string | undefined {
  if (typeof value === 'string') return quote(value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (!isPlain(value)) {
    // A date, a boxed string, an instance of a class: what it is in JSON, only JSON.stringify knows.
    const json = JSON.stringify({ [key]: value })
    return canonical((JSON.parse(json) as Record<string, unknown>)[key], key)
  }
  let members = ''
  if (Array.isArray(value)) {
    // By index: a hole is null in JSON, too.
    for (let i = 0; i < value.length; i++) members += `${i > 0 ? ',' : ''}${canonical(value[i], String(i)) ?? 'null'}`
    return `[${members}]`
  }
  for (const name of Object.keys(value).sort()) {
    const member = canonical((value as Record<string, unknown>)[name], name)
    if (member !== undefined) members += `${members && ','}${quote(name)}:${member}`
  }
  return `{${members}}`
}

/**
 * A short key that is equal for equal values: 24 characters of base64url. Values are compared as `JSON.stringify` writes them, whatever the
 * order of their keys. A part that is undefined differs from null.
 * @throws what `JSON.stringify` throws
 */
export function digest (...parts: unknown[]): string {
  return hash('sha256', join(parts.map(part => canonical(part, '') ?? '')), 'base64url').slice(0, DIGEST_LENGTH)
}
