"""A campaign becomes mail: what readers get is what the editor wrote, and safe in any mailbox."""

import datetime
import re
from email import policy
from email.parser import BytesParser
from html.parser import HTMLParser

import pytest
from anymail.utils import parse_single_address
from django.utils import timezone

from newsletter.content import (
    LIMIT,
    ContentError,
    Mailing,
    Reader,
    compile_versions,
    freeze_versions,
    size,
    web,
)
from newsletter.content.stories import story
from newsletter.models import Article, Campaign, Entry, Version
from subscribers import tokens
from subscribers.addresses import AddressError
from subscribers.models import Sender
from tests.rfc import findings

AT = datetime.datetime(2026, 11, 24, 6, 30, 15, tzinfo=datetime.UTC)
LONG_PARAGRAPH = "<p>" + "The harbour was built for boats that never came. " * 20 + "</p>"
LONG_BODY = LONG_PARAGRAPH * 300


@pytest.fixture
def publication(publication, settings):
    settings.ALLOWED_HOSTS = ["localhost", ".example"]
    publication.site = "https://news.harbour.example"
    publication.save()
    return publication


@pytest.fixture
def ann(briefing):
    return Reader(7, "ann@example.com", "Ann", briefing.pk)


@pytest.fixture
def compiled(campaign):
    """Call it after changing the article or the campaign: the mailing of its only version."""

    def compiled():
        [version] = compile_versions(campaign)
        return Mailing(version)

    return compiled


@pytest.fixture
def write(article, campaign):
    """Give the article and the campaign new words."""

    def write(subject="", **words):
        for name, text in words.items():
            setattr(article, name, text)
        article.save()
        campaign.subject = subject
        campaign.save()

    return write


def parsed(raw):
    message = BytesParser(policy=policy.default).parsebytes(raw)
    text, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    return message, text, html


