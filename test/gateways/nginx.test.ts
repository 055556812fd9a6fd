import t from 'tap'
import { createSite, isInstalled } from '../support/gateway.ts'
import { behavesLikeAGateway, closesWithCounterfoil } from './cases.ts'

if (isInstalled('nginx', '-v')) {
  const site = await createSite(t)
  const { write, render, start, folder } = site
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const paths = temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')
  await write('counterfoil.conf', await render('nginx/counterfoil.conf'))
  const main = `
    daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr notice;
    events { worker_connections 64; }
    http { access_log off; ${paths} include ${folder}/counterfoil.conf; }`
  const file = await write('nginx.conf', main)
  await start('nginx', ['-p', folder, '-c', file, '-e', 'stderr'], 'start worker processes')

  await behavesLikeAGateway(t, site, {
    tooNarrow: 403,
    fields: ['id', 'subject', 'organization', 'scope', 'type', 'name', 'expires-at'].map(
      (name) => `x-token-${name}`,
    ),
    tellsAddress: true,
  })
  t.test('without Counterfoil nobody is let through', (t) => closesWithCounterfoil(t, site, 503))
} else {
  t.test('nginx is not installed', { skip: 'apt-get install nginx-light' }, async () => {})
}
