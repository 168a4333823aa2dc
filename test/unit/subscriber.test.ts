import { EventEmitter } from 'node:events'
import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import type { RedisClient } from '../../lib/store/redis/connections.ts'
import { keyspace } from '../../lib/store/redis/keys.ts'
import { Subscriber } from '../../lib/store/redis/subscriber.ts'
import { until } from '../helpers/gate.ts'

/** A client whose subscriptions are answered as a test says. */
class FakeClient extends EventEmitter {
  status = 'wait'
  answer = async (..._channels: string[]): Promise<unknown> => 1
  publish = async (_channel: string): Promise<unknown> => 1
  async connect () {}
  disconnects = 0
  disconnect () { this.disconnects++ }
  duplicate () { return this }
  subscribe (...channels: string[]) { return this.answer(...channels) }
}

function start (t: { teardown (end: () => unknown): unknown }) {
  const client = new FakeClient()
  const published: string[] = []
  const publish = async (channel: string) => {
    published.push(channel)
    await client.publish(channel)
  }
  const subscriber = new Subscriber(client as unknown as RedisClient, publish, keyspace('test'), () => {}, () => {})
  t.teardown(() => subscriber.close())
  return { client, subscriber, published }
}

t.test('a channel that is asked for before the connection is there is subscribed with it', async t => {
  const { client, subscriber } = start(t)
  const asked: string[] = []
  client.answer = async (...channels) => asked.push(...channels)
  t.equal(await subscriber.subscribe('updates'), false)
  t.strictSame(asked, [])
  client.status = 'ready'
  client.emit('ready')
  await until(() => subscriber.up)
  t.ok(asked.includes('updates'))
})

t.test('a channel that is refused says so', async t => {
  const { client, subscriber } = start(t)
  client.status = 'ready'
  client.emit('ready')
  await until(() => subscriber.up)
  client.answer = async () => { throw new Error('NOPERM') }
  t.equal(await subscriber.subscribe('updates'), false)
})

t.test('a connection that fails while it subscribes is made again, one whose channels are refused asks again', async t => {
  const { client, subscriber } = start(t)
  client.status = 'ready'
  client.answer = async () => { throw new Error('closed') }
  client.emit('ready')
  await until(() => client.disconnects === 1)
  client.answer = async () => { throw Object.assign(new Error('NOPERM this user has no permissions'), { name: 'ReplyError' }) }
  client.emit('ready')
  await setImmediate()
  client.answer = async () => 1
  // The timer keeps no process alive, `until` does.
  await until(() => subscriber.up)
  t.equal(client.disconnects, 1)
})

t.test('a connection on which its own message does not arrive is made again', async t => {
  let now = 0
  mock.timers.enable({ apis: ['setTimeout'] })
  const clock = mock.method(performance, 'now', () => now)
  t.teardown(() => {
    mock.timers.reset()
    clock.mock.restore()
  })
  const pass = async (ms: number) => {
    now += ms
    mock.timers.tick(ms)
    await setImmediate()
  }
  const { client, subscriber, published } = start(t)
  const connect = async () => {
    client.status = 'ready'
    client.emit('ready')
    await setImmediate()
  }
  await connect()
  await pass(8_000)
  t.equal(published.length, 1)
  client.emit('message', published[0], '')
  await pass(2_000)
  t.strictSame([client.disconnects, subscriber.up], [0, true], 'it has arrived')
  await pass(6_000)
  t.equal(published.length, 2)
  await pass(2_000)
  t.strictSame([client.disconnects, subscriber.up], [1, false], 'it has not')
  await connect()
  client.publish = async () => { throw new Error('away') }
  await pass(6_000)
  t.strictSame([client.disconnects, subscriber.up], [2, false], 'it could not be sent')
})
