// A React hook over the client: give every component the same client, and the cards of a message share one connection.
import { useEffect, useState } from 'react'

const NOTHING = { task: null, chart: null, error: null }

/** A task as it is now, its chart once that is there, and what went wrong. Follows as long as the component is mounted. */
export function useChart (charts, task_id) {
  const [state, setState] = useState(NOTHING)

  useEffect(() => {
    const leaving = new AbortController()
    const { signal } = leaving
    const show = change => { if (!signal.aborted) setState(state => ({ ...state, ...change })) }

    async function follow () {
      for await (const task of charts.watch(task_id, { signal })) {
        show({ task })
        if (task.status === 'COMPLETED') show({ chart: await charts.result(task_id, { signal }) })
      }
    }

    setState(NOTHING)
    follow().catch(error => show({ error }))
    return () => leaving.abort()
  }, [charts, task_id])

  return state
}
