import type { Dataset } from './dataset.ts'
import { readCsv } from './read-file.ts'

const COLORS = { 'Fossil Fuels': '#8f7160', 'Nuclear Energy': '#a463f2', Renewables: '#3ca951' }

export const iowaElectricity: Dataset = {
  title: 'Iowa’s electricity',
  fields: {
    year: { title: 'Year', type: 'year', words: ['year'] },
    source: { title: 'Source', type: 'nominal', words: ['source', 'fuel'], colors: COLORS },
    generation: { title: 'Net generation (TWh)', type: 'quantitative', words: ['electricity', 'generation', 'net generation', 'power'], addsUpWithin: 'year' }
  },
  group: 'source',
  time: 'year',

  async rows (signal) {
    const lines = await readCsv('iowa-electricity.csv', signal)
    return lines.map(line => ({
      year: Number(line['year']?.slice(0, 4)),
      source: line['source'] ?? null,
      // The file counts in thousands of megawatt hours.
      generation: Number(line['net_generation']) / 1000
    }))
  }
}
