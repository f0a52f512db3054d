"""What the newsroom says of mailers: which is down, what becomes of whom, and what one may do."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from newsletter.models import Batch, Campaign, RateLimit, WarmUp
from subscribers.models import Breaker, Letter, Sender
from tests.newsletter.sending import confirmed_readers, start, work
from tests.newsletter.test_mailers import lock_out, take_down

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(client, editor):
    """The newsroom as an editor who may change senders sees it."""
    editor.user_permissions.add(Permission.objects.get(codename="change_sender"))
    client.force_login(editor)
    return client


@pytest.fixture
def mailers(settings, publication):
    """Three ways out, and a standby that nobody has marked."""
    memory = "django.core.mail.backends.locmem.EmailBackend"
    settings.MAILERS = {name: {"BACKEND": memory} for name in ["default", "letters", "relay"]}
    publication.sender.standby = "relay"
    publication.sender.save()
    return publication.sender


@pytest.fixture
def held(mailers, campaign, briefing):
    """Begun, to twelve readers, and its mailer is down."""
    confirmed_readers(12, briefing)
    start(campaign)
    take_down(said="Connection <refused>")
    work()
    return campaign


def page_of(desk, campaign):
    return desk.get(reverse("newsroom:campaign", args=[campaign.pk])).text


def standby_of(campaign, sender):
    return reverse("newsroom:campaign-standby", args=[campaign.pk, sender.pk])


# The campaign's page --------------------------------------------------------------------------


def test_it_says_which_mailer_is_down_what_it_said_and_how_many_wait(desk, held):
    page = page_of(desk, held)
    listed = desk.get(reverse("newsroom:campaigns")).text

    assert "The mailer “default” cannot be reached since" in page
    assert "Connection &lt;refused&gt;" in page
    assert "12 readers wait. Its standby “relay” is not marked as warmed up" in page
    assert "It is tried again at" in page
    assert "The mailer “default” cannot be reached since" in listed


def test_it_says_who_takes_over(desk, held, mailers, editor):
    mailers.mark_standby(editor.pk)

    page = page_of(desk, held)

    assert "12 readers wait. The standby “relay” takes over" in page
    assert "Use “relay” for this" not in page


def test_a_standby_that_is_down_too_is_said(desk, held, mailers, editor):
    mailers.mark_standby(editor.pk)
    take_down("relay")

    assert "Its standby “relay” is down too" in page_of(desk, held)


def test_without_a_standby_there_is_none_to_use(desk, held):
    Sender.objects.update(standby="")

    page = page_of(desk, held)

    assert "It has no standby." in page
    assert "for this" not in page


def test_trouble_of_a_mailer_that_is_not_its_own_is_no_news(desk, held):
    Breaker.objects.update(mailer="letters")

    assert "The mailer" not in page_of(desk, held)


def test_when_it_is_being_tried_that_is_said(desk, held):
    Breaker.objects.update(probed_until=timezone.now() + timedelta(minutes=1))

    assert "A few readers are trying it now." in page_of(desk, held)


def test_it_is_tried_again_at_a_click(desk, held):
    address = reverse("newsroom:campaign-mailer", args=[held.pk, "default"])

    first = desk.post(address, follow=True).text
    again = desk.post(address, follow=True).text

    assert "It is tried now" in first
    assert "tried with the next one anyway" in again
    assert held.batches.get().held_by == ""
    assert Batch.objects.ready().exists()


def test_looking_changes_nothing(desk, held, mailers):
    got = [
        desk.get(reverse("newsroom:campaign-mailer", args=[held.pk, "default"])).status_code,
        desk.get(standby_of(held, mailers)).status_code,
    ]

    mailers.refresh_from_db()
    assert got == [405, 200]
    assert not mailers.has_warm_standby


# Letting a standby take over ------------------------------------------------------------------


def test_before_it_takes_over_all_that_matters_is_said(desk, held, mailers):
    WarmUp.objects.create(mailer="relay", started_on=timezone.now().date(), first_day=9)
    RateLimit.objects.create(mailer="relay", per_day=700)

    page = desk.get(standby_of(held, mailers)).text

    assert "Let “relay” take over?" in page
    assert '<dd class="number">12</dd>' in page
    assert "may send today" in page
    assert '<dd class="number">9</dd>' in page
    assert "sends mail from harbour.example" in page


def test_who_lets_it_take_over_is_noted_and_the_campaign_goes_on(
    desk, held, mailers, editor, mailoutbox
):
    page = desk.post(standby_of(held, mailers), {"standby": "relay"}, follow=True).text
    work()

    mailers.refresh_from_db()
    assert mailers.has_warm_standby
    assert mailers.warmed_by == editor
    assert mailers.warmed_at
    assert "“relay” takes over whenever “default” is down." in page
    assert len(mailoutbox) == 12


def test_an_editor_without_the_right_is_told_whom_to_ask(client, editor, held, mailers):
    client.force_login(editor)

    page = client.get(standby_of(held, mailers)).text
    answer = client.post(standby_of(held, mailers), {"standby": "relay"})

    mailers.refresh_from_db()
    assert "ask somebody who may change senders" in page
    assert "let it take over</button>" not in page
    assert answer.status_code == 403
    assert not mailers.has_warm_standby


def test_another_standby_than_was_shown_is_not_marked(desk, held, mailers):
    page = desk.post(standby_of(held, mailers), {"standby": "letters"}, follow=True).text

    mailers.refresh_from_db()
    assert "Look again." in page
    assert not mailers.has_warm_standby


def test_where_nothing_is_down_there_is_nothing_to_take_over(desk, held, mailers):
    Breaker.objects.all().delete()

    assert "nothing to take over" in desk.get(standby_of(held, mailers), follow=True).text


def test_a_campaign_that_was_locked_out_goes_on_by_the_standby(desk, held, mailers, mailoutbox):
    Breaker.objects.all().delete()
    lock_out()
    held.batches.update(due_at=timezone.now())
    work()
    page = page_of(desk, held)

    desk.post(standby_of(held, mailers), {"standby": "relay"})

    held.refresh_from_db()
    assert "Wrong password" in page
    assert "Use “relay” for this" in page
    assert held.status == Campaign.Status.SENDING


def test_a_campaign_that_somebody_paused_stays_paused(desk, held, mailers):
    held.pause()

    desk.post(standby_of(held, mailers), {"standby": "relay"})

    held.refresh_from_db()
    assert held.status == Campaign.Status.PAUSED


# Letters --------------------------------------------------------------------------------------


@pytest.fixture
def letter(mailers, subscribe):
    """One that waits."""
    subscription = subscribe("ann@example.com")
    Sender.objects.update(letter_mailer="letters")
    return Letter.objects.create(
        kind=Letter.Kind.WELCOME, subscriber=subscription.subscriber, subscription=subscription
    )


def test_letters_that_wait_are_said_where_campaigns_are(desk, letter):
    take_down("letters")

    page = desk.get(reverse("newsroom:campaigns")).text

    assert "The mailer “letters” cannot be reached since" in page
    assert "1 letter waits (confirmations, welcomes)" in page


def test_letters_that_go_by_the_standby_are_said_too(desk, letter, editor):
    Sender.objects.get().mark_standby(editor.pk)
    take_down("letters")

    page = desk.get(reverse("newsroom:campaigns")).text

    assert "Letters (confirmations, welcomes) go by “relay” meanwhile." in page


def test_a_mailer_of_letters_is_tried_again_at_a_click(desk, letter):
    take_down("letters")

    page = desk.post(reverse("newsroom:mailer", args=["letters"]), follow=True).text

    assert "It is tried now" in page
    assert Breaker.objects.get().try_at <= timezone.now()


def test_a_mailer_of_campaigns_is_no_news_of_letters(desk, letter):
    take_down("default")

    assert "The mailer" not in desk.get(reverse("newsroom:campaigns")).text


# Settings -------------------------------------------------------------------------------------


PAPER = {
    "name": "The Harbour Post",
    "legal_name": "Harbour Post Ltd",
    "postal_address": "1 Quay Street",
    "accent": "#9a1b1e",
    "language": "en",
    "time_zone": "UTC",
    "cancel_window": "60",
    "sender-name": "The Harbour Post",
    "sender-email": "news@harbour.example",
    "sender-mailer": "default",
}


def save(desk, **changes):
    fields = {f"sender-{name}": value for name, value in changes.items()}
    return desk.post(reverse("newsroom:settings"), PAPER | fields, follow=True).text


def test_where_there_is_one_mailer_nothing_is_asked_of_it(desk, publication):
    page = desk.get(reverse("newsroom:settings")).text

    assert "Campaigns leave by" not in page
    assert "Saved." in save(desk)


def test_mailers_are_chosen_among_those_that_are_set_up(desk, mailers):
    page = desk.get(reverse("newsroom:settings")).text

    saved = save(desk, mailer="letters", letter_mailer="default", standby="relay")

    mailers.refresh_from_db()
    assert page.count('<option value="letters">letters</option>') == 3
    assert "Saved." in saved
    assert (mailers.mailer, mailers.letter_mailer, mailers.standby) == (
        "letters",
        "default",
        "relay",
    )


def test_a_standby_that_is_the_first_is_refused(desk, mailers):
    assert "Choose another than the one" in save(desk, mailer="relay", standby="relay")


def test_a_mailer_that_is_not_set_up_any_more_is_shown_and_refused(desk, mailers):
    Sender.objects.update(mailer="pigeon")

    page = desk.get(reverse("newsroom:settings")).text

    assert "pigeon (not set up on this server)" in page
    assert "There is no mailer “pigeon”" in save(desk, mailer="pigeon")


def test_a_standby_is_marked_with_a_name_and_a_day(desk, mailers, editor):
    save(desk, standby="relay", is_warm="on")

    page = desk.get(reverse("newsroom:settings")).text

    mailers.refresh_from_db()
    assert mailers.has_warm_standby
    assert mailers.warmed_by == editor
    assert "Marked by editor on" in page


def test_a_mark_that_stays_keeps_its_name_and_day(desk, mailers):
    mailers.mark_standby(None)
    before = mailers.warmed_at

    save(desk, standby="relay", is_warm="on")

    mailers.refresh_from_db()
    assert (mailers.warmed_at, mailers.warmed_by) == (before, None)


@pytest.mark.parametrize(
    "changes", [{"standby": "letters"}, {"standby": "relay", "email": "news@other.example"}]
)
def test_another_standby_or_domain_has_to_be_marked_again(desk, mailers, changes):
    mailers.mark_standby(None)

    page = save(desk, is_warm="on", **changes)

    mailers.refresh_from_db()
    assert not mailers.has_warm_standby
    assert "may not take over until it is marked" in page


def test_a_mark_is_taken_back(desk, mailers):
    mailers.mark_standby(None)

    save(desk, standby="relay")

    mailers.refresh_from_db()
    assert not mailers.has_warm_standby
    assert mailers.warmed_at is None


def test_an_editor_without_the_right_neither_marks_nor_takes_back(client, editor, mailers):
    client.force_login(editor)
    save(client, standby="relay", is_warm="on")
    mailers.refresh_from_db()
    unmarked = mailers.has_warm_standby
    mailers.mark_standby(None)

    save(client, standby="relay")
    mailers.refresh_from_db()
    kept = mailers.has_warm_standby
    save(client, standby="letters")
    mailers.refresh_from_db()

    assert (unmarked, kept, mailers.has_warm_standby) == (False, True, False)
