import { Ajv, type ErrorObject, type Options } from 'ajv'
import addFormats from 'ajv-formats'

/** Judges input as it is: every fault is named, nothing is coerced, nothing is dropped. */
export function strictAjv (options: Options = {}): Ajv {
  const ajv = new Ajv({ allErrors: true, strict: false, ...options })
  addFormats.default(ajv)
  return ajv
}

/** All faults in a sentence, each with the name of what is wrong. `what` is the whole that was judged. */
export function nameFaults (faults: ReadonlyArray<Pick<ErrorObject, 'instancePath' | 'keyword' | 'params' | 'message'>>, what: string): string {
  return faults.map(({ instancePath, keyword, params, message }) => {
    const at = `${what}${instancePath}`
    switch (keyword) {
      case 'additionalProperties': return `${at} must not have ${params['additionalProperty']}`
      case 'enum': return `${at} must be one of ${params['allowedValues'].join(', ')}`
      case 'false schema': return `${at} is not accepted`
      default: return `${at} ${message}`
    }
  }).join(', ')
}
