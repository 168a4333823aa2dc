// What the page asks its server: the routes of the plugin, and the messages of the chat.
const CHARTS = '/api/v1/analytics/charts'

/** What went wrong, in words for the user. `status` is 0 where there was no answer. */
export class ApiError extends Error {
  constructor (message, status) {
    super(message)
    this.status = status
  }
}

async function answerOf (path, options) {
  let response, body
  try {
    response = await fetch(path, options)
    body = await response.json()
  } catch {
    if (!response) throw new ApiError('The server cannot be reached', 0)
  }
  if (response.ok && body) return { body, headers: response.headers }
  throw new ApiError(body?.message ?? 'The server gave no usable answer', response.status)
}

const ask = async (path, options) => (await answerOf(path, options)).body

export const listMessages = () => ask('/messages')
// Not from the cache of the browser, which may keep an older estimate.
export const statusOf = task_id => ask(`${CHARTS}/async/${task_id}/status`, { cache: 'no-store' })
export const resultOf = task_id => ask(`${CHARTS}/async/${task_id}/result`)
export const cancelChart = task_id => ask(`${CHARTS}/async/${task_id}`, { method: 'DELETE' })
export const createChart = request => ask(`${CHARTS}/async`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(request)
})

/** What there is of a message, and the `cursor` from which its stream goes on. */
export async function chartsOf (message_id) {
  const { body, headers } = await answerOf(`${CHARTS}/by-message/${message_id}`)
  return { ...body, cursor: headers.get('stream-cursor') }
}

export const openStream = (message_id, cursor) =>
  new window.EventSource(`${CHARTS}/stream/by-message/${message_id}?last_event_id=${encodeURIComponent(cursor)}`)
