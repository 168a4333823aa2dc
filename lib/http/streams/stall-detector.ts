/** Detects a reader that has stopped reading: nothing was sent during two heartbeats, although bytes were pending. */
export class StallDetector {
  #sent = 0
  #wasPending = false
  #stalledHeartbeats = 0

  /**
   * Call once per heartbeat. `isPending`: bytes wait to be sent; `sent`: a figure that grows with everything that is sent. Only full
   * heartbeats count: bytes that became pending since the last call give the reader that time as well.
   */
  isStalled (isPending: boolean, sent: number): boolean {
    this.#stalledHeartbeats = isPending && this.#wasPending && sent === this.#sent ? this.#stalledHeartbeats + 1 : 0
    this.#wasPending = isPending
    this.#sent = sent
    return this.#stalledHeartbeats >= 2
  }
}
