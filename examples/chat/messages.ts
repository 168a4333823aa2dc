import type { Dataset, Row } from '../datasets/dataset.ts'
import { gapminder } from '../datasets/gapminder.ts'
import { iowaElectricity } from '../datasets/iowa-electricity.ts'
import { penguins } from '../datasets/penguins.ts'
import { seattleWeather } from '../datasets/seattle-weather.ts'
import { usEmployment } from '../datasets/us-employment.ts'

/** One question of the chat with its answer; the chart is what is still missing. */
export interface Message {
  readonly id: string
  readonly question: string
  readonly answer: string
  /** A few rows of what the answer was read from. */
  readonly preview: readonly Row[]
  /** Adjustments worth trying. */
  readonly suggestions: readonly string[]
  readonly dataset: Dataset
}

export const messages: readonly Message[] = [
  {
    id: '5f0c1d6e-8a4b-4c57-9d21-0b6f3a7e1c01',
    question: 'How does precipitation in Seattle vary by month?',
    answer: 'October to December bring two fifths of the year’s precipitation. November is wettest with 161 mm on average, July driest with 12 mm.',
    preview: [
      { month: 'Jan', precipitation: 116.5 },
      { month: 'Jul', precipitation: 12.05 },
      { month: 'Nov', precipitation: 160.625 }
    ],
    suggestions: ['by weather', 'as a line chart by year', 'only 2015, sorted'],
    dataset: seattleWeather
  },
  {
    id: '5f0c1d6e-8a4b-4c57-9d21-0b6f3a7e1c02',
    question: 'How did jobs change through the financial crisis, sector by sector?',
    answer: 'Manufacturing fell from 14.2 million jobs in April 2006 to 11.5 million in February 2010, construction from 7.7 to 5.4 million in January 2011. Education and health grew from 17.9 to 22.3 million by the end of 2015.',
    preview: [
      { month: '2006-04-01', sector: 'Manufacturing', jobs: 14.226 },
      { month: '2010-02-01', sector: 'Manufacturing', jobs: 11.453 },
      { month: '2011-01-01', sector: 'Construction', jobs: 5.427 }
    ],
    suggestions: ['from 2007 to 2010', 'as a bar chart, top 3', 'log scale'],
    dataset: usEmployment
  },
  {
    id: '5f0c1d6e-8a4b-4c57-9d21-0b6f3a7e1c03',
    question: 'How has the mix of Iowa’s electricity changed since 2001?',
    answer: 'Renewables rose from 1.4 TWh in 2001 to 21.9 TWh in 2017, which is 39 % of that year’s generation. Fossil fuels peaked in 2010 with 42.8 TWh.',
    preview: [
      { year: 2001, source: 'Renewables', generation: 1.437 },
      { year: 2010, source: 'Fossil Fuels', generation: 42.75 },
      { year: 2017, source: 'Renewables', generation: 21.933 }
    ],
    suggestions: ['as a line chart', 'since 2010 as a bar chart', 'title: The wind turns'],
    dataset: iowaElectricity
  },
  {
    id: '5f0c1d6e-8a4b-4c57-9d21-0b6f3a7e1c04',
    question: 'Are heavier penguins the ones with longer flippers?',
    answer: 'Yes, the correlation is 0.87. Gentoo penguins lead in both with 5.1 kg and flippers of 217 mm on average.',
    preview: [
      { flipper_length: 181, body_mass: 3750, species: 'Adelie' },
      { flipper_length: 192, body_mass: 3500, species: 'Chinstrap' },
      { flipper_length: 211, body_mass: 4500, species: 'Gentoo' }
    ],
    suggestions: ['by island', 'by sex', 'as a bar chart'],
    dataset: penguins
  },
  {
    id: '5f0c1d6e-8a4b-4c57-9d21-0b6f3a7e1c05',
    question: 'In which countries did people live longest in 2005?',
    answer: 'In Japan, with a life expectancy of 82.5 years, ahead of Hong Kong and Switzerland. Half a century earlier Norway led with 73.2 years.',
    preview: [
      { country: 'Japan', life_expectancy: 82.5 },
      { country: 'Hong Kong, China', life_expectancy: 81.77 },
      { country: 'Switzerland', life_expectancy: 81.69 }
    ],
    suggestions: ['only 1955, top 5', 'by region', 'as a line chart, top 5'],
    dataset: gapminder
  }
]
