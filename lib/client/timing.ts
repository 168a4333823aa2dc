/** 50 to 100 % of `ms`, at random, so that clients that were disconnected together do not reconnect together. */
export const jittered = (ms: number): number => ms * (0.5 + Math.random() / 2)

// Node has no such events, and the package does not include the DOM types.
const page = globalThis as { addEventListener?: (type: string, listener: () => void) => void, removeEventListener?: (type: string, listener: () => void) => void }

/** Resolves after `ms`, or earlier if the signal is aborted or the browser is online again. */
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

/** Settles as `promise` does, or rejects with the reason of the signal as soon as that is aborted. */
export function abortable<T> (signal: AbortSignal | undefined, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal!.reason)
    signal?.addEventListener('abort', stop)
    if (signal?.aborted) stop()
    promise.then(resolve, reject).finally(() => signal?.removeEventListener('abort', stop))
  })
}

/** Sets the ms in which the next bytes must arrive. */
export type Expect = (ms: number) => void

/**
* Runs an operation that calls `expect` whenever bytes arrive. Rejects with `tooLate` if they do not arrive in time, and with the reason
 * of `signal` as soon as that is aborted. The signal that `run` gets is aborted at the end in any case.
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
