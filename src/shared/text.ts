/**
 * A name as it is stored and compared: without surrounding spaces, and in NFC (Unicode Standard Annex 15), so that names
 * that look the same are the same.
 */
export function plainName(name: string): string {
  return name.trim().normalize('NFC')
}
