"""Our script in a browser: it works before the reader is done, and is never in the way."""

import pytest
from playwright.sync_api import expect

from subscribers.guards import work
from subscribers.models import SignUp

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tab(page, live_server, publication, briefing):
    """The form, and what the page complained of."""
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(f"{live_server.url}/sign-up/")
    return page


def fill_in(tab, address="ann@example.com"):
    tab.get_by_label("Email address").fill(address)
    tab.get_by_role("checkbox", name="I agree").check()


def send(tab):
    tab.get_by_role("button", name="Sign up").click(no_wait_after=True)


def test_with_script_the_work_is_done_and_nobody_waits_longer_than_a_moment(tab, monkeypatch):
    checked = []
    usual = work.check
    monkeypatch.setattr(work, "check", lambda solved: checked.append(usual(solved)) or checked[-1])
    fill_in(tab)

    send(tab)
    expect(tab.get_by_role("status")).to_have_text("Sending…")
    expect(tab.get_by_role("heading")).to_have_text("Check your inbox")

    assert [one.state for one in checked] == [work.State.SOLVED]
    assert SignUp.objects.get().held_because == ""
    assert tab.complaints == []


def test_a_hard_challenge_leaves_the_page_smooth(tab, monkeypatch):
    monkeypatch.setattr(work, "COST", 20_000)
    monkeypatch.setattr(work, "FEWEST_TRIES", 100)
    monkeypatch.setattr(work, "MOST_TRIES", 100)
    tab.evaluate(
        """() => {
          window.longest = 0;
          new PerformanceObserver((list) => {
            for (const task of list.getEntries())
              window.longest = Math.max(window.longest, task.duration);
          }).observe({ entryTypes: ["longtask"] });
        }"""
    )

    fill_in(tab)
    tab.wait_for_timeout(500)

    # Milliseconds in which nothing that was typed would have appeared.
    assert tab.evaluate("window.longest") < 200


def test_pressing_twice_sends_once(tab):
    fill_in(tab)
    posts = []
    tab.on("request", lambda request: request.method == "POST" and posts.append(request.url))

    tab.evaluate("form = document.forms[0]; form.requestSubmit(); form.requestSubmit()")
    expect(tab.get_by_role("heading")).to_have_text("Check your inbox")

    assert len(posts) == 1


def test_back_from_the_next_page_another_address_can_be_entered(tab):
    fill_in(tab)
    send(tab)
    expect(tab.get_by_role("heading")).to_have_text("Check your inbox")

    tab.go_back()
    fill_in(tab, "bob@example.com")
    send(tab)
    expect(tab.get_by_role("heading")).to_have_text("Check your inbox")

    assert SignUp.objects.count() == 2


def test_the_chosen_answer_to_a_hint_is_sent(tab):
    fill_in(tab, "ann@gmial.com")
    send(tab)

    tab.get_by_role("button", name="Yes, ann@gmail.com").click()
    expect(tab.get_by_role("heading")).to_have_text("Check your inbox")

    assert SignUp.objects.get().address == "ann@gmail.com"


def test_without_a_challenge_the_form_is_sent_all_the_same(tab):
    tab.route("**/sign-up/challenge/", lambda route: route.abort())
    fill_in(tab)

    send(tab)

    expect(tab.get_by_text("That was very quick")).to_be_visible()
    expect(tab.get_by_label("Email address")).to_have_value("ann@example.com")
