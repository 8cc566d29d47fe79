/**
 * What every page of one browser tab shares: the server's clock and the way to ask the API.
 */
import { ServerClock } from './time/serverClock'
import type { ReadOptions } from './api/http'

export const serverClock = new ServerClock()
export const api: ReadOptions = { clock: serverClock }
