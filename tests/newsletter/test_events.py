"""What providers report later."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from newsletter.models import Event


def report(provider="postmark", key="e-1"):
    Event.objects.create(
        provider=provider,
        provider_event_id=key,
        kind=Event.Kind.DELIVERED,
        at=timezone.now(),
    )


def test_an_event_counts_once(db):
    report()

    with pytest.raises(IntegrityError), transaction.atomic():
        report()

    assert Event.objects.count() == 1


def test_two_providers_may_give_the_same_number(db):
    report("postmark")
    report("mailgun")

    assert Event.objects.count() == 2
