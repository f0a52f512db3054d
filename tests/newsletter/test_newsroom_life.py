"""What an editor may do with a campaign that is booked, and what the page says of it."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from newsletter.content import compile_versions
from newsletter.models import Article, Campaign, Deferral, Delivery, Parking
from subscribers.models import Publication, Subscriber
from tests.newsletter.sending import schedule, start, work

EVENING = datetime(2027, 1, 14, 18, 0, tzinfo=UTC)
STATUS = Campaign.Status


@pytest.fixture
def evening():
    with time_machine.travel(EVENING, tick=False):
        yield


@pytest.fixture
def desk(client, editor):
    client.force_login(editor)
    return client


@pytest.fixture
def url(campaign):
    def url(noun: str = "", *more: object) -> str:
        name = f"newsroom:campaign-{noun}" if noun else "newsroom:campaign"
        return reverse(name, args=[campaign.pk, *more])

    return url


@pytest.fixture
def half_way(campaign, subscribe):
    """One reader has it, one may have it, two wait."""
    readers = [subscribe(f"{name}@example.com") for name in ["ann", "ben", "cyd", "dan"]]
    start(campaign)
    version = campaign.versions.current().get()
    for period, status in zip(readers, ["sent", "uncertain"], strict=False):
        Delivery.objects.create(
            campaign=campaign,
            subscriber=period.subscriber,
            mailing_list=version.mailing_list,
            version=version,
            status=status,
            at=timezone.now(),
        )
    Campaign.objects.update(audience=4)
    campaign.refresh_from_db()
    return campaign


def now_in(campaign, status, **fields):
    Campaign.objects.filter(pk=campaign.pk).update(status=status, **fields)
    campaign.refresh_from_db()


def typed(article, subject="The ferry is late", **changes):
    words = {"headline": article.headline, "standfirst": article.standfirst, "body": article.body}
    words |= {"seen": article.changed_at.isoformat()} | changes
    return {"subject": subject} | {
        f"article{article.pk}-{key}": text for key, text in words.items()
    }


# When it goes, and to whom ---------------------------------------------------------------------


def test_the_readers_hour_breaking_news_and_the_uncertain_are_booked_as_reviewed(
    evening, desk, url, campaign, subscribe
):
    Subscriber.objects.filter(pk=subscribe("ann@example.com").subscriber_id).update(
        time_zone="Asia/Tokyo"
    )
    wish = {"when": "later", "date": "2027-01-15", "time": "07:00", "time_zone": "Europe/Berlin"}
    wish |= {"at_readers_hour": "on", "is_breaking": "on", "if_uncertain": "repeat"}
    page = desk.get(url("review"), wish).text
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    assert "where the reader is" in page
    assert "The first at Thursday 23:00, the last at Friday 07:00" in page
    assert "goes before everything else" in page
    assert "Send again: better twice than not at all" in page

    desk.post(url("schedule"), hidden)

    campaign.refresh_from_db()
    assert campaign.status == STATUS.SCHEDULED
    assert campaign.at_readers_hour
    assert campaign.is_breaking
    assert campaign.if_uncertain == "repeat"
    assert campaign.due_at == datetime(2027, 1, 14, 22, 0, tzinfo=UTC)
    assert "07:00" in desk.get(url()).text


def test_sent_now_nothing_waits_for_the_readers_hour(desk, url, campaign):
    desk.post(url("schedule"), {"when": "now", "at_readers_hour": "on", "readers": 0})

    campaign.refresh_from_db()
    assert campaign.status == STATUS.SCHEDULED
    assert not campaign.at_readers_hour


def test_nothing_is_repeated_unless_it_was_chosen(desk, url, campaign):
    desk.post(url("schedule"), {"when": "now", "readers": 0})

    campaign.refresh_from_db()
    assert campaign.if_uncertain == Campaign.IfUncertain.HOLD


def test_the_review_says_who_does_not_get_it(desk, url, campaign, subscribe, weekend):
    campaign.mailing_lists.add(weekend)
    subscribe("ann@example.com")
    subscribe("ann@example.com", weekend)

    page = re.sub(r"<[^>]+>|\s+", " ", desk.get(url("review"), {"when": "now"}).text)

    assert re.search(r"on several of the lists, counted once\s+−1", page)
    assert re.search(r"Readers who get it\s+1", page)


def test_the_page_counts_down_while_it_can_be_called_off(evening, desk, url, campaign):
    Publication.objects.update(cancel_window=45)
    desk.post(url("schedule"), {"when": "now", "readers": 0})

    page = desk.get(url()).text

    assert "It starts in 45 seconds." in page
    assert "Call it off" in page
    assert "Correct it" in page


# Put right -------------------------------------------------------------------------------------


def test_what_is_booked_is_corrected_reviewed_and_replaced(desk, url, campaign, article, subscribe):
    subscribe("ann@example.com")
    schedule(campaign, timezone.now() + timedelta(hours=3))
    due_at = campaign.due_at

    answer = desk.post(url("correction"), typed(article, body="<p>It left at seven.</p>"))
    review = desk.get(answer.url).text
    still = campaign.versions.current().get()
    seen = re.findall(r'name="seen" value="(\d+)"', review)
    mail = desk.get(re.search(r'href="([^"]+/corrected/morning[^"]+)"', review)[1]).text
    done = desk.post(
        url("replacement"), {"subject": "The ferry is late", "seen": seen}, follow=True
    )

    campaign.refresh_from_db()
    now = campaign.versions.current().get()
    assert "Replace it for 1 reader" in review
    assert "It left at seven." in mail
    assert "The ferry is late" in mail
    assert "It left at seven." not in still.html
    assert "Whoever has not got it yet gets this wording." in done.text
    assert (now.subject, campaign.subject) == ("The ferry is late", "The ferry is late")
    assert "It left at seven." in now.html
    assert campaign.due_at == due_at


def test_of_what_goes_out_already_the_page_says_how_many_have_it(desk, url, half_way, article):
    answer = desk.post(url("correction"), typed(article))
    page = re.sub(r"<[^>]+>|\s+", " ", desk.get(answer.url).text)

    assert re.search(r"Have an earlier one\s+1\s", page)
    assert re.search(r"Get the new one\s+2\s", page)


def test_the_page_says_how_many_have_which_wording(desk, url, half_way):
    seen = set(half_way.versions.current().values_list("pk", flat=True))
    half_way.subject = "The ferry is late"
    half_way.replace_versions(compile_versions(half_way), seen)

    page = desk.get(url()).text

    assert "Earlier wordings" in page
    assert "1 reader has it" in page


def test_the_frame_of_the_new_wording_can_do_nothing(desk, url, campaign, article):
    schedule(campaign)

    frame = desk.get(url("corrected-mail-html", "morning-briefing"), {"subject": "New"})

    assert "sandbox" in frame.headers["Content-Security-Policy"]
    assert frame.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_nothing_different_is_said_and_not_replaced(desk, url, campaign, article):
    schedule(campaign)

    page = desk.get(url("corrected"), {"subject": campaign.subject}).text

    assert "Nothing is different." in page
    assert "Replace it" not in page


def test_two_editors_correct_one_article_and_no_text_is_lost(desk, url, campaign, article):
    schedule(campaign)
    mine = typed(article, headline="Mine")
    Article.objects.get().revise(article.changed_at, ["headline"])

    answer = desk.post(url("correction"), mine)

    assert answer.status_code == 409
    assert "Somebody else saved this article" in answer.text
    assert "Mine" in answer.text


def test_a_wording_that_somebody_else_replaced_is_not_replaced_unseen(desk, url, campaign):
    schedule(campaign)
    seen = campaign.versions.current().get().pk
    campaign.subject = "Theirs"
    campaign.replace_versions(compile_versions(campaign), {seen})

    answer = desk.post(url("replacement"), {"subject": "Mine", "seen": [seen]}, follow=True)

    assert "somebody else replaced it" in answer.text
    assert campaign.versions.current().get().subject == "Theirs"


def test_a_mistake_in_the_correction_keeps_what_was_typed(desk, url, campaign, article):
    schedule(campaign)

    answer = desk.post(url("correction"), typed(article, headline="", standfirst="Kept"))

    article.refresh_from_db()
    assert answer.status_code == 422
    assert "An article needs a headline." in answer.text
    assert "Kept" in answer.text
    assert article.headline == "The ferry returns"


@pytest.mark.parametrize("status", ["draft", "sent", "cancelled"])
def test_what_is_not_booked_is_not_corrected(desk, url, campaign, status):
    now_in(campaign, status)

    for noun in ("correction", "corrected"):
        answer = desk.get(url(noun), {"subject": "x"}, follow=True)
        assert "Only what is booked and not over can be corrected." in answer.text


# Stopped ---------------------------------------------------------------------------------------


def test_stopping_for_good_asks_first_and_names_the_numbers(desk, url, half_way):
    page = re.sub(r"<[^>]+>|\s+", " ", desk.get(url("cancel")).text)
    half_way.refresh_from_db()
    before = half_way.status
    done = desk.post(url("cancel"), follow=True).text

    half_way.refresh_from_db()
    assert re.search(r"Have it already\s+1\s", page)
    assert re.search(r"Will not get it\s+2\s", page)
    assert before == STATUS.SENDING
    assert half_way.status == STATUS.CANCELLED
    assert "Stopped for good. 1 reader has it." in done
    assert "Make it a draft again" not in done
    assert "The last are being written down." in done


def test_what_has_not_begun_needs_no_second_question(desk, url, campaign):
    schedule(campaign, timezone.now() + timedelta(hours=1))

    assert desk.get(url("cancel")).url == url()

    campaign.refresh_from_db()
    assert campaign.status == STATUS.SCHEDULED


def test_paused_by_itself_it_says_why_what_that_means_and_what_to_do(desk, url, half_way):
    half_way.pause("The mail server refused us (550 5.7.1).")

    page = desk.get(url()).text

    assert "The mail server refused us (550 5.7.1)." in page
    assert "1 reader has it. 2 readers wait." in page
    assert "Go on</button>" in page
    assert page.count('class="main"') == 1


def test_going_on_after_its_time_is_said_to_be_a_decision(desk, url, half_way):
    half_way.pause()
    Campaign.objects.update(send_until=timezone.now() - timedelta(hours=1))
    page = desk.get(url()).text

    desk.post(url("resumption"))

    half_way.refresh_from_db()
    assert "who goes on says that it still is, for 12 hours more." in page
    assert half_way.send_until > timezone.now() + timedelta(hours=11)


def test_what_needs_attention_has_a_cause_an_effect_and_one_button(desk, url, half_way):
    now_in(half_way, STATUS.ATTENTION, trouble="2 readers crash it: KeyError")
    listed = desk.get(reverse("newsroom:campaigns")).text
    page = desk.get(url()).text

    desk.post(url("resumption"))

    half_way.refresh_from_db()
    assert "needs attention: 2 readers crash it: KeyError" in listed
    assert "2 readers wait." in page
    assert "Try again</button>" in page
    assert "Stop for good" in page
    assert half_way.status == STATUS.SENDING


def test_a_batch_that_was_set_aside_is_shown_while_the_others_go_on(desk, url, half_way):
    half_way.batches.update(set_aside_at=timezone.now(), failures=5, trouble="KeyError: 'x'")
    listed = desk.get(reverse("newsroom:campaigns")).text
    page = desk.get(url()).text

    desk.post(url("resumption"))

    assert "with some of the readers: KeyError" in listed
    assert "with some of the readers: KeyError" in page
    assert "2 readers wait." in page
    assert not half_way.batches.set_aside().exists()


@pytest.fixture
def parked(half_way):
    """Gmail, where ben (uncertain) and cyd (waiting) have their mailboxes, refuses us."""
    Subscriber.objects.filter(address__regex="^(ben|cyd)").update(domain="gmail.com")
    half_way.batches.update(left_aside=1, due_at=timezone.now() + timedelta(hours=1))
    now = timezone.now()
    Parking.objects.park("default", "gmail", "550", "5.7.1 Likely unsolicited.", now)
    # Another way of sending, and one at which nobody of this campaign has a mailbox.
    Parking.objects.park("other", "gmail", "550", "Not ours.", now)
    Parking.objects.park("default", "laposte", "550", "Nobody's.", now)
    return Parking.objects.get(mailer="default", house="gmail")


def test_a_mailbox_provider_that_refuses_us_is_named_with_how_many_wait(desk, url, parked):
    listed = desk.get(reverse("newsroom:campaigns")).text
    page = desk.get(url()).text

    assert "Gmail refuses our mail: 550 5.7.1" in listed
    assert "Gmail refuses our mail: 550 5.7.1 Likely unsolicited." in page
    assert "1 reader waits. They are tried again at" in page
    assert "Try again now</button>" in page
    assert "Not ours." not in page
    assert "Nobody’s." not in page


def test_a_mailbox_provider_is_tried_again_at_a_click(desk, url, parked, half_way):
    address = url("parking", parked.pk)

    first = desk.post(address, follow=True).text
    again = desk.post(address, follow=True).text

    parked.refresh_from_db()
    assert parked.until <= timezone.now()
    assert half_way.batches.get().due_at <= timezone.now() + timedelta(seconds=1)
    assert "A few readers there are tried now" in first
    assert "They are being tried again already." in again
    assert "refuses our mail" not in again


def test_readers_at_a_domain_that_refuses_us_are_counted(desk, url, half_way):
    Parking.objects.park("default", "example.com", "554", "No.", timezone.now())

    assert "example.com refuses our mail: 554 No." in desk.get(url()).text
    assert "2 readers wait. They are tried again" in desk.get(url()).text


def test_held_back_it_names_to_how_many_it_would_go(desk, url, campaign, subscribe):
    subscribe("ann@example.com")
    schedule(campaign)
    now_in(campaign, STATUS.PAUSED, trouble="Nothing was running when it was due.")

    page = desk.get(url()).text

    assert "Nothing was running when it was due." in page
    assert "Send to 1 reader now</button>" in page
    assert "Call it off" in page


def test_the_uncertain_and_who_is_tried_again_are_explained(desk, url, half_way):
    Deferral.objects.create(
        batch=half_way.batches.get(),
        campaign=half_way,
        subscriber=Subscriber.objects.last(),
        due_at=timezone.now(),
    )

    page = desk.get(url()).text

    assert "nobody can know whether they got it" in page
    assert "better once too few than twice" in page
    assert "1 to be tried again" in page


def test_while_the_readers_are_counted_no_number_is_made_up(desk, url, half_way):
    now_in(half_way, STATUS.SENDING, audience=None)

    page = desk.get(url()).text
    listed = desk.get(reverse("newsroom:campaigns")).text

    assert "Handed over to 1 so far" in page
    assert "still being counted" in page
    assert "of 0" not in page
    assert "done about" not in listed


def test_closed_books_are_shown_as_they_were_closed(desk, url, campaign, subscribe):
    subscribe("ann@example.com")
    start(campaign)
    work()
    books = {"audience": 5, "sent": 3, "failed": 1, "skipped": 1, "uncertain": 0}
    now_in(campaign, STATUS.SENT, finished_at=timezone.now(), **books)

    assert "Handed over to 3 of 5" in desk.get(url()).text
    assert "1 failed" in desk.get(reverse("newsroom:campaigns")).text
