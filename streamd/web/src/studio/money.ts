/** Prices as people type them, and as the server counts them: in the currency's minor unit. Pure. */
export function digitsOf(currency: string): number {
  try {
    return new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? 2
  } catch {
    return 2
  }
}

export function plainOf(minor: number, currency: string): string {
  const digits = digitsOf(currency)
  return (minor / 10 ** digits).toFixed(digits)
}

/** Null when it is not a price: more decimals than the currency has are one, rather than rounded away. */
export function minorOf(text: string, currency: string): number | null {
  const digits = digitsOf(currency)
  const plain = text.trim().replace(/[\s¥$€£￥]/g, '').replace('，', '.').replace(',', '.')
  const match = /^(\d{1,9})(?:\.(\d*))?$/.exec(plain)
  if (!match || (match[2] ?? '').length > digits) return null
  return Number(match[1]) * 10 ** digits + Number((match[2] ?? '').padEnd(digits, '0') || '0')
}
