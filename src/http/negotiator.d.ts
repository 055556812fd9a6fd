// Declares only what is used here: the package has no types.
declare module 'negotiator' {
  export default class Negotiator {
    constructor(request: { headers: Record<string, string | undefined> })
    /** The one of `available` that the Accept header prefers; undefined if it accepts none of them. */
    mediaType(available: string[]): string | undefined
  }
}
