/** What WeChat would refuse, found without its tools: missing files, too large a package, code from text. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

import { build } from 'vite'
import { describe, expect, it } from 'vitest'

const here = join(__dirname, '..')
const dist = join(here, 'dist')
const app = JSON.parse(readFileSync(join(dist, 'app.json'), 'utf8')) as { pages: string[] }
const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(dist, name)).isFile())

function json(name: string): { usingComponents?: Record<string, string>; component?: boolean } {
  return JSON.parse(readFileSync(join(dist, name), 'utf8')) as object
}

describe('the package', () => {
  it('is under two megabytes', () => {
    expect(files.reduce((sum, name) => sum + statSync(join(dist, name)).size, 0)).toBeLessThan(2 * 1024 * 1024)
  })

  it.each(app.pages)('has all four files of page %s, and the components it uses', (page) => {
    for (const kind of ['js', 'json', 'wxml', 'wxss']) expect(existsSync(join(dist, `${page}.${kind}`)), kind).toBe(true)
    for (const component of Object.values(json(`${page}.json`).usingComponents ?? {})) {
      for (const kind of ['js', 'json', 'wxml', 'wxss']) expect(existsSync(join(dist, `.${component}.${kind}`)), component).toBe(true)
      expect(json(`.${component}.json`).component).toBe(true)
    }
  })

  it('names every page that is there and no other', () => {
    const found = files.filter((name) => /^pages\/.*\.wxml$/.test(name)).map((name) => name.replace('.wxml', ''))
    expect(found.sort()).toEqual([...app.pages].sort())
  })

  it('calls only handlers that exist', () => {
    for (const name of files.filter((file) => file.endsWith('.wxml'))) {
      const script = readFileSync(join(here, 'src', name.replace('.wxml', '.ts')), 'utf8')
      const handlers = [...readFileSync(join(dist, name), 'utf8').matchAll(/\b(?:bind|catch):?\w+="(\w+)"/g)].map((found) => found[1])
      for (const handler of handlers) expect(script, `${name}: ${handler}`).toMatch(new RegExp(`\\b${handler}\\(`))
    }
  })

  it('lets taps through the overlay of the live room, to what the picture offers below it', () => {
    const rule = (selector: string): string => readFileSync(join(dist, 'pages/room/index.wxss'), 'utf8').split(`${selector} {`)[1]?.split('}')[0] ?? ''
    expect(rule('\n.over')).toContain('pointer-events: none')
    expect(rule('\n.head, .foot')).toContain('pointer-events: auto')
  })

  it('makes no code from text, asks for no window and no document', () => {
    for (const name of files.filter((file) => file.endsWith('.js'))) {
      const script = readFileSync(join(dist, name), 'utf8')
      expect(script, name).not.toMatch(/\beval\b|new Function|\bFunction\(|\bwindow\b|\bdocument\b|localStorage|\bfetch\(/)
    }
  })

  it('names every colour of the theme in both themes', () => {
    const theme = JSON.parse(readFileSync(join(dist, 'theme.json'), 'utf8')) as Record<string, Record<string, string>>
    const used = [...readFileSync(join(dist, 'app.json'), 'utf8').matchAll(/"@(\w+)"/g)].map((found) => found[1] ?? '')
    expect(used.length).toBeGreaterThan(3)
    for (const name of used) for (const shade of ['light', 'dark']) expect(theme[shade]?.[name], name).toMatch(/./)
  })

  it('has a shared client of less than 10 kB', async () => {
    const made = await build({
      configFile: false,
      logLevel: 'silent',
      resolve: { alias: { '@': join(here, '../src') } },
      build: {
        write: false,
        target: 'es2018',
        rolldownOptions: { input: join(__dirname, 'sharedClient.ts'), preserveEntrySignatures: 'strict' },
      },
    })
    const [output] = 'output' in made ? [made.output] : Array.isArray(made) ? made.map((one) => one.output) : []
    const code = (output ?? []).map((chunk) => (chunk.type === 'chunk' ? chunk.code : '')).join('')
    expect(code.length).toBeGreaterThan(5_000)
    expect(gzipSync(code).length).toBeLessThan(10_000)
    console.info(`shared client: ${code.length} bytes, ${gzipSync(code).length} gzipped`)
  })
})
