"""New terms, published by an editor, and readers who are asked to agree to them."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from newsletter import reports
from newsletter.delivery.audience import Audience
from subscribers.models import Renewal, Subscription, Terms
from tests.subscribers.evidence import meddle


@pytest.fixture
def desk(client, editor):
    client.force_login(editor)
    return client


@pytest.fixture
def typed(publication):
    """What an editor types; say what is different."""

    def typed(**other):
        filled = {
            "wording": "I agree to [the terms].",
            "text": "You get our news until you leave.\nWe count no clicks.",
            "asked": "nobody",
            "agree_by": "",
            "summary": "",
            "number": 2,
        }
        return filled | other

    return typed


@pytest.fixture
def asked(publication, briefing):
    """Readers are asked to agree to version 2; by a date, if you say so."""

    def asked(agree_by=None):
        terms = Terms.objects.create(publication=publication, number=2, text="Newer.")
        return Renewal.objects.create(
            terms=terms, summary="We moved to another town.", agree_by=agree_by
        )

    return asked


def in_days(days):
    return str((timezone.now() + timedelta(days=days)).date())


def test_a_review_shows_number_and_changes_and_publishes_nothing(desk, typed, publication):
    page = desk.post(reverse("newsroom:terms-review"), typed()).text

    assert "Publish version 2?" in page
    assert "<ins>We count no clicks.</ins>" in page
    assert "<del>By submitting this form, I agree to the terms.</del>" in page
    assert "cannot be undone" in page
    assert publication.current_terms().number == 1


def test_publishing_adds_a_version_and_says_by_whom(desk, typed, publication):
    desk.post(reverse("newsroom:terms-publication"), typed())

    newest = publication.current_terms()
    assert (newest.number, newest.wording) == (2, "I agree to [the terms].")
    assert newest.actor == "editor"
    assert Terms.objects.get(number=1).text == "You get our news until you leave."
    assert not Renewal.objects.exists()


def test_old_versions_stay_readable_at_their_addresses(desk, client, typed, publication):
    desk.post(reverse("newsroom:terms-publication"), typed())

    assert "I agree to the terms" in client.get("/terms/").text
    assert "By submitting this form" in client.get("/terms/1/").text


def test_of_two_editors_at_once_the_second_looks_again(desk, typed, publication):
    desk.post(reverse("newsroom:terms-publication"), typed(text="The first."))

    answer = desk.post(reverse("newsroom:terms-publication"), typed(text="The second."))

    assert answer.status_code == 409
    assert "somebody else published version 2 meanwhile" in answer.text
    assert "Publish version 3?" in answer.text
    assert publication.current_terms().text == "The first."


def test_a_review_leads_back_with_what_was_typed(desk, typed):
    page = desk.post(reverse("newsroom:terms-draft"), typed(text="Half of it.")).text

    assert "Half of it." in page


@pytest.mark.parametrize("page", ["terms-review", "terms-publication"])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"wording": "I agree."}, "between [ and ]"),
        ({"asked": "ask"}, "what changes"),
        ({"asked": "stop", "summary": "Much."}, "Choose the last day"),
        ({"asked": "stop", "summary": "Much.", "agree_by": in_days(3)}, "7 days at least"),
    ],
)
def test_what_is_missing_is_said(desk, typed, publication, page, wrong, words):
    answer = desk.post(reverse(f"newsroom:{page}"), typed(**wrong))

    assert answer.status_code == 422
    assert words in answer.text
    assert publication.current_terms().number == 1


def test_the_button_names_how_many_are_asked(desk, typed, subscribe, weekend):
    subscribe("ann@example.com")
    subscribe("ann@example.com", weekend)
    subscribe("ben@example.com")

    page = desk.post(
        reverse("newsroom:terms-review"),
        typed(asked="stop", summary="We moved.", agree_by=in_days(30)),
    ).text

    assert "Publish, and ask 2 readers" in page
    assert "is not mailed from then on" in page


def test_a_date_lasts_to_the_end_of_its_day_on_the_papers_clock(client, editor, typed, publication):
    publication.time_zone = "Europe/Berlin"
    publication.save()
    with time_machine.travel(datetime(2027, 5, 1, 12, tzinfo=UTC)):
        client.force_login(editor)
        client.post(
            reverse("newsroom:terms-publication"),
            typed(asked="stop", summary="We moved.", agree_by="2027-05-31"),
        )

    asked = Renewal.objects.get()
    assert asked.agree_by == datetime(2027, 5, 31, 22, tzinfo=UTC)
    assert str(asked.last_day) == "2027-05-31"


def test_who_is_under_which_version_is_counted(desk, subscribe, publication, asked):
    ann, _ben = subscribe("ann@example.com"), subscribe("ben@example.com")
    Subscription.objects.filter(pk=ann.pk).update(agreed_to=publication.current_terms())
    asked()

    page = desk.get(reverse("newsroom:terms"))

    assert [readers for _terms, readers in page.context["wordings"]] == [0, 1]
    assert page.context["under_none"] == 1


def test_who_has_not_agreed_is_listed(desk, subscribe, asked, weekend):
    renewal = asked()
    ann = subscribe("ann@example.com")
    subscribe("ann@example.com", weekend)
    ben = subscribe("ben@example.com")
    Subscription.objects.filter(pk=ben.pk).update(agreed_to=renewal.terms)

    page = desk.get(reverse("newsroom:terms-renewal", args=[2]))

    assert [period.subscriber for period in page.context["rows"]] == [ann.subscriber]
    assert (page.context["everybody"], page.context["agreed"]) == (2, 1)


def test_the_list_goes_on_where_a_page_ended(desk, subscribe, asked, monkeypatch):
    monkeypatch.setattr("newsletter.newsroom.views.terms._A_PAGE", 2)
    asked()
    for number in range(5):
        subscribe(f"r{number}@example.com")

    seen, after = [], ""
    while after is not None:
        page = desk.get(reverse("newsroom:terms-renewal", args=[2]), {"after": after})
        seen += [period.subscriber.address for period in page.context["rows"]]
        after = page.context["last"]

    assert seen == [f"r{number}@example.com" for number in range(5)]


def test_another_date_lets_all_be_mailed_again(desk, subscribe, asked):
    subscribe("ann@example.com")
    asked(agree_by=timezone.now() - timedelta(days=1))
    page = desk.get(reverse("newsroom:terms-renewal", args=[2])).text
    assert "1 reader is not mailed." in page

    desk.post(reverse("newsroom:terms-renewal-date", args=[2]), {"agree_by": ""})

    assert Subscription.objects.mailable().count() == 1


def test_a_date_is_not_moved_into_the_next_days(desk, asked):
    renewal = asked()

    answer = desk.post(reverse("newsroom:terms-renewal-date", args=[2]), {"agree_by": in_days(1)})

    assert answer.status_code == 422
    renewal.refresh_from_db()
    assert renewal.agree_by is None


# What it does to a campaign ---------------------------------------------------------------------


def test_who_has_not_agreed_by_the_date_is_skipped_and_the_ledger_says_why(
    subscribe, asked, briefing
):
    ann, ben = subscribe("ann@example.com"), subscribe("ben@example.com")
    renewal = asked(agree_by=timezone.now() - timedelta(seconds=1))
    Subscription.objects.filter(pk=ben.pk).update(agreed_to=renewal.terms)
    audience, both = Audience([briefing.pk]), [ann.subscriber_id, ben.subscriber_id]

    assert list(audience.mailable(both)) == [ben.subscriber_id]
    assert audience.reasons([ann.subscriber_id]) == {ann.subscriber_id: ("terms", briefing.pk)}


def test_the_date_counts_from_window_to_window(subscribe, asked, briefing):
    """An audience is asked for minutes: nobody gets mail an hour late."""
    ann = subscribe("ann@example.com")
    renewal = asked(agree_by=timezone.now() + timedelta(hours=1))
    audience = Audience([briefing.pk])
    assert audience.mailable([ann.subscriber_id])

    Renewal.objects.filter(pk=renewal.pk).update(agree_by=timezone.now() - timedelta(seconds=1))

    assert not audience.mailable([ann.subscriber_id])


def test_as_long_as_no_date_is_set_a_window_asks_nothing_more(subscribe, asked, briefing):
    asked()

    question = Audience([briefing.pk])._mailable._sql

    assert "renewal" not in question


def test_the_funnel_tells_who_has_not_agreed(campaign, subscribe, asked):
    subscribe("ann@example.com")
    asked(agree_by=timezone.now() - timedelta(seconds=1))

    funnel = reports.funnel(campaign)

    assert (funnel.readers, funnel.excluded) == (0, [("terms", 1)])


def test_terms_of_another_paper_stop_nobody_here(subscribe, asked, publication):
    subscribe("ann@example.com")
    renewal = asked(agree_by=timezone.now() - timedelta(seconds=1))
    other = type(publication).objects.create(name="Another paper")
    meddle(
        "UPDATE subscribers_terms SET publication_id = %s WHERE id = %s",
        other.pk,
        renewal.terms_id,
    )

    assert Subscription.objects.mailable().count() == 1
