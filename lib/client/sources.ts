/** A message or batch, which one connection watches. Its paths are below `charts/`. */
export interface Source {
  readonly stream: string
  /** Path of its list of tasks. */
  readonly list: string
}

export const messageSource = (id: string): Source => ({ stream: `stream/by-message/${id}`, list: `by-message/${id}?content=false&limit=100` })
export const batchSource = (id: string): Source => ({ stream: `stream/batch/${id}`, list: `async/batch/${id}` })

/** COMPLETED, FAILED or CANCELLED. */
export const isFinished = (task: { readonly completed_at: string | null } | undefined): boolean => !!task?.completed_at