class _Elements(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def elements(html, *tags):
    return [attributes for tag, attributes in _Elements(html).found if tag in tags]


# The message ----------------------------------------------------------------------------------


def test_a_message_has_nothing_a_receiver_would_object_to(compiled, ann):
    assert findings(compiled().message(ann, AT)) == []


def test_a_message_is_addressed_and_dated_for_its_reader(compiled, ann):
    message, _text, _html = parsed(compiled().message(ann, AT))

    assert message["From"] == "The Harbour Post <news@harbour.example>"
    assert message["To"] == "ann@example.com"
    assert message["Subject"] == "The ferry returns"
    assert message["Date"].datetime == AT


def test_a_message_says_that_it_is_bulk_and_of_which_list(compiled, ann, campaign):
    message, _text, _html = parsed(compiled().message(ann, AT))

    assert message["List-Id"] == '"Morning Briefing" <morning-briefing.news.harbour.example>'
    assert message["List-Post"] == "NO"
    assert message["List-Help"] == "<mailto:news@harbour.example?subject=help>"
    assert message["List-Owner"] == "<mailto:news@harbour.example>"
    assert message["List-Archive"] == "<https://news.harbour.example/>"
    assert message["Precedence"] == "bulk"
    assert message["X-Auto-Response-Suppress"] == "OOF, AutoReply"
    assert message["Feedback-ID"] == f"{campaign.pk}:morning-briefing:campaign:theharbourpost"


def test_a_list_keeps_its_id_whatever_it_and_the_site_are_called_later(
    compiled, ann, briefing, publication
):
    publication.site = "https://moved.harbour.example"
    publication.save()
    briefing.name, briefing.slug = "Evening Edition", "evening-edition"
    briefing.save()

    message, _text, _html = parsed(compiled().message(ann, AT))

    assert message["List-Id"] == '"Evening Edition" <morning-briefing.news.harbour.example>'


def test_one_address_ends_the_subscription_from_header_html_and_text(compiled, ann, campaign):
    raw = compiled().message(ann, AT)

    message, text, html = parsed(raw)
    link = message["List-Unsubscribe"].strip("<>")
    token = link.removeprefix("https://news.harbour.example/u/").rstrip("/")
    numbers = tokens.read(tokens.Purpose.UNSUBSCRIBE, token)
    assert numbers == (ann.subscriber_id, ann.mailing_list_id, campaign.pk)
    assert f"List-Unsubscribe: <{link}>\r\n".encode() in raw
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link in [attributes.get("href") for attributes in elements(html, "a")]
    assert link in text.splitlines()


def test_a_long_site_address_is_neither_encoded_nor_folded(compiled, ann, publication):
    publication.site = f"https://{'harbour-post-' * 4}.example/a/rather/long/path"
    publication.save()

    raw = compiled().message(ann, AT)

    assert findings(raw) == []
    assert re.search(rb"List-Unsubscribe: <https://harbour[^ \r\n]{70,}>\r\n", raw)


def test_two_readers_share_nothing(compiled, ann, briefing):
    mailing = compiled()

    bob = mailing.message(Reader(8, "bob@example.com", "Bob", briefing.pk), AT)

    assert b"ann" not in bob.replace(b"channel", b"").lower().split(b"harbour")[0]
    assert mailing.message_id(ann).encode() not in bob


def test_the_message_id_is_the_same_for_the_same_reader_of_a_campaign(compiled, ann, briefing):
    mailing = compiled()
    bob = Reader(8, "bob@example.com", "", briefing.pk)

    assert mailing.message_id(ann) == compiled().message_id(ann)
    assert mailing.message_id(ann) != mailing.message_id(bob)
    assert mailing.message_id(ann).endswith("@harbour.example>")
    assert f"Message-ID: {mailing.message_id(ann)}\r\n".encode() in mailing.message(ann, AT)


def test_the_message_id_allows_nothing(compiled, ann):
    token = compiled().message_id(ann).strip("<>").partition("@")[0]

    for purpose in set(tokens.Purpose) - {tokens.Purpose.MESSAGE}:
        with pytest.raises(tokens.BadTokenError):
            tokens.read(purpose, token)


def test_a_test_mail_is_never_taken_for_a_repetition(compiled, briefing):
    mailing = compiled()
    nobody = Reader(0, "editor@harbour.example", "", briefing.pk)

    assert mailing.message_id(nobody) != mailing.message_id(nobody)
    assert findings(mailing.message(nobody, AT)) == []


def test_bounces_come_back_to_an_address_of_the_readers_own(compiled, ann, publication, campaign):
    assert compiled().envelope_sender(ann) == "news@harbour.example"

    publication.sender.bounce_domain = "bounces.harbour.example"
    publication.sender.save()

    local, _at, domain = compiled().envelope_sender(ann).partition("@")
    assert domain == "bounces.harbour.example"
    assert len(local) <= 64
    numbers = tokens.read(tokens.Purpose.BOUNCE, local.removeprefix("b+"))
    assert numbers == (ann.subscriber_id, campaign.pk)


def test_replies_go_where_the_sender_says(compiled, ann, publication):
    publication.sender.reply_to = "desk@harbour.example"
    publication.sender.save()

    message, _text, _html = parsed(compiled().message(ann, AT))

    assert message["Reply-To"] == "desk@harbour.example"
    assert message["List-Owner"] == "<mailto:desk@harbour.example>"


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com\r\nBcc: all@example.com",
        "ann@example.com, bob@example.com",
        "Ann <ann@example.com>",
        "ann @example.com",
        "ann",
        "@example.com",
        "",
    ],
)
def test_what_is_not_one_address_is_not_written_to(compiled, briefing, address):
    mailing = compiled()
    reader = Reader(7, address, "", briefing.pk)

    with pytest.raises(AddressError):
        mailing.message(reader, AT)
    with pytest.raises(AddressError):
        mailing.parts(reader, AT)


