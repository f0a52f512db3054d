"""System checks: each names what is wrong and what to do about it."""

import ipaddress
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import mail
from django.core.checks import CheckMessage, Error, Tags, Warning, register, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from newsletter import dkim
from newsletter.receivers.webhooks.providers import missing_secrets

_SHORTEST_KEY = 50
_FEWEST_CHARACTERS = 8
_SAFE_REDIS_POLICY = "noeviction"


def refuse_errors() -> None:
    """What every process that serves or sends calls first. Raises ImproperlyConfigured."""
    errors = [message for message in run_checks() if message.is_serious()]
    if errors:
        words = "\n".join(f"- {error.msg}\n  {error.hint or ''}" for error in errors)
        raise ImproperlyConfigured(f"Broadsheet does not start like this:\n{words}")


@register
def check_everywhere(**_: Any) -> list[CheckMessage]:
    return [*_keys(), *_proxies(), *_mailers(), *_plain_smtp(), *_twins(), *_dkim_keys()]


@register
def check_production(**_: Any) -> list[CheckMessage]:
    """What may be so on a laptop and never on the internet."""
    if settings.LAPTOP:
        return []
    return [
        *_debug(),
        *_secret_key(),
        *_suppression_keys(),
        *_site(),
        *_mail_leaves(),
        *_webhooks(),
        *_foundation(),
    ]


@register(deploy=True)
def check_redis(**_: Any) -> list[CheckMessage]:
    # Loading it takes a fifth of a second, which a start without Redis need not wait for.
    import redis

    if not settings.REDIS_URL:
        return []
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=3) as client:
            policy = client.info("memory").get("maxmemory_policy")
    except redis.RedisError as error:
        return [_risky(5, f"Redis does not answer: {error}", "Start it, or correct REDIS_URL.")]
    if policy in {_SAFE_REDIS_POLICY, None}:
        return []
    return [
        _risky(
            6,
            f"Redis throws entries away when it is full ({policy}): queued work would vanish.",
            "Set `maxmemory-policy noeviction` in its configuration.",
        )
    ]


def _keys() -> Iterator[CheckMessage]:
    if not _secret():
        yield _wrong(1, "SECRET_KEY is not set.", _HOW_TO_MAKE_A_KEY)
    if not settings.LINK_KEYS:
        yield _wrong(
            2,
            "LINK_KEYS is set and empty: no link in a mail could be signed.",
            "Name at least one key, or unset it to have one derived from SECRET_KEY.",
        )


def _secret() -> str:
    try:
        return settings.SECRET_KEY
    except ImproperlyConfigured:
        return ""


def _proxies() -> Iterator[CheckMessage]:
    for network in settings.TRUSTED_PROXIES:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield _wrong(
                3,
                f"TRUSTED_PROXIES holds {network!r}: {error}.",
                "Write addresses or networks with commas between: 10.0.0.0/8,192.0.2.7.",
            )


def _mailers() -> Iterator[CheckMessage]:
    """Build each once: what it lacks it says now, not to the first reader."""
    for name in settings.MAILERS:
        try:
            mail.mailers[name]
        except ImproperlyConfigured as error:
            words = f"The mailer {name!r} cannot be used: {error}"
            yield _wrong(4, words, _remedy_for_mailer(name, str(error)))


def _remedy_for_mailer(name: str, error: str) -> str:
    own = "" if name == "default" else f"{name.upper()}_"
    if lacking := re.search(r"must define '(\w+)'", error):
        return f"Set ANYMAIL_{own}{_provider(name).upper()}_{lacking[1].upper()}."
    if unknown := re.search(r"Unknown options '(\w+)'", error):
        return f"Unset ANYMAIL_{own}…{unknown[1].upper()}: Anymail has no such setting there."
    return "See the configuration table in README.md."


def _provider(name: str) -> str:
    """Anymail's name of whoever is behind a mailer; blank if it is none of Anymail's."""
    path = str(settings.MAILERS[name]["BACKEND"])
    return path.split(".")[2] if path.startswith("anymail.") else ""


def _plain_smtp() -> Iterator[CheckMessage]:
    for name, mailer in settings.MAILERS.items():
        options = mailer.get("OPTIONS", {})
        host = str(options.get("host", ""))
        if not host or options.get("use_tls") or options.get("use_ssl") or _is_near(host):
            continue
        variable = "EMAIL_URL" if name == "default" else f"EMAIL_URL_{name.upper()}"
        yield _risky(
            1,
            f"Mail travels to {host} unencrypted, readers' addresses and sign-in included.",
            f"Write {variable} with smtp+tls:// (STARTTLS) or smtp+ssl://.",
        )


def _twins() -> Iterator[CheckMessage]:
    for (name, one), (other, two) in combinations(settings.MAILERS.items(), 2):
        if one == two:
            yield _risky(
                4,
                f"The mailers {name!r} and {other!r} are one and the same: when one is down, so is "
                "the other.",
                f"Give {other!r} a server, or keys, of its own, or take it out of MAILERS.",
            )


