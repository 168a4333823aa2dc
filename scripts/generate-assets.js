// Writes the assets of the dashboard into a TypeScript module: reading files at run time breaks under bundlers.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const browser = new URL('../lib/dashboard/browser/', import.meta.url)
const target = new URL('../lib/dashboard/assets.generated.ts', import.meta.url)
const uplot = new URL('../node_modules/uplot/', import.meta.url)

const read = url => readFileSync(url, 'utf8')

async function bundled (entry, loader = {}) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(entry, browser))],
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['chrome120', 'firefox121', 'safari17'],
    legalComments: 'none',
    write: false,
    ...loader
  })
  return outputFiles[0].text
}

/** The licence of uPlot, in front of its code. */
const licence = `/* uPlot ${JSON.parse(read(new URL('package.json', uplot))).version}\n${read(new URL('LICENSE', uplot)).trim()}\n*/\n`

const contents = {
  'dashboard.js': await bundled('main.js'),
  'plots.js': licence + await bundled('plots.js'),
  'style.css': await bundled('style.css') + licence + await bundled('../../../node_modules/uplot/dist/uPlot.min.css'),
  'icon.svg': read(new URL('icon.svg', browser)).trim()
}

const entries = Object.entries(contents).map(([name, content]) => {
  const hash = createHash('sha256').update(content).digest('base64url').slice(0, 8)
  return `  '${name}': {\n    hash: '${hash}',\n    content: ${JSON.stringify(content).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')}\n  }`
})
const generated = `// Generated from browser/ and uPlot by scripts/generate-assets.js (npm run assets): change those, not this.

/** The assets of the pages by name. */
export const assets: Readonly<Record<${Object.keys(contents).map(name => `'${name}'`).join(' | ')}, { readonly hash: string, readonly content: string }>> = {
${entries.join(',\n')}
}
`

if (!process.argv.includes('--check')) {
  writeFileSync(target, generated)
} else if (read(target) !== generated) {
  console.error('lib/dashboard/assets.generated.ts is stale: npm run assets')
  process.exitCode = 1
}
