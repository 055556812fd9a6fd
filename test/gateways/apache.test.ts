import { existsSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import t from 'tap'
import { isRoot } from '../support/embedded.ts'
import { createSite, isInstalled } from '../support/gateway.ts'
import { putTlsBefore } from '../support/tls.ts'
import { behavesLikeAGateway, closesWithCounterfoil } from './cases.ts'

// Where Debian's packages install them.
const directory = '/usr/lib/apache2/modules'
const modules = {
  mpm_event: 'mod_mpm_event',
  authn_core: 'mod_authn_core',
  authz_core: 'mod_authz_core',
  authz_user: 'mod_authz_user',
  headers: 'mod_headers',
  proxy: 'mod_proxy',
  proxy_http: 'mod_proxy_http',
  auth_openidc: 'mod_auth_openidc',
}

if (
  isInstalled('apache2', '-v') &&
  existsSync(`${directory}/mod_auth_openidc.so`) &&
  isInstalled('openssl', 'version')
) {
  const site = await createSite(t)
  const { write, render, start, folder, port } = site
  // The module requires TLS for its introspection endpoint.
  const { url, certificate } = await putTlsBefore(t, site.counterfoil, folder)
  // Started by root, Apache serves as another user, who has to read the certificate.
  await chmod(folder, 0o755)
  const loads = Object.entries(modules).map(
    ([name, file]) => `LoadModule ${name}_module ${directory}/${file}.so`,
  )
  const config = [
    `ServerRoot ${folder}`,
    `DefaultRuntimeDir ${folder}`,
    `PidFile ${folder}/pid`,
    'ServerName api.example',
    `Listen 127.0.0.1:${port}`,
    // Its standard error is a socket, which cannot be opened by path.
    'ErrorLog "|$cat >&2"',
    ...(isRoot ? ['User nobody', 'Group nogroup'] : []),
    ...loads,
    `OIDCCABundlePath ${certificate}`,
    (await render('apache/counterfoil.conf')).replace('https://tokens.example', url),
  ]
  const file = await write('apache2.conf', config.join('\n'))
  await start('apache2', ['-D', 'FOREGROUND', '-f', file], 'resuming normal operations')

  await behavesLikeAGateway(t, site, {
    tooNarrow: 401,
    fields: ['id', 'subject', 'organization', 'scope', 'type'].map((name) => `x-token-${name}`),
    tellsAddress: false,
  })
  t.test('without Counterfoil every request is rejected', (t) => closesWithCounterfoil(t, site, 401))
} else {
  const how = 'apt-get install apache2 libapache2-mod-auth-openidc openssl'
  t.test('Apache with mod_auth_openidc is not installed, or openssl is not', { skip: how }, async () => {})
}
