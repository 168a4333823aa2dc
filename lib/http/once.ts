/** Makes something of an object once, however many readers there are. */
export function once<K extends object, T> (make: (key: K) => T): (key: K) => T {
  const made = new WeakMap<K, T>()
  return key => {
    let value = made.get(key)
    if (value === undefined) {
      value = make(key)
      made.set(key, value)
    }
    return value
  }
}
