// What a run has found, as `--json` writes it.

export type Kind = 'peers' | 'features' | 'growth'

/** One reading of one repetition. */
export interface Reading {
  readonly name: string
  readonly unit: string
  readonly value: number
}

/** All readings of one thing: for each column the values in the order of the repetitions. */
export interface Figure {
  readonly scenario: string
  readonly name: string
  readonly unit: string
  readonly values: Readonly<Record<string, readonly number[]>>
}

export interface Run {
  readonly kind: Kind
  /** ISO 8601. */
  readonly date: string
  readonly machine: { readonly cores: number, readonly cpu: string, readonly node: string, readonly redis: string }
  /** Of this package and of its peers, where they were measured. */
  readonly versions: Readonly<Record<string, string>>
  readonly settings: Readonly<Record<string, number>>
  readonly figures: readonly Figure[]
}

export class FigureCollector {
  readonly #figures = new Map<string, Figure & { readonly values: Record<string, number[]> }>()

  add (scenario: string, column: string, readings: readonly Reading[]): void {
    for (const { name, unit, value } of readings) {
      const key = JSON.stringify([scenario, name, unit])
      if (!this.#figures.has(key)) this.#figures.set(key, { scenario, name, unit, values: {} })
      const { values } = this.#figures.get(key)!
      ;(values[column] ??= []).push(value)
    }
  }

  get figures (): Figure[] {
    return [...this.#figures.values()]
  }
}
