import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

// The two fields of Node's HTTP server that are used here although its documentation does not mention them. Each degrades safely if a
// version of Node does not have it.

/**
 * The response that occupies a connection; null if there is none. Only the connection knows it: after an upgrade, the server neither
 * emits the response that `@fastify/websocket` creates, nor says whether an earlier request on the connection is still unanswered.
 * Without this field, such an earlier request is not noticed, and the connection of a refused upgrade stays open until the client closes it.
 */
export function responseOn (connection: Duplex): ServerResponse | null {
  return (connection as Duplex & { _httpMessage?: ServerResponse | null })._httpMessage ?? null
}

type DecidingServer = Server & { shouldUpgradeCallback?: (request: IncomingMessage) => boolean }

/**
 * Decides which requests with an `Upgrade` header Node handles as upgrades. `decide` gets the request and the server's own decision.
 * Returns a function that restores the latter. Node has it as an option of `createServer` since 22.21 and 24.9, but here the host has
 * created the server. Older versions treat every such request as an upgrade while anything listens for them.
 */
export function decideUpgrades (server: Server, decide: (request: IncomingMessage, original: () => boolean) => boolean): () => void {
  const deciding = server as DecidingServer
  const { shouldUpgradeCallback } = deciding
  /* c8 ignore start -- Node 20 and older versions of 22 and 24 do not have it, later ones always do */
  if (!shouldUpgradeCallback) return () => {}
  deciding.shouldUpgradeCallback = request => decide(request, () => shouldUpgradeCallback.call(server, request))
  return () => { deciding.shouldUpgradeCallback = shouldUpgradeCallback }
}
/* c8 ignore stop */
