import type { QueueHistory } from '../../service/monitoring.ts'
import type { QueueStats, WorkerList } from '../../store/task-store.ts'
import { button, cell, column, elapsed, empty, userText, progressLine, link, table, taskLink, tasksPath } from '../components.ts'
import { count, duration, hourAndMinute } from '../format.ts'
import { slices, type Slice } from '../slices.ts'
import { h, type Child, type Element } from '../tree.ts'
import type { Page, Source, Viewer } from '../viewer.ts'

/** Maximum running tasks on this page; a link leads to all of them. */
const MAX_RUNNING = 8

/** Selectable ranges of the history in minutes, with their names. */
export const RANGES = new Map([[60, '1 hour'], [360, '6 hours'], [1_440, '24 hours']])
/** ms between two polls by range: long ranges cost more to read and change less. */
const EVERY = new Map([[60, 2_000], [360, 5_000], [1_440, 10_000]])

export async function overview (viewer: Viewer, { service, read }: Source, query: URLSearchParams): Promise<Page> {
  const { may } = viewer
  const asked = Number(query.get('minutes') ?? 60)
  const minutes = RANGES.has(asked) ? asked : 60
  const stats = await read(() => service.getQueueStats())
  const history = may('history') ? await read(() => service.getQueueHistory({ minutes })) : null
  const workers = may('workers') ? await read(() => service.getWorkers()) : null
  return {
    title: 'Overview',
    every: EVERY.get(minutes)!,
    content: [
      h('div', { class: 'head' }, h('h1', {}, 'Overview'), control(viewer, stats)),
      stats.paused && pausedNotice(viewer),
      tiles(viewer, stats, workers, history, minutes),
      history && charts(history, minutes),
      workers && runningNow(viewer, workers, stats)
    ]
  }
}

function control ({ may }: Viewer, { paused }: QueueStats): Child {
  if (paused) return may('resume') && button('Resume queue', { action: 'resume' }, 'primary')
  return may('pause') && button('Pause queue', { action: 'pause' })
}

const pausedNotice = ({ may }: Viewer): Element =>
  h('p', { class: 'notice', 'data-key': 'paused' }, h('strong', {}, 'The queue is paused. '),
    'No worker starts a task; what runs goes on to its end, and new tasks wait', may('resume') ? ' until you resume it.' : '.')

const tile = (name: string, value: Child, note: Child, href?: string): Element =>
  h('div', { class: 'tile', 'data-key': name }, h('dt', {}, name), h('dd', {}, href === undefined ? value : link(href, value), note && h('span', { class: 'note' }, note)))

function tiles (viewer: Viewer, stats: QueueStats, workers: WorkerList | null, history: QueueHistory | null, minutes: number): Element {
  const { may } = viewer
  const path = (status: string) => may('list') ? tasksPath(viewer, { status }) : undefined
  const slots = workers?.workers.reduce((sum, { concurrency }) => sum + concurrency, 0)
  const range = RANGES.get(minutes)!
  const totals = history?.totals
  return h('dl', { class: 'tiles' },
    tile('Waiting', count(stats.queue_length), stats.delayed_count > 0 ? `${count(stats.delayed_count)} not yet due` : 'for a worker', path('PENDING')),
    tile('Running', count(stats.processing_count), slots === undefined ? null : `of ${count(slots)} ${slots === 1 ? 'slot' : 'slots'}`, path('PROCESSING')),
    tile('Oldest wait', stats.oldest_waiting_at === null ? '–' : elapsed(stats.oldest_waiting_at), stats.oldest_waiting_at === null ? 'nothing is due' : 'next in the queue'),
    totals && tile('Completed', count(totals.completed), `in ${range}`, path('COMPLETED')),
    totals && tile('Failed', h('span', { class: totals.failed > 0 ? 'bad' : null }, count(totals.failed)), `in ${range}`, may('failures') ? `${viewer.root}failures?minutes=${minutes}` : path('FAILED')),
    totals && tile('Median wait', percentile(totals.wait.p50), ['p95 ', percentile(totals.wait.p95)]),
    totals && tile('Median run', percentile(totals.run.p50), ['p95 ', percentile(totals.run.p95)]))
}

const percentile = (ms: number | null): string => ms === null ? '–' : duration(ms)

