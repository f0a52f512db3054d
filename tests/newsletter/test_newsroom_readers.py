"""Readers, lists, and the paper's settings, as an editor sees them."""

import pytest
from django.urls import reverse

from subscribers.models import (
    Consent,
    Evidence,
    MailingList,
    Publication,
    Subscriber,
    Subscription,
)


@pytest.fixture
def desk(client, editor):
    client.force_login(editor)
    return client


def test_a_reader_is_found_by_how_the_address_begins(desk, subscribe):
    for address in ("ann@example.com", "anna@example.com", "ben@example.com"):
        subscribe(address)

    page = desk.get(reverse("newsroom:readers"), {"q": " Ann"})

    assert [reader.address for reader in page.context["readers"]] == [
        "ann@example.com",
        "anna@example.com",
    ]


@pytest.mark.parametrize("beginning", ["a%", "_nn", "ann' OR 1=1 --", "\x00"])
def test_what_is_searched_for_is_taken_as_written(desk, subscribe, beginning):
    subscribe("ann@example.com")

    page = desk.get(reverse("newsroom:readers"), {"q": beginning})

    assert page.status_code == 200
    assert "ann@example.com" not in page.text


def test_every_reader_is_on_one_page_of_the_list(desk, briefing):
    Subscriber.objects.bulk_create(
        Subscriber(
            identity=f"r{n:03}@example.com", address=f"r{n:03}@example.com", domain="example.com"
        )
        for n in range(120)
    )

    for query in ({}, {"q": "r"}):
        seen, after = [], {}
        while after is not None:
            page = desk.get(reverse("newsroom:readers"), query | after)
            seen += [reader.pk for reader in page.context["readers"]]
            last = page.context["last"]
            after = {"after": last.pk} if last else None

        assert len(seen) == len(set(seen)) == 120


def test_the_list_takes_as_many_queries_for_many_as_for_one(
    desk, subscribe, django_assert_num_queries
):
    for number in range(12):
        subscribe(f"reader{number}@example.com")
    desk.get(reverse("newsroom:readers"))

    # Session, editor, readers, their periods, paper.
    with django_assert_num_queries(7):
        desk.get(reverse("newsroom:readers"))


def test_a_reader_page_shows_consent_word_for_word(desk, subscribe, publication):
    subscription = subscribe("ann@example.com", name="<b>Ann</b>")
    evidence = Evidence(
        method=Consent.Method.FORM,
        wording="By submitting this form, I agree to the terms.",
        terms=publication.current_terms(),
        network_address="192.0.2.1",
        browser="<script>alert(1)</script>",
    )
    Consent.objects.record(Consent.Action.GIVEN, subscription, evidence)
    subscription.end(Subscription.EndReason.UNSUBSCRIBED, evidence)

    page = desk.get(reverse("newsroom:reader", args=[subscription.subscriber_id])).text

    assert "By submitting this form, I agree to the terms." in page
    assert "192.0.2.1" in page
    assert "Unsubscribed" in page
    assert "&lt;b&gt;Ann&lt;/b&gt;" in page
    assert "<script>alert(1)</script>" not in page


def test_lists_show_whom_they_reach(desk, subscribe, briefing, weekend):
    subscribe("ann@example.com")
    subscribe("ben@example.com").end("unsubscribed", Evidence(method="link"))

    page = desk.get(reverse("newsroom:lists"))

    assert page.context["rows"] == [(briefing, 1), (weekend, 0)]


def test_a_list_is_made_and_its_name_for_programs_never_changes(desk, publication):
    made = {"name": "Evening", "slug": "evening", "position": 0, "is_public": "on"}
    desk.post(reverse("newsroom:new-list"), made)
    evening = MailingList.objects.get()
    list_id = evening.list_id

    desk.post(
        reverse("newsroom:list", args=[evening.pk]), made | {"name": "Night", "slug": "night"}
    )

    evening.refresh_from_db()
    assert evening.name == "Night"
    assert (evening.slug, evening.list_id) == ("evening", list_id)


def test_two_lists_cannot_have_one_short_name(desk, briefing):
    answer = desk.post(
        reverse("newsroom:new-list"), {"name": "Again", "slug": briefing.slug, "position": 0}
    )

    assert answer.status_code == 422
    assert 'value="Again"' in answer.text


def paper(**changed: str) -> dict[str, object]:
    return {
        "name": "The Harbour Post",
        "legal_name": "Harbour Post Ltd",
        "postal_address": "1 Quay Street",
        "language": "en",
        "time_zone": "Europe/Berlin",
        "accent": "#14532d",
        "cancel_window": 60,
        "sender-name": "The Harbour Post",
        "sender-email": "news@harbour.example",
    } | changed


def test_the_paper_and_its_sender_are_set_together(desk, publication):
    desk.post(reverse("newsroom:settings"), paper(**{"sender-name": "The Night Desk"}))

    changed = Publication.objects.current()
    assert changed.time_zone == "Europe/Berlin"
    assert changed.accent == "#14532d"
    assert changed.sender.name == "The Night Desk"


def test_mail_cannot_be_from_a_mailbox_provider(desk, publication):
    answer = desk.post(
        reverse("newsroom:settings"), paper(**{"sender-email": "harbour.post@gmail.com"})
    )

    assert answer.status_code == 422
    assert "refuse mail in their name" in answer.text
    assert Publication.objects.current().sender.email == "news@harbour.example"


def test_a_line_break_cannot_stand_in_a_sender(desk, publication):
    answer = desk.post(
        reverse("newsroom:settings"), paper(**{"sender-name": "Desk\r\nBcc: x@example.com"})
    )

    assert answer.status_code == 422
    assert Publication.objects.current().sender.name == "The Harbour Post"
