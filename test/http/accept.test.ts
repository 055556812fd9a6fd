import fc from 'fast-check'
import t from 'tap'
import { AppError } from '../../src/errors.ts'
import { preferredType } from '../../src/http/accept.ts'

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

t.test('whatever is in Accept, one of the offered types is the answer, or that there is none', async () => {
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

t.test('the type of the higher quality is chosen, whatever the order', async () => {
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
