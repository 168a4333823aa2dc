export interface Gate<T> {
  readonly opened: Promise<T>
  open (value: T): void
}

/** A promise that the test itself settles. */
export function gate<T = void> (): Gate<T> {
  let open!: (value: T) => void
  const opened = new Promise<T>(resolve => { open = resolve })
  return { opened, open: value => open(value) }
}

/** Rejects when the promise has not settled in time; `what` says what was expected, and is called only then. */
export function inTime<T> (promise: Promise<T>, ms: number, what: string | (() => string)): Promise<T> {
  let timer: NodeJS.Timeout
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${typeof what === 'string' ? what : what()}: not within ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Asks again until the answer is yes; for what gives no signal. */
export async function until (check: () => unknown, ms = 15_000): Promise<void> {
  const end = performance.now() + ms
  while (!await check()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${check}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
