"""What follows from mail that came back: for an address, for a reader's lists, for a letter."""

from datetime import timedelta

import pytest
from django.utils import timezone

from newsletter.models import Bounce, Delivery, Event
from newsletter.receivers.mail import read
from newsletter.receivers.mail.arrivals import take_in
from newsletter.reports import progress
from subscribers import tokens
from subscribers.models import Consent, Letter, Removal, Subscription, Suppression
from subscribers.tasks import send_letters
from subscribers.tokens import Purpose
from tests import bounces
from tests.newsletter.reports import went_to

SOON = timedelta(minutes=1)


@pytest.fixture
def ann(subscribe):
    period = subscribe("ann@example.org")
    # Long ago: a mail's Date has no fractions of a second.
    Subscription.objects.update(requested_at=timezone.now() - timedelta(days=1))
    return period.subscriber


@pytest.fixture
def gone(ann, briefing):
    """A campaign that was handed over to Ann."""
    return went_to([ann], briefing)


@pytest.fixture
def come_back(ann, gone, briefing):
    """Call it with names of the corpus: mail about that campaign to Ann."""

    def come_back(*names, **about):
        about = {"reader": ann.pk, "campaign": gone.pk, "mailing_list": briefing.pk} | about
        take_in([read(bounces.mail(name, **about)) for name in names])

    return come_back


def test_a_bounce_is_an_event_and_counts_against_the_address(come_back, ann, gone):
    come_back("hard/postfix-unknown-user")

    event = Event.objects.get()
    assert (event.source, event.kind, event.campaign_id) == ("dsn", "bounced", gone.pk)
    bounce = Bounce.objects.get()
    assert (bounce.key, bounce.is_hard, bounce.code) == (ann.suppression_key, True, "550 5.1.1")


def test_the_reader_whose_mailbox_is_gone_is_not_mailed_any_more(come_back, ann):
    Delivery.objects.all().delete()
    come_back("hard/no-verp-but-message-id", campaign=0)

    Bounce.objects.judge(timezone.now() + SOON)

    assert Suppression.objects.get().key == ann.suppression_key
    assert not Subscription.objects.mailable().exists()


@pytest.mark.parametrize("name", ["policy/spamhaus", "policy/gmail-unauthenticated"])
def test_what_is_held_against_us_is_not_held_against_the_reader(come_back, name):
    come_back(name)

    assert Event.objects.get().fault == "policy"
    assert not Bounce.objects.exists()


def test_a_full_mailbox_counts_softly(come_back):
    come_back("soft/postfix-mailbox-full")

    assert not Bounce.objects.get().is_hard


@pytest.mark.parametrize(
    "name", ["delay/gmail-incomplete", "receipt/postfix-delivered", "passed-on/exchange-relayed"]
)
def test_what_is_late_or_arrived_is_no_bounce(come_back, name):
    come_back(name)

    assert not Bounce.objects.exists()


def test_the_same_mail_twice_and_two_reports_of_one_message_count_once(come_back):
    come_back("hard/postfix-unknown-user", "hard/sendmail")
    come_back("hard/postfix-unknown-user")

    assert Event.objects.count() == 1
    assert Bounce.objects.count() == 1


def test_each_warning_of_a_delay_is_told(come_back):
    come_back("delay/postfix-warning", "delay/gmail-incomplete", "delay/postfix-warning")

    assert Event.objects.count() == 2


@pytest.mark.parametrize(
    "name",
    ["complaint/yahoo", "complaint/outlook-jmrp", "complaint/redacted-address"],
)
def test_who_complains_is_unsubscribed_from_all_and_suppressed(come_back, ann, weekend, name):
    Subscription.objects.create(subscriber=ann, mailing_list=weekend, confirmed_at=timezone.now())

    come_back(name)

    assert {one.end_reason for one in Subscription.objects.all()} == {"complained"}
    assert Suppression.objects.in_force().filter(scope="everything").get().reason == "complained"
    assert Consent.objects.filter(action="withdrawn").count() == 2


