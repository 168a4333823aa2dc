import { create, whileBusy } from './parts.js'

/** ms between two looks. */
const EVERY = 500

const part = id => document.getElementById(id)
const stage = name => document.querySelector(`[data-stage="${name}"]`)

function tell (name, isDone, ...content) {
  const item = stage(name)
  item.className = isDone ? 'done' : ''
  const line = create('span', '')
  line.append(...content)
  item.replaceChildren(line)
}

const linkTo = ({ task_id }) => create('a', task_id.slice(0, 8), { href: `dashboard/tasks/${task_id}` })

/** Shows how far the test is; whether it goes on. */
function show ({ total, counts, killed, is_over: isOver, error }) {
  if (!counts) return false
  const { waiting, running, completed, failed, charts } = counts
  const percent = Math.round(100 * completed / total)
  part('bar').hidden = part('stages').hidden = false
  part('bar').ariaValueNow = percent
  part('bar').firstElementChild.style.inlineSize = `${percent}%`
  part('counts').textContent = `${waiting} waiting, ${running} running, ${completed} completed, ${failed} failed`

  tell('queued', true, `${total} charts were queued at once.`)
  const hit = killed?.tasks ?? []
  const killing = killed
    ? [`Killed ${killed.worker} in the middle of `, ...hit.flatMap((task, i) => [...(i > 0 ? [', '] : []), linkTo(task)]), '.']
    : ['A worker will be killed in the middle of its charts.']
  tell('killed', killed !== null, ...killing)
  const again = hit.filter(({ attempt, status }) => attempt > 1 && status !== 'PENDING')
  tell('again', killed !== null && again.length === hit.length, killed && again.length === hit.length
    ? 'Its charts run again: attempt 2.'
    : 'Its charts run again when that is noticed.')
  const isComplete = completed === total && charts === total
  tell('over', isComplete, isComplete ? `All ${total} charts are there, each once. None was lost, none was made twice.` : 'All charts will be there, each once.')
  part('result').textContent = isOver && !error ? (isComplete ? 'Nothing was lost.' : `${completed} of ${total} charts are there.`) : ''
  part('notice').hidden = !error
  part('notice').textContent = error ?? ''
  return !isOver
}

async function follow () {
  for (let goesOn = true; goesOn;) {
    const response = await fetch('load').catch(() => null)
    // The server is being started again, perhaps.
    if (response?.ok) goesOn = show(await response.json())
    if (goesOn) await new Promise(resolve => setTimeout(resolve, EVERY))
  }
}

part('start').addEventListener('click', ({ currentTarget }) => whileBusy(currentTarget, async () => {
  const response = await fetch('load', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }).catch(() => null)
  part('notice').hidden = response?.ok || response?.status === 409
  part('notice').textContent = response ? `The server has answered ${response.status}.` : 'The server cannot be reached.'
  if (response?.ok || response?.status === 409) await follow()
}))

whileBusy(part('start'), follow)
