import { hash } from 'node:crypto'

// Merkle trees as in RFC 9162 §2.1, which are those of RFC 6962. Sizes and indexes may exceed 32 bits, so there are no bit
// operators.

export const hashBytes = 32

/** A tile has the hashes of up to 256 nodes, each of them the root of 256 of the level below (C2SP tlog-tiles). */
export const tileWidth = 256
const tileHeight = 8

/** A tree that leaves can be appended to: the roots of the complete subtrees that it consists of, the largest first. */
export type Tree = { size: number; subtrees: Buffer[] }

/** The node that is the root of `tileWidth ** level` leaves. */
export type Node = { level: number; index: number; hash: Buffer }

export function hashLeaf(entry: Buffer): Buffer {
  return sha256(Buffer.concat([Buffer.of(0), entry]))
}

export function hashNode(left: Buffer, right: Buffer): Buffer {
  return sha256(Buffer.concat([Buffer.of(1), left, right]))
}

function sha256(data: Buffer): Buffer {
  return hash('sha256', data, 'buffer')
}

/** Returns the nodes above the leaves that became complete and that tiles need. */
export function append(tree: Tree, leaf: Buffer): Node[] {
  const complete: Node[] = []
  let node = leaf
  let index = tree.size
  for (let height = 1; index % 2 === 1; height++) {
    node = hashNode(tree.subtrees.pop() as Buffer, node)
    index = half(index)
    if (height % tileHeight === 0) complete.push({ level: height / tileHeight, index, hash: node })
  }
  tree.subtrees.push(node)
  tree.size++
  return complete
}

export function rootOf({ subtrees }: Tree): Buffer {
  if (subtrees.length === 0) return sha256(Buffer.alloc(0))
  return subtrees.reduceRight((right, left) => hashNode(left, right))
}

/** Reads the hashes of a tile: of nodes of this level from `index * tileWidth` on, as many as there are. */
export type TileReader = (level: number, index: number) => Promise<Buffer[]>

/** RFC 9162 §2.1.3.1: the proof that the leaf is in the tree of this size. */
export async function proveInclusion(read: TileReader, leaf: number, size: number): Promise<Buffer[]> {
  const proof: Buffer[] = []
  let [start, end] = [0, size]
  while (end - start > 1) {
    const middle = start + largestPowerBelow(end - start)
    const isLeft = leaf < middle
    proof.push(isLeft ? await rootOfRange(read, middle, end) : await rootOfRange(read, start, middle))
    if (isLeft) end = middle
    else start = middle
  }
  return proof.reverse()
}

/** RFC 9162 §2.1.4.1: the proof that the tree of the first size is the beginning of that of the second. */
export async function proveConsistency(read: TileReader, first: number, second: number): Promise<Buffer[]> {
  if (first === 0) return []
  const proof: Buffer[] = []
  let [start, end] = [0, second]
  while (first < end) {
    const middle = start + largestPowerBelow(end - start)
    const isLeft = first <= middle
    proof.push(isLeft ? await rootOfRange(read, middle, end) : await rootOfRange(read, start, middle))
    if (isLeft) end = middle
    else start = middle
  }
  // If it started at the beginning, the verifier knows it: it is the first root.
  if (start > 0) proof.push(await rootOfRange(read, start, end))
  return proof.reverse()
}

/** The root of the leaves from `start` to before `end`, which is a subtree or the right edge of one. */
async function rootOfRange(read: TileReader, start: number, end: number): Promise<Buffer> {
  const width = end - start
  if (!isPowerOfTwo(width)) {
    const middle = start + largestPowerBelow(width)
    return hashNode(await rootOfRange(read, start, middle), await rootOfRange(read, middle, end))
  }
  const height = Math.log2(width)
  const level = Math.floor(height / tileHeight)
  // The subtree consists of this many neighbors within one tile.
  const count = 2 ** (height % tileHeight)
  const first = start / tileWidth ** level
  const tile = await read(level, Math.floor(first / tileWidth))
  const nodes = tile.slice(first % tileWidth, (first % tileWidth) + count)
  if (nodes.length < count) throw new Error(`the hashes of leaves ${start} to ${end} are missing`)
  const tree: Tree = { size: 0, subtrees: [] }
  for (const node of nodes) append(tree, node)
  return rootOf(tree)
}

/** RFC 9162 §2.1.3.2. */
export function verifyInclusion(
  leaf: { index: number; hash: Buffer },
  proof: Buffer[],
  tree: { size: number; root: Buffer },
): boolean {
  if (leaf.index >= tree.size) return false
  let [first, last] = [leaf.index, tree.size - 1]
  let root = leaf.hash
  for (const sibling of proof) {
    if (last === 0) return false
    if (first % 2 === 1 || first === last) {
      root = hashNode(sibling, root)
      while (first % 2 === 0 && first > 0) [first, last] = [half(first), half(last)]
    } else root = hashNode(root, sibling)
    ;[first, last] = [half(first), half(last)]
  }
  return last === 0 && root.equals(tree.root)
}

/** RFC 9162 §2.1.4.2: whether the first tree is the beginning of the second. */
export function verifyConsistency(
  one: { size: number; root: Buffer },
  other: { size: number; root: Buffer },
  proof: Buffer[],
): boolean {
  if (one.size > other.size) return false
  if (one.size === other.size) return proof.length === 0 && one.root.equals(other.root)
  if (one.size === 0) return proof.length === 0
  const [start, ...rest] = isPowerOfTwo(one.size) ? [one.root, ...proof] : proof
  if (!start) return false
  let [first, last] = [one.size - 1, other.size - 1]
  while (first % 2 === 1) [first, last] = [half(first), half(last)]
  let [firstRoot, lastRoot] = [start, start]
  for (const sibling of rest) {
    if (last === 0) return false
    if (first % 2 === 1 || first === last) {
      firstRoot = hashNode(sibling, firstRoot)
      lastRoot = hashNode(sibling, lastRoot)
      while (first % 2 === 0 && first > 0) [first, last] = [half(first), half(last)]
    } else lastRoot = hashNode(lastRoot, sibling)
    ;[first, last] = [half(first), half(last)]
  }
  return last === 0 && firstRoot.equals(one.root) && lastRoot.equals(other.root)
}

function half(index: number): number {
  return Math.floor(index / 2)
}

/** The largest power of two that is smaller than the number, which is 2 or more. */
function largestPowerBelow(number: number): number {
  let power = 1
  while (power * 2 < number) power *= 2
  return power
}

function isPowerOfTwo(number: number): boolean {
  return number === 1 || largestPowerBelow(number) * 2 === number
}
