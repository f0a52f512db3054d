"""What becomes of addresses whose provider says that nobody is there."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from newsletter.models import Bounce, Campaign, Delivery, Version
from newsletter.models.deliveries import LedgerRow
from subscribers.models import Subscriber, Subscription, Suppression
from tests.newsletter.sending import confirmed_readers

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def sent(publication, briefing, now):
    """Call it: a campaign that went to these readers, and to some of them in vain."""

    def sent(readers, gone=(), at=now):
        campaign = Campaign.objects.create(publication=publication, started_at=at)
        version = Version.objects.create(
            campaign=campaign, mailing_list=briefing, subject="", html="", text="", message=b""
        )
        rows = [
            LedgerRow(reader.pk, briefing.pk, version.pk, "failed" if reader in gone else "sent")
            for reader in readers
        ]
        Delivery.objects.add(campaign.pk, rows)
        campaign.deliveries.update(at=at)
        Bounce.objects.add(bounce(campaign, reader, at) for reader in gone)
        return campaign

    return sent


def bounce(campaign, reader, at):
    return Bounce.of(
        reader.address,
        reader.mailbox_provider,
        campaign=campaign,
        subscriber_id=reader.pk,
        mailer="default",
        code="550 5.1.1",
        text="No such user",
        at=at,
    )


def people(count, mailing_list, domain="example.org"):
    """Confirmed readers under the keys that their addresses have."""
    readers = confirmed_readers(count, mailing_list, domain)
    for reader in readers:
        reader.suppression_key = reader.mailbox.suppression_keys()[0]
    Subscriber.objects.bulk_update(readers, ["suppression_key"])
    return readers


def suppressed():
    """Who is on the list and may not be mailed."""
    mailable = Subscription.objects.mailable().values("subscriber")
    return set(Subscriber.objects.exclude(pk__in=mailable))


def verdicts():
    return set(Bounce.objects.values_list("verdict", flat=True))


def test_of_two_thousand_readers_exactly_those_who_are_gone_are_suppressed(briefing, sent, now):
    readers = people(2000, briefing)
    gone = set(readers[::100])
    campaign = sent(readers, gone)

    Bounce.objects.judge(now + MINUTE)

    assert len(gone) == 20
    assert suppressed() == gone
    rows = Suppression.objects.values_list("scope", "reason", "source").distinct()
    assert list(rows) == [("everything", "bounced", f"campaign:{campaign.pk}")]


@pytest.mark.parametrize("domain", ["gmail.com", "example.org"])
def test_a_house_that_denies_everybody_suppresses_nobody(briefing, sent, now, caplog, domain):
    there, elsewhere = people(500, briefing, domain), people(500, briefing, "example.net")
    sent(there + elsewhere, gone=set(there))

    Bounce.objects.judge(now + MINUTE)

    assert suppressed() == set()
    assert verdicts() == {"burst"}
    assert "500" in caplog.text


def test_a_burst_at_one_house_protects_no_other(briefing, sent, now):
    there, elsewhere = people(100, briefing, "gmail.com"), people(100, briefing, "example.net")
    sent(there + elsewhere, gone={*there, elsewhere[0]})

    Bounce.objects.judge(now + MINUTE)

    assert suppressed() == {elsewhere[0]}


def test_who_was_suppressed_before_the_burst_was_seen_is_mailed_again(briefing, sent, now):
    readers = people(60, briefing, "gmail.com")
    sent(readers[:10], gone=set(readers[:10]))
    Bounce.objects.judge(now + MINUTE)
    assert suppressed() == set(readers[:10])

    sent(readers[10:], gone=set(readers[10:]), at=now + 2 * MINUTE)
    Bounce.objects.judge(now + 3 * MINUTE)

    assert suppressed() == set()
    assert verdicts() == {"burst"}


def test_a_bounce_is_judged_only_when_others_had_time_to_come(briefing, sent, now):
    readers = people(1, briefing)
    sent(readers, gone=set(readers))

    Bounce.objects.judge(now + timedelta(seconds=5))

    assert verdicts() == {"waiting"}
    assert suppressed() == set()


def test_who_had_our_mail_is_suppressed_by_a_second_bounce_a_day_later(briefing, sent, now):
    readers = people(1, briefing)
    sent(readers, at=now - 9 * DAY)

    sent(readers, gone=set(readers), at=now)
    Bounce.objects.judge(now + MINUTE)
    assert suppressed() == set()

    sent(readers, gone=set(readers), at=now + DAY / 2)
    Bounce.objects.judge(now + DAY / 2 + MINUTE)
    assert suppressed() == set()

    sent(readers, gone=set(readers), at=now + DAY)
    Bounce.objects.judge(now + DAY + MINUTE)
    assert suppressed() == set(readers)


def test_mail_that_arrives_between_two_bounces_makes_the_second_a_first(briefing, sent, now):
    readers = people(1, briefing)
    for day, gone in enumerate([(), readers, (), readers]):
        sent(readers, gone=set(gone), at=now + day * DAY)
        Bounce.objects.judge(now + day * DAY + MINUTE)

    assert suppressed() == set()
    assert verdicts() == {"noted"}


def test_judging_again_changes_nothing(briefing, sent, now):
    readers = people(30, briefing)
    sent(readers, gone={readers[0]})
    Bounce.objects.judge(now + MINUTE)

    Bounce.objects.judge(now + MINUTE)

    assert Suppression.objects.count() == 1


def test_a_bounce_counts_once_per_campaign_and_reader(briefing, sent, now):
    readers = people(1, briefing)
    campaign = sent(readers, gone=set(readers))

    Bounce.objects.add([bounce(campaign, readers[0], now)])

    assert Bounce.objects.count() == 1


def test_an_address_under_an_older_key_is_kept_out_too(briefing, sent, now, settings):
    readers = people(1, briefing)
    settings.SUPPRESSION_KEYS = {"9": "a newer key", **settings.SUPPRESSION_KEYS}
    sent(readers, gone=set(readers))

    Bounce.objects.judge(now + MINUTE)

    assert suppressed() == set(readers)


def test_a_new_address_does_not_pay_for_the_old_one(briefing, sent, now):
    reader = people(1, briefing)[0]
    sent([reader], gone={reader})
    reader.address = reader.identity = "new@example.org"
    reader.suppression_key = reader.mailbox.suppression_keys()[0]
    reader.save()

    Bounce.objects.judge(now + MINUTE)

    assert suppressed() == set()
    assert Suppression.objects.count() == 1


def test_bounces_are_undone_by_house_code_and_time(briefing, sent, now, capsys):
    ours, theirs = people(3, briefing, "example.org"), people(3, briefing, "example.net")
    sent(ours + theirs, gone={*ours, *theirs})
    Bounce.objects.judge(now + MINUTE)

    call_command(
        "lift_bounces",
        "--house=example.org",
        "--code=550 5.1",
        f"--since={now - MINUTE:%Y-%m-%dT%H:%M:%S%z}",
        f"--until={now + MINUTE:%Y-%m-%dT%H:%M:%S%z}",
    )

    assert suppressed() == set(theirs)
    assert "3 addresses" in capsys.readouterr().out


def test_nobody_lifts_all_bounces_by_forgetting_to_say_which():
    with pytest.raises(CommandError, match="--house"):
        call_command("lift_bounces")


def test_operators_lift_the_bounces_they_chose(briefing, sent, now, admin_client):
    readers = people(2, briefing)
    sent(readers, gone=set(readers))
    Bounce.objects.judge(now + MINUTE)
    chosen = Bounce.objects.get(subscriber_id=readers[0].pk)

    page = admin_client.post(
        reverse("admin:newsletter_bounce_changelist"),
        {"action": "lift", "_selected_action": [chosen.pk]},
        follow=True,
    )

    assert suppressed() == {readers[1]}
    assert "1 address may be mailed again" in page.text


def test_judging_many_takes_as_many_queries_as_judging_few(
    briefing, sent, now, django_assert_max_num_queries
):
    readers = people(2000, briefing)
    sent(readers, at=now - 9 * DAY)
    sent(readers, gone=set(readers[::20]))

    with django_assert_max_num_queries(15):
        Bounce.objects.judge(now + MINUTE)

    assert verdicts() == {"noted"}


@pytest.mark.django_db(transaction=True)
def test_workers_that_judge_at_once_suppress_each_address_once(briefing, sent, now):
    readers = people(15 * 40, briefing)
    for number in range(40):
        # Few enough at each house to be no burst.
        mine = readers[number * 15 : (number + 1) * 15]
        campaign = sent(mine, gone=set(mine))
        campaign.bounces.update(house=f"house{number}")

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda _number: judge_and_hang_up(now + MINUTE), range(4)))

    assert suppressed() == set(readers)
    assert Suppression.objects.count() == len(readers)


def judge_and_hang_up(now):
    Bounce.objects.judge(now)
    connection.close()
