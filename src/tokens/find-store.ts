import { sql } from 'kysely'
import { validate as isUuid } from 'uuid'
import type { Db } from '../db/database.ts'
import { coalesce } from '../db/group-commit.ts'
import { hasKey } from '../db/organization-key.ts'
import { statement } from '../db/statement.ts'
import { isSameKey } from '../shared/organization-key.ts'
import type { SecretHash } from '../shared/secret.ts'
import { columns, findToken, type Token, tokens } from './store.ts'

/** The values that JSON can represent: all but the hash. */
const members = [
  ...columns,
  'organizationKey',
  'endpoint',
  'hint',
  'lastUsedAt',
  'lastUsedIp',
  'expiryWarning',
  'secretId',
  'secretCreatedAt',
  'rotateEveryDays',
] as const

const instants: ReadonlySet<string> = new Set([
  'notBefore',
  'expiresAt',
  'createdAt',
  'updatedAt',
  'revokedAt',
  'lastUsedAt',
  'secretCreatedAt',
] satisfies (typeof members)[number][])

type Asked = { key: string; id: string }
/** As JSON, with instants in milliseconds since 1970. */
type InJson<Value> = Value extends Date ? number : Value
type Found = { [Name in (typeof members)[number]]: InJson<Token[Name]> } & { hash: string }

/**
 * One index lookup per token: PostgreSQL does not know how many there are, and might otherwise scan the table. The
 * result is a single value, since pg's work per column costs more than the lookup.
 */
const selectByKeys = statement<{ asked: string }, { found: Found[] }>(
  'tokens-by-key',
  (builder, parameter) => {
    const found = tokens(builder)
      .where(hasKey(sql.ref<string>('asked.key')))
      .where('tokens.id', '=', sql.ref<string>('asked.id'))
      .limit(1)
    const pairs = members.map((name) => {
      const column = sql.ref(`found.${name}`)
      const value = instants.has(name) ? sql`extract(epoch from ${column}) * 1000` : column
      return sql`${sql.lit(name)}, ${value}`
    })
    const object = sql`json_build_object(${sql.join(pairs)}, 'hash', encode(found.hash, 'base64'))`
    return sql<{ found: Found[] }>`select coalesce(json_agg(${object}), '[]') as found
    from json_to_recordset(${parameter('asked')}) as asked(key text, id uuid)
    cross join lateral (${found}) as found`.compile(builder)
  },
)

function tokenIn({ hash, ...found }: Found): Token {
  return {
    ...found,
    notBefore: found.notBefore === null ? null : new Date(found.notBefore),
    expiresAt: found.expiresAt === null ? null : new Date(found.expiresAt),
    createdAt: new Date(found.createdAt),
    updatedAt: new Date(found.updatedAt),
    revokedAt: found.revokedAt === null ? null : new Date(found.revokedAt),
    lastUsedAt: found.lastUsedAt === null ? null : new Date(found.lastUsedAt),
    secretCreatedAt: new Date(found.secretCreatedAt),
    hash: Buffer.from(hash, 'base64') as SecretHash,
  }
}

async function findAll(db: Db, asked: Asked[]): Promise<(Token | null)[]> {
  const [row] = await selectByKeys(db, { asked: JSON.stringify(asked) })
  const found = row?.found.map(tokenIn) ?? []
  return asked.map(
    ({ key, id }) => found.find((token) => token.id === id && isSameKey(token.organizationKey, key)) ?? null,
  )
}

const findByKey = coalesce({ all: findAll, one: async (db, asked: Asked) => (await findAll(db, [asked]))[0] })

/** In the organization with this key or id. */
export async function findTokenIn(db: Db, keyOrId: string, id: string): Promise<Token | undefined> {
  const byId = isUuid(keyOrId) ? await findToken(db, { organizationId: keyOrId, id }) : undefined
  return byId ?? (await findByKey(db, { key: keyOrId, id })) ?? undefined
}
