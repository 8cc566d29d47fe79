/**
 * How the pages are built: plain files in dist/, every name under /assets/ carrying a hash of its content.
 *
 * Nothing is inlined (no data: URLs, no inline script or style), so the server may send a content security policy
 * that allows 'self' only.
 */
import vue from '@vitejs/plugin-vue'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

const server = 'http://127.0.0.1:8080'

/** Puts src/early.ts into the head as a script that runs before the first paint. */
function earlyScript(): Plugin {
  return {
    name: 'early-script',
    transformIndexHtml: {
      order: 'post',
      handler(_html, { bundle }) {
        const built = Object.values(bundle ?? {}).find((file) => file.type === 'chunk' && file.name === 'early')
        const attrs = built ? { src: `/${built.fileName}` } : { src: '/src/early.ts', type: 'module' }
        return [{ tag: 'script', attrs, injectTo: 'head' }]
      },
    },
  }
}

export default defineConfig({
  plugins: [vue(), earlyScript()],
  resolve: { alias: { '@': new URL('./src', import.meta.url).pathname } },
  build: {
    target: ['es2020', 'chrome87', 'firefox90', 'safari14.1'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 420, // hls.js light, a lazy chunk
    rolldownOptions: { input: { index: 'index.html', early: 'src/early.ts' } },
  },
  server: {
    proxy: {
      '/api': server,
      '/live': { target: server, ws: true },
      '/socket.io': { target: server, ws: true },
    },
  },
  test: { environment: 'node', include: ['tests/**/*.test.ts', 'miniprogram/tests/**/*.test.ts'] },
})
