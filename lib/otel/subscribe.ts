import type { Channel, TracingChannel } from 'node:diagnostics_channel'
import type { ObservedQueue } from '../telemetry/channels.ts'

interface FromQueue {
  readonly queue: ObservedQueue
}

type End = () => void

/** Subscribes to the operations of one queue: start, success and failure. Returns a function that unsubscribes. */
export function onOperation<Message extends FromQueue> (
  channel: TracingChannel<unknown, Message>, queue: ObservedQueue, { start, end }: { start?: (message: Message) => void, end?: (message: Message) => void }
): End {
  const own = (handler: (message: Message) => void) => (message: unknown) => {
    if ((message as Message).queue === queue) handler(message as Message)
  }
  const ends: End[] = []
  for (const [part, handler] of [[channel.start, start], [channel.asyncEnd, end]] as const) {
    if (!handler) continue
    const listener = own(handler)
    part.subscribe(listener)
    ends.push(() => part.unsubscribe(listener))
  }
  return () => { for (const end of ends) end() }
}

/** Subscribes to the events of one queue. Returns a function that unsubscribes. */
export function onMessage<Message extends FromQueue> (channel: Channel<unknown, Message>, queue: ObservedQueue, handler: (message: Message) => void): End {
  const listener = (message: unknown) => {
    if ((message as Message).queue === queue) handler(message as Message)
  }
  channel.subscribe(listener)
  return () => { channel.unsubscribe(listener) }
}
