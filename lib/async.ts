import { setTimeout as delay } from 'node:timers/promises'

/** Resolves after `ms`, or as soon as `signal` is aborted. Never rejects. */
export function sleep (ms: number, signal?: AbortSignal): Promise<void> {
  return delay(ms, undefined, signal && { signal }).catch(() => {})
}

/**
 * Notifies one waiter. A notification without a waiter is kept for the next `wait`, so that none is lost between the check of a condition
 * and the wait for it. Notifications are not counted: after `wait`, check the condition again.
 */
export class Signal {
  #isNotified = false
  #resume: () => void = () => {}

  /** Bound, so that it can serve as a listener. */
  readonly notify = (): void => {
    this.#isNotified = true
    this.#resume()
  }

  /** Resolves when `notify` is called, or at once if it was called since the last `wait`. */
  async wait (): Promise<void> {
    if (!this.#isNotified) await new Promise<void>(resolve => { this.#resume = resolve })
    this.#isNotified = false
  }
}

/**
 * Settles as `work` does, unless it is interrupted first: the result of `work` is then dropped, and `outcome` returns the value or
 * throws the error instead.
 * `arm`: sets up the interruption, and returns a function that removes it again. It must not interrupt before it has returned.
 */
export function withInterrupt<T> (work: Promise<T>, arm: (interrupt: (outcome: () => T) => void) => () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let isSettled = false
    const settle = (): void => {
      isSettled = true
      disarm()
    }
    const disarm = arm(outcome => {
      if (isSettled) return
      settle()
      try {
        resolve(outcome())
      } catch (error) {
        reject(error)
      }
    })
    work.then(value => {
      if (!isSettled) settle()
      resolve(value)
    }, error => {
      if (!isSettled) settle()
      reject(error)
    })
  })
}

/** Settles as `work` does, or after `ms` as `onDeadline` returns or throws. */
export function withDeadline<T, U> (work: Promise<T>, ms: number, onDeadline: () => U): Promise<T | U> {
  return withInterrupt<T | U>(work, interrupt => {
    // If this process was busy until now, the result may have arrived and is read before `setImmediate` calls back.
    const timer = setTimeout(() => setImmediate(interrupt, onDeadline), ms)
    return () => clearTimeout(timer)
  })
}

/** Settles as `work` does, or as `onAborted` returns or throws, `grace` ms after the abort. Default 0. */
export function unlessAborted<T, U> (work: Promise<T>, signal: AbortSignal, onAborted: () => U, grace = 0): Promise<T | U> {
  return withInterrupt<T | U>(work, interrupt => {
    let timer: NodeJS.Timeout | undefined
    const onAbort = (): void => { timer = setTimeout(interrupt, grace, onAborted) }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    return () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
  })
}

export interface RetryOptions {
  /** Stops the retries, and the attempt that is under way. */
  readonly signal: AbortSignal
  /** ms that an attempt under way gets after the abort. Default 0. */
  readonly grace?: number
  /** ms before the second attempt; doubled for each one after it. Default 100. */
  readonly minDelay?: number
  /** Maximum ms between two attempts. Default 5,000. */
  readonly maxDelay?: number
  /** Called with the error of each attempt that failed, before the next one. */
  readonly failed: (error: unknown) => void
}

/** Calls `act` until it succeeds, and resolves to its result. @throws the reason of `signal` once that is aborted */
export async function retryUntilAborted<T> (act: () => Promise<T> | T, { signal, grace, minDelay = 100, maxDelay = 5_000, failed }: RetryOptions): Promise<T> {
  for (let wait = minDelay; ; wait = Math.min(wait * 2, maxDelay)) {
    signal.throwIfAborted()
    try {
      return await unlessAborted(Promise.resolve(act()), signal, () => { throw signal.reason }, grace)
    } catch (error) {
      signal.throwIfAborted()
      failed(error)
    }
    await sleep(wait, signal)
  }
}
