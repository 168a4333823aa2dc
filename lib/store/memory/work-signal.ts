/** Wakes one worker that waits for work. Without one, the next wait resolves at once. */
export class WorkSignal {
  readonly #waiting = new Set<() => void>()
  #isPending = false

  notify (): void {
    const [wake] = this.#waiting
    if (wake) wake()
    else this.#isPending = true
  }

  /** Resolves at a notification, after `timeout` ms, or when `signal` is aborted. */
  async wait (timeout: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    if (this.#isPending) {
      this.#isPending = false
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
