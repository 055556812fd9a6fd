/** Settings of /verify; without trusted networks every gateway needs a credential. */
export type VerificationOptions = {
  /** Lower-case names of header fields, besides Authorization, in which users may present a token. */
  fields: string[]
  /** Peers in these networks need no credential, and see every token. */
  trustedNetworks: string[]
}
