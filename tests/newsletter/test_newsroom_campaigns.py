"""From an article to its readers, as an editor does it."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from newsletter.content import compile_versions
from newsletter.models import Article, Campaign, Delivery, Version
from newsletter.newsroom.forms import CampaignForm
from subscribers.models import Consent, Evidence, Publication, Subscription

NIGHT = datetime(2027, 3, 27, 22, 0, tzinfo=UTC)


@pytest.fixture
def night():
    """The evening before Berlin puts its clocks forward. Named first, so that one signs in then."""
    with time_machine.travel(NIGHT, tick=False):
        yield


@pytest.fixture
def desk(client, editor):
    client.force_login(editor)
    return client


@pytest.fixture
def url(campaign):
    """Call it with what follows "campaign-": the address for the draft."""

    def url(noun: str, *more: object) -> str:
        return reverse(f"newsroom:campaign-{noun}", args=[campaign.pk, *more])

    return url


def later(time: str, date: str = "2027-03-28", zone: str = "Europe/Berlin") -> dict[str, str]:
    return {"when": "later", "date": date, "time": time, "time_zone": zone}


def test_a_campaign_is_made_from_an_article(desk, article, briefing, weekend):
    begun = desk.get(reverse("newsroom:new-campaign"), {"article": article.pk})
    assert re.search(rf'value="{article.pk}"[^>]*checked', begun.text)

    answer = desk.post(
        reverse("newsroom:new-campaign"),
        {"articles": [article.pk], "mailing_lists": [briefing.pk, weekend.pk], "length": "excerpt"},
    )

    campaign = Campaign.objects.get()
    assert answer.url == reverse("newsroom:campaign", args=[campaign.pk])
    assert list(campaign.articles.all()) == [article]
    assert set(campaign.mailing_lists.all()) == {briefing, weekend}
    assert campaign.title == article.headline


def test_a_campaign_needs_an_article_and_a_list(desk, article):
    answer = desk.post(reverse("newsroom:new-campaign"), {"subject": "Kept", "length": "whole"})

    assert answer.status_code == 422
    assert "Choose at least one article." in answer.text
    assert "Choose at least one list." in answer.text
    assert 'value="Kept"' in answer.text


def test_articles_keep_their_order_and_new_ones_follow(desk, url, campaign, article, briefing):
    second = Article.objects.create(publication=article.publication, headline="Second")

    desk.post(
        url("content"),
        {"articles": [second.pk, article.pk], "mailing_lists": [briefing.pk], "length": "whole"},
    )

    assert [entry.article for entry in campaign.entries.all()] == [article, second]


def test_a_reader_of_two_lists_counts_once(desk, campaign, subscribe, weekend):
    campaign.mailing_lists.add(weekend)
    subscribe("ann@example.com")
    subscribe("ann@example.com", weekend)
    subscribe("ben@example.com", weekend)

    page = desk.get(reverse("newsroom:campaign", args=[campaign.pk]))

    assert page.context["readers"] == 2
    assert {mailing_list.slug: number for mailing_list, number in page.context["lists"]} == {
        "morning-briefing": 1,
        "weekend-reader": 2,
    }


def test_what_is_missing_is_said_and_keeps_it_from_going(desk, url, campaign):
    Publication.objects.update(postal_address="")

    page = desk.get(reverse("newsroom:campaign", args=[campaign.pk]))
    answer = desk.post(url("schedule"), {"when": "now", "readers": 0})

    campaign.refresh_from_db()
    assert "Before it can go" in page.text
    assert "postal address" in page.text
    assert answer.url == reverse("newsroom:campaign", args=[campaign.pk])
    assert campaign.is_draft


def test_the_mail_is_shown_in_a_frame_that_can_do_nothing(desk, url, campaign):
    page = desk.get(url("mail", "morning-briefing"))
    frame = desk.get(url("mail-html", "morning-briefing"))

    policy = frame.headers["Content-Security-Policy"]
    assert "Nobody was seasick." in page.text
    assert "Nobody was seasick." in frame.text
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert frame.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_a_list_that_it_does_not_go_to_has_no_mail(desk, url, weekend):
    assert desk.get(url("mail", "weekend-reader")).status_code == 404


def test_a_test_goes_to_one_address_and_counts_nowhere(desk, url, campaign, subscribe):
    subscribe("ann@example.com")

    answer = desk.post(url("test"), {"address": "mira@harbour.example"}, follow=True)

    campaign.refresh_from_db()
    assert "A test was handed over for mira@harbour.example." in answer.text
    assert campaign.is_draft
    assert not Delivery.objects.exists()


def test_an_unpublished_article_can_be_tested_and_does_not_go_out(desk, url, campaign, article):
    article.withdraw()

    tested = desk.post(url("test"), {"address": "mira@harbour.example"}, follow=True)
    booked = desk.post(url("schedule"), {"when": "now", "readers": 0}, follow=True)

    campaign.refresh_from_db()
    assert "A test was handed over" in tested.text
    assert "not on the web yet. Publish it first" in booked.text
    assert campaign.is_draft


def test_a_mistyped_test_address_is_kept_and_explained(desk, url):
    answer = desk.post(url("test"), {"address": "mira@"})

    assert answer.status_code == 422
    assert 'value="mira@"' in answer.text


def test_a_test_to_somebody_who_left_is_refused_in_words(desk, url, subscribe):
    left = subscribe("ann@example.com")
    left.end(Subscription.EndReason.UNSUBSCRIBED, Evidence(method=Consent.Method.LINK))

    answer = desk.post(url("test"), {"address": "ann@example.com"}, follow=True)

    assert "No test was sent: Whoever has this address left" in answer.text


def test_the_button_names_the_number(desk, url, subscribe):
    subscribe("ann@example.com")
    subscribe("ben@example.com")

    assert "Send to 2 readers" in desk.get(url("review"), {"when": "now"}).text


def test_a_wall_time_is_booked_in_its_zone(night, desk, url, campaign, subscribe):
    subscribe("ann@example.com")
    page = desk.get(url("review"), later("06:30"))
    assert "Sunday, 28 March 2027, 06:30" in page.text

    desk.post(url("schedule"), later("06:30") | {"readers": 1})

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.SCHEDULED
    assert campaign.due_at == datetime(2027, 3, 28, 4, 30, tzinfo=UTC)
    assert campaign.time_zone == "Europe/Berlin"
    assert campaign.scheduled_time.isoformat() == "06:30:00"
    assert campaign.versions.current().count() == 1


@pytest.mark.parametrize(
    ("wall", "words"),
    [
        (later("02:30"), "03:00 on 28 March 2027"),
        (later("22:58", "2027-03-27"), "That time is past."),
        (later("06:30", "2072-03-28"), "Check the year."),
        (later("06:30", "9999-12-31", "America/Los_Angeles"), "Check the year."),
        (later("06:30", zone="Berlin/Europe"), "is not a time zone"),
        (later(""), "Choose a time."),
        (later("06:30", ""), "Choose a date."),
        (later("06:30", zone=""), "Choose a time zone"),
        ({}, "This field is required."),
    ],
)
def test_a_time_that_cannot_be_is_refused_in_words(night, desk, url, campaign, wall, words):
    looked = desk.get(url("review"), wall)
    booked = desk.post(url("schedule"), wall | {"readers": 0})

    campaign.refresh_from_db()
    assert looked.status_code == booked.status_code == 422
    assert words in looked.text
    assert words in booked.text
    assert campaign.is_draft


def test_a_time_within_the_last_minute_is_no_mistake(night, desk, url, campaign):
    desk.post(url("schedule"), later("23:00", "2027-03-27") | {"readers": 0})

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.SCHEDULED


def test_it_never_starts_before_it_could_be_called_off(night, desk, url, campaign):
    Publication.objects.update(cancel_window=60)

    desk.post(url("schedule"), {"when": "now", "readers": 0})

    campaign.refresh_from_db()
    assert campaign.due_at == NIGHT + timedelta(seconds=60)


def test_pressing_twice_makes_one_sending(desk, url, campaign, subscribe):
    subscribe("ann@example.com")
    pressed = {"when": "now", "readers": 1}

    desk.post(url("schedule"), pressed)
    first = Campaign.objects.get()
    again = desk.post(url("schedule"), pressed, follow=True)

    assert "This campaign was scheduled already." in again.text
    assert Campaign.objects.get().due_at == first.due_at
    assert Version.objects.count() == 1


def test_of_two_editors_at_once_one_books(campaign):
    mine, theirs = Campaign.objects.get(), Campaign.objects.get()
    due_at = timezone.now()

    won = [each.schedule(compile_versions(each), due_at) for each in (mine, theirs)]

    assert won == [True, False]
    assert Version.objects.count() == 1


def test_a_number_that_changed_meanwhile_is_asked_again(desk, url, campaign, subscribe):
    subscribe("ann@example.com")
    desk.get(url("review"), {"when": "now"})
    subscribe("ben@example.com")

    answer = desk.post(url("schedule"), {"when": "now", "readers": 1})

    campaign.refresh_from_db()
    assert answer.status_code == 409
    assert "it is 2 readers now" in answer.text
    assert "Send to 2 readers" in answer.text
    assert campaign.is_draft


@pytest.mark.parametrize("readers", ["", "many", "-1"])
def test_nothing_goes_without_a_confirmed_number(desk, url, campaign, readers):
    desk.post(url("schedule"), {"when": "now", "readers": readers})

    campaign.refresh_from_db()
    assert campaign.is_draft


def test_what_is_scheduled_keeps_its_content(desk, url, campaign, article, briefing):
    desk.post(url("schedule"), {"when": "now", "readers": 0})

    answer = desk.post(
        url("content"),
        {
            "articles": [article.pk],
            "mailing_lists": [briefing.pk],
            "subject": "New",
            "length": "whole",
        },
        follow=True,
    )

    campaign.refresh_from_db()
    assert "its content stays as it is" in answer.text
    assert campaign.subject == article.headline


def test_content_scheduled_while_it_was_written_stays(campaign, article, briefing):
    typed = {
        "articles": [article.pk],
        "mailing_lists": [briefing.pk],
        "subject": "Too late",
        "length": "whole",
    }
    form = CampaignForm(typed, instance=Campaign.objects.get())
    campaign.schedule(compile_versions(campaign), timezone.now())

    saved = form.is_valid() and form.save_draft()

    campaign.refresh_from_db()
    assert not saved
    assert campaign.subject == article.headline
    assert campaign.status == Campaign.Status.SCHEDULED


def test_called_off_and_drafted_again(desk, url, campaign):
    desk.post(url("schedule"), {"when": "now", "readers": 0})

    desk.post(url("cancel"))
    campaign.refresh_from_db()
    called_off = campaign.status
    desk.post(url("draft"))
    campaign.refresh_from_db()

    assert called_off == Campaign.Status.CANCELLED
    assert campaign.is_draft
    assert not campaign.versions.current().exists()


def test_a_late_call_off_says_so(desk, url, campaign):
    Campaign.objects.update(status=Campaign.Status.SENT)

    answer = desk.post(url("cancel"), follow=True)

    assert "Too late to call it off" in answer.text


def test_paused_and_resumed(desk, url, campaign):
    Campaign.objects.update(status=Campaign.Status.SENDING, started_at=timezone.now(), audience=0)

    desk.post(url("pause"))
    campaign.refresh_from_db()
    paused = campaign.status
    desk.post(url("resumption"))
    campaign.refresh_from_db()

    assert paused == Campaign.Status.PAUSED
    assert campaign.status == Campaign.Status.SENDING


@pytest.fixture
def sending(campaign, subscribe):
    """Half-way: four readers, one outcome of each kind but the last, who waits."""
    versions = Version.objects.bulk_create(compile_versions(campaign))
    outcomes = ["sent", "failed", "skipped", "uncertain", None]
    for number, status in enumerate(outcomes):
        reader = subscribe(f"reader{number}@example.com").subscriber
        if status:
            Delivery.objects.create(
                campaign=campaign,
                subscriber=reader,
                mailing_list=versions[0].mailing_list,
                version=versions[0],
                status=status,
                text=f"Why it is {status}",
                at=timezone.now(),
            )
    Campaign.objects.update(
        status=Campaign.Status.SENDING, audience=5, started_at=timezone.now() - timedelta(minutes=4)
    )
    campaign.refresh_from_db()
    return campaign


def test_progress_says_exactly_what_is_known(desk, url, sending):
    page = desk.get(reverse("newsroom:campaign", args=[sending.pk])).text
    part = desk.get(url("progress")).text

    for text in (page, part):
        assert "Handed over to 1 of 5" in text
        assert 'hx-trigger="every 2s"' in text
    assert '<noscript><meta http-equiv="refresh"' in page


def test_what_is_over_is_not_asked_for_again(desk, url, sending):
    Campaign.objects.update(status=Campaign.Status.SENT, finished_at=timezone.now())

    page = desk.get(reverse("newsroom:campaign", args=[sending.pk])).text

    assert "hx-trigger" not in page
    assert "http-equiv" not in page


def test_our_own_reasons_are_told_in_words(desk, url, sending):
    Delivery.objects.filter(status="skipped").update(code=Delivery.Reason.EXPIRED, text="")

    assert "Too late: no longer news" in desk.get(url("outcomes")).text


def test_who_did_not_get_it_is_named_with_the_reason(desk, url, sending):
    page = desk.get(url("outcomes")).text

    for status in ("failed", "skipped", "uncertain"):
        assert f"Why it is {status}" in page
    assert "reader1@example.com" in page
    assert "reader0@example.com" not in page


def test_trouble_stands_above_the_table(desk, sending):
    Campaign.objects.update(status=Campaign.Status.PAUSED, trouble="The server refused us.")

    page = desk.get(reverse("newsroom:campaigns")).text

    assert page.index("The server refused us.") < page.index("<table")
    assert "See what to do" in page


def test_a_campaign_without_readers_is_said_to_be_one(desk, url):
    assert "Nobody would get it." in desk.get(url("review"), {"when": "now"}).text


def test_an_empty_newsroom_says_what_to_do(desk, publication):
    for name in ("campaigns", "articles", "readers", "lists"):
        page = desk.get(reverse(f"newsroom:{name}")).text
        assert 'class="empty"' in page
        assert "<table" not in page


def test_the_list_takes_as_many_queries_for_many_as_for_one(
    desk, sending, briefing, article, django_assert_num_queries
):
    for _ in range(12):
        draft = Campaign.objects.create(publication=article.publication)
        draft.entries.create(article=article)
        draft.mailing_lists.add(briefing)
    desk.get(reverse("newsroom:campaigns"))

    # Session, editor; count, campaigns, their lists and entries; readers, ledger; the same for
    # what is in trouble (none), who refuses us, what mailer is down, for campaigns and for letters;
    # whether terms are asked for; paper, and whether there is an attack.
    with django_assert_num_queries(15):
        desk.get(reverse("newsroom:campaigns"))


def test_a_form_from_elsewhere_is_refused(editor, campaign, url, client):
    strict = type(client)(enforce_csrf_checks=True)
    strict.force_login(editor)

    answer = strict.post(url("schedule"), {"when": "now", "readers": 0})

    campaign.refresh_from_db()
    assert answer.status_code == 403
    assert campaign.is_draft
