import { randomInt } from 'node:crypto'
import { v7 as uuid } from 'uuid'
import type { Db } from '../db/database.ts'
import * as store from './store.ts'

/** How many indexes a list has: at most 16 KiB as bits, usually a few hundred bytes compressed. */
export const listSize = 2 ** 17

/** Low enough that a random index is free at the second try on average; then the next list is started. */
const maxTokens = listSize / 2

/** The `status_list` claim of a JWT. */
export type StatusReference = { idx: number; uri: string }

/** Assigns a JWT its index. It is random, so that it reveals neither how many tokens there are nor their order. */
export async function allocateIndex(
  tx: Db,
  issuer: string,
  {
    organizationId,
    tokenId,
    secretId,
    now,
  }: { organizationId: string; tokenId: string; secretId: string; now: Date },
): Promise<StatusReference> {
  let list = await store.takeAllocation(tx, organizationId)
  while (!list) {
    const fresh = { id: uuid(), organizationId, size: listSize, free: maxTokens, createdAt: now }
    await store.insertList(tx, fresh)
    list = await store.takeAllocation(tx, organizationId)
  }
  let idx = randomInt(list.size)
  while (!(await store.insertEntry(tx, { listId: list.id, idx, tokenId, secretId })))
    idx = randomInt(list.size)
  return { idx, uri: uriOf(issuer, list.id) }
}

export function uriOf(issuer: string, listId: string): string {
  return `${issuer}/status-lists/${listId}`
}
