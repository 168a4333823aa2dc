import { EventEmitter } from 'node:events'
import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { duplicate, userOf, within, type RedisClient } from '../../lib/store/redis/connections.ts'

/** A client that is connected as long as nobody says otherwise. */
class FakeClient extends EventEmitter {
  status = 'ready'
  disconnects = 0
  async connect () {}
  disconnect () { this.disconnects++ }
  duplicate () { return new FakeClient() }
}

const never = () => new Promise<never>(() => {})

t.test('a connection on which nothing comes is given up, one on which something does is not', async t => {
  const [silent, slow] = [new FakeClient(), new FakeClient()]
  const ask = (client: FakeClient, command: () => Promise<unknown>) => within(client as unknown as RedisClient, command)
  const asked = [silent, slow].map(client => t.rejects(ask(client, never), { code: 'CHARTS_ERR_STORE_UNAVAILABLE' }))
  await delay(1_000)
  await ask(slow, async () => 'an answer')
  await Promise.all(asked)
  t.strictSame([silent.disconnects, slow.disconnects], [1, 0])
})

t.test('a connection that is made and lost again and again leaves no listeners behind', t => {
  const client = duplicate(new FakeClient() as unknown as RedisClient, 'commands') as unknown as FakeClient
  const listeners = () => client.eventNames().map(name => client.listenerCount(name))
  const before = listeners()
  for (let i = 0; i < 10; i++) {
    client.emit('connect')
    client.emit(i % 2 === 0 ? 'close' : 'ready')
  }
  t.strictSame(listeners(), before)
  t.end()
})

t.test('a connection that is accepted and then says nothing is made again', async t => {
  const client = duplicate(new FakeClient() as unknown as RedisClient, 'commands') as unknown as FakeClient
  client.status = 'connect'
  client.emit('connect')
  // The timer keeps no process alive, this one does.
  await delay(2_100)
  t.equal(client.disconnects, 1)
})

t.test('the user of a client is the one that it was given, also for the nodes of a Cluster', async t => {
  const user = (client: object) => userOf(client as RedisClient)
  t.equal(user({ options: { username: 'ada' } }), 'ada')
  t.equal(user({ options: {} }), 'default')
  t.equal(user({ isCluster: true, options: { redisOptions: { username: 'ada' } } }), 'ada')
  t.equal(user({ isCluster: true, options: {} }), 'default')
})
