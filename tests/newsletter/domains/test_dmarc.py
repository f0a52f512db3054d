"""DOM-03 and DOM-04: the policy, and whether what was proved is what readers see."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.newsletter.domains.zones import dmarc, envelope
from tests.newsletter.test_dkim_keys import write

pytestmark = pytest.mark.django_db

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(
    ("texts", "check_name", "level"),
    [
        ([], "dmarc.record", "error"),
        (["v=DMARC1; p=none; rua=mailto:a@harbour.example"], "dmarc.record", "ok"),
        (["v=DMARC1; rua=mailto:a@harbour.example"], "dmarc.p", "warning"),
        (["v=DMARC1; p=maybe; rua=mailto:a@harbour.example"], "dmarc.p", "warning"),
        (["v=DMARC1; p=none"], "dmarc.rua", "warning"),
        (["v=DMARC1; p=none; rua=https://harbour.example"], "dmarc.rua", "warning"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], "dmarc.one-record", "error"),
        (["p=none; v=DMARC1"], "dmarc.syntax", "error"),
        (["v=dmarc1; p=none"], "dmarc.syntax", "error"),
        (["v=DMARC1; p=none; pct=50"], "dmarc.pct", "warning"),
        (["v=DMARC1; p=none; rf=afrf"], "dmarc.rf", "warning"),
        (["v=DMARC1; p=none; ri=86400"], "dmarc.ri", "warning"),
        (["v=DMARC1; p=none; t=y"], "dmarc.t", "warning"),
        (["v=DMARC1; p=none; t=x"], "dmarc.t", "warning"),
        (["v=DMARC1; p=none; sp=x"], "dmarc.sp", "warning"),
        (["v=DMARC1; p=none; np=x"], "dmarc.np", "warning"),
        (["v=DMARC1; p=none; adkim=x"], "dmarc.adkim", "warning"),
        (["v=DMARC1; p=none; psd=y"], "dmarc.psd", "warning"),
        (["v=DMARC1; p=none; psd=n"], "dmarc.psd", None),
    ],
)
def test_policies(harbour, check, texts, check_name, level):
    dmarc(harbour, *texts)

    findings = check()

    assert findings.of(check_name) == ({level} if level else set())
    assert level is None or findings.one(check_name)["requirement"] == "DOM-03"


def test_without_a_policy_the_record_to_publish_is_said(harbour, check):
    del harbour.zones["_dmarc.harbour.example"]

    assert check().one("dmarc.record")["record"]["zone_line"] == (
        '_dmarc.harbour.example. TXT "v=DMARC1; p=none; rua=mailto:dmarc@harbour.example"'
    )


def test_a_policy_is_found_by_walking_up_and_sp_counts(harbour, check):
    dmarc(harbour, "v=DMARC1; p=reject; sp=quarantine; np=reject; rua=mailto:a@harbour.example")

    findings = check("a.b.harbour.example")

    assert findings.one("dmarc.record")["found"] == (
        "_dmarc.harbour.example asks for quarantine on mail from a.b.harbour.example."
    )


def test_a_walk_asks_no_more_than_eight_times(harbour, check):
    domain = ".".join("abcdefghijkl") + ".harbour.example"

    check(domain)

    asked = {name for name in harbour.asked if name.startswith("_dmarc.")}
    mine = {name for name in asked if name.endswith("harbour.example")} | {"_dmarc.example"}
    assert len(mine & asked) == 8
    assert f"_dmarc.{domain}" in asked
    assert "_dmarc.h.i.j.k.l.harbour.example" in asked
    assert "_dmarc.g.h.i.j.k.l.harbour.example" not in asked


@pytest.mark.parametrize("said", ["n", "y"])
def test_a_walk_ends_where_a_record_says_so(harbour, check, said):
    dmarc(harbour, f"v=DMARC1; p=none; psd={said}")

    check("a.harbour.example")

    assert "_dmarc.harbour.example" in harbour.asked
    assert "_dmarc.example" not in harbour.asked


def test_a_registry_is_not_the_organisation(harbour, check):
    """psd=y at the top: what lies one below is, and a neighbour under it is a stranger."""
    del harbour.zones["_dmarc.harbour.example"]
    dmarc(harbour, "v=DMARC1; p=reject; psd=y", at="example")

    one = check().one("dmarc.record")

    assert one["found"].startswith("_dmarc.example asks for reject")


@pytest.mark.parametrize("agrees", [True, False])
def test_reports_to_a_stranger_must_be_agreed_to(harbour, check, agrees):
    dmarc(harbour, "v=DMARC1; p=none; rua=mailto:x@reports.test!10m,mailto:a@harbour.example")
    if agrees:
        harbour.publish('harbour.example._report._dmarc.reports.test. TXT "v=DMARC1"')

    findings = check()

    assert findings.of("dmarc.rua") == ({"ok"} if agrees else {"ok", "warning"})
    records = [one["record"] for one in findings if one["record"]]
    wanted = 'harbour.example._report._dmarc.reports.test. TXT "v=DMARC1"'
    assert [record["zone_line"] for record in records] == ([] if agrees else [wanted])


@pytest.mark.parametrize(
    ("modes", "bounces", "level"),
    [
        ("", "bounces.harbour.example", "ok"),
        ("; aspf=r", "bounces.harbour.example", "ok"),
        ("; aspf=s", "bounces.harbour.example", "warning"),
        ("; aspf=s", "harbour.example", "ok"),
        ("", "bounces.elsewhere.test", "warning"),
        ("", "yharbour.example", "warning"),
    ],
)
def test_whether_the_envelope_is_aligned(harbour, check, publication, modes, bounces, level):
    dmarc(harbour, f"v=DMARC1; p=none; rua=mailto:a@harbour.example{modes}")
    envelope(publication, bounces)

    assert check().of("alignment.spf") == {level}


def test_a_neighbour_under_a_registry_is_not_aligned(harbour, check, publication):
    dmarc(harbour, "v=DMARC1; p=reject; psd=y", at="example")
    envelope(publication, "quay.example")

    assert check().of("alignment.spf") == {"warning"}


def test_a_part_that_stands_by_itself_is_not_aligned(harbour, check, publication):
    dmarc(harbour, "v=DMARC1; p=none; psd=n", at="apart.harbour.example")
    envelope(publication, "bounces.apart.harbour.example")

    assert check().of("alignment.spf") == {"warning"}


def test_neither_aligned_is_an_error(harbour, check, publication, tmp_path):
    envelope(publication, "bounces.elsewhere.test")
    message = tmp_path / "message"
    message.write_bytes(
        b"From: news@harbour.example\r\nDKIM-Signature: v=1; d=elsewhere.test; s=x; h=from\r\n\r\n"
    )

    findings = check("--received", str(message))

    assert findings.of("alignment") == {"error"}
    assert findings.of("dkim.aligned") == {"error"}


def test_a_strict_domain_wants_its_own_signature(relay, check, settings, tmp_path, publication):
    dmarc(relay, "v=DMARC1; p=none; adkim=s")
    publication.sender.email = "news@mail.harbour.example"
    publication.sender.save()
    settings.DKIM_KEYS = [("harbour.example", "2026a", write(tmp_path / "rsa", RSA))]

    assert check("mail.harbour.example").of("alignment.dkim") == {"warning"}
