import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Redis, type Cluster } from 'ioredis'
import { generate as certify } from 'selfsigned'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { ChartQueueService, runWorker } from '../../lib/index.ts'
import { followGuide } from '../helpers/guide.ts'
import { readPage } from '../helpers/markdown.ts'
import { freePort } from '../helpers/ports.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { redisServerPath, startCluster, startRedis } from '../helpers/redis.ts'
import { root } from '../helpers/root.ts'

const noServer = await redisServerPath() === null && 'there is no redis-server'
const DEPLOY = 'examples/deploy'
/** ms between the end of `shutdownTimeout` and the end of a worker. */
const DRAIN_GRACE_MS = 2_000

const read = (file: string) => readPage(`${DEPLOY}/${file}`)
const manifests = (file: string) => parseAllDocuments(read(`kubernetes/${file}.yaml`)).map(document => document.toJSON())
const ofKind = (all: any[], kind: string) => all.find(manifest => manifest.kind === kind)
const [web, worker, keda] = [manifests('web'), manifests('worker'), manifests('keda')]
const podOf = (all: any[]) => ofKind(all, 'Deployment').spec.template.spec
const containerOf = (all: any[]) => podOf(all).containers[0]
const sources = Object.fromEntries(['server.js', 'worker.js', 'settings.js'].map(file => [file, read(file)]))
const compose = parse(read('compose.yaml'))

const { folder } = await followGuide(t, 'docs/guides/deployment.md')
await cp(fileURLToPath(new URL(DEPLOY, root)), folder, { recursive: true })
const snippet = (file: string) => import(pathToFileURL(join(folder, file)).href)

/** Said by a busy machine: not of the files, and it passes. */
const PASSING = ['the store does not answer yet', 'the store does not answer, trying again']

/** ms of `35s`. */
const ms = (duration: string) => Number(/^(\d+)s$/.exec(duration)![1]) * 1_000
const shutdownTimeout = Number(/SHUTDOWN_TIMEOUT \?\? ([\d_]+)/.exec(sources['settings.js']!)![1]!.replaceAll('_', ''))

t.test('Kubernetes: what selects and names something finds it', async t => {
  for (const all of [web, worker]) {
    const { metadata, spec } = ofKind(all, 'Deployment')
    t.same(spec.selector.matchLabels, spec.template.metadata.labels)
    t.same(ofKind(all, 'PodDisruptionBudget').spec.selector.matchLabels, spec.selector.matchLabels)
    t.equal(metadata.name, spec.selector.matchLabels.app)
    const { ports, livenessProbe, readinessProbe, command, env } = containerOf(all)
    t.equal(command[0], 'node')
    const source = sources[command[1]]!
    t.ok(source, `${command[1]} exists`)
    for (const { httpGet } of [livenessProbe, readinessProbe]) {
      t.ok(ports.some(({ name }: { name: string }) => name === httpGet.port), httpGet.port)
      t.ok(source.includes(`'${httpGet.path}'`), `${command[1]} answers ${httpGet.path}`)
    }
    t.equal(ports[0].containerPort, Number(/PORT \?\? (\d+)/.exec(sources['settings.js']!)![1]))
    for (const { name } of env) t.ok(sources['settings.js']!.includes(`env.${name}`), `${name} is a setting`)
  }
  const [{ targetPort }] = ofKind(web, 'Service').spec.ports
  t.equal(targetPort, containerOf(web).ports[0].name)
  t.same(ofKind(web, 'Service').spec.selector, ofKind(web, 'Deployment').spec.selector.matchLabels)
  t.equal(containerOf(web).image, containerOf(worker).image, 'one image')
})

t.test('Kubernetes: a drain has the time that it needs', async t => {
  const grace = podOf(worker).terminationGracePeriodSeconds * 1_000
  const own = Number(containerOf(worker).env.find(({ name }: { name: string }) => name === 'SHUTDOWN_TIMEOUT').value)
  t.equal(own, shutdownTimeout)
  t.ok(grace > own + DRAIN_GRACE_MS, `${grace}`)
  const [, pause] = containerOf(web).lifecycle.preStop.exec.command
  t.ok(podOf(web).terminationGracePeriodSeconds > Number(pause) + DRAIN_GRACE_MS / 1_000)
})

