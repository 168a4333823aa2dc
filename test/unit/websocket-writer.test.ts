import { EventEmitter, once } from 'node:events'
import type { WebSocket } from '@fastify/websocket'
import t from 'tap'
import { WebSocketWriter } from '../../lib/http/streams/websocket-writer.ts'

t.test('a WebSocket without a connection, as an injected one, is pinged, and cut if it does not answer', async t => {
  class FakeSocket extends EventEmitter {
    bufferedAmount = 0
    ping () { this.emit('ping') }
    terminate () { this.emit('terminate') }
  }
  const socket = new FakeSocket()
  const writer = new WebSocketWriter(socket as unknown as WebSocket, undefined, 5, new AbortController().signal)
  t.teardown(() => writer.close([1000, 'the end']))
  Object.assign(socket, { close () {}, readyState: 3 })
  await once(socket, 'ping')
  socket.emit('pong')
  await once(socket, 'ping')
  await once(socket, 'terminate')
})
