/**
 * From src/ to dist/, the folder that WeChat DevTools opens: TypeScript to CommonJS that old phones read, what pages and mini-program
 * share into one file, everything else as it is.
 *
 * MINIPROGRAM_ORIGIN=https://live.example.com npm run miniprogram
 */
import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

import { build } from 'vite'

const here = dirname(fileURLToPath(import.meta.url))
const source = join(here, 'src')
const out = process.env.MINIPROGRAM_OUT ?? join(here, 'dist')
const origin = process.env.MINIPROGRAM_ORIGIN ?? 'https://live.example.com'
const player = process.env.MINIPROGRAM_PLAYER ?? 'live'
if (player !== 'live' && player !== 'video') throw new Error(`MINIPROGRAM_PLAYER is ${player}: live or video`)
if (!/^https?:\/\/[^/]+$/.test(origin)) throw new Error(`MINIPROGRAM_ORIGIN is ${origin}: scheme and host, no path`)

const files = readdirSync(source, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(source, join(entry.parentPath, entry.name)))
// What WeChat itself loads: the app, and an index for every page and component. The rest is theirs to import.
const entries = files.filter((name) => name === 'app.ts' || name === 'services.ts' || name.endsWith('/index.ts'))

rmSync(out, { recursive: true, force: true })
await build({
  configFile: false,
  root: here,
  logLevel: 'warn',
  resolve: { alias: { '@': join(here, '../src') } },
  define: { STREAMD_ORIGIN: JSON.stringify(origin), STREAMD_PLAYER: JSON.stringify(player) },
  build: {
    outDir: out,
    emptyOutDir: false,
    target: 'es2018',
    minify: true,
    modulePreload: false,
    rolldownOptions: {
      input: Object.fromEntries(entries.map((name) => [name.slice(0, -3), join(source, name)])),
      preserveEntrySignatures: 'allow-extension',
      output: { format: 'cjs', entryFileNames: '[name].js', chunkFileNames: 'lib/[name].js' },
    },
  },
})
for (const name of files.filter((name) => !name.endsWith('.ts'))) cpSync(join(source, name), join(out, name))
// For Node, where the checks run; WeChat reads CommonJS anyway.
writeFileSync(join(out, 'package.json'), '{"type":"commonjs"}\n')
