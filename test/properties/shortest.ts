/** A sequence that still fails, and none of whose parts could be left out: found by leaving out ever smaller ones. */
export async function shortest<T> (list: readonly T[], fails: (list: readonly T[]) => Promise<boolean>): Promise<T[]> {
  let best = [...list]
  for (let size = best.length >> 1; size > 0;) {
    const before = best.length
    for (let at = best.length - size; at >= 0; at -= size) {
      const rest = best.toSpliced(at, size)
      if (await fails(rest)) best = rest
    }
    // A part that could not go may go now that another has gone.
    if (size > 1 || best.length === before) size >>= 1
  }
  return best
}
