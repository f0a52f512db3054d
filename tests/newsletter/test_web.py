"""The paper on the web."""

import re
import time
from datetime import timedelta
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
import time_machine
from django.contrib.staticfiles import finders
from django.template.loader import get_template
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from newsletter.models import Article
from subscribers import colours
from subscribers.models import SignUp

ORIGIN = "http://testserver"
LOADED = {
    "link": "href",
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
    "embed": "src",
}


class Page(HTMLParser):
    """What a page consists of, as far as these tests ask."""

    def __init__(self, response):
        super().__init__()
        self.elements = []
        self.feed(response.content.decode())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def meta(self, name):
        found = [m for m in self.all("meta") if name in (m.get("name"), m.get("property"))]
        return found[0]["content"] if found else None

    @property
    def loaded(self):
        """Addresses that a browser fetches by itself."""
        for tag, attrs in self.elements:
            if tag == "link" and attrs.get("rel") in {"canonical", "next", "prev"}:
                continue
            if attrs.get(LOADED.get(tag)):
                yield attrs[LOADED[tag]]
            if attrs.get("srcset"):
                yield attrs["srcset"]


@pytest.fixture
def write(publication):
    """Call it with a headline: an article, published unless you say."""

    def write(headline, hours=0, **fields):
        at = {"published_at": timezone.now() - timedelta(hours=hours)}
        return Article.objects.create(publication=publication, headline=headline, **at | fields)

    return write


@pytest.fixture
def public_pages(article, briefing):
    return [
        "/",
        article.get_absolute_url(),
        reverse("subscribers:sign-up"),
        reverse("subscribers:check-inbox"),
        reverse("subscribers:terms"),
        "/c/nonsense",
        "/u/nonsense",
        "/no-such-page",
    ]


# For every page ----------------------------------------------------------------------------------


def test_no_public_page_sets_a_cookie(client, public_pages):
    for path in public_pages:
        response = client.get(path)

        assert not response.cookies, path
        assert "Set-Cookie" not in response.headers, path
        # One copy in a shared cache serves everybody: nothing on the page depends on who asks.
        assert "Cookie" not in response.headers.get("Vary", ""), path


def test_no_public_page_loads_anything_from_elsewhere(client, public_pages):
    for path in public_pages:
        for address in Page(client.get(path)).loaded:
            assert address.startswith(("/", "data:")), (path, address)
            assert not address.startswith("//"), (path, address)


def test_the_stylesheet_loads_nothing():
    with open(finders.find("newsletter/paper.css")) as file:
        sheet = file.read()

    assert "url(" not in sheet
    assert "@import" not in sheet
    assert "http" not in sheet.replace('href^="http"', "")


def test_public_pages_hold_no_script_and_no_style_inside(client, public_pages):
    for path in public_pages:
        page = Page(client.get(path))

        for script in page.all("script"):
            assert script["src"].startswith("/static/"), path
        assert not page.all("style"), path
        for tag, attrs in page.elements:
            assert not [name for name in attrs if name == "style" or name.startswith("on")], tag


def test_every_page_forbids_foreign_scripts_and_frames(client, public_pages):
    for path in public_pages:
        response = client.get(path)
        policy = response["Content-Security-Policy"]

        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert response["X-Frame-Options"] == "DENY", path
        assert response["X-Content-Type-Options"] == "nosniff", path


def test_every_page_has_a_language_a_title_a_landmark_and_one_headline(client, public_pages):
    for path in public_pages:
        response = client.get(path)
        page = Page(response)

        assert page.all("html")[0]["lang"] == "en", path
        assert re.search(r"<title>\S.+</title>", response.content.decode()), path
        assert len(page.all("main")) == 1, path
        assert len(page.all("h1")) == 1, path
        assert {"class": "skip", "href": "#content"} in page.all("a"), path


def test_every_control_of_the_form_has_a_label(client, article, briefing):
    page = Page(client.get(article.get_absolute_url()))
    labelled = {label.get("for") for label in page.all("label")}

    for field in page.all("input"):
        if field.get("type") != "hidden":
            assert field["id"] in labelled


# The front page ----------------------------------------------------------------------------------


