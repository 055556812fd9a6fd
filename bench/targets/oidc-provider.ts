// (d) oidc-provider's introspection of opaque client-credentials tokens. Its own in-memory adapter keeps at most a
// thousand entries, so it gets a plain Map instead: no adapter with a database can be faster.
import Provider, { type Adapter, type AdapterPayload } from 'oidc-provider'
import { report } from './serve.ts'

const { CLIENT_SECRET, TOKENS } = process.env as { CLIENT_SECRET: string; TOKENS: string }

class MapAdapter implements Adapter {
  #entries = new Map<string, AdapterPayload>()
  async upsert(id: string, payload: AdapterPayload) {
    this.#entries.set(id, payload)
  }
  async find(id: string) {
    return this.#entries.get(id)
  }
  async destroy(id: string) {
    this.#entries.delete(id)
  }
  async findByUserCode() {
    return undefined
  }
  async findByUid() {
    return undefined
  }
  async consume() {}
  async revokeByGrantId() {}
}

const provider = new Provider('http://localhost:7662', {
  adapter: MapAdapter,
  clients: [
    {
      client_id: 'resource-server',
      client_secret: CLIENT_SECRET,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  scopes: ['read', 'write'],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    devInteractions: { enabled: false },
  },
  ttl: { ClientCredentials: 24 * 60 * 60 },
})

const client = await provider.Client.find('resource-server')
if (!client) throw new Error('the client is missing')
const secrets: string[] = []
for (let i = 0; i < Number(TOKENS); i++) {
  secrets.push(await new provider.ClientCredentials({ client, scope: 'read write' }).save())
}
await report(provider.listen(0, '127.0.0.1'), secrets)
