import type { TaskPage } from '../../store/task-store.ts'
import { ChartStatus, type ChartTask } from '../../task.ts'
import { badge, button, cell, column, empty, label, link, owner, runTime, stateLine, table, taskLink, tasksPath, time } from '../components.ts'
import { h, type Child, type Element } from '../tree.ts'
import { filterOf, isNarrowed, type Filter } from '../filter.ts'
import type { Page, Source, Viewer } from '../viewer.ts'

/** ms between two polls, for each read of the store that the page needs. */
const EVERY = 3_000
const PAGE_SIZE = 50
/** Maximum reads for one page. Each read looks at 1,000 tasks at most, and none of them may match. */
const MAX_READS = 8

export async function tasks (viewer: Viewer, { service, read }: Source, query: URLSearchParams): Promise<Page> {
  const filter = filterOf(query)
  const cursor = query.get('cursor') || null
  let reads = 0
  let page: TaskPage = { tasks: [], cursor }
  do {
    page = await read(() => service.listTasks({ ...filter, limit: PAGE_SIZE, cursor: page.cursor }))
  } while (page.tasks.length === 0 && page.cursor !== null && ++reads < MAX_READS)
  const selects = viewer.may('retry') || viewer.may('cancel')
  return {
    title: 'Tasks',
    every: EVERY * (reads + 1),
    content: [
      h('div', { class: 'head' }, h('h1', {}, 'Tasks'), finder(viewer)),
      h('div', { class: 'filters' }, statuses(viewer, filter), form(viewer, filter)),
      selects && bulk(viewer, filter),
      page.tasks.length === 0 ? nothing(viewer, filter, cursor, page.cursor) : list(viewer, page.tasks, selects),
      pages(viewer, filter, cursor, page.cursor)
    ]
  }
}

/** Finds a task by its id; works without the script. */
const finder = ({ root }: Viewer): Element =>
  h('form', { class: 'find', action: `${root}find`, role: 'search', 'data-own': true },
    h('label', { for: 'id', class: 'hidden' }, 'Find a task by its id'),
    h('input', { id: 'id', name: 'id', type: 'search', required: true, placeholder: 'Task id', autocomplete: 'off', spellcheck: 'false', pattern: '\\s*[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\\s*', title: 'A task id, such as 5f0c1d6e-8a4b-4c57-9d21-0b6f3a7e1c01' }),
    h('button', {}, 'Find'))

/** Links that filter by status. */
function statuses (viewer: Viewer, { status, ...others }: Filter): Element {
  const entry = (name: string, asked: ChartStatus | undefined) =>
    h('a', { href: tasksPath(viewer, { ...others, ...(asked && { status: asked }) }), 'aria-current': status === asked && 'true' }, name)
  return h('nav', { class: 'ranges', 'aria-label': 'Status' }, entry('All', undefined), ...Object.values(ChartStatus).map(value => entry(label(value), value)))
}

function form ({ root }: Viewer, { status, ...others }: Filter): Element {
  const field = (name: keyof typeof others, text: string, attributes: Record<string, string> = {}) => h('div', { class: 'field' },
    h('label', { for: name }, text),
    h('input', { id: name, name, value: others[name] ?? '', autocomplete: 'off', spellcheck: 'false', maxlength: 512, ...attributes }))
  // The field has no zone: its value is read as UTC.
  const when = (name: 'created_after' | 'created_before', text: string) =>
    h('div', { class: 'field' }, h('label', { for: name }, `${text} (UTC)`),
      h('input', { id: name, name, type: 'datetime-local', value: others[name]?.slice(0, 16) ?? '' }))
  return h('details', { class: 'more', open: isNarrowed(others), 'data-own': true, 'data-key': 'more' },
    h('summary', {}, 'More filters'),
    h('form', { class: 'filter', action: `${root}tasks`, 'aria-label': 'Filter' },
      status !== undefined && h('input', { type: 'hidden', name: 'status', value: status }),
      field('user_id', 'User'),
      field('org_id', 'Org'),
      field('error_code', 'Error code', { maxlength: '64' }),
      when('created_after', 'Created from'),
      when('created_before', 'Created before'),
      h('div', { class: 'field buttons' }, h('button', { class: 'primary' }, 'Filter'), isNarrowed(others) && link(`${root}tasks`, 'Clear'))))
}

