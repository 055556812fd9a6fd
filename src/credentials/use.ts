/** A use that has not been written yet. */
export type Use = {
  uses: number
  /** The latest use, in milliseconds since 1970. */
  usedAt: number
  /** The latest known address. */
  usedFrom: string | null
  /** True for AUTH_SECRET, whose use is recorded with its organization. */
  isStatic?: true | undefined
}

export const unused = { uses: 0, usedAt: Number.NEGATIVE_INFINITY, usedFrom: null }
