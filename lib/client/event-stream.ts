import { createParser } from 'eventsource-parser'
import type { PublicChartTask } from '../task.ts'
import { offline } from './client-error.ts'
import type { Expect } from './timing.ts'
import type { Transport } from './transport.ts'

/** ms in which the first bytes of a stream must arrive: the server sends them at once, but a proxy may buffer them. */
const FIRST_BYTES_MS = 5_000
/** ms in which further bytes must arrive: three default heartbeats of the server. */
export const SILENCE_MS = 45_000
/** ms until the client reconnects if the server sends no `retry`. */
const COME_BACK_MS = 2_000

/** Resolves when the server has ended the stream, to the ms until the client should reconnect; 0: no update will follow. */
export async function readStream (
  transport: Transport, path: string, signal: AbortSignal, expect: Expect, onState: (task: PublicChartTask, cursor: string | undefined) => void
): Promise<number> {
  const accept = 'text/event-stream'
  const { status, headers, body } = await transport.send(path, { headers: { accept }, signal }, () => expect(FIRST_BYTES_MS))
  if (status === 204) return 0
  // The error page of a proxy, or a `fetch` that cannot stream.
  if (!body || !headers.get('content-type')?.startsWith(accept)) return offline()
  let comeBackIn = COME_BACK_MS
  const parser = createParser({
    onRetry: ms => { comeBackIn = ms },
    onEvent ({ id, data }) {
      const update = JSON.parse(data) as { type: string, data: PublicChartTask }
      if (update.type === 'status_update') onState(update.data, id)
    }
  })
  const reader = body.getReader()
  const decoder = new TextDecoder()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return comeBackIn
      expect(SILENCE_MS)
      parser.feed(decoder.decode(value, { stream: true }))
    }
  } catch (error) {
    return offline(error)
  }
}
