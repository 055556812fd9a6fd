import { type Caller, reaches } from '../../access/caller.ts'
import type { Db } from '../../db/database.ts'
import { AppError } from '../../errors.ts'
import type { Secret } from '../secret.ts'
import { type EnvironmentSecret, environmentLookup, environmentTokenId } from './environment.ts'

const environmentAdvice = 'AUTH_SECRET is changed and removed where Counterfoil runs, and there only.'

export async function refuseEnvironmentSecret(
  db: Db,
  { principal }: Caller,
  environment: EnvironmentSecret,
  secret: Secret,
): Promise<void> {
  const { is, find } = environmentLookup(db, environment)
  const fixed = is(secret.hash()) ? await find() : undefined
  if (fixed && reaches(principal, fixed.organizationId)) throw new AppError('built_in', environmentAdvice)
}

export function refuseEnvironment(organizationId: string, id: string): void {
  if (id === environmentTokenId(organizationId)) throw new AppError('built_in', environmentAdvice)
}
