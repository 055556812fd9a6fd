import type { Site } from '../support/gateway.ts'

/** Starts nginx with a configuration in its folder conf.d, independent of the machine's own configuration. */
export async function startNginx({ write, start, folder }: Site, config: string): Promise<void> {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const paths = temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')
  await write('counterfoil.conf', config)
  const main = `
    daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr notice;
    events { worker_connections 64; }
    http { access_log off; ${paths} include ${folder}/counterfoil.conf; }`
  const file = await write('nginx.conf', main)
  await start('nginx', ['-p', folder, '-c', file, '-e', 'stderr'], 'start worker processes')
}
