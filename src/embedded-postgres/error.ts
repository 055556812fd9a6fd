/** The embedded PostgreSQL is unavailable; the message says why and what to do. */
export class EmbeddedError extends Error {}

/** Another process uses the data directory. */
export class DirectoryInUseError extends EmbeddedError {}

/** The data directory must be repaired before the next start; the message says how. */
export class DataDirectoryError extends EmbeddedError {}
