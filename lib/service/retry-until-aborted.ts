import { setTimeout as delay } from 'node:timers/promises'

/** ms between two tries: doubled each time, up to the longest. */
const WAIT = { first: 100, longest: 5_000 }

export interface RetryOptions {
  /** Ends the tries, also one that is under way. */
  readonly signal: AbortSignal
  /** ms that a try under way gets after the abort. Default 0. */
  readonly grace?: number
  /** Told of each try that failed, before the next. */
  readonly failed: (error: unknown) => void
}

/** What `act` resolves to, tried again and again until it does. @throws the reason of `signal` once that is aborted */
export async function retryUntilAborted<T> (act: () => Promise<T> | T, { signal, grace = 0, failed }: RetryOptions): Promise<T> {
  for (let wait = WAIT.first; ; wait = Math.min(wait * 2, WAIT.longest)) {
    signal.throwIfAborted()
    try {
      return await unlessAborted(act(), signal, grace)
    } catch (error) {
      signal.throwIfAborted()
      failed(error)
    }
    // An abort ends the wait, and is thrown when the next try would begin.
    await delay(wait, undefined, { signal }).catch(() => {})
  }
}

/** A store that never answers must not hold an attempt that is not wanted any more. */
async function unlessAborted<T> (result: Promise<T> | T, signal: AbortSignal, grace: number): Promise<T> {
  let giveUp: () => void = () => {}
  let timer: NodeJS.Timeout | undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    giveUp = () => { timer = setTimeout(() => reject(signal.reason), grace) }
    signal.addEventListener('abort', giveUp, { once: true })
  })
  try {
    return await Promise.race([result, aborted])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', giveUp)
  }
}
