// One message of the chat, its charts, and the form that asks for more of them.
import { ApiError, chartsOf, createChart } from './api.js'
import { ChartCard } from './chart-card.js'
import { create, fromTemplate, tableOf, whileBusy } from './parts.js'

export class MessageView {
  element
  #parts
  #message_id
  /** Cards by the id of their task. */
  #cards = new Map()

  constructor (message) {
    const { element, parts } = fromTemplate('message')
    this.element = element
    this.#parts = parts
    this.#message_id = message.id
    parts.question.textContent = message.question
    parts.dataset.textContent = message.dataset
    parts.answer.textContent = message.answer
    parts.preview.setAttribute('aria-label', `Some of the rows of ${message.dataset}`)
    parts.preview.append(tableOf(message.preview, message.preview.length))
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
    parts.form.addEventListener('submit', event => {
      event.preventDefault()
      whileBusy(parts.generate, () => this.#generate())
    })
  }

  /** Shows the charts that there are, and picks up those that are still being made. */
  async load () {
    try {
      const { charts, active_tasks, failed_tasks } = await chartsOf(this.#message_id)
      const made = charts.map(chart => ({ ...chart, show: card => card.present(chart) }))
      const coming = active_tasks.map(task => ({ ...task, show: card => card.follow(task) }))
      const since = Math.max(0, ...[...made, ...coming].map(({ created_at }) => Date.parse(created_at)))
      // What failed before something else was asked for is history.
      const failed = failed_tasks.filter(({ created_at }) => Date.parse(created_at) > since).slice(0, 1)
        .map(task => ({ ...task, show: card => card.follow(task) }))
      const all = [...made, ...coming, ...failed].sort((a, b) => Date.parse(a.created_at) - Date.parse(b.created_at))
      for (const { task_id, show } of all) show(this.#cardOf(task_id))
      this.#parts.empty.textContent = 'No chart yet.'
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      this.#parts.empty.replaceChildren(`The charts could not be loaded: ${error.message} `, create('button', 'Load again', { onclick: () => this.load() }))
    }
    this.#tidy()
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
      if (!(error instanceof ApiError)) throw error
      notice.replaceChildren(`${error.message} `, create('code', error.code))
      notice.hidden = false
      if (adjustment.value === '') adjustment.value = wish.adjustment
      force.checked ||= wish.force
    }
  }

  /** Asks for a chart; the server answers with the one that there is already, unless `force`. */
  async #create (adjustment, force, replaced) {
    const task = await createChart({
      message_id: this.#message_id,
      visibility: 'PRIVATE',
      force_create: force,
      adjustment_query: adjustment === '' ? null : adjustment
    })
    const isKnown = this.#cards.has(task.task_id)
    const card = this.#cardOf(task.task_id, replaced)
    if (isKnown) card.pointOut()
    else card.follow(task)
    if (replaced) {
      replaced.remove()
      card.element.focus()
    }
    this.#tidy()
  }

  #cardOf (task_id, before) {
    const known = this.#cards.get(task_id)
    if (known) return known
    const card = new ChartCard((adjustment, replaced) => this.#create(adjustment, false, replaced))
    this.#cards.set(task_id, card)
    if (before) before.element.before(card.element)
    else this.#parts.cards.append(card.element)
    return card
  }

  #tidy () {
    for (const [task_id, card] of this.#cards) if (!card.element.isConnected) this.#cards.delete(task_id)
    this.#parts.empty.hidden = this.#cards.size > 0
  }
}
