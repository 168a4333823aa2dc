/** Computes a value once per object, and keeps it as long as the object lives. */
export function memoize<K extends object, T> (compute: (key: K) => T): (key: K) => T {
  const values = new WeakMap<K, T>()
  return key => {
    let value = values.get(key)
    if (value === undefined) {
      value = compute(key)
      values.set(key, value)
    }
    return value
  }
}
