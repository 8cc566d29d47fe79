"""The register in Redis: one hash of owners, one of workers, the room's numbers, the last epoch, the shared secret.

All keys carry the tag `{streams}` and so live in one slot of a cluster, which lets one script see all of them: a beat
is one round trip. Time is Redis' own, for the clocks of nodes differ.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from streamd.cluster.register import Claimed, Holding, Numbers, Ownership, Table, WorkerCard

# How long a room's numbers are remembered after its last programme.
KEEP_MS: Final = 30 * 86_400_000
# Segments that an owner may have made since its last beat, and some.
_LEAD_COUNT: Final = 16

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end
"""

# KEYS: owners, last epoch, numbers. ARGV: room, worker, ttl ms, above.
CLAIM: Final = (
    _NOW
    + """
local epoch = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, now, tonumber(ARGV[4]) + 1)
local before = redis.call('HGET', KEYS[1], ARGV[1]) or ''
redis.call('SET', KEYS[2], text(epoch))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. text(epoch) .. ' 0 ' .. text(now + tonumber(ARGV[3])))
return {text(epoch), before, redis.call('GET', KEYS[3]) or ''}
"""
)

# KEYS: owners, last epoch, prefix of numbers, workers, secret.
# ARGV: ttl ms, keep ms, worker, card, secret, then for each holding: room, epoch, on air, numbers.
BEAT: Final = (
    _NOW
    + """
local ends, top = text(now + tonumber(ARGV[1])), tonumber(redis.call('GET', KEYS[2]) or '0')
redis.call('HSET', KEYS[4], ARGV[3], ARGV[4] .. ' ' .. ends)
redis.call('SET', KEYS[5], ARGV[5], 'NX')
local lost = {}
for i = 6, #ARGV, 4 do
  local room, epoch = ARGV[i], tonumber(ARGV[i + 1])
  local worker, held = string.match(redis.call('HGET', KEYS[1], room) or '- 0 ', '^(%S+) (%d+) ')
  if tonumber(held) > epoch or (tonumber(held) == epoch and worker ~= ARGV[3]) then
    lost[#lost + 1] = room
  else
    redis.call('HSET', KEYS[1], room, ARGV[3] .. ' ' .. ARGV[i + 1] .. ' ' .. ARGV[i + 2] .. ' ' .. ends)
    redis.call('SET', KEYS[3] .. room, ARGV[i + 3], 'PX', ARGV[2])
    if epoch > top then
      top = epoch
      redis.call('SET', KEYS[2], ARGV[i + 1])
    end
  end
end
local function living(key, dead)
  local found, all = {}, redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if tonumber(string.match(all[i + 1], '(%d+)$')) <= now then
      redis.call('HDEL', key, all[i])
      dead(all[i], all[i + 1])
    else
      found[#found + 1] = all[i]
      found[#found + 1] = all[i + 1]
    end
  end
  return found
end
local vanished = {}
local owners = living(KEYS[1], function(room, entry)
  if string.match(entry, '^%S+ %d+ 1 ') then vanished[#vanished + 1] = room end
end)
return {lost, vanished, owners, living(KEYS[4], function() end), redis.call('GET', KEYS[5])}
"""
)

# KEYS: owners, numbers. ARGV: room, epoch, numbers, keep ms.
RELEASE: Final = """
local held = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^%S+ (%d+) ')
if held ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return 1
"""

# KEYS: owners. ARGV: room.
OWNER: Final = (
    _NOW
    + """
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry or tonumber(string.match(entry, '(%d+)$')) <= now then return '' end
return entry
"""
)

# KEYS: workers. ARGV: worker.
LEAVE: Final = "return redis.call('HDEL', KEYS[1], ARGV[1])"

RunScript = Callable[..., Awaitable[Any]]


class RedisRegister:
    """Implements `Register`. `run` is `RedisBus.run_script`."""

    def __init__(self, run: RunScript, *, prefix: str = "streamd") -> None:
        self._run = run
        self._prefix = f"{prefix}:{{streams}}:"

    def _keys(self, *names: str) -> list[str]:
        return [self._prefix + name for name in names]

    async def claim(self, room: str, worker: str, *, ttl_ms: int, above: int = 0) -> Claimed:
        """See Register."""
        keys = self._keys("owners", "epoch", f"numbers:{room}")
        epoch, before, numbers = await self._run(CLAIM, keys, room, worker, ttl_ms, above)
        return Claimed(int(epoch), _numbers(numbers), _ownership(room.encode(), before) if before else None)

    async def beat(self, card: WorkerCard, holdings: Sequence[Holding], *, ttl_ms: int, secret: bytes) -> Table:
        """See Register."""
        declared: list[object] = []
        for room, epoch, is_on_air, numbers in holdings:
            ahead = numbers._replace(media=numbers.media + _LEAD_COUNT)
            declared += [room, epoch, int(is_on_air), _text(ahead)]
        keys = self._keys("owners", "epoch", "numbers:", "workers", "secret")
        said = f"{card.node} {card.slot} {card.address}"
        lost, vanished, owners, workers, shared = await self._run(
            BEAT, keys, ttl_ms, KEEP_MS, card.worker, said, secret, *declared
        )
        return Table(
            owners={room.decode(): _ownership(room, entry) for room, entry in _pairs(owners)},
            workers={worker.decode(): _card(worker, entry) for worker, entry in _pairs(workers)},
            lost=tuple(room.decode() for room in lost),
            vanished=tuple(room.decode() for room in vanished),
            secret=shared,
        )

    async def release(self, room: str, *, epoch: int, numbers: Numbers) -> None:
        """See Register."""
        keys = self._keys("owners", f"numbers:{room}")
        await self._run(RELEASE, keys, room, epoch, _text(numbers), KEEP_MS)

    async def owner(self, room: str) -> Ownership | None:
        """See Register."""
        entry = await self._run(OWNER, self._keys("owners"), room)
        return _ownership(room.encode(), entry) if entry else None

    async def leave(self, worker: str) -> None:
        """See Register."""
        await self._run(LEAVE, self._keys("workers"), worker)


def _pairs(flat: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _ownership(room: bytes, entry: bytes) -> Ownership:
    worker, epoch, is_on_air, _ = entry.decode().split(" ")
    return Ownership(room.decode(), worker, int(epoch), is_on_air == "1")


def _card(worker: bytes, entry: bytes) -> WorkerCard:
    node, slot, address, _ = entry.decode().split(" ")
    return WorkerCard(worker.decode(), node, int(slot), address)


def _text(numbers: Numbers) -> str:
    return f"{numbers.media} {numbers.discontinuity} {numbers.cadence}"


def _numbers(text: bytes) -> Numbers:
    """Also as written before there was a cadence."""
    if not text:
        return Numbers()
    media, discontinuity, *rest = text.decode().split(" ")
    return Numbers(int(media), int(discontinuity), *rest)