t.test('KEDA: as many workers as slots are needed', async t => {
  const scaled = ofKind(keda, 'ScaledObject').spec
  t.equal(scaled.scaleTargetRef.name, ofKind(worker, 'Deployment').metadata.name)
  t.equal(ofKind(worker, 'Deployment').spec.replicas, undefined, 'KEDA sets it')
  const [{ metadata, authenticationRef }] = scaled.triggers
  t.equal(metadata.targetValue, containerOf(worker).env.find(({ name }: { name: string }) => name === 'CONCURRENCY').value)
  const { hostname, pathname } = new URL(metadata.url)
  t.equal(hostname.split('.')[0], ofKind(web, 'Service').metadata.name)
  t.ok(sources['server.js']!.includes(`'${pathname}'`))
  t.ok(sources['server.js']!.includes(`return { ${metadata.valueLocation}:`))
  const authentication = ofKind(keda, 'TriggerAuthentication')
  t.equal(authenticationRef.name, authentication.metadata.name)
  const token = containerOf(web).env.find(({ name }: { name: string }) => name === 'SCALE_TOKEN').valueFrom.secretKeyRef
  const [{ name, key }] = authentication.spec.secretTargetRef
  t.same({ name, key }, token)
})

t.test('Dockerfile: what it copies and starts is there, and the user is not root', async t => {
  const instructions = read('Dockerfile').split('\n').filter(line => /^[A-Z]+ /.test(line))
  const files = await readdir(new URL(DEPLOY, root))
  const { engines, version } = JSON.parse(readPage('package.json'))
  const own = JSON.parse(read('package.json'))
  t.equal(own.engines.node, engines.node)
  t.ok(own.dependencies['fastify-async-charts'] === `^${version.split('.').slice(0, 2).join('.')}.0`, 'the version of this package')
  for (const line of instructions.filter(line => line.startsWith('FROM'))) {
    const image = Number(/node:(\d+)-slim/.exec(line)![1])
    t.ok(image >= Number(/\d+/.exec(engines.node)![0]), line)
  }
  const ignored = read('.dockerignore')
  for (const name of instructions.filter(line => line.startsWith('COPY') && !line.includes('--from')).flatMap(line => line.split(' ').slice(1, -1))) {
    t.ok(ignored.includes(`!${name}`), `${name} is not ignored`)
    // The reader's npm writes it.
    if (name !== 'package-lock.json') t.ok(files.some(file => name === file || (name === '*.js' && file.endsWith('.js'))), `${name} is there`)
  }
  t.ok(instructions.indexOf('USER node') > instructions.findLastIndex(line => line.startsWith('FROM')))
  const [, command] = JSON.parse(/^CMD (.+)$/m.exec(read('Dockerfile'))![1]!)
  t.ok(files.includes(command))
})

t.test('users.acl grants what the reference says', async t => {
  const [, rules] = /^ACL SETUSER charts on >secret (.+)$/m.exec(readPage('docs/reference/redis-keys.md'))!
  t.equal(read('users.acl'), `user default off\nuser charts on >change-me ${rules}\n`)
})

interface Test {
  teardown (ended: () => unknown): unknown
}

