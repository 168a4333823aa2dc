// Creates nodes from the trees of the server (tree.ts), and patches the page with them. Texts are set as text nodes, never parsed as HTML.

const SVG = 'http://www.w3.org/2000/svg'

export function build (node, namespace) {
  if (typeof node === 'string') return document.createTextNode(node)
  const [tag, attributes, ...children] = node
  const element = namespace === SVG || tag === 'svg' ? document.createElementNS(SVG, tag) : document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children.map(child => build(child, element.namespaceURI)))
  return element
}

const keyOf = child => child.dataset?.key
const isSame = (child, node) => typeof node === 'string'
  ? child.nodeType === window.Node.TEXT_NODE
  : child.nodeType === window.Node.ELEMENT_NODE && child.localName === node[0] && keyOf(child) === node[1]['data-key']

/** Children with the same key, or the same tag at the same place, are kept: with their focus, selection and scroll position. */
export function patch (parent, nodes) {
  const keys = new Set(nodes.map(node => node[1]?.['data-key']))
  const keyed = new Map()
  for (const child of [...parent.children]) {
    const key = keyOf(child)
    if (key === undefined) continue
    if (keys.has(key)) keyed.set(key, child)
    else child.remove()
  }
  let next = parent.firstChild
  for (const node of nodes) {
    const known = typeof node === 'string' ? undefined : keyed.get(node[1]['data-key'])
    const child = [known, next].find(candidate => candidate && isSame(candidate, node))
    if (child === undefined) {
      parent.insertBefore(build(node, parent.namespaceURI), next)
      continue
    }
    if (child !== next) move(parent, child, next)
    else next = next.nextSibling
    if (typeof node !== 'string') update(child, node)
    else if (child.data !== node) child.data = node
  }
  while (next) {
    const gone = next
    next = next.nextSibling
    gone.remove()
  }
}

/** `moveBefore` keeps the focus; `insertBefore` removes the node for a moment and loses it. */
function move (parent, child, next) {
  if (parent.moveBefore) parent.moveBefore(child, next)
  else parent.insertBefore(child, next)
}

function update (element, [, attributes, ...children]) {
  // The script or the user owns this part: a form, a checkbox, a plot.
  if (element.hasAttribute('data-own')) return
  for (const { name } of [...element.attributes]) {
    // The user opens and closes `details`; times.js sets the titles of times.
    if (!(name in attributes) && name !== 'open' && name !== 'title') element.removeAttribute(name)
  }
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value)
  }
  if (!('time' in element.dataset)) patch(element, children)
}