@pytest.mark.django_db
def test_filling_asks_the_database_nothing(compiled, ann, django_assert_num_queries):
    mailing = compiled()

    with django_assert_num_queries(0):
        mailing.message(ann, AT)
        mailing.parts(ann, AT)
        mailing.envelope_sender(ann)


def test_filling_renders_and_parses_nothing(compiled, ann, monkeypatch):
    mailing = compiled()

    def fails(*_arguments, **_keywords):
        raise AssertionError("work that belongs to compiling")

    monkeypatch.setattr("django.template.base.Template.render", fails)
    monkeypatch.setattr("email.message.Message.as_bytes", fails)
    monkeypatch.setattr("html.parser.HTMLParser.feed", fails)
    monkeypatch.setattr("css_inline.CSSInliner", fails)

    assert mailing.message(ann, AT)
    assert mailing.parts(ann, AT)


def test_parts_say_the_same_as_the_message(compiled, ann, write):
    write(subject="{{ name }}, der Fährmann <ruft> 🚢", body="<p>Dear {{ name }} & all</p>")
    reader = Reader(7, "ann@example.com", "Zoë <b>", ann.mailing_list_id)
    mailing = compiled()

    message, text, html = parsed(mailing.message(reader, AT))
    parts = mailing.parts(reader, AT)

    assert parts.subject == message["Subject"] == "Zoë <b>, der Fährmann <ruft> 🚢"
    assert parts.text == text
    assert parts.html == html
    assert parts.sender == '"The Harbour Post" <news@harbour.example>'
    built_by_providers = {"From", "To", "Subject", "Date", "MIME-Version", "Content-Type"}
    assert parts.headers.keys() == set(message.keys()) - built_by_providers
    for name, value in parts.headers.items():
        assert value == message[name]


def test_a_stored_version_is_filled_like_a_fresh_one(campaign, ann):
    [version] = compile_versions(campaign)
    fresh = Mailing(version).message(ann, AT)
    version.save()

    stored = Version.objects.get(pk=version.pk)
    # What PostgreSQL hands out for a BinaryField.
    stored.message = memoryview(bytes(stored.message))

    assert Mailing(stored).message(ann, AT) == fresh


def test_each_list_gets_a_version_of_its_own(campaign, briefing, weekend):
    other = Sender.objects.create(
        publication=weekend.publication, name="The Weekend Desk", email="weekend@harbour.example"
    )
    weekend.sender = other
    weekend.language = "ar"
    weekend.save()
    campaign.mailing_lists.add(weekend)

    first, second = compile_versions(campaign)

    assert [first.mailing_list, second.mailing_list] == [briefing, weekend]
    assert first.pk is second.pk is None
    reader = Reader(7, "ann@example.com", "", weekend.pk)
    message, _text, html = parsed(Mailing(second).message(reader, AT))
    assert message["From"] == "The Weekend Desk <weekend@harbour.example>"
    assert "Weekend Reader" in message["List-Id"]
    assert elements(html, "html") == [{"lang": "ar", "dir": "rtl"}]


# Words as they were written --------------------------------------------------------------------

WRITTEN = [
    "🚢 The ferry, “at last” & 'for good' <again>",
    "عودة العبارات الليلية إلى الخط الشمالي بعد تسع سنوات من الانتظار",
    "{{ 7*7 }} {% now 'Y' %} {{ user.password }} {{{ names }}}",
    "%recipient.x% *|FNAME|* [[var:x]] {{params.x}} <%= x %> ${x}",
    "=?utf-8?q?not_a_word?= and =0D=0A and %0d%0a",
    "日本語の見出しはとても長いので折り返す必要があります。それでも文字は壊れません。" * 3,
    "A" * 190,
    'Re: a. b.\\c "d" e;f <script>alert(1)</script>',
]


