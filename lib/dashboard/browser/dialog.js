// The dialog of the page, and the notes that report the result of an action.

import { build } from './tree.js'

const dialog = document.getElementById('dialog')
const notes = document.getElementById('notes')

/** ms for which a note is shown; one with a link leaves time to reach it. */
const NOTE = 10_000
const NOTE_WITH_LINK = 30_000

/** Shows a dialog; resolves when it is closed. */
export function openDialog (title, content) {
  dialog.replaceChildren(build(['h2', { id: 'dialog-title' }, title]), ...content)
  dialog.showModal()
  return new Promise(resolve => dialog.addEventListener('close', resolve, { once: true }))
}

export const closeDialog = () => dialog.close()

export function makeButton (text, variant, onClick) {
  const button = build(['button', { type: 'button', ...(variant && { class: variant }) }, text])
  button.addEventListener('click', onClick)
  return button
}

/** Asks for a confirmation. The button that changes nothing comes first and has the focus. */
export async function confirms (title, text, verb, variant = 'danger') {
  let isConfirmed = false
  const row = build(['div', { class: 'buttons' }])
  const answer = value => () => {
    isConfirmed = value
    closeDialog()
  }
  row.append(makeButton('Back', '', answer(false)), makeButton(verb, variant, answer(true)))
  await openDialog(title, [build(['p', {}, text]), row])
  return isConfirmed
}

/** Shows the result of an action. */
export function note (text, link) {
  const shown = build(['p', {}, text, ...(link ? [' ', ['a', { href: link.href }, link.text]] : [])])
  notes.append(shown)
  const time = link ? NOTE_WITH_LINK : NOTE
  const remove = () => {
    if (shown.contains(document.activeElement)) setTimeout(remove, time)
    else shown.remove()
  }
  setTimeout(remove, time)
}
