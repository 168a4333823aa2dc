/** Wakes one who waits for work; rung while nobody waits, it wakes the next who would. */
export class WorkSignal {
  readonly #waiting = new Set<() => void>()
  #rung = false

  ring (): void {
    const [wake] = this.#waiting
    if (wake) wake()
    else this.#rung = true
  }

  /** Resolves when it rings, after `timeout` ms, or when `signal` is aborted. */
  async wait (timeout: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    if (this.#rung) {
      this.#rung = false
      return
    }
    await new Promise<void>(resolve => {
      const wake = () => {
        this.#waiting.delete(wake)
        clearTimeout(timer)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      const timer = setTimeout(wake, timeout)
      signal.addEventListener('abort', wake)
      this.#waiting.add(wake)
    })
  }
}
