"""Mail domains, and who runs their mailboxes: what is throttled, and what is to blame."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Self

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from subscribers import mailbox_providers, name_servers
from subscribers.mailbox_providers import OTHER

# Houses seldom move.
_KNOWN_FOR = timedelta(days=30)
_FIRST_REST = timedelta(minutes=2)
_LONGEST_REST = timedelta(days=1)
_MOST_ATTEMPTS = 100
# Whoever is looking them up is given this long, before another worker does.
_CLAIMED_FOR = timedelta(minutes=5)
_AT_ONCE = 16

# What this process knows, by domain, and until when by its own clock: asked for every window.
_known: dict[str, tuple[str, float]] = {}
_REMEMBERED = 600.0
# Not looked up yet, and probably will be soon.
_ASKED_AGAIN = 30.0
_MOST_REMEMBERED = 50_000


class MailDomainQuerySet(models.QuerySet["MailDomain"]):
    def providers(self, domains: Iterable[str]) -> dict[str, str]:
        """Who runs the mailboxes of each of these (ASCII, lower case): "other" if unknown.

        A domain never seen is noted, and looked up later. At most one query, and none for what
        this process asked in the last minutes.
        """
        found: dict[str, str] = {}
        strange: list[str] = []
        now = time.monotonic()
        for domain in domains:
            provider, until = _known.get(domain) or (mailbox_providers.of_domain(domain), now + 1)
            if provider and until > now:
                found[domain] = provider
            else:
                strange.append(domain)
        return found | self._learn(strange, now) if strange else found

    def run_by(self, provider: str, domain: str) -> Q:
        """Of rows whose field of this name is a domain: those whose mailboxes it runs."""
        looked_up = self.filter(mailbox_provider=provider).values("name")
        known = mailbox_providers.domains_of(provider)
        return Q(**{f"{domain}__in": looked_up}) | Q(**{f"{domain}__in": known})

    def due(self) -> Self:
        return self.filter(due_at__lte=timezone.now())

    def look_up(self, limit: int = _AT_ONCE) -> int:
        """Ask name servers about those that are due; of how many it did. Any worker may call it.

        Takes 4 s at the worst, unless told to ask about more at a time: where no name server
        answers. A worker that stops waits for it. Whoever has no answer is asked about again, ever
        later; what was known of them stays.
        """
        domains = self._claim(limit)
        if domains:
            with ThreadPoolExecutor(min(len(domains), _AT_ONCE)) as pool:
                providers = pool.map(_look_up, [domain.name for domain in domains])
                for domain, provider in zip(domains, providers, strict=True):
                    domain._hear(provider)
            fields = ["mailbox_provider", "looked_up_at", "attempts", "due_at"]
            self.bulk_update(domains, fields)
        return len(domains)

    def _learn(self, domains: list[str], now: float) -> dict[str, str]:
        rows = dict(self.filter(name__in=domains).values_list("name", "mailbox_provider"))
        new = [domain for domain in domains if domain not in rows]
        self._note([domain for domain in new if not mailbox_providers.is_reserved(domain)])
        if len(_known) > _MOST_REMEMBERED:
            _known.clear()
        for domain in domains:
            is_waiting = not rows.get(domain) and not mailbox_providers.is_reserved(domain)
            until = now + (_ASKED_AGAIN if is_waiting else _REMEMBERED)
            _known[domain] = rows.get(domain) or OTHER, until
        # Not read back from there: another thread may have cleared it.
        return {domain: rows.get(domain) or OTHER for domain in domains}

    def _note(self, names: list[str]) -> None:
        if names:
            now = timezone.now()
            # In one order for all: two who note the same must not wait for each other.
            rows = [MailDomain(name=name, due_at=now) for name in sorted(names)]
            self.bulk_create(rows, ignore_conflicts=True)

    def _claim(self, limit: int) -> "list[MailDomain]":
        """Some that are due, kept from other workers for a while; longest due first."""
        with transaction.atomic():
            due = self.due().order_by("due_at").select_for_update(skip_locked=True)
            domains = list(due[:limit])
            mine = self.filter(pk__in=[domain.pk for domain in domains])
            mine.update(due_at=timezone.now() + _CLAIMED_FOR)
        return domains


class MailDomain(models.Model):
    """What follows the @, and whose mailboxes those are."""

    name = models.CharField(_("domain"), max_length=255, unique=True)
    # Blank until a name server has told.
    mailbox_provider = models.CharField(_("mailbox provider"), max_length=30, blank=True)
    looked_up_at = models.DateTimeField(_("looked up"), null=True, blank=True)
    # Times in a row that nobody answered.
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    due_at = models.DateTimeField(_("to be looked up"), db_index=True)

    objects = MailDomainQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def _hear(self, provider: str | None) -> None:
        """What the name servers said; None if they did not answer."""
        now = timezone.now()
        if provider is None:
            self.attempts = min(self.attempts + 1, _MOST_ATTEMPTS)
            self.due_at = now + min(_FIRST_REST * 2 ** min(self.attempts - 1, 20), _LONGEST_REST)
        else:
            self.mailbox_provider, self.looked_up_at, self.attempts = provider, now, 0
            self.due_at = now + _KNOWN_FOR


def forget() -> None:
    """What this process remembers of domains; the rows say it anew."""
    _known.clear()


def _look_up(domain: str) -> str | None:
    try:
        hosts = name_servers.exchanges(domain)
    except name_servers.NoAnswerError:
        return None
    return mailbox_providers.of_exchange(hosts[0]) if hosts else OTHER
