import fc from 'fast-check'
import { test } from 'tap'
import { compactRequest, expandRequest } from '../../lib/store/redis/compact-request.ts'
import type { TaskDraft } from '../../lib/store/task-store.ts'

type Known = Pick<TaskDraft, 'task_id' | 'message_id' | 'user_id' | 'tenant'>

const compact = (known: Known, request: string) => compactRequest({ ...known, request } as TaskDraft)
const task_id = '0b5c3f4e-8a37-4a52-9d2a-5f1f3c1d2e4f'
const message_id = '6f1c2d3e-1111-4222-8333-444455556666'

test('a request is stored without what its terms say, and read byte for byte', async t => {
  const known = { task_id, message_id, user_id: 'ada', tenant: 'org:acme' }
  const request = JSON.stringify({ task_id, message_id, user_id: 'ada', org_id: 'acme', visibility: 'ORGANIZATION', force_create: true, adjustment_query: null, params: { rows: [1, 2] } })
  const stored = compact(known, request)
  t.equal(stored, `${task_id}otn,"params":{"rows":[1,2]}}`)
  t.equal(expandRequest(stored, known), request)
})

test('whatever a request has, it is read byte for byte', async t => {
  const word = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.constantFrom('ada', 'org:', '"', '\\', '😀', '\u0000'))
  const requests = fc.record({
    user_id: word,
    org_id: fc.option(word),
    visibility: fc.constantFrom('PRIVATE', 'ORGANIZATION', 'PUBLIC'),
    force_create: fc.boolean(),
    adjustment_query: fc.option(fc.string({ unit: 'binary', maxLength: 1_200 })),
    params: fc.option(fc.jsonValue(), { nil: undefined })
  })
  fc.assert(fc.property(requests, fc.uuid(), fc.uuid(), fc.constantFrom('', ' ', '\n', '{'), (fields, task_id, message_id, before) => {
    const { user_id, org_id } = fields
    const known = { task_id, message_id, user_id, tenant: org_id === null ? `user:${user_id}` : `org:${org_id}` }
    for (const ids of [{ task_id, message_id }, { message_id, task_id }, { task_id, message_id: message_id.toUpperCase() }]) {
      const request = before + JSON.stringify({ ...ids, ...fields })
      t.equal(expandRequest(compact(known, request), known), request)
    }
  }), { numRuns: 100 })
})

test('what begins otherwise, or is long, stays as it is', async t => {
  const known = { task_id, message_id, user_id: 'ada', tenant: 'user:ada' }
  const request = JSON.stringify({ task_id, message_id, user_id: 'ada', org_id: null, visibility: 'PRIVATE', force_create: false, adjustment_query: 'x'.repeat(700) })
  t.not(compact(known, request), request)
  for (const other of [request.replace('x', 'x'.repeat(400)), request.replace('{', '{ '), request.replace('ada', 'bob'), request.replace('null', '"acme"')]) t.equal(compact(known, other), other)
  const odd = { ...known, task_id: 'not a UUID' }
  t.equal(compact(odd, request.replace(task_id, odd.task_id)), request.replace(task_id, odd.task_id))
})

test('damage to a stored request never becomes another one', async t => {
  const known = { task_id, message_id, user_id: 'ada', tenant: 'user:ada' }
  const stored = compact(known, JSON.stringify({ task_id, message_id, user_id: 'ada', org_id: null, visibility: 'PRIVATE', force_create: true, adjustment_query: null, params: 1 }))
  const shorter = Array.from(stored, (_, length) => stored.slice(0, length))
  for (const damaged of [...shorter, 'junk', `${task_id}z,"params":1}`, `${task_id}ptn`, `${task_id.slice(1)}ptn}`]) {
    let read
    try {
      read = JSON.parse(expandRequest(damaged, known))
    } catch {}
    t.not(typeof read, 'object', damaged)
  }
})
