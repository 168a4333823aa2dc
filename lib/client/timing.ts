/** Half of it fixed, half of it chance: clients that were cut off together do not come back together. */
export const jittered = (ms: number): number => ms * (0.5 + Math.random() / 2)

// Absent in Node. The types of browsers are not those of this package.
const page = globalThis as { addEventListener?: (type: string, listener: () => void) => void, removeEventListener?: (type: string, listener: () => void) => void }

/** Resolves after a time, when the signal is aborted, or when the browser is online again. */
export function pause (ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      page.removeEventListener?.('online', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
    page.addEventListener?.('online', done)
    if (signal?.aborted) done()
  })
}

/** The promise, rejected at once with the reason of the signal when that is aborted. */
export function abortable<T> (signal: AbortSignal | undefined, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal!.reason)
    signal?.addEventListener('abort', stop)
    if (signal?.aborted) stop()
    promise.then(resolve, reject).finally(() => signal?.removeEventListener('abort', stop))
  })
}

/** Starts the time, in ms, until the next sign of life. */
export type Expect = (ms: number) => void

/**
 * Runs what must show signs of life. Rejects with `tooLate` when the time until one has passed, and at once with the reason of
 * `signal` when that is aborted. The signal that `run` gets is aborted at the end in any case.
 */
export async function supervised<T> (
  signal: AbortSignal, tooLate: Error, run: (signal: AbortSignal, expect: Expect) => Promise<T>
): Promise<T> {
  const own = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  try {
    return await abortable(signal, abortable(own.signal, run(own.signal, ms => {
      clearTimeout(timer)
      timer = setTimeout(() => own.abort(tooLate), ms)
    })))
  } finally {
    clearTimeout(timer)
    own.abort()
  }
}
