"""Sign-ups that wait, as an editor sees them."""

import pytest

from subscribers.models import Attack, SignUp

SIGN_UPS = "/newsroom/sign-ups/"


@pytest.fixture
def desk(client, editor, publication):
    client.force_login(editor)
    return client


@pytest.fixture
def hold():
    """Call it with an address: somebody who signed up, and is held."""

    def hold(address, because="role", **fields):
        return SignUp.objects.create(
            address=address, evidence={"method": "form"}, held_because=because, **fields
        )

    return hold


def addresses():
    return [one.address for one in SignUp.objects.order_by("pk")]


def test_who_is_held_is_shown_with_the_reason_and_the_network(desk, hold):
    hold("abuse@example.com", "role,without_work", network="192.0.2.7", name="Ann")

    page = desk.get(SIGN_UPS).text

    assert "abuse@example.com" in page
    assert "An address of an office, not of a person; Sent without JavaScript" in page
    assert "192.0.2.7" in page
    assert "Ann" in page


@pytest.mark.parametrize(
    "sign", ["role", "crowded", "blamed", "busy", "without_work", "tight", "failed"]
)
def test_every_reason_has_words(desk, hold, sign):
    hold("ann@example.com", sign)

    assert desk.get(SIGN_UPS).status_code == 200


def test_the_readers_page_says_how_many_are_held(desk, hold):
    assert "held for a look" not in desk.get("/newsroom/readers/").text

    hold("ann@example.com")
    hold("bob@example.com")

    assert "2 sign-ups are held for a look." in desk.get("/newsroom/readers/").text


def test_one_is_let_in_and_the_others_stay(desk, hold):
    ann, bob = hold("ann@example.com"), hold("bob@example.com")

    page = desk.post(f"{SIGN_UPS}release/", {"only": ann.pk}, follow=True)

    assert "1 sign-up is let in." in page.text
    assert list(SignUp.objects.held()) == [bob]
    assert list(SignUp.objects.due()) == [ann]


def test_all_that_were_shown_are_let_in_and_who_came_since_is_not(desk, hold):
    hold("ann@example.com")
    shown = hold("bob@example.com")
    assert f'name="until" value="{shown.pk}"' in desk.get(SIGN_UPS).text
    hold("eve@example.com")

    desk.post(f"{SIGN_UPS}release/", {"until": shown.pk})

    assert [one.address for one in SignUp.objects.held()] == ["eve@example.com"]


def test_one_or_all_are_removed(desk, hold):
    ann, bob = hold("ann@example.com"), hold("bob@example.com")

    desk.post(f"{SIGN_UPS}removal/", {"only": ann.pk})
    assert addresses() == ["bob@example.com"]

    desk.post(f"{SIGN_UPS}removal/", {"until": bob.pk})
    assert addresses() == []


def test_nobody_is_removed_who_is_not_held(desk, hold):
    waiting = hold("ann@example.com", "")

    for posted in [{"only": waiting.pk}, {"until": waiting.pk}, {}, {"until": "x"}]:
        desk.post(f"{SIGN_UPS}removal/", posted)

    assert addresses() == ["ann@example.com"]


def test_a_long_list_goes_on_where_the_page_ended(desk, hold):
    held = [hold(f"reader{number:03}@example.com") for number in range(51)]

    first = desk.get(SIGN_UPS).text
    second = desk.get(f"{SIGN_UPS}?last={held[49].pk}").text

    assert "reader049@example.com" in first
    assert "reader050@example.com" not in first
    assert "reader050@example.com" in second
    assert "Let in all 51 sign-ups" in first


def test_the_switch_holds_confirmations_back_and_lets_them_go(desk, hold):
    desk.post(f"{SIGN_UPS}attack/")
    assert Attack.objects.current().began_by == "editor"
    waiting = hold("ann@example.com", "", is_queued=True)

    page = desk.get(SIGN_UPS).text
    assert "editor said so" in page
    assert "1 sign-up waits" in page
    desk.post(f"{SIGN_UPS}all-clear/")

    assert Attack.objects.get().ended_by == "editor"
    assert list(SignUp.objects.due()) == [waiting]


def test_pressing_either_button_twice_changes_nothing_more(desk):
    for button in ["attack", "attack", "all-clear", "all-clear"]:
        assert desk.post(f"{SIGN_UPS}{button}/").status_code == 302

    assert Attack.objects.count() == 1


@pytest.mark.parametrize("page", ["", "articles/", "readers/", "lists/", "settings/"])
def test_every_page_tells_of_an_attack(desk, publication, briefing, page):
    Attack.objects.begin(publication)

    assert "Sign-ups look like an attack" in desk.get(f"/newsroom/{page}").text


def test_somebody_who_is_not_signed_in_is_told_of_nothing(client, publication):
    Attack.objects.begin(publication)

    assert "attack" not in client.get("/newsroom/sign-in/").text


def test_after_an_attack_the_page_says_how_many_are_still_to_come(desk, hold, publication):
    Attack.objects.begin(publication)
    for number in range(3):
        hold(f"reader{number}@example.com", "", is_queued=True)

    Attack.objects.end(per_minute=1)

    assert "2 sign-ups that waited are let in by and by" in desk.get(SIGN_UPS).text


@pytest.mark.parametrize("verb", ["release", "removal", "attack", "all-clear"])
def test_looking_changes_nothing(desk, hold, verb):
    hold("ann@example.com")

    assert desk.get(f"{SIGN_UPS}{verb}/").status_code == 405

    assert addresses() == ["ann@example.com"]
    assert not Attack.objects.exists()
