type Welcome = {
  url: string
  /** A link that signs in once; undefined without the console. */
  console: string | undefined
  adminTokenPath: string
}

/** The message for users who start Counterfoil without any configuration. */
export function welcome({ url, console, adminTokenPath }: Welcome): string {
  const link =
    console === undefined
      ? ''
      : `    Console               ${console}
                          (signs you in as the administrator; works once, within ten minutes)
`
  return `
  Counterfoil is running.

${link}    API                   ${url}
    API reference         ${url}/docs
    Administrator token   ${adminTokenPath}

  Paste these lines into another terminal to create, introspect and revoke a token:

ADMIN=$(cat '${adminTokenPath}')
TOKEN=$(curl -s ${url}/v1/organizations/default/tokens -H "Authorization: Bearer $ADMIN" \\
  -H 'Content-Type: application/json' -d '{"name":"My first token","type":"api","scopes":["read"]}' \\
  | sed 's/.*"secret":"\\([^"]*\\)".*/\\1/')
curl -s ${url}/introspect -H "Authorization: Bearer $ADMIN" -d "token=$TOKEN"; echo
curl -s ${url}/revoke -H "Authorization: Bearer $ADMIN" -d "token=$TOKEN"
curl -s ${url}/introspect -H "Authorization: Bearer $ADMIN" -d "token=$TOKEN"; echo

  Stop it with Ctrl-C; its data is kept.
`
}
