/**
 * A show as an entry for calendars (RFC 5545): half an hour's notice is the calendar's own affair, an alarm five minutes before is ours.
 */
const HOUR_MS = 3_600_000

export interface Appointment {
  readonly title: string
  readonly url: string
  readonly startsAtMs: number
  readonly uid: string
  /** When the entry was written. */
  readonly stampMs: number
}

export function calendarEntry({ title, url, startsAtMs, uid, stampMs }: Appointment): string {
  const lines = [
    'BEGIN:VCALENDAR',
    'VERSION:2.0',
    'PRODID:-//streamd//watch//EN',
    'BEGIN:VEVENT',
    `UID:${escaped(uid)}`,
    `DTSTAMP:${stamp(stampMs)}`,
    `DTSTART:${stamp(startsAtMs)}`,
    `DTEND:${stamp(startsAtMs + HOUR_MS)}`,
    `SUMMARY:${escaped(title)}`,
    `URL:${url}`,
    `DESCRIPTION:${escaped(url)}`,
    'BEGIN:VALARM',
    'ACTION:DISPLAY',
    'TRIGGER:-PT5M',
    `DESCRIPTION:${escaped(title)}`,
    'END:VALARM',
    'END:VEVENT',
    'END:VCALENDAR',
  ]
  return `${lines.map(folded).join('\r\n')}\r\n`
}

function stamp(utcMs: number): string {
  return new Date(utcMs).toISOString().replace(/[-:]|\.\d+/g, '')
}

function escaped(words: string): string {
  return words.replace(/[\\;,]/g, '\\$&').replace(/\r?\n/g, '\\n')
}

/** Lines are 75 octets at most; the rest goes on behind a space. No character is torn apart. */
function folded(line: string): string {
  const size = new TextEncoder()
  let out = ''
  let octets = 0
  for (const letter of line) {
    const more = size.encode(letter).length
    if (octets + more > 74) {
      out += '\r\n '
      octets = 1
    }
    out += letter
    octets += more
  }
  return out
}
