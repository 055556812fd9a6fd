// The package has no types; this declares what is used here.
declare module 'oidc-provider' {
  import type { RequestListener } from 'node:http'

  export default class Provider {
    constructor(issuer: string, configuration: object)
    callback(): RequestListener
    on(event: 'access_token.saved' | 'refresh_token.saved', listener: (token: SavedToken) => void): void
  }

  type SavedToken = {
    /** The token itself. */
    jti: string
    accountId?: string
    destroy(): Promise<unknown>
  }
}
