/** One line of a table; null where nothing was measured. */
export type Row = Readonly<Record<string, string | number | null>>

export interface Field {
  readonly title: string
  /** A year is a number that is neither added up nor starts at zero. */
  readonly type: 'quantitative' | 'temporal' | 'year' | 'ordinal' | 'nominal'
  /** What people call it, in lower case. */
  readonly words: readonly string[]
  /** The order of an ordinal field. */
  readonly values?: readonly string[]
  /** Of a nominal field: the colour of each value where it has one of its own, the same in every chart. */
  readonly colors?: Readonly<Record<string, string>>
  /**
   * A quantity that adds up within this field's periods: rain within a year, jobs over all sectors of a month.
   * Over several periods the mean of these totals is shown. Other quantities are never added, only averaged.
   */
  readonly addsUpWithin?: string
}

/** What a planner is told about a table, and how its rows are got. */
export interface Dataset {
  readonly title: string
  readonly fields: Readonly<Record<string, Field>>
  /** What is told apart by colour unless somebody asks for something else. */
  readonly group: string
  /** What a line runs along; null where the rows have no date. A dataset with time has a field `year`. */
  readonly time: string | null
  /** Reads and aggregates: as few rows as the question can be answered from. */
  rows (signal: AbortSignal): Promise<Row[]>
}
