import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import t from 'tap'
import { root } from '../helpers/root.ts'

const MAX_BYTES = 5_000

t.test('the client is small, its parser included, and brings nothing of the server along', async t => {
  const { outputFiles, metafile } = await build({
    entryPoints: [fileURLToPath(new URL('dist/lib/client/index.js', root))],
    absWorkingDir: fileURLToPath(root),
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    metafile: true,
    write: false
  })
  const bytes = gzipSync(outputFiles[0]!.contents, { level: 9 }).length
  console.log(`the client: ${bytes} bytes, minified and gzipped`)
  t.ok(bytes <= MAX_BYTES, `${bytes} of ${MAX_BYTES} bytes`)
  t.same(Object.keys(metafile.inputs).filter(file => !/^dist\/lib\/client\/|\/eventsource-parser\//.test(file)), [])
})
