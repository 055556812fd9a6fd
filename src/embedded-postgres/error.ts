/** The embedded PostgreSQL cannot be had; the message is a sentence that says why, and what to do. */
export class EmbeddedError extends Error {}
