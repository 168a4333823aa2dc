import type { Dataset } from './dataset.ts'
import { readJson } from './read-file.ts'

interface Country {
  readonly year: number
  readonly country: string
  readonly cluster: number
  readonly pop: number
  readonly life_expect: number
  readonly fertility: number
}

/** The file numbers them. */
const REGIONS = [
  'South Asia', 'Europe and Central Asia', 'Sub-Saharan Africa', 'Americas', 'East Asia and Pacific', 'Middle East and North Africa'
]

export const gapminder: Dataset = {
  title: 'Gapminder',
  fields: {
    year: { title: 'Year', type: 'year', words: ['year'] },
    country: { title: 'Country', type: 'nominal', words: ['country', 'countries'] },
    region: { title: 'Region', type: 'nominal', words: ['region', 'continent'] },
    life_expectancy: { title: 'Life expectancy (years)', type: 'quantitative', words: ['live', 'life expectancy'] },
    children: { title: 'Children per woman', type: 'quantitative', words: ['children', 'fertility'] },
    population: { title: 'Population (millions)', type: 'quantitative', words: ['population'], addsUpWithin: 'year' }
  },
  group: 'region',
  time: 'year',

  async rows (signal) {
    const lines = await readJson<Country>('gapminder.json', signal)
    return lines.map(line => ({
      year: line.year,
      country: line.country,
      region: REGIONS[line.cluster] ?? null,
      life_expectancy: line.life_expect,
      children: line.fertility,
      population: line.pop / 1_000_000
    }))
  }
}
