/** A URL that a tenant registered cannot be fetched; the message continues a sentence about the URL. */
export class OutboundError extends Error {}

/** The organization has reached its limit of concurrent calls. This says nothing about the URL, so it is not cached. */
export class TooManyCallsError extends OutboundError {}
