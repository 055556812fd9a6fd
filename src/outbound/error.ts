/** Something that a tenant registered cannot be fetched; the message is the end of a sentence about its URL. */
export class OutboundError extends Error {}
