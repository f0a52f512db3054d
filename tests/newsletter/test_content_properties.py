"""Whatever people write, in whatever script: the message parses back to it, and is well-formed."""

import datetime
import quopri
import string
from email import policy
from email.parser import BytesParser
from html import escape, unescape
from unicodedata import normalize
from urllib.parse import quote

import pytest
from anymail.utils import parse_single_address
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newsletter.content import Mailing, Reader, compile_versions, headers, mime, slots
from subscribers import validators
from subscribers.validators import plain_line
from tests.rfc import findings

AT = datetime.datetime(2026, 11, 24, 6, 30, tzinfo=datetime.UTC)

anything = st.characters(codec="utf-8", exclude_characters="\x00")
awkward = st.sampled_from(
    [
        *"\r\n\t\x0b\x0c\x1c\x85\u2028\u2029\u202e\u2066\ufdd0\ufdd1=?._ \"\\<>&'é🚢ش𐍈\u0301",
        *[
            "=?",
            "=?utf-8?q?x?=",
            "=?utf-8?q?=0D=0ABcc:_x?=",
            "\n.",
            "\r\n.\r\n",
            "...",
            "=2E",
            "=\r\n",
        ],
        *[
            "{{ x }}",
            "{{",
            "{% now %}",
            "{% verbatim %}",
            "%recipient.name%",
            "%(name)s",
            "%0d%0a",
        ],
        *["-name-", "*|NAME|*", "${name}", "<script>", "&amp;", "--=_", "ﷺ" * 30, "x" * 90],
    ]
)
# Long runs of the awkward, and of everything else.
texts = st.lists(anything | awkward, max_size=90).map("".join)
# No longer than the shortest of the columns.
lines = texts.map(lambda text: slots.line(text)[:90].strip()).filter(bool)
# A name may come from anywhere; a database of ours would hold neither of these.
names = st.lists(
    anything | awkward | st.sampled_from(["\x00", "\ud800", "{{ name }}"]), max_size=90
).map("".join)
atoms = st.text(f"{string.ascii_letters}{string.digits}!#$%&'*+/=?^_`{{|}}~-", min_size=1)
addresses = st.builds(
    "{}.{}@{}.example".format,
    atoms.map(lambda atom: atom[:30]),
    atoms.map(lambda atom: atom[:30]),
    st.text(string.ascii_lowercase, min_size=1, max_size=60),
)

keep_fixtures = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def squeezed(text):
    return "".join(text.split())


def parsed(raw):
    message = BytesParser(policy=policy.default).parsebytes(raw)
    text, html = (part.get_content() for part in message.iter_parts())
    return message, text, html


@keep_fixtures
@given(subject=lines, headline=lines, body=texts, paper=lines, list_name=lines)
def test_what_is_written_is_what_arrives(
    campaign, article, briefing, publication, subject, headline, body, paper, list_name
):
    article.headline, article.body = headline, f"<p>{escape(body)}</p>"
    article.save()
    briefing.name = list_name
    briefing.save()
    publication.sender.name = paper
    publication.sender.save()
    campaign.subject = subject

    [version] = compile_versions(campaign)
    mailing, ann = Mailing(version), Reader(7, "ann@example.com", "", briefing.pk)
    raw = mailing.message(ann, AT)

    assert findings(raw) == []
    message, text, html = parsed(raw)
    assert message["Subject"] == subject
    sender = parse_single_address(mailing.parts(ann, AT).sender)
    assert (sender.display_name, sender.addr_spec) == (paper, "news@harbour.example")
    # Python leaves a space between the encoded words of a name; nobody else does.
    assert squeezed(message["From"].addresses[0].display_name) == squeezed(paper)
    assert message["From"].addresses[0].addr_spec == "news@harbour.example"
    for content in (text, unescape(html)):
        assert squeezed(headline) in squeezed(content)
        assert squeezed(slots.cleaned(body)) in squeezed(content)
        assert squeezed(list_name) in squeezed(content)


