import { existsSync } from 'node:fs'
import t from 'tap'
import { parseOptions } from '../../bench/options.ts'
import { replaceSection } from '../../bench/page.ts'
import { callsOf } from '../../bench/redis-info.ts'
import { summaryOf, tableOf } from '../../bench/report.ts'
import { FigureCollector, type Run } from '../../bench/results.ts'
import { differences, median, orderOf, percentile, ratios } from '../../bench/statistics.ts'
import { makeRequest } from '../../bench/systems/system.ts'
import { markdownTable, number, ratio, signed, spread, textTable } from '../../bench/tables.ts'
import { readPage } from '../helpers/markdown.ts'
import { root } from '../helpers/root.ts'

const run = (more: Partial<Run>): Run => ({
  kind: 'peers',
  date: '2030-01-31T09:00:00.000Z',
  machine: { cores: 2, cpu: 'a processor', node: '20.20.2', redis: 'Redis 7.0.15' },
  versions: { bullmq: '6.7.0' },
  settings: { repetitions: 3, tasks: 4_000 },
  figures: [],
  ...more
})

t.test('median and percentile', async t => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 3, 2]), 2.5)
  t.equal(median([10, 9, 100]), 10, 'numbers are not sorted as text')
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)
  t.equal(percentile(hundred, 50), 50)
  t.equal(percentile(hundred, 99), 99)
  t.equal(percentile([7], 1), 7)
})

t.test('ratios and differences are of one repetition each', async t => {
  const ours = [10, 40, 90]
  const reference = [10, 20, 30]
  t.same(ratios(ours, reference), [1, 2, 3])
  t.same(differences(ours, reference), [0, 20, 60])
  t.equal(median(ratios(ours, reference)), 2, 'and not the ratio of the medians')
})

t.test('in six turns, each of three is twice at each place and follows each other equally often', async t => {
  const turns = Array.from({ length: 6 }, (_, turn) => orderOf(['a', 'b', 'c'], turn).join(''))
  t.same(turns, ['abc', 'bca', 'cab', 'cba', 'acb', 'bac'])
  t.equal(new Set(turns).size, 6)
  t.equal(orderOf(['a', 'b', 'c'], 6).join(''), 'abc')
  t.same([0, 1, 2, 3].map(turn => orderOf(['a', 'b'], turn).join('')), ['ab', 'ba', 'ba', 'ab'])
})

t.test('numbers', async t => {
  t.same([12_345.6, 100, 42.25, 9.876, 0].map(number), ['12,346', '100', '42.3', '9.88', '0.00'])
  t.same([1.2345, Infinity, NaN].map(ratio), ['1.23', '–', '–'])
  t.same([2, -2, 0].map(signed), ['+2.00', '−2.00', '+0.00'])
  t.equal(spread([3, 1, 2], ratio), '2.00 (1.00 to 3.00)')
  t.equal(spread([2, 2.001], ratio), '2.00', 'no spread that cannot be seen')
})

t.test('tables', async t => {
  const table = { head: ['', '', 'here'], rows: [['enqueue', 'tasks/s', '1,000'], ['a|b', 'ms', '2.00']] }
  t.equal(textTable(table), '                   here\nenqueue  tasks/s  1,000\na|b      ms        2.00')
  t.equal(markdownTable(table), '|  |  | here |\n|---|---|---:|\n| enqueue | tasks/s | 1,000 |\n| a\\|b | ms | 2.00 |')
})

t.test('peers: values with their spread, and ratios to BullMQ', async t => {
  const collector = new FigureCollector()
  for (const [ours, bullmq, bee] of [[10, 20, 40], [30, 20, 20]] as const) {
    for (const [system, value] of Object.entries({ BullMQ: bullmq, 'this package': ours, 'Bee-Queue': bee })) {
      collector.add('memory', system, [{ name: 'memory of a task', unit: 'bytes', value }])
    }
  }
  t.same(tableOf(run({ figures: collector.figures })), {
    head: ['', '', 'this package', 'BullMQ', 'Bee-Queue', 'this package / BullMQ', 'Bee-Queue / BullMQ'],
    rows: [['memory of a task', 'bytes', '20.0 (10.0 to 30.0)', '20.0', '30.0 (20.0 to 40.0)', '1.00 (0.50 to 1.50)', '1.50 (1.00 to 2.00)']]
  })
})

t.test('features: what they add to plain tasks of the same repetition', async t => {
  const collector = new FigureCollector()
  for (const [scenario, plain, used] of [['step', 10, 12], ['step', 20, 22], ['batch', 10, 5]] as const) {
    collector.add(scenario, 'plain', [{ name: 'enqueue', unit: 'µs', value: plain }])
    collector.add(scenario, 'with the feature', [{ name: 'enqueue', unit: 'µs', value: used }])
  }
  t.same(tableOf(run({ kind: 'features', figures: collector.figures })), {
    head: ['', 'enqueue: µs'],
    rows: [['plain', '10.0 (10.0 to 20.0)'], ['step', '+2.00'], ['batch', '−5.00']]
  })
})

