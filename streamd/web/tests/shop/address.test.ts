import { expect, it } from 'vitest'

import { keepAddress, keptAddress, wanting } from '@/shop/address'

const HOME = { recipient: 'Li Lei', phone: '+86 138 0000 0000', address: '1 West Lake Road' }

class Shelf {
  readonly kept = new Map<string, string>()
  getItem = (key: string): string | null => this.kept.get(key) ?? null
  setItem = (key: string, value: string): void => void this.kept.set(key, value)
  removeItem = (key: string): void => void this.kept.delete(key)
}

it('an address is there next time, for the one who gave it and nobody else', () => {
  const shelf = new Shelf()
  keepAddress(shelf, 'u1', HOME)
  expect(keptAddress(shelf, 'u1')).toEqual(HOME)
  expect(keptAddress(shelf, 'u2')).toBeNull()
  expect(keptAddress(shelf, '')).toBeNull()
})

it('an address that is not to be kept is forgotten', () => {
  const shelf = new Shelf()
  keepAddress(shelf, 'u1', HOME)
  keepAddress(shelf, 'u1', null)
  expect(shelf.kept.size).toBe(0)
})

it('what is damaged or forbidden is nothing', () => {
  const shelf = new Shelf()
  shelf.kept.set('streamd.address', '{')
  expect(keptAddress(shelf, 'u1')).toBeNull()
  const forbidden = { ...shelf, setItem: () => { throw new Error('full') } }
  expect(() => keepAddress(forbidden, 'u1', HOME)).not.toThrow()
})

it('what the server would refuse is named before it is asked', () => {
  expect(wanting(HOME)).toEqual([])
  expect(wanting({ recipient: ' ', phone: 'later', address: '' })).toEqual(['recipient', 'phone', 'address'])
})
