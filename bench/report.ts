// The figures of a run as tables.
import { PLAIN, WITH } from './measure-features.ts'
import type { Figure, Kind, Run } from './results.ts'
import { differences, ratios } from './statistics.ts'
import { OURS, REFERENCE } from './systems/index.ts'
import { number, ratio, signed, spread, type Table } from './tables.ts'

const TABLES: Readonly<Record<Kind, (figures: readonly Figure[]) => Table>> = { peers: peersTable, features: featuresTable, growth: growthTable }

export function tableOf ({ kind, figures }: Run): Table {
  return TABLES[kind](figures)
}

/** When, on what and how often: one line. */
export function summaryOf ({ date, machine, versions, settings }: Run): string {
  const packages = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  const counts = Object.entries(settings).map(([name, value]) => `${name} ${value.toLocaleString('en')}`)
  return [date.slice(0, 10), `${machine.cores} cores (${machine.cpu})`, `Node ${machine.node}`, machine.redis, ...packages, ...counts].join(' · ')
}

/** Values of each system, and how many times those of the reference they are. */
function peersTable (figures: readonly Figure[]): Table {
  const names = Object.keys(figures[0]?.values ?? {})
  const systems = [OURS, REFERENCE, ...names.filter(name => name !== OURS && name !== REFERENCE)]
  const compared = systems.filter(name => name !== REFERENCE)
  return {
    head: ['', '', ...systems, ...compared.map(name => `${name} / ${REFERENCE}`)],
    rows: figures.map(({ name, unit, values }) => [
      name,
      unit,
      ...systems.map(system => spread(values[system]!, number)),
      ...compared.map(system => spread(ratios(values[system]!, values[REFERENCE]!), ratio))
    ])
  }
}

/** What plain tasks cost, and what each feature adds. */
function featuresTable (figures: readonly Figure[]): Table {
  const features = [...new Set(figures.map(({ scenario }) => scenario))]
  const of = (feature: string) => figures.filter(({ scenario }) => scenario === feature)
  const columns = of(features[0]!)
  const plain = columns.map(({ name, unit }) => figures.filter(other => other.name === name && other.unit === unit).flatMap(({ values }) => values[PLAIN]!))
  return {
    head: ['', ...columns.map(({ name, unit }) => `${name}: ${unit}`)],
    rows: [
      [PLAIN, ...plain.map(values => spread(values, number))],
      ...features.map(feature => [feature, ...of(feature).map(({ values }) => spread(differences(values[WITH]!, values[PLAIN]!), signed))])
    ]
  }
}

function growthTable (figures: readonly Figure[]): Table {
  const sizes = Object.keys(figures[0]?.values ?? {})
  return {
    head: ['', '', '', ...sizes.map(size => `${Number(size).toLocaleString('en')} waiting`)],
    rows: figures.map(({ scenario, name, unit, values }) => [scenario, name, unit, ...sizes.map(size => spread(values[size]!, number))])
  }
}
