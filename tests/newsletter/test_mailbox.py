"""The mailbox of a laptop, in the browser."""

import mailbox
from email.message import EmailMessage

import pytest
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse
from django.utils import timezone

from newsletter.content import Mailing, Reader, compile_versions
from newsletter.delivery.transports.mailbox import EmailBackend

HERE = "newsletter.delivery.transports.mailbox.EmailBackend"
SMTP = "django.core.mail.backends.smtp.EmailBackend"


@pytest.fixture
def folder(settings, tmp_path, publication):
    """A laptop that keeps its mail here."""
    settings.LOCAL_MAILBOX = tmp_path / "mailbox"
    settings.MAILERS = {"default": {"BACKEND": HERE, "OPTIONS": {"folder": settings.LOCAL_MAILBOX}}}
    return settings.LOCAL_MAILBOX


@pytest.fixture
def deliver(folder):
    """Call it with an address: a message in the mailbox, and its key."""

    def deliver(to="ann@example.com", subject="Hello", text="Good morning.", html=""):
        message = EmailMultiAlternatives(subject, text, "news@harbour.example", [to])
        if html:
            message.attach_alternative(html, "text/html")
        EmailBackend(folder).send_messages([message])
        return mailbox.Maildir(folder).keys()[-1]

    return deliver


@pytest.fixture
def campaign_mail(folder, campaign):
    """The key of a campaign's message, as the transport keeps it."""
    (version,) = compile_versions(campaign)
    version.save()
    reader = Reader(7, "ann@example.com", "Ann", version.mailing_list_id)
    return mailbox.Maildir(folder).add(Mailing(version).message(reader, timezone.now()))


def page(key, name="message"):
    return reverse(f"web:mailbox-{name}", args=[key])


def read(client, path):
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


# Where it is -------------------------------------------------------------------------------------


def test_there_is_no_mailbox_where_mail_leaves(client, deliver, settings):
    key = deliver(html="<p>x</p>")
    settings.MAILERS = {"default": {"BACKEND": SMTP, "OPTIONS": {"host": "localhost"}}}

    for path in ["/mailbox/", *(page(key, n) for n in ["message", "html", "text", "source"])]:
        assert client.get(path).status_code == 404, path
    assert "/mailbox/" not in read(client, "/")


def test_there_is_no_mailbox_on_a_server(client, deliver, settings):
    """It holds everybody's personal links: a forgotten setting must not show it to the world."""
    key = deliver(html="<p>x</p>")
    settings.LAPTOP = False

    for path in ["/mailbox/", *(page(key, n) for n in ["message", "html", "text", "source"])]:
        assert client.get(path).status_code == 404, path


def test_the_paper_leads_to_it_on_a_laptop(client, folder):
    assert 'href="/mailbox/"' in read(client, "/")


# The list ----------------------------------------------------------------------------------------


def test_an_empty_mailbox_says_what_it_is_for(client, folder):
    shown = read(client, "/mailbox/")

    assert "lands here" in shown
    assert 'href="/sign-up/"' in shown


def test_messages_stand_newest_first(client, deliver):
    for subject in ["First", "Second", "Third"]:
        deliver(subject=subject)

    shown = read(client, "/mailbox/")

    assert shown.index("Third") < shown.index("Second") < shown.index("First")
    assert "3 messages" in shown


def test_a_message_shows_whom_it_is_from_and_for(client, deliver):
    deliver("Ännchen <ann@example.com>", subject="Grüße, 世界")

    shown = read(client, "/mailbox/")

    assert "Grüße, 世界" in shown
    assert "Ännchen &lt;ann@example.com&gt;" in shown
    assert "news@harbour.example" in shown


def test_one_can_look_for_a_recipient(client, deliver):
    deliver("ann@example.com", subject="For Ann", text="To: bob@example.com")
    deliver("Ünal Bob <bob@example.com>", subject="For Bob")

    assert "For Ann" not in read(client, "/mailbox/?to=BOB@example")
    assert "For Bob" in read(client, "/mailbox/?to=BOB@example")
    assert "For Bob" in read(client, "/mailbox/?to=ünal")
    assert "0 messages" in read(client, "/mailbox/?to=nobody")


def test_what_one_looked_for_stays_on_the_next_page(client, deliver):
    for _ in range(51):
        deliver("a+b@example.com")

    assert 'href="?to=a%2Bb&amp;page=2"' in read(client, "/mailbox/?to=a%2Bb")


def test_of_ten_thousand_messages_only_those_on_the_page_are_read(client, folder, monkeypatch):
    EmailBackend(folder).send_messages([])
    for number in range(10_000):
        name = f"{1_700_000_000 + number}.M{number}P1Q{number}.host"
        (folder / "new" / name).write_bytes(b"To: ann@example.com\r\nSubject: %d\r\n\r\nx" % number)
    usual, opened = mailbox.Maildir.get_bytes, []
    monkeypatch.setattr(
        mailbox.Maildir, "get_bytes", lambda box, key: opened.append(key) or usual(box, key)
    )

    shown = read(client, "/mailbox/")

    assert len(opened) == 50
    assert "10,000 messages" in shown
    assert ">9999</a>" in shown
    assert ">9949</a>" not in shown


