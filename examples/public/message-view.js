// One message of the chat, its charts, and the form that asks for more of them.
import { charts, reasonOf } from './client.js'
import { ChartCard } from './chart-card.js'
import { MessageWatch } from './message-watch.js'
import { create, fromTemplate, tableOf, whileBusy } from './parts.js'

/** ms after which the page says that the client is still asking. */
const SLOW = 3000

export class MessageView {
  element
  #parts
  #message
  #watch
  /** Cards by the id of their task. */
  #cards = new Map()
  /** The card that was there already when the same chart was asked for again. */
  #known = null

  constructor (message) {
    const { element, parts } = fromTemplate('message')
    this.element = element
    this.#parts = parts
    this.#message = message
    parts.question.textContent = message.question
    parts.question.id = `question-${message.id}`
    element.setAttribute('aria-labelledby', parts.question.id)
    parts.dataset.textContent = message.dataset
    parts.answer.textContent = message.answer
    parts.charts.setAttribute('aria-label', `Charts for “${message.question}”`)
    parts.suggestions.setAttribute('aria-label', `Suggestions for “${message.question}”`)
    for (const control of [parts.adjustment, parts.generate, parts.force]) control.setAttribute('aria-describedby', parts.question.id)
    parts.preview.setAttribute('aria-label', `Some of the rows of ${message.dataset}`)
    parts.preview.append(tableOf(message.preview, message.columns, message.preview.length))
    parts.adjustment.id = `adjustment-${message.id}`
    parts.adjustment.placeholder = `e.g. ${message.suggestions[0]}`
    parts.label.htmlFor = parts.adjustment.id
    parts.suggestions.append(...message.suggestions.map(suggestion => create('button', suggestion, {
      type: 'button',
      onclick: () => {
        parts.adjustment.value = suggestion
        parts.adjustment.focus()
      }
    })))
    parts.show.addEventListener('click', () => this.#known?.element.focus())
    parts.form.addEventListener('submit', event => {
      event.preventDefault()
      whileBusy(parts.generate, () => this.#generate())
    })
    this.#watch = new MessageWatch(message.id, element, {
      onTask: task => this.#take(task),
      onConnection: isThere => {
        for (const card of this.#cards.values()) card.connected(isThere)
      }
    })
  }

  /** Shows the charts that exist, then watches for more. */
  async load () {
    const { empty, adjustment } = this.#parts
    try {
      const { charts: listed, active_tasks, failed_tasks } = await charts.byMessage(this.#message.id)
      const [complete, askedAt] = await Promise.all([Promise.all(listed.map(completed)), Promise.all(listed.map(whenAsked))])
      for (const [i, chart] of complete.entries()) this.#cardOf(chart.task_id, askedAt[i]).present(chart)
      for (const task of [...active_tasks, ...failed_tasks]) this.#take(task)
      if (empty.contains(document.activeElement)) adjustment.focus({ preventScroll: true })
      empty.textContent = 'No chart yet.'
      this.#watch.start()
    } catch (error) {
      const reason = reasonOf(error)
      const again = create('button', 'Load again', { onclick: () => whileBusy(again, () => this.load()) })
      const hadFocus = empty.contains(document.activeElement)
      empty.replaceChildren(`The charts could not be loaded: ${reason}. `, again)
      if (hadFocus) again.focus({ preventScroll: true })
    }
  }

  #take (task) {
    if (this.#cards.has(task.task_id) || !this.#isHistory(task)) this.#cardOf(task.task_id, task.created_at).take(task)
    if (task.task_id === this.#known?.task_id) this.#point(this.#known.isLost ? null : this.#known)
  }

  /** A failure is history when something else was asked for after it, or when it was dismissed; a cancel is so at once. */
  #isHistory ({ status, created_at }) {
    if (status !== 'FAILED') return status === 'CANCELLED'
    const latest = this.#parts.cards.lastElementChild?.dataset.askedAt ?? ''
    const dismissed = localStorage.getItem(this.#dismissedKey) ?? ''
    return created_at < latest || created_at <= dismissed
  }

  get #dismissedKey () {
    return `dismissed-${this.#message.id}`
  }

  async #generate () {
    const { adjustment, force, notice } = this.#parts
    const wish = { adjustment: adjustment.value, force: force.checked }
    notice.hidden = true
    // At once: what is typed while the server answers is the next wish.
    adjustment.value = ''
    force.checked = false
    try {
      await this.#create(wish.adjustment.trim(), wish.force)
    } catch (error) {
      notice.textContent = reasonOf(error)
      notice.hidden = false
      if (adjustment.value === '') adjustment.value = wish.adjustment
      force.checked ||= wish.force
    }
  }

  /** Asks for a chart; the server answers with the one that there is already, unless `force`. */
  async #create (adjustment, force, replaced) {
    // Before the request: the watch may show a new chart before the answer does.
    const before = new Set(this.#cards.values())
    this.#point(null)
    const { known: line } = this.#parts
    const slow = setTimeout(() => { line.textContent = 'No answer from the server yet, asking again…' }, SLOW)
    const task = await charts.create({
      message_id: this.#message.id,
      visibility: 'PRIVATE',
      force_create: force,
      adjustment_query: adjustment === '' ? null : adjustment
    }).finally(() => {
      clearTimeout(slow)
      line.textContent = ''
    })
    const card = this.#cardOf(task.task_id, task.created_at)
    card.take(task)
    if (before.has(card) && card !== replaced) this.#point(card)
    if (replaced && card !== replaced) {
      this.#remove(replaced)
      card.element.focus()
    }
  }

  /**
   * Says at the form that the chart exists, and marks its card. The page does not scroll and the focus stays: the card may
   * be far away, and the user may want to go on here.
   */
  #point (card) {
    const { known, show, generate } = this.#parts
    this.#known?.mark(false)
    this.#known = card
    card?.mark(true)
    if (card === null && show === document.activeElement) generate.focus({ preventScroll: true })
    show.hidden = card === null
    const said = card === null ? '' : card.isDone ? 'You already have this chart.' : 'This chart is already being made.'
    // A screen reader reads a status again whenever it is set.
    if (known.textContent !== said) known.textContent = said
  }

