/** The clock of a store. */
export interface StoreClock {
  /** ms since the epoch. Only a store whose clock a test sets has this method: without it, callers use the clock of the process. */
  now? (): number
}

/** The store as a resource of this process. */
export interface StoreConnection {
  /** Whether the store answers, whether hints arrive, and whether it accepts writes; it does not if it is full, read-only or forbidden. Never rejects. */
  checkHealth (): Promise<{ store: boolean, feed: boolean, writable: boolean }>
  /**
   * Waits until the store answers, at most `timeout` ms. Logs a warning for settings and missing permissions that would do harm later.
   * @throws CHARTS_ERR_STORE_UNAVAILABLE: it has not answered in time
   */
  ready (timeout: number): Promise<void>
  /** Ends the store's own connections. */
  close (): Promise<void>
}
