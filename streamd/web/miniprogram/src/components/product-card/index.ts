/**
 * The product of the moment, over the picture.
 */
Component({
  properties: {
    card: Object,
    words: { type: Object, value: {} },
  },
  methods: {
    open() {
      this.triggerEvent('open', { id: (this.data.card as { id?: string } | null)?.id ?? '' })
    },
  },
})
