"""Reading the environment: each value is understood or refused in words, never guessed at."""

import ipaddress
import json
import math
import pkgutil
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import environ
from anymail import backends
from django.core.exceptions import ImproperlyConfigured

# django-environ's spelling: what each scheme means to the server, and the port it is spoken on.
_SMTP: dict[str, tuple[dict[str, bool], int]] = {
    "smtp": ({}, 25),
    "smtp+tls": ({"use_tls": True}, 587),
    "smtps": ({"use_tls": True}, 587),
    "smtp+ssl": ({"use_ssl": True}, 465),
}
_SMTP_BACKEND = "newsletter.delivery.transports.smtp.EmailBackend"
_DATABASES = {"postgres", "postgresql", "psql", "pgsql", "sqlite"}
_REDIS = {"redis", "rediss", "unix"}
_YES = {"true", "yes", "on", "1"}
_NO = {"false", "no", "off", "0", ""}
# "domain:selector:file", the first two as they stand in the DNS (RFC 6376 section 3.1).
_DKIM_KEY = re.compile(r"((?:[a-z0-9-]+\.)+[a-z0-9-]+):([a-z0-9_-]+(?:\.[a-z0-9_-]+)*):(.+)", re.I)
# Modules of Anymail that are not providers: its foundations, test doubles, and an old name.
_NOT_PROVIDERS = {"base", "base_requests", "console", "test", "sendinblue"}

_OF_MAILER = re.compile(r"EMAIL_(?:URL|PROVIDER)_(\w+)")
# What Anymail's settings for all providers begin with.
_ANYMAIL_WORDS = ["debug", "idna", "ignore", "requests", "send", "webhook"]
_MAILER_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")

PROVIDERS = sorted(
    {module.name for module in pkgutil.iter_modules(backends.__path__)} - _NOT_PROVIDERS
)


