/**
 * A node of a page: text, or an element. The server serializes it to HTML with all text escaped; the script creates text nodes from it.
 * Text is never parsed as HTML, so nothing that a user or a generator wrote becomes markup.
 */
export type Node = string | Element
export type Element = readonly [tag: string, attributes: Readonly<Record<string, string>>, ...children: Node[]]

/** A child or an attribute that is left out, for conditions in place. */
type Absent = null | undefined | false
export type Child = Node | number | Absent | readonly Child[]

function nodesOf (children: readonly Child[]): Node[] {
  return children.flatMap(child => {
    if (child === null || child === undefined || child === false) return []
    if (typeof child === 'number') return [String(child)]
    return isList(child) ? nodesOf(child) : [child]
  })
}

/** Tells a list of children from an element, whose second item is the object with its attributes. */
function isList (child: Exclude<Child, number | Absent>): child is readonly Child[] {
  if (typeof child === 'string') return false
  const [, second] = child as readonly unknown[]
  return typeof second !== 'object' || second === null || Array.isArray(second)
}

/** Creates an element. Tag and attribute names must be literals of this package; values and texts may come from anywhere. */
export function h (tag: string, attributes: Readonly<Record<string, string | number | true | Absent>> = {}, ...children: readonly Child[]): Element {
  const given: Record<string, string> = {}
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) given[name] = value === true ? '' : String(value)
  }
  return [tag, given, ...nodesOf(children)]
}

const ESCAPED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escaped = (text: string) => text.replace(/[&<>"']/g, character => ESCAPED[character]!)

/** Elements without an end tag. */
const VOID = new Set(['br', 'hr', 'input', 'link', 'meta'])

/** Serializes a node to HTML. */
export function toHtml (node: Node): string {
  if (typeof node === 'string') return escaped(node)
  const [tag, attributes, ...children] = node
  const written = Object.entries(attributes).map(([name, value]) => ` ${name}="${escaped(value)}"`).join('')
  const opened = `<${tag}${written}>`
  return VOID.has(tag) ? opened : `${opened}${children.map(toHtml).join('')}</${tag}>`
}
