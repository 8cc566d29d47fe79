/**
 * `wx.request` as the way to the API.
 */
import type { Exchange } from '@/api/exchange'

export function wxExchange(origin: string): Exchange {
  return ({ method, path, headers, body, timeoutMs }) =>
    new Promise((resolve) => {
      wx.request({
        url: `${origin}${path}`,
        // PATCH is not among the methods of wx.request; nothing here asks for it.
        method: method as 'GET' | 'POST' | 'PUT' | 'DELETE',
        header: { ...headers },
        ...(typeof body === 'string' ? { data: body } : {}),
        dataType: 'text', // only `json` is parsed for us, and what becomes of bad JSON is not said
        timeout: timeoutMs,
        success: (answer) =>
          resolve({
            status: answer.statusCode,
            body: parsed(answer.data),
            header: (name) => headerOf(answer.header as Record<string, unknown>, name),
            receivedAtMs: Date.now(),
          }),
        fail: () => resolve(null),
      })
    })
}

function parsed(data: unknown): unknown {
  if (typeof data !== 'string') return data ?? null
  try {
    return JSON.parse(data) as unknown
  } catch {
    return null
  }
}

/** Whether names keep their case differs by platform. */
function headerOf(header: Readonly<Record<string, unknown>>, name: string): string {
  const key = Object.keys(header).find((each) => each.toLowerCase() === name.toLowerCase())
  return key === undefined ? '' : String(header[key])
}
