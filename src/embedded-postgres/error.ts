/** The embedded PostgreSQL is unavailable; the message is a sentence that says why and what to do. */
export class EmbeddedError extends Error {}

/** A data directory that has to be put right before another start; the message is a sentence that says how. */
export class DataDirectoryError extends EmbeddedError {}
