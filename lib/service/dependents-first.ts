import type { ChartTask } from '../task.ts'

/**
 * The ids of the tasks, each before those that it depends on. Tasks that are cancelled in this order, a part at a time, are CANCELLED: none
 * of them is FAILED because another one was cancelled before it.
 */
export function dependentsFirst (tasks: readonly Pick<ChartTask, 'task_id' | 'depends_on'>[]): string[] {
  const unvisited = new Map(tasks.map(task => [task.task_id, task]))
  const dependenciesFirst = new Set<string>()
  const visit = ({ task_id, depends_on }: Pick<ChartTask, 'task_id' | 'depends_on'>) => {
    if (!unvisited.delete(task_id)) return
    for (const dependency of depends_on) if (unvisited.has(dependency)) visit(unvisited.get(dependency)!)
    dependenciesFirst.add(task_id)
  }
  tasks.forEach(visit)
  return [...dependenciesFirst].reverse()
}
