/** What to write to suspend or resume something; undefined if it is in that state already. */
export function suspension(
  current: { suspendedAt: Date | null },
  suspended: boolean,
  now: Date,
): { suspendedAt: Date | null; updatedAt: Date } | undefined {
  if ((current.suspendedAt !== null) === suspended) return undefined
  return { suspendedAt: suspended ? now : null, updatedAt: now }
}