  /** The card of a task; a new one has its place by when the task was asked for, as after a reload. */
  #cardOf (task_id, askedAt) {
    const known = this.#cards.get(task_id)
    if (known) return known
    const { cards, empty } = this.#parts
    const card = new ChartCard(task_id, {
      columns: this.#message.columns,
      retry: adjustment => this.#create(adjustment, false, card),
      dismiss: () => this.#dismiss(card)
    })
    card.element.dataset.askedAt = askedAt
    const later = [...cards.children].find(({ dataset }) => dataset.askedAt > askedAt)
    cards.insertBefore(card.element, later ?? null)
    this.#cards.set(task_id, card)
    empty.hidden = true
    return card
  }

  #dismiss (card) {
    const { element } = card
    const { previousElementSibling, nextElementSibling, dataset } = element
    if (dataset.status === 'FAILED') localStorage.setItem(this.#dismissedKey, dataset.askedAt)
    this.#remove(card)
    const nearest = nextElementSibling ?? previousElementSibling ?? this.#parts.generate
    nearest.focus()
  }

  #remove (card) {
    if (card === this.#known) this.#point(null)
    card.remove()
    this.#cards.delete(card.task_id)
    this.#parts.empty.hidden = this.#cards.size > 0
  }
}

/** A list is limited in bytes: the charts beyond come without their content. */
async function completed (chart) {
  return chart.content === undefined ? charts.result(chart.task_id) : chart
}

/** A chart says when it was made; those of other users have nothing else that one may know. */
async function whenAsked ({ task_id, created_at }) {
  const task = await charts.status(task_id).catch(() => null)
  return task?.created_at ?? created_at
}
