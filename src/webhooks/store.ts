import { type Insertable, sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { Tables, Webhook } from '../db/tables.ts'

export type Key = { organizationId: string; id: string }

export async function selectWebhooks(db: Db, organizationId: string): Promise<Webhook[]> {
  return db
    .selectFrom('webhooks')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .orderBy('id')
    .execute()
}

export async function findWebhook(db: Db, { organizationId, id }: Key): Promise<Webhook | undefined> {
  return one(db, organizationId, id).executeTakeFirst()
}

/** Locks the row until the end of the transaction, so that a change is based on what it replaces. */
export async function lockWebhook(tx: Db, { organizationId, id }: Key): Promise<Webhook | undefined> {
  return one(tx, organizationId, id).forUpdate().executeTakeFirst()
}

export async function countWebhooks(db: Db, organizationId: string): Promise<number> {
  const { count } = await db
    .selectFrom('webhooks')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('organizationId', '=', organizationId)
    .executeTakeFirstOrThrow()
  return count
}

/** The number of webhooks, by whether their deliveries succeed. */
export async function countByHealth(db: Db): Promise<{ all: number; failing: number; disabled: number }> {
  return db
    .selectFrom('webhooks')
    .select((of) => [
      sql<number>`count(*)::int`.as('all'),
      sql<number>`(count(*) filter (where ${of.ref('failingSince')} is not null and ${of.ref('disabledAt')} is null))::int`.as(
        'failing',
      ),
      sql<number>`(count(*) filter (where ${of.ref('disabledAt')} is not null))::int`.as('disabled'),
    ])
    .executeTakeFirstOrThrow()
}

export async function insertWebhook(tx: Db, webhook: Insertable<Tables['webhooks']>): Promise<Webhook> {
  return tx.insertInto('webhooks').values(webhook).returningAll().executeTakeFirstOrThrow()
}

export async function updateWebhook(
  tx: Db,
  { organizationId, id, version }: Webhook,
  change: Updateable<Tables['webhooks']>,
): Promise<Webhook> {
  return tx
    .updateTable('webhooks')
    .set({ ...change, version: version + 1 })
    .where('organizationId', '=', organizationId)
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow()
}

export async function deleteWebhook(tx: Db, { organizationId, id }: Key): Promise<void> {
  await tx.deleteFrom('webhooks').where('organizationId', '=', organizationId).where('id', '=', id).execute()
}

/** Locks every webhook until the end of the transaction, in an order. */
export async function lockAllWebhooks(tx: Db): Promise<Webhook[]> {
  return tx.selectFrom('webhooks').selectAll().orderBy('organizationId').orderBy('id').forUpdate().execute()
}

function one(db: Db, organizationId: string, id: string) {
  return db
    .selectFrom('webhooks')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .where('id', '=', id)
}

export type Subscriber = Pick<Webhook, 'organizationId' | 'id' | 'events'>

/** The webhooks of these organizations. */
export async function selectSubscribers(db: Db, organizationIds: string[]): Promise<Subscriber[]> {
  return db
    .selectFrom('webhooks')
    .select(['organizationId', 'id', 'events'])
    .where('organizationId', 'in', organizationIds)
    .orderBy('organizationId')
    .orderBy('id')
    .execute()
}

/** Deletes previous secrets whose overlap is over. */
export async function deleteEndedSecrets(db: Db, now: Date): Promise<void> {
  await db
    .updateTable('webhooks')
    .set({ sealedPreviousSecret: null, previousPublicKey: null, previousUntil: null })
    .where('previousUntil', '<=', now)
    .execute()
}