/** Bulk actions on the selection, and on all tasks that match the filter. */
function bulk ({ may }: Viewer, filter: Filter): Element {
  const isFinal = (status: string | undefined) => status !== undefined && status !== 'PENDING' && status !== 'PROCESSING'
  const all = (action: 'retry' | 'cancel', text: string) => button(text, { bulk: action, filter: JSON.stringify(filter) })
  const retries = may('retry') && (filter.status === undefined || filter.status === 'FAILED')
  const cancels = may('cancel') && !isFinal(filter.status)
  return h('div', { class: 'bulk scripted', role: 'group', 'aria-label': 'Selected tasks' },
    h('span', { class: 'selected', 'data-own': true }, 'None selected'),
    may('retry') && h('button', { type: 'button', 'data-selected': 'retry', 'aria-disabled': 'true', 'data-own': true }, 'Retry'),
    may('cancel') && h('button', { type: 'button', 'data-selected': 'cancel', 'aria-disabled': 'true', 'data-own': true }, 'Cancel'),
    isNarrowed(filter) && h('span', { class: 'all' }, retries && all('retry', 'Retry all that match…'), cancels && all('cancel', 'Cancel all that match…')))
}

function nothing (viewer: Viewer, filter: Filter, cursor: string | null, next: string | null): Element {
  if (next !== null) return empty('None so far.', 'There are many tasks, and the first of them do not match. ', link(tasksPath(viewer, { ...filter, cursor: next }), 'Search on'))
  if (cursor !== null) return empty('No more tasks.', link(tasksPath(viewer, filter), 'Back to the first page'))
  return isNarrowed(filter)
    ? empty('No task matches.', 'Those that have ended are kept for the time that `retention` says. ', link(`${viewer.root}tasks`, 'Show all tasks'))
    : empty('No tasks yet.', 'They are listed here from when they are created until their retention has passed.')
}

function list (viewer: Viewer, listed: readonly ChartTask[], selects: boolean): Element {
  const select = (task: ChartTask) => h('input', { type: 'checkbox', name: 'task', value: task.task_id, 'aria-label': `Select task ${task.task_id.slice(0, 8)}`, 'data-own': true })
  return table({
    name: 'Tasks',
    class: 'tasks',
    head: [
      selects && h('th', { scope: 'col', class: 'select scripted' }, h('input', { type: 'checkbox', id: 'select-all', 'aria-label': 'Select all on this page', 'data-own': true })),
      column('Status'), column('Task'), column('Owner', 'wide'), column('Progress'), column('Attempt', 'wide number'), column('Created', 'wide number'), column('Ran', 'wide number')
    ],
    rows: listed.map(task => h('tr', { 'data-key': task.task_id, 'data-status': task.status },
      selects && cell('select scripted', select(task)),
      cell('', badge(task.status)),
      cell('', taskLink(viewer, task.task_id)),
      cell('wide owner', owner(task)),
      cell('', stateLine(task)),
      cell('wide number', `${task.attempt} of ${task.max_attempts}`),
      cell('wide number', time(task.created_at)),
      cell('wide number', runTime(task))))
  })
}

function pages (viewer: Viewer, filter: Filter, cursor: string | null, next: string | null): Child {
  if (cursor === null && next === null) return false
  const path = (more: Record<string, string>) => tasksPath(viewer, { ...filter, ...more })
  return h('nav', { class: 'pages', 'aria-label': 'Pages' },
    cursor !== null && link(path({}), 'First page'),
    next !== null && h('a', { href: path({ cursor: next }), rel: 'next' }, 'Next page'))
}
