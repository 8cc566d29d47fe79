/**
 * How the pages are built: plain files in dist/, every name under /assets/ carrying a hash of its content.
 *
 * Nothing is inlined (no data: URLs, no inline script or style), so the server may send a content security policy
 * that allows 'self' only.
 */
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'

const server = 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [vue()],
  resolve: { alias: { '@': new URL('./src', import.meta.url).pathname } },
  build: {
    target: ['es2020', 'chrome87', 'firefox90', 'safari14.1'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    chunkSizeWarningLimit: 420, // hls.js light, a lazy chunk
  },
  server: {
    proxy: {
      '/api': server,
      '/live': { target: server, ws: true },
      '/socket.io': { target: server, ws: true },
    },
  },
  test: { environment: 'node', include: ['tests/**/*.test.ts'] },
})
