import type { ChartTask } from '../task.ts'

/** Each task before those that it needs: cancelled in this order, a part at a time, none fails for another of them. */
export function dependentsFirst (tasks: readonly Pick<ChartTask, 'task_id' | 'depends_on'>[]): string[] {
  const byId = new Map(tasks.map(task => [task.task_id, task]))
  const needsFirst = new Set<string>()
  const visit = ({ task_id, depends_on }: Pick<ChartTask, 'task_id' | 'depends_on'>) => {
    if (!byId.delete(task_id)) return
    for (const need of depends_on) if (byId.has(need)) visit(byId.get(need)!)
    needsFirst.add(task_id)
  }
  tasks.forEach(visit)
  return [...needsFirst].reverse()
}
