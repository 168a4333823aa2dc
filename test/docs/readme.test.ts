import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { EventSource } from 'eventsource'
import t from 'tap'
import { followGuide } from '../helpers/guide.ts'
import { readPage, snippetsOf } from '../helpers/markdown.ts'
import { freePort } from '../helpers/ports.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'
import { typeFaults } from '../helpers/type-faults.ts'

const noServer = await redisServerPath() === null && 'there is no redis-server'

t.test('a reader has two minutes', async t => {
  t.ok(readPage('README.md').split('\n').length <= 181)
})

t.test('the snippets are strict TypeScript too', async t => {
  const { folder, files } = await followGuide(t, 'README.md')
  t.same(files, ['server.js', 'worker.js', 'browser.js'])
  const names = files.map(file => file.replace('.js', '.ts'))
  for (const [i, name] of names.entries()) await writeFile(join(folder, name), await readFile(join(folder, files[i]!)))
  t.same(await typeFaults(folder, names), [])
})

t.test('server, worker and page work together as they stand', { skip: noServer }, async t => {
  const { folder } = await followGuide(t, 'README.md')
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const port = await freePort()
  const origin = `http://localhost:${port}`
  const run = async (file: string) => {
    // The places where the reader's Redis and server are.
    const text = (await readFile(join(folder, file), 'utf8'))
      .replace('new Redis()', `new Redis('${redis.url}')`).replace('port: 3000', `port: ${port}`)
    await writeFile(join(folder, file), text)
    const child = spawn(process.execPath, [file], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
    const exited = once(child, 'exit')
    t.teardown(async () => {
      child.kill('SIGKILL')
      await exited
    })
    return { lines: createInterface({ input: child.stdout }), child, exited }
  }
  const server = await run('server.js')
  const worker = await run('worker.js')
  for await (const line of server.lines) if (line.includes('Server listening')) break

  const said: unknown[][] = []
  const done = new Promise<void>(resolve => {
    const page = {
      fetch: (url: string, init?: RequestInit) => fetch(new URL(url, origin), init),
      EventSource: class extends EventSource {
        constructor (url: string) { super(new URL(url, origin)) }
      },
      console: {
        log (...words: unknown[]) {
          said.push(words)
          if (words.length === 1) resolve()
        }
      }
    }
    readFile(join(folder, 'browser.js'), 'utf8').then(source => {
      const AsyncFunction = (async () => {}).constructor as new (...source: string[]) => (...values: unknown[]) => Promise<void>
      return new AsyncFunction(...Object.keys(page), source)(...Object.values(page))
    })
  })
  await done
  t.ok(said.some(([status, progress, step]) => status === 'PROCESSING' && progress === 80 && step === 'rendering'))
  t.same(said.at(-1), [{ spec: { mark: 'bar', title: null } }])

  worker.child.kill('SIGTERM')
  t.same(await worker.exited, [0, null])
})

t.test('its commands stand as they are typed', async t => {
  const commands = snippetsOf(readPage('README.md')).filter(({ language }) => language === 'sh').flatMap(({ source }) => source.trim().split('\n'))
  for (const command of ['npm ci && npm run demo', 'npm ci && npm test', 'npm init -y && npm pkg set type=module']) t.ok(commands.includes(command), command)
})

t.test('its links lead somewhere from npm too, which has the package and not the repository', async t => {
  const { files } = JSON.parse(readPage('package.json')) as { files: string[] }
  const links = [...readPage('README.md').matchAll(/\]\(([^)#]+)/g)].map(([, target]) => target!).filter(target => !/^https?:/.test(target))
  t.same(links.filter(link => !files.some(file => link === file || link.startsWith(`${file}/`))), [])
})
