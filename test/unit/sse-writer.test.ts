import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import t from 'tap'
import { OpenStream } from '../../lib/http/streams/open-streams.ts'
import { SseWriter } from '../../lib/http/streams/sse-writer.ts'
import { inTime } from '../helpers/gate.ts'

t.test('a stream that is told to end does not wait for a reader that takes nothing', async t => {
  const connection = new Duplex({ read () {}, write () {} })
  const raw = new ServerResponse(new IncomingMessage(new Socket()))
  raw.assignSocket(connection as Socket)
  raw.writeHead(200)
  const stream = new OpenStream(() => {})
  const writer = new SseWriter(raw, 60_000, stream)
  stream.end()
  await inTime(writer.end(0, false), 5_000, 'the end')
  t.equal(connection.destroyed, true)
})