def test_an_opt_out_ends_that_list_alone(come_back, ann, weekend):
    Subscription.objects.create(subscriber=ann, mailing_list=weekend, confirmed_at=timezone.now())

    come_back("opt-out/generic")

    assert [one.mailing_list for one in Subscription.objects.mailable()] == [weekend]


def test_an_opt_out_of_a_letter_ends_the_list_that_its_way_out_names(come_back):
    come_back("opt-out/generic", campaign=0)

    assert not Subscription.objects.mailable().exists()


def test_not_spam_reverses_nothing(come_back):
    come_back("complaint/yahoo")

    come_back("feedback/not-spam")

    assert not Subscription.objects.mailable().exists()
    assert Suppression.objects.in_force().exists()


@pytest.mark.parametrize("name", sorted(path.stem for path in bounces.FOLDER.glob("unsubscribe/*")))
def test_a_mail_to_the_way_out_acts_at_once_whoever_writes_what(come_back, gone, name, mailoutbox):
    come_back(f"unsubscribe/{name}")

    assert not Subscription.objects.mailable().exists()
    consent = Consent.objects.get(action="withdrawn")
    assert (consent.method, consent.source) == ("mail", f"campaign:{gone.pk}")
    assert mailoutbox == []


def test_leaving_by_mail_twice_is_leaving_once(come_back):
    come_back("unsubscribe/gmail", "unsubscribe/by-a-robot")
    come_back("unsubscribe/gmail")

    assert Consent.objects.filter(action="withdrawn").count() == 1


def test_a_reader_who_is_back_is_not_ended_by_the_mail_that_was_taken_in(come_back, ann, subscribe):
    come_back("unsubscribe/gmail")
    Suppression.objects.lift(ann.suppression_key, [Subscription.objects.get().mailing_list])
    back = subscribe("ann@example.org")

    come_back("hard/one-of-two-mailboxes")

    back.refresh_from_db()
    assert back.is_confirmed


@pytest.mark.parametrize("folder", ["auto-reply", "other", "strangers"])
def test_nothing_follows_from_the_rest(come_back, folder, mailoutbox):
    come_back(*[f"{folder}/{path.stem}" for path in bounces.FOLDER.glob(f"{folder}/*")])

    assert not Event.objects.exists()
    assert Subscription.objects.mailable().exists()
    assert mailoutbox == []


def test_nobody_can_report_another_as_gone(come_back, subscribe):
    """A reader's own token, and somebody else's address."""
    victim = subscribe("ben@example.org").subscriber

    come_back("hard/postfix-unknown-user", address="ben@example.org")

    assert not Event.objects.exists()
    assert not Bounce.objects.filter(key=victim.suppression_key).exists()


def test_an_event_bears_the_address_that_we_know_whatever_the_mail_names(come_back, ann):
    come_back("receipt/postfix-delivered", address="ben@example.org")

    assert Event.objects.get().key == ann.suppression_key


