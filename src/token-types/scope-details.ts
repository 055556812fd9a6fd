import { permissionDetails } from '../access/permissions.ts'
import type { ScopeDetail, TokenType } from '../db/tables.ts'
import { managementType } from '../shared/platform.ts'

/** The details that a type has. Those of `management`, whose scopes are permissions, cannot be changed. */
export function scopeDetailsOf({
  name,
  scopeDetails,
}: Pick<TokenType, 'name' | 'scopeDetails'>): ScopeDetail[] {
  return name === managementType ? permissionDetails : scopeDetails
}

/** The scopes that a form offers: every allowed one or, if any is allowed, those that the type has details for. */
export function offeredScopes(
  type: Pick<TokenType, 'name' | 'allowedScopes' | 'scopeDetails'>,
): ScopeDetail[] {
  const details = scopeDetailsOf(type)
  return (
    type.allowedScopes?.map(
      (scope) =>
        details.find((detail) => detail.scope === scope) ?? { scope, label: scope, description: null },
    ) ?? details
  )
}
