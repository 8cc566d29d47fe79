"""What Redis does in one step: the Lua of `streamd.cluster.redis`, text only.

All keys of a room share the hash tag `{room}`, so each script touches one slot of a cluster. Numbers go in and out as
text: a Lua number is a double, exact to 2^53. Blobs are never taken apart here; the header in front of them is one line
`epoch prev first taken at_ms batch_id`.
"""

from __future__ import annotations

from typing import Final

_EPOCH: Final = """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  epoch = ARGV[1]
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', '0')
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
"""

# KEYS: meta, log, state. ARGV: new epoch, keep ms, node, count, taken, min seq, at ms, batch id, blob, log length,
# log age ms, publish command, channel, then for each state: "set"|"del", key, offset, packed draft.
APPEND: Final = (
    _EPOCH
    + """
local done = redis.call('HGET', KEYS[1], 'b:' .. ARGV[3])
if done then
  local count, head = string.match(done, '^(%d+) (.+)$')
  if tonumber(count) >= tonumber(ARGV[4]) then return epoch .. ' ' .. head end
end
local prev = tonumber(redis.call('HGET', KEYS[1], 'seq'))
local first = math.max(prev, tonumber(ARGV[6])) + 1
local last = first + tonumber(ARGV[5]) - 1
local head = string.format('%.0f %.0f %s %s %s', prev, first, ARGV[5], ARGV[7], ARGV[8])
local seq = string.format('%.0f', last)
redis.call('HSET', KEYS[1], 'seq', seq, 'b:' .. ARGV[3], ARGV[4] .. ' ' .. head)
for i = 14, #ARGV, 4 do
  if ARGV[i] == 'set' then
    local at = string.format('%.0f ', first + tonumber(ARGV[i + 2]))
    redis.call('HSET', KEYS[3], ARGV[i + 1], at .. ARGV[i + 3])
    redis.call('PEXPIRE', KEYS[3], ARGV[2])
  else
    redis.call('HDEL', KEYS[3], ARGV[i + 1])
  end
end
local message = epoch .. ' ' .. head .. '\\n' .. ARGV[9]
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[10], seq .. '-0', 'b', message)
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local spoken = string.match(oldest[2][2], '^%S+ %d+ %d+ %d+ (%d+)')
if tonumber(spoken) < tonumber(ARGV[7]) - tonumber(ARGV[11]) then redis.call('XDEL', KEYS[2], oldest[1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[11])
redis.call(ARGV[12], ARGV[13], message)
return epoch .. ' ' .. head
"""
)

# KEYS: meta, log. ARGV: epoch, after seq. Gives false when the log does not reach.
REPLAY: Final = """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[1] then return false end
local after = tonumber(ARGV[2])
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
if not oldest then
  if after == tonumber(redis.call('HGET', KEYS[1], 'seq')) then return {} end
  return false
end
if after < tonumber(string.match(oldest[2][2], '^%S+ (%d+)')) then return false end
local found = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[2] .. '-0', '+')) do
  found[#found + 1] = entry[2][2]
end
return found
"""

# KEYS: meta, log, state, visitors. ARGV: new epoch, keep ms, batches.
RECALL: Final = (
    _EPOCH
    + """
local meta = redis.call('HMGET', KEYS[1], 'seq', 'likes', 'peak')
local batches = {}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[3])) do
  table.insert(batches, 1, entry[2][2])
end
return {epoch, meta[1], meta[2] or '0', meta[3] or '0', redis.call('PFCOUNT', KEYS[4]),
        redis.call('HGETALL', KEYS[3]), batches}
"""
)

