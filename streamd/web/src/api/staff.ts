/**
 * The JSON API for who is signed in at this browser: see `calling.ts`.
 */
import { session } from '@/services'

import { Caller, type Result } from './calling'
import { sendJson } from './send'

export { resultOf, type Failure, type Result } from './calling'

/** crypto.randomUUID wants a secure origin; a studio on plain http in the house has none. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

const caller = new Caller(sendJson, session, newKey)

export function read<T>(path: string): Promise<Result<T>> {
  return caller.read<T>(path)
}

export function change<T = null>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<Result<T>> {
  return caller.change<T>(method, path, body)
}

/** A picture as the body. */
export function upload<T>(method: 'POST' | 'PUT', path: string, file: Blob): Promise<Result<T>> {
  return caller.upload<T>(method, path, file)
}
