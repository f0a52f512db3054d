"""What becomes of readers who are handed over in one call: whatever a provider answers, or not."""

from collections import Counter
from datetime import timedelta

import pytest

from newsletter.delivery.outcomes import (
    BusyError,
    Fate,
    LockedOutError,
    SendersFaultError,
    UnreachableError,
)
from newsletter.delivery.transports import Transports
from newsletter.delivery.transports.anymail import batches
from newsletter.models import Campaign
from newsletter.reports import Progress, progress
from tests.newsletter.batches import LIMITS, only
from tests.newsletter.sending import confirmed_readers, start, work
from tests.newsletter.transports import hand_over, messages, wait_for
from tests.providers import HANG_UP, SILENCE, Status, provider

# Those that know a call again by its key.
WITH_KEYS = ["brevo", "resend"]
WITHOUT_KEYS = sorted(LIMITS.keys() - WITH_KEYS)
# Those that refuse a whole call for one address that is none, and do not say which.
ALL_OR_NONE = ["brevo", "mailgun", "sendgrid"]
# And those that say of each reader what became of them.
TELL = ["amazon-ses", "mailjet", "postmark", "resend"]


@pytest.fixture(params=sorted(LIMITS))
def name(request):
    return request.param


@pytest.fixture
def fake(name, settings):
    with provider(name) as fake:
        settings.MAILERS = {"default": fake.mailer}
        yield fake


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(batches, "_PAUSES", (0.0, 0.0))


@only(*ALL_OR_NONE, *TELL)
def test_a_reader_whom_they_refuse_fails_alone(campaign, fake, name):
    fake.invalid.add("reader7@example.com")

    account = hand_over(messages(campaign, 20))

    assert account.addresses(Fate.FAILED) == ["reader7@example.com"]
    assert account.fates() == {Fate.SENT: 19, Fate.FAILED: 1}
    assert Counter(message.address for message in fake.received).total() == 19
    assert account.of(7).text
    assert len(fake.calls) == 1 or name in ALL_OR_NONE


@only("sparkpost")
def test_sparkpost_tells_of_a_refused_reader_only_the_domain(campaign, fake):
    taken = messages(campaign, 5)
    taken[0] = taken[0]._replace(reader=taken[0].reader._replace(address="reader1@bad.example"))
    fake.invalid |= {"reader1@bad.example", "reader2@example.com"}

    alone = hand_over(taken[:1])
    mixed = hand_over([taken[0], *taken[2:]])
    unclear = hand_over(taken[1:])

    assert alone.fates() == {Fate.FAILED: 1}
    assert mixed.addresses(Fate.FAILED) == ["reader1@bad.example"]
    assert unclear.fates() == {Fate.SENT: 4}


@only(*ALL_OR_NONE)
def test_where_all_are_refused_it_is_our_message(campaign, fake):
    taken = messages(campaign, 200)
    fake.invalid |= {message.reader.address for message in taken}

    account = hand_over(taken)

    assert [type(error) for error in account.errors] == [SendersFaultError]
    assert account.fates() == {Fate.RETURNED: 200}
    assert len(fake.calls) < 40


@only("mailgun", "sendgrid")
def test_who_may_have_got_it_stays_uncertain_whatever_comes_of_the_others(campaign, fake):
    fake.invalid |= {f"reader{number}@example.com" for number in range(13, 25)}
    fake.next(None, HANG_UP)

    account = hand_over(messages(campaign, 24))

    assert account.fates() == {Fate.UNCERTAIN: 12, Fate.RETURNED: 12}
    assert [type(error) for error in account.errors] == [SendersFaultError]


@only("postmark")
def test_an_inactive_address_at_postmark_fails_and_is_no_hard_bounce(campaign, fake):
    """It may be that of one who complained."""
    fake.inactive.add("reader2@example.com")

    account = hand_over(messages(campaign, 3))

    assert account.of(2).fate is Fate.FAILED
    assert account.of(2).code == "422 406"
    assert "inactive" in account.of(2).text


def test_too_many_calls_return_all_that_were_not_made(campaign, fake, name):
    fake.next(*[Status(429, retry_after=90)] * 2)

    account = hand_over(messages(campaign, 2 * LIMITS[name]))

    assert account.fates() == {Fate.RETURNED: 2 * LIMITS[name]}
    assert {type(error) for error in account.errors} == {BusyError}
    if name != "amazon-ses":
        assert account.errors[0].rest == timedelta(seconds=90)
    assert fake.received == []


def test_after_trouble_what_waited_is_returned_and_what_comes_then_is_tried(campaign, fake, name):
    fake.next(*[Status(429)] * 2)
    taken = messages(campaign, 4 * LIMITS[name])

    with Transports() as transports:
        transports["default"].take(taken, lambda: True)
        first = wait_for(transports, len(taken))
        transports["default"].take(taken[:3], lambda: True)
        second = wait_for(transports, 3)

    assert first.fates()[Fate.RETURNED] >= 2 * LIMITS[name]
    assert second.fates() == {Fate.SENT: 3}


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_our_fault(campaign, fake, status):
    fake.next(Status(status))

    account = hand_over(messages(campaign, 3))

    (error,) = account.errors
    assert isinstance(error, SendersFaultError)
    assert isinstance(error, LockedOutError) or status == 403
    assert account.fates() == {Fate.RETURNED: 3}


