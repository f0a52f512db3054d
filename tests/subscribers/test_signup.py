"""From the form to "check your inbox"."""

import pytest
import time_machine
from django.test import Client

from subscribers.addresses import parse
from subscribers.forms import SignupForm
from subscribers.models import (
    Consent,
    Evidence,
    Letter,
    Subscriber,
    Subscription,
    Suppression,
    Terms,
)

CHECK_INBOX = "/sign-up/check-your-inbox/"


def test_a_form_sent_leads_to_the_inbox_and_subscribes_nobody_yet(sign_up):
    answer = sign_up("Ann@example.com")

    assert (answer.status_code, answer["Location"]) == (303, CHECK_INBOX)
    assert Subscription.objects.get().is_pending
    assert not Subscription.objects.mailable().exists()


def test_the_page_shows_the_box_unticked_with_the_exact_words(client, briefing):
    page = client.get("/sign-up/").content.decode()

    assert "Sign up to receive our latest news!" in page
    assert 'By submitting this form, I agree to <a href="/terms/1/">the terms</a>.' in page
    box = page.partition('name="agree"')[2].partition(">")[0]
    assert "required" in box
    assert "checked" not in box


def test_the_address_field_is_named_for_browsers_and_readers(client, briefing):
    page = client.get("/sign-up/").content.decode()

    field = page.partition('name="email"')[2].partition(">")[0]
    assert 'autocomplete="email"' in field
    assert '<label for="sign-up-email">' in page


def test_the_trap_is_hidden_from_people_and_assistive_technology(client, briefing):
    page = client.get("/sign-up/").content.decode()

    around = page.partition('class="trap"')[2].partition("</div>")[0]
    assert 'aria-hidden="true"' in around
    assert 'tabindex="-1"' in around
    assert 'autocomplete="off"' in around


def test_one_list_is_not_asked_for_and_several_are(client, briefing, request):
    assert "Which news?" not in client.get("/sign-up/").content.decode()

    request.getfixturevalue("weekend")

    assert "Which news?" in client.get("/sign-up/").content.decode()


def test_the_form_preselects_what_the_page_is_about(publication, briefing, weekend):
    form = SignupForm(publication=publication, preselected=[weekend], page="/articles/x/")

    assert form["lists"].value() == ["weekend-reader"]
    assert form["page"].value() == "/articles/x/"


def test_without_a_list_or_terms_there_is_no_form(client, publication):
    assert client.get("/sign-up/").status_code == 404
    assert not SignupForm(publication=publication).is_open


def test_consent_is_recorded_word_for_word_with_how_it_came_about(sign_up, briefing):
    sign_up("Ann@Example.com", headers={"User-Agent": "Mosaic/1.0", "Accept-Language": "de"})

    consent = Consent.objects.get()
    assert consent.action == Consent.Action.GIVEN
    assert consent.method == Consent.Method.FORM
    assert consent.address == "Ann@Example.com"
    assert consent.wording == "By submitting this form, I agree to the terms."
    assert consent.terms.number == 1
    assert consent.mailing_list == briefing
    assert consent.network_address == "127.0.0.1"
    assert consent.browser == "Mosaic/1.0"
    assert consent.page == "/articles/the-ferry-returns/"
    assert consent.form == "sign-up"
    assert consent.language == "en"


def test_evidence_that_is_made_up_is_one_line_and_cut_to_size(sign_up):
    answer = sign_up(page="/a/\x85\u2028" + "x" * 600, headers={"User-Agent": "M\x85" + "y" * 600})

    assert answer.status_code == 303
    consent = Consent.objects.get()
    assert consent.page == "/a/ " + "x" * 496
    assert consent.browser == "M " + "y" * 398


def test_the_wording_that_was_shown_counts_even_if_the_terms_changed_meanwhile(
    sign_up, publication
):
    Terms.objects.create(publication=publication, number=2, wording="New [words].", text="New.")

    sign_up(terms="1")

    assert Consent.objects.get().terms.number == 1
    assert Consent.objects.get().wording == "By submitting this form, I agree to the terms."


def test_a_form_shown_again_keeps_the_wording_that_was_agreed_to(sign_up, publication):
    Terms.objects.create(publication=publication, number=2, wording="New [words].", text="New.")

    page = sign_up("no address", terms="1").content.decode()

    assert 'By submitting this form, I agree to <a href="/terms/1/">the terms</a>.' in page
    assert 'name="terms" value="1"' in page


@pytest.mark.parametrize("terms", [None, "", "2", "-1", "1.5", "x", "9" * 40, "٣"])
def test_terms_that_were_never_published_cannot_be_agreed_to(sign_up, terms):
    answer = sign_up(terms=terms)

    assert answer.status_code == 422
    assert "agree to them" in answer.content.decode()
    assert not Consent.objects.exists()


