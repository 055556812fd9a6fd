/** Limits on the depth and number of values of JSON from outside. All code that walks such JSON relies on them. */
const maxDepth = 16
const maxValues = 5_000

export type JsonFlaw = { path: string; detail: string }

type Visited = { value: unknown; name: string; depth: number; within: Visited | undefined }

/** How the JSON exceeds the limits, and where. Iterative, since recursion would have a limit of its own. */
export function flawOfJson(json: unknown): JsonFlaw | undefined {
  const waiting: Visited[] = [{ value: json, name: '', depth: 0, within: undefined }]
  let values = 0
  for (let visited = waiting.pop(); visited; visited = waiting.pop()) {
    const { value } = visited
    if (typeof value !== 'object' || value === null) continue
    const depth = visited.depth + 1
    if (depth > maxDepth)
      return { path: pathOf(visited), detail: `is nested more than ${maxDepth} levels deep` }
    const members = Object.entries(value)
    values += members.length
    if (values > maxValues)
      return { path: pathOf(visited), detail: `exceeds the limit of ${maxValues} values` }
    for (const [name, member] of members) waiting.push({ value: member, name, depth, within: visited })
  }
  return undefined
}

/** Named as in a problem document. Member names are truncated. */
function pathOf(visited: Visited): string {
  const names: string[] = []
  for (let one: Visited | undefined = visited; one?.within; one = one.within)
    names.unshift(one.name.slice(0, 100))
  return names.join('.')
}
