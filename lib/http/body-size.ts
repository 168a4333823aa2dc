/**
 * Objects, lists and members (names with a value) that a body may have. Each costs a hundred times what its bytes cost to read:
 * six megabytes of empty objects keep a process busy for seconds. Plain values are cheap, and not counted.
 */
export const MAX_PARTS = 50_000

const QUOTE = 0x22
const COLON = 0x3a
const BACKSLASH = 0x5c
const LIST = 0x5b
const OBJECT = 0x7b

/** Whether a JSON text has more parts than `MAX_PARTS`, found without parsing it. Of what is no JSON it says anything. */
export function isTooManifold (json: string): boolean {
  // The smallest part is a bracket with its counterpart.
  if (json.length <= 2 * MAX_PARTS) return false
  let parts = 0
  for (let i = 0; i < json.length && parts <= MAX_PARTS; i++) {
    const char = json.charCodeAt(i)
    if (char === QUOTE) i = endOfString(json, i)
    else if (char === OBJECT || char === LIST || char === COLON) parts++
  }
  return parts > MAX_PARTS
}

/** Where a string ends that begins at `start`. */
function endOfString (json: string, start: number): number {
  for (let i = start + 1; i < json.length; i++) {
    const char = json.charCodeAt(i)
    if (char === QUOTE) return i
    if (char === BACKSLASH) i++
  }
  return json.length
}
