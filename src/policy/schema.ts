import { type Static, type TSchema, Type } from 'typebox'
import { unchangeableOf } from '../http/messages.ts'
import { Id, ref } from '../http/schemas.ts'
import { Policy, PolicyDocument } from '../shared/policy.ts'
import { effectivePolicy, sourcesOf } from './effective.ts'
import type { MergePatch } from './merge-patch.ts'
import type { PolicyChange as Change, OwnPolicy } from './policy.ts'
import { maxBreachesShown } from './store.ts'

const viewMembers = {
  organization: Type.String({ description: 'The key of the organization.', examples: ['default'] }),
  policy: { ...ref(Policy), description: 'What holds.' },
  sources: Type.Record(Type.String(), Type.Enum(['platform', 'organization'], { type: 'string' }), {
    description: 'The origin of each value.',
    examples: [{ 'lifetime.maximum_days': 'organization', 'name.unique': 'platform' }],
  }),
  own: { ...ref(PolicyDocument), description: "The organization's own values." },
}

export const PolicyView = Type.Object(viewMembers, {
  $id: 'PolicyView',
  description: 'The policy of an organization, and where it comes from.',
})

export const PolicyChange = Type.Object(
  {
    ...viewMembers,
    applied: Type.Boolean({ description: 'False for a dry run.' }),
    breaking_tokens: Type.Object(
      {
        count: Type.Integer({ description: 'The length of `items`.' }),
        more: Type.Boolean({
          description:
            'Whether there are more, or may be: in large organizations not all tokens are examined.',
        }),
        items: Type.Array(
          Type.Object({
            id: Id,
            name: Type.String({ examples: ['Nightly report'] }),
            type: Type.String({ examples: ['api'] }),
            rules: Type.Array(Type.String(), { examples: [['lifetime.maximum_days']] }),
          }),
          { description: `The oldest ${maxBreachesShown}, with the rules that they break.` },
        ),
      },
      {
        description: 'Active tokens that the changed rules would reject. They are not changed.',
      },
    ),
  },
  { $id: 'PolicyChange', description: 'The result of a policy change, or of a dry run.' },
)

/** Members of responses that are not part of the policy itself. */
const unchangeable = unchangeableOf(PolicyChange, { properties: {} })

const Replacement = { ...PolicyDocument, ...unchangeable }

export const PolicyPatch = Type.Unsafe<MergePatch<PolicyDocument>>({
  ...orNull(PolicyDocument),
  ...unchangeable,
  $id: 'PolicyPatch',
  type: 'object',
  description: "A JSON Merge Patch (RFC 7396): null resets a value to the platform's.",
})

export const PolicyChangeQuery = Type.Object(
  { dry_run: Type.Boolean({ default: false, description: 'Report the result without making the change.' }) },
  { additionalProperties: false },
)

export const components = [Policy, Replacement, PolicyPatch, PolicyView, PolicyChange]

export function presentPolicy({ organizationKey, own }: OwnPolicy): Static<typeof PolicyView> {
  return { organization: organizationKey, policy: effectivePolicy(own), sources: sourcesOf(own), own }
}

export function presentChange(change: Change): Static<typeof PolicyChange> {
  const { tokens: items, more } = change.breaches
  const breaking_tokens = { count: items.length, more, items }
  return { ...presentPolicy(change), applied: change.applied, breaking_tokens }
}

/** The same schema with null allowed for every member at every depth. */
function orNull(schema: TSchema): TSchema {
  const { type, enum: values, properties, $id, ...rest } = schema as Record<string, unknown>
  return {
    ...rest,
    type: [...new Set([type, 'null'].flat())],
    ...(Array.isArray(values) && { enum: [...values, null] }),
    ...(isProperties(properties) && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, member]) => [name, orNull(member)]),
      ),
    }),
  }
}

function isProperties(value: unknown): value is Record<string, TSchema> {
  return typeof value === 'object' && value !== null
}
