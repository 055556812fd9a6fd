import fc from 'fast-check'
import t from 'tap'
import { preferredType } from '../../src/http/accept.ts'
import { AppError } from '../../src/shared/errors.ts'
import { createWorld } from '../support/world.ts'
import { operationsOf } from './contract.ts'
import { someStatusList } from './matrix.ts'

const offered = ['application/json', 'application/token-introspection+jwt'] as const
const part = fc.constantFrom(
  ...offered,
  '*/*',
  'application/*',
  'text/html',
  'q=0',
  'q=0.5',
  ';',
  ',',
  '"',
  '\\',
  ' ',
)

t.test('any Accept header selects one of the offered types or none', async () => {
  const header = fc.oneof(
    fc.string(),
    fc.array(part, { maxLength: 12 }).map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(header, (accept) => {
      try {
        return offered.includes(preferredType(accept, offered))
      } catch (error) {
        return error instanceof AppError && error.code === 'not_acceptable'
      }
    }),
    { numRuns: 1000 },
  )
})

t.test('the type with the highest quality is chosen, whatever the order', async () => {
  const quality = fc.integer({ min: 1, max: 1000 })
  fc.assert(
    fc.property(quality, quality, fc.boolean(), (json, jwt, jsonFirst) => {
      fc.pre(json !== jwt)
      const ranges = [`${offered[0]};q=${json / 1000}`, `${offered[1]};q=${jwt / 1000}`]
      const accept = (jsonFirst ? ranges : ranges.reverse()).join(', ')
      return preferredType(accept, offered) === (json > jwt ? offered[0] : offered[1])
    }),
  )
})

const [json, jwt] = offered
const readings = [
  ['no field', undefined, json],
  ['an empty field', '', json],
  ['whitespace', ' \t', json],
  ['empty members', ', ,', json],
  ['anything', '*/*', json],
  ['any of application', 'application/*', json],
  ['a charset', `${json}; charset=utf-8`, json],
  ['a charset in quotes', `${json};charset="UTF-8"`, json],
  ['a parameter in quotes that holds a list', `${json};profile="a;q=0, text/html"`, json],
  ['a parameter in quotes that holds a quote', `${json};profile="\\";q=0"`, json],
  ['parameters on both sides of the weight', `${json};version=1;q=0.5;ext=1, text/html`, json],
  ['a parameter of a range', '*/*;level=1', json],
  ['capitals', 'APPLICATION/JSON; CHARSET=UTF-8', json],
  ['whitespace around everything', ` \ttext/html ,\t${json} \t;  charset=utf-8\t; q=0.1 `, json],
  ['members that are empty', `,, ${json};charset=utf-8 ,,`, json],
  ['several fields, joined by Node.js', `text/html, ${json};charset=utf-8, image/png`, json],
  ['a higher weight with parameters', `${json};charset=utf-8;q=0.4, ${jwt};x=y;q=0.6`, jwt],
  ['a weight in capitals', `${json};Q=0.4, ${jwt};Q=0.6`, jwt],
  ['JSON refused, anything else taken', `${json};charset=utf-8;q=0, */*;q=0.1`, jwt],
  ['JSON refused in three digits', `*/*, ${json};q=0.000`, jwt],
  ['all refused', '*/*;q=0', undefined],
  ['all of application refused', 'application/*;charset=utf-8;q=0, */*', undefined],
  ['each refused', `${json};q=0, ${jwt};q=0, */*`, undefined],
  ['another type', 'text/html; charset=utf-8', undefined],
  ['a type that only begins like it', 'application/jsonx', undefined],
  ['no type', 'json', undefined],
] as const

t.test(
  'RFC 9110 §12.5.1: parameters exclude no type, and weights are heeded however they are written',
  async (t) => {
    for (const [what, accept, expected] of readings) {
      let type: string | undefined
      try {
        type = preferredType(accept, offered)
      } catch (error) {
        t.match(error, { code: 'not_acceptable' }, what)
      }
      t.equal(type, expected, what)
    }
  },
)

t.test('every operation with several media types negotiates like this', async (t) => {
  const world = await createWorld(t)
  const list = await someStatusList(world)
  const { secret } = await world.issue()
  const reading = (await operationsOf(world.app)).filter(({ responses }) => responses['406'])
  t.same(reading.map(({ id }) => id).sort(), ['getStatusList', 'introspect'])
  for (const { method, path, responses } of reading) {
    const types = Object.keys(responses['200']?.content ?? {})
    const url = path.replace('{list}', list)
    const ask = (accept: string) =>
      world.ask(method, url, { headers: { accept }, ...(method === 'POST' && { form: { token: secret } }) })
    for (const type of types)
      for (const accept of [
        `${type}; charset=utf-8`,
        `text/html, ${type.toUpperCase()} ;x="a,b" ; q=0.2`,
        `*/*;q=0.1, ${type};v=1`,
      ]) {
        const { status, headers } = await ask(accept)
        t.equal(status, 200, `${path} ${accept}`)
        t.equal(headers['content-type']?.split(';')[0], type)
      }
    for (const accept of ['', '*/*', 'application/*;v=1'])
      t.equal((await ask(accept)).status, 200, `${path} ${accept}`)
    for (const accept of ['*/*;q=0', 'text/html', types.map((type) => `${type};q=0`).join()])
      t.equal((await ask(accept)).status, 406, `${path} ${accept}`)
  }
})
