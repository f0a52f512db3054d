"""Who sends, from where, by what: what is checked."""

import re
from typing import NamedTuple

from django.conf import settings

from newsletter import dkim
from newsletter.domains import providers
from newsletter.domains.providers import Provider
from subscribers.models import Sender

_ANYMAIL = re.compile(r"anymail\.backends\.(\w+)\.EmailBackend")


class Sending(NamedTuple):
    """`domain` is that of From, `envelope_domain` where bounces go, `reply_domain` where answers
    do; all in ASCII, lower case.

    `host` is the SMTP server, "" where there is none. `selectors` are known to sign, by domain.
    """

    domain: str
    envelope_domain: str
    reply_domain: str
    mailer: str = "default"
    provider: Provider | None = None
    host: str = ""
    keys: tuple[dkim.Key, ...] = ()
    selectors: tuple[tuple[str, str], ...] = ()
    # Whether bounces were seen to go there, or told to: a provider may have a domain of its own.
    is_envelope_known: bool = False

    @property
    def has_foreign_envelope(self) -> bool:
        """Whether bounces go to the provider's own domain, as far as can be told."""
        return bool(self.provider and self.provider.has_own_envelope and not self.is_envelope_known)

    def bouncing_to(self, domain: str) -> "Sending":
        return self._replace(envelope_domain=domain, is_envelope_known=True)

    def signed_with(self, *selectors: tuple[str, str]) -> "Sending":
        """The same, these pairs of domain and selector being known."""
        return self._replace(selectors=tuple(dict.fromkeys([*self.selectors, *selectors])))


def from_domain(domain: str, mailer: str = "default") -> Sending:
    """Mail from this domain by this mailer, bounces coming back to it.

    Raises UnicodeError where the domain is none, KeyFileError where our own key cannot be read.
    """
    options = settings.MAILERS[mailer]
    host = str(options.get("OPTIONS", {}).get("host", ""))
    anymail = _ANYMAIL.fullmatch(options["BACKEND"])
    provider = providers.named(anymail[1]) if anymail else providers.running(host.lower())
    domain = _in_ascii(domain)
    keys = dkim.keys_of(domain) if host else ()
    return Sending(domain, domain, domain, mailer, provider, host.lower(), keys).signed_with(
        *((key.domain, key.selector) for key in keys)
    )


def of_sender(sender: Sender) -> list[Sending]:
    """Mail of this sender, by each of its mailers that is set up: the standby before it is needed.

    That of campaigns comes first.
    """
    named = [sender.mailer, sender.letter_mailer, sender.standby]
    known = [name for name in dict.fromkeys(named) if name in settings.MAILERS]
    return [_by(sender, mailer) for mailer in known]


def _by(sender: Sender, mailer: str) -> Sending:
    answers = _in_ascii(sender.reply_to.rpartition("@")[2] or sender.domain)
    sending = from_domain(sender.domain, mailer)._replace(reply_domain=answers)
    return sending.bouncing_to(_in_ascii(sender.bounce_domain)) if sender.bounce_domain else sending


def _in_ascii(domain: str) -> str:
    return domain.encode("idna").decode().lower().rstrip(".")