/** A process of the image, with its log. */
function start (t: Test, file: string, env: Record<string, string>) {
  const child = spawn(process.execPath, [...process.execArgv, file], { cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const lines: Array<{ level: number, msg: string }> = []
  createInterface({ input: child.stdout }).on('line', line => lines.push(JSON.parse(line)))
  return { lines, exited, stop: () => { child.kill('SIGTERM'); return exited } }
}

/** Resolves once the address answers with the status. */
async function answers (url: string, status: number): Promise<void> {
  for (;;) {
    const response = await fetch(url).catch(() => null)
    if (response?.status === status) return
    await sleep(50)
  }
}

t.test('the processes of compose.yaml, with its Redis, its permissions, and TLS', { skip: noServer }, async t => {
  const certificate = await certify([{ name: 'commonName', value: 'localhost' }], { keySize: 2048 })
  const [key, ca] = [join(folder, 'redis.key'), join(folder, 'redis.crt')]
  await Promise.all([writeFile(key, certificate.private), writeFile(ca, certificate.cert)])
  const { valkey, web, worker } = compose.services
  const [program, ...args] = valkey.command as string[]
  t.equal(program, 'valkey-server')
  const [mounted, inside] = valkey.volumes[0].split(':')
  const tlsPort = await freePort()
  const redis = await startRedis({
    config: [
      ...args.map(arg => arg === inside ? join(folder, mounted) : arg),
      '--tls-port', String(tlsPort), '--tls-cert-file', ca, '--tls-key-file', key, '--tls-auth-clients', 'no'
    ]
  })
  t.teardown(() => redis.stop())

  const url = new URL(web.environment.REDIS_URL)
  t.equal(url.host, 'valkey:6379')
  t.same(worker.environment, web.environment)
  const env = { REDIS_URL: `rediss://${url.username}:${url.password}@localhost:${tlsPort}`, REDIS_CA_FILE: ca }
  const [port, probes] = [String(await freePort()), String(await freePort())]
  t.same(worker.command, ['node', 'worker.js'])
  const server = start(t, 'server.js', { ...env, PORT: port, SCALE_TOKEN: 'only for KEDA' })
  const making = start(t, 'worker.js', { ...env, PORT: probes, RENDER_MS: '300' })
  const origin = `http://127.0.0.1:${port}`
  await Promise.all([answers(`${origin}/ready`, 200), answers(`http://127.0.0.1:${probes}/ready`, 200)])
  await Promise.all([answers(`${origin}/live`, 200), answers(`http://127.0.0.1:${probes}/live`, 200), answers(`http://127.0.0.1:${probes}/`, 503)])

  for (const [{ healthcheck }, at] of [[web, port], [worker, probes]] as const) {
    const [, ...command] = healthcheck.test as string[]
    const check = (at: string) => once(spawn(command[0]!, command.slice(1).map(arg => arg.replace('127.0.0.1:3000', `127.0.0.1:${at}`)), { stdio: 'inherit' }), 'exit')
    t.same(await check(at), [0, null])
    t.same(await check(String(await freePort())), [1, null], 'nobody is there')
  }

  const charts = `${origin}/api/v1/analytics/charts/async`
  const post = (headers: Record<string, string>) => fetch(charts, {
    method: 'POST',
    headers: { 'x-user': 'ada', 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ message_id: crypto.randomUUID() })
  })
  t.match(await (await post({ prefer: 'wait=20' })).json(), { status: 'COMPLETED' })
  const scale = (authorization: string) => fetch(`${origin}/scale`, { headers: { authorization } })
  t.equal((await scale('Bearer only for others')).status, 401)
  t.same(await (await scale('Bearer only for KEDA')).json(), { slots: 0 })

  const running = await (await post({})).json() as { task_id: string }
  const status = async () => await (await fetch(`${charts}/${running.task_id}/status`, { headers: { 'x-user': 'ada' } })).json() as { status: string, attempt: number }
  while ((await status()).status !== 'PROCESSING') await sleep(10)
  t.same(await (await scale('Bearer only for KEDA')).json(), { slots: 1 })
  t.same(await making.stop(), [0, null])
  t.match(await status(), { status: 'COMPLETED', attempt: 1 }, 'a drain lets a running chart end')
  t.same(await server.stop(), [0, null])
  for (const { lines } of [server, making]) t.same(lines.filter(({ level, msg }) => level >= 40 && !PASSING.includes(msg)), [], 'nothing to warn of: permissions, eviction')

  t.ok(ms(worker.stop_grace_period) > shutdownTimeout + DRAIN_GRACE_MS)
})

/** A chart from one end to the other, through this client. */
async function drawn (redis: Redis | Cluster, keyPrefix = 'async-charts'): Promise<{ status: string, warned: unknown[] }> {
  const logger = recordingLogger()
  const queue = new ChartQueueService({ redis, keyPrefix, logger })
  const worker = await runWorker({ redis, keyPrefix, generate: async () => 'drawn', handleSignals: false, logger })
  try {
    const { task } = await queue.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada' })
    let status: string = task.status
    for await (const state of queue.watchTask(task.task_id)) status = state.status
    return { status, warned: logger.lines.filter(({ level, message = '' }) => ['warn', 'error'].includes(level) && !PASSING.includes(message)) }
  } finally {
    await worker.stop()
    await queue.close()
  }
}

t.test('TLS: with a CA of your own', { skip: noServer }, async t => {
  const certificate = await certify([{ name: 'commonName', value: 'localhost' }], { keySize: 2048 })
  const [key, ca] = [join(folder, 'tls.key'), join(folder, 'tls.crt')]
  await Promise.all([writeFile(key, certificate.private), writeFile(ca, certificate.cert)])
  const port = await freePort()
  const server = await startRedis({ config: ['--tls-port', String(port), '--tls-cert-file', ca, '--tls-key-file', key, '--tls-auth-clients', 'no'] })
  const { connect } = await snippet('tls.js')
  const redis: Redis = connect(`rediss://localhost:${port}`, ca)
  t.teardown(async () => {
    redis.disconnect()
    await server.stop()
  })
  t.same(await drawn(redis), { status: 'COMPLETED', warned: [] })
})

t.test('Cluster', { skip: noServer }, async t => {
  const servers = await startCluster()
  const { connect } = await snippet('cluster.js')
  const cluster: Cluster = connect(servers.nodes, {})
  t.teardown(async () => {
    cluster.disconnect()
    await servers.stop()
  })
  t.same(await drawn(cluster), { status: 'COMPLETED', warned: [] })
})

t.test('Sentinel: charts are made before a failover and after it', { skip: noServer }, async t => {
  const acl = ['--aclfile', join(folder, 'sentinel-users.acl')]
  // The replica and the Sentinel come as the default user.
  await writeFile(join(folder, 'sentinel-users.acl'), read('users.acl').replace('default off', 'default on >replicas ~* &* +@all'))
  const auth = ['--masteruser', 'default', '--masterauth', 'replicas']
  const master = await startRedis({ config: [...acl, ...auth] })
  const replica = await startRedis({ config: [...acl, ...auth, '--replicaof', '127.0.0.1', String(master.port)] })
  const sentinel = await startSentinel(t, master.port)
  const { connect } = await snippet('sentinel.js')
  const redis: Redis = connect([{ host: '127.0.0.1', port: sentinel }], { password: 'change-me', sentinelPassword: 'of the sentinel' })
  redis.on('error', () => {})
  t.teardown(async () => {
    redis.disconnect()
    await Promise.all([master.stop(), replica.stop()])
  })
  t.same(await drawn(redis), { status: 'COMPLETED', warned: [] })

  const copy = new Redis(replica.port, '127.0.0.1', { password: 'replicas' })
  t.teardown(() => copy.disconnect())
  while (!/master_link_status:up/.test(await copy.info('replication'))) await sleep(50)
  await master.kill()
  const queue = new ChartQueueService({ redis })
  t.teardown(() => queue.close())
  while (!(await queue.checkHealth()).writable) await sleep(50)
  t.equal((await drawn(redis)).status, 'COMPLETED')
})

/** A Sentinel that watches the master alone and does not hesitate; its port. */
async function startSentinel (t: Test, master: number): Promise<number> {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'charts-sentinel-'))
  const config = join(folder, 'sentinel.conf')
  await writeFile(config, [
    `port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, 'requirepass "of the sentinel"',
    `sentinel monitor mymaster 127.0.0.1 ${master} 1`,
    'sentinel auth-pass mymaster replicas', 'sentinel down-after-milliseconds mymaster 500', 'sentinel failover-timeout mymaster 2000'
  ].join('\n'))
  const child = spawn((await redisServerPath())!, [config, '--sentinel'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
    await rm(folder, { recursive: true, force: true })
  })
  child.stdout.resume()
  const client = new Redis(port, '127.0.0.1', { password: 'of the sentinel' })
  client.on('error', () => {})
  // Once it knows the replica, it can promote it.
  for (;;) {
    const replicas = await client.call('SENTINEL', 'REPLICAS', 'mymaster').catch(() => []) as unknown[]
    if (replicas.length > 0) break
    await sleep(50)
  }
  client.disconnect()
  return port
}

t.test('the guide names the files that there are', async t => {
  const page = readPage('docs/guides/deployment.md')
  const files = ['Dockerfile', 'compose.yaml', 'users.acl', 'kubernetes/web.yaml', 'kubernetes/worker.yaml', 'kubernetes/keda.yaml', 'server.js', 'worker.js', 'identify.js']
  for (const file of files) {
    t.ok(page.includes(file), file)
    await readFile(new URL(`${DEPLOY}/${file}`, root))
  }
  const table = /worker: `terminationGracePeriodSeconds` \| (\d+)/.exec(page)
  t.equal(Number(table?.[1]), podOf(worker).terminationGracePeriodSeconds)
})