t.test('growth: one column for each length of the queue', async t => {
  const figures = [{ scenario: 'take', name: '1 tenant', unit: 'µs', values: { 10: [1, 2, 3], 100_000: [4, 5, 9] } }]
  t.same(tableOf(run({ kind: 'growth', figures })), {
    head: ['', '', '', '10 waiting', '100,000 waiting'],
    rows: [['take', '1 tenant', 'µs', '2.00 (1.00 to 3.00)', '5.00 (4.00 to 9.00)']]
  })
})

t.test('a run says when, on what and how often', async t => {
  t.equal(summaryOf(run({})), '2030-01-31 · 2 cores (a processor) · Node 20.20.2 · Redis 7.0.15 · bullmq 6.7.0 · repetitions 3 · tasks 4,000')
})

t.test('a section of the page is replaced, and nothing else', async t => {
  const page = 'a\n<!-- measured: one -->\nold\n<!-- end -->\nb\n<!-- measured: two -->\n<!-- end -->\nc\n'
  t.equal(replaceSection(page, 'one', 'new'), 'a\n<!-- measured: one -->\nnew\n<!-- end -->\nb\n<!-- measured: two -->\n<!-- end -->\nc\n')
  t.equal(replaceSection(page, 'two', '$&'), page.replace('two -->\n', 'two -->\n$$&\n'))
  t.throws(() => replaceSection(page, 'three', 'new'), /no place for three/)
  for (const kind of ['peers', 'features', 'growth']) t.match(replaceSection(readPage('docs/reference/performance.md'), kind, 'new'), `<!-- measured: ${kind} -->\nnew\n<!-- end -->`)
})

t.test('commands of scripts are counted, our own reset is not', async t => {
  t.equal(callsOf('# Commandstats\r\ncmdstat_evalsha:calls=2,usec=9\r\ncmdstat_hset:calls=30,usec=9\r\ncmdstat_config|resetstat:calls=1,usec=9\r\n'), 32)
})

t.test('every request is as long as every other', async t => {
  t.same([0, 7, 123_456].map(i => Buffer.byteLength(JSON.stringify(makeRequest(i)))), [500, 500, 500])
})

t.test('options', async t => {
  t.match(parseOptions([]), { mode: 'peers', repetitions: 5, tasks: 4_000, port: null, json: null, write: false })
  t.match(parseOptions(['--features', '--only', 'batch,run_', '--json', 'file']), { mode: 'features', only: ['batch', 'run_at'], json: 'file' })
  t.match(parseOptions(['--only', 'process']), { only: ['process-1', 'process-10', 'process-100'] })
  t.same(parseOptions(['--only', 'process-1']).only, ['process-1'])
  t.match(parseOptions(['--against', 'path', '--rounds', '2']), { mode: 'against', path: 'path', rounds: 2 })
  t.match(parseOptions(['--from', 'file', '--write']), { mode: 'from', path: 'file', write: true })
  const refused: Array<[args: string[], message: RegExp]> = [
    [['--nonsense'], /^Unknown option '--nonsense'/],
    [['--tasks', '1.5'], /^--tasks must be a whole number from 1, got 1\.5$/],
    [['--port', '65536'], /^--port must be a whole number from 1 to 65535, got 65536$/],
    [['--features', '--growth'], /exclude each other/],
    [['--waiting', '10'], /belongs to --growth$/],
    [['--growth', '--idle', '3'], /belongs to the comparison with peers$/],
    [['--only', 'nothing'], /^--only knows no nothing; there are enqueue-serial,/],
    [['--only', 'memory', '--write'], /^--write needs all figures/]
  ]
  for (const [args, message] of refused) t.throws(() => parseOptions(args), { name: 'UsageError', message })
})

t.test('the peers are no dependency of the project, and their lock file names no registry', async t => {
  const { dependencies, devDependencies, files } = JSON.parse(readPage('package.json'))
  const peers = JSON.parse(readPage('bench/peers/package.json'))
  for (const name of ['bullmq', 'bee-queue']) {
    t.notOk(name in dependencies || name in devDependencies, name)
    t.match(peers.dependencies[name], /^\d+\.\d+\.\d+$/)
  }
  t.notOk(files.some((file: string) => file.startsWith('bench')))
  t.ok(existsSync(new URL('bench/peers/package-lock.json', root)))
  t.notMatch(readPage('bench/peers/package-lock.json'), '"resolved"')
})
