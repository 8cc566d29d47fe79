/**
 * Sending from a page: see `sending.ts`.
 */
import { noteFailedRequest } from '@/failures'

import { browserExchange } from './browserExchange'
import { senderBy } from './sending'

export type { Sending, Sent } from './sending'

export const sendJson = senderBy(browserExchange(), noteFailedRequest)