@pytest.mark.parametrize("words", WRITTEN)
def test_words_arrive_as_they_were_written(compiled, ann, write, words):
    escaped = words.replace("&", "&amp;").replace("<", "&lt;")
    write(headline=words[:200], standfirst=words, kicker=words[:40], body=f"<p>{escaped}</p>")

    raw = compiled().message(ann, AT)

    assert findings(raw) == []
    message, text, html = parsed(raw)
    assert message["Subject"] == words[:200]
    assert html.count(escaped.replace(">", "&gt;")) >= 2
    assert "".join(words.split()) in "".join(text.split())


def test_quotes_dots_and_from_at_the_start_of_a_line_arrive(compiled, ann, write):
    write(body="<p>.<br>..<br>From here<br>--<br>&gt; quoted<br>.end</p>")

    _message, text, _html = parsed(compiled().message(ann, AT))

    assert "\n.\n..\nFrom here\n--\n> quoted\n.end\n" in text


def test_letters_arrive_composed(compiled, ann, write):
    write(subject="Cafe\u0301", body="<p>Cafe\u0301 A\u030a</p>")

    message, text, html = parsed(compiled().message(ann, AT))

    assert message["Subject"] == "Caf\u00e9"
    assert "Caf\u00e9 \u00c5" in text
    assert "Caf\u00e9 \u00c5" in html


@pytest.mark.parametrize(
    "name", ["=?utf-8?q?Bank?=", 'Ann "the \\ boat" Lee', "ceo@bank.example, you", "Zoë " * 20]
)
def test_the_name_of_a_sender_is_never_more_than_a_name(compiled, ann, publication, name):
    publication.sender.name = name
    publication.sender.save()
    mailing = compiled()

    raw = mailing.message(ann, AT)

    assert findings(raw) == []
    written = re.search(rb"^From: ((?:.|\r\n )*) ?(?:\r\n )?<news@harbour.example>\r\n", raw)[1]
    assert written.startswith(b'"') == (name[0] not in "=Z")
    assert parse_single_address(mailing.parts(ann, AT).sender).display_name == name.strip()


def test_the_name_stands_where_the_editor_put_it(compiled, ann, write):
    write(
        subject="{{ name }}: the ferry",
        standfirst="For {{name|friends}} only",
        body="<p>Dear {{ name | reader of <em>ours</em> }}, {{ name|you & yours }}!</p>",
    )

    raw = compiled().message(ann, AT)

    assert findings(raw) == []
    message, text, html = parsed(raw)
    assert message["Subject"] == "Ann: the ferry"
    assert "For Ann only" in text
    assert "For Ann only" in html
    assert "Ann!" in html
    # A tag that formatting has torn apart is text.
    assert "{{ name | reader of ours }}" in text


def test_who_gave_no_name_is_called_as_the_editor_says(compiled, briefing, write):
    write(subject="{{ name }}, hello", body="<p>Dear {{ name|friend & neighbour }}.</p>")
    nameless = Reader(7, "ann@example.com", "  ", briefing.pk)

    message, text, html = parsed(compiled().message(nameless, AT))

    assert message["Subject"] == "reader, hello"
    assert "Dear friend & neighbour." in text
    assert "Dear friend &amp; neighbour." in html


@pytest.mark.parametrize(
    "name",
    [
        "{{ name }} {{ 7*7 }}",
        "=?utf-8?q?=0D=0ABcc=3A_x?=",
        "Ann\r\nBcc: everybody@example.com\r\n\r\n<p>body",
        "Ann\x0b\x0c\x1c\x85\u2028\x00X: y",
        "<script>alert('x')</script>",
        "\u202ennA\u2066 \ufdd0unsubscribe::\ufdd1",
        "名前" * 50,
        "O'Brien-Łukasiewicz " * 5,
        ".",
    ],
)
def test_a_name_is_filled_in_and_never_read_again(compiled, briefing, write, name):
    write(subject="To {{ name }}", body="<p>Dear {{ name }}, welcome.</p>")

    raw = compiled().message(Reader(7, "ann@example.com", name, briefing.pk), AT)

    assert [found for found in findings(raw) if "slot" not in found] == []
    message, text, html = parsed(raw)
    assert message["Subject"].startswith("To ")
    assert message["Bcc"] is None
    assert elements(html, "script") == []
    assert "49" not in message["Subject"]
    assert ", welcome." in text