function charts (history: QueueHistory, minutes: number): Element {
  const shown = slices(history)
  const each = minutes / shown.length
  const unit = each === 1 ? 'per minute' : `per ${each} minutes`
  const isEmpty = shown.every(({ created, completed, failed, cancelled }) => created + completed + failed + cancelled === 0)
  return h('section', { 'aria-labelledby': 'history' },
    h('div', { class: 'head' },
      h('h2', { id: 'history' }, 'History'),
      h('nav', { class: 'ranges', 'aria-label': 'Time range' }, ...[...RANGES].map(([range, name]) =>
        h('a', { href: `?minutes=${range}`, 'aria-current': range === minutes && 'true' }, name)))),
    h('div', { class: 'plots' },
      plot('finished', `Finished ${unit}`, [['completed', 'Completed'], ['failed', 'Failed'], ['cancelled', 'Cancelled']]),
      plot('times', 'Time to wait and to run, 95th percentile', [['wait', 'Wait'], ['run', 'Run']])),
    isEmpty && h('p', { class: 'soft' }, 'Nothing has happened in this time.'),
    h('details', {}, h('summary', {}, 'As a table'), historyTable(shown, unit)))
}

/** A place for a plot; the script draws it from the columns of the table. */
const plot = (name: string, title: string, series: ReadonlyArray<readonly [column: string, title: string]>): Element =>
  h('figure', { class: 'plot scripted', 'data-plot': name },
    h('figcaption', {}, h('span', {}, title), h('span', { class: 'legend' }, ...series.map(([column, label]) => h('span', { class: `key ${column}` }, label)))),
    h('div', { class: 'canvas', role: 'img', 'aria-label': `${title}: the table below has the numbers`, 'data-own': true }))

function historyTable (shown: readonly Slice[], unit: string): Element {
  const number = (column: string, value: number) => h('td', { class: 'number' }, value === 0 ? '0' : h('data', { value, 'data-column': column }, count(value)))
  const ms = (column: string, value: number | null) => h('td', { class: 'number' }, value === null ? '–' : h('data', { value, 'data-column': column }, duration(value)))
  return table({
    name: `History, ${unit}`,
    'data-history': true,
    head: ['Time (UTC)', 'Created', 'Completed', 'Failed', 'Cancelled', 'Wait p95', 'Run p95'].map((name, i) => column(name, i === 0 ? '' : 'number')),
    rows: shown.map(({ at, created, completed, failed, cancelled, wait, run }) => h('tr', { 'data-key': at },
      h('th', { scope: 'row' }, h('time', { datetime: at }, hourAndMinute(at))),
      number('created', created), number('completed', completed), number('failed', failed), number('cancelled', cancelled), ms('wait', wait), ms('run', run)))
  })
}

/** Uses the leases of the workers: to find running tasks in the list, the store would have to read all waiting ones. */
function runningNow (viewer: Viewer, { workers }: WorkerList, { processing_count }: QueueStats): Element {
  const running = workers.flatMap(worker => worker.running.map(attempt => ({ ...attempt, worker })))
    .sort((a, b) => a.started_at.localeCompare(b.started_at)).slice(0, MAX_RUNNING)
  return h('section', { 'aria-labelledby': 'running' },
    h('div', { class: 'head' }, h('h2', { id: 'running' }, 'Running now'),
      processing_count > running.length && viewer.may('list') && link(tasksPath(viewer, { status: 'PROCESSING' }), `All ${count(processing_count)}`)),
    running.length === 0
      ? empty(processing_count === 0 ? 'Nothing is running.' : 'No worker that is known here runs anything.')
      : table({
        name: 'Running now',
        head: [column('Task'), column('Worker', 'wide'), column('Progress'), column('Attempt', 'wide number'), column('Running', 'number')],
        rows: running.map(({ worker: { host, pid }, ...attempt }) => h('tr', { 'data-key': attempt.task_id },
          cell('', taskLink(viewer, attempt.task_id)),
          cell('wide', h('span', { class: 'clip' }, userText(host)), h('span', { class: 'soft' }, ` pid ${pid}`)),
          cell('', progressLine(attempt)),
          cell('wide number', attempt.attempt),
          cell('number', elapsed(attempt.started_at))))
      }))
}
