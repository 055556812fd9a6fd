import t from 'tap'
import {
  append,
  hashLeaf,
  proveConsistency,
  proveInclusion,
  rootOf,
  type Tree,
  tileWidth,
  verifyConsistency,
  verifyInclusion,
} from '../../src/shared/merkle-tree.ts'
import { canonicalJson } from '../../src/transparency-log/entry.ts'
import { openNote, parseVerifierKey, splitNotes } from '../../src/transparency-log/note.ts'

const newTree = (): Tree => ({ size: 0, subtrees: [] })

/** The tree of these leaves, the root after each, and its tiles. */
function build(leaves: Buffer[]) {
  const tree = newTree()
  const roots = [rootOf(tree)]
  const levels: Buffer[][] = [leaves]
  for (const leaf of leaves) {
    for (const { level, hash } of append(tree, leaf)) {
      levels[level] ??= []
      levels[level].push(hash)
    }
    roots.push(rootOf(tree))
  }
  const read = async (level: number, index: number) =>
    levels[level]?.slice(index * tileWidth, (index + 1) * tileWidth) ?? []
  return { roots, read, levels }
}

t.test('the roots and proofs are those of the test vectors of RFC 6962', async (t) => {
  // From the tests of Certificate Transparency (github.com/google/certificate-transparency, merkle_tree_test.cc).
  const entries = [
    '',
    '00',
    '10',
    '2021',
    '3031',
    '40414243',
    '5051525354555657',
    '606162636465666768696a6b6c6d6e6f',
  ]
  const { roots, read } = build(entries.map((entry) => hashLeaf(Buffer.from(entry, 'hex'))))
  t.same(
    roots.map((root) => root.toString('hex')),
    [
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
      'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
      '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
      'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
      '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
    ],
  )
  const hex = (proof: Buffer[]) => proof.map((hash) => hash.toString('hex'))
  t.same(hex(await proveInclusion(read, 5, 8)), [
    'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  ])
  t.same(hex(await proveConsistency(read, 6, 8)), [
    '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
    'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  ])
})

t.test(
  'every leaf and every earlier tree of trees of many sizes can be proved, and nothing else',
  async (t) => {
    const leaves = Array.from({ length: 70_000 }, (_, index) => hashLeaf(Buffer.from(String(index))))
    const { roots, read, levels } = build(leaves)
    t.same(
      levels.map(({ length }) => length),
      [70_000, 273, 1],
    )
    const at = (size: number) => ({ size, root: roots[size] as Buffer })
    const leafAt = (index: number) => ({ index, hash: leaves[index] as Buffer })
    let proved = 0
    const wrong: unknown[] = []
    const sizes = [...Array(20).keys(), 255, 256, 257, 511, 513, 1000, 65_535, 65_536, 65_537, 70_000].filter(
      (n) => n > 0,
    )
    for (const size of sizes) {
      const others = [0, 1, 2, size >> 1, size - 2, size - 1].filter((index) => index >= 0 && index < size)
      for (const index of others) {
        const proof = await proveInclusion(read, index, size)
        proved++
        if (!verifyInclusion(leafAt(index), proof, at(size))) wrong.push({ index, size })
        const lies = [
          verifyInclusion({ ...leafAt(index), hash: hashLeaf(Buffer.from('another')) }, proof, at(size)),
          verifyInclusion({ ...leafAt(index), index: index + 1 }, proof, at(size)),
          verifyInclusion(leafAt(index), [...proof, proof[0] ?? leafAt(0).hash], at(size)),
          verifyInclusion(leafAt(index), proof, { size, root: hashLeaf(Buffer.from('root')) }),
        ]
        if (lies.includes(true)) wrong.push({ index, size, lies })
      }
      for (const earlier of [...others, size].filter((n) => n > 0)) {
        const proof = await proveConsistency(read, earlier, size)
        proved++
        if (!verifyConsistency(at(earlier), at(size), proof)) wrong.push({ earlier, size })
        const forged = { size: earlier, root: hashLeaf(Buffer.from('fork')) }
        const lies = [
          verifyConsistency(forged, at(size), proof),
          verifyConsistency(at(size), at(earlier), proof) && earlier !== size,
        ]
        if (lies.includes(true)) wrong.push({ earlier, size, lies })
      }
    }
    t.same(wrong, [])
    t.ok(proved > 200, `${proved} proofs`)
  },
)

t.test('a signed note of another implementation is verified', async (t) => {
  // The example of golang.org/x/mod/sumdb/note, which C2SP signed-note describes.
  const key = parseVerifierKey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW')
  const text =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
  const signature =
    '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n'
  t.equal(openNote(`${text}\n${signature}`, key), text)
  t.equal(openNote(`${text}\n— witness AAAAAAAA\n${signature}`, key), text, 'with that of a witness')
  for (const forged of [
    `${text.replace('answer', 'question')}\n${signature}`,
    `${text}${signature}`,
    `${text}\n${signature.replace('x08go', 'x08gp')}`,
    `${text}\n${signature.replace('PeterNeumann', 'PeterN')}`,
  ])
    t.throws(() => openNote(forged, key), {
      name: 'Error',
      message: /not signed by the key PeterNeumann\+c74f20a3/,
    })
  for (const wrong of [
    '',
    'PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
    'a+c74f20a3+AAAA',
  ])
    t.throws(() => parseVerifierKey(wrong), { message: /not a verifier key/ })
})

t.test('several checkpoints in a file are found, whatever is between them', async (t) => {
  const note = (size: number) => `example.com/log\n${size}\nroot\n\n— example.com/log c2ln\n`
  t.same(splitNotes(`${note(1)}${note(2)}\n\n${note(3).trimEnd()}`), [note(1), note(2), note(3)])
  t.same(splitNotes('no checkpoint'), [])
})

t.test('events are hashed as canonical JSON (RFC 8785)', async (t) => {
  // §3.2.2 and §3.2.3.
  const value = JSON.parse(
    String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
  )
  t.equal(
    canonicalJson(value),
    String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
  )
  const names = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 }
  t.same(
    Object.values(JSON.parse(canonicalJson(names).replaceAll('"1":4', '"one":4'))),
    [2, 4, 6, 7, 1, 5, 3],
  )
  t.equal(canonicalJson({ 9: 1, 10: 2 }), '{"10":2,"9":1}')
})
