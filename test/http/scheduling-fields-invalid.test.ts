import t from 'tap'
import { startHost, storeKinds } from '../helpers/app.ts'

const DAY = 86_400_000
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString()

for (const kind of storeKinds) {
  t.test(`invalid scheduling fields are refused, on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const ada = host.as('ada@acme')
    const message_id = crypto.randomUUID()
    const { task_id } = await ada.create()
    const ids = (count: number) => Array.from({ length: count }, () => crypto.randomUUID())

    const invalid: Array<[string, unknown[], RegExp]> = [
      ['priority', ['urgent', 'HIGH', '', 1, null, ['high']], /priority/],
      ['run_at', ['tomorrow', '', '2030-13-01T00:00:00Z', '2030-02-30T00:00:00Z', '2030-01-01', '12:00:00Z', 0, 1_900_000_000_000, {}, inMs(DAY).replace('Z', '')], /run_at/],
      ['run_at', [inMs(31 * DAY), '9999-12-31T23:59:59.999Z', `${inMs(DAY).slice(0, 10)}T23:59:60Z`], /run_at/],
      ['depends_on', [ids(21), ['x'], [''], [1], null, 'x', task_id, [task_id, task_id], [task_id, task_id.toUpperCase()], {}], /depends_on/],
      ['supersede', ['true', 1, null], /supersede/],
      ['ref', ['a'], /ref/]
    ]
    for (const [field, values, named] of invalid) {
      for (const value of values) {
        const response = await ada.post({ message_id, [field]: value })
        t.equal(response.statusCode, 400, `${field}: ${JSON.stringify(value)}`)
        t.match(response.json(), { statusCode: 400, code: /^(FST_ERR_VALIDATION|CHARTS_ERR_INVALID_REQUEST)$/, error: 'Bad Request', message: named })
      }
    }
    t.match((await ada.post({ message_id, priority: 'urgent', run_at: 'x', depends_on: ['y'] })).json().message,
      /priority.*run_at.*depends_on|run_at.*priority|depends_on.*priority/, 'every issue at once')
    t.equal((await host.service.getQueueStats()).queue_length, 1, 'nothing was accepted')
  })

  t.test(`valid scheduling fields are accepted, on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const ada = host.as('ada@acme')
    for (const run_at of [inMs(30 * DAY - 5_000), inMs(DAY), inMs(DAY).replace('Z', '+00:00')]) {
      t.match(await ada.create({ run_at }), { status: 'PENDING', current_step: 'scheduled' }, run_at)
    }
    for (const run_at of [null, inMs(-DAY), '1970-01-01T00:00:00Z']) t.match(await ada.create({ run_at }), { current_step: 'queued' }, String(run_at))
    for (const priority of ['high', 'normal', 'low'] as const) t.match(await ada.create({ priority }), { current_step: 'queued' })
    const needed = []
    for (let i = 0; i < 20; i++) needed.push((await ada.create()).task_id)
    const task = await ada.create({ depends_on: needed })
    t.equal(task.current_step, 'waiting_for_dependencies')
    t.match(await ada.create({ depends_on: [] }), { current_step: 'queued' })
  })

  t.test(`dependencies that are not there for the caller, on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const ada = host.as('ada@acme')
    const foreign = await host.as('bob@acme').create({ visibility: 'PUBLIC' })
    const own = await ada.create()
    const bodies = []
    for (const id of [crypto.randomUUID(), foreign.task_id]) {
      const response = await ada.post({ message_id: crypto.randomUUID(), depends_on: [own.task_id, id] })
      t.equal(response.statusCode, 400)
      t.match(response.json(), { code: 'CHARTS_ERR_DEPENDENCY_UNKNOWN' })
      bodies.push(response.body.replace(id, 'ID'))
    }
    t.equal(bodies[0], bodies[1], "somebody else's looks like none")
    for (const end of ['DELETE', 'fail']) {
      const { task_id } = await ada.create()
      if (end === 'DELETE') await ada.delete(`/async/${task_id}`)
      else await host.finish(task_id, { error: Object.assign(new Error('a secret'), { name: 'ChartGenerationError' }) })
      const response = await ada.post({ message_id: crypto.randomUUID(), depends_on: [task_id] })
      t.equal(response.statusCode, 409)
      t.match(response.json(), { statusCode: 409, code: 'CHARTS_ERR_DEPENDENCY_FAILED', message: new RegExp(task_id) })
      t.notOk(response.body.includes('secret'))
    }
  })

  t.test(`superseding over HTTP, on ${kind}`, async t => {
    const ended: string[] = []
    const host = await startHost(t, kind, { onFinished: ({ task_id }) => { ended.push(task_id) } })
    const [ada, bob] = [host.as('ada@acme'), host.as('bob@acme')]
    const message_id = crypto.randomUUID()
    const older = await ada.create({ message_id })
    const theirs = await bob.create({ message_id })
    const newer = await ada.create({ message_id, supersede: true, adjustment_query: 'as a line' })
    const status = async (caller: typeof ada, { task_id }: { task_id: string }) => (await caller.get(`/async/${task_id}/status`)).json().status
    t.equal(await status(ada, older), 'CANCELLED')
    t.equal(await status(ada, newer), 'PENDING')
    t.equal(await status(bob, theirs), 'PENDING')
    t.strictSame(ended, [older.task_id], 'onFinished is told')
  })
}
