"""Buckets and spent things of all who use this Redis."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from subscribers.guards.stores import UnreachableError
from subscribers.models.buckets import FULL_AFTER, Left, Want

# A hash by bucket: tokens, and the moment they were counted. ARGV: now, after how many seconds a
# bucket that nobody comes to is forgotten, then for every key what it holds, its tokens a second,
# and how many are wanted.
_TAKE = """
local now, forgotten = tonumber(ARGV[1]), ARGV[2]
local answer = {}
for i, key in ipairs(KEYS) do
    local holds, rate = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
    local wanted = tonumber(ARGV[3 * i + 2])
    local row = redis.call('HMGET', key, 'tokens', 'at')
    local at = tonumber(row[2] or now)
    local tokens = math.min(tonumber(row[1] or holds) + math.max(now - at, 0) * rate, holds)
    local granted = tokens >= wanted and 1 or 0
    tokens = tokens - granted * wanted
    redis.call('HSET', key, 'tokens', string.format('%.6f', tokens),
               'at', string.format('%.6f', math.max(now, at)))
    redis.call('EXPIRE', key, forgotten)
    answer[2 * i - 1] = granted
    answer[2 * i] = string.format('%.6f', tokens)
end
return answer
"""
# Longer than Redis ever needs; a reader waits meanwhile.
_PATIENCE = 1.0


class Shared:
    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            # A kept connection may have died since; any more patience would hold up the reader.
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
        self._take = self._redis.register_script(_TAKE)

    def take(self, wants: Sequence[Want], now: float) -> list[Left]:
        numbers = [number for want in wants for number in (*want.rule, want.tokens)]
        try:
            answer: Any = self._take(
                [_key(want.key) for want in wants], [now, FULL_AFTER, *numbers]
            )
        except redis.RedisError as error:
            raise UnreachableError(str(error)) from error
        return [Left(bool(granted), float(tokens)) for granted, tokens in _pairs(answer)]

    def spend(self, key: str, mark: str, now: float, seconds: float) -> str:
        try:
            if self._redis.set(_key(key), mark, nx=True, ex=max(math.ceil(seconds), 1)):
                return ""
            earlier: Any = self._redis.get(_key(key))
        except redis.RedisError as error:
            raise UnreachableError(str(error)) from error
        # What expired at this very moment was spent all the same.
        return str(earlier or mark)

    def spent(self, key: str) -> str:
        try:
            mark: Any = self._redis.get(_key(key))
        except redis.RedisError as error:
            raise UnreachableError(str(error)) from error
        return str(mark or "")

    def unspend(self, keys: Sequence[str]) -> None:
        try:
            self._redis.delete(*map(_key, keys))
        except redis.RedisError as error:
            raise UnreachableError(str(error)) from error


@cache
def shared(url: str) -> Shared:
    """One client a process; its connections are kept, and none is shared with a child."""
    return Shared(url)


def _pairs(answer: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(answer[::2], answer[1::2], strict=True))


def _key(key: str) -> str:
    # In braces what decides the place in a cluster: a script's keys must be at one.
    return f"{{guards}}:{key}"
