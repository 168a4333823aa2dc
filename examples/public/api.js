// What the page asks its server: the routes of the plugin, and the messages of the chat.
const CHARTS = '/api/v1/analytics/charts'

/** What went wrong, in words for the user. `status` is 0 where there was no answer. */
export class ApiError extends Error {
  constructor (message, code, status) {
    super(message)
    this.code = code
    this.status = status
  }
}

async function ask (path, options) {
  let response, body
  try {
    response = await fetch(path, options)
    body = await response.json()
  } catch {
    if (!response) throw new ApiError('The server cannot be reached', 'OFFLINE', 0)
  }
  if (response.ok && body) return body
  throw new ApiError(body?.message ?? 'The server gave no usable answer', body?.code ?? `HTTP_${response.status}`, response.status)
}

export const listMessages = () => ask('/messages')
export const chartsOf = message_id => ask(`${CHARTS}/by-message/${message_id}`)
// Not from the cache of the browser, which may keep an older estimate.
export const statusOf = task_id => ask(`${CHARTS}/async/${task_id}/status`, { cache: 'no-store' })
export const resultOf = task_id => ask(`${CHARTS}/async/${task_id}/result`)
export const cancelChart = task_id => ask(`${CHARTS}/async/${task_id}`, { method: 'DELETE' })
export const createChart = request => ask(`${CHARTS}/async`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(request)
})
export const openStream = task_id => new window.EventSource(`${CHARTS}/stream/${task_id}`)
