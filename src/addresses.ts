import { BlockList, isIP, isIPv6 } from 'node:net'

/** An address, or a network in CIDR notation. A zone (`fe80::%eth0/64`) belongs to one machine and is refused. */
export function isNetwork(item: string): boolean {
  if (item.includes('%')) return false
  const [address = '', bits, ...rest] = item.split('/')
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1
  return (
    most > 0 && rest.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most))
  )
}

/**
 * Tells whether an address lies in one of the networks. An IPv4 address is the same when it comes as an IPv6 one
 * (`::ffff:10.0.0.1`, RFC 4291 §2.5.5.2).
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

/** RFC 6454 §6.2: scheme, host and port, and nothing behind them. */
export function isOrigin(item: string): boolean {
  return URL.canParse(item) && new URL(item).origin === item
}

/**
 * The address that a socket, a header field or a parameter gives, in one form: without the brackets and the port that
 * some proxies add, and an IPv4-mapped address (`::ffff:192.0.2.7`) as IPv4. Null where there is none, as in `unknown`
 * or `_hidden` (RFC 7239 §6), and where it has a zone (`fe80::1%eth0`), which means something on one machine only.
 */
export function plainAddress(text: string | undefined): string | null {
  if (text === undefined) return null
  // Every request comes by here, and nearly none has anything to convert.
  const bare = isIP(text) > 0 ? text : withoutPort(text)
  const family = bare.includes('%') ? 0 : isIP(bare)
  if (family === 0) return null
  return family === 6 && /ffff/i.test(bare) ? formatIPv6(numberOf(bare)) : bare
}

// IPv6 only in brackets: without them its last group cannot be told from a port.
const withPort = /^(?:\[([\da-f.]*:[\da-f.:]*)\]|([\d.]+))(?::\d{1,5})?$/i

function withoutPort(text: string): string {
  const [, v6, v4] = withPort.exec(text) ?? []
  return v6 ?? v4 ?? ''
}

/** The one way to write a network: with its bits, and none set behind them. Undefined where the text is none. */
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

/** Whether no address is in the first networks that is not in the others; null is all addresses. */
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
 * What one caller may be supposed to have: an IPv4 address, or the /64 network of an IPv6 address, of which a single
 * host has all. Addresses that are none are one.
 */
export function callerNetwork(text: string | undefined): string {
  const address = plainAddress(text)
  if (address === null) return 'unknown'
  return (isIPv6(address) && plainNetwork(`${address}/64`)) || address
}

function numberOf(address: string): bigint {
  if (!isIPv6(address)) return address.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n)
  // URLs have one way to write it, with neither capitals nor the dots of IPv4.
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
