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

const nothing = (): void => {}

/** Whether an attempt was aborted, and why. The signal is created when it is first read, because most generators never do. */
export class AttemptAbort {
  #reason: AbortError | null = null
  #controller: AbortController | null = null
  /** Called at the abort. */
  #listener = nothing

  get reason (): AbortError | null {
    return this.#reason
  }

  get signal (): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#reason) this.#controller.abort(this.#reason)
    return this.#controller.signal
  }

  /** The first abort counts, later ones have no effect. */
  abort (code: AbortCode): void {
    if (this.#reason) return
    this.#reason = new AbortError(code)
    this.#controller?.abort(this.#reason)
    this.#listener()
  }

  /** Calls `listener` at the abort, in place of an earlier one. Unlike a listener of the signal, it does not need the signal. */
  listen (listener: () => void): void {
    this.#listener = listener
  }

  unlisten (): void {
    this.#listener = nothing
  }
}
