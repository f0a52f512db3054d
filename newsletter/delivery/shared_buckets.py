"""Token buckets that all workers share, on Redis and by its clock."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from newsletter.delivery.buckets import HOLDS, PAUSE, Taken, UnreachableError, chance, holds

# A hash by bucket: tokens, and the moment they were counted. KEYS: the mailer's, then each
# provider's. ARGV: how many seconds' tokens a bucket holds, after which pause it starts afresh, the
# draw, then a rate (0: no such bucket) for every key, then how many are wanted of every provider.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local holds, pause, draw = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local rates, tokens = {}, {}
for i, key in ipairs(KEYS) do
    local rate = tonumber(ARGV[3 + i])
    rates[i] = rate
    if rate > 0 then
        local row = redis.call('HMGET', key, 'tokens', 'at')
        local since = row[2] and math.max(now - tonumber(row[2]), 0) or 0
        local most = since > pause and 1 or math.max(1, rate * holds)
        tokens[i] = math.min((tonumber(row[1] or '1')) + since * rate, most)
    end
end
local able, total = {}, 0
for i = 2, #KEYS do
    local wanted = tonumber(ARGV[2 + #KEYS + i])
    able[i] = tokens[i] and math.min(wanted, math.floor(tokens[i])) or wanted
    total = total + able[i]
end
local whole = tokens[1] and math.min(math.floor(tokens[1]), total) or total
local granted, seen = {}, 0
for i = 2, #KEYS do
    if whole == total then
        granted[i] = able[i]
    else
        local before = math.floor(whole * seen / total + draw)
        seen = seen + able[i]
        granted[i] = math.floor(whole * seen / total + draw) - before
    end
    if tokens[i] then tokens[i] = tokens[i] - granted[i] end
end
if tokens[1] then tokens[1] = tokens[1] - whole end
local answer = {}
for i, key in ipairs(KEYS) do
    local again = 0
    if tokens[i] then
        again = math.max(1 - tokens[i], 0) / rates[i]
        redis.call('HSET', key, 'tokens', string.format('%.9f', tokens[i]),
                   'at', string.format('%.6f', now))
        redis.call('EXPIRE', key, math.ceil(10 + 1 / rates[i]))
    end
    answer[#answer + 1] = granted[i] or whole
    answer[#answer + 1] = string.format('%.6f', again)
end
return answer
"""
# KEYS: buckets. ARGV: for each, how many come back, and how many fit in.
_GIVE_BACK = """
for i, key in ipairs(KEYS) do
    local there = redis.call('HGET', key, 'tokens')
    if there then
        local tokens = math.min(tonumber(there) + tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i]))
        redis.call('HSET', key, 'tokens', string.format('%.9f', tokens))
    end
end
"""
# Longer than Redis ever needs. Whoever waits for it hands nothing over meanwhile.
_PATIENCE = 1.0


class SharedBuckets:
    """Of all who use this Redis."""

    def __init__(self, url: str) -> None:
        self._take, self._give_back = _scripts(url)

    def take(self, mailer: str, wanted: Mapping[str, int], rates: Mapping[str, float]) -> Taken:
        names = ["", *wanted]
        answer = _ask(
            self._take,
            _keys(mailer, names),
            [HOLDS, PAUSE, chance(), *(rates.get(name, 0) for name in names), *wanted.values()],
        )
        tokens = dict(zip(wanted, map(int, answer[2::2]), strict=True))
        whole_again_in, *again_in = map(float, answer[1::2])
        return Taken(tokens, whole_again_in, dict(zip(wanted, again_in, strict=True)))

    def give_back(self, mailer: str, tokens: Mapping[str, int], rates: Mapping[str, float]) -> None:
        unused = {**tokens, "": sum(tokens.values())}
        names = [name for name in unused if name in rates]
        numbers = [number for name in names for number in (unused[name], holds(rates[name]))]
        _ask(self._give_back, _keys(mailer, names), numbers)


def _ask(script: Script, keys: list[str], arguments: Iterable[float]) -> Any:
    try:
        return script(keys=keys, args=list(arguments))
    except redis.RedisError as error:
        raise UnreachableError(str(error)) from error


def _keys(mailer: str, names: Iterable[str]) -> list[str]:
    # In braces what decides the place in a cluster: a script's keys must be at one.
    return [f"limit:{{{mailer}}}:{name}" for name in names]


@cache
def _scripts(url: str) -> tuple[Script, Script]:
    """One client a process; its connections are kept, and none is shared with a child."""
    client = redis.Redis.from_url(
        url,
        socket_timeout=_PATIENCE,
        socket_connect_timeout=_PATIENCE,
        # A kept connection may have died since; any more patience would hold up the hand.
        retry=Retry(NoBackoff(), 1),
        decode_responses=True,
    )
    return client.register_script(_TAKE), client.register_script(_GIVE_BACK)
