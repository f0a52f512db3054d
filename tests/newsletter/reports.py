"""What tests of what comes back have in common: a campaign that went out, and reports of it."""

from itertools import count

from django.utils import timezone

from newsletter.models import Campaign, Delivery, Event, Version
from newsletter.models.deliveries import LedgerRow
from newsletter.models.events import Report
from subscribers.models import Subscriber, Subscription

_numbers = count(1)


def went_to(readers, mailing_list, status="sent", at=None):
    """A campaign of this list, with each of these readers in its ledger."""
    campaign = Campaign.objects.create(
        publication=mailing_list.publication,
        status=Campaign.Status.SENDING,
        started_at=at or timezone.now(),
    )
    version = Version.objects.create(
        campaign=campaign, mailing_list=mailing_list, subject="", html="", text="", message=b""
    )
    rows = [LedgerRow(reader.pk, mailing_list.pk, version.pk, status) for reader in readers]
    Delivery.objects.add(campaign.pk, rows)
    if at:
        campaign.deliveries.update(at=at)
    return campaign


def report(kind, campaign=0, reader=None, **fields):
    """Of a message of this campaign to this reader, each time another."""
    told = {
        "source": "mailgun",
        "event_id": f"event-{next(_numbers)}",
        "kind": Event.Kind(kind),
        "at": timezone.now(),
        "campaign": getattr(campaign, "pk", campaign),
        "subscriber": reader.pk if reader else 0,
        "address": reader.address if reader else "",
    }
    return Report(**told | fields)


def record(kind, campaign=0, reader=None, **fields):
    return Event.objects.record([report(kind, campaign, reader, **fields)])


def status(campaign, reader):
    return campaign.deliveries.get(subscriber=reader).status


def mailable():
    """Who may be mailed, by address."""
    people = Subscription.objects.mailable().values("subscriber")
    return set(Subscriber.objects.filter(pk__in=people).values_list("address", flat=True))


def delivery_of(campaign, reader):
    """The row of a message that its worker has not written yet."""
    version = campaign.versions.get()
    return Delivery(
        campaign=campaign,
        subscriber=reader,
        mailing_list=version.mailing_list,
        version=version,
        status="sent",
        at=timezone.now(),
    )
