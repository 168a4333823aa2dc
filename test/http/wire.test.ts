import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { chunkedConnection, plainConnection, toChunk, toTextMessage } from '../../lib/http/streams/wire.ts'
import { startHost } from '../helpers/app.ts'
import { openSse } from '../helpers/streams.ts'

const LENGTHS = [0, 1, 125, 126, 65_535, 65_536, 200_000]

t.test('a chunk of ours is what Node reads, between those that Node writes', async t => {
  let connection: ReturnType<typeof chunkedConnection> = null
  const server = createServer((_request, response) => {
    response.write('first')
    connection = chunkedConnection(response)
    for (const length of LENGTHS.slice(1)) connection!.write(toChunk(Buffer.alloc(length, 'x')))
    response.write('between')
    connection!.write(toChunk(Buffer.from('ü')))
    response.end('last')
  }).listen(0)
  t.teardown(() => server.close())
  const response = await fetch(`http://localhost:${(server.address() as AddressInfo).port}`)
  const text = await response.text()
  t.ok(text === `first${'x'.repeat(LENGTHS.reduce((sum, length) => sum + length))}betweenülast`)
})

t.test('a message of ours is what ws reads, between those that ws writes', async t => {
  const server = new WebSocketServer({ port: 0 })
  t.teardown(() => server.close())
  server.on('connection', (socket, request) => {
    const connection = plainConnection(socket, request.socket)!
    for (const length of LENGTHS) connection.write(toTextMessage(Buffer.alloc(length, 'x')))
    socket.send('between')
    connection.write(toTextMessage(Buffer.from('ü')))
    socket.close(1000, 'done')
  })
  const client = new WebSocket(`ws://localhost:${(server.address() as AddressInfo).port}`)
  const lengths: number[] = []
  const texts: string[] = []
  client.on('message', (data, isBinary) => {
    t.notOk(isBinary)
    lengths.push(String(data).length)
    texts.push(String(data).slice(0, 10))
  })
  const [code] = await once(client, 'close')
  t.equal(code, 1000)
  t.same(lengths, [...LENGTHS, 7, 1])
  t.same(texts.slice(-2), ['between', 'ü'])
})

t.test('where a WebSocket compresses, ws sends', async t => {
  const server = new WebSocketServer({ port: 0, perMessageDeflate: true })
  t.teardown(() => server.close())
  const connected = once(server, 'connection')
  const client = new WebSocket(`ws://localhost:${(server.address() as AddressInfo).port}`)
  const [[socket, incoming]] = await Promise.all([connected as Promise<[WebSocket, IncomingMessage]>, once(client, 'open')])
  t.equal(plainConnection(socket as never, incoming.socket), null)
  client.terminate()
})

t.test('a made buffer is made once', async t => {
  const frame = Buffer.from('frame')
  t.equal(toChunk(frame), toChunk(frame))
  t.equal(toTextMessage(frame), toTextMessage(frame))
})

t.test('a host that puts its own write into the response is given every frame', async t => {
  const written: string[] = []
  const host = await startHost(t, 'memory', {
    before: app => app.addHook('onRequest', async (_request, { raw }) => {
      const { write } = raw
      raw.write = (...args: unknown[]) => {
        written.push(String(args[0]))
        return Reflect.apply(write, raw, args)
      }
    })
  })
  const base = await host.listen()
  const { task_id } = await host.as('ada').create()
  const reader = await openSse(`${base}/stream/${task_id}`, { 'x-user': 'ada' })
  await reader.next()
  await host.take(task_id)
  await host.finish(task_id, { content: 'the chart' })
  await reader.rest()
  t.match(written.join(''), /"version":1\b[^]*"version":2\b[^]*"version":3\b/)
})