def test_an_article_cannot_forge_a_slot(compiled, ann, write):
    forged = "\ufdd0address::\ufdd1 &#xFDD0;unsubscribe::&#xFDD1;"
    write(body=f'<p title="{forged}">{forged}</p><a href="https://x.example/{forged}">x</a>')

    _message, text, html = parsed(compiled().message(ann, AT))

    assert "ann@example.com" not in text
    assert "ann@example.com" not in html
    assert text.count("/u/") == 1


# Several articles, lengths ---------------------------------------------------------------------


def add_article(campaign, position=1, **words):
    article = Article.objects.create(
        publication=campaign.publication, published_at=timezone.now(), **words
    )
    Entry.objects.create(campaign=campaign, article=article, position=position)
    return article


def test_articles_come_in_their_order_and_the_first_gives_the_subject(campaign, ann):
    campaign.subject = ""
    add_article(campaign, 2, headline="Third story", body="<p>Three.</p>")
    add_article(campaign, 1, headline="Second story", body="<p>Two.</p>", byline="Bo Lind")

    [version] = compile_versions(campaign)

    message, text, html = parsed(Mailing(version).message(ann, AT))
    assert message["Subject"] == "The ferry returns"
    for content in (text, html):
        places = [content.rindex(words) for words in ("seasick", "Second", "Bo Lind", "Third")]
        assert places == sorted(places)
    assert len(elements(html, "h1")) == 1
    for article in campaign.articles.all():
        url = f"https://news.harbour.example{article.get_absolute_url()}"
        assert url in text.splitlines()
        assert url in [attributes.get("href") for attributes in elements(html, "a")]


def test_an_article_stands_in_its_own_language_and_direction(campaign, ann):
    add_article(campaign, headline="عودة العبارات", language="ar", body="<p>غادر آخر قارب</p>")

    [version] = compile_versions(campaign)

    _message, text, html = parsed(Mailing(version).message(ann, AT))
    directions = [(cell["lang"], cell["dir"]) for cell in elements(html, "td") if cell.get("lang")]
    assert directions == [("en", "ltr"), ("ar", "rtl")]
    assert "غادر آخر قارب" in text


def test_what_is_too_long_ends_with_read_on(campaign, ann, write):
    write(body=LONG_BODY)
    assert len(LONG_BODY) > 290_000

    [version] = compile_versions(campaign)

    raw = Mailing(version).message(ann, AT)
    assert findings(raw) == []
    _message, text, html = parsed(raw)
    assert version.is_excerpt
    assert version.whole_size > 300_000
    assert 0.8 * LIMIT < len(html.encode()) <= size(version) <= LIMIT
    assert ">Read on<" in html
    assert "Read on:" in text
    assert "Unsubscribe" in html
    assert len(text) < LIMIT


def test_what_is_too_long_goes_out_whole_if_the_editor_says_so(campaign, ann, write):
    write(body=LONG_BODY + "<p>The very end.</p>")
    campaign.length = Campaign.Length.WHOLE

    [version] = compile_versions(campaign)

    raw = Mailing(version).message(ann, AT)
    assert findings(raw) == []
    message, text, html = parsed(raw)
    assert not version.is_excerpt
    assert size(version) > LIMIT
    assert "The very end." in text
    assert "The very end." in html
    # Gmail does not show the end, so the way out is at the top as well (UNS-18).
    top = html[:10_000]
    assert message["List-Unsubscribe"].strip("<>") in top
    assert top.count("Read on the web") == 1


def test_what_is_short_has_its_way_out_once(compiled, ann):
    mailing = compiled()

    _message, _text, html = parsed(mailing.message(ann, AT))

    assert html.count("/u/") == 1


