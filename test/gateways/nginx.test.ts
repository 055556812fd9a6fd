import t from 'tap'
import { createSite, isInstalled } from '../support/gateway.ts'
import { behavesLikeAGateway, closesWithCounterfoil, identityFields } from './cases.ts'
import { startNginx } from './nginx.ts'

if (isInstalled('nginx', '-v')) {
  const site = await createSite(t)
  await startNginx(site, await site.render('nginx/counterfoil.conf'))
  await behavesLikeAGateway(t, site, {
    tooNarrow: 403,
    fields: identityFields,
    tellsAddress: true,
  })
  t.test('without Counterfoil every request is rejected', (t) => closesWithCounterfoil(t, site, 503))
} else {
  t.test('nginx is not installed', { skip: 'apt-get install nginx-light' }, async () => {})
}
