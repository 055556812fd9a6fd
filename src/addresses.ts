import { isIP } from 'node:net'

/** An address, or a network in CIDR notation. */
export function isNetwork(item: string): boolean {
  const [address = '', bits, ...rest] = item.split('/')
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1
  return (
    most > 0 && rest.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most))
  )
}

/** RFC 6454 §6.2: scheme, host and port, and nothing behind them. */
export function isOrigin(item: string): boolean {
  return URL.canParse(item) && new URL(item).origin === item
}
