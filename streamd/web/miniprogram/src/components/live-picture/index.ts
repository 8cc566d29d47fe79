/**
 * The picture: live-player on HTTP-FLV, or video on HLS. Says in words how it is, with what the viewer can do about it.
 */
import { LiveWatch, type LiveState } from '../../live'
import { timers } from '../../services'

type Context = { stop(): void; play(): void }
type Connected = (event: { isConnected: boolean }) => void
/** The typings give the handler another argument than the one it was registered with. */
type OffConnected = WechatMiniprogram.OffNetworkStatusChangeCallback
type Weak = (event: { weakNet: boolean }) => void

interface Held {
  readonly watch: LiveWatch
  readonly onConnected: Connected
  readonly onWeak: Weak
}

Component({
  properties: {
    src: String,
    kind: { type: String, value: 'live' },
    soundOnly: Boolean,
    words: { type: Object, value: {} },
  },
  data: { state: 'connecting' as LiveState, begun: '', begunKind: 'live' as 'live' | 'video' },
  observers: {
    // A player that is replaced begins by itself; one that goes on with another address has to be told.
    'src, kind': function (src: string, kind: 'live' | 'video') {
      const held = this.held()
      if (!held || (src === this.data.begun && kind === this.data.begunKind)) return
      const isSame = kind === this.data.begunKind
      this.begin()
      if (isSame) wx.nextTick(() => this.replay())
    },
  },
  lifetimes: {
    attached() {
      const watch = new LiveWatch({
        timers,
        random: Math.random,
        onState: (state) => this.setData({ state }),
        onReplay: () => this.replay(),
      })
      const onConnected: Connected = ({ isConnected }) => isConnected && watch.nudge()
      const onWeak: Weak = ({ weakNet }) => watch.hear(weakNet)
      wx.onNetworkStatusChange(onConnected)
      wx.onNetworkWeakChange?.(onWeak)
      const held: Held = { watch, onConnected, onWeak }
      Object.assign(this, { parts: held })
      this.begin()
    },
    detached() {
      const held = this.held()
      if (!held) return
      held.watch.stop()
      wx.offNetworkStatusChange(held.onConnected as unknown as OffConnected)
      wx.offNetworkWeakChange?.(held.onWeak)
    },
  },
  pageLifetimes: {
    show() {
      this.held()?.watch.nudge()
    },
  },
  methods: {
    held(): Held | undefined {
      return (this as unknown as { parts?: Held }).parts
    },
    begin() {
      const { src, kind } = this.data
      this.data.begun = src
      this.data.begunKind = kind as 'live' | 'video'
      this.held()?.watch.begin(this.data.begunKind)
    },
    context(): Context {
      return this.data.kind === 'live' ? wx.createLivePlayerContext('live', this) : wx.createVideoContext('video', this)
    },
    replay() {
      const context = this.context()
      context.stop()
      context.play()
    },
    onLiveState(event: { detail: { code: number } }) {
      this.held()?.watch.take(event.detail.code)
    },
    // The same states, in the words that <video> has for them.
    onPlay() {
      this.held()?.watch.take(2004)
    },
    onWaiting() {
      this.held()?.watch.take(2007)
    },
    onVideoError() {
      this.held()?.watch.take(3002)
    },
    retry() {
      this.held()?.watch.retry()
    },
    toggleSoundOnly() {
      this.triggerEvent('soundonly')
    },
    askPlain() {
      this.triggerEvent('plain')
    },
  },
})
