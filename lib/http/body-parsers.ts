import type { FastifyInstance } from 'fastify'
import { errors } from '../errors.ts'

/**
 * Objects, arrays and members (names with a value) that a JSON body may have. Parsing one of them costs a hundred times as much as
 * reading its bytes: six megabytes of empty objects would block the event loop for seconds. Plain values are cheap and not counted.
 */
const MAX_JSON_PARTS = 50_000

const QUOTE = 0x22
const COLON = 0x3a
const BACKSLASH = 0x5c
const BRACKET = 0x5b
const BRACE = 0x7b

/**
 * Replaces the body parsers of a scope. The host's own may accept any content type, or pass on the raw bytes; these routes need an
 * object.
 */
export function parseBodies (fastify: FastifyInstance): void {
  const parse = fastify.getDefaultJsonParser('error', 'error')
  fastify.removeAllContentTypeParsers()
  fastify.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    // Many clients send the content type without a body, for example with DELETE.
    if (body === '') done(null, undefined)
    else if (hasTooManyParts(body)) done(new errors.CHARTS_ERR_INVALID_REQUEST(`body must not have more than ${MAX_JSON_PARTS} objects, lists and members`))
    else void parse(request, body, done)
  })
  // `fetch` sends a string as text/plain. Validation then tells the sender that the body must be an object, which 415 would not.
  fastify.addContentTypeParser('text/plain', { parseAs: 'string' }, (_request, body, done) => done(null, body))
}

/** Whether a JSON text has more than `MAX_JSON_PARTS`, found without parsing it. For text that is not JSON the result is arbitrary. */
function hasTooManyParts (json: string): boolean {
  // The shortest part has two characters: a bracket and its counterpart.
  if (json.length <= 2 * MAX_JSON_PARTS) return false
  let parts = 0
  for (let i = 0; i < json.length && parts <= MAX_JSON_PARTS; i++) {
    const char = json.charCodeAt(i)
    if (char === QUOTE) i = endOfString(json, i)
    else if (char === BRACE || char === BRACKET || char === COLON) parts++
  }
  return parts > MAX_JSON_PARTS
}

/** Index of the quote that ends the string which begins at `start`. */
function endOfString (json: string, start: number): number {
  for (let i = start + 1; i < json.length; i++) {
    const char = json.charCodeAt(i)
    if (char === QUOTE) return i
    if (char === BACKSLASH) i++
  }
  return json.length
}
