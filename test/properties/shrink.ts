/** Shortens a sequence that fails: leaves out parts, ever smaller ones, as long as the rest still fails. */
export async function shrink<T> (list: readonly T[], fails: (list: readonly T[]) => Promise<boolean>): Promise<T[]> {
  let best = [...list]
  for (let size = best.length >> 1; size > 0;) {
    const before = best.length
    for (let at = best.length - size; at >= 0; at -= size) {
      const rest = best.toSpliced(at, size)
      if (await fails(rest)) best = rest
    }
    // A part that was needed before may not be needed without the parts left out since.
    if (size > 1 || best.length === before) size >>= 1
  }
  return best
}
