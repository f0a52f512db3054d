"""Reports in great number, and at the same time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client

from newsletter.models import Bounce, Event
from subscribers.models import Consent, Suppression
from tests.newsletter.hooks import call, settings_of, told
from tests.newsletter.reports import went_to
from tests.newsletter.sending import confirmed_readers

FULL = "550 5.2.2 mailbox full"
NO_SUCH_USER = "550 5.1.1 no such user"


@pytest.fixture
def ann(subscribe):
    return subscribe("ann@example.com").subscriber


def test_ten_thousand_at_once_are_stored_and_applied_by_few_statements(
    client, settings, briefing, ann, django_assert_max_num_queries
):
    settings.ANYMAIL = settings_of("sendgrid")
    readers = confirmed_readers(2000, briefing, "example.net")
    campaign = went_to(readers, briefing)
    kinds = ["delivered"] * 4 + ["bounced"]
    events = [
        told("sendgrid", kind, campaign, reader, FULL if kind == "bounced" else "")[0]
        for reader in readers
        for kind in kinds
    ]

    with django_assert_max_num_queries(50):
        for start in range(0, len(events), 2500):
            assert call(client, "sendgrid", events[start : start + 2500]).status_code == 200

    assert Event.objects.filter(applied_at__isnull=False).count() == 10_000
    assert Bounce.objects.count() == 2000


@pytest.mark.django_db(transaction=True)
def test_workers_who_hear_the_same_at_once_store_and_apply_it_once(
    settings, briefing, ann, publication
):
    settings.ANYMAIL = settings_of("sendgrid")
    readers = confirmed_readers(20, briefing, "example.net")
    campaign = went_to([*readers, ann], briefing, "uncertain")
    kinds = ["delivered", "bounced", "complained"]
    events = [
        told("sendgrid", kind, campaign, reader, NO_SUCH_USER)[0]
        for reader in [*readers, ann]
        for kind in kinds
    ]

    def hear(number):
        try:
            # Each in another order.
            mine = events[number * 9 :] + events[: number * 9]
            return call(Client(), "sendgrid", mine).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as callers:
        answers = list(callers.map(hear, range(6)))

    assert answers == [200] * 6
    assert Event.objects.count() == len(events)
    assert Bounce.objects.count() == len(readers) + 1
    assert set(campaign.deliveries.values_list("status", flat=True)) == {"failed"}
    assert Consent.objects.filter(action="withdrawn").count() == len(readers) + 1
    assert Suppression.objects.count() == len(readers) + 1
    assert not Event.objects.waiting().exists()
