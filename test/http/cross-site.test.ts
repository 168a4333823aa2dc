import t from 'tap'
import { startHost, type HostOptions } from '../helpers/app.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const unknown = '00000000-0000-4000-8000-000000000000'
const cookie = { cookie: 'user=ada' }
const evil = { ...cookie, origin: 'https://evil.example' }
const app = 'https://app.example'

const posts = ['/async', '/async/batch', '/admin/pause', '/admin/resume', `/admin/tasks/${unknown}/retry`, '/admin/tasks/retry', '/admin/tasks/cancel']

const start = (t: { teardown (ended: () => unknown): unknown, name: string }, options: HostOptions = {}) => startHost(t, 'memory', { authorize: () => true, ...options })

/** What a form, a script without a preflight, or a beacon can send. */
const simple: Array<[type: string | undefined, payload: string | undefined]> = [
  [undefined, undefined],
  ['text/plain', undefined],
  ['text/plain;charset=UTF-8', `{"message_id":"${message_id}"}`],
  ['TEXT/Plain ; x=application/json', '{}'],
  ['application/x-www-form-urlencoded', 'a=b'],
  ['multipart/form-data; boundary=x', '--x--'],
  ['', '{}']
]

t.test('a request that another site can send without a preflight is refused, and changes nothing', async t => {
  const host = await start(t)
  for (const path of posts) {
    for (const [type, payload] of simple) {
      const response = await host.nobody.request('POST', path, { headers: { ...evil, ...(type === undefined ? {} : { 'content-type': type }) }, ...(payload === undefined ? {} : { payload }) })
      t.equal(response.statusCode, 403, `${path} ${type}`)
      t.strictSame(response.json(), { statusCode: 403, code: 'CHARTS_ERR_CROSS_SITE', error: 'Forbidden', message: 'A page of another site may not change anything here' })
    }
  }
  t.match(await host.service.getQueueStats(), { queue_length: 0, paused: false })
  const { origin } = evil
  t.equal((await host.nobody.request('POST', '/admin/pause', { headers: { origin } })).statusCode, 401, 'a stranger is told so')
})

t.test('a request with a preflight is left to CORS', async t => {
  const host = await start(t, { identify: () => ({ user_id: 'ada' }) })
  const json = { ...evil, 'content-type': 'application/json' }
  t.equal((await host.nobody.request('POST', '/async', { headers: json, payload: JSON.stringify({ message_id }) })).statusCode, 202)
  t.equal((await host.nobody.request('POST', '/async/batch', { headers: json, payload: JSON.stringify({ tasks: [{ message_id }] }) })).statusCode, 202)
  t.equal((await host.nobody.request('POST', '/admin/pause', { headers: json })).statusCode, 200)
  t.equal((await host.nobody.request('POST', '/admin/resume', { headers: { ...evil, authorization: 'Bearer abc' } })).statusCode, 200, 'a token is added by a script alone')
  t.equal((await host.nobody.request('POST', '/admin/resume', { headers: { ...evil, authorization: 'Basic abc' } })).statusCode, 403, 'a password by the browser')
  t.equal((await host.nobody.request('DELETE', `/async/${unknown}`, { headers: evil })).statusCode, 404, 'a DELETE is never sent without')
  t.equal((await host.nobody.request('GET', `/async/${unknown}/status`, { headers: evil })).statusCode, 404, 'and what changes nothing is read by nobody else')
})

type Headers = Record<string, string>
const own = { host: 'charts.example' }
const senders: Array<[name: string, allowedOrigins: 'same-origin' | '*' | string[], headers: Headers, passes: boolean]> = [
  ['no browser', 'same-origin', {}, true],
  ['no browser, for a list', [app], {}, true],
  ['our own page', 'same-origin', { ...own, origin: 'https://charts.example' }, true],
  ['our own page, for a list', [app], { ...own, origin: 'https://charts.example' }, true],
  ['our own page, at another port', 'same-origin', { ...own, origin: 'https://charts.example:8443' }, false],
  ['our own page, behind a proxy that changes the host', 'same-origin', { host: 'backend:3000', origin: 'https://charts.example', 'sec-fetch-site': 'same-origin' }, true],
  ['our own page, behind a proxy that names it', 'same-origin', { host: 'backend:3000', 'x-forwarded-host': 'charts.example', origin: 'https://charts.example' }, true],
  ['our own page that tells no referrer', 'same-origin', { ...own, origin: 'null', 'sec-fetch-site': 'same-origin' }, true],
  ['the user, or an extension', 'same-origin', { ...own, 'sec-fetch-site': 'none' }, true],
  ['a page of another site', 'same-origin', { ...own, origin: app, 'sec-fetch-site': 'cross-site' }, false],
  ['a page of another site, by a browser that says no more', 'same-origin', { ...own, origin: app }, false],
  ['a page of another site that hides its origin', 'same-origin', { ...own, 'sec-fetch-site': 'cross-site' }, false],
  ['a page in a sandbox', 'same-origin', { ...own, origin: 'null' }, false],
  ['a page of a sub-domain', 'same-origin', { ...own, origin: 'https://blog.charts.example', 'sec-fetch-site': 'same-site' }, false],
  ['our own host by another scheme', 'same-origin', { ...own, origin: 'http://charts.example', 'sec-fetch-site': 'cross-site' }, false],
  ['an origin that is none', 'same-origin', { ...own, origin: 'nonsense' }, false],
  ['a site that is none', 'same-origin', { ...own, origin: 'https://charts.example', 'sec-fetch-site': 'nonsense' }, false],
  ['an allowed origin', [app], { ...own, origin: app, 'sec-fetch-site': 'cross-site' }, true],
  ['an allowed origin of our site', [app], { ...own, origin: app, 'sec-fetch-site': 'same-site' }, true],
  ['another one than the allowed', [app], { ...own, origin: `${app}:1`, 'sec-fetch-site': 'cross-site' }, false],
  ['anybody, where all are allowed', '*', { ...own, origin: app, 'sec-fetch-site': 'cross-site' }, true]
]

t.test('the sender, by Origin and Sec-Fetch-Site', async t => {
  for (const [name, allowedOrigins, headers, passes] of senders) {
    const host = await start(t, { stream: { allowedOrigins }, fastify: { trustProxy: true } })
    const response = await host.nobody.request('POST', '/admin/pause', { headers: { ...cookie, ...headers } })
    t.equal(response.statusCode, passes ? 200 : 403, name)
    t.equal((await host.service.getQueueStats()).paused, passes, name)
    await host.app.close()
  }
})
