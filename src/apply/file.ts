import { readFileSync } from 'node:fs'
import { type Static, type TSchema, Type } from 'typebox'
import { parse } from 'yaml'
import { fieldErrors } from '../http/to-app-error.ts'
import { violations } from '../http/validation.ts'
import { IssuerRegistration } from '../issuers/schema.ts'
import { NewOrganization } from '../organizations/schema.ts'
import { PolicyPatch } from '../policy/schema.ts'
import { NewTokenType } from '../token-types/schema.ts'
import { WebhookChange, WebhookCreation } from '../webhooks/schema.ts'
import { ApplyError } from './api.ts'

const closed = { additionalProperties: false }
const list = <T extends TSchema>(schema: T) => Type.Optional(Type.Array(schema))

/** Without the `$id`, which may occur only once in a schema. */
/**
 * Files contain no secrets. The secret of a client is set by the API or in the console, and applying a file keeps it.
 */
const Issuer = Type.Omit(IssuerRegistration, ['client_secret'], { additionalProperties: false })
const TokenTypes = list(Type.Object(NewTokenType.properties, closed))

/** What the file can contain. Members have the names and values of the API. */
const Configuration = Type.Object(
  {
    token_types: TokenTypes,
    organizations: list(
      Type.Object(
        {
          ...NewOrganization.properties,
          token_types: TokenTypes,
          policy: Type.Optional(PolicyPatch),
          issuers: list(Issuer),
          webhooks: list(
            Type.Object({ ...WebhookCreation.properties, paused: WebhookChange.properties.paused }, closed),
          ),
        },
        closed,
      ),
    ),
  },
  closed,
)

export type Configuration = Static<typeof Configuration>

/** Reads a file of YAML 1.2, which includes JSON. */
export function readConfiguration(path: string): Configuration {
  const content = parseYaml(path)
  // Defaults are added to a copy, since they must not replace what the service has.
  const found = violations(Configuration, structuredClone(content))
  if (found.length === 0) return content
  const problems = fieldErrors(found as never).map(({ field, detail }) => `${field} ${detail}`.trim())
  throw new ApplyError(`${path}: ${problems.join('; ')}.`)
}

function parseYaml(path: string) {
  const text = readFileSync(path, 'utf8')
  try {
    return parse(text) ?? {}
  } catch (error) {
    // The message continues with the lines in question.
    const [message] = (error as Error).message.split(':\n')
    throw new ApplyError(`${path} is not valid YAML: ${message}.`)
  }
}