def test_without_the_box_nothing_happens(sign_up):
    answer = sign_up(agree=None)

    assert answer.status_code == 422
    assert not Subscriber.objects.exists()


def test_an_error_keeps_what_was_typed_and_says_what_to_do(sign_up):
    page = sign_up("ann at example.com", name="Ann").content.decode()

    assert 'value="ann at example.com"' in page
    assert 'value="Ann"' in page
    assert 'value="/articles/the-ferry-returns/"' in page
    assert '<a href="#sign-up-email">' in page
    assert 'role="alert" tabindex="-1" autofocus' in page.replace("\n", " ")
    field = page.partition('name="email"')[2].partition(">")[0]
    assert 'aria-invalid="true"' in field
    assert 'aria-describedby="sign-up-email_error"' in field
    assert 'id="sign-up-email_error"' in page
    box = page.partition('name="agree"')[2].partition(">")[0]
    assert "checked" in box


@pytest.mark.parametrize(
    "name",
    [
        "see http://spam.example",
        "www.spam.example",
        "spam.com",
        "<b>Ann</b>",
        "{{ 7*7 }}",
        "a@b.example",
        "x" * 101,
        "\U0001d160" * 50,
        "Ann\x00",
        "[click](here)",
    ],
)
def test_a_name_with_links_or_markup_is_refused(sign_up, name):
    assert sign_up(name=name).status_code == 422
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize(
    "name", ["", "Ann", "J.R. O’Neil-Meyer", "Åsa Öz", "محمد", "St. John, jr."]
)
def test_names_of_people_are_taken(sign_up, name):
    sign_up(name=name)

    assert Subscriber.objects.get().name == name


@pytest.mark.parametrize("lists", [[], ["nonesuch"], ["morning-briefing", "x\x00"]])
def test_lists_that_are_not_offered_cannot_be_chosen(sign_up, lists):
    assert sign_up(lists=lists).status_code == 422
    assert not Subscriber.objects.exists()


def test_a_list_that_is_not_public_cannot_be_chosen(client, sign_up, weekend):
    weekend.is_public = False
    weekend.save()

    assert sign_up(lists=["morning-briefing", "weekend-reader"]).status_code == 422
    assert not Subscriber.objects.exists()
    assert "weekend-reader" not in client.get("/sign-up/").content.decode()


def test_our_own_addresses_cannot_be_subscribed(sign_up, publication):
    publication.sender.bounce_domain = "bounces.harbour.example"
    publication.sender.save()

    for own in ["News@harbour.example", "news+x@harbour.example", "b+1@bounces.harbour.example"]:
        assert sign_up(own).status_code == 422

    assert not Subscriber.objects.exists()


def test_who_falls_into_the_trap_believes_to_have_succeeded(sign_up):
    person, robot = sign_up("ann@example.com"), sign_up("bob@example.com", reference="Hello")

    assert (robot.status_code, robot.content) == (person.status_code, person.content)
    assert dict(robot.headers) == dict(person.headers)
    assert not Subscriber.objects.filter(identity="bob@example.com").exists()


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "zlib", "idna", "undefined"])
def test_a_form_is_read_as_utf_8_whatever_it_calls_itself(client, form, charset):
    fields = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form("Ann@example.com", lists="\\ud800+2AA-").items()
    )
    kind = f"multipart/form-data; boundary=b; charset={charset}"

    answer = client.generic("POST", "/sign-up/", fields + "--b--\r\n", kind)

    assert answer.status_code == 422
    assert "\\ud800+2AA- is not one of" in answer.content.decode()


def test_a_form_larger_than_a_form_is_not_read(client, form):
    answer = client.post("/sign-up/", form(page="x" * 20_000))

    assert answer.status_code == 413
    assert not Subscriber.objects.exists()


def test_the_form_works_from_anywhere_without_cookie_or_token(form, publication):
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/sign-up/", form(), headers={"Origin": "https://elsewhere.example"})

    assert answer.status_code == 303
    assert not answer.cookies


def test_several_lists_are_one_letter(sign_up, weekend):
    sign_up(lists=["morning-briefing", "weekend-reader"])

    assert Subscription.objects.pending().count() == 2
    assert Letter.objects.count() == 1


def test_eleven_sign_ups_of_one_address_are_one_mail(sign_up, letters):
    for _time in range(11):
        sign_up("ann@example.com")
    sign_up("ANN@example.com")

    assert len(letters()) == 1
    assert Subscription.objects.count() == 1


def test_the_aliases_of_a_mailbox_share_one_mail(sign_up, letters):
    for alias in ["a.nn@gmail.com", "ann@gmail.com", "ann+x@googlemail.com"]:
        sign_up(alias)

    assert len(letters()) == 1
    assert Subscriber.objects.count() == 3