@keep_fixtures
@given(name=names, fallback=lines)
def test_any_name_is_filled_in_as_one_line(campaign, article, briefing, name, fallback):
    fallback = " ".join(fallback.translate({ord(sign): None for sign in "{}|"}).split())
    campaign.subject = f"a {{{{ name|{fallback} }}}} b"
    article.body = "<p>Dear {{ name|nobody }}.</p>"
    article.save()

    [version] = compile_versions(campaign)
    raw = Mailing(version).message(Reader(7, "ann@example.com", name, briefing.pk), AT)

    # A name may hold the two signs of our markers: nobody looks for them any more.
    assert [found for found in findings(raw) if "slot" not in found] == []
    message, text, html = parsed(raw)
    filled = plain_line(name)
    assert message["Subject"] == f"a {filled or fallback or 'reader'} b"
    assert squeezed(f"Dear {filled or 'nobody'}.") in squeezed(text)
    assert squeezed(f"Dear {escape(filled or 'nobody')}.") in squeezed(html)


@keep_fixtures
@given(address=addresses)
def test_any_address_is_the_only_one_and_is_masked_in_the_body(
    campaign, article, briefing, address
):
    [version] = compile_versions(campaign)
    raw = Mailing(version).message(Reader(7, address, "Ann", briefing.pk), AT)

    assert findings(raw) == []
    message, text, html = parsed(raw)
    assert [one.addr_spec for one in message["To"].addresses] == [address]
    masked = f"{address[0]}•••@{address.rpartition('@')[2]}"
    assert masked in text
    assert masked in unescape(html)


@keep_fixtures
@given(path=texts)
def test_a_link_is_the_same_in_text_and_html(campaign, article, briefing, path):
    url = f"https://harbour.example/{quote(path)}"
    article.body = f'<p>Dear reader, <a href="{url}">read on</a></p>'
    article.save()

    [version] = compile_versions(campaign)
    raw = Mailing(version).message(Reader(7, "ann@example.com", "", briefing.pk), AT)

    assert findings(raw) == []
    _message, text, html = parsed(raw)
    assert url in squeezed(text)
    assert f'href="{url}"' in unescape(html)


@given(name=names)
def test_what_is_printable_holds_no_control(name):
    assert plain_line(name) == " ".join(normalize("NFC", validators._spaced(name)).split())
    assert set(plain_line(name)).isdisjoint("\x00\r\n\x85\u2028\u2029\u202e\u2066\ud800")


@given(text=texts)
def test_encoded_words_are_read_back_and_stay_short(text):
    text = plain_line(text) or "x"

    written = headers.unstructured("Subject", text)

    assert all(len(line) <= 78 for line in written.split("\r\n"))
    parsed = BytesParser(policy=policy.default).parsebytes(written.encode("ascii") + b"\r\n\r\n")
    assert parsed["Subject"] == text


@given(text=texts.map(slots.cleaned))
def test_quoted_printable_is_read_back_and_a_soft_break_may_follow(text):
    written = mime.quoted_printable(text)

    assert quopri.decodestring(written).decode().replace("\r\n", "\n") == text
    assert written.isascii()
    assert all(len(line) <= 76 for line in written.split(b"\r\n"))
    assert len(written.split(b"\r\n")[-1]) <= 75


@pytest.mark.parametrize("length", range(70, 80))
@pytest.mark.parametrize("end", ["x", "é", " ", "="])
def test_quoted_printable_leaves_room_for_the_soft_break(length, end):
    written = mime.quoted_printable("x" * length + end)

    assert all(len(line) <= 76 for line in (written + mime.SOFT_BREAK).split(b"\r\n"))


@keep_fixtures
@given(body=texts, name=names, address=st.sampled_from(["ann@example.com", ".ann@example.com"]))
def test_over_smtp_goes_the_same_message_with_its_dots_doubled(
    campaign, article, briefing, body, name, address
):
    article.body = f"<p>.. {{{{ name }}}}</p><p>.{escape(body)}</p><p>{{{{ name }}}}</p>"
    article.save()
    [version] = compile_versions(campaign)
    mailing, reader = Mailing(version), Reader(7, address, f".{name}", briefing.pk)

    sent = mailing.smtp_message(reader, AT)

    assert sent == mailing.message(reader, AT).replace(b"\r\n.", b"\r\n..") + b".\r\n"


@given(text=texts.map(slots.cleaned))
def test_a_stretch_without_leading_dots_is_read_back(text):
    text = f".{text}".replace("é", "\n..")

    written = mime.without_leading_dots(text)

    assert quopri.decodestring(written).decode().replace("\r\n", "\n") == text
    assert not any(line.startswith(b".") for line in written.split(b"\r\n"))
    assert all(len(line) <= 76 for line in written.split(b"\r\n"))
    assert len(written.split(b"\r\n")[-1]) <= 75
