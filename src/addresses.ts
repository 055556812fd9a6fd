import { BlockList, isIP, isIPv6 } from 'node:net'

/** An address, or a network in CIDR notation. */
export function isNetwork(item: string): boolean {
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
