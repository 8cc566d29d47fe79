/**
 * Comments that fly over the picture. They are moved by CSS; who comes and goes is the page's.
 */
Component({
  properties: { bullets: { type: Array, value: [] as unknown[] } },
})
