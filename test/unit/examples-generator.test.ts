import t from 'tap'
import { ChartGenerationError, type GenerateContext, type ProgressUpdate } from 'fastify-async-charts'
import { chartGenerator, type ChartContent, type ChartGeneratorOptions } from '../../examples/charts/generate-chart.ts'
import type { ChartPlan, ChartPlanner } from '../../examples/charts/plan.ts'
import { ruleBasedPlanner } from '../../examples/charts/rule-based-planner.ts'
import { messages } from '../../examples/chat/messages.ts'

const [weather, employment, electricity, penguins, gapminder] = messages.map(({ id }) => id) as [string, string, string, string, string]

const log = { debug () {}, info () {}, warn () {}, error () {}, child: () => log }

interface Asked extends ChartGeneratorOptions {
  message_id?: string
  adjustment?: string | null
  signal?: AbortSignal
  progress?: (update: ProgressUpdate) => void
}

async function generate ({ message_id = weather, adjustment = null, signal = new AbortController().signal, progress = () => {}, ...options }: Asked = {}) {
  const request = {
    task_id: crypto.randomUUID(), message_id, user_id: 'ada', org_id: null, visibility: 'PRIVATE', force_create: false, adjustment_query: adjustment
  } as const
  const context: GenerateContext = { signal, attempt: 1, progress, log, dependencies: [], step: async (_name, fn) => fn() }
  return await chartGenerator(options)(request, context) as unknown as ChartContent
}

/** How many marks one sees: of the data, not of the axes and legends. */
function marksOf ({ svg }: ChartContent): number {
  const groups = svg.matchAll(/<g class="mark-(?:rect|line|area|symbol) role-mark[^"]*"[^>]*>(.*?)<\/g>/gs)
  return [...groups].flatMap(([, marks = '']) => marks.match(/<path/g) ?? []).length
}

for (const { id, question, suggestions, preview } of messages) {
  for (const adjustment of [null, ...suggestions]) {
    t.test(`“${question}” ${adjustment ?? ''}`, async t => {
      const content = await generate({ message_id: id, adjustment })
      t.match(content.svg, /^<svg[^>]* viewBox="0 0 \d+ \d+"/)
      t.ok(marksOf(content) > 0, `${marksOf(content)} marks`)
      t.notMatch(content.svg, /NaN|undefined|…/, 'nothing is broken or cut off')
      t.ok(content.svg.includes(content.title), 'its title is on it')
      const bytes = Buffer.byteLength(JSON.stringify(content))
      t.ok(bytes < 300_000, `${bytes} bytes`)
      t.notOk('values' in Object(content.spec['data']), 'the rows are kept once')
    })
  }

  t.test(`“${question}” is drawn from the rows that the chat shows`, async t => {
    const { rows } = await generate({ message_id: id })
    for (const shown of preview) t.ok(rows.some(row => Object.entries(shown).every(([name, value]) => row[name] === value)), JSON.stringify(shown))
  })
}

t.test('the same request gives the same bytes, at the same time too and in any time zone', async t => {
  const given = process.env['TZ']
  t.teardown(() => {
    if (given === undefined) delete process.env['TZ']
    else process.env['TZ'] = given
  })
  const all = () => Promise.all(messages.flatMap(({ id, suggestions }) =>
    [null, ...suggestions].map(adjustment => generate({ message_id: id, adjustment }))))

  process.env['TZ'] = 'America/Los_Angeles'
  const once = await all()
  process.env['TZ'] = 'Asia/Tokyo'
  t.strictSame((await all()).reverse(), once.reverse())
})

const marks = { 'as a bar chart': 'bar', 'as a line chart': 'line', 'as an area chart': 'area', 'as a scatter chart': 'point' }
for (const { id, question } of messages) {
  for (const [adjustment, type] of Object.entries(marks)) {
    t.test(`“${question}” ${adjustment}`, async t => {
      const content = await generate({ message_id: id, adjustment })
      t.match(content.spec['mark'], { type })
      t.ok(marksOf(content) > 0)
    })
  }
}