def test_a_short_article_is_not_cut_for_a_long_one(campaign, ann, write):
    write(body=LONG_BODY)
    add_article(campaign, headline="Short", body="<p>Short, and whole.</p>" * 5)
    add_article(campaign, 3, headline="As long", body=LONG_BODY)

    [version] = compile_versions(campaign)

    _message, text, html = parsed(Mailing(version).message(ann, AT))
    assert text.count("Short, and whole.") == 5
    assert len(html.encode()) <= LIMIT
    assert html.count(">Read on<") == 2


def test_an_excerpt_ends_where_a_reader_can_pause(article, write):
    write(body=f"<h2>A part</h2>{LONG_PARAGRAPH[:200]}</p><hr>" * 12)
    whole = story(article)

    for longest in range(0, whole.length, 3):
        cut = whole.cut(longest)
        assert cut.length <= longest + len("…".encode())
        if cut.root.children:
            assert cut.root.children[-1].tag == "p"
            assert "".join(cut.root.children[-1].texts()).strip("…")


@pytest.mark.parametrize(
    "body",
    [
        "<p>" + "endless " * 40_000 + "</p>",
        "<p>" + "endless" * 40_000 + "</p>",
        "<ul><li>" + "&amp;&lt; " * 60_000 + "</li></ul>",
        "<blockquote>" * 3_000 + "deep" * 30_000,
        "<p>x</p>" * 20_000,
        "<p><a href='https://x.example/'>x</a> {{ name }}</p>" * 5_000,
    ],
)
def test_any_long_text_can_be_cut_to_fit(campaign, ann, write, body):
    write(body=body)

    [version] = compile_versions(campaign)

    raw = Mailing(version).message(ann, AT)
    assert findings(raw) == []
    assert len(parsed(raw)[2].encode()) <= LIMIT


# What an editor is told ------------------------------------------------------------------------


def problems_of(campaign):
    with pytest.raises(ContentError) as caught:
        compile_versions(campaign)
    return caught.value.problems


def test_no_mail_without_a_legal_name_and_a_postal_address(campaign, publication):
    publication.legal_name = publication.postal_address = " "
    publication.save()

    problems = problems_of(Campaign.objects.get(pk=campaign.pk))

    assert len(problems) == 2
    assert "legal name" in problems[0]
    assert "postal address" in problems[1]


def test_no_mail_with_links_that_are_not_safe(campaign, publication, settings):
    settings.LAPTOP = False
    publication.site = "http://news.harbour.example"
    publication.save()

    assert "https://" in problems_of(Campaign.objects.get(pk=campaign.pk))[0]


def test_no_mail_without_list_or_article(campaign):
    campaign.mailing_lists.clear()
    campaign.entries.all().delete()

    problems = problems_of(campaign)

    assert len(problems) == 2
    assert "Choose a list" in problems[0]
    assert "Choose an article" in problems[1]


def test_no_mail_without_a_sender(campaign, publication):
    publication.sender = None
    publication.save()

    assert "Name a sender" in problems_of(campaign)[0]


@pytest.mark.parametrize("email", ["paper@gmail.com", "paper@yahoo.co.jp", "paper@GMX.de"])
def test_no_mail_from_a_mailbox_provider(campaign, publication, email):
    publication.sender.email = email
    publication.sender.save()

    assert email in problems_of(campaign)[0]


@pytest.mark.parametrize("field", ["email", "reply_to"])
@pytest.mark.parametrize(
    "email", ["zoë@harbour.example", "a@b.example, c@d.example", "a\r\nBcc: b@c"]
)
def test_no_mail_from_what_cannot_stand_in_a_header(campaign, publication, field, email):
    setattr(publication.sender, field, email)
    publication.sender.save()

    assert "cannot stand in a header" in problems_of(campaign)[0]


@pytest.mark.parametrize(
    "list_id", ["briefing", "morning briefing.example", "a..b", "a.b>\r\nX: y"]
)
def test_no_mail_of_a_list_whose_id_is_none(campaign, briefing, list_id):
    briefing.list_id = list_id
    briefing.save()

    assert "is not one that mail can carry" in problems_of(campaign)[0]


