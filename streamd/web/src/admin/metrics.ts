/**
 * A few figures out of `/metrics`. Pure: reads the exposition format as far as sums need it.
 */
export type Samples = ReadonlyMap<string, number>

/** Name, and labels as they were written, to value; comments and what is not a sample are left out. */
export function samplesOf(text: string): Samples {
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    const match = /^([a-z_:]\w*)(\{[^}]*\})? (\S+)/i.exec(line)
    const value = Number(match?.[3])
    if (match && Number.isFinite(value)) samples.set(`${match[1]}${match[2] ?? ''}`, value)
  }
  return samples
}

/** Of all samples of this name, those whose labels hold `label` where one is asked for. */
export function sumOf(samples: Samples, name: string, label = ''): number {
  let sum = 0
  for (const [key, value] of samples) {
    if (key === name || (key.startsWith(`${name}{`) && key.includes(label))) sum += value
  }
  return sum
}

/** The bound under which this part of a histogram's samples lie; null when there are none. */
export function quantileOf(samples: Samples, name: string, part: number): number | null {
  const steps: [number, number][] = []
  for (const [key, value] of samples) {
    const bound = key.startsWith(`${name}_bucket`) ? /le="([^"]+)"/.exec(key)?.[1] : undefined
    if (bound !== undefined) steps.push([bound === '+Inf' ? Infinity : Number(bound), value])
  }
  steps.sort(([one], [other]) => one - other)
  const total = steps.at(-1)?.[1] ?? 0
  return total > 0 ? (steps.find(([, count]) => count >= total * part)?.[0] ?? null) : null
}
