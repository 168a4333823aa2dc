import type { ChartQueueService } from '../chart-queue-service.ts'
import type { Operation } from '../http/access.ts'
import type { Child } from './tree.ts'

export const SECTIONS = { overview: '', tasks: 'tasks', workers: 'workers', failures: 'failures' } as const
export type Section = keyof typeof SECTIONS

/** What a page depends on of the request: its place and its permissions. */
export interface Viewer {
  /** Relative path from the page to the root of the dashboard. All links begin with it. */
  readonly root: string
  /** Whether the host's `authorize` and `readOnly` allow an operation. */
  readonly may: (operation: Operation) => boolean
}

/** A page, without the frame around it. */
export interface Page {
  readonly title: string
  /** ms between two polls; 0: poll only when the page becomes visible. */
  readonly every: number
  readonly content: readonly Child[]
}

/** Where a page reads its data. */
export interface Source {
  readonly service: ChartQueueService
  /** Runs a read within the time budget of the request. @throws CHARTS_ERR_STORE_UNAVAILABLE */
  readonly read: <T>(work: () => Promise<T>) => Promise<T>
}
