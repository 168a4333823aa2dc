import { createHash } from 'node:crypto'
import type { PublicChartTask } from '../task.ts'

/**
 * A weak ETag of a task (RFC 9110) that begins with its version. The queue position is part of it, so that a browser does not show an
 * old position from its cache. The estimate is not: it changes with every read.
 */
export function etagOf ({ estimated_completion: _, ...shown }: PublicChartTask): string {
  return `W/"${shown.version}.${createHash('sha1').update(JSON.stringify(shown)).digest('base64url')}"`
}

/** The tag without the mark of a weak one: GET compares weakly (RFC 9110). */
const withoutWeakness = (etag: string): string => etag.trim().replace(/^W\//, '')
const tagsOf = (ifNoneMatch: string): string[] => ifNoneMatch.split(',').map(withoutWeakness)

/** Whether an `If-None-Match` header contains the ETag. */
export function matchesEtag (ifNoneMatch: string, etag: string): boolean {
  return ifNoneMatch.trim() === '*' || tagsOf(ifNoneMatch).includes(withoutWeakness(etag))
}

/** The ETag of an `If-None-Match` header that belongs to this version of the task, at whatever queue position; null if there is none. */
export function etagOfVersion (ifNoneMatch: string, task: PublicChartTask): string | null {
  if (ifNoneMatch.trim() === '*') return etagOf(task)
  const tag = tagsOf(ifNoneMatch).find(candidate => candidate.startsWith(`"${task.version}.`))
  return tag === undefined ? null : `W/${tag}`
}
