import t from 'tap'
import { actionsOf } from '../../src/signals/events.ts'
import { caep, risc } from '../signals/transmitter.ts'
import { table } from './markdown.ts'

t.test('the table of what events do by default is complete', async (t) => {
  const documented = table('docs/signals.md', '| Event (RISC, CAEP)')
  const types = documented.map(([name = '', action]) => [
    name.replace('RISC ', risc).replace('CAEP ', caep),
    action,
  ])
  const actions = Object.entries(actionsOf({})).filter(([, action]) => action !== 'ignore')
  t.same(types.sort(), [...actions, ['all others', 'ignore']].sort())
})
