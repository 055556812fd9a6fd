import { type RawBuilder, sql } from 'kysely'
import { validate as isUuid } from 'uuid'

/** A condition: the organization has this key, in any case. Written like the expression in the index on keys. */
export function hasKey(key: RawBuilder<string>): RawBuilder<boolean> {
  return sql<boolean>`lower(organizations.key collate "C") = lower(${key} collate "C")`
}

/** A condition: the organization has this key, in any case, or this id. No key is the id of another organization. */
export function hasKeyOrId(keyOrId: string): RawBuilder<boolean> {
  const byKey = hasKey(sql.val(keyOrId))
  return isUuid(keyOrId) ? sql<boolean>`(organizations.id = ${keyOrId} or ${byKey})` : byKey
}
