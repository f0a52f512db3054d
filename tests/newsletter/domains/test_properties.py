"""Whatever stands in the DNS, checks find something to say and none of them breaks (DOM-11)."""

import contextlib

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from newsletter.domains import Resolver, Sending, alignment, dmarc, extras, keys, spf
from newsletter.domains.providers import named
from subscribers import name_servers


class Told(Resolver):
    """Answers every question with the same words, and hosts with the same host."""

    def __init__(self, *words):
        super().__init__()
        self._words = list(words)

    def texts(self, name):
        return self._words

    def exchanges(self, domain):
        return ["mx.example", ""]

    def addresses(self, host):
        return ["192.0.2.1", "2001:db8::1"]

    def alias(self, name):
        return name

    def names(self, address):
        return ["mx.example"]


awkward = st.sampled_from(
    [
        *[
            "v=spf1 ",
            "v=DMARC1;",
            "v=DKIM1;",
            "p=",
            "p=none",
            "rua=mailto:",
            "a@b.example!",
            "k=rsa;",
        ],
        *["include:", "redirect=", "a/", "a:", "mx//", "ip4:", "ip6:", "ptr", "exists:%{i}", "/33"],
        *[
            "+all",
            "-",
            "all",
            ";",
            "=",
            ":",
            " ",
            "\x00",
            "é",
            "\udcff",
            "h=",
            "s=",
            "t=y",
            "psd=y;",
        ],
    ]
)


records = st.builds(
    "{}{}".format,
    st.sampled_from(["v=spf1 ", "v=DMARC1; ", "v=DKIM1; ", "v=BIMI1; ", ""]),
    st.lists(awkward | st.text(), max_size=12).map(" ".join),
)


@given(words=st.lists(records, max_size=2))
@hypothesis_settings(max_examples=150, deadline=None)
def test_whatever_the_dns_says_no_check_breaks(words):
    domains = "mail.harbour.example", "bounces.harbour.example", "harbour.example"
    sending = Sending(*domains, provider=named("brevo")).signed_with(("harbour.example", "a"))
    resolver = Told(*words)

    found = [
        *spf.check(sending, resolver),
        *keys.check(sending, resolver),
        *dmarc.check(sending, resolver),
        *alignment.check(sending, resolver),
        *extras.check(sending, resolver),
    ]

    assert found
    assert all(finding.found for finding in found)


@given(name=st.text(max_size=80))
@hypothesis_settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_is_asked_for_is_no_crash(dns, name):
    with contextlib.suppress(name_servers.NoAnswerError):
        assert name_servers.ask(name, "TXT", [dns.address]) == []
