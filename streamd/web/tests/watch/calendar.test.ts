import { expect, it } from 'vitest'

import { calendarEntry } from '@/watch/calendar'

const SHOW = {
  title: 'Tea, cups; and more',
  url: 'https://live.example/watch/tea',
  startsAtMs: Date.UTC(2026, 10, 21, 12, 0),
  uid: 'tea-1@live.example',
  stampMs: Date.UTC(2026, 10, 20, 8, 30, 15),
}

it('a show is an hour in the calendar, with an alarm, in UTC', () => {
  const entry = calendarEntry(SHOW)
  expect(entry).toContain('DTSTART:20261121T120000Z\r\nDTEND:20261121T130000Z\r\n')
  expect(entry).toContain('DTSTAMP:20261120T083015Z')
  expect(entry).toContain('SUMMARY:Tea\\, cups\\; and more\r\n')
  expect(entry).toContain('TRIGGER:-PT5M')
  expect(entry.endsWith('END:VCALENDAR\r\n')).toBe(true)
})

it('no line is longer than 75 octets, and no character is torn', () => {
  const entry = calendarEntry({ ...SHOW, title: '明前龙井直播专场'.repeat(12) })
  const lines = entry.split('\r\n')
  expect(Math.max(...lines.map((line) => new TextEncoder().encode(line).length))).toBeLessThanOrEqual(75)
  expect(entry.replaceAll('\r\n ', '')).toContain(`SUMMARY:${'明前龙井直播专场'.repeat(12)}\r\n`)
})
