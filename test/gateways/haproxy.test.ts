import t from 'tap'
import { createSite, isInstalled } from '../support/gateway.ts'
import { behavesLikeAGateway, closesWithCounterfoil, identityFields } from './cases.ts'

if (isInstalled('haproxy', '-v')) {
  const site = await createSite(t)
  const { write, render, start, gateway } = site
  const script = await write('counterfoil.lua', await render('haproxy/counterfoil.lua'))
  const config = (await render('haproxy/haproxy.cfg')).replace('/etc/haproxy/counterfoil.lua', script)
  const env = { COUNTERFOIL_CREDENTIAL: gateway.secret }
  await start('haproxy', ['-W', '-db', '-f', await write('haproxy.cfg', config)], 'Loading success', env)

  await behavesLikeAGateway(t, site, {
    tooNarrow: 403,
    fields: identityFields,
    tellsAddress: true,
  })
  t.test('without Counterfoil every request is rejected', (t) => closesWithCounterfoil(t, site, 503))
} else {
  t.test('HAProxy is not installed', { skip: 'apt-get install haproxy' }, async () => {})
}
