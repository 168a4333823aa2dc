import t from 'tap'
import { toReport } from '../../lib/service/progress.ts'
import { ReportBuffer } from '../../lib/worker/report-buffer.ts'

const report = (progress: number, step?: string) => toReport('task', 1, { progress, step })

t.test('a report that could not be stored is sent with what was reported meanwhile', async t => {
  const buffer = new ReportBuffer()
  t.equal(buffer.add(report(10, 'query')), true)
  const sent = buffer.take()!
  t.equal(buffer.add(report(20)), true)
  buffer.putBack(sent)
  t.match(buffer.take(), { progress: 20, step: 'query' })
  t.equal(buffer.take(), null)
})

t.test('a report is not put back behind a later one that was sent', async t => {
  const buffer = new ReportBuffer()
  buffer.add(report(10))
  const first = buffer.take()!
  buffer.add(report(20))
  buffer.take()
  buffer.putBack(first)
  t.equal(buffer.take(), null)
})