# KEYS: meta, nodes, visitors. ARGV: new epoch, keep ms, node, number, online, likes, now ms, ttl ms, visitors...
PULSE: Final = (
    _EPOCH
    + """
local known = redis.call('HGET', KEYS[1], 'p:' .. ARGV[3])
if not known or tonumber(known) < tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[1], 'p:' .. ARGV[3], ARGV[4])
  redis.call('HINCRBY', KEYS[1], 'likes', ARGV[6])
  for i = 9, #ARGV do redis.call('PFADD', KEYS[3], ARGV[i]) end
  if #ARGV > 8 then redis.call('PEXPIRE', KEYS[3], ARGV[2]) end
end
local now = tonumber(ARGV[7])
redis.call('HSET', KEYS[2], ARGV[3], string.format('%s %.0f', ARGV[5], now + tonumber(ARGV[8])))
redis.call('PEXPIRE', KEYS[2], ARGV[8])
local online, nodes = 0, 0
local seen = redis.call('HGETALL', KEYS[2])
for i = 1, #seen, 2 do
  local count, until_ms = string.match(seen[i + 1], '^(%d+) (%d+)$')
  if tonumber(until_ms) <= now or count == '0' then
    redis.call('HDEL', KEYS[2], seen[i])
  else
    online = online + tonumber(count)
    nodes = nodes + 1
  end
end
local peak = tonumber(redis.call('HGET', KEYS[1], 'peak') or '0')
if online > peak then
  peak = online
  redis.call('HSET', KEYS[1], 'peak', peak)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local meta = redis.call('HMGET', KEYS[1], 'seq', 'likes')
return {epoch, meta[1], online, peak, meta[2] or '0', redis.call('PFCOUNT', KEYS[3]), nodes}
"""
)

# KEYS: prefix. ARGV: now ms, ident ttl ms, then for each message: ident, number of limits, (name, interval, burst)...
ADMIT: Final = """
local now, verdicts, i = tonumber(ARGV[1]), {}, 3
while i <= #ARGV do
  local ident = KEYS[1] .. ':i:' .. ARGV[i]
  local count = tonumber(ARGV[i + 1])
  i = i + 2
  local known = redis.call('GET', ident)
  local verdict = {'ok', '0', '', '0'}
  if known then
    verdict = {'again', known, '', '0'}
  else
    local charged = {}
    for n = 0, count - 1 do
      local name, interval, burst = ARGV[i + 3 * n], tonumber(ARGV[i + 3 * n + 1]), tonumber(ARGV[i + 3 * n + 2])
      local key = KEYS[1] .. ':r:' .. name
      local tat = math.max(tonumber(redis.call('GET', key) or '0'), now)
      local early = tat - now - interval * (burst - 1)
      if early > 0 then
        verdict = {'limited', '0', name, string.format('%.0f', early)}
        charged = {}
        break
      end
      charged[#charged + 1] = {key, tat + interval}
    end
    for _, charge in ipairs(charged) do
      redis.call('SET', charge[1], string.format('%.0f', charge[2]), 'PX', string.format('%.0f', charge[2] - now + 1))
    end
    if verdict[1] == 'ok' then redis.call('SET', ident, '0', 'PX', ARGV[2]) end
  end
  i = i + 3 * count
  verdicts[#verdicts + 1] = verdict
end
return verdicts
"""

# KEYS: one a limit. ARGV: interval ms, burst of each. All are charged, or none; by Redis' own clock, for nodes differ.
CHARGE: Final = """
local time = redis.call('TIME')
local now, charged = time[1] * 1000 + math.floor(time[2] / 1000), {}
for n, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * n - 1]), tonumber(ARGV[2 * n])
  local tat = math.max(tonumber(redis.call('GET', key) or '0'), now)
  local early = tat - now - interval * (burst - 1)
  if early > 0 then return string.format('%.0f', early) end
  charged[n] = tat + interval
end
for n, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.0f', charged[n]), 'PX', string.format('%.0f', charged[n] - now + 1))
end
return '0'
"""

# KEYS: prefix. ARGV: ident ttl ms, then ident, number pairs.
SETTLE: Final = """
for i = 2, #ARGV, 2 do
  local ident = KEYS[1] .. ':i:' .. ARGV[i]
  if ARGV[i + 1] == '0' then redis.call('DEL', ident) else redis.call('SET', ident, ARGV[i + 1], 'PX', ARGV[1]) end
end
"""
