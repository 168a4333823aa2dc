import { Ajv, type Options } from 'ajv'
import addFormats from 'ajv-formats'

/** Judges input as it is: every fault is named, nothing is coerced, nothing is dropped. */
export function strictAjv (options: Options = {}): Ajv {
  const ajv = new Ajv({ allErrors: true, strict: false, ...options })
  addFormats.default(ajv)
  return ajv
}
