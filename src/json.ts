/** How deep JSON from outside may be nested, and how many values it may have. Everything that walks it relies on this. */
const mostDeep = 16
const mostValues = 5_000

export type JsonFlaw = { path: string; detail: string }

type Visited = { value: unknown; name: string; depth: number; within: Visited | undefined }

/** What makes JSON more than is accepted, and where that is; without recursion, which has an end of its own. */
export function flawOfJson(json: unknown): JsonFlaw | undefined {
  const waiting: Visited[] = [{ value: json, name: '', depth: 0, within: undefined }]
  let values = 0
  for (let visited = waiting.pop(); visited; visited = waiting.pop()) {
    const { value } = visited
    if (typeof value !== 'object' || value === null) continue
    const depth = visited.depth + 1
    if (depth > mostDeep)
      return { path: pathOf(visited), detail: `is nested more than ${mostDeep} levels deep` }
    const members = Object.entries(value)
    values += members.length
    if (values > mostValues)
      return { path: pathOf(visited), detail: `is more than the ${mostValues} values that are accepted` }
    for (const [name, member] of members) waiting.push({ value: member, name, depth, within: visited })
  }
  return undefined
}

/** As in a problem document; no name of a member is of use beyond its first characters. */
function pathOf(visited: Visited): string {
  const names: string[] = []
  for (let one: Visited | undefined = visited; one?.within; one = one.within)
    names.unshift(one.name.slice(0, 100))
  return names.join('.')
}
