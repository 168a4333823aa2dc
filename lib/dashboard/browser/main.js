import { act, selectAll, selected, showSelection } from './bulk.js'
import { confirms, note } from './dialog.js'
import { Live } from './live.js'
import { Refusal, post } from './server.js'
import { writeTimes } from './times.js'
import { patch } from './tree.js'

const page = document.getElementById('page')
const { root } = document.body.dataset
let plots = null

/** Loads the plot library only on pages with plots. */
async function plot () {
  if (!document.querySelector('[data-plot]')) return
  plots ??= import(new URL(document.body.dataset.plots, window.location.href).href)
  ;(await plots).draw()
}

function show ({ title, page: nodes }) {
  const hadFocus = page.contains(document.activeElement)
  patch(page, nodes)
  document.title = title
  writeTimes()
  showSelection()
  void plot()
  // The focused element was removed: move the focus to the content instead of the start of the document.
  if (hadFocus && !page.contains(document.activeElement)) document.getElementById('main').focus({ preventScroll: true })
}

const live = new Live({ show, isHeld: () => selected().length > 0 })

const actions = {
  async pause () {
    if (!await confirms('Pause the queue?', 'No worker starts a task until it is resumed. What runs goes on to its end, and new tasks wait.', 'Pause queue')) return
    await post('pause')
    note('The queue is paused.')
  },
  async resume () {
    await post('resume')
    note('The queue goes on.')
  },
  async retry ({ task }) {
    const { task_id, outcome } = await post(`tasks/${task}/retry`)
    const text = { queued: 'It is generated again as a new task.', already_active: 'It is being generated again already.', chart_exists: 'The chart exists already.' }
    note(text[outcome] ?? text.queued, { href: `${root}tasks/${task_id}`, text: 'Show that task' })
  },
  async cancel ({ task }) {
    if (!await confirms('Cancel this task?', 'This is final: its owner sees it as cancelled.', 'Cancel task')) return
    await post(`tasks/${task}/cancel`)
    note('The task is cancelled.')
  }
}

/** Ignores further clicks while the work is under way. `disabled` would lose the keyboard focus. */
async function whileBusy (button, work) {
  if (button.ariaDisabled === 'true') return
  button.ariaDisabled = 'true'
  try {
    await work()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    note(error.message)
  } finally {
    button.ariaDisabled = 'false'
    showSelection()
    void live.refresh()
  }
}

document.addEventListener('click', ({ target }) => {
  const button = target.closest('button')
  if (!button) return
  const { action, bulk, selected: chosen, filter } = button.dataset
  if (action) void whileBusy(button, () => actions[action](button.dataset))
  else if (bulk) void whileBusy(button, () => act(bulk, JSON.parse(filter)))
  else if (chosen) void whileBusy(button, () => actOnSelected(chosen))
})

async function actOnSelected (action) {
  const boxes = selected(action)
  await act(action, { task_ids: boxes.map(({ value }) => value) }, boxes.length)
  selectAll(false)
}

document.addEventListener('change', ({ target }) => {
  if (target.id === 'select-all') selectAll(target.checked)
  else if (target.name !== 'task') return
  showSelection()
  if (selected().length > 0) live.held()
  else live.resume()
})

// The back-forward cache restores the page as it was left.
window.addEventListener('pageshow', ({ persisted }) => {
  if (persisted) void live.refresh()
})

showSelection()
void plot()