t.test('years', async t => {
  const years = async (adjustment: string) => {
    const { spec, rows } = await generate({ message_id: electricity, adjustment })
    return { subtitle: Object(spec['title']).subtitle, years: [...new Set(rows.map(({ year }) => year))] }
  }
  t.same(await years('from 2012 to 2014'), { subtitle: 'Iowa’s electricity, 2012–2014', years: [2012, 2013, 2014] })
  t.same((await years('since 2016')).years, [2016, 2017])
  t.same((await years('until 2002')).years, [2001, 2002])
  t.same((await years('only 2015')).years, [2015])
})

t.test('a line of one year cannot be seen: where nobody asked for a line, bars or points are drawn', async t => {
  const one = await generate({ message_id: electricity, adjustment: 'only 2015' })
  t.match(one.spec['mark'], { type: 'bar' })
  t.equal(marksOf(one), 3)
  const logarithmic = await generate({ message_id: electricity, adjustment: 'only 2015, log scale' })
  t.match(logarithmic.spec['mark'], { type: 'point' })
})

t.test('totals are the mean of the years, and of one year the total', async t => {
  const rain = async (adjustment: string | null) => (await generate({ adjustment })).rows
  const july = (rows: ChartContent['rows']) => rows.filter(({ month }) => month === 'Jul').reduce((sum, row) => sum + Number(row['precipitation']), 0)
  t.equal(july(await rain(null)), 12.05)
  t.equal(july(await rain('by weather')).toFixed(2), '12.05', 'the kinds of weather add up to it')
  t.equal((july(await rain('by year')) / 4).toFixed(2), '12.05', 'the years have it as their mean')
})

t.test('jobs add up over sectors, never over months', async t => {
  const { rows } = await generate({ message_id: employment, adjustment: 'as a bar chart' })
  t.equal(rows.length, 50)
  for (const { sector, jobs } of rows) t.ok(Number(jobs) < 25, `${sector} has ${jobs} million`)
})

t.test('sorted and top', async t => {
  const months = (await generate({ adjustment: 'only 2015, sorted' })).rows
  t.same(months.map(row => row['precipitation']), months.map(row => Number(row['precipitation'])).sort((a, b) => b - a))
  t.same((await generate({ message_id: gapminder, adjustment: 'top 3' })).rows.map(({ country }) => country), ['Japan', 'Hong Kong, China', 'Switzerland'])
  const sectors = (await generate({ message_id: employment, adjustment: 'top 2' })).rows
  t.same([...new Set(sectors.map(({ sector }) => sector))].sort(), ['Education and health', 'Government'], 'of lines, the highest')
  t.same((await generate({ adjustment: 'sorted' })).rows.length, 12)
})

t.test('sorted by a field: by the axis in its own order, by the measure with the largest first', async t => {
  const months = async (adjustment: string) => (await generate({ adjustment })).rows.map(({ month }) => month)
  t.same((await months('only 2015, sorted by month')).slice(0, 3), ['Jan', 'Feb', 'Mar'])
  t.same((await months('only 2015, sorted by precipitation')), await months('only 2015, sorted'))
  t.same(await months('top 3, sorted by month'), ['Mar', 'Nov', 'Dec'], 'the three wettest, as they come in the year')
  const countries = (await generate({ message_id: gapminder, adjustment: 'sorted by country' })).rows.map(({ country }) => String(country))
  t.same(countries, [...countries].sort((a, b) => a.localeCompare(b, 'en')))
  t.equal(countries.length, 10, 'still the ten of the question')
})