def test_a_providers_own_error_defers_the_readers_of_that_call(campaign, fake, name):
    fake.next(Status(500), containing="reader1@example.com")

    account = hand_over(messages(campaign, LIMITS[name] + 1))

    assert account.fates() == {Fate.DEFERRED: LIMITS[name], Fate.SENT: 1}
    assert account.fate(LIMITS[name] + 1) is Fate.SENT


@only(*WITHOUT_KEYS)
@pytest.mark.parametrize("lost", [HANG_UP, SILENCE])
def test_whoever_was_in_a_call_without_an_answer_is_uncertain(campaign, fake, name, lost, settings):
    impatient(settings, name)
    fake.next(lost, containing="reader1@example.com")

    account = hand_over(messages(campaign, LIMITS[name] + 1))

    assert account.fates() == {Fate.UNCERTAIN: LIMITS[name], Fate.SENT: 1}
    assert len(fake.calls) == 2


def impatient(settings, name):
    options = settings.MAILERS["default"]["OPTIONS"]
    if name == "amazon-ses":
        client = options["client_params"]
        client["config"] = {**client.get("config", {}), "read_timeout": 1.5}
    else:
        options["timeout"] = 1.5


@only(*WITH_KEYS)
@pytest.mark.parametrize("lost", [HANG_UP, SILENCE])
def test_with_a_key_an_answer_that_did_not_come_is_asked_for_again(
    campaign, fake, name, lost, settings
):
    impatient(settings, name)
    fake.next(lost)

    account = hand_over(messages(campaign, 3))

    assert account.fates() == {Fate.SENT: 3}
    assert len(fake.calls) == 2
    assert len(fake.received) == 3


@only(*WITH_KEYS)
def test_what_stays_unknown_is_uncertain_whatever_else_they_say(campaign, fake):
    fake.next(HANG_UP, Status(429), Status(500))

    account = hand_over(messages(campaign, 3))

    assert account.fates() == {Fate.UNCERTAIN: 3}
    assert account.errors == []


@only(*WITH_KEYS)
def test_the_same_readers_asked_for_twice_get_it_once(campaign, fake):
    """Also by another worker, who does not know of the first."""
    taken = messages(campaign, 3)

    hand_over(taken)
    again = hand_over(taken)
    hand_over(taken[:2])

    assert again.fates() == {Fate.SENT: 3}
    assert len(fake.received) == 5


@only(*WITH_KEYS)
def test_a_test_mail_is_a_new_one_each_time(campaign, fake):
    (message,) = messages(campaign, 1)
    nobodys = message._replace(reader=message.reader._replace(subscriber_id=0))

    hand_over([nobodys])
    hand_over([nobodys])

    assert len(fake.received) == 2


def test_a_worker_that_lost_its_batch_makes_no_call(campaign, fake):
    account = hand_over(messages(campaign, 3), is_ours=lambda: False)

    assert account.fates() == {Fate.RETURNED: 3}
    assert fake.calls == []


def test_a_provider_that_cannot_be_reached_gets_nobody(campaign, fake, name, settings):
    options = settings.MAILERS["default"]["OPTIONS"]
    if name == "amazon-ses":
        options["client_params"]["endpoint_url"] = "http://127.0.0.1:9"
    else:
        options["api_url"] = "http://127.0.0.1:9/"

    account = hand_over(messages(campaign, 3))

    assert {type(error) for error in account.errors} == {UnreachableError}
    assert account.fates() == {Fate.RETURNED: 3}


@only("mailgun")
def test_a_refused_key_pauses_the_campaign_in_their_words(campaign, briefing, fake):
    confirmed_readers(5, briefing)
    start(campaign)
    fake.next(Status(401))

    work()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.PAUSED
    assert "Forbidden" in campaign.trouble
    assert progress(campaign) == Progress(audience=5)


@only("amazon-ses")
def test_amazon_is_not_asked_again_behind_our_back(campaign, fake):
    fake.next(*[Status(500)] * 3)

    hand_over(messages(campaign, 3))

    assert len(fake.calls) == 1


@only("amazon-ses", "mailgun", "mailjet", "postmark", "sparkpost")
def test_an_answer_that_nobody_can_read_is_uncertain(campaign, fake):
    fake.next(Status(200))

    account = hand_over(messages(campaign, 3))

    assert account.fates() == {Fate.UNCERTAIN: 3}


@only(*ALL_OR_NONE)
def test_a_worker_that_loses_its_batch_meanwhile_looks_for_nobody_any_more(campaign, fake):
    fake.invalid.add("reader7@example.com")
    ours = iter([True, True])

    account = hand_over(messages(campaign, 20), is_ours=lambda: next(ours, False))

    assert account.fates() == {Fate.RETURNED: 20}
    assert len(fake.calls) == 1


@only(*WITH_KEYS)
def test_a_worker_that_loses_its_batch_meanwhile_does_not_ask_again(campaign, fake):
    fake.next(HANG_UP)
    ours = iter([True, True])

    account = hand_over(messages(campaign, 3), is_ours=lambda: next(ours, False))

    assert account.fates() == {Fate.UNCERTAIN: 3}
    assert len(fake.calls) == 1