def test_a_mailbox_gets_three_confirmations_a_day_and_five_ever(sign_up, letters):
    with time_machine.travel("2026-11-01 08:00Z", tick=False) as clock:
        for _hour in range(23):
            sign_up()
            letters()
            clock.shift(60 * 60)
        assert len(letters()) == 3

        for _day in range(10):
            clock.shift(24 * 60 * 60)
            sign_up()
            letters()
        assert len(letters()) == 5


def test_somebody_subscribed_is_told_so_once_a_day(sign_up, subscribe, letters):
    subscribe("ann@example.com")

    sign_up("ann@example.com")
    sign_up("ann@example.com")

    assert [mail.subject for mail in letters()] == [
        "You are subscribed to The Harbour Post already"
    ]


def test_the_name_in_a_form_is_believed_until_the_mailbox_was_proven(sign_up, subscribe):
    sign_up("bob@example.com", name="Mallory")
    sign_up("bob@example.com", name="Bob")
    subscribe("ann@example.com", name="Ann")
    sign_up("ann@example.com", name="Mallory")

    names = Subscriber.objects.order_by("identity").values_list("name", flat=True)
    assert list(names) == ["Ann", "Bob"]


def test_every_letter_has_the_words_it_answers_on_record(sign_up, letters):
    with time_machine.travel("2026-11-01 08:00Z", tick=False) as clock:
        sign_up(headers={"User-Agent": "Mallory"})
        letters()
        sign_up(headers={"User-Agent": "Mallory again, too soon for a letter"})
        clock.shift(60 * 60)
        sign_up(headers={"User-Agent": "Ann"})

    browsers = Consent.objects.order_by("id").values_list("browser", flat=True)
    assert list(browsers) == ["Mallory", "Ann"]


@pytest.fixture
def everybody(subscribe, sign_up, form, publication):
    """One address of each kind that the newsroom could know."""
    sign_up("pending@example.com")
    subscribe("confirmed@example.com")
    left = subscribe("left@example.com")
    left.end(Subscription.EndReason.UNSUBSCRIBED, Evidence(method=Consent.Method.LINK))
    for reason in ["complained", "bounced", "not_me", "by_staff"]:
        subscriber = subscribe(f"{reason}@example.com").subscriber
        Suppression.objects.create(
            key=subscriber.suppression_key, scope="everything", reason=reason
        )
    return ["new", "pending", "confirmed", "left", "complained", "bounced", "not_me", "by_staff"]


def test_nobody_can_tell_from_the_answer_who_reads_us(everybody, sign_up):
    answers = {kind: sign_up(f"{kind}@example.com") for kind in everybody}

    seen = {
        (answer.status_code, answer.content, tuple(answer.headers.items()))
        for answer in answers.values()
    }
    assert len(seen) == 1
    assert all(not answer.cookies for answer in answers.values())


def test_of_somebody_suppressed_under_an_older_key_nothing_is_stored(sign_up, settings):
    settings.SUPPRESSION_KEYS = {"1": "old"}
    key = parse("ann@example.com").suppression_keys()[0]
    Suppression.objects.create(key=key, scope="everything", reason="complained")
    settings.SUPPRESSION_KEYS = {"2": "new", "1": "old"}

    sign_up("Ann@example.com")

    assert not Subscriber.objects.exists()
    assert not Letter.objects.exists()


def test_only_those_who_may_be_written_to_are_written_to(everybody, sign_up, letters):
    for kind in everybody:
        sign_up(f"{kind}@example.com")

    to = {mail.to[0].partition("@")[0]: mail.subject.split()[0] for mail in letters()}
    may_confirm = dict.fromkeys(["new", "pending", "left", "bounced"], "Please")
    assert to == may_confirm | {"confirmed": "You"}


def test_no_page_of_signing_up_sets_a_cookie(client, briefing):
    for path in ["/sign-up/", CHECK_INBOX, "/terms/", "/terms/1/"]:
        answer = client.get(path)
        assert answer.status_code == 200
        assert not answer.cookies


def test_terms_stay_at_their_address_when_they_change(client, publication, briefing):
    Terms.objects.create(publication=publication, number=2, text="Second text.")

    assert "Second text." in client.get("/terms/").content.decode()
    assert "You get our news until you leave." in client.get("/terms/1/").content.decode()
    assert client.get("/terms/3/").status_code == 404


def test_a_wording_without_marks_is_the_link_as_a_whole(publication, briefing):
    Terms.objects.create(publication=publication, number=2, wording="I agree.", text="Text.")

    form = SignupForm(publication=publication)

    assert str(form.consent_label) == '<a href="/terms/2/">I agree.</a>'
