import { webcrypto } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { generateSecret, signatureOf, signWith } from '../../src/webhooks/signature.ts'
import { newMasterKey } from '../support/master-key.ts'
import { recordSecret } from '../support/records.ts'

// The vector of the reference implementations of Standard Webhooks.
const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const message = {
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  timestamp: new Date(1_614_265_330_000),
  body: '{"test": 2432232314}',
}
const signature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='

t.test('the published vector has the published signature, here and in the library', async (t) => {
  const k = Buffer.from(secret.slice('whsec_'.length), 'base64').toString('base64url')
  t.equal(signWith({ kty: 'oct', k }, message), signature)
  t.equal(new Webhook(secret).sign(message.id, message.timestamp, message.body), signature)
})

const masterKey = newMasterKey()
const stored = { id: 'w', sealedPreviousSecret: null, previousUntil: null }

t.test('a generated secret gives the same signature in the library', async (t) => {
  const made = await generateSecret('hmac', 'w', masterKey)
  recordSecret(made.secret ?? '')
  const own = await signatureOf(message, { ...stored, sealedSecret: made.sealed }, [masterKey])
  t.equal(own, new Webhook(made.secret ?? '').sign(message.id, message.timestamp, message.body))
})

t.test('an ed25519 signature verifies with the public key, and not for another message', async (t) => {
  const { sealed, secret, publicKey } = await generateSecret('ed25519', 'w', masterKey)
  t.equal(secret, null, 'the private key is not shown')
  t.match(publicKey, /^whpk_[A-Za-z0-9+/]{43}=$/)
  const own = await signatureOf(message, { ...stored, sealedSecret: sealed }, [masterKey])
  const [version, text = ''] = own?.split(',') ?? []
  t.equal(version, 'v1a')
  const raw = Buffer.from((publicKey ?? '').slice('whpk_'.length), 'base64')
  const key = await webcrypto.subtle.importKey('raw', raw, 'Ed25519', true, ['verify'])
  const verifies = (content: string) =>
    webcrypto.subtle.verify('Ed25519', key, Buffer.from(text, 'base64'), Buffer.from(content))
  t.ok(await verifies(`${message.id}.1614265330.${message.body}`))
  t.notOk(await verifies(`${message.id}.1614265331.${message.body}`))
})

t.test('both secrets sign until the overlap ends', async (t) => {
  const first = await generateSecret('hmac', 'w', masterKey)
  const second = await generateSecret('hmac', 'w', masterKey)
  const rotated = { ...stored, sealedSecret: second.sealed, sealedPreviousSecret: first.sealed }
  const during = await signatureOf(
    message,
    { ...rotated, previousUntil: new Date(message.timestamp.getTime() + 1) },
    [masterKey],
  )
  t.equal(during?.split(' ').length, 2)
  const after = await signatureOf(message, { ...rotated, previousUntil: message.timestamp }, [masterKey])
  t.equal(after, during?.split(' ')[0], 'then only the new one')
})

t.test('a secret does not open for another webhook, or under another master key', async (t) => {
  const { sealed: sealedSecret } = await generateSecret('hmac', 'w', masterKey)
  t.equal(await signatureOf(message, { ...stored, id: 'other', sealedSecret }, [masterKey]), undefined)
  t.equal(await signatureOf(message, { ...stored, sealedSecret }, [newMasterKey()]), undefined)
})
