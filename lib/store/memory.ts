import type { TaskStore } from './task-store.ts'
export function memoryStore (): TaskStore { throw new Error('not yet') }
