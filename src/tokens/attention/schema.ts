import { Type } from 'typebox'
import { pageQuery } from '../../http/pages.ts'
import { OrganizationParams } from '../../http/schemas.ts'
import { maxCounted, reasons } from './store.ts'

const organization = Type.Optional({
  ...OrganizationParams.properties.organization,
  description: 'Key or id of one organization. If missing, all organizations that the caller reaches.',
})
const days = { minimum: 1, maximum: 3_650 }

export const AttentionQuery = Type.Object(
  {
    reason: Type.Enum([...reasons], {
      type: 'string',
      default: 'expiring',
      description:
        'Active tokens that expire soon, were never used, have not been used for long, or whose secret is older than the policy ' +
        'allows (`rotation.every_days`).',
    }),
    days: Type.Integer({
      ...days,
      default: 30,
      description: 'The number of days for `expiring` and `unused`; without effect for the others.',
    }),
    organization,
    ...pageQuery,
  },
  { additionalProperties: false },
)

export const AttentionCountQuery = Type.Object(
  {
    expiring_days: Type.Integer({ ...days, default: 30 }),
    unused_days: Type.Integer({ ...days, default: 90 }),
    organization,
  },
  { additionalProperties: false },
)

const Count = Type.Object({
  count: Type.Integer({ description: `At most ${maxCounted.toLocaleString('en')}: counting stops there.` }),
  more: Type.Boolean({ description: 'Whether there are, or may be, more.' }),
})

export const AttentionCounts = Type.Object(
  { expiring: Count, never_used: Count, unused: Count, rotation_due: Count },
  { $id: 'AttentionCounts', description: 'How many active tokens need attention, by reason.' },
)

export const AttentionPosition = Type.Object({
  value: Type.String(),
  organization: Type.String({ format: 'uuid' }),
  id: Type.String({ format: 'uuid' }),
})
