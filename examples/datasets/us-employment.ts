import type { Dataset } from './dataset.ts'
import { readCsv } from './read-file.ts'

const SECTORS = {
  construction: 'Construction',
  manufacturing: 'Manufacturing',
  leisure_and_hospitality: 'Leisure and hospitality',
  education_and_health_services: 'Education and health',
  government: 'Government'
}

const COLORS = {
  Construction: '#4269d0',
  Manufacturing: '#e08a00',
  'Leisure and hospitality': '#3ca951',
  'Education and health': '#e0457b',
  Government: '#a463f2'
}

export const usEmployment: Dataset = {
  title: 'US employment',
  fields: {
    year: { title: 'Year', type: 'year', words: ['year'] },
    month: { title: 'Month', type: 'temporal', words: ['month'] },
    sector: { title: 'Sector', type: 'nominal', words: ['sector', 'industry'], colors: COLORS },
    jobs: { title: 'Jobs (millions)', type: 'quantitative', words: ['jobs', 'employment', 'employees'], addsUpWithin: 'month' }
  },
  group: 'sector',
  time: 'month',

  async rows (signal) {
    const months = await readCsv('us-employment.csv', signal)
    return months.flatMap(line => Object.entries(SECTORS).map(([column, sector]) => ({
      year: Number(line['month']?.slice(0, 4)),
      month: line['month'] ?? null,
      sector,
      // The file counts in thousands.
      jobs: Number(line[column]) / 1000
    })))
  }
}
