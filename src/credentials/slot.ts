/**
 * A number that stands for a hash in a Map, to be compared with what is found there: a few hashes have theirs in common. A
 * text that is looked up is first sought among all texts that V8 knows, which takes longer than to find its place.
 */
export function slotOf(hash: string): number {
  let slot = 0
  for (let i = 0; i < 8; i++) slot = Math.imul(slot ^ hash.charCodeAt(i), 0x01000193)
  return slot
}
