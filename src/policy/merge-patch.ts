/** A JSON Merge Patch for a `T` (RFC 7396): null removes a member, an object is merged, anything else replaces. */
export type MergePatch<T> = { [K in keyof T]?: Patched<T[K]> | null }

type Patched<T> = T extends readonly unknown[] ? T : T extends object ? MergePatch<T> : T

/** RFC 7396 §2, for a target that is an object. */
export function mergePatch<T extends object>(target: T, patch: MergePatch<T>): T {
  return merge(target, patch) as T
}

function merge(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const merged = new Map(isObject(target) ? Object.entries(target) : [])
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name)
    else merged.set(name, merge(merged.get(name), value))
  }
  return Object.fromEntries(merged)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
