/** Maximum number of calls at once: more would delay everything else on their connection. */
const MAX_AT_ONCE = 4

/** The results of `call` for all items, in their order. Calls a few at a time. */
export async function aFewAtATime<T, R> (items: readonly T[], call: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let i = 0; i < items.length; i += MAX_AT_ONCE) results.push(...await Promise.all(items.slice(i, i + MAX_AT_ONCE).map(call)))
  return results
}
