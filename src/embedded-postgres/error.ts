/** The embedded PostgreSQL is unavailable; the message says why and what to do. */
export class EmbeddedError extends Error {}

/** The data directory must be repaired before the next start; the message says how. */
export class DataDirectoryError extends EmbeddedError {}
