"""What a receipt says: all the evidence of one reader, as one would show it to a court."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q
from django.urls import reverse

from subscribers.models import (
    Consent,
    Imprint,
    Letter,
    Publication,
    Receipt,
    Seal,
    Subscriber,
    Subscription,
    Suppression,
    Terms,
)
from subscribers.models.consents import TRACES
from subscribers.models.imprints import FIELDS


def told(receipt: Receipt, reader: Subscriber) -> dict[str, Any]:
    """In words and numbers alone: for a page, and for JSON."""
    publication = Publication.objects.current()
    consents = list(reader.consents.select_related("terms", "mailing_list").order_by("pk"))
    agreed = {one.terms.number: one.terms for one in consents if one.terms}
    return {
        "number": receipt.pk,
        "drawn_up": {"at": receipt.at, "by": receipt.actor, "for": receipt.reason},
        "controller": {
            "name": publication.legal_name or publication.name,
            "publication": publication.name,
            "postal_address": publication.postal_address,
        },
        "reader": {
            "number": reader.pk,
            "address": reader.address,
            "name": reader.name,
            "language": reader.language,
            "known_since": reader.created_at,
        },
        "subscriptions": [_period(one) for one in _periods(reader)],
        "consents": _consents(consents, publication),
        "terms": [_terms(agreed[number], publication) for number in sorted(agreed)],
        "letters": [_letter(one) for one in reader.letters.order_by("pk")],
        "not_to_be_mailed": [_suppression(one) for one in _suppressions(reader)],
    }


def _periods(reader: Subscriber) -> Iterable[Subscription]:
    return reader.subscriptions.select_related("mailing_list").order_by("pk")


def _period(period: Subscription) -> dict[str, Any]:
    return {
        "number": period.pk,
        "list": period.mailing_list.name,
        "requested": period.requested_at,
        "confirmed": period.confirmed_at,
        "ended": period.ended_at,
        "why": str(period.get_end_reason_display()),
    }


def _consents(consents: list[Consent], publication: Publication) -> list[dict[str, Any]]:
    """Each with its seal, and with the fields that are not what they were when it was set."""
    keys = [consent.pk for consent in consents]
    imprints = Imprint.objects.in_bulk(keys)
    rows = {row[0]: row for row in Consent.objects.filter(pk__in=keys).values_list(*FIELDS)}
    seals = _seals(list(imprints))
    told = []
    for consent in consents:
        imprint = imprints.get(consent.pk)
        changed = imprint.changed(rows[consent.pk]) if imprint else []
        seal = {"seal": seals.get(consent.pk), "changed": changed}
        gone = list(TRACES) if imprint and imprint.trimmed_by_id else []
        told.append(_consent(consent, publication) | {"no_longer_kept": gone} | seal)
    return told


def _consent(consent: Consent, publication: Publication) -> dict[str, Any]:
    terms = consent.terms
    return {
        "number": consent.pk,
        "subscription": consent.subscription_id,
        "action": consent.action,
        "what": str(consent.get_action_display()),
        "purpose": consent.purpose,
        "list": consent.mailing_list.name,
        "at": consent.at,
        "recorded": consent.recorded_at,
        "method": consent.method,
        "how": str(consent.get_method_display()),
        "by": consent.actor,
        "address": consent.address,
        "wording": consent.wording,
        "terms": terms
        and {
            "version": terms.number,
            "url": _url(terms, publication),
            "sha256": consent.terms_hash,
        },
        "boxes": consent.boxes,
        "network_address": consent.network_address,
        "browser": consent.browser,
        "page": consent.page,
        "referrer": consent.referrer,
        "form": consent.form,
        "language": consent.language,
        "source": consent.source,
        "mail": consent.message_id
        and {"message_id": consent.message_id, "sent": consent.mailed_at},
    }


def _seals(keys: list[int]) -> dict[int, dict[str, Any]]:
    """The seal that each of these is under."""
    over = [Q(first__lte=key, last__gte=key) for key in keys]
    seals = list(Seal.objects.filter(reduce(or_, over))) if over else []
    return {
        key: {"number": seal.number, "at": seal.sealed_at, "hash": seal.hash}
        for seal in seals
        for key in keys
        if seal.first <= key <= seal.last
    }


def _terms(terms: Terms, publication: Publication) -> dict[str, Any]:
    return {
        "version": terms.number,
        "published": terms.published_at,
        "url": _url(terms, publication),
        "sha256": terms.fingerprint,
        "wording": terms.wording,
        "text": terms.text,
    }


def _url(terms: Terms, publication: Publication) -> str:
    return publication.url(reverse("subscribers:terms-version", args=[terms.number]))


def _letter(letter: Letter) -> dict[str, Any]:
    return {
        "kind": letter.kind,
        "what": str(letter.get_kind_display()),
        "asked_for": letter.asked_at,
        "sent": letter.sent_at,
        "answered": letter.answered_at,
        "message_id": letter.message_id,
    }


def _suppressions(reader: Subscriber) -> Iterable[Suppression]:
    mine = Suppression.objects.filter(key=reader.suppression_key)
    return mine.select_related("mailing_list", "publication").order_by("pk")


def _suppression(suppression: Suppression) -> dict[str, Any]:
    return {
        "reason": suppression.reason,
        "why": str(suppression.get_reason_display()),
        "where": str(suppression.mailing_list or suppression.get_scope_display()),
        "since": suppression.created_at,
        "until": suppression.ends_at,
        "lifted": suppression.lifted_at,
    }
