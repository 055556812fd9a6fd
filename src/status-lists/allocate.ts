import { randomInt } from 'node:crypto'
import { v7 as uuid } from 'uuid'
import type { Db } from '../db/database.ts'
import * as store from './store.ts'

/** How many places a list has: 16 KiB at the most as bits, a few hundred bytes as a rule when it is compressed. */
export const listSize = 2 ** 17

/** So that a random place is free at the second try on average, and the next list is begun. */
const mostTokens = listSize / 2

/** The `status_list` of a JWT. */
export type StatusReference = { idx: number; uri: string }

/**
 * Gives a token its place. It is a random one: neither how many tokens there are nor which was made after which can be
 * told from it.
 */
export async function allocateIndex(
  tx: Db,
  issuer: string,
  { organizationId, tokenId, now }: { organizationId: string; tokenId: string; now: Date },
): Promise<StatusReference> {
  let list = await store.takePlace(tx, organizationId)
  while (!list) {
    const fresh = { id: uuid(), organizationId, size: listSize, free: mostTokens, createdAt: now }
    await store.insertList(tx, fresh)
    list = await store.takePlace(tx, organizationId)
  }
  let idx = randomInt(list.size)
  while (!(await store.insertEntry(tx, { listId: list.id, idx, tokenId }))) idx = randomInt(list.size)
  return { idx, uri: uriOf(issuer, list.id) }
}

export function uriOf(issuer: string, listId: string): string {
  return `${issuer}/status-lists/${listId}`
}
