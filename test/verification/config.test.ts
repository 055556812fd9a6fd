import t from 'tap'
import { readConfig } from '../../src/config.ts'

t.test(
  'without configuration only Authorization is read, and every gateway needs a credential',
  async (t) => {
    t.same(readConfig({}).verification, { fields: [], trustedNetworks: [] })
  },
)

t.test('header fields are case-insensitive, and networks may be IPv4 or IPv6', async (t) => {
  const { verification } = readConfig({
    VERIFY_HEADERS: 'X-Deploy-Personal-Token, x-api-key',
    VERIFY_TRUSTED_NETWORKS: '127.0.0.1, 10.0.0.0/8,::1',
  })
  t.same(verification, {
    fields: ['x-deploy-personal-token', 'x-api-key'],
    trustedNetworks: ['127.0.0.1', '10.0.0.0/8', '::1'],
  })
})

t.test('an invalid or reserved header field ends the start and is named', async (t) => {
  for (const name of ['x token', 'x-töken', 'x-token:', 'Authorization', 'X-Counterfoil-Gateway'])
    t.throws(
      () => readConfig({ VERIFY_HEADERS: name }),
      { message: /^VERIFY_HEADERS contains an invalid item/ },
      name,
    )
})

t.test('an invalid network ends the start and is named', async (t) => {
  for (const network of ['localhost', '10.0.0.0/33', '10.0.0', '*'])
    t.throws(
      () => readConfig({ VERIFY_TRUSTED_NETWORKS: network }),
      { message: /^VERIFY_TRUSTED_NETWORKS contains an invalid item/ },
      network,
    )
})
