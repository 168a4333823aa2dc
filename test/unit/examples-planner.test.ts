import t from 'tap'
import { ruleBasedPlanner } from '../../examples/charts/rule-based-planner.ts'
import { messages, type Message } from '../../examples/chat/messages.ts'
import type { Dataset } from '../../examples/datasets/dataset.ts'
import { gapminder } from '../../examples/datasets/gapminder.ts'
import { iowaElectricity } from '../../examples/datasets/iowa-electricity.ts'
import { penguins } from '../../examples/datasets/penguins.ts'
import { seattleWeather } from '../../examples/datasets/seattle-weather.ts'
import { usEmployment } from '../../examples/datasets/us-employment.ts'

const questionOf = (dataset: Dataset) => (messages.find(message => message.dataset === dataset) as Message).question

async function plan (dataset: Dataset, adjustment: string | null = null, question = questionOf(dataset)) {
  return ruleBasedPlanner.plan({ question, dataset, rows: [], adjustment }, new AbortController().signal)
}

t.test('each question of the chat gets the chart that answers it', async t => {
  t.match(await plan(seattleWeather), { title: 'Precipitation by month', mark: 'bar', x: 'month', y: 'precipitation', color: null })
  t.match(await plan(usEmployment), { title: 'Jobs by sector', mark: 'line', x: 'month', y: 'jobs', color: 'sector' })
  t.match(await plan(iowaElectricity), { title: 'Net generation by source', mark: 'area', x: 'year', y: 'generation', color: 'source' })
  t.match(await plan(penguins), { title: 'Body mass against flipper length', mark: 'point', x: 'flipper_length', y: 'body_mass', color: 'species' })
  t.match(await plan(gapminder), {
    title: 'Life expectancy by country', mark: 'bar', x: 'country', y: 'life_expectancy', years: { from: 2005, to: 2005 }, sorted: true, top: 10
  })
})

t.test('other questions on the same data are planned by the same rules', async t => {
  t.match(await plan(penguins, null, 'How long is the beak on each island?'), { mark: 'bar', x: 'island', y: 'beak_length' })
  t.match(await plan(gapminder, null, 'How has fertility changed?'), { mark: 'line', x: 'year', y: 'children', color: 'region' })
})

t.test('a question that names nothing of the data is refused', async t => {
  await t.rejects(plan(penguins, null, 'What is love?'), { code: 'QUESTION_NOT_UNDERSTOOD', message: /body mass/ })
})

t.test('another mark brings the axis that it needs', async t => {
  t.match(await plan(usEmployment, 'as a bar chart'), { mark: 'bar', x: 'year', color: 'sector' }, 'bars stand on years, not on 120 months')
  t.match(await plan(penguins, 'as a bar chart'), { mark: 'bar', x: 'species', color: null }, 'bars stand on categories')
  t.match(await plan(gapminder, 'as a line chart'), { mark: 'line', x: 'year', color: 'country', years: { from: null, to: null }, sorted: false }, 'lines run along time')
  t.match(await plan(seattleWeather, 'as an area chart'), { mark: 'area', x: 'month' })
})

t.test('a log scale has no zero for bars and areas to start from', async t => {
  t.match(await plan(seattleWeather, 'log scale'), { mark: 'point', logScale: true })
  t.match(await plan(iowaElectricity, 'log scale'), { mark: 'line', logScale: true })
  t.match(await plan(usEmployment, 'log scale'), { mark: 'line', logScale: true })
})

t.test('colours are called by name or by a word for it', async t => {
  t.match(await plan(penguins, 'by islands'), { color: 'island' })
  t.match(await plan(penguins, 'by weight'), { color: 'body_mass' })
  t.match(await plan(seattleWeather, 'by weather'), { title: 'Precipitation by month and weather', color: 'weather' })
  await t.rejects(plan(penguins, 'by colour of the eyes'), { code: 'UNKNOWN_FIELD', message: /“colour of the eyes”.*species, island, sex, beak length/ })
})

t.test('a title is taken as it is', async t => {
  t.match(await plan(iowaElectricity, 'title: The wind turns'), { title: 'The wind turns' })
})
