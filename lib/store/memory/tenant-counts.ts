/** How many tasks each tenant has, and all of them. */
export class TenantCounts {
  readonly #counts = new Map<string, number>()
  #all = 0

  get all (): number {
    return this.#all
  }

  of (tenant: string): number {
    return this.#counts.get(tenant) ?? 0
  }

  add (tenant: string, by: 1 | -1): void {
    this.#all += by
    const count = this.of(tenant) + by
    if (count > 0) this.#counts.set(tenant, count)
    else this.#counts.delete(tenant)
  }
}
