/**
 * Where the last parcel went, kept in this browser for whoever sent it, if they want that.
 *
 * The server keeps addresses sealed with their orders and has no book of them; so this is the only memory, and it is the buyer's own.
 * Promise: never throws; somebody else who signs in here does not see it.
 */
import { record, text } from '@/api/http'

export interface Address {
  readonly recipient: string
  readonly phone: string
  readonly address: string
}

const KEY = 'streamd.address'
export const NO_ADDRESS: Address = { recipient: '', phone: '', address: '' }

type Kept = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>

export function keptAddress(storage: Kept, userId: string): Address | null {
  try {
    const kept = record(JSON.parse(storage.getItem(KEY) ?? 'null'))
    if (userId === '' || kept['userId'] !== userId) return null
    const { recipient, phone, address } = kept
    return { recipient: text(recipient), phone: text(phone), address: text(address) }
  } catch {
    return null
  }
}

/** `address` null forgets it. */
export function keepAddress(storage: Kept, userId: string, address: Address | null): void {
  try {
    if (address && userId !== '') storage.setItem(KEY, JSON.stringify({ userId, ...address }))
    else storage.removeItem(KEY)
  } catch {
    // forbidden or full: it is typed again next time
  }
}

/** Which fields the server would refuse. */
export function wanting({ recipient, phone, address }: Address): (keyof Address)[] {
  const missing: (keyof Address)[] = []
  if (recipient.trim() === '') missing.push('recipient')
  if (!/^[+\d][\d\s()-]{2,38}$/.test(phone.trim())) missing.push('phone')
  if (address.trim() === '') missing.push('address')
  return missing
}