@register(Tags.database)
def check_senders(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Not an error: the newsroom, where it is mended, has to start, and migrations to run."""
    # The web server asks for this module before there are models.
    from subscribers.models import Sender

    try:
        senders = list(Sender.objects.order_by("pk")) if databases else []
    except DatabaseError:
        # The tables are still to come, or the database is away, which others say.
        return []
    known = ", ".join(settings.MAILERS)
    return [
        _risky(
            7,
            f"{sender} sends by a mailer that is not set up: {name!r}.",
            f"Name it in MAILERS, or choose another in the newsroom's settings ({known}).",
        )
        for sender in senders
        for name in sender.unknown_mailers
    ]


def _dkim_keys() -> Iterator[CheckMessage]:
    for domain, selector, path in settings.DKIM_KEYS:
        try:
            key = dkim.load(domain, selector, path)
        except dkim.KeyFileError as error:
            yield _wrong(20, f"DKIM_KEYS, {domain}:{selector}: {error}", _HOW_TO_MAKE_A_DKIM_KEY)
        else:
            yield from _dkim_key(key, path)
    by_smtp = [name for name, one in settings.MAILERS.items() if "host" in one.get("OPTIONS", {})]
    if settings.DKIM_KEYS and not by_smtp:
        yield _risky(
            20,
            "DKIM_KEYS is set, and no mailer speaks SMTP: our keys would sign nothing.",
            "Unset DKIM_KEYS, and publish the records that your provider names: it signs itself.",
        )


def _dkim_key(key: dkim.Key, path: Path) -> Iterator[CheckMessage]:
    if key.algorithm == "rsa-sha256" and key.bits < dkim.SHORT:
        yield _risky(
            21,
            f"The DKIM key {path} has {key.bits} bits; {dkim.SHORT} are asked for (RFC 8301).",
            _HOW_TO_MAKE_A_DKIM_KEY,
        )
    if path.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        yield _risky(
            22,
            f"Others on this machine can read or change the DKIM key {path}.",
            f"Run `chmod 640 {path}`, or 600: whoever has the key writes mail in your name.",
        )


def _is_near(host: str) -> bool:
    """A name without a dot, or an address that is not routed: the same machine or network."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host


def _debug() -> Iterator[CheckMessage]:
    if settings.DEBUG:
        yield _wrong(
            10,
            "DEBUG is on: error pages would show secrets to everybody.",
            "Unset DEBUG, or say ENVIRONMENT=laptop if this is no public site.",
        )


def _secret_key() -> Iterator[CheckMessage]:
    key = _secret()
    is_weak = len(key) < _SHORTEST_KEY or len(set(key)) < _FEWEST_CHARACTERS
    if key and (is_weak or key.startswith("django-insecure")):
        yield _wrong(11, "SECRET_KEY is short or a default: it can be guessed.", _HOW_TO_MAKE_A_KEY)


def _suppression_keys() -> Iterator[CheckMessage]:
    if settings.SUPPRESSION_KEYS_ARE_DERIVED:
        yield _wrong(
            17,
            "SUPPRESSION_KEYS is not set: a new SECRET_KEY would forget every address that left.",
            f'Set it to "1:" and a key of its own. {_HOW_TO_MAKE_A_KEY}',
        )


def _site() -> Iterator[CheckMessage]:
    if not settings.SITE_HOST:
        yield _wrong(
            12,
            "SITE_URL is not set: no link in a mail would lead anywhere.",
            "Set it to the public address of this site, like https://news.example.org.",
        )
    elif not settings.SITE_IS_SECURE:
        yield _wrong(
            13,
            f"SITE_URL is {settings.SITE_URL}: mail programs refuse one-click links without TLS.",
            "Serve the site over TLS and write https:// (RFC 8058 asks for it).",
        )
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        yield _wrong(
            14,
            "ALLOWED_HOSTS admits any host name, or none.",
            "Name the hosts of this site, or unset it to allow that of SITE_URL.",
        )


def _mail_leaves() -> Iterator[CheckMessage]:
    if not (settings.EMAIL_PROVIDER or settings.EMAIL_URL):
        yield _wrong(
            15,
            "No mail would leave: the local mailbox is for laptops.",
            "Set EMAIL_PROVIDER with its keys, or EMAIL_URL to an SMTP relay.",
        )


def _webhooks() -> Iterator[CheckMessage]:
    providers = {provider for mailer in settings.MAILERS if (provider := _provider(mailer))}
    for provider in sorted(providers):
        if missing := missing_secrets(provider):
            names = " or ".join(f"ANYMAIL_{name}" for name in missing)
            yield _wrong(
                16,
                f"Nothing proves that it is {provider} who reports our bounces: set {names}.",
                _HOW_TO_KNOW_A_PROVIDER,
            )


def _foundation() -> Iterator[CheckMessage]:
    if settings.ON_SQLITE:
        yield _risky(
            2,
            "The site runs on SQLite: one machine, one writer at a time.",
            "Set DATABASE_URL to a PostgreSQL database before the list grows.",
        )
    if settings.EMBEDDED:
        yield _risky(
            3,
            "There is no Redis: run exactly one worker, and attempts are counted per process.",
            "Set REDIS_URL.",
        )
    if not settings.TRUSTED_PROXIES:
        yield _risky(
            4,
            "TRUSTED_PROXIES is not set: behind a proxy all readers count as one network, and only "
            "a few of them can sign up.",
            "Name the address or network of the proxy.",
        )


_HOW_TO_MAKE_A_DKIM_KEY = (
    "Make one with `openssl genrsa -out 2026a.pem 2048`, or `openssl genpkey -algorithm ed25519 "
    "-out 2026b.pem`; `manage.py check_domain` says what to publish."
)
_HOW_TO_KNOW_A_PROVIDER = (
    'ANYMAIL_WEBHOOK_SECRET is "name:password": give both to the provider with the webhook\'s'
    " address. Keys that it signs with stand on its own page of webhooks."
)
_HOW_TO_MAKE_A_KEY = (
    "Make one with `python -c 'import secrets; print(secrets.token_urlsafe(50))'`, keep it."
)


def _wrong(number: int, what: str, remedy: str) -> Error:
    return Error(what, hint=remedy, id=f"broadsheet.E{number:03}")


def _risky(number: int, what: str, remedy: str) -> Warning:
    return Warning(what, hint=remedy, id=f"broadsheet.W{number:03}")
