/** Notices a reader that takes nothing for two heartbeats, however slowly another one reads. */
export class StallDetector {
  #taken = 0
  #wasPending = false
  #beats = 0

  /**
   * To be asked once per heartbeat. `isPending`: bytes wait for the reader; `taken`: a figure that grows whenever it takes
   * some. Counts full heartbeats only: what has begun to wait since the last one gives the reader that time, too.
   */
  isStalled (isPending: boolean, taken: number): boolean {
    this.#beats = isPending && this.#wasPending && taken === this.#taken ? this.#beats + 1 : 0
    this.#wasPending = isPending
    this.#taken = taken
    return this.#beats >= 2
  }
}