t.test('the top of a scatter plot are its points', async t => {
  const { rows, svg } = await generate({ message_id: penguins, adjustment: 'top 10' })
  const all = (await generate({ message_id: penguins })).rows.map(row => Number(row['body_mass'])).sort((a, b) => b - a)
  t.same(rows.map(row => Number(row['body_mass'])).sort((a, b) => b - a), all.slice(0, 10))
  t.match(svg, 'top 10')
})

t.test('a rank is only named where something was left out', async t => {
  t.match((await generate({ message_id: gapminder, adjustment: 'by region, as a line chart' })).svg, 'Gapminder, 1955–2005<')
})

t.test('log scale', async t => {
  const { spec } = await generate({ message_id: employment, adjustment: 'log scale' })
  t.match(spec.encoding['y'], { scale: { type: 'log' } })
})

t.test('colours', async t => {
  t.match((await generate({ message_id: penguins, adjustment: 'by island' })).spec.encoding['color'], { field: 'island', type: 'nominal' })
  t.match((await generate({ message_id: penguins, adjustment: 'by beak length' })).spec.encoding['color'], { field: 'beak_length', type: 'quantitative' })
  t.match((await generate({ message_id: gapminder, adjustment: 'by region' })).spec.encoding['color'], { field: 'region' })
  t.match((await generate({ adjustment: 'by year' })).spec.encoding, { xOffset: { field: 'year' }, y: { stack: null } }, 'years stand side by side')
  t.match((await generate({ adjustment: 'by weather' })).spec.encoding, { y: { stack: 'zero' } }, 'parts of a whole are stacked')
})

t.test('title', async t => {
  const { title, svg } = await generate({ adjustment: 'title: Rain & <b>wind</b>' })
  t.equal(title, 'Rain & <b>wind</b>')
  t.match(svg, 'Rain &amp; &lt;b&gt;wind&lt;/b&gt;')
})

const refused: [name: string, asked: Asked, refusal: { code: string, message: RegExp }][] = [
  ['an unknown message', { message_id: crypto.randomUUID() }, { code: 'UNKNOWN_MESSAGE', message: /no such message/ }],
  ['an adjustment that is not understood', { adjustment: 'as a pie chart' }, { code: 'ADJUSTMENT_NOT_UNDERSTOOD', message: /“as a pie chart”.*“as a bar\/line/ }],
  ['an unknown field', { adjustment: 'by species' }, { code: 'UNKNOWN_FIELD', message: /“species”.*year, month, weather, precipitation/ }],
  ['years where there is no time', { message_id: penguins, adjustment: 'only 2015' }, { code: 'UNKNOWN_FIELD', message: /“year”/ }],
  ['years without rows', { adjustment: 'only 1890' }, { code: 'NO_DATA', message: /no rows for 1890.*2012–2015/ }],
  ['years the wrong way round', { adjustment: 'from 2014 to 2012' }, { code: 'NO_DATA', message: /from 2014 to 2012: the span ends before it begins/ }],
  ['a year between two that the data has', { message_id: gapminder, adjustment: 'in 2003' }, { code: 'NO_DATA', message: /no rows for 2003: the data covers 1955, 1960, .*2005$/ }],
  ['a line of one year', { message_id: gapminder, adjustment: 'only 2005 as a line chart' }, { code: 'ADJUSTMENT_NOT_POSSIBLE', message: /line chart needs more than one year.*only 2005/ }],
  ['an area of one year', { message_id: electricity, adjustment: 'as an area chart, log, 2015' }, { code: 'ADJUSTMENT_NOT_POSSIBLE', message: /An area starts at zero/ }],
  ['the top of a single line', { adjustment: 'as a line chart, top 3' }, { code: 'ADJUSTMENT_NOT_POSSIBLE', message: /“top 3” needs several lines/ }],
  ['bars sorted by what they do not show', { adjustment: 'sorted by weather' }, { code: 'ADJUSTMENT_NOT_POSSIBLE', message: /cannot be sorted by weather, only by month or by precipitation/ }],
  ['two adjustments that disagree', { adjustment: 'only 2012 and only 2015' }, { code: 'ADJUSTMENT_CONTRADICTORY', message: /“only 2012” and “only 2015”/ }],
  ['bars on a log scale', { adjustment: 'as a bar chart, log scale' }, { code: 'ADJUSTMENT_NOT_POSSIBLE', message: /Bars start at zero/ }],
  ['a log scale of nothing', { adjustment: 'by weather, log scale' }, { code: 'ADJUSTMENT_NOT_POSSIBLE', message: /above zero/ }],
  ['sorted lines', { message_id: employment, adjustment: 'sorted' }, { code: 'ADJUSTMENT_NOT_POSSIBLE', message: /an order of its own/ }],
  ['the axis as colour of lines', { message_id: electricity, adjustment: 'by year' }, { code: 'ADJUSTMENT_NOT_POSSIBLE', message: /axis already/ }],
  ['more colours than one can tell apart', { message_id: penguins, adjustment: 'as a bar chart by beak length' }, { code: 'ADJUSTMENT_NOT_POSSIBLE', message: /Beak length/ }],
  ['too many lines', { message_id: gapminder, adjustment: 'as a line chart, top 50' }, { code: 'ADJUSTMENT_NOT_POSSIBLE', message: /50 values.*top 5/ }]
]

