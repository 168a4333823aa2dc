import type { AttemptRecord, TaskDetails } from '../../store/task-store.ts'
import { errors } from '../../errors.ts'
import { isFinished, type ChartTask, type JsonValue } from '../../task.ts'
import { badge, button, cell, column, elapsed, facts, userText, label, link, progress, table, taskLink, taskPath, tasksPath, time } from '../components.ts'
import { between, bytes, count, duration, words } from '../format.ts'
import { h, type Child, type Element } from '../tree.ts'
import type { Page, Source, Viewer } from '../viewer.ts'

/** ms between two polls: of an unfinished task, and of one that has ended, which changes only when it is retried or expires. */
const EVERY = 1_500
const EVERY_ENDED = 30_000
/** Characters of a request or a chart that the page shows. A link leads to the whole chart. */
const MAX_SHOWN = 20_000

export async function task (viewer: Viewer, { service, read }: Source, task_id: string): Promise<Page> {
  const details = await read(() => service.getTaskDetails(task_id))
  if (!details) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
  const needed = await read(() => Promise.all(details.task.depends_on.map(async id => [id, await service.getTaskStatus(id)] as const)))
  const chart = details.task.status === 'COMPLETED' ? await chartSection(viewer, { service, read }, details.task) : null
  return {
    title: `Task ${task_id.slice(0, 8)}`,
    every: isFinished(details.task) ? EVERY_ENDED : EVERY,
    content: [
      h('p', { class: 'crumbs' }, link(`${viewer.root}tasks`, 'Tasks')),
      h('div', { class: 'head' }, h('h1', {}, 'Task ', h('span', { class: 'id' }, details.task.task_id)), controls(viewer, details)),
      currentState(details.task),
      sectionOf('facts', 'Facts', factsOf(viewer, details)),
      needed.length > 0 && sectionOf('needs', 'Depends on', dependencies(viewer, needed)),
      sectionOf('attempts', 'Attempts', timeline(details)),
      sectionOf('request', 'Request', json(details.request as unknown as JsonValue), details.shortened && h('p', { class: 'soft' }, 'Only part of this request is kept, so it cannot be retried.')),
      chart
    ]
  }
}

const sectionOf = (id: string, title: string, ...content: Child[]): Element =>
  h('section', { 'aria-labelledby': id, 'data-key': id }, h('h2', { id }, title), ...content)

function controls ({ may }: Viewer, { task, retried_as, shortened }: TaskDetails): Child {
  if (!isFinished(task)) return may('cancel') && button('Cancel task', { action: 'cancel', task: task.task_id }, 'danger')
  return task.status === 'FAILED' && !shortened && may('retry') && button(retried_as === null ? 'Retry' : 'Retry again', { action: 'retry', task: task.task_id }, 'primary')
}

function currentState (task: ChartTask): Element {
  const isRunning = task.status === 'PROCESSING'
  const reported = Object.entries(task.step_progress)
  return h('div', { class: 'card current', 'data-key': 'current' },
    h('p', { class: 'line' }, badge(task.status), h('span', {}, summaryOf(task))),
    isRunning && progress(task.progress, 'Progress of the chart'),
    task.error_code !== null && h('p', { class: 'failure' }, h('code', {}, userText(task.error_code)), ' ', userText(task.error_message!)),
    reported.length > 0 && h('ul', { class: 'steps', 'aria-label': 'Steps' }, ...reported.map(([step, value]) =>
      h('li', { 'data-key': step }, h('span', { class: 'clip' }, userText(words(step))), progress(value, `Step ${step}`), h('span', { class: 'number' }, `${value} %`)))))
}

function summaryOf (task: ChartTask): Child {
  const took = between(task.started_at, task.completed_at)
  switch (task.status) {
    case 'PENDING': return [userText(words(task.current_step)), task.queue_position !== null && `, number ${count(task.queue_position)} in the queue`]
    case 'PROCESSING': return [`${task.progress} %, `, userText(words(task.current_step)), ', attempt ', `${task.attempt} of ${task.max_attempts}`]
    case 'COMPLETED': return `in ${duration(took!)}`
    case 'FAILED': return task.attempt === 0 ? 'without an attempt' : `after ${task.attempt} of ${task.max_attempts} ${task.max_attempts === 1 ? 'attempt' : 'attempts'}`
    case 'CANCELLED': return task.started_at === null ? 'before it was started' : 'while it ran'
  }
}

