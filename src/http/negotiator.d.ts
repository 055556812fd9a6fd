// What is used of it: the package brings no types.
declare module 'negotiator' {
  export default class Negotiator {
    constructor(request: { headers: Record<string, string | undefined> })
    /** The one of `available` that the Accept header prefers; undefined if it takes none of them. */
    mediaType(available: string[]): string | undefined
  }
}
