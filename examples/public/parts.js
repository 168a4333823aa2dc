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

const MAX_DECIMALS = 2
const decimals = value => (String(Number(value.toFixed(MAX_DECIMALS))).split('.')[1] ?? '').length

/** The texts of a column. Numbers have as many decimals as the one of them that needs most, so that they line up. */
function columnOf (rows, name) {
  const values = rows.map(row => row[name] ?? null)
  const numbers = values.filter(value => typeof value === 'number')
  const most = Math.max(0, ...numbers.map(decimals))
  const texts = values.map(value => typeof value === 'number' ? value.toFixed(most) : value ?? '–')
  return { name, texts, className: numbers.length > 0 ? 'number' : '' }
}

/** A table of at most `most` rows, with a line that says how many more there are. `titles` are those of its columns. */
export function tableOf (rows, titles, most) {
  const table = create('table', '')
  const shown = rows.slice(0, most)
  const columns = Object.keys(rows[0] ?? {}).map(name => columnOf(shown, name))
  table.createTHead().insertRow().append(...columns.map(({ name, className }) => create('th', titles[name], { scope: 'col', className })))
  const body = table.createTBody()
  for (const i of shown.keys()) {
    body.insertRow().append(...columns.map(({ texts, className }) => create('td', texts[i], { className })))
  }
  if (rows.length > most) table.createTFoot().insertRow().append(create('td', `… and ${rows.length - most} more`, { colSpan: columns.length }))
  return table
}
