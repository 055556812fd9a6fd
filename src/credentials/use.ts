/** How something was used, which is yet to be written down. */
export type Use = {
  uses: number
  /** When last, in milliseconds since 1970. */
  usedAt: number
  /** The last address that is known. */
  usedFrom: string | null
  /** Of AUTH_SECRET, whose use is recorded with its organization. */
  isStatic?: true | undefined
}

export const unused = { uses: 0, usedAt: Number.NEGATIVE_INFINITY, usedFrom: null }
