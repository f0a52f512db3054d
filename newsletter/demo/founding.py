"""Founding the made-up paper. Whatever is there already stays as it is."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import product

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from newsletter.content import compile_versions
from newsletter.demo import paper
from newsletter.models import Article, Batch, Campaign, Delivery, Entry, Version
from newsletter.models.deliveries import LedgerRow
from newsletter.models.planning import LAST_ID
from subscribers.addresses import Address
from subscribers.models import (
    Consent,
    MailingList,
    Publication,
    Sender,
    Subscriber,
    Subscription,
    Terms,
)

READERS = 200
# Before the oldest reader signed up.
_FOUNDED = timedelta(days=400)


def create() -> Publication:
    """The paper with its lists, stories, readers and campaigns; run again, it adds nothing."""
    with transaction.atomic():
        publication, is_new = Publication.objects.get_or_create(
            name=paper.PUBLICATION["name"], defaults=paper.PUBLICATION
        )
        if is_new:
            _furnish(publication)
    return publication


def engage_editor(password: str) -> bool:
    """Somebody who may sign in; False if there is one already, whose password stays."""
    people = get_user_model().objects
    if people.filter(username=paper.EDITOR).exists():
        return False
    people.create_superuser(
        paper.EDITOR,
        "mira.okafor@harbourpost.example",
        password,
        first_name="Mira",
        last_name="Okafor",
    )
    return True


def _furnish(publication: Publication) -> None:
    now = timezone.now()
    publication.sender = Sender.objects.create(publication=publication, **paper.SENDER)
    publication.save(update_fields=["sender"])
    terms = Terms.objects.create(
        publication=publication, number=1, text=paper.TERMS, published_at=now - _FOUNDED
    )
    lists = [MailingList.objects.create(publication=publication, **one) for one in paper.LISTS]
    articles = [_publish(publication, story, now) for story in paper.STORIES]
    _invite(lists, terms, now)
    briefing, weekend = lists
    _send(_draft(articles[1], briefing), articles[1].published_at or now)
    _draft(articles[4], weekend)


def _publish(publication: Publication, story: paper.Story, now: datetime) -> Article:
    return Article.objects.create(
        publication=publication,
        slug=story.slug,
        kicker=story.kicker,
        headline=story.headline,
        standfirst=story.standfirst,
        byline=story.byline,
        body=story.body,
        published_at=now - story.age,
    )


def _invite(lists: list[MailingList], terms: Terms, now: datetime) -> None:
    """Readers who signed up over the last year, each with the consents that say so."""
    chance = random.Random(6)  # noqa: S311  The same readers on every machine.
    people = Subscriber.objects.bulk_create(_subscribers(chance))
    periods = Subscription.objects.bulk_create(
        period for person in people for period in _periods(person, lists, terms, now, chance)
    )
    Consent.objects.bulk_create(
        consent for period in periods for consent in _consents(period, terms)
    )


def _subscribers(chance: random.Random) -> Iterator[Subscriber]:
    names = list(product(paper.FIRST_NAMES.split(), paper.LAST_NAMES))
    for first, last in chance.sample(names, READERS):
        address = Address(f"{first}.{last}".lower(), chance.choice(paper.DOMAINS))
        yield Subscriber(
            identity=address.identity,
            address=str(address),
            suppression_key=address.suppression_keys()[0],
            domain=address.domain,
            name=f"{first} {last}" if chance.random() < 0.8 else "",
        )


def _periods(
    person: Subscriber,
    lists: list[MailingList],
    terms: Terms,
    now: datetime,
    chance: random.Random,
) -> Iterator[Subscription]:
    requested = now - timedelta(minutes=chance.randrange(2 * 1440, 365 * 1440))
    confirmed = requested + timedelta(seconds=chance.randrange(40, 7200))
    chosen = chance.choices([lists, lists[:1], lists[1:]], weights=[2, 5, 2])[0]
    for mailing_list in chosen:
        yield Subscription(
            subscriber=person,
            mailing_list=mailing_list,
            requested_at=requested,
            confirmed_at=confirmed,
            agreed_to=terms,
        )


def _consents(period: Subscription, terms: Terms) -> Iterator[Consent]:
    """What the form and the link in the mail would have written."""
    said = {
        "subscriber": period.subscriber,
        "subscription": period,
        "mailing_list": period.mailing_list,
        "address": period.subscriber.address,
        "terms": terms,
        "terms_hash": terms.fingerprint,
        "wording": terms.label,
        "language": "en",
        "source": "demo",
    }
    yield Consent(
        **said,
        action=Consent.Action.GIVEN,
        method=Consent.Method.FORM,
        form="sign-up",
        boxes={"agree": True, "lists": {period.mailing_list.slug: True}},
        page="/",
        at=period.requested_at,
        recorded_at=period.requested_at,
    )
    confirmed_at = period.confirmed_at or period.requested_at
    yield Consent(
        **said,
        action=Consent.Action.CONFIRMED,
        method=Consent.Method.LINK,
        at=confirmed_at,
        recorded_at=confirmed_at,
    )


def _draft(article: Article, mailing_list: MailingList) -> Campaign:
    campaign = Campaign.objects.create(
        publication=article.publication, subject=article.headline, time_zone=""
    )
    Entry.objects.create(campaign=campaign, article=article)
    campaign.mailing_lists.add(mailing_list)
    return campaign


def _send(campaign: Campaign, at: datetime) -> None:
    """What the tables hold after a sending that went well; no mail leaves."""
    (version,) = Version.objects.bulk_create(compile_versions(campaign))
    campaign.status = Campaign.Status.SENT
    campaign.due_at = campaign.started_at = at + timedelta(minutes=5)
    campaign.finished_at = campaign.started_at + timedelta(seconds=4)
    readers = list(campaign.periods_at_start().values_list("subscriber", flat=True))
    campaign.audience = campaign.sent = len(readers)
    campaign.failed = campaign.skipped = campaign.uncertain = 0
    campaign.planned_to = LAST_ID
    campaign.save()
    Batch.objects.cut(campaign, 0, [LAST_ID])
    campaign.batches.update(finished_at=campaign.finished_at)
    rows = [
        LedgerRow(reader, version.mailing_list_id, version.pk, Delivery.Status.SENT)
        for reader in readers
    ]
    Delivery.objects.add(campaign.pk, rows)
    campaign.deliveries.update(at=campaign.finished_at)
