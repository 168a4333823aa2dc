import { asyncCharts } from './async-charts.ts'
import { beeQueue } from './bee-queue.ts'
import { bullmq } from './bullmq.ts'
import type { QueueSystem } from './system.ts'

export const OURS = 'this package'
export const REFERENCE = 'BullMQ'

export const systems = { [OURS]: asyncCharts, [REFERENCE]: bullmq, 'Bee-Queue': beeQueue } satisfies Record<string, QueueSystem>
export type SystemName = keyof typeof systems
export const SYSTEM_NAMES = Object.keys(systems) as SystemName[]
