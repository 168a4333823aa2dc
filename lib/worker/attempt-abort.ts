import type { AbortCode } from '../generator.ts'

/** The reason of the signal that a generator is given. */
export class AbortError extends Error {
  readonly code: AbortCode

  constructor (code: AbortCode) {
    super(`The attempt was aborted: ${code}`)
    this.name = 'AbortError'
    this.code = code
  }
}

/** Whether an attempt was aborted, and why. The signal is created when it is first read, because most generators never do. */
export class AttemptAbort {
  #reason: AbortError | null = null
  #controller: AbortController | null = null

  get reason (): AbortError | null {
    return this.#reason
  }

  get signal (): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#reason) this.#controller.abort(this.#reason)
    return this.#controller.signal
  }

  /** The first abort counts. False: there was one before, and this one has no effect. */
  abort (code: AbortCode): boolean {
    if (this.#reason) return false
    this.#reason = new AbortError(code)
    this.#controller?.abort(this.#reason)
    return true
  }
}
