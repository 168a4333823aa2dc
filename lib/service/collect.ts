/** All items of an iteration over slices. */
export async function collect<T> (slices: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = []
  for await (const slice of slices) all.push(...slice)
  return all
}
