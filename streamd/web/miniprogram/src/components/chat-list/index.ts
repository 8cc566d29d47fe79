/**
 * The room's last lines, the newest in view.
 */
Component({
  properties: {
    lines: { type: Array, value: [] as unknown[] },
    /** 0 and 1 by turns: scroll-view goes where it is told only when that is another place than before. */
    turn: Number,
  },
})
