import { type Static, Type } from 'typebox'
import { Page, pageQuery } from '../http/pages.ts'
import { Actor, DateTime, Id, nullable, OrganizationParams, ref } from '../http/schemas.ts'
import { AppError } from '../shared/errors.ts'
import { holdsSecret, Secret, type SecretHash } from '../shared/secret.ts'
import type { Leak } from './leaks.ts'
import type { LeakReport as Row } from './store.ts'

const Source = { minLength: 1, maxLength: 100, examples: ['nightly repository scan'] }
const Url = {
  maxLength: 2000,
  description: 'Where the secret was found. It is stored, so it must not contain the secret.',
  examples: ['https://git.example/app/blob/main/.env'],
}

const NewLeakMembers = Type.Object(
  {
    secret: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 8192,
        description: 'The secret that leaked. It is hashed and not stored.',
      }),
    ),
    sha256: Type.Optional(
      Type.String({
        pattern: '^[0-9A-Fa-f]{64}$',
        'x-pattern-message': 'must be the SHA-256 of the secret in 64 hexadecimal digits',
        description: 'Instead of `secret`: its SHA-256, in hexadecimal.',
        examples: ['9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'],
      }),
    ),
    source: Type.String({ ...Source, description: 'Who or what found it.' }),
    url: Type.Optional(nullable.string(Url)),
  },
  { additionalProperties: false },
)

export const NewLeak = Type.Unsafe<Static<typeof NewLeakMembers>>({
  ...NewLeakMembers,
  $id: 'NewLeak',
  description: 'A leaked secret: exactly one of `secret` and `sha256`.',
  examples: [
    {
      sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
      source: 'nightly repository scan',
      url: 'https://git.example/app/blob/main/.env',
    },
  ],
})

export const LeakReport = Type.Object(
  {
    id: Id,
    token_id: { ...Id, description: 'The token may have been deleted since.' },
    token_name: Type.String({ description: 'The name when it was reported.', examples: ['CI pipeline'] }),
    secret_id: { ...Id, description: 'One of the secrets of the token.' },
    hint: Type.String({ description: 'Start and end of the secret.', examples: ['api_0123…ElSk'] }),
    secret_status: Type.Enum(['current', 'overlapping', 'pending', 'superseded', 'deleted'], {
      type: 'string',
      description: 'The state of the secret when it was first reported here.',
    }),
    reaction: Type.Enum(['none', 'notified', 'revoked', 'rotated'], {
      type: 'string',
      description:
        'The reaction to this report, by the policy `on_leak`. `none`: the secret was no longer good, or had been ' +
        'reported before.',
    }),
    source: Type.String(Source),
    url: nullable.string(Url),
    reported_by: ref(Actor),
    reported_at: DateTime(),
    last_reported_at: DateTime(),
    times: Type.Integer({ description: 'How often this secret was reported for this place.' }),
  },
  {
    $id: 'LeakReport',
    description: 'A secret that was found at one place; the secret itself is not stored.',
  },
)

export const ReportedLeak = Type.Object(
  {
    known: Type.Boolean({
      description: 'Whether the secret was issued here, in an organization that the caller reaches.',
    }),
    report: Type.Unsafe<Static<typeof LeakReport> | null>({
      anyOf: [ref(LeakReport), { type: 'null' }],
      description: 'Null for an unknown secret.',
    }),
  },
  { $id: 'ReportedLeak', description: 'What is known of a leaked secret.' },
)

export const LeakReportPage = Page(LeakReport, 'LeakReportPage')

export const LeakQuery = Type.Object(
  { token: Type.Optional({ ...Id, description: 'Only reports about this token.' }), ...pageQuery },
  { additionalProperties: false },
)

export const LeakParams = Type.Object({ ...OrganizationParams.properties, leak: Id })

export const GithubHeaders = Type.Object({
  'github-public-key-identifier': Type.String({
    minLength: 1,
    maxLength: 200,
    description: 'Which of its published keys GitHub signed with.',
  }),
  'github-public-key-signature': Type.String({
    minLength: 1,
    maxLength: 200,
    description: 'ECDSA over SHA-256 of the body, in base64.',
  }),
})

/** GitHub may add members. */
export const GithubMatches = Type.Array(
  Type.Object({
    token: Type.String({ minLength: 1 }),
    type: Type.String(),
    url: Type.Optional(nullable.string()),
    source: Type.Optional(nullable.string()),
  }),
  {
    $id: 'GithubMatches',
    description: "GitHub's alert, with the matches of its scanners.",
    examples: [
      [
        {
          token: 'api_0123456789abcdefghijABCDEFGHIJ2PElSk',
          type: 'acme_api_token',
          url: 'https://github.com/octo/app/blob/0e5f/config.yml',
          source: 'content',
        },
      ],
    ],
  },
)

export const GithubLabels = Type.Array(
  Type.Object({
    token_hash: Type.String({
      description: 'SHA-256 of the match, in hexadecimal.',
      examples: ['9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'],
    }),
    token_type: Type.String({ examples: ['acme_api_token'] }),
    label: Type.Enum(['true_positive', 'false_positive'], { type: 'string' }),
  }),
  { $id: 'GithubLabels', description: 'For each match, whether it is a secret that was issued here.' },
)

export const components = [NewLeak, LeakReport, ReportedLeak, LeakReportPage]
export const githubComponents = [GithubMatches, GithubLabels]

export function parseLeak({ secret, sha256, source, url }: Static<typeof NewLeak>): Leak {
  if ((secret === undefined) === (sha256 === undefined)) {
    const detail = 'exactly one of secret and sha256 is required'
    throw new AppError('invalid_request', `body: ${detail}`, {
      fields: [{ in: 'body', field: secret === undefined ? 'secret' : 'sha256', detail }],
    })
  }
  const hash =
    sha256 === undefined ? new Secret(secret as string).hash() : (Buffer.from(sha256, 'hex') as SecretHash)
  return { hash, source, url: url || null }
}

const longest = { source: 100, url: 2000 }

/** Text that GitHub found in public cannot be rejected; values that the database cannot store are left out. */
export function parseMatch({ token, url, source }: Static<typeof GithubMatches>[number]): Leak {
  return {
    hash: new Secret(token).hash(),
    source: storable(source, longest.source, token) ?? 'github',
    url: storable(url, longest.url, token),
  }
}

function storable(text: string | null | undefined, length: number, token: string): string | null {
  if (!text || text.length > length || text.includes('\0') || !text.isWellFormed()) return null
  return text.includes(token) || holdsSecret(text) ? null : text
}

export function presentReport(row: Row): Static<typeof LeakReport> {
  return {
    id: row.id,
    token_id: row.tokenId,
    token_name: row.tokenName,
    secret_id: row.secretId,
    hint: row.hint,
    secret_status: row.secretStatus,
    reaction: row.reaction,
    source: row.source,
    url: row.url,
    reported_by: row.reportedBy,
    reported_at: row.reportedAt.toISOString(),
    last_reported_at: row.lastReportedAt.toISOString(),
    times: row.times,
  }
}