def test_no_mail_with_links_that_this_server_does_not_answer(campaign, publication, settings):
    settings.ALLOWED_HOSTS = ["www.harbour.example"]

    assert "“news.harbour.example” is not among" in problems_of(campaign)[0]


def test_no_mail_by_a_mailer_that_is_not_set_up(campaign, publication):
    publication.sender.mailer = "night-train"
    publication.sender.save()

    assert "“night-train”" in problems_of(campaign)[0]


def test_a_paper_may_have_live_in_its_domain(campaign, publication):
    publication.sender.email = "news@live.harbour.example"
    publication.sender.save()

    assert compile_versions(campaign)


def test_no_mail_about_an_article_that_is_not_on_the_web(campaign, article):
    article.withdraw()

    with pytest.raises(ContentError) as refused:
        freeze_versions(campaign)

    assert "not on the web yet" in refused.value.problems[0]


def test_an_article_can_be_looked_at_and_tested_before_it_is_on_the_web(campaign, article):
    article.withdraw()

    assert compile_versions(campaign)


def test_no_picture_without_a_description(campaign, write):
    write(body='<p>x</p><img src="https://x.example/1.png"><img src="/2.png" alt="">')

    [problem] = problems_of(campaign)

    assert "https://x.example/1.png" in problem


def test_no_link_into_our_own_network(campaign, write, settings):
    settings.LAPTOP = False
    write(body='<p><a href="http://localhost:8000/x">x</a> <a href="http://10.0.0.7/">y</a></p>')

    assert len(problems_of(campaign)) == 2


def test_no_article_without_words(campaign, write):
    write(standfirst="", body="<p> </p>")

    assert "neither a standfirst nor a text" in problems_of(campaign)[0]


# The HTML --------------------------------------------------------------------------------------

RICH = (
    '<h2>Prices</h2><p>See <a href="/prices?a=1&amp;b=2">the list</a>, <a href="#below">below</a> '
    'or <a href="https://bücher.example/ä b">books</a>.</p>'
    '<figure><img src="/media/dawn.jpg" alt="The ferry at dawn" width="1200" height="800">'
    "<figcaption>In 2017.</figcaption></figure>"
    "<table><tbody><tr><th>Day</th><th>Leaves</th></tr><tr><td>Monday</td><td>06:00</td></tr>"
    "</tbody></table><ul><li><p>One</p></li><li>Two<ol><li>Inner</li></ol></li></ul>"
    "<blockquote><p>Nobody will come in January, and that is quite all right with every one of us "
    "here.</p></blockquote><hr><p>A&nbsp;b <strong>&lt;bold&gt;</strong></p>"
)


def test_html_says_its_language_title_and_charset(compiled, ann):
    _message, _text, html = parsed(compiled().message(ann, AT))

    assert html.startswith("<!DOCTYPE html>")
    assert elements(html, "html") == [{"lang": "en", "dir": "ltr"}]
    assert "<title>The ferry returns</title>" in html
    metas = elements(html, "meta")
    assert {"charset": "utf-8"} in metas
    assert {"name": "color-scheme", "content": "light dark"} in metas


def test_html_keeps_to_what_mail_programs_take(compiled, ann, write):
    write(body=RICH)

    _message, _text, html = parsed(compiled().message(ann, AT))

    assert not elements(html, "script", "form", "iframe", "object", "link", "input", "svg")
    assert not re.search(r"javascript:|@import|@font-face|url\(", html)
    [style] = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert len(style) < 8_192
    assert style.count("{") == style.count("}")
    layout = [table for table in elements(html, "table") if "role" in table]
    assert {table["role"] for table in layout} == {"presentation"}
    assert len(elements(html, "table")) - len(layout) == 1
    assert all(cell["scope"] == "col" for cell in elements(html, "th"))


