"""DOM-01: who may send in the name of the envelope."""

import pytest

from tests.newsletter.domains.zones import envelope, spf

pytestmark = pytest.mark.django_db


def test_without_spf_the_record_to_publish_is_said(harbour, check):
    spf(harbour, "v=spf10 -all")

    one = check().one("spf.one-record")

    assert (one["requirement"], one["level"]) == ("DOM-01", "error")
    assert one["record"]["zone_line"] == (
        'harbour.example. TXT "v=spf1 include:spf.mailjet.com ~all"'
    )


def test_two_records_are_merged_into_one(harbour, check):
    harbour.publish('harbour.example. TXT "v=spf1 mx ip4:198.51.100.0/24 ~all"')

    one = check().one("spf.one-record")

    assert one["level"] == "error"
    assert one["record"]["value"] == ("v=spf1 ip4:198.51.100.0/24 include:spf.mailjet.com mx ~all")


def chain(dns, length):
    """So many lookups: each includes the next."""
    dns.publish(
        *[
            f'{number}.spf.example. TXT "v=spf1 include:{number + 1}.spf.example -all"'
            for number in range(1, length)
        ],
        f'{length}.spf.example. TXT "v=spf1 ip4:192.0.2.1 -all"',
    )
    spf(dns, "v=spf1 include:spf.mailjet.com include:1.spf.example -all")


@pytest.mark.parametrize(("length", "level"), [(9, "ok"), (10, "error")])
def test_ten_lookups_are_the_most(harbour, check, length, level):
    chain(harbour, length)

    findings = check()

    assert findings.of("spf.lookups") == {level}
    assert findings.one("spf.lookups")["found"].startswith(f"{length + 1} of 10 lookups")


def test_mechanisms_that_ask_are_counted_and_those_that_do_not_are_not(harbour, check):
    harbour.publish("a.example. A 192.0.2.1")
    spf(
        harbour,
        "v=spf1 a:a.example mx ptr exists:%{i}.x.example ip4:192.0.2.1 ip6:2001:db8::/32 "
        "exp=why.example redirect=gone.example include:spf.mailjet.com ~all",
    )

    findings = check()

    assert findings.one("spf.lookups")["found"] == "5 of 10 lookups."
    assert findings.wrong() == {"spf.ptr"}


@pytest.mark.parametrize(("names", "level"), [(1, "warning"), (2, "warning"), (3, "error")])
def test_two_lookups_may_lead_nowhere(harbour, check, names, level):
    gone = " ".join(f"a:gone{number}.example" for number in range(names))
    spf(harbour, f"v=spf1 {gone} include:spf.mailjet.com -all")

    assert check().of("spf.voids") == {level}


@pytest.mark.parametrize(
    ("ends", "level"),
    [("+all", "error"), ("all", "error"), ("?all", "warning"), ("", "warning"), ("~all", "ok")],
)
def test_what_is_said_of_all_others(harbour, check, ends, level):
    spf(harbour, f"v=spf1 include:spf.mailjet.com {ends}".strip())

    assert check().of("spf.all") == {level}


def test_an_included_record_may_not_let_everybody_in(harbour, check):
    harbour.zones["spf.mailjet.com"] = ['spf.mailjet.com. TXT "v=spf1 +all"']

    one = check().one("spf.all")

    assert one["level"] == "error"
    assert "spf.mailjet.com" in one["found"]


def test_what_a_redirect_leads_to_counts_as_our_own(harbour, check):
    spf(harbour, "v=spf1 redirect=_spf.harbour.example")
    harbour.publish('_spf.harbour.example. TXT "v=spf1 include:spf.mailjet.com -all"')

    findings = check()

    assert findings.wrong() == set()
    assert findings.one("spf.lookups")["found"] == "2 of 10 lookups."


@pytest.mark.parametrize(
    "term",
    ["ip4:1.2.3", "ip4:2001:db8::1", "ip6:1.2.3.4", "include:", "inlcude:x.example", "all:x", "a="],
)
def test_a_broken_term_breaks_the_record(harbour, check, term):
    spf(harbour, f"v=spf1 {term} include:spf.mailjet.com -all")

    expected = set() if term == "a=" else {"error"}
    assert check().of("spf.syntax") == expected


@pytest.mark.parametrize(
    "target",
    [
        "nothing.example. A 192.0.2.1",
        'nothing.example. TXT "v=spf1 include:harbour.example -all"',
        'nothing.example. TXT "no spf"',
    ],
)
def test_what_is_included_must_have_a_record_and_not_lead_back(harbour, check, target):
    spf(harbour, "v=spf1 include:nothing.example include:spf.mailjet.com -all", target)

    assert check().of("spf.include") == {"error"}


def test_the_provider_of_our_envelope_must_be_included(harbour, check, publication):
    envelope(publication, "harbour.example")
    spf(harbour, "v=spf1 ip4:198.51.100.0/24 -all")

    one = check().one("spf.mailer")

    assert one["level"] == "error"
    assert one["record"]["value"] == "v=spf1 ip4:198.51.100.0/24 include:spf.mailjet.com -all"


def test_one_with_an_envelope_of_its_own_should_be(harbour, check):
    spf(harbour, "v=spf1 ip4:198.51.100.0/24 -all")

    assert check().of("spf.mailer") == {"warning"}


def test_one_that_sends_in_our_name_must_be(harbour, check, settings):
    settings.MAILERS = {"default": {"BACKEND": "anymail.backends.mailgun.EmailBackend"}}
    settings.ANYMAIL = {"MAILGUN_API_KEY": "k"}
    missing = check().of("spf.mailer")
    spf(harbour, "v=spf1 include:mailgun.org -all")
    harbour.publish('mailgun.org. TXT "v=spf1 ip4:192.0.2.1 -all"')

    assert (missing, check().of("spf.mailer")) == ({"error"}, {"ok"})


def test_one_that_wants_an_alias_is_told_of_it(harbour, check, settings, publication):
    settings.MAILERS = {"default": {"BACKEND": "anymail.backends.postmark.EmailBackend"}}
    settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "t"}
    by_itself = check().of("spf.mailer")
    envelope(publication, "bounces.harbour.example")
    harbour.publish('bounces.harbour.example. TXT "v=spf1 -all"')
    one = check().one("spf.mailer")

    assert (by_itself, one["level"]) == ({"note"}, "error")
    assert one["record"]["zone_line"] == "bounces.harbour.example. CNAME pm.mtasv.net."


def test_an_envelope_that_is_the_providers_alias_needs_no_include(harbour, check, publication):
    publication.sender.bounce_domain = "bnc.harbour.example"
    publication.sender.save()
    harbour.publish(
        "bnc.harbour.example. CNAME bnc3.mailjet.com.",
        'bnc3.mailjet.com. TXT "v=spf1 ip4:203.0.113.0/24 -all"',
        "bnc3.mailjet.com. MX 10 mx.harbour.example.",
    )

    findings = check()

    assert findings.wrong() == set()
    assert "alias" in findings.one("spf.mailer")["found"]


def test_spf_is_that_of_the_envelope(harbour, check, publication):
    publication.sender.bounce_domain = "bounces.harbour.example"
    publication.sender.save()

    one = check().one("spf.one-record")

    assert one["record"]["name"] == "bounces.harbour.example"


def test_a_relay_must_be_named(relay, check):
    assert check().of("spf.mailer") == {"ok"}
    spf(relay, "v=spf1 ip4:198.51.100.0/24 -a:relay.harbour.example -all")
    assert check().of("spf.mailer") == {"warning"}
