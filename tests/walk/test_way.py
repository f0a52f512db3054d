"""The whole way in a browser: sign up, confirm, write, send, receive, leave."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from subscribers.guards import form_tokens
from tests.walk.conftest import scan

ADDRESS = "ada.lovelace@example.org"


@pytest.mark.parametrize("kind", ["embedded", "on_services"])
def test_the_way_from_the_form_to_the_inbox_and_out_again(kind, request, reader, desk):
    newsroom = request.getfixturevalue(kind)
    newsroom.wait_for("Stop with")
    paper = newsroom.paper()
    ada = reader(paper, ADDRESS)
    editor = desk(paper)
    forget_the_cancel_window(editor)

    sign_up(ada)
    confirm(ada)
    headline = "The tide table was wrong"
    write_article(editor, headline)
    readers = send(editor, headline, at_a_wall_time=kind == "on_services")
    leave(ada, headline)
    later = "The tide table was right"
    write_article(editor, later)

    assert send(editor, later) == readers - 1
    assert ada.mail(later, seconds=3) is None
    look_around(ada)
    assert ada.context.cookies() == []
    assert [url for url in ada.requests if not url.startswith(paper.url)] == []
    assert newsroom.stop() == 0


def sign_up(reader):
    page = reader.page
    page.goto(reader.paper.url)
    page.locator("main").get_by_role("heading").get_by_role("link").first.click()
    form = page.locator("form.sign-up")
    expect(form.get_by_role("heading")).to_have_text("Sign up to receive our latest news!")
    agree = form.get_by_role("checkbox", name="I agree to the terms")
    expect(agree).not_to_be_checked()
    form.get_by_label("Email address").fill(reader.address)
    form.get_by_label("Name").fill("Ada")
    form.get_by_role("checkbox").first.check()
    agree.check()
    form.get_by_role("button").click()
    # Without JavaScript whoever is as quick as a robot is asked once more, and loses nothing.
    expect(page.get_by_text("That was very quick")).to_be_visible()
    expect(page.get_by_label("Email address")).to_have_value(reader.address)
    page.wait_for_timeout(form_tokens.SHORTEST_WITHOUT_WORK * 1000)
    page.locator("form.sign-up").get_by_role("button").click()
    expect(page.get_by_role("heading", name="Check your inbox")).to_be_visible()


def look_around(reader):
    for path in ["/", "/sign-up/", "/terms/", "/c/made-up", "/u/made-up", "/nowhere/"]:
        reader.page.goto(reader.paper.url + path)


def confirm(reader):
    assert reader.mail(re.compile("confirm", re.IGNORECASE))
    links = reader.letter_links()
    link = next(link for link in links if "/c/" in link)
    scan(links, reader.paper.url)
    reader.page.goto(link)
    reader.page.get_by_role("button", name="Yes, confirm").click()
    expect(reader.page.get_by_role("heading", name="You’re subscribed")).to_be_visible()
    assert reader.mail(re.compile("welcome", re.IGNORECASE))


def forget_the_cancel_window(editor):
    editor.goto(editor.url.rpartition("/newsroom/")[0] + "/newsroom/settings/")
    editor.get_by_label("Cancel window").fill("0")
    editor.get_by_role("button", name="Save").click()
    expect(editor.get_by_role("status")).to_be_visible()


def write_article(editor, headline):
    editor.get_by_role("link", name="Articles", exact=True).click()
    editor.get_by_role("link", name="New article").click()
    editor.get_by_label("Headline").fill(headline)
    # Not the textarea that the editor takes the place of a moment after the page is there.
    rich = editor.locator("[contenteditable]")
    editor.get_by_role("textbox", name="Text").and_(rich).click()
    editor.keyboard.type("Whoever trusted it got wet feet.")
    editor.get_by_role("button", name="Save").click()
    editor.get_by_role("button", name="Publish").click()
    expect(editor.get_by_text("On the web", exact=True)).to_be_visible()


def send(editor, headline, at_a_wall_time=False):
    """Send the article that is open to the first list; the number of readers it went to."""
    editor.get_by_role("link", name="Send this article").click()
    editor.get_by_role("group", name="Lists").get_by_role("checkbox").first.check()
    editor.get_by_role("button", name="Make the campaign").click()
    expect(editor.get_by_role("heading", name=headline)).to_be_visible()
    editor.get_by_role("link", name="Choose when it goes").click()
    if at_a_wall_time:
        book_the_next_minute(editor)
    else:
        editor.get_by_role("radio", name="Now").check()
    editor.get_by_role("button", name="Review").click()
    button = editor.get_by_role("button", name=re.compile(r"(Send to|Schedule for) \d+ readers"))
    readers = int(re.search(r"\d+", button.inner_text())[0])
    button.click()
    done = editor.get_by_text(f"Handed over to {readers} of {readers}")
    expect(done).to_be_visible(timeout=100_000)
    return readers


def book_the_next_minute(editor):
    """A wall time in a zone that is not the paper's."""
    zone = "Pacific/Auckland"
    at = datetime.now(UTC) + timedelta(seconds=75)
    there = at.astimezone(ZoneInfo(zone))
    editor.get_by_role("radio", name=re.compile("time", re.IGNORECASE)).check()
    editor.get_by_label("Date").fill(f"{there:%Y-%m-%d}")
    editor.get_by_label("Time", exact=True).fill(f"{there:%H:%M}")
    editor.get_by_label("Time zone").fill(zone)


def leave(reader, headline):
    assert reader.mail(headline)
    links = reader.letter_links()
    link = next(link for link in links if "/u/" in link)
    scan(links, reader.paper.url)
    reader.page.goto(link)
    reader.page.get_by_role("button", name="Unsubscribe").click()
    expect(reader.page.get_by_role("heading", name="You’re off the list")).to_be_visible()
    expect(reader.page.get_by_role("button", name="Put me back")).to_be_visible()
