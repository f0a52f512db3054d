"""How often somebody may try a password (SEC-13): counted per account and network address."""

import hashlib

from django.core.cache import cache

MOST = 10
FOR = 15 * 60


def is_one_too_many(account: str, network_address: str) -> bool:
    """Count this attempt; True once there were too many in the last quarter of an hour."""
    key = _key(account, network_address)
    cache.add(key, 0, FOR)
    return cache.incr(key) > MOST


def forget(account: str, network_address: str) -> None:
    """Somebody proved to be who they say: what they mistyped before counts no more."""
    cache.delete(_key(account, network_address))


def _key(account: str, network_address: str) -> str:
    who = hashlib.sha256(f"{account.casefold()}\0{network_address}".encode()).hexdigest()
    return f"sign-in:{who}"
