// A user who returns: in any order of suspensions, returns and revocations by anyone, a token is active exactly if
// nothing suspends its owner any more and it was not revoked.
import fc from 'fast-check'
import t from 'tap'
import { createTrustingWorld } from '../issuers/trust.ts'
import { listen, risc, startTransmitter } from '../signals/transmitter.ts'

const world = await createTrustingWorld(t)
const scim = await world.manager(['scim'])
const transmitter = await startTransmitter(t, () => world.clock.now)
const { push } = await listen(world, transmitter)
const base = '/v1/organizations/default'

type Model = { sources: Set<string>; revoked: boolean[]; names: string[] }
type Real = { subject: string; user: string; tokens: { id: string; secret: string }[] }
type Step = { name: string; model(model: Model): void; run(real: Real): Promise<{ status: number }> }

const setActive = (active: boolean) => (real: Real) =>
  world.ask('PATCH', `/scim/v2/Users/${real.user}`, {
    token: scim,
    body: { Operations: [{ op: 'replace', path: 'active', value: active }] },
  })
const signal =
  (type: string) =>
  async ({ subject }: Real) => {
    // Each event is later than the ones before.
    world.clock.advance(1000)
    return push(await transmitter.event(risc + type, { format: 'opaque', id: subject }))
  }
const act =
  (action: string) =>
  ({ subject }: Real) =>
    world.ask('POST', `${base}/owners/${subject}/${action}`)

const steps: Step[] = [
  {
    name: 'an administrator suspends',
    model: ({ sources }) => sources.add('administrator'),
    run: act('suspend'),
  },
  { name: 'an administrator resumes', model: ({ sources }) => sources.clear(), run: act('resume') },
  { name: 'the directory deactivates', model: ({ sources }) => sources.add('scim'), run: setActive(false) },
  { name: 'the directory activates', model: ({ sources }) => sources.delete('scim'), run: setActive(true) },
  {
    name: 'the issuer disables',
    model: ({ sources }) => sources.add('disabled'),
    run: signal('account-disabled'),
  },
  {
    name: 'the issuer enables',
    model: ({ sources }) => sources.delete('disabled'),
    run: signal('account-enabled'),
  },
  {
    name: 'the issuer reports a compromise',
    model: ({ sources }) => sources.add('compromise'),
    run: signal('credential-compromise'),
  },
  ...[0, 1, 2].map((index) => ({
    name: `token ${index} is revoked`,
    model: ({ revoked }: Model) => {
      revoked[index] = true
    },
    run: ({ tokens }: Real) => world.ask('POST', `${base}/tokens/${tokens[index]?.id}/revoke`),
  })),
  {
    name: 'all tokens are revoked',
    model: ({ revoked }) => revoked.fill(true),
    run: act('revoke-tokens'),
  },
]

let count = 0
async function start(): Promise<Real> {
  const subject = `returner-${++count}`
  const { body } = await world.ask('POST', '/scim/v2/Users', { token: scim, body: { userName: subject } })
  const tokens = await Promise.all([0, 1, 2].map(() => world.issue({ owner: { subject } })))
  return { subject, user: body.id, tokens }
}

t.test('what was suspended comes back, and nothing that was revoked', async () => {
  const weighted = fc.constantFrom(...steps.slice(0, 7), ...steps)
  await fc.assert(
    fc.asyncProperty(fc.array(weighted, { minLength: 3, maxLength: 12 }), async (sequence) => {
      const real = await start()
      const model: Model = { sources: new Set(), revoked: [false, false, false], names: [] }
      for (const step of sequence) {
        step.model(model)
        model.names.push(step.name)
        const { status } = await step.run(real)
        if (status >= 300) throw new Error(`${status} when ${model.names.join(', ')}`)
        for (const [index, { secret }] of real.tokens.entries()) {
          const expected = model.sources.size === 0 && !model.revoked[index]
          const { active } = await world.introspect(secret)
          if (active !== expected)
            throw new Error(`token ${index} is ${active} after: ${model.names.join(', ')}`)
        }
        const { body } = await world.ask('GET', `${base}/owners/${real.subject}`)
        if (
          body.suspended_by.length !== model.sources.size ||
          (body.suspended_at === null) !== (model.sources.size === 0)
        )
          throw new Error(`${body.suspended_by} after: ${model.names.join(', ')}`)
      }
    }),
    { numRuns: 25 },
  )
})

t.test(
  'a suspension by an older version counts as an administrator’s, and its resume ends all',
  async (t) => {
    const { subject, user, tokens } = await start()
    const real = { subject, user, tokens }
    const isActive = async () => (await world.introspect(tokens[0]?.secret ?? '')).active
    await world.sql(`update owners set suspended_at = now() where subject = '${subject}'`)
    await setActive(false)(real)
    await setActive(true)(real)
    t.equal(await isActive(), false, 'the directory does not end it')
    await setActive(false)(real)
    await world.sql(`update owners set suspended_at = null where subject = '${subject}'`)
    t.equal(await isActive(), true)
    t.match((await world.ask('GET', `${base}/owners/${subject}`)).body, { suspended_by: [] })
    await setActive(false)(real)
    t.equal(await isActive(), false, 'and the directory can suspend again')
  },
)
