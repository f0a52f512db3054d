"""Evidence that shows whether it was changed, removed or put in later."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from subscribers.models import Consent, Evidence, Imprint, Removal, Seal, Subscription
from subscribers.models.imprints import FIELDS, SIZE
from tests.subscribers.evidence import check, found, meddle, seal_all

TRACED = Evidence(method="link", network_address="192.0.2.1", browser="Mosaic/1.0")


@pytest.fixture
def ann(subscribe):
    return subscribe("ann@example.com")


@pytest.fixture
def evidence(ann, subscribe):
    """Six consents of three readers, under one seal; the first of them."""
    Consent.objects.record("withdrawn", ann, TRACED)
    subscribe("ben@example.com")
    Consent.objects.record("withdrawn", subscribe("cleo@example.com"), TRACED)
    seal_all()
    return Consent.objects.order_by("pk").first()


def test_a_seal_is_over_every_consent_once(evidence):
    seal = Seal.objects.get()

    assert seal.rows == Imprint.objects.count() == Consent.objects.count() == 8
    assert found() == []


def test_what_is_young_waits_for_the_next_seal(ann):
    assert Seal.objects.seal() == 0
    assert not Seal.objects.is_due()

    assert Seal.objects.seal(timezone.now() + timedelta(minutes=5)) == 2


def test_blocks_follow_each_other(ann, monkeypatch):
    monkeypatch.setattr("subscribers.models.seals.BLOCK", 1)

    seal_all()

    first, second = Seal.objects.order_by("number")
    assert second.previous == first.hash
    assert found() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "bob@example.com"),
        ("at", "2020-01-01 00:00:00+00:00"),
        ("action", "withdrawn"),
        ("wording", "I agree to everything."),
        ("boxes", '{"agree": true}'),
        ("network_address", "192.0.2.9"),
        ("source", "campaign:9"),
        ("mailed_at", "2020-01-01 00:00:00+00:00"),
    ],
)
def test_a_changed_field_is_named_with_its_row(evidence, field, value):
    meddle(f"UPDATE subscribers_consent SET {field} = %s WHERE id = %s", value, evidence.pk)

    wrong = found()
    assert ("changed", evidence.pk, field) in wrong
    assert {consent for _kind, consent, _field in wrong} == {evidence.pk}


def test_a_row_taken_out_is_named(evidence):
    meddle("DELETE FROM subscribers_consent WHERE id = %s", evidence.pk)

    assert found() == [("missing", evidence.pk, "")]


def test_a_row_put_into_the_past_is_named(evidence):
    columns = ", ".join(field.column for field in Consent._meta.fields if field.column != "id")
    meddle("DELETE FROM subscribers_imprint WHERE consent_id = %s", evidence.pk + 1)
    meddle("DELETE FROM subscribers_consent WHERE id = %s", evidence.pk + 1)
    meddle(
        f"INSERT INTO subscribers_consent (id, {columns}) SELECT %s, {columns}"
        " FROM subscribers_consent WHERE id = %s",
        evidence.pk + 1,
        evidence.pk,
    )

    assert found() == [("seal broken", 0, ""), ("inserted", evidence.pk + 1, "")]


def test_a_row_that_says_it_is_older_is_named(evidence):
    Consent.objects.record("given", evidence.subscription, TRACED)
    late = Consent.objects.latest("pk")
    long_ago = timezone.now() - timedelta(days=30)
    meddle("UPDATE subscribers_consent SET at = %s WHERE id = %s", long_ago, late.pk)
    seal_all()

    assert found() == [("backdated", late.pk, "at")]


def test_a_sign_up_that_was_held_for_a_week_is_not_called_older_than_it_is(evidence):
    asked_at = timezone.now() - timedelta(days=7)
    Consent.objects.record(
        "given", evidence.subscription, replace(TRACED, method="form", at=asked_at)
    )
    seal_all()

    assert found() == []


def test_a_row_written_after_a_seal_is_not_made_older_than_it(evidence):
    Consent.objects.record("given", evidence.subscription, TRACED)
    late, long_ago = Consent.objects.latest("pk"), timezone.now() - timedelta(days=30)
    meddle(
        "UPDATE subscribers_consent SET at = %s, recorded_at = %s WHERE id = %s",
        long_ago,
        long_ago,
        late.pk,
    )
    seal_all()

    assert found() == [("backdated", late.pk, "at")]


def test_an_import_tells_of_what_was_long_ago(ann):
    Consent.objects.create(
        action="given",
        subscriber=ann.subscriber,
        subscription=ann,
        mailing_list=ann.mailing_list,
        method=Consent.Method.IMPORT,
        at=timezone.now() - timedelta(days=900),
    )
    seal_all()

    assert found() == []


def test_digests_made_anew_do_not_fit_the_seal(evidence):
    meddle("UPDATE subscribers_consent SET browser = 'x' WHERE id = %s", evidence.pk)
    forged = Imprint.of(Consent.objects.values_list(*FIELDS).get(pk=evidence.pk))
    meddle(
        "UPDATE subscribers_imprint SET salts = %s, digests = %s WHERE consent_id = %s",
        forged.salts,
        forged.digests,
        evidence.pk,
    )

    assert [kind for kind, *_rest in found()] == ["seal broken"]


def test_a_seal_made_anew_is_not_followed_by_the_next(evidence, subscribe):
    subscribe("dora@example.com")
    seal_all()
    meddle("DELETE FROM subscribers_imprint WHERE consent_id = %s", evidence.pk)
    meddle("DELETE FROM subscribers_consent WHERE id = %s", evidence.pk)
    forged = Seal.objects.get(number=1)
    forged.rows -= 1
    forged.hash = forged.computed(Imprint.objects.filter(consent_id__lte=forged.last), [])
    meddle(
        "UPDATE subscribers_seal SET rows = %s, hash = %s WHERE number = 1",
        forged.rows,
        forged.hash,
    )

    assert [kind for kind, *_rest in found()] == ["chain broken"]
    meddle("UPDATE subscribers_seal SET previous = %s WHERE number = 2", forged.hash)
    assert [kind for kind, *_rest in found()] == ["seal broken"]


def test_a_seal_taken_out_is_missed(evidence, subscribe):
    subscribe("dora@example.com")
    seal_all()
    meddle("DELETE FROM subscribers_seal WHERE number = 1")

    assert "seal missing" in [kind for kind, *_rest in found()]


def test_a_hash_noted_elsewhere_holds_all_before_it(evidence):
    noted = check()[0]["last_seal"]

    assert found("--known", f"1:{noted['hash']}") == []
    assert found("--known", "1:0000") == [("not as noted", 0, "")]
    assert found("--known", "2:0000") == [("seal missing", 0, "")]


@pytest.mark.parametrize("known", ["1", "x:abc", "1:"])
def test_a_seal_is_noted_with_its_number(db, known):
    with pytest.raises(CommandError, match="is not like"):
        call_command("check_consents", "--known", known)


def test_what_no_worker_seals_is_told(ann):
    yesterday = timezone.now() - timedelta(days=2)
    meddle("UPDATE subscribers_consent SET recorded_at = %s", yesterday)

    assert found() == [("not sealed", Consent.objects.first().pk, "")]


def test_what_is_wrong_is_told_in_words(evidence, capsys):
    meddle("UPDATE subscribers_consent SET browser = 'x' WHERE id = %s", evidence.pk)

    with pytest.raises(SystemExit):
        call_command("check_consents")

    told = capsys.readouterr().out
    assert f"Consent {evidence.pk} was changed: browser is not what it was." in told
    assert f"The last seal is 1:{Seal.objects.get().hash}" in told
    assert "1 wrong." in told


# The database's own refusal ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE subscribers_consent SET browser = ''",
        "DELETE FROM subscribers_consent",
        "UPDATE subscribers_imprint SET salts = digests",
        "DELETE FROM subscribers_imprint",
        "UPDATE subscribers_seal SET hash = ''",
        "DELETE FROM subscribers_seal",
        "UPDATE subscribers_terms SET text = ''",
        "DELETE FROM subscribers_terms",
    ],
)
def test_the_database_refuses_to_change_evidence(evidence, statement):
    with pytest.raises(IntegrityError, match="evidence"), transaction.atomic():
        connection.cursor().execute(statement)


@pytest.mark.parametrize("field", ["action", "wording", "at"])
def test_what_lasts_is_not_changed_through_the_door_either(evidence, field):
    Removal.objects.create(kind="trimmed", reason="asked", rows=1)

    with pytest.raises(IntegrityError, match="evidence"), transaction.atomic():
        connection.cursor().execute(f"UPDATE subscribers_consent SET {field} = {field}")


def test_a_door_left_open_is_told(evidence):
    Removal.objects.create(kind="trimmed", reason="asked", rows=1)

    assert found() == [("door open", 0, "")]


# What goes by the rules -------------------------------------------------------------------------


def test_trimming_leaves_the_seal_valid(evidence):
    count = Removal.objects.trim(Consent.objects.filter(browser="Mosaic/1.0"), "traces_over")

    assert count == 2
    assert not Consent.objects.exclude(browser="", network_address=None).exists()
    assert Consent.objects.filter(address="ann@example.com").count() == 3
    assert check()[0]["removed"] == {"trimmed, traces_over": 2}
    assert found() == []


def test_the_salt_goes_with_the_trimmed_value_and_the_digest_stays(evidence):
    traced = Consent.objects.filter(browser="Mosaic/1.0")
    before = Imprint.objects.get(pk=traced.first().pk)

    Removal.objects.trim(traced, "traces_over")

    after, place = Imprint.objects.get(pk=before.pk), FIELDS.index("browser") * SIZE
    assert bytes(after.salts)[place : place + SIZE] == bytes(SIZE)
    assert bytes(before.salts)[place : place + SIZE] != bytes(SIZE)
    assert bytes(after.salts)[:place][:SIZE] != bytes(SIZE)
    assert bytes(after.digests) == bytes(before.digests)


def test_a_trimmed_field_cannot_be_filled_in_again(evidence):
    traced = Consent.objects.filter(browser="Mosaic/1.0")
    keys = list(traced.values_list("pk", flat=True))
    Removal.objects.trim(traced, "traces_over")
    meddle("UPDATE subscribers_consent SET browser = 'Lynx' WHERE id = %s", keys[0])

    assert found() == [("changed", keys[0], "browser")]


def test_erasing_leaves_time_and_wording_under_a_keyed_hash(evidence, ann):
    key = ann.subscriber.suppression_key

    Removal.objects.erase(Consent.objects.filter(subscriber=ann.subscriber), "asked", key)

    assert Consent.objects.filter(key=key, subscriber=None, subscription=None, address="").count()
    assert not Consent.objects.filter(address="ann@example.com").exists()
    assert found() == []


def test_removing_leaves_the_seal_valid(evidence, ann):
    assert Removal.objects.remove(Consent.objects.filter(subscription=ann), "evidence_over") == 3

    assert Consent.objects.count() == 5
    assert found() == []


def test_who_takes_a_row_along_under_a_removal_is_found(evidence, ann):
    Removal.objects.remove(Consent.objects.filter(subscription=ann), "evidence_over")
    other, removal = Consent.objects.latest("pk"), Removal.objects.get()
    meddle("DELETE FROM subscribers_consent WHERE id = %s", other.pk)
    meddle(
        "UPDATE subscribers_imprint SET removed_by_id = %s WHERE consent_id = %s",
        removal.pk,
        other.pk,
    )

    assert found() == [("removal wrong", 0, "")]


def test_a_removal_is_sealed_too(evidence, ann):
    Removal.objects.remove(Consent.objects.filter(subscription=ann), "evidence_over")
    seal_all()
    meddle("UPDATE subscribers_removal SET reason = 'asked'")

    assert [kind for kind, *_rest in found()] == ["seal broken"]


def test_a_removed_row_does_not_come_back(evidence, ann):
    columns = ", ".join(field.column for field in Consent._meta.fields)
    meddle(f"CREATE TABLE kept AS SELECT {columns} FROM subscribers_consent")
    Removal.objects.remove(Consent.objects.filter(pk=evidence.pk), "evidence_over")
    meddle(
        f"INSERT INTO subscribers_consent ({columns}) SELECT {columns} FROM kept WHERE id = %s",
        evidence.pk,
    )

    assert found() == [("inserted", evidence.pk, "")]


def test_what_was_removed_before_its_seal_is_not_missed(ann):
    Removal.objects.remove(Consent.objects.filter(subscription=ann), "never_confirmed")
    seal_all()

    assert found() == []


def test_nothing_to_remove_leaves_no_trace(ann):
    assert Removal.objects.trim(Consent.objects.none(), "traces_over") == 0
    assert not Removal.objects.exists()


# Whoever comes in between -----------------------------------------------------------------------


def test_killed_in_the_middle_it_seals_the_same_the_next_time(ann, monkeypatch):
    monkeypatch.setattr(Seal, "save", lambda *_args, **_options: 1 / 0)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        seal_all()
    monkeypatch.undo()

    assert not Imprint.objects.exists()
    seal_all()
    assert found() == []


@pytest.mark.django_db(transaction=True)
def test_two_at_once_set_one_seal(ann):
    start = threading.Barrier(4)

    def seal():
        start.wait()
        try:
            return Seal.objects.seal(timezone.now() + timedelta(minutes=5))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        sealed = [call.result() for call in [pool.submit(seal) for _ in range(4)]]

    assert sorted(sealed) == [0, 0, 0, 2]
    assert found() == []


@pytest.mark.django_db(transaction=True)
def test_trimming_and_sealing_at_once_go_one_after_another(subscribe):
    for number in range(20):
        Consent.objects.record("withdrawn", subscribe(f"r{number}@example.com"), TRACED)
    start = threading.Barrier(2)

    def at_once(step):
        start.wait()
        try:
            step()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(
                at_once,
                [
                    seal_all,
                    lambda: Removal.objects.trim(Consent.objects.exclude(browser=""), "asked"),
                ],
            )
        )

    seal_all()
    assert found() == []
    assert not Consent.objects.exclude(browser="").exists()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_sealed_past_somebody_who_has_long_been_writing(ann, monkeypatch):
    """His rows may have lower numbers than those that are there already."""
    if connection.vendor == "sqlite":
        assert Seal.objects.seal(timezone.now() + timedelta(minutes=5)) == 2
        return
    monkeypatch.setattr("subscribers.models.seals._LONG", timedelta(0))
    writes, done = threading.Event(), threading.Event()

    def write():
        with transaction.atomic():
            Consent.objects.record("given", Subscription.objects.get(), TRACED)
            writes.set()
            done.wait(10)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        writes.wait(10)
        assert Seal.objects.seal(timezone.now() + timedelta(minutes=5)) == 0
        done.set()
        writer.result()

    assert Seal.objects.seal(timezone.now() + timedelta(minutes=5)) == 3


def test_many_are_checked_a_block_at_a_time(ann, django_assert_max_num_queries, monkeypatch):
    monkeypatch.setattr("subscribers.models.seals.BLOCK", 2)
    for _ in range(10):
        Consent.objects.record("given", ann, TRACED)
    seal_all()

    with django_assert_max_num_queries(6 * 6 + 10):
        assert found() == []
