// Elements from the templates of the page, with their parts by name. Text is only ever set as text.

export function fromTemplate (name) {
  const element = document.getElementById(`${name}-template`).content.firstElementChild.cloneNode(true)
  const parts = Object.fromEntries([...element.querySelectorAll('[data-part]')].map(part => [part.dataset.part, part]))
  return { element, parts }
}

export function create (tag, text, properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text, ...properties })
}

/** Does the work of a button once at a time. A button that is really disabled would lose the keyboard to the page. */
export async function whileBusy (button, work) {
  if (button.ariaDisabled === 'true') return
  button.ariaDisabled = 'true'
  try {
    await work()
  } finally {
    button.ariaDisabled = 'false'
  }
}

const headed = field => field.charAt(0).toUpperCase() + field.slice(1).replaceAll('_', ' ')
const shown = value => typeof value === 'number' && !Number.isInteger(value) ? String(Number(value.toFixed(2))) : String(value ?? '–')

/** A table of at most `most` rows, with a line that says how many more there are. */
export function tableOf (rows, most) {
  const table = create('table', '')
  const fields = Object.keys(rows[0] ?? {})
  const head = table.createTHead().insertRow()
  head.append(...fields.map(field => create('th', headed(field), { scope: 'col', className: typeof rows[0][field] })))
  const body = table.createTBody()
  for (const row of rows.slice(0, most)) {
    body.insertRow().append(...fields.map(field => create('td', shown(row[field]), { className: typeof row[field] })))
  }
  if (rows.length > most) table.createTFoot().insertRow().append(create('td', `… and ${rows.length - most} more`, { colSpan: fields.length }))
  return table
}
