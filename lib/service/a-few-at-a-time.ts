/** Contents that are asked for at once: more of them would hold up everything else on their connection. */
const AT_ONCE = 4

/** What `ask` answers for each, in their order, a few at a time. */
export async function aFewAtATime<T, R> (items: readonly T[], ask: (item: T) => Promise<R>): Promise<R[]> {
  const answers: R[] = []
  for (let i = 0; i < items.length; i += AT_ONCE) answers.push(...await Promise.all(items.slice(i, i + AT_ONCE).map(ask)))
  return answers
}