def test_every_address_in_html_is_absolute(compiled, ann, write):
    write(body=RICH)

    _message, text, html = parsed(compiled().message(ann, AT))

    addresses = [link["href"] for link in elements(html, "a")]
    addresses += [image["src"] for image in elements(html, "img")]
    assert all(address.startswith("https://") for address in addresses)
    assert all(address.isascii() and " " not in address for address in addresses)
    assert "https://news.harbour.example/prices?a=1&b=2" in addresses
    assert "https://news.harbour.example/articles/the-ferry-returns/#below" in addresses
    assert "https://xn--bcher-kva.example/%C3%A4%20b" in addresses
    assert "https://news.harbour.example/media/dawn.jpg" in addresses
    for address in {link["href"] for link in elements(html, "a")}:
        assert address in text or address == "https://news.harbour.example/"


def test_pictures_have_a_description_and_fit_the_sheet(compiled, ann, write):
    write(body=RICH)

    _message, _text, html = parsed(compiled().message(ann, AT))

    [image] = elements(html, "img")
    assert image["alt"] == "The ferry at dawn"
    assert (image["width"], image["height"]) == ("536", "357")


def test_the_accent_is_the_papers_own(compiled, ann, publication):
    publication.accent = "#00467f"
    publication.save()

    _message, _text, html = parsed(compiled().message(ann, AT))

    assert "#00467f" in html
    assert "#9a1b1e" not in html


def test_both_parts_say_why_one_gets_this_and_who_sends_it(compiled, ann):
    _message, text, html = parsed(compiled().message(ann, AT))

    for content in (text, html):
        words = " ".join(content.split())
        assert (
            "You get this because you signed up for Morning Briefing at The Harbour Post." in words
        )
        assert "a•••@example.com" in words
        assert "Harbour Post Ltd" in words
        assert "Port Ellis" in words


def test_what_the_sanitiser_would_not_let_in_does_not_go_out(compiled, ann, article):
    evil = '<p onclick="x()">Hello<script>alert(1)</script><a href="javascript:x()">y</a></p>'
    Article.objects.filter(pk=article.pk).update(body=evil)

    _message, _text, html = parsed(compiled().message(ann, AT))

    assert "Hello" in html
    assert "onclick" not in html
    assert "alert" not in html
    assert "javascript" not in html


# The text --------------------------------------------------------------------------------------


def test_the_text_reads_like_a_letter(compiled, ann, write):
    write(body=RICH)

    _message, text, _html = parsed(compiled().message(ann, AT))

    assert "Prices\n~~~~~~\n" in text
    assert "See the list [1], below [2] or books [3]." in text
    assert "\n[1] https://news.harbour.example/prices?a=1&b=2\n" in text
    assert "[The ferry at dawn]\nIn 2017." in text
    assert "Day | Leaves\nMonday | 06:00\n" in text
    assert "* One\n* Two\n  1. Inner\n" in text
    assert "> Nobody will come in January, and that is quite all right with every\n> one" in text
    assert "A\xa0b <bold>" in text
    assert not re.search(r"&\w+;", text)


def test_lines_of_the_text_are_short(compiled, ann, write):
    write(
        body=LONG_PARAGRAPH + RICH + "<p>" + "長い文章です。" * 60 + "</p>", standfirst="word " * 79
    )

    _message, text, _html = parsed(compiled().message(ann, AT))

    lines = [line for line in text.splitlines() if "://" not in line]
    assert max(map(len, lines)) <= 78


# The web ---------------------------------------------------------------------------------------


def test_an_article_on_the_web_has_its_fallbacks_and_no_styles(article, write):
    write(body='<p onclick="x">Dear {{ name|all }}, {{ name }}: {{ 7*7 }} &lt;b&gt;</p>')

    assert web.body(article) == "<p>Dear all, reader: {{ 7*7 }} &lt;b&gt;</p>"
    assert web.line("Hello {{ name|world }}") == "Hello world"