class Environment:
    """The variables a process was started with."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def text(self, name: str, default: str = "") -> str:
        return self._variables.get(name, default).strip()

    def yes(self, name: str, default: bool) -> bool:
        word = self.text(name, str(default)).lower()
        if word not in _YES | _NO:
            raise ImproperlyConfigured(f"{name} is {word!r}; write yes or no.")
        return word in _YES

    def number(self, name: str, default: float) -> float:
        text = self.text(name) or str(default)
        try:
            number = float(text)
        except ValueError:
            number = -1
        if not 0 <= number < math.inf:
            raise ImproperlyConfigured(f"{name} is {text!r}; write a number, like {default}.")
        return number

    def count(self, name: str, default: int) -> int:
        return int(self.number(name, default))

    def words(self, name: str, default: list[str]) -> list[str]:
        """A list, separated by commas."""
        if name not in self._variables:
            return default
        return [word.strip() for word in self.text(name).split(",") if word.strip()]

    def servers(self, name: str) -> list[str]:
        """Servers by their IP addresses, "192.0.2.53" or with a port, "192.0.2.53:5353"."""
        servers = self.words(name, [])
        wrong = [server for server in servers if not _is_server(server)]
        if wrong:
            raise ImproperlyConfigured(
                f"{name} names {wrong[0]!r}; write an IP address, like 192.0.2.53 or 192.0.2.53:53."
            )
        return servers

    def keys(self, name: str, default: dict[str, str]) -> dict[str, str]:
        """Numbered keys, "2:newest,1:older", in the order written."""
        entries = [entry.partition(":") for entry in self.words(name, [])]
        wrong = [number for number, _colon, key in entries if not (number.isdigit() and key)]
        if wrong or len({number for number, _colon, _key in entries}) < len(entries):
            raise ImproperlyConfigured(
                f"{name} must be numbered keys like '2:newest-key,1:older-key', each number once."
            )
        return {number: key for number, _colon, key in entries} or default

    def dkim_keys(self, name: str) -> list[tuple[str, str, Path]]:
        """Keys to sign mail with: domain, selector, and the file with the private key."""
        entries = self.words(name, [])
        found = [_DKIM_KEY.fullmatch(entry) for entry in entries]
        if None in found:
            raise ImproperlyConfigured(
                f"{name} holds {entries[found.index(None)]!r}; write domain:selector:file, "
                "like news.example.org:2026a:/etc/broadsheet/2026a.pem."
            )
        keys = [(match[1].lower(), match[2].lower(), Path(match[3])) for match in found if match]
        counts = Counter(f"{domain}:{selector}" for domain, selector, _path in keys)
        if twice := [named for named, count in counts.items() if count > 1]:
            raise ImproperlyConfigured(f"{name} names {twice[0]} twice; a selector has one key.")
        return keys

    def database(self, name: str, default: str) -> dict[str, Any]:
        url = self.text(name) or default
        _split(name, url, _DATABASES, "postgres://user:password@host/database")
        return dict(environ.Env.db_url_config(url))

    def redis(self, name: str) -> str:
        url = self.text(name)
        if url:
            _split(name, url, _REDIS, "redis://host:6379/0")
        return url

    def smtp(self, name: str) -> dict[str, Any]:
        """The mailer that an SMTP address stands for, with Django 6.1's names of its options."""
        url = _split(name, self.text(name), set(_SMTP), "smtp+tls://user:password@host:587")
        security, usual_port = _SMTP[url.scheme]
        if not url.hostname or url.query or url.path.strip("/"):
            raise ImproperlyConfigured(f"{name} must be scheme://user:password@host:port, no more.")
        if "use_tls" in security and url.port == 465:
            raise ImproperlyConfigured(
                f"{name} names port 465, which speaks TLS from the start: write smtp+ssl://. "
                "(smtps:// and smtp+tls:// mean STARTTLS, usually on port 587.)"
            )
        # unquote, not unquote_plus as django-environ has it: a plus in a password is a plus.
        options = {
            "host": url.hostname,
            "port": url.port or usual_port,
            "username": unquote(url.username or ""),
            "password": unquote(url.password or ""),
            "timeout": 30,
            **security,
        }
        return {"BACKEND": _SMTP_BACKEND, "OPTIONS": options}

    def provider(self, name: str) -> str:
        """Anymail's name of a provider, however it was written: "Amazon SES", "amazon-ses"."""
        provider = self.text(name).lower().replace("-", "_").replace(" ", "_")
        if provider and provider not in PROVIDERS:
            raise ImproperlyConfigured(
                f"{name} is {provider!r}, which Anymail does not know. "
                f"It knows: {', '.join(PROVIDERS)}."
            )
        return provider

    def anymail(self, prefix: str = "ANYMAIL_") -> dict[str, Any]:
        """Anymail's own settings: every variable that begins so, but for those of one mailer."""
        return {
            name.removeprefix(prefix): _anymail_value(name, value)
            for name, value in sorted(self._variables.items())
            if name.startswith(prefix) and not self._is_of_a_mailer(name, prefix) and value
        }

    def mailer(self, suffix: str = "") -> dict[str, Any] | None:
        """The one that EMAIL_PROVIDER or EMAIL_URL stand for, with that at their end; None if
        neither is set. Keys of its own (ANYMAIL_BULK_...) come before those that all share."""
        provider = self.provider(f"EMAIL_PROVIDER{suffix}")
        if provider and self.text(f"EMAIL_URL{suffix}"):
            raise ImproperlyConfigured(
                f"Set EMAIL_PROVIDER{suffix} or EMAIL_URL{suffix}, not both."
            )
        if provider:
            options = self._anymail_options(suffix, provider) if suffix else {}
            return {"BACKEND": f"anymail.backends.{provider}.EmailBackend", "OPTIONS": options}
        return self.smtp(f"EMAIL_URL{suffix}") if self.text(f"EMAIL_URL{suffix}") else None

    def mailers(self, name: str) -> dict[str, dict[str, Any]]:
        """Further ones beside the default: those that this variable names."""
        names = self.words(name, [])
        _refuse_names(name, names)
        self._refuse_unnamed(name, names)
        return {each: self._named_mailer(name, each) for each in names}

    def _named_mailer(self, variable: str, name: str) -> dict[str, Any]:
        mailer = self.mailer(f"_{name.upper()}")
        if mailer is None:
            raise ImproperlyConfigured(
                f"{variable} names {name!r}: set EMAIL_URL_{name.upper()} to its SMTP server, or "
                f"EMAIL_PROVIDER_{name.upper()}, or take it off."
            )
        return mailer

    def _refuse_unnamed(self, variable: str, names: list[str]) -> None:
        """A mailer that is set up, and that nobody could use."""
        for set_up in sorted(self._variables):
            of_mailer = _OF_MAILER.fullmatch(set_up)
            if of_mailer and self.text(set_up) and of_mailer[1].lower() not in names:
                raise ImproperlyConfigured(
                    f"{set_up} is set, and {variable} does not name {of_mailer[1].lower()!r}. "
                    f"Write {variable}={','.join([*names, of_mailer[1].lower()])}, or unset it."
                )

    def _anymail_options(self, suffix: str, provider: str) -> dict[str, Any]:
        """As its backend takes them: MAILGUN_API_KEY is its api_key."""
        own = self.anymail(f"ANYMAIL{suffix}_")
        return {
            name.removeprefix(f"{provider.upper()}_").lower(): value for name, value in own.items()
        }

    def _is_of_a_mailer(self, name: str, prefix: str) -> bool:
        own = [f"ANYMAIL_{mailer.upper()}_" for mailer in self.words("MAILERS", [])]
        return any(name.startswith(other) for other in own if other != prefix)


def _refuse_names(variable: str, names: list[str]) -> None:
    """Their variables must be told apart from each other's, and from Anymail's own."""
    for name in names:
        if not _MAILER_NAME.fullmatch(name) or name == "default":
            raise ImproperlyConfigured(
                f"{variable} names {name!r}; write small letters, digits and _, like bulk,letters. "
                "The default mailer needs no name."
            )
        others = [*PROVIDERS, *_ANYMAIL_WORDS, *(other for other in names if other != name)]
        if names.count(name) > 1 or any(f"{other}_".startswith(f"{name}_") for other in others):
            raise ImproperlyConfigured(
                f"{variable} names {name!r}, and variables of another begin like its own: ANYMAIL_"
                f"{name.upper()}_. Give it another name."
            )


def _split(name: str, url: str, schemes: set[str], example: str) -> SplitResult:
    """The parts of an address. What is wrong is said without repeating it: it holds a password."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  Asking for it is what checks it.
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is not an address like {example}: {error}") from None
    if parts.scheme not in schemes:
        raise ImproperlyConfigured(
            f"{name} must begin with one of {', '.join(sorted(schemes))}, like {example}."
        )
    return parts


def _is_server(text: str) -> bool:
    """An IP address; one of version 4 perhaps with a port."""
    address, _colon, port = text.partition(":") if text.count(":") == 1 else (text, "", "53")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return port.isdecimal() and 0 < int(port) < 65536


def _anymail_value(name: str, value: str) -> Any:
    """Keys and secrets are text; switches, timeouts and JSON objects are what they look like."""
    if value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if name.endswith("_TIMEOUT"):
        return float(value)
    if value.startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ImproperlyConfigured(f"{name} is not valid JSON: {error}") from None
    return value
