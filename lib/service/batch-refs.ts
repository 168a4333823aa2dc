import { randomUUID } from 'node:crypto'
import { errors } from '../errors.ts'
import { Uuid, type BatchedChartRequest } from '../task.ts'

const UUID = new RegExp(Uuid.pattern!)

/**
 * Chooses the task_ids of a batch. `ids`: by request and by ref. `refs`: the refs by task_id.
 * @throws CHARTS_ERR_INVALID_REQUEST for a ref that is used twice or is unknown, and for dependencies in a circle
 */
export function resolveRefs (requests: readonly BatchedChartRequest[]) {
  const ids = new Map<BatchedChartRequest | string, string>()
  const refs = new Map<string, string>()
  const byRef = new Map<string, BatchedChartRequest>()
  for (const request of requests) {
    const task_id = randomUUID()
    ids.set(request, task_id)
    if (request.ref === undefined) continue
    if (byRef.has(request.ref)) throw new errors.CHARTS_ERR_INVALID_REQUEST(`ref ${request.ref} is used twice`)
    byRef.set(request.ref, request)
    ids.set(request.ref, task_id)
    refs.set(task_id, request.ref)
  }
  const done = new Set<BatchedChartRequest>()
  const visit = (request: BatchedChartRequest, path: readonly string[]): void => {
    if (done.has(request)) return
    for (const name of request.depends_on ?? []) {
      if (path.includes(name)) {
        const circle = [...path.slice(path.indexOf(name)), name].join(' → ')
        throw new errors.CHARTS_ERR_INVALID_REQUEST(`tasks must not need each other in a circle: ${circle}`)
      }
      const dependency = byRef.get(name)
      if (dependency) visit(dependency, [...path, name])
      else if (!UUID.test(name)) throw new errors.CHARTS_ERR_INVALID_REQUEST(`depends_on names ${name}, which is no ref of this batch and no task_id`)
    }
    done.add(request)
  }
  for (const request of requests) visit(request, request.ref === undefined ? [] : [request.ref])
  return { ids, refs }
}