def test_all_of_a_batch_is_taken_in_or_nothing(come_back, monkeypatch):
    def stumble(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(type(Subscription.objects), "leave", stumble)

    with pytest.raises(ZeroDivisionError):
        come_back("hard/sendmail", "unsubscribe/gmail")

    assert not Event.objects.exists()


def test_what_came_back_from_an_address_that_the_reader_left_says_nothing_of_the_new(
    come_back, ann
):
    ann.address = "ann@new.example"
    ann.save()

    come_back("hard/postfix-unknown-user")

    assert not Bounce.objects.exists()


def test_of_whom_a_complaint_comes_is_never_asked(come_back):
    """Mailbox providers hide the address, or write another."""
    come_back("complaint/yahoo", address="hidden@example.org")

    assert not Subscription.objects.mailable().exists()


def test_a_reader_who_is_forgotten_and_a_campaign_that_is_gone_harm_nothing(come_back):
    come_back("hard/sendmail", "complaint/yahoo", reader=2**40, campaign=2**40)

    assert not Bounce.objects.exists()


def test_a_test_mail_that_bounces_is_nobodys(come_back):
    come_back("hard/sendmail", "complaint/yahoo", "unsubscribe/gmail", reader=0)

    assert not Event.objects.exists()


def test_what_nobody_knew_is_settled(ann, briefing, come_back):
    lost = went_to([ann], briefing, "uncertain")

    come_back("hard/sendmail", campaign=lost.pk)

    assert lost.deliveries.get().status == "failed"
    assert progress(lost).failed == 1


@pytest.mark.parametrize("days", [-30, 1])
def test_a_date_that_cannot_be_is_now(come_back, days, monkeypatch):
    moment = timezone.now() + timedelta(days=days)
    monkeypatch.setattr(bounces, "timezone", type("Clock", (), {"now": lambda: moment}))

    come_back("hard/sendmail")

    assert abs(Event.objects.get().at - timezone.now()) < SOON


def test_many_are_taken_in_by_few_statements(ann, gone, briefing, django_assert_max_num_queries):
    raws = [
        bounces.mail("hard/sendmail", ann.pk + number, gone.pk, briefing.pk)
        for number in range(100)
    ]
    readings = [read(raw) for raw in raws]

    with django_assert_max_num_queries(15):
        take_in(readings)

    assert Event.objects.count() == 100


def test_a_forwarded_mail_gives_no_power_but_leaving(come_back, ann, briefing):
    """Its links are all that a stranger has who was forwarded a welcome."""
    token = tokens.sign(Purpose.UNSUBSCRIBE, ann.pk, briefing.pk, 0)
    returned = f"To: ann@example.org\r\n\r\nhttp://localhost:8000/u/{token}"
    forged = (
        "From: MAILER-DAEMON@example.net\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="x"\r\n\r\n'
        "--x\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; ann@example.org\r\n"
        "Action: failed\r\nStatus: 5.1.1\r\n\r\n"
        f"--x\r\nContent-Type: message/rfc822\r\n\r\n{returned}\r\n--x--\r\n"
    )
    reading = read(forged.encode())

    take_in([reading])

    assert reading.kind == "bounce"
    assert not Event.objects.exists()
    assert not Bounce.objects.exists()


# Letters -----------------------------------------------------------------------------------------


@pytest.fixture
def letter(sign_up):
    """A confirmation that was sent to Ann, who is nobody yet."""
    assert sign_up("ann@example.org").status_code == 303
    send_letters()
    return Letter.objects.get()


def test_a_confirmation_that_bounces_is_known_and_its_address_not_written_to_again(letter, sign_up):
    raw = bounces.mail("hard/no-original-but-verp", letter=letter.pk)

    take_in([read(raw), read(raw)])
    Bounce.objects.judge(timezone.now() + SOON)

    letter.refresh_from_db()
    assert letter.error.startswith("550 5.1.1")
    assert Suppression.objects.get().reason == "bounced"
    assert sign_up("ann@example.org").status_code == 303
    assert Letter.objects.count() == 1


def test_a_full_mailbox_may_be_written_to_again(letter):
    take_in([read(bounces.mail("soft/postfix-mailbox-full", letter=letter.pk))])
    Bounce.objects.judge(timezone.now() + SOON)

    letter.refresh_from_db()
    assert "Quota exceeded" in letter.error
    assert not Suppression.objects.exists()


def test_who_calls_a_confirmation_spam_gets_no_other(letter):
    take_in([read(bounces.mail("complaint/yahoo", letter=letter.pk))])

    assert Suppression.objects.in_force().get().reason == "complained"
    assert Subscription.objects.get().ended_at


def test_a_letter_whose_reader_is_forgotten_harms_nothing(letter):
    Removal.objects.remove(Consent.objects.all(), "evidence_over")
    Subscription.objects.all().delete()
    letter.subscriber.delete()

    take_in([read(bounces.mail("hard/sendmail", letter=letter.pk))])

    assert not Event.objects.exists()