def test_the_newest_story_leads(client, write):
    write("Older", hours=2)
    write("Newest", hours=1)
    write("Oldest", hours=3)

    shown = client.get("/").content.decode()

    assert shown.index("Newest") < shown.index("Older") < shown.index("Oldest")
    assert 'class="item lead"' in shown.partition("Newest")[0]


def test_drafts_and_what_is_to_come_are_not_on_the_front_page(client, write):
    write("A draft", published_at=None)
    write("Tomorrow", hours=-24)

    shown = client.get("/").content.decode()

    assert "A draft" not in shown
    assert "Tomorrow" not in shown


def test_older_stories_are_a_page_away(client, write):
    for number in range(15):
        write(f"Story {number:02}", hours=number)

    first = client.get("/").content.decode()
    second = client.get("/?page=2").content.decode()

    assert "Story 11" in first
    assert "Story 12" not in first
    assert "Story 14" in second
    assert "Story 11" not in second


def test_a_front_page_of_any_length_asks_as_often(
    client, write, briefing, django_assert_max_num_queries
):
    for number in range(12):
        write(f"Story {number}", hours=number)

    with django_assert_max_num_queries(5):
        client.get("/")


def test_a_first_edition_without_stories_still_takes_readers(client, publication, briefing):
    response = client.get("/")

    assert response.status_code == 200
    assert 'id="sign-up"' in response.content.decode()


def test_without_a_paper_the_front_page_says_how_to_found_one(client, db):
    response = client.get("/")

    assert response.status_code == 404
    assert "create_publication" in response.content.decode()


# An article --------------------------------------------------------------------------------------


def test_an_article_shows_itself_and_the_form(client, article, briefing):
    shown = client.get(article.get_absolute_url()).content.decode()

    assert "By Ida Marsh" in shown
    assert "1 minute" in shown
    assert "<p>The first boat left at six.</p>" in shown
    assert 'action="/sign-up/"' in shown
    assert f'name="page" value="{article.get_absolute_url()}"' in shown


def test_a_draft_is_nowhere_to_be_found(client, write):
    draft = write("Not yet", published_at=None)

    response = client.get(draft.get_absolute_url())

    assert response.status_code == 404
    assert "Not yet" not in response.content.decode()


def test_a_withdrawn_article_is_gone(client, article):
    article.withdraw()

    assert client.get(article.get_absolute_url()).status_code == 404


def test_what_went_past_saving_is_sanitised_on_the_page(client, article):
    evil = (
        "<p>Fine</p><script>alert(1)</script><img src=x onerror=alert(1)>"
        '<a href="javascript:alert(1)">x</a><svg><script>alert(1)</script></svg>'
        '<form action="/x"><input name="q"></form><style>p{}</style><base href="//evil.example">'
    )
    Article.objects.filter(pk=article.pk).update(body=evil)

    page = client.get(article.get_absolute_url()).content.decode()
    text = page.partition('class="text"')[2].partition("</article>")[0]

    assert "Fine" in text
    for trace in ["script", "onerror", "javascript", "svg", "<form", "<input", "<style", "<base"]:
        assert trace not in text


def test_headlines_are_text_and_never_markup(client, write):
    evil = "<script>alert(1)</script>"
    story = write("A <b>bold</b> plan & more", standfirst=evil, kicker=evil, byline=evil)

    shown = client.get(story.get_absolute_url()).content.decode()

    assert "A &lt;b&gt;bold&lt;/b&gt; plan &amp; more" in shown
    assert "<b>" not in shown
    assert "<script" not in shown


def test_merge_tags_read_as_their_fallbacks_on_the_web(client, write):
    story = write(
        "Morning, {{ name|reader }}",
        standfirst="{{ name|you }}",
        body="<p>Dear {{ name }}.</p>",
    )

    for path in [story.get_absolute_url(), "/"]:
        shown = client.get(path).content.decode()

        assert "Morning, reader" in shown
        assert "{{" not in shown


def test_other_braces_stay_as_written(client, write):
    story = write("Sums", body="<p>{{ 7*7 }} and {% now %}</p>")

    assert "{{ 7*7 }} and {% now %}" in client.get(story.get_absolute_url()).content.decode()


