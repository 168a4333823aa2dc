// TanStack Query over the client: tasks and charts are in its cache, and the client follows them.
import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'

/** The client repeats what may succeed later, and waits while there is no network. TanStack Query leaves that to it. */
const BY_CLIENT = { retry: false, networkMode: 'always' }

const keys = {
  message: message_id => ['charts', 'message', message_id],
  task: task_id => ['charts', 'task', task_id],
  result: task_id => ['charts', 'result', task_id]
}

/** What there is of a message: `charts`, `active_tasks`, `failed_tasks`. */
export const messageQuery = (charts, message_id) => queryOptions({
  ...BY_CLIENT,
  queryKey: keys.message(message_id),
  queryFn: ({ signal }) => charts.byMessage(message_id, { signal })
})

/** A task as it is now. Fetching goes on until the task has ended, and each state is in the cache as it comes. */
export const taskQuery = (charts, task_id) => queryOptions({
  ...BY_CLIENT,
  queryKey: keys.task(task_id),
  async queryFn ({ client, queryKey, signal }) {
    let latest
    for await (latest of charts.watch(task_id, { signal })) client.setQueryData(queryKey, latest)
    // A watch ends quietly when the last component that shows the task is gone.
    signal.throwIfAborted()
    return latest
  },
  // What has ended does not change.
  staleTime: ({ state }) => state.data?.completed_at ? Infinity : 0
})

/** A finished chart. */
export const resultQuery = (charts, task_id) => queryOptions({
  ...BY_CLIENT,
  queryKey: keys.result(task_id),
  queryFn: ({ signal }) => charts.result(task_id, { signal }),
  staleTime: Infinity
})

/** A task, its chart once that is there, and what went wrong. */
export function useChart (charts, task_id) {
  const task = useQuery(taskQuery(charts, task_id))
  const result = useQuery({ ...resultQuery(charts, task_id), enabled: task.data?.status === 'COMPLETED' })
  return { task: task.data, chart: result.data, error: task.error ?? result.error }
}

/** Asks for a chart: `mutate({ message_id, … })`. Its task is in the cache at once, and in the list of its message. */
export function useCreateChart (charts) {
  const client = useQueryClient()
  return useMutation({
    ...BY_CLIENT,
    mutationFn: body => charts.create(body),
    onSuccess (task) {
      client.setQueryData(keys.task(task.task_id), task)
      return client.invalidateQueries({ queryKey: keys.message(task.message_id) })
    }
  })
}

/** Cancels a task: `mutate(task_id)`. */
export function useCancelChart (charts) {
  const client = useQueryClient()
  return useMutation({
    ...BY_CLIENT,
    mutationFn: task_id => charts.cancel(task_id),
    onSuccess: task => client.setQueryData(keys.task(task.task_id), task)
  })
}
