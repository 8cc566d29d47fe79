/**
 * The show's products, in the host's order, from the bottom edge.
 */
Component({
  properties: {
    open: Boolean,
    /** `loading`, `goods` or `lost`: an empty list is only said where there is one. */
    state: String,
    goods: { type: Array, value: [] as unknown[] },
    words: { type: Object, value: {} },
  },
  methods: {
    close() {
      this.triggerEvent('close')
    },
    again() {
      this.triggerEvent('again')
    },
    choose(event: WechatMiniprogram.BaseEvent) {
      this.triggerEvent('open', { id: String(event.currentTarget.dataset['id']) })
    },
  },
})
