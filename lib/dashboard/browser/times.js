// Shows times relative to now, by the clock of the server.

const UNITS = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's']]
/** ms of difference that are ignored: the Date header has whole seconds, and the answer takes time. */
const MAX_DRIFT = 2_000

let offset = 0

/** Compares the clocks by the Date header of an answer. */
export function learnTime (response) {
  const difference = Date.parse(response.headers.get('date') ?? '') - Date.now()
  if (Number.isFinite(difference)) offset = Math.abs(difference) > MAX_DRIFT ? difference : 0
}

function span (seconds) {
  const i = UNITS.findIndex(([size]) => seconds >= size)
  if (i === -1) return '0 s'
  const [size, unit] = UNITS[i]
  const [smaller, smallerUnit] = UNITS[i + 1] ?? []
  const rest = smaller && Math.floor(seconds % size / smaller)
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${smallerUnit}` : ''}`
}

function relative (seconds) {
  const distance = Math.abs(seconds)
  const rough = UNITS.find(([size]) => distance >= size)
  if (distance < 2) return 'just now'
  const text = `${Math.floor(distance / rough[0])} ${rough[1]}`
  return seconds < 0 ? `in ${text}` : `${text} ago`
}

const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

const texts = {
  relative: (time, now) => relative((now - time) / 1_000),
  elapsed: (time, now) => span(Math.max(0, (now - time) / 1_000))
}

/** Updates all times of the page; called once a second while it is visible. */
export function writeTimes () {
  const now = Date.now() + offset
  for (const element of document.querySelectorAll('time[data-time]')) {
    const time = Date.parse(element.dateTime)
    const text = texts[element.dataset.time](time, now)
    if (element.textContent !== text) element.textContent = text
    const title = full.format(time)
    if (element.title !== title) element.title = title
  }
}