function factsOf (viewer: Viewer, { task, request, priority, run_at, retried_as, batch_ids, weight }: TaskDetails): Element {
  const waited = between(task.created_at, task.started_at ?? task.completed_at)
  const listed = (filter: Record<string, string>, text: string) => viewer.may('list') ? h('a', { href: tasksPath(viewer, filter) }, userText(text)) : userText(text)
  return facts([
    ['User', listed({ user_id: task.user_id }, task.user_id)],
    ['Org', task.org_id === null ? null : listed({ org_id: task.org_id }, task.org_id)],
    ['Message', h('span', { class: 'id' }, task.message_id)],
    ['Adjustment', task.adjustment_query === null ? null : userText(task.adjustment_query)],
    ['Visibility', task.visibility.toLowerCase()],
    ['Priority', priority],
    ['Weight of its tenant', weight === 1 ? null : count(weight)],
    ['Created anew', request.force_create && 'yes, whether or not the chart exists'],
    ['Created', time(task.created_at)],
    ['Not before', run_at === null ? null : time(run_at)],
    ['Waited', task.started_at === null && !isFinished(task) ? elapsed(task.created_at) : duration(waited!)],
    ['Started', task.started_at === null ? null : time(task.started_at)],
    ['Expected', task.estimated_completion === null ? null : time(task.estimated_completion)],
    ['Ended', task.completed_at === null ? null : time(task.completed_at)],
    ['Retry of', task.retry_of === null ? null : taskLink(viewer, task.retry_of)],
    ['Retried as', retried_as === null ? null : taskLink(viewer, retried_as)],
    ['Batches', batch_ids.length === 0 ? null : batch_ids.map(id => h('span', { class: 'id', 'data-key': id }, id))],
    ['Version', count(task.version)]
  ])
}

const dependencies = (viewer: Viewer, needed: ReadonlyArray<readonly [string, ChartTask | null]>): Element =>
  h('ul', { class: 'plain' }, ...needed.map(([id, task]) =>
    h('li', { 'data-key': id }, task ? badge(task.status) : h('span', { class: 'badge gone' }, 'No longer kept'), ' ', taskLink(viewer, id))))

/** A row for each attempt, with its place in the time from the creation of the task to its end. */
function timeline ({ task, attempts }: TaskDetails): Element {
  if (attempts.length === 0) return h('p', { class: 'soft' }, isFinished(task) ? 'It ended without an attempt.' : 'No worker has started it yet.')
  const from = Date.parse(task.created_at)
  const to = Math.max(from + 1, ...attempts.map(({ started_at, ended_at }) => Date.parse(ended_at ?? started_at)), Date.parse(task.completed_at ?? task.created_at))
  const bar = (start: string, end: string | null): Element => {
    const at = (time: number) => (100 * Math.min(1, Math.max(0, (time - from) / (to - from)))).toFixed(2)
    const x = at(Date.parse(start))
    return h('svg', { class: 'span', viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': true, focusable: 'false' },
      h('rect', { class: 'track', x: 0, y: 3, width: 100, height: 2 }),
      h('rect', { class: 'bar', x, y: 0, width: Math.max(0.8, (end === null ? 100 : Number(at(Date.parse(end)))) - Number(x)).toFixed(2), height: 8 }))
  }
  return table({
    name: 'Attempts',
    class: 'attempts',
    head: [column('Attempt'), column('Outcome'), column('Worker', 'wide'), column('Started', 'number'), column('Took', 'number'), column('From creation to end', 'wide'), column('Reached')],
    rows: attempts.map(attempt => h('tr', { 'data-key': attempt.lease, class: attempt.outcome ?? 'running' },
      cell('', attempt.attempt),
      cell('', h('span', { class: `badge ${attempt.outcome ?? 'processing'}` }, attempt.outcome === null ? 'Running' : label(attempt.outcome))),
      cell('wide', h('span', { class: 'id', title: attempt.worker_id }, userText(attempt.worker_id.slice(0, 8)))),
      cell('number', time(attempt.started_at)),
      cell('number', attempt.ended_at === null ? elapsed(attempt.started_at) : duration(between(attempt.started_at, attempt.ended_at)!)),
      cell('wide', bar(attempt.started_at, attempt.ended_at)),
      cell('', reached(attempt))))
  })
}

const reached = ({ last_step, progress, error_code, error_message }: AttemptRecord): Child => [
  `${progress} %, `, userText(words(last_step)),
  error_code !== null && h('div', { class: 'failure' }, h('code', {}, userText(error_code)), ' ', userText(error_message!))
]

/** JSON as text; long JSON is cut. */
function json (value: JsonValue): Element {
  const text = JSON.stringify(value, null, 2)
  const isLong = text.length > MAX_SHOWN
  return h('div', {},
    h('pre', { tabindex: 0 }, h('code', {}, isLong ? text.slice(0, MAX_SHOWN) : text)),
    isLong && h('p', { class: 'soft' }, `The first ${count(MAX_SHOWN)} of ${count(text.length)} characters.`))
}

/** A failure of the host's `chartStore` must not make the whole page fail. */
async function chartSection (viewer: Viewer, { service, read }: Source, task: ChartTask): Promise<Element> {
  try {
    const chart = await read(() => service.getChart(task))
    return sectionOf('chart', 'Chart', chart ? chartOf(viewer, task, chart.content) : h('p', { class: 'soft' }, 'The chart is no longer kept.'))
  } catch {
    return sectionOf('chart', 'Chart', h('p', { class: 'soft' }, 'The chart cannot be read now.'))
  }
}

function chartOf (viewer: Viewer, { task_id }: ChartTask, content: JsonValue): Element {
  const size = Buffer.byteLength(JSON.stringify(content))
  return h('div', {}, h('p', {}, link(`${taskPath(viewer, task_id)}/chart`, 'Open the JSON'), h('span', { class: 'soft' }, `, ${bytes(size)}`)), json(content))
}
