/** Something that a tenant registered cannot be fetched; the message is the end of a sentence about its URL. */
export class OutboundError extends Error {}

/** Its organization has as many calls in progress as it may. That says nothing about the URL, and is not remembered. */
export class CrowdedError extends OutboundError {}