for (const [name, asked, { code, message }] of refused) {
  t.test(`refused: ${name}`, async t => {
    const error = await generate(asked).then(() => t.fail('was drawn'), error => error)
    t.type(error, ChartGenerationError)
    t.match(error, { code, message, retryable: false })
  })
}

t.test('what another planner makes up is not drawn', async t => {
  const planning = (changes: Partial<ChartPlan>): ChartPlanner => ({
    plan: async (task, signal) => ({ ...await ruleBasedPlanner.plan(task, signal), ...changes })
  })
  for (const changes of [{ x: 'temperature' }, { y: 'temperature' }, { color: 'temperature' }, { x: 'constructor' }]) {
    await t.rejects(generate({ planner: planning(changes) }), { code: 'UNKNOWN_FIELD' }, JSON.stringify(changes))
  }
  await t.rejects(generate({ planner: planning({ y: 'weather' }) }), { code: 'ADJUSTMENT_NOT_POSSIBLE' })
})

t.test('progress goes through all steps and never back', async t => {
  const updates: ProgressUpdate[] = []
  await generate({ progress: update => updates.push(update) })
  t.same([...new Set(updates.map(({ step }) => step))], ['data_extraction', 'llm_generation', 'schema_creation', 'rendering'])
  t.same(updates.map(({ progress }) => progress), updates.map(({ progress }) => progress!).sort((a, b) => a - b))
  for (const step of ['data_extraction', 'llm_generation', 'schema_creation', 'rendering']) {
    const own = updates.filter(update => update.step === step).map(update => update.step_progress)
    t.same([own.at(0), own.at(-1)], [0, 100], step)
  }
})

t.test('an abort ends it at once, in whichever step it is', async t => {
  for (const step of ['data_extraction', 'llm_generation', 'schema_creation', 'rendering']) {
    const abort = new AbortController()
    const begun = performance.now()
    const slow = step === 'data_extraction' ? { pace: 60_000 } : {}
    const running = generate({
      ...slow,
      signal: abort.signal,
      progress: update => {
        if (update.step === step) abort.abort(Object.assign(new Error('cancelled'), { code: 'CANCELLED' }))
      }
    })
    await t.rejects(running, /cancelled|aborted/, step)
    t.ok(performance.now() - begun < 1_000)
  }
})

t.test('nothing begins for whom nobody waits', async t => {
  const updates: ProgressUpdate[] = []
  await t.rejects(generate({ signal: AbortSignal.abort(), progress: update => updates.push(update) }), { name: 'AbortError' })
  t.ok(updates.every(({ step }) => step === 'data_extraction'))
})
