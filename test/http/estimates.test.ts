import t from 'tap'
import { startHost, storeKinds, type Host } from '../helpers/app.ts'
import { openSse } from '../helpers/streams.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'

/** A host whose time passes only when it is told to; one that has made `charts` of so many seconds. */
async function experienced (t: Parameters<typeof startHost>[0], kind: Parameters<typeof startHost>[1], charts: readonly number[] = [10, 20, 30], options = {}) {
  const clock = { ms: Date.parse('2030-01-01T00:00:00.000Z') }
  const pass = (ms: number) => { clock.ms += ms }
  const host = await startHost(t, kind, { now: () => clock.ms, ...options })
  for (const seconds of charts) {
    const { task_id } = await host.as('eve').create()
    await host.take(task_id)
    pass(seconds * 1_000)
    await host.service.extendLease(task_id, 1)
    await host.finish(task_id, { content: {} })
  }
  const inSeconds = (seconds: number) => new Date(clock.ms + seconds * 1_000).toISOString()
  return { host, pass, inSeconds }
}

const status = async (host: Host, task_id: string, headers = {}) => host.as('ada').get(`/async/${task_id}/status`, headers)

for (const kind of storeKinds) {
  t.test(`estimates on ${kind}`, async t => {
    t.test('before the first chart, nobody knows', async t => {
      const { host } = await experienced(t, kind, [])
      const response = await host.as('ada').post({ message_id })
      t.match(response.json(), { estimated_completion: null, queue_position: 1 })
      t.equal(response.headers['retry-after'], '1')
    })

    t.test('are in every answer about an unfinished task, and Retry-After follows them', async t => {
      const { host, pass, inSeconds } = await experienced(t, kind)
      const ada = host.as('ada')
      const created = await ada.post({ message_id })
      t.match(created.json(), { queue_position: 1, estimated_completion: inSeconds(20) })
      t.equal(created.headers['retry-after'], '20')
      const second = await ada.create({ message_id, adjustment_query: 'again' })
      t.match(second, { queue_position: 2, estimated_completion: inSeconds(40) })

      const { task_id } = created.json()
      await host.take(task_id)
      pass(5_000)
      const running = await status(host, task_id)
      t.match(running.json(), { status: 'PROCESSING', estimated_completion: inSeconds(15) })
      t.notOk('queue_position' in running.json())
      t.equal(running.headers['retry-after'], '15')
      const result = await ada.get(`/async/${task_id}/result`)
      t.match(result, { statusCode: 409, headers: { 'retry-after': '15' } })
      t.match((await ada.get(`/by-message/${message_id}`)).json().active_tasks, [
        { task_id: second.task_id, queue_position: 1, estimated_completion: inSeconds(35) },
        { task_id, estimated_completion: inSeconds(15) }
      ])

      pass(20_000)
      t.match((await status(host, task_id)).json(), { estimated_completion: inSeconds(5) }, 'widened: the longest took 30')
      await host.finish(task_id, { content: {} })
      const ended = await status(host, task_id)
      t.match(ended.json(), { status: 'COMPLETED', estimated_completion: null })
      t.equal(ended.headers['retry-after'], undefined)
    })

    t.test('are no change of the task: its version stays', async t => {
      const { host, pass } = await experienced(t, kind)
      const [first, second] = [await host.as('ada').create(), await host.as('ada').create()]
      const before = (await status(host, second.task_id)).json()
      await host.take(first.task_id)
      await host.finish(first.task_id, { content: {} })
      pass(1_000)
      const after = (await status(host, second.task_id)).json()
      t.strictSame([before.queue_position, after.queue_position, before.version, after.version], [2, 1, 1, 1])
    })

    t.test('Retry-After is half a minute at most', async t => {
      const { host } = await experienced(t, kind, [600])
      t.equal((await host.as('ada').post({ message_id })).headers['retry-after'], '30')
    })

    t.test('ETag: another place is another answer, another estimate is not', async t => {
      const { host, pass } = await experienced(t, kind)
      const ada = host.as('ada')
      const [first, { task_id }] = [await ada.create(), await ada.create()]
      const tag = async () => String((await status(host, task_id)).headers['etag'])
      const before = await tag()
      const again = async (etag: string) => (await status(host, task_id, { 'if-none-match': etag })).statusCode
      pass(500)
      t.equal(await again(before), 304)
      await ada.delete(`/async/${first.task_id}`)
      t.not(await tag(), before)
      t.equal(await again(before), 200)
      const then = await tag()
      pass(60_000)
      t.match((await status(host, task_id)).json(), { estimated_completion: null }, 'nobody works')
      t.equal(await again(then), 304)
      await host.take(task_id)
      t.equal(await again(then), 200)
    })

    t.test('a frame has them as they are when it is sent', async t => {
      const { host, inSeconds } = await experienced(t, kind)
      const base = await host.listen()
      const [first, { task_id }] = [await host.as('ada').create(), await host.as('ada').create()]
      const early = await openSse(`${base}/stream/${task_id}`, { 'x-user': 'ada' })
      t.match(await early.task(), { queue_position: 2, estimated_completion: inSeconds(40) })
      await host.as('ada').delete(`/async/${first.task_id}`)
      const late = await openSse(`${base}/stream/${task_id}`, { 'x-user': 'ada' })
      t.match(await late.task(), { queue_position: 1, estimated_completion: inSeconds(20) }, 'who comes later is not told an old place')
      await host.take(task_id)
      for (const stream of [early, late]) {
        const task = await stream.task()
        t.match(task, { status: 'PROCESSING', estimated_completion: inSeconds(20) })
        t.notOk('queue_position' in task!)
        stream.destroy()
      }
    })

    t.test('a frame of a task that waits again says where', async t => {
      const { host, inSeconds } = await experienced(t, kind)
      const { task_id } = await host.as('ada').create()
      const lease = await host.take(task_id)
      const stream = await openSse(`${await host.listen()}/stream/${task_id}`, { 'x-user': 'ada' })
      t.match(await stream.task(), { status: 'PROCESSING' })
      await host.service.releaseTask(task_id, lease)
      t.match(await stream.task(), { status: 'PENDING', current_step: 'queued', queue_position: 1, estimated_completion: inSeconds(20) })
      stream.destroy()
    })

    t.test('a client that waits for a change keeps the ETag of the state that it has', async t => {
      const { host } = await experienced(t, kind)
      const [first, { task_id }] = [await host.as('ada').create(), await host.as('ada').create()]
      const seen = String((await status(host, task_id)).headers['etag'])
      await host.as('ada').delete(`/async/${first.task_id}`)
      const waited = await status(host, task_id, { 'if-none-match': seen, prefer: 'wait=0' })
      t.match(waited, { statusCode: 304, headers: { etag: seen } })
      t.match((await status(host, task_id, { 'if-none-match': seen })).json(), { queue_position: 1 })
    })

    t.test('a graph of needs is worked out once, however many ways lead through it', async t => {
      const { host } = await experienced(t, kind)
      const layers = Array.from({ length: 10 }, (_, layer) => Array.from({ length: 10 }, (_, i) => ({
        message_id, ref: `${layer}-${i}`, force_create: true, depends_on: layer === 0 ? [] : Array.from({ length: 10 }, (_, j) => `${layer - 1}-${j}`)
      })))
      const begin = performance.now()
      const response = await host.as('ada').request('POST', '/async/batch', { headers: { 'content-type': 'application/json' }, payload: JSON.stringify({ tasks: layers.flat() }) })
      t.equal(response.statusCode, 202)
      t.ok(performance.now() - begin < 5_000, 'ten to the tenth would take for ever')
      t.ok(response.json().tasks.every((task: { estimated_completion: string | null }) => task.estimated_completion !== null))
    })

    t.test('a task ends after the tasks that it depends on', async t => {
      const { host, inSeconds } = await experienced(t, kind)
      const response = await host.as('ada').request('POST', '/async/batch', {
        headers: { 'content-type': 'application/json' },
        payload: JSON.stringify({ tasks: [{ message_id, ref: 'a' }, { message_id, ref: 'b', depends_on: ['a'] }, { message_id, adjustment_query: 'c', depends_on: ['b'] }] })
      })
      t.match(response.json().tasks.map((task: { estimated_completion: string }) => task.estimated_completion), [inSeconds(20), inSeconds(40), inSeconds(60)])
      const { task_id } = response.json().tasks[2]
      t.match((await status(host, task_id)).json(), { current_step: 'waiting_for_dependencies', estimated_completion: inSeconds(60) }, 'also asked for alone')
    })

    t.test('a queue that is full says when it may have a place', async t => {
      const { host, pass } = await experienced(t, kind, [20], { limits: { queueLength: 1 } })
      const { task_id } = await host.as('ada').create()
      await host.take(task_id)
      pass(5_000)
      await host.as('ada').create()
      const response = await host.as('ada').post({ message_id })
      t.match(response, { statusCode: 503, headers: { 'retry-after': '15' } })
    })

    t.test('in a queue that is paused nobody knows when, but where', async t => {
      const { host } = await experienced(t, kind)
      await host.service.pauseQueue()
      t.match(await host.as('ada').create(), { queue_position: 1, estimated_completion: null })
    })
  })
}
