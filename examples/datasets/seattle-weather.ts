import type { Dataset, Row } from './dataset.ts'
import { readCsv } from './read-file.ts'

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

const COLORS = { drizzle: '#7c93c9', rain: '#3a76d0', snow: '#66b5d6', sun: '#e0a100', fog: '#8d939e' }

export const seattleWeather: Dataset = {
  title: 'Seattle weather',
  fields: {
    year: { title: 'Year', type: 'year', words: ['year'] },
    month: { title: 'Month', type: 'ordinal', words: ['month', 'season'], values: MONTHS },
    weather: { title: 'Weather', type: 'nominal', words: ['weather', 'kind of weather'], colors: COLORS },
    precipitation: { title: 'Precipitation (mm)', type: 'quantitative', words: ['precipitation', 'rain'], addsUpWithin: 'year' }
  },
  group: 'weather',
  time: 'year',

  async rows (signal) {
    const totals = new Map<string, Row & { precipitation: number }>()
    for (const day of await readCsv('seattle-weather.csv', signal)) {
      const { date = '', weather = '', precipitation } = day
      const key = `${date.slice(0, 7)} ${weather}`
      const total = totals.get(key)?.precipitation ?? 0
      totals.set(key, {
        year: Number(date.slice(0, 4)),
        month: MONTHS[Number(date.slice(5, 7)) - 1]!,
        weather,
        precipitation: total + Number(precipitation)
      })
    }
    return [...totals.values()]
  }
}
