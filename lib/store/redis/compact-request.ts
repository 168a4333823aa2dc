import type { TaskDraft } from '../task-store.ts'

/** Maximum bytes of a request that is compacted. Longer ones have a key of their own, where they are kept as they are. */
const MAX_BYTES = 1024
/** How a compacted request begins: its task_id, and a letter for each of the `MEMBERS` that it has. `COMPACT` in start.lua is the same. */
const COMPACT = /^([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})([fnoptu]*)[,}]/i

/** Members of most requests, in the order in which they follow `org_id`; each is stored as one letter. */
const MEMBERS: ReadonlyArray<readonly [letter: string, text: string]> = [
  ['p', ',"visibility":"PRIVATE"'],
  ['o', ',"visibility":"ORGANIZATION"'],
  ['u', ',"visibility":"PUBLIC"'],
  ['f', ',"force_create":false'],
  ['t', ',"force_create":true'],
  ['n', ',"adjustment_query":null']
]
const MEMBER_OF = new Map(MEMBERS)

/** What is stored of a task beside its request. */
type Known = Pick<TaskDraft, 'message_id' | 'user_id' | 'tenant'>

/** How a request begins whose first members say what is known anyway. */
function beginning (task_id: string, { message_id, user_id, tenant }: Known): string {
  const org_id = tenant.startsWith('org:') ? JSON.stringify(tenant.slice(4)) : 'null'
  return `{"task_id":"${task_id}","message_id":"${message_id}","user_id":${JSON.stringify(user_id)},"org_id":${org_id}`
}

/**
 * A request as it is stored: the task_id, a letter for each of the `MEMBERS` that it has, and the rest of its JSON. That is some 150 bytes less
 * in every record, which scripts read and write several times. A request that begins otherwise, or is long, stays as it is.
 */
export function compactRequest (draft: TaskDraft): string {
  const { task_id, request } = draft
  const start = beginning(task_id, draft)
  if (!request.startsWith(start) || Buffer.byteLength(request) > MAX_BYTES) return request
  let letters = ''
  let at = start.length
  for (const [letter, text] of MEMBERS) {
    if (!request.startsWith(text, at)) continue
    letters += letter
    at += text.length
  }
  const compacted = task_id + letters + request.slice(at)
  return COMPACT.test(compacted) ? compacted : request
}

/** The request that was stored, byte for byte. */
export function expandRequest (stored: string, known: Known): string {
  const compacted = COMPACT.exec(stored)
  if (!compacted) return stored
  const [, task_id, letters] = compacted as unknown as [string, string, string]
  let request = beginning(task_id, known)
  for (const letter of letters) request += MEMBER_OF.get(letter)!
  return request + stored.slice(task_id.length + letters.length)
}
