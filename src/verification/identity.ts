import type { Credential } from '../access/credential.ts'

/** Proxies limit how long the header of a response may be. */
const longestName = 200

/**
 * The token's identity as header fields for the service behind the gateway. All of them are always present, so that a
 * gateway that copies them overwrites fields that a client sent under these names.
 */
export function identityOf(token: Credential): Record<IdentityField, string> {
  return {
    'x-token-id': token.tokenId,
    'x-token-subject': encoded(token.ownerSubject ?? token.tokenId),
    'x-token-organization': encoded(token.organizationKey),
    'x-token-scope': token.scopes.map(encoded).join(' '),
    'x-token-type': encoded(token.type),
    'x-token-name': encoded(Array.from(token.name).slice(0, longestName).join('')),
    'x-token-expires-at': token.expiresAt?.toISOString() ?? 'never',
  }
}

export const identityFields = {
  'x-token-id': 'The id of the token.',
  'x-token-subject': 'The subject of its owner, or the id of a service token; percent-encoded.',
  'x-token-organization': 'The key of its organization.',
  'x-token-scope': 'Its scopes, separated by spaces.',
  'x-token-type': 'Its token type.',
  'x-token-name': 'The first 200 characters of its name, percent-encoded.',
  'x-token-expires-at': 'When it expires (RFC 3339), or `never`.',
} as const

type IdentityField = keyof typeof identityFields

const visible = /^[\x21-\x24\x26-\x7E]*$/

/** Percent-encodes everything but visible ASCII: no name or subject can end or start a header field. */
function encoded(text: string): string {
  return visible.test(text) ? text : text.replace(/[^\x21-\x24\x26-\x7E]/gu, (one) => encodeURIComponent(one))
}
