"""What counts as an address, and whose it is (ADR)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.addresses import AddressError, parse


@pytest.mark.parametrize(
    ("typed", "mailed", "identity"),
    [
        ("  Ann@Example.COM ", "Ann@example.com", "ann@example.com"),
        ("ann@ｅxample.org", "ann@example.org", "ann@example.org"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("Ann+News@example.com", "Ann+News@example.com", "ann+news@example.com"),
    ],
)
def test_every_spelling_of_a_mailbox_is_one_identity_and_mailed_as_typed(typed, mailed, identity):
    address = parse(typed)

    assert (str(address), address.identity) == (mailed, identity)


@pytest.mark.parametrize(
    "typed", ["o'neil@example.com", "a%b@example.com", "_@example.com", "=cmd@example.com"]
)
def test_odd_but_valid_signs_stay(typed):
    assert str(parse(typed)) == typed


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@@example.com",
        "a@example.com,b@example.com",
        "a@example.com b@example.com",
        "Ann <ann@example.com>",
        "(work)ann@example.com",
        '"ann bee"@example.com',
        '"ann"@example.com',
        "ann@[127.0.0.1]",
        "ann@[IPv6:::1]",
        "ann@127.0.0.1",
        ".ann@example.com",
        "ann.@example.com",
        "a..n@example.com",
        "ann@example.com.",
        "ann@-example.com",
        "ann@exa_mple.com",
        "ann@localhost",
        "ann@com",
        "ann@printer.local",
        "ann@example.invalid",
        "ann@hidden.onion",
        "ann\x00@example.com",
        "ann\r\nBcc: x@example.com",
        "ann@exam\u200bple.com",
        "ann\u202e@example.com",
        "ann\u2060@example.com",
        "ann@ex\u3164ample.com",
        "ann@ex\u034fample.com",
        "ann\ufeff@example.com",
        "ann\u00a0bee@example.com",
    ],
)
def test_what_no_mail_server_should_be_asked_for_is_refused_in_words(typed):
    with pytest.raises(AddressError) as refusal:
        parse(typed)

    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize(
    "word", ["=?utf-8?q?=61nn?=", "=?utf-8?q?v=40x.example=2C?=", "a=?x?b?eA?="]
)
def test_no_encoded_word_stands_in_for_another_mailbox(word):
    with pytest.raises(AddressError):
        parse(f"{word}@example.com")


@pytest.mark.parametrize("typed", ["ann@printer.test", "ann@test", "ann@localhost"])
def test_in_production_reserved_domains_are_refused(settings, typed):
    settings.LAPTOP = False

    with pytest.raises(AddressError):
        parse(typed)


def test_a_laptop_may_write_to_test_domains():
    assert str(parse("ann@printer.test")) == "ann@printer.test"


@pytest.mark.parametrize(
    ("typed", "fits"),
    [
        ("a" * 64 + "@example.com", True),
        ("a" * 65 + "@example.com", False),
        ("a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".example", False),
        ("a" * 61 + "@" + ".".join(["b" * 45] * 4) + ".example", True),
    ],
)
def test_lengths_are_those_of_rfc_5321(typed, fits):
    if fits:
        assert str(parse(typed)) == typed
    else:
        with pytest.raises(AddressError, match="long"):
            parse(typed)


def test_special_letters_before_the_at_are_refused_unless_the_server_takes_them(settings):
    with pytest.raises(AddressError, match="special letters"):
        parse("jürgen@example.com")

    settings.SMTPUTF8 = True
    assert str(parse("jürgen@example.com")) == "jürgen@example.com"


@pytest.mark.parametrize("lookalike", ["\u212aim@example.com", "\u212bsa@example.com"])
def test_a_lookalike_is_never_another_persons_mailbox(settings, lookalike):
    settings.SMTPUTF8 = True

    with pytest.raises(AddressError):
        parse(lookalike)


def test_only_ascii_is_lowered_before_the_at(settings):
    settings.SMTPUTF8 = True

    assert parse("İnci@example.com").identity == "İnci@example.com"
    assert parse("ıan@example.com").identity != parse("ian@example.com").identity
    assert parse("Ian@example.com").identity == parse("ian@example.com").identity


def test_letters_and_their_accents_typed_apart_are_one_letter(settings):
    settings.SMTPUTF8 = True

    assert parse("e\u0301va@example.com").identity == parse("éva@example.com").identity


def test_aliases_share_one_abuse_bucket_and_stay_separate_readers():
    aliases = ["jo.hn+a@gmail.com", "john@googlemail.com", "J.O.H.N+b+c@gmail.com"]

    assert len({parse(alias).abuse_key for alias in aliases}) == 1
    assert len({parse(alias).identity for alias in aliases}) == 3


def test_dots_count_where_the_provider_counts_them():
    assert parse("jo.hn@example.com").abuse_key != parse("john@example.com").abuse_key
    assert parse("john+x@example.com").abuse_key == parse("john@example.com").abuse_key


def test_an_abuse_key_gives_no_address_away():
    assert "ann" not in parse("ann@example.com").abuse_key


def test_suppression_keys_come_in_the_order_of_the_settings(settings):
    settings.SUPPRESSION_KEYS = {"2": "new", "1": "old"}

    new, old = parse("Ann@example.com").suppression_keys()

    assert new.startswith("2:")
    assert old.startswith("1:")
    assert parse("ann@EXAMPLE.com").suppression_keys() == [new, old]


def test_a_mask_shows_one_letter():
    assert parse("ann@example.org").masked() == "a•••@example.org"


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_is_refused_and_nothing_else(text):
    try:
        address = parse(text)
    except AddressError:
        return
    assert parse(str(address)) == address


@given(st.emails())
def test_what_is_taken_is_taken_again_in_the_form_it_is_mailed_in(typed):
    try:
        address = parse(typed)
    except AddressError:
        return
    assert parse(str(address)).identity == address.identity
