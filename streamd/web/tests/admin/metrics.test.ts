import { describe, expect, it } from 'vitest'

import { quantileOf, samplesOf, sumOf } from '@/admin/metrics'

const TEXT = `# HELP streamd_live_viewers People
# TYPE streamd_live_viewers gauge
streamd_live_viewers{protocol="http-flv"} 3.0
streamd_live_viewers{protocol="ws-flv"} 4.0
streamd_live_viewers_total 99
streamd_http_requests_total{area="api",status="200"} 10
streamd_http_requests_total{area="api",status="503"} 2
lag_bucket{le="0.01"} 90
lag_bucket{le="0.1"} 99
lag_bucket{le="+Inf"} 100
nonsense
# EOF
`

describe('figures out of metrics', () => {
  const samples = samplesOf(TEXT)

  it('are summed over labels, and not over names that begin alike', () => {
    expect(sumOf(samples, 'streamd_live_viewers')).toBe(7)
    expect(sumOf(samples, 'streamd_http_requests_total', 'status="5')).toBe(2)
    expect(sumOf(samples, 'unknown')).toBe(0)
  })

  it('have quantiles', () => {
    expect(quantileOf(samples, 'lag', 0.9)).toBe(0.01)
    expect(quantileOf(samples, 'lag', 0.99)).toBe(0.1)
    expect(quantileOf(samples, 'lag', 1)).toBe(Infinity)
    expect(quantileOf(samples, 'unknown', 0.5)).toBeNull()
  })
})
