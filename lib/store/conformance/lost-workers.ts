import assert from 'node:assert/strict'
import { cases, idsOf, LEASE, leaseOf, type Scene } from './scene.ts'

/** The worker of the running attempts ends without a word, `times` times; each time all of `ids` run again. */
async function lose (scene: Scene, ids: readonly string[], times: number): Promise<void> {
  for (let i = 1; i <= times; i++) {
    const { tasks } = await scene.claim({ worker_id: `victim-${i}`, count: ids.length })
    assert.deepEqual(idsOf(tasks).sort(), [...ids].sort())
    scene.pass(LEASE)
  }
}

export const lostWorkers = cases('a lost worker', {
  'is told with its tasks by whoever finds their leases expired, once': async scene => {
    const ids = await scene.enqueueMany(2)
    await scene.claimIds({ worker_id: 'victim', count: 2 })
    scene.pass(LEASE)
    const wish = scene.wish()
    const found = await scene.store.claim(wish)
    const { expired, tasks } = found
    assert.deepEqual(expired, ids.sort().map(task_id => ({ task_id, attempt: 1, worker_id: 'victim' })))
    assert.deepEqual(tasks.map(({ lostWorkers, alone }) => ({ lostWorkers, alone })), [{ lostWorkers: { worker_id: 'victim', times: 1 }, alone: false }])
    assert.deepEqual(await scene.store.claim(wish), found, 'asked again, the same')
    assert.deepEqual((await scene.claim()).expired, [])
  },

  'is told also where it was the last attempt': async scene => {
    const { task: { task_id } } = await scene.claimed({ attempts: 1 })
    scene.pass(LEASE)
    const { expired, lost } = await scene.claim()
    assert.deepEqual([expired, idsOf(lost)], [[{ task_id, attempt: 1, worker_id: 'worker' }], [task_id]])
  },

  'that is lost once costs no parallel work': async scene => {
    const ids = await scene.enqueueMany(50)
    await lose(scene, ids, 1)
    const tasks = []
    // What is lost comes back a part at a time.
    for (let more = true; more;) {
      const { tasks: part } = await scene.claim({ count: 50 })
      tasks.push(...part)
      more = part.length > 0
    }
    assert.equal(tasks.length, 50)
    assert.ok(tasks.every(({ alone, task }) => !alone && task.current_step === 'started'))
  },

  'twice in a row lets the task run alone': async scene => {
    const ids = await scene.enqueueMany(3, { attempts: 5 })
    await lose(scene, ids, 2)
    await scene.enqueueMany(3)
    const wish = scene.wish({ count: 10 })
    const { tasks: [first, ...none] } = await scene.store.claim(wish)
    assert.deepEqual(none, [], 'nothing is claimed with it')
    assert.deepEqual([first!.alone, first!.lostWorkers, first!.task.current_step], [true, { worker_id: 'victim-2', times: 2 }, 'started'])
    assert.deepEqual((await scene.store.claim(wish)).tasks, [first], 'asked again, the same')
    const { tasks: [second] } = await scene.claim({ worker_id: 'another', count: 10 })
    assert.equal(second!.alone, true)
    await scene.complete(first!)
    const { tasks: [third] } = await scene.claim({ count: 10 })
    assert.equal(third!.alone, true)
    assert.deepEqual([first, second, third].map(claimed => claimed!.task.task_id).sort(), ids.sort())
    await scene.complete(third!)
    assert.equal((await scene.claimIds({ count: 10 })).length, 3, 'then everything goes on as before')
  },

  'once lets the task run alone where it is its last attempt': async scene => {
    const ids = await scene.enqueueMany(2, { attempts: 2 })
    await lose(scene, ids, 1)
    const { tasks } = await scene.claim({ count: 10 })
    assert.deepEqual(tasks.map(({ alone }) => alone), [true])
  },

  'does not end others for ever: what ran beside the task that ends its process completes': async scene => {
    const poison = await scene.enqueue()
    const { task_id } = await scene.enqueue()
    const ended = new Map<string, string>()
    for (let i = 0; i < 10 && ended.size < 2; i++) {
      const { tasks, lost } = await scene.claim({ worker_id: `worker-${i}`, count: 2 })
      for (const task of lost) ended.set(task.task_id, task.status)
      if (idsOf(tasks).includes(poison.task_id)) scene.pass(LEASE)
      else for (const claimed of tasks) ended.set(claimed.task.task_id, (await scene.complete(claimed)).finished!.status)
    }
    assert.deepEqual(Object.fromEntries(ended), { [poison.task_id]: 'FAILED', [task_id]: 'COMPLETED' })
    assert.equal((await scene.read(poison.task_id)).error_code, 'CHARTS_ERR_WORKER_LOST')
  },

  'whose task must run alone is held back by a worker that runs others': async scene => {
    const [task_id] = await scene.enqueueMany(1)
    await lose(scene, [task_id!], 2)
    const { tasks: [held] } = await scene.claim({ beside: 1, count: 10 })
    const { status, current_step, attempt } = held!.task
    assert.deepEqual({ alone: held!.alone, status, current_step, attempt }, { alone: true, status: 'PROCESSING', current_step: 'queued', attempt: 3 })
    assert.deepEqual(await scene.store.progress([{ ...leaseOf(held!), progress: null, step: 'started', step_progress: {} }]), [true])
    assert.equal((await scene.read(task_id!)).current_step, 'started')
    scene.pass(LEASE)
    const { lost, expired } = await scene.claim()
    assert.deepEqual([idsOf(lost), expired.length], [[task_id], 1], 'what has begun has used up its attempt')
  },

  'whose task was held back still costs it no attempt': async scene => {
    const [task_id] = await scene.enqueueMany(1)
    await lose(scene, [task_id!], 2)
    const other = await scene.enqueue()
    for (let i = 0; i < 3; i++) {
      const { tasks: [held] } = await scene.claim({ beside: 1, count: 10 })
      assert.deepEqual([held!.task.task_id, held!.task.attempt, held!.lostWorkers?.times], [task_id, 3, 2])
      scene.pass(LEASE)
      const { expired, lost } = await scene.claim({ count: 0 })
      assert.deepEqual([expired, lost], [[], []])
    }
    assert.match(JSON.stringify((await scene.store.inspect(task_id!))!.attempts.at(-1)), /"outcome":"released"/)
    await scene.complete(await scene.claimOne())
    assert.deepEqual(await scene.claimIds({ count: 10 }), [other.task_id])
  },

  'is not the worker that hands its task back, nor the one whose attempt ends with an error': async scene => {
    const ids = await scene.enqueueMany(2, { attempts: 10 })
    for (let i = 0; i < 3; i++) {
      const { tasks } = await scene.claim({ count: 2 })
      assert.equal(tasks.length, 2, 'a restart makes no suspects')
      for (const claimed of tasks) await scene.release(claimed)
    }
    await lose(scene, ids, 1)
    const { tasks } = await scene.claim({ count: 2 })
    assert.equal(tasks.length, 2)
    await scene.release(tasks[0]!)
    await scene.fail(tasks[1]!, { delay: 0 })
    await lose(scene, ids, 1)
    const after = [await scene.claimOne(), await scene.claimOne()].map(({ task, alone, lostWorkers }) => [task.task_id, alone, lostWorkers!.times])
    assert.deepEqual(after.sort(), [[tasks[0]!.task.task_id, true, 2], [tasks[1]!.task.task_id, false, 1]].sort())
  },

  'lets its task wait for the tenant\'s cap like any other': async scene => {
    const ids = await scene.enqueueMany(1, { org_id: 'acme' })
    await lose(scene, ids, 2)
    const [other] = await scene.enqueueMany(1)
    await scene.enqueue({ org_id: 'acme', priority: 'high' })
    const capped = { runningPerTenant: 1, count: 10 }
    const { tasks: [alone] } = await scene.claim(capped)
    assert.deepEqual([alone!.task.task_id, alone!.alone], [ids[0], true])
    const second = await scene.claim({ ...capped, worker_id: 'another' })
    assert.deepEqual(idsOf(second.tasks), [other])
  }
})
