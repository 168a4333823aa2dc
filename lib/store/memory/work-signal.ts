/** Notifies one worker that waits for work. Without one, the next wait resolves at once. */
export class WorkSignal {
  readonly #waiting = new Set<() => void>()
  #isPending = false

  notify (): void {
    const [finish] = this.#waiting
    if (finish) finish()
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
      const finish = () => {
        this.#waiting.delete(finish)
        clearTimeout(timer)
        signal.removeEventListener('abort', finish)
        resolve()
      }
      const timer = setTimeout(finish, timeout)
      signal.addEventListener('abort', finish)
      this.#waiting.add(finish)
    })
  }
}
