import { describe, expect, it } from 'vitest'

import { HandTimers } from '../../tests/support/handTimers'
import { LiveWatch, pictureAddress, type LiveState } from '../src/live'

function watching() {
  const timers = new HandTimers()
  const states: LiveState[] = []
  const replays: number[] = []
  const watch = new LiveWatch({
    timers,
    random: () => 0.5,
    onState: (state) => states.push(state),
    onReplay: () => replays.push(timers.nowMs()),
  })
  return { timers, states, replays, watch }
}

describe('what live-player says', () => {
  it('is a picture from the first frame on',  () => {
    const { states, watch } = watching()
    for (const code of [2001, 2002, 2008, 2003, 2004, 2009]) watch.take(code)
    expect(states).toEqual(['playing'])
  })

  it('is tried again with growing pauses when the player gave up, and as fast as at first after a picture', async () => {
    const { timers, states, replays, watch } = watching()
    for (let n = 0; n < 3; n += 1) {
      watch.take(-2301)
      await timers.pass(20_000)
    }
    expect(replays.map((atMs, index) => atMs - index * 20_000)).toEqual([1_000, 1_500, 2_250])
    watch.take(2004)
    watch.take(3005)
    await timers.pass(1_000)
    expect(replays).toHaveLength(4)
    expect(states.slice(0, 2)).toEqual(['lost', 'connecting'])
  })

  it('is one pause however many codes say the same, and the viewer need not wait for it', async () => {
    const { timers, replays, watch } = watching()
    for (const code of [3001, 3002, 3003, -2301]) watch.take(code)
    watch.retry()
    await timers.pass(60_000)
    expect(replays).toHaveLength(1)
  })

  it('is a weak network after three stutters in half a minute, and not after three in an hour', async () => {
    const { timers, states, watch } = watching()
    for (let n = 0; n < 3; n += 1) {
      watch.take(2105)
      watch.take(2004)
      await timers.pass(60_000)
    }
    expect(states).not.toContain('weak')
    for (let n = 0; n < 3; n += 1) watch.take(2007)
    expect(states.at(-1)).toBe('weak')
  })

  it('goes on offering sound alone for half a minute, though the picture plays again', async () => {
    const { timers, states, watch } = watching()
    for (let n = 0; n < 3; n += 1) watch.take(2007)
    watch.take(2004)
    await timers.pass(29_000)
    expect(states.at(-1)).toBe('weak')
    await timers.pass(2_000)
    expect(states.at(-1)).toBe('playing')
  })

  it('offers it at the first stutter where WeChat calls the network weak', () => {
    const { states, watch } = watching()
    watch.take(2004)
    watch.hear(true)
    watch.take(2105)
    expect(states).toEqual(['playing', 'weak'])
  })

  it('takes back the word of a stutter whose end is never reported, not of a picture that stands', async () => {
    const { timers, states, watch } = watching()
    watch.take(2004)
    watch.take(2105)
    await timers.pass(4_000)
    expect(states).toEqual(['playing', 'stalled', 'playing'])
    watch.take(2103)
    await timers.pass(60_000)
    expect(states.at(-1)).toBe('stalled')
    watch.take(2004)
    expect(states.at(-1)).toBe('playing')
  })

  it('is tried at once when the network is back, and left alone while it plays', async () => {
    const { timers, replays, watch } = watching()
    watch.take(-2301)
    watch.nudge()
    expect(replays).toEqual([0])
    watch.take(2004)
    watch.nudge()
    await timers.pass(60_000)
    expect(replays).toEqual([0])
  })

  it('offers the other player where live-player says nothing at all, as it does without its category', async () => {
    const silent = watching()
    silent.watch.begin('live')
    await silent.timers.pass(10_000)
    expect(silent.states).toEqual(['undecodable'])
    const slow = watching()
    slow.watch.begin('live')
    slow.watch.take(2001)
    await slow.timers.pass(60_000)
    expect(slow.states).toEqual([])
    const other = watching()
    other.watch.begin('video')
    await other.timers.pass(60_000)
    expect(other.states).toEqual([])
  })

  it('begins anew with another address: nothing of the old one is held against it', async () => {
    const { timers, states, replays, watch } = watching()
    for (let n = 0; n < 5; n += 1) watch.take(2101)
    watch.take(-2301)
    watch.begin('video')
    watch.take(2101)
    await timers.pass(60_000)
    expect(states.at(-1)).toBe('connecting')
    expect(replays).toEqual([])
  })

  it('offers the other player when frames cannot be decoded, not for a single one', async () => {
    const { states, watch } = watching()
    watch.take(2101)
    watch.take(2004)
    for (let n = 0; n < 5; n += 1) watch.take(2101)
    expect(states).toEqual(['playing', 'undecodable'])
  })

  it('leaves no timer behind', async () => {
    const { timers, replays, watch } = watching()
    watch.begin('live')
    watch.take(2105)
    watch.take(3002)
    watch.stop()
    expect(timers.waiting).toBe(0)
    await timers.pass(60_000)
    expect(replays).toEqual([])
  })
})

it('is fetched as FLV for live-player and as HLS for video, with sound alone where that is asked for', async () => {
  const picture = { origin: 'https://a.example', room: 'demo', token: '', kind: 'live', soundOnly: false } as const
  expect(pictureAddress(picture)).toBe('https://a.example/live/demo.flv')
  expect(pictureAddress({ ...picture, token: 'a/b', soundOnly: true })).toBe('https://a.example/live/demo.flv?token=a%2Fb&video=0')
  expect(pictureAddress({ ...picture, kind: 'video' })).toBe('https://a.example/live/demo/index.m3u8')
  expect(pictureAddress({ ...picture, kind: 'video', soundOnly: true })).toBe('https://a.example/live/demo/audio/media.m3u8')
})