# A message ---------------------------------------------------------------------------------------


def test_a_campaign_message_shows_its_headers_and_the_way_out(client, campaign_mail):
    shown = read(client, page(campaign_mail))

    assert "The ferry returns" in shown
    assert "ann@example.com" in shown
    assert "List-Id" in shown
    assert 'action="/u/' in shown


def test_one_click_of_the_mailbox_takes_the_reader_off_the_list(
    client, folder, campaign, subscribe
):
    period = subscribe("ann@example.com")
    (version,) = compile_versions(campaign)
    version.save()
    reader = Reader(period.subscriber_id, "ann@example.com", "", version.mailing_list_id)
    key = mailbox.Maildir(folder).add(Mailing(version).message(reader, timezone.now()))
    button = read(client, page(key)).partition('action="')[2]
    path = button[button.index("/u/") : button.index('"', button.index("/u/"))]

    client.post(path, {"List-Unsubscribe": "One-Click"})

    period.refresh_from_db()
    assert period.ended_at


def test_foreign_unsubscribe_addresses_get_no_button(client, folder):
    message = EmailMessage()
    message["To"] = "ann@example.com"
    message["List-Unsubscribe"] = "<https://elsewhere.example/u/1>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content("x")
    EmailBackend(folder).send_messages([])
    key = mailbox.Maildir(folder).add(message.as_bytes())

    assert "<form" not in read(client, page(key))


def test_text_and_source_have_pages_of_their_own(client, deliver):
    key = deliver(text="Dear <you>: https://example.org/x", html="<p>x</p>")

    assert "Dear &lt;you&gt;" in read(client, page(key, "text"))
    assert 'href="https://example.org/x"' in read(client, page(key, "text"))
    assert "Content-Type: multipart/alternative" in read(client, page(key, "source"))


def test_a_message_without_html_shows_its_text(client, deliver):
    shown = read(client, page(deliver(text="Only words.")))

    assert "Only words." in shown
    assert "<iframe" not in shown


def test_what_is_no_message_is_not_found(client, deliver, folder):
    deliver()
    (folder.parent / "secret").write_text("x")

    for key in ["nothing", "..", "..%2Fsecret", "%2e%2e%2fsecret"]:
        assert client.get(f"/mailbox/{key}/").status_code == 404
        assert client.get(f"/mailbox/{key}/source/").status_code == 404


# What a message must not do ----------------------------------------------------------------------


EVIL = """<!doctype html><html><head></head><body>
<script>document.title = "owned"; parent.document.title = "owned"</script>
<img src="data:," onerror="document.title = 'owned'; top.location = '/owned'">
<svg onload="document.title = 'owned'"></svg>
<iframe srcdoc="<script>top.document.title = 'owned'</script>"></iframe>
<meta http-equiv="refresh" content="0; url=/owned">
<p>Read this</p></body></html>"""


def test_a_message_is_shown_in_a_frame_that_runs_nothing(client, deliver):
    key = deliver(html=EVIL)

    response = client.get(page(key, "html"))
    policy = dict(
        part.strip().partition(" ")[::2] for part in response["Content-Security-Policy"].split(";")
    )

    assert policy["default-src"] == "'none'"
    assert "script-src" not in policy
    assert "allow-scripts" not in policy["sandbox"]
    assert "allow-same-origin" not in policy["sandbox"]
    assert "allow-forms" not in policy["sandbox"]
    assert policy["frame-ancestors"] == "'self'"
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert f'sandbox="{policy["sandbox"]}"' in read(client, page(key))


def test_subjects_and_addresses_are_text(client, deliver):
    key = deliver("<script>x</script> <a@example.com>", subject="<script>alert(1)</script>")

    for path in ["/mailbox/", page(key), page(key, "source")]:
        assert "<script" not in read(client, path)


def test_links_of_a_message_lead_to_the_window_around_it(client, deliver):
    key = deliver(html='<!doctype html><html><head lang="en"><title>x</title></head></html>')

    shown = read(client, page(key, "html"))

    assert shown.startswith('<!doctype html><html><head lang="en"><base target="_top">')


def test_search_engines_and_caches_keep_no_mail(client, deliver):
    key = deliver(html="<p>x</p>")

    for path in ["/mailbox/", page(key), page(key, "html"), page(key, "source")]:
        response = client.get(path)

        assert response["X-Robots-Tag"] == "noindex"
        assert "no-store" in response["Cache-Control"]
        assert not response.cookies


@pytest.mark.django_db(transaction=True)
def test_in_a_browser_nothing_of_a_message_runs_and_its_links_work(live_server, browser, deliver):
    html = EVIL.replace("Read this", f'<a href="{live_server.url}/terms/">Read this</a>')
    key = deliver(html=html)
    tab = browser.new_page()

    tab.goto(live_server.url + page(key))
    link = tab.frame_locator("iframe").get_by_text("Read this")
    link.wait_for()
    tab.wait_for_timeout(300)
    title, address = tab.title(), tab.url
    link.click()
    tab.wait_for_url("**/terms/")

    assert title.startswith("Hello")
    assert address.endswith(page(key))
