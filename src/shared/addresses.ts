import { BlockList, isIP, isIPv6 } from 'node:net'

/**
 * An address, or a network in CIDR notation. A zone (`fe80::%eth0/64`) is only meaningful on one machine and is
 * rejected.
 */
export function isNetwork(item: string): boolean {
  if (item.includes('%')) return false
  const [address = '', bits, ...rest] = item.split('/')
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1
  return (
    most > 0 && rest.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most))
  )
}

/**
 * Returns a check whether an address lies in one of the networks. An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`, RFC
 * 4291 §2.5.5.2) counts as its IPv4 address.
 */
export function networksOf(items: readonly string[]): (address: string) => boolean {
  const networks = new BlockList()
  for (const item of items) {
    const [address = '', bits] = item.split('/')
    const family = familyOf(address)
    if (bits === undefined) networks.addAddress(address, family)
    else networks.addSubnet(address, Number(bits), family)
  }
  return (address) => networks.check(address, familyOf(address))
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4'
}

/** RFC 6454 §6.2: only scheme, host and port. */
export function isOrigin(item: string): boolean {
  return URL.canParse(item) && new URL(item).origin === item
}

/**
 * Normalizes the address in a socket, header field or parameter: without the brackets and port that some proxies add,
 * and an IPv4-mapped address (`::ffff:192.0.2.7`) as IPv4. Null if there is none, as in `unknown` or `_hidden` (RFC
 * 7239 §6), or if it has a zone (`fe80::1%eth0`), which is only meaningful on one machine.
 */
export function plainAddress(text: string | undefined): string | null {
  if (text === undefined) return null
  // On the path of every request, and hardly any needs conversion.
  const bare = isIP(text) > 0 ? text : withoutPort(text)
  const family = bare.includes('%') ? 0 : isIP(bare)
  if (family === 0) return null
  return family === 6 && /ffff/i.test(bare) ? formatIPv6(numberOf(bare)) : bare
}

// IPv6 with a port needs brackets: otherwise the last group cannot be distinguished from a port.
const withPort = /^(?:\[([\da-f.]*:[\da-f.:]*)\]|([\d.]+))(?::\d{1,5})?$/i

function withoutPort(text: string): string {
  const [, v6, v4] = withPort.exec(text) ?? []
  return v6 ?? v4 ?? ''
}

/**
 * The canonical form of a network: with its prefix length, and no bits set beyond it. Undefined if the text is not a
 * network.
 */
export function plainNetwork(text: string): string | undefined {
  if (!isNetwork(text)) return undefined
  const [address = '', given] = text.split('/')
  const width = isIPv6(address) ? 128 : 32
  const bits = Number(given ?? width)
  const rest = BigInt(width - bits)
  const start = (numberOf(address) >> rest) << rest
  if (width === 32) return `${formatIPv4(start)}/${bits}`
  const mapped = bits >= 96 && start >> 32n === 0xffffn
  return `${formatIPv6(start)}/${mapped ? bits - 96 : bits}`
}

/** Whether every address of the first networks is also in the second; null means all addresses. */
export function isWithinNetworks(inner: readonly string[] | null, outer: readonly string[] | null): boolean {
  if (outer === null) return true
  return inner?.every((network) => outer.some((other) => contains(other, network))) ?? false
}

function contains(outer: string, inner: string): boolean {
  const [[address, bits], [innerAddress, innerBits]] = [partsOf(outer), partsOf(inner)]
  if (isIPv6(address) !== isIPv6(innerAddress) || bits > innerBits) return false
  const rest = BigInt((isIPv6(address) ? 128 : 32) - bits)
  return numberOf(address) >> rest === numberOf(innerAddress) >> rest
}

function partsOf(network: string): [address: string, bits: number] {
  const [address = '', bits] = (plainNetwork(network) ?? network).split('/')
  return [address, Number(bits)]
}

/**
 * The network that one caller is assumed to control: an IPv4 address, or the /64 network of an IPv6 address, which
 * usually belongs to a single host. Texts that are not addresses count as one caller.
 */
export function callerNetwork(text: string | undefined): string {
  const address = plainAddress(text)
  if (address === null) return 'unknown'
  return (isIPv6(address) && plainNetwork(`${address}/64`)) || address
}

function numberOf(address: string): bigint {
  if (!isIPv6(address)) return address.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n)
  // URL parsing normalizes to lower case and removes dotted IPv4 notation.
  const [start = '', end] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const [before, after] = [groupsOf(start), groupsOf(end ?? '')]
  const zeros = Array<string>(8 - before.length - after.length).fill('0')
  return [...before, ...zeros, ...after].reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n)
}

function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':')
}

function formatIPv4(number: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (number >> shift) & 0xffn).join('.')
}

function formatIPv6(number: bigint): string {
  if (number >> 32n === 0xffffn) return formatIPv4(number & 0xffff_ffffn)
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((number >> BigInt(112 - 16 * i)) & 0xffffn).toString(16),
  )
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}
