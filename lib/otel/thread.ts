import { tracingChannels } from '../telemetry/channels.ts'
import { contextOf, runIn } from './propagation.ts'

let isFollowing = false

/**
* For the module of a generator that runs in threads (`generate: new URL(…)`). Call it after an OpenTelemetry SDK was started in the
 * thread: the generator then runs in the trace of its attempt.
 */
export function otelThread (): void {
  if (isFollowing) return
  isFollowing = true
  tracingChannels.thread.start.subscribe(message => {
    const traced = message as Parameters<typeof runIn>[0]
    if (traced.trace) runIn(traced, contextOf(traced.trace))
  })
}
