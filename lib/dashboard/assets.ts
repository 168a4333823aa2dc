import { assets } from './assets.generated.ts'

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8'
}

export type AssetName = keyof typeof assets

/** Path of an asset below the root. It contains a hash of the content, so browsers may cache it for good. */
export const assetPath = (name: AssetName): string => `assets/${assets[name].hash}-${name}`

/** Finds an asset by its file name. With a hash of another package version (a rolling upgrade) it finds the current content. */
export function findAsset (file: string): { type: string, content: string, isCurrent: boolean } | null {
  const name = /^[\w-]{8}-([\w.]+)$/.exec(file)?.[1]
  if (name === undefined || !Object.hasOwn(assets, name)) return null
  const { content } = assets[name as AssetName]
  return { type: TYPES[name.slice(name.lastIndexOf('.') + 1)]!, content, isCurrent: assetPath(name as AssetName) === `assets/${file}` }
}
