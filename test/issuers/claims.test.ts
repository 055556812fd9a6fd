import fc from 'fast-check'
import type { JWTPayload } from 'jose'
import t from 'tap'
import { permissions } from '../../src/access/permissions.ts'
import type { TrustedIssuer } from '../../src/db/tables.ts'
import { organizationNamed, userFrom } from '../../src/issuers/user.ts'
import { addressOf } from '../../src/issuers/verify.ts'
import { AppError } from '../../src/shared/errors.ts'
import { Secret } from '../../src/shared/secret.ts'
import { json, text } from '../http/values.ts'

const epoch = new Date(0)
const permission = fc.constantFrom(...permissions)
const name = fc.constantFrom('sub', 'email', 'groups', '__proto__', 'constructor', 'https://a.example/groups')
const group = fc.constantFrom('staff', 'admins', '__proto__', '')

const registration: fc.Arbitrary<TrustedIssuer> = fc.record({
  organizationId: fc.constant('o'),
  id: fc.constant('i'),
  name: fc.constant('Sign-in'),
  issuer: fc.constant('https://login.example'),
  jwksUri: fc.constant(null),
  audience: fc.constant('counterfoil'),
  algorithms: fc.constant(['RS256']),
  claims: fc.record({ subject: name, email: name, groups: name, organization: fc.constant(null) }),
  defaultPermissions: fc.uniqueArray(permission, { maxLength: 2 }),
  groupPermissions: fc.array(fc.record({ group, permissions: fc.uniqueArray(permission) }), { maxLength: 4 }),
  clientId: fc.constant(null),
  clientSecret: fc.constant(null),
  scope: fc.constant('openid'),
  version: fc.constant(1),
  createdAt: fc.constant(epoch),
  updatedAt: fc.constant(epoch),
})

const value = fc.oneof(
  json,
  group,
  fc.emailAddress(),
  fc.constantFrom('a@b\r\nx: y', 'a b@c'),
  fc.array(fc.oneof(group, json), { maxLength: 5 }),
)
const claims: fc.Arbitrary<JWTPayload> = fc
  .array(fc.tuple(fc.oneof(name, fc.constant('email_verified'), text), fc.oneof(value, fc.boolean())))
  .map((members) => JSON.parse(JSON.stringify(Object.fromEntries(members))))

t.test(
  'users get exactly the permissions registered for their groups, whatever the issuer claims',
  async () => {
    const property = fc.property(registration, claims, (registration, payload) => {
      try {
        const user = userFrom(payload, registration)
        const said = new Map<string, unknown>(Object.entries(payload))
        const groups = [said.get(registration.claims.groups)].flat()
        const mayHave = permissions.filter(
          (permission) =>
            registration.defaultPermissions.includes(permission) ||
            registration.groupPermissions.some(
              (one) => groups.includes(one.group) && one.permissions.includes(permission),
            ),
        )
        return (
          user.permissions.every((permission) => mayHave.includes(permission)) &&
          user.ownerSubject === said.get(registration.claims.subject) &&
          user.ownerSubject.isWellFormed() &&
          !user.ownerSubject.includes('\0') &&
          (user.ownerEmail === null || /^[^\s@]+@[^\s@]+$/.test(user.ownerEmail))
        )
      } catch (error) {
        return error instanceof AppError && error.code === 'invalid_token'
      }
    })
    fc.assert(property, { numRuns: 2000 })
  },
)

t.test('an organization claim is a key, and never that of the platform', async () => {
  const key = fc.oneof(value, fc.constantFrom('acme', 'platform', 'Platform', 'a-b', '-a', '.', 'A'))
  const property = fc.property(key, (tenant) => {
    const named = organizationNamed({ tenant }, 'tenant')
    return (
      named === undefined ||
      (named === tenant && !/^platform$/i.test(named) && /^[A-Za-z0-9][\w.-]*$/.test(named))
    )
  })
  fc.assert(property, { numRuns: 1000 })
})

t.test('any presented text either has a queryable issuer or is not a sign-in', async () => {
  const part = fc.oneof(
    json.map((value) => Buffer.from(JSON.stringify(value)).toString('base64url')),
    claims.map((value) => Buffer.from(JSON.stringify(value)).toString('base64url')),
    fc
      .record({ iss: value, aud: value })
      .map((value) => Buffer.from(JSON.stringify(value)).toString('base64url')),
    fc.stringMatching(/^eyJ[\w-]*$/),
  )
  const property = fc.property(fc.array(part, { minLength: 3, maxLength: 3 }), (parts) => {
    const address = addressOf(new Secret(parts.join('.')))
    return address === undefined || /^https?:\/\/[\x21-\x7E]+$/.test(address.issuer)
  })
  fc.assert(property, { numRuns: 2000 })
})
