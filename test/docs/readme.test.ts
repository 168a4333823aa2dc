import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import t from 'tap'
import { followGuide } from '../helpers/guide.ts'
import { readPage, snippetsOf } from '../helpers/markdown.ts'
import { freePort } from '../helpers/ports.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'
import { root } from '../helpers/root.ts'
import { typeFaults } from '../helpers/type-faults.ts'

const noServer = await redisServerPath() === null && 'there is no redis-server'

t.test('a reader has two minutes', async t => {
  t.ok(readPage('README.md').split('\n').length <= 181)
})

t.test('the snippets are strict TypeScript too', async t => {
  const { folder, files } = await followGuide(t, 'README.md')
  t.same(files, ['server.js', 'worker.js', 'client.js'])
  const names = files.map(file => file.replace('.js', '.ts'))
  for (const [i, name] of names.entries()) await writeFile(join(folder, name), await readFile(join(folder, files[i]!)))
  t.same(await typeFaults(folder, names), [])
})

t.test('server, worker and page work together as they stand', { skip: noServer }, async t => {
  const { folder } = await followGuide(t, 'README.md')
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const port = await freePort()
  const run = async (file: string) => {
    // The places where the reader's Redis and server are.
    const text = (await readFile(join(folder, file), 'utf8'))
      .replace('new Redis()', `new Redis('${redis.url}')`).replace('port: 3000', `port: ${port}`).replace('localhost:3000', `localhost:${port}`)
    await writeFile(join(folder, file), text)
    const child = spawn(process.execPath, [...process.execArgv, file], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
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

  const client = await run('client.js')
  const said: string[] = []
  for await (const line of client.lines) said.push(line)
  t.ok(said.includes('PROCESSING 80 rendering'), said.join('; '))
  t.equal(said.at(-1), "{ spec: { mark: 'bar', title: 'Sales by region' } }")

  worker.child.kill('SIGTERM')
  t.same(await worker.exited, [0, null])
})

t.test('its commands stand as they are typed', async t => {
  const commands = snippetsOf(readPage('README.md')).filter(({ language }) => language === 'sh').flatMap(({ source }) => source.trim().split('\n'))
  for (const command of ['npm ci && npm run demo', 'npm ci && npm test', 'npm init -y && npm pkg set type=module']) t.ok(commands.includes(command), command)
})

t.test('its links lead somewhere from npm too, which has the package and not the repository', async t => {
  const { files } = JSON.parse(readPage('package.json')) as { files: string[] }
  const links = [...readPage('README.md').matchAll(/(?<!!\[[^\]]*)\]\(([^)#]+)/g)].map(([, target]) => target!).filter(target => !/^https?:/.test(target))
  t.same(links.filter(link => !files.some(file => link === file || link.startsWith(`${file}/`))), [])
})

t.test('its figures are those of the last full run', async t => {
  const rows = readPage('docs/reference/performance.md').split('\n').map(line => line.split('|').map(cell => cell.trim()))
  const rate = (scenario: string, column: number) => rows.find(([, name, unit]) => name === scenario && unit === 'tasks/s')?.[column]?.replace(/ \(.*/, '')
  const readme = readPage('README.md')
  for (const [row, scenarios] of Object.entries({
    'enqueue one by one / 100 in flight': ['enqueue, one after the other', 'enqueue, 100 in flight'],
    'process at concurrency 1 / 100': ['process, concurrency 1', 'process, concurrency 100']
  })) {
    const systems = [3, 4, 5].map(column => scenarios.map(scenario => rate(scenario, column)).join(' / '))
    t.ok(readme.includes(`| tasks/s: ${row} | ${systems.join(' | ')} |`), systems.join(' | '))
  }
})

t.test('what proves its promises is there', async t => {
  const proofs = [...readPage('README.md').matchAll(/^\| \*\*.+\| (`.+`) \|$/gm)].flatMap(([, cell]) => cell!.split(', '))
  t.ok(proofs.length > 8)
  for (const proof of proofs) {
    const path = `test/${proof.replaceAll('`', '')}`
    t.ok(existsSync(new URL(path, root)) || existsSync(new URL(`${path}.test.ts`, root)), path)
  }
})