def test_search_engines_and_friends_are_told_what_the_article_is(client, article, settings):
    settings.SITE_URL = "https://post.example"

    page = Page(client.get(article.get_absolute_url(), headers={"host": "localhost"}))
    address = f"https://post.example{article.get_absolute_url()}"

    assert page.meta("description") == article.standfirst
    assert page.meta("og:title") == article.headline
    assert page.meta("og:url") == address
    assert {"rel": "canonical", "href": address} in page.all("link")


def test_an_arabic_article_runs_from_the_right(client, write):
    story = write("عودة العبارات", language="ar")

    for path in [story.get_absolute_url(), "/"]:
        (shown,) = Page(client.get(path)).all("article")

        assert (shown["lang"], shown["dir"]) == ("ar", "rtl")


def test_a_reader_can_sign_up_at_the_end_of_an_article(article, briefing):
    browser = Client(enforce_csrf_checks=True)
    page = Page(browser.get(article.get_absolute_url()))
    told = {f["name"]: f.get("value", "on") for f in page.all("input") if f["name"] != "reference"}

    with time_machine.travel(time.time() + 10):
        response = browser.post("/sign-up/", told | {"email": "ann@example.com", "agree": "on"})
    SignUp.objects.let_in()

    assert response.status_code == 303
    assert briefing.subscriptions.get().subscriber.address == "ann@example.com"


def test_no_cache_shares_a_form(client, article, briefing):
    for path in ["/", article.get_absolute_url(), "/sign-up/", "/sign-up/write-to-me-again/"]:
        page = client.get(path)

        assert 'name="token"' in page.content.decode(), path
        assert "private" in page["Cache-Control"], path


# The paper's own colour --------------------------------------------------------------------------


def test_a_paper_in_house_colours_needs_no_second_sheet(client, publication):
    assert len(_sheets(client)) == 1


def test_a_paper_has_its_own_accent(client, publication):
    publication.accent = "#0A5C36"
    publication.save()

    sheet = client.get(_sheets(client)[1])

    assert sheet["Content-Type"].startswith("text/css")
    assert "immutable" in sheet["Cache-Control"]
    assert "--accent: #0a5c36; --accent-ink: #ffffff;" in sheet.content.decode()


@pytest.mark.parametrize("colour", ["#ffe600", "#ffffff", "#000000", "#808080", "#00ffff"])
def test_any_accent_can_be_read_in_light_and_dark(client, colour):
    shown = client.get(f"/accent/{colour[1:]}.css").content.decode()
    light, ink, dark, dark_ink = re.findall(r"#[0-9a-f]{6}", shown)

    for front, back in [(light, "#fbfaf7"), (ink, light), (dark, "#1e1d1a"), (dark_ink, dark)]:
        assert contrast(front, back) >= 4.5, (front, back)


def test_what_is_no_colour_has_no_sheet(client, db):
    for wrong in ["red", "9a1b1", "9a1b1g", "9a1b1e;}body{"]:
        assert client.get(f"/accent/{wrong}.css").status_code == 404


def _sheets(client):
    links = Page(client.get("/")).all("link")
    return [link["href"] for link in links if link["rel"] == "stylesheet"]


def contrast(one, other):
    return colours._contrast(colours._rgb(one), colours._rgb(other))


# When something is wrong -------------------------------------------------------------------------


def test_a_missing_page_looks_like_the_paper(client, publication):
    response = client.get("/no-such-page")

    assert response.status_code == 404
    assert "The Harbour Post" in response.content.decode()


def test_a_missing_page_is_told_kindly_before_there_is_a_paper(client, db):
    response = client.get("/no-such-page")

    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()


@pytest.mark.parametrize("name", ["400.html", "500.html"])
def test_error_pages_ask_no_database(name):
    """There is no database here: a test without the `db` fixture may not touch one."""
    assert "<h1>" in get_template(name).render()


@pytest.mark.parametrize("name", ["403.html", "403_csrf.html"])
def test_closed_doors_look_like_the_paper(name, publication, rf):
    assert "The Harbour Post" in get_template(name).render(request=rf.get("/"))


def test_pages_are_only_read(client, article):
    for path in ["/", article.get_absolute_url()]:
        assert client.post(path).status_code == 405


def test_links_stay_in_the_house_or_are_the_editors(client, article, briefing):
    hosts = {
        urlsplit(link["href"]).netloc
        for link in Page(client.get(article.get_absolute_url())).all("a")
    }

    assert hosts == {""}
