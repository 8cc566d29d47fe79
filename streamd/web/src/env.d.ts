declare module '*.vue' {
  import type { DefineComponent } from 'vue'
  const component: DefineComponent<object, object, unknown>
  export default component
}

// The light build (no subtitles, no DRM, no separate audio renditions: 120 kB instead of 189) ships without types.
declare module 'hls.js/light' {
  export { default, Events, ErrorDetails, ErrorTypes } from 'hls.js'
  export type * from 'hls.js'
}
