"""What was reported of a campaign, by mailbox provider: over those that report, and no others."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from newsletter.rates import House, rates
from tests.newsletter.reports import record, went_to
from tests.newsletter.sending import confirmed_readers

NOBODY = {"code": "5.1.1", "text": "no such user"}


@pytest.fixture
def at_yahoo(briefing):
    return confirmed_readers(20, briefing, "yahoo.com")


@pytest.fixture
def at_gmail(briefing):
    return confirmed_readers(10, briefing, "gmail.com")


def by_name(campaign):
    return {house.name: house for house in rates(campaign).houses}


def test_where_nothing_is_reported_nothing_is_counted(briefing, at_yahoo, at_gmail):
    campaign = went_to(at_yahoo + at_gmail, briefing)

    assert rates(campaign).houses == [House("yahoo", 20), House("gmail", 10)]
    assert rates(campaign).complaints_of == 0


def test_what_is_reported_is_counted_by_mailbox_provider(briefing, at_yahoo, at_gmail):
    campaign = went_to(at_yahoo + at_gmail, briefing)
    for reader in at_yahoo[:3] + at_gmail[:1]:
        record("delivered", campaign, reader)
    record("bounced", campaign, at_yahoo[4], **NOBODY)
    record("complained", campaign, at_yahoo[0])

    assert by_name(campaign) == {
        "yahoo": House("yahoo", 20, delivered=3, bounced=1, complained=1),
        "gmail": House("gmail", 10, delivered=1, bounced=0, complained=None),
    }


def test_gmail_reports_no_complaints_whatever_reaches_us(briefing, at_yahoo, at_gmail):
    campaign = went_to(at_yahoo + at_gmail, briefing)
    record("complained", campaign, at_gmail[0])
    record("complained", campaign, at_yahoo[0])

    found = rates(campaign)

    assert by_name(campaign)["gmail"].complained is None
    assert (found.complaints, found.complaints_of, found.percent) == (1, 20, 5.0)


def test_who_reported_complaints_of_another_campaign_reports_none_of_this(briefing, at_yahoo):
    record("complained", went_to(at_yahoo, briefing), at_yahoo[0])
    campaign = went_to(at_yahoo, briefing)

    assert by_name(campaign)["yahoo"].complained == 0
    assert rates(campaign).complaints_of == 20


def test_of_small_domains_only_those_that_complained_report(briefing):
    here, there = (
        confirmed_readers(5, briefing, domain) for domain in ["example.net", "example.org"]
    )
    campaign = went_to(here + there, briefing)
    record("complained", campaign, here[0])

    found = rates(campaign)

    assert found.houses == [House("other", 10, complained=1)]
    assert (found.complaints, found.complaints_of) == (1, 5)


def test_two_who_report_the_same_bounce_count_once(briefing, at_yahoo):
    campaign = went_to(at_yahoo, briefing)
    for source in ["dsn", "mailgun"]:
        record("bounced", campaign, at_yahoo[0], source=source, **NOBODY)

    assert by_name(campaign)["yahoo"].bounced == 1


def test_what_a_server_refused_at_once_is_a_bounce_too(briefing, at_yahoo):
    campaign = went_to(at_yahoo, briefing)
    campaign.deliveries.filter(subscriber__in=at_yahoo[:2]).update(
        status="failed", code="550 5.1.1"
    )
    record("bounced", campaign, at_yahoo[5], **NOBODY)

    assert by_name(campaign)["yahoo"] == House("yahoo", 18, bounced=3)


def test_what_came_back_for_what_we_are_is_told_apart(briefing, at_yahoo):
    campaign = went_to(at_yahoo, briefing)
    record("bounced", campaign, at_yahoo[0], **NOBODY)
    for reader in at_yahoo[1:4]:
        record("bounced", campaign, reader, code="5.7.1", text="blocked by policy")

    assert by_name(campaign)["yahoo"] == House("yahoo", 20, bounced=4, refused=3)


def test_what_a_report_settled_as_failed_counts_once(briefing, at_yahoo):
    campaign = went_to(at_yahoo, briefing)
    campaign.deliveries.filter(subscriber=at_yahoo[0]).update(status="uncertain")
    record("bounced", campaign, at_yahoo[0], **NOBODY)

    assert by_name(campaign)["yahoo"].bounced == 1


@pytest.mark.parametrize(
    ("complaints", "is_warning", "is_stop_line"),
    [(0, False, False), (1, True, False), (2, True, False), (3, False, True)],
)
def test_the_lines_are_one_and_three_in_a_thousand(briefing, complaints, is_warning, is_stop_line):
    readers = confirmed_readers(1000, briefing, "yahoo.com")
    record("complained", went_to(readers, briefing), readers[-1])
    campaign = went_to(readers, briefing)
    for reader in readers[:complaints]:
        record("complained", campaign, reader)

    found = rates(campaign)

    assert (found.is_warning, found.is_stop_line) == (is_warning, is_stop_line)


def test_the_rates_take_as_many_queries_for_many_as_for_few(
    briefing, at_yahoo, at_gmail, django_assert_max_num_queries
):
    small = [
        reader
        for number in range(30)
        for reader in confirmed_readers(1, briefing, f"d{number}.example")
    ]
    campaign = went_to(at_yahoo + at_gmail + small, briefing)
    for reader in at_yahoo + small:
        record("delivered", campaign, reader)

    with django_assert_max_num_queries(7):
        rates(campaign)


# On the page -------------------------------------------------------------------------------------


def page_of(client, editor, campaign):
    client.force_login(editor)
    return client.get(reverse("newsroom:campaign", args=[campaign.pk])).text


def test_the_page_says_what_is_not_reported(client, editor, briefing, at_yahoo, at_gmail):
    campaign = went_to(at_yahoo + at_gmail, briefing)
    record("complained", campaign, at_yahoo[0])

    page = page_of(client, editor, campaign)

    assert "1 complaint of 20 readers at the mailbox providers that report them: 5.00 %." in page
    assert "above the stop line of 0.3 %" in page
    gmail = page[page.index("Gmail</th>") :].partition("</tr>")[0]
    assert gmail.count("not reported") == 3
    yahoo = page[page.index("Yahoo</th>") :].partition("</tr>")[0]
    assert "5.00 %" in yahoo


def test_the_page_does_not_call_silence_praise(client, editor, briefing, at_yahoo):
    page = page_of(client, editor, went_to(at_yahoo, briefing))

    assert "that does not mean that there were none" in page
    assert "stop line" not in page


def test_what_is_no_longer_kept_is_not_called_unreported(client, editor, briefing, at_yahoo):
    campaign = went_to(at_yahoo, briefing, at=timezone.now() - timedelta(days=91))

    page = page_of(client, editor, campaign)

    assert "no longer kept" in page
    assert "not reported" not in page
