/** How /verify is set up besides its address; without trusted networks every gateway sends a credential. */
export type VerificationOptions = {
  /** Names in lower case of header fields in which a user may present a token, besides Authorization. */
  fields: string[]
  /** Peers that need no credential to ask about every token. */
  trustedNetworks: string[]
}
