"""`receive_bounces`: standard input, a Maildir, an IMAP mailbox. Nothing is lost, nothing twice."""

import io
import json
import mailbox
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import DataError, OperationalError, connections

from newsletter.models import Bounce, Event
from newsletter.receivers.mail import arrivals, rounds
from newsletter.receivers.mail.maildir import Maildir
from newsletter.receivers.mail.rounds import go_through
from subscribers.models import Consent, Subscription
from tests import bounces
from tests.imap import ImapServer, serving
from tests.newsletter.reports import went_to
from tests.smtp import certificate

EX_TEMPFAIL = 75
STAYS = {"auto-reply", "other", "strangers"}


@pytest.fixture
def ann(subscribe):
    return subscribe("ann@example.org").subscriber


@pytest.fixture
def mail(ann, briefing):
    """Call it with a name of the corpus: a mail about one campaign to Ann."""
    campaign = went_to([ann], briefing)

    def mail(name, reader=ann.pk):
        return bounces.mail(name, reader, campaign.pk, briefing.pk)

    return mail


@pytest.fixture
def folder(tmp_path):
    """A Maildir with nothing in it."""
    mailbox.Maildir(tmp_path / "mail", create=True)
    return tmp_path / "mail"


@pytest.fixture
def pipe(monkeypatch, capsys):
    """Call it with the bytes of a message and words for the command: what it said."""

    def pipe(raw, *words):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))
        call_command("receive_bounces", *words)
        return capsys.readouterr().out.strip()

    return pipe


def receive(*words):
    said = io.StringIO()
    call_command("receive_bounces", *map(str, words), "--json", stdout=said)
    return json.loads(said.getvalue())


def put(folder, raw, name, where="new"):
    (folder / where / name).write_bytes(raw)


def there(folder):
    return sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("*/*"))


# A mail server's pipe ----------------------------------------------------------------------------


def test_a_message_on_standard_input_is_taken_in(pipe, mail):
    said = pipe(mail("hard/postfix-unknown-user"))

    assert said == "1  bounce"
    assert Bounce.objects.count() == 1


def test_the_mail_server_may_say_for_whom_it_took_it(pipe, mail):
    token = mail("unsubscribe/no-body-no-date").decode().strip().removeprefix("To: <")[:-1]

    said = pipe(b"Subject: x\n\n", "--recipient", token, "--json")

    assert json.loads(said) == {"unsubscribe": 1}
    assert not Subscription.objects.mailable().exists()


@pytest.mark.parametrize("name", ["other/a-reader-replies", "auto-reply/out-of-office"])
def test_what_is_no_report_is_kept_word_for_word_where_one_says(pipe, mail, folder, name):
    raw = mail(name) + b"x" * 10_000_000

    pipe(raw, "--keep", str(folder))

    (kept,) = mailbox.Maildir(folder)
    assert kept.as_bytes() == raw


def test_what_is_a_report_is_not_kept(pipe, mail, folder):
    pipe(mail("hard/postfix-unknown-user"), "--keep", str(folder))

    assert there(folder) == []


def test_a_mail_server_is_not_cut_off_in_the_middle_of_a_long_message(monkeypatch, mail):
    source = io.BytesIO(mail("hard/postfix-unknown-user") + b"x" * 10_000_000)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=source))

    call_command("receive_bounces")

    assert source.read() == b""


@pytest.mark.parametrize("error", [OperationalError, ZeroDivisionError, OSError])
def test_what_cannot_be_done_now_the_mail_server_keeps(pipe, mail, monkeypatch, error):
    def fail(*_):
        raise error("away")

    monkeypatch.setattr("newsletter.management.commands.receive_bounces.take_in", fail)

    with pytest.raises(CommandError) as failed:
        pipe(mail("hard/postfix-unknown-user"))

    assert failed.value.returncode == EX_TEMPFAIL


def test_what_we_fail_to_read_the_mail_server_keeps(pipe, mail, monkeypatch):
    monkeypatch.setattr("newsletter.receivers.mail.reading.parts", lambda raw: 1 / 0)

    with pytest.raises(CommandError) as failed:
        pipe(mail("hard/postfix-unknown-user"))

    assert failed.value.returncode == EX_TEMPFAIL


def test_without_a_database_the_program_ends_so_that_the_mail_server_tries_again(tmp_path):
    raw = bounces.mail("hard/postfix-unknown-user")

    done = subprocess.run(
        [sys.executable, "manage.py", "receive_bounces"],
        env=os.environ
        | {
            "ENVIRONMENT": "laptop",
            "SECRET_KEY": "x" * 50,
            "DATA": str(tmp_path),
            "DATABASE_URL": "postgres://nobody:x@127.0.0.1:9/none",
        },
        input=raw,
        capture_output=True,
        check=False,
    )

    assert done.returncode == EX_TEMPFAIL
    assert b"Not now" in done.stderr


# A Maildir ---------------------------------------------------------------------------------------


def test_what_is_taken_in_is_marked_read_and_the_rest_stays_as_it_is(folder, mail):
    raws = {f"{number}.host": mail(path) for number, path in enumerate(bounces.paths())}
    for name, raw in raws.items():
        put(folder, raw, name)

    found = receive("--maildir", folder)

    stays = [path.parent.name in STAYS for path in bounces.paths()]
    assert there(folder) == sorted(
        f"new/{name}" if is_staying else f"cur/{name}:2,S"
        for name, is_staying in zip(raws, stays, strict=True)
    )
    assert all(path.read_bytes() == raws[path.name] for path in folder.glob("new/*"))
    assert sum(found.values()) == len(raws)


def test_it_says_what_there_was(folder, mail):
    put(folder, mail("hard/sendmail"), "1")
    put(folder, mail("other/spam"), "2")
    put(folder, mail("strangers/another-mailing"), "3")

    found = receive("--maildir", folder)

    assert found == {"bounce": 1, "other": 1, "bounce of no mail of ours": 1}


def test_nothing_at_all_is_said_too(folder, capsys):
    call_command("receive_bounces", "--maildir", str(folder))

    assert capsys.readouterr().out == "Nothing has come back.\n"


def test_unread_mail_that_another_program_has_seen_is_looked_at_and_keeps_its_flags(folder, mail):
    put(folder, mail("hard/sendmail"), "1:2,F", "cur")
    put(folder, mail("hard/sendmail"), "2:2,RS", "cur")
    put(folder, mail("other/spam"), "3:2,", "cur")

    found = receive("--maildir", folder)

    assert found == {"bounce": 1, "other": 1}
    assert there(folder) == ["cur/1:2,FS", "cur/2:2,RS", "cur/3:2,"]


def test_what_is_being_delivered_is_left_alone(folder, mail):
    put(folder, mail("hard/sendmail"), "1", "tmp")

    assert receive("--maildir", folder) == {}
    assert there(folder) == ["tmp/1"]


def test_a_folder_that_is_no_maildir_is_refused_in_words(tmp_path):
    with pytest.raises(CommandError, match="is no Maildir"):
        receive("--maildir", tmp_path)


def test_who_is_killed_before_it_is_committed_loses_nothing(folder, mail, monkeypatch):
    put(folder, mail("hard/sendmail"), "1")
    monkeypatch.setattr(rounds, "take_in", killed)
    with pytest.raises(KeyboardInterrupt):
        receive("--maildir", folder)
    monkeypatch.undo()

    assert receive("--maildir", folder) == {"bounce": 1}
    assert Bounce.objects.count() == 1


def test_who_is_killed_after_it_is_committed_counts_nothing_twice(folder, mail, monkeypatch):
    put(folder, mail("hard/sendmail"), "1")
    put(folder, mail("unsubscribe/gmail"), "2")
    monkeypatch.setattr(Maildir, "mark_read", killed)
    with pytest.raises(KeyboardInterrupt):
        receive("--maildir", folder)
    monkeypatch.undo()

    assert receive("--maildir", folder) == {"bounce": 1, "unsubscribe": 1}
    assert Event.objects.count() == 1
    assert Consent.objects.filter(action="withdrawn").count() == 1


def killed(*_):
    raise KeyboardInterrupt


def test_what_vanishes_meanwhile_is_no_longer_ours(folder, mail):
    put(folder, mail("hard/sendmail"), "1")
    put(folder, mail("hard/sendmail"), "2")
    box = Maildir(folder)
    messages = box.messages()
    first, _raw = next(messages)
    for path in folder.glob("new/*"):
        path.unlink()

    assert list(messages) == []
    box.mark_read([first])
    assert there(folder) == []


def test_one_that_cannot_be_opened_is_told_of_and_holds_up_no_other(
    folder, mail, monkeypatch, caplog
):
    put(folder, mail("hard/sendmail"), "1")
    put(folder, mail("complaint/yahoo"), "2")
    usual = Path.open

    def locked(path, *words):
        if path.name == "1":
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path, *words)

    monkeypatch.setattr(Path, "open", locked)

    assert receive("--maildir", folder) == {"complaint": 1}
    assert "Permission denied" in caplog.text


def test_one_that_the_database_refuses_holds_up_no_other(folder, mail, monkeypatch, caplog):
    for number in range(5):
        put(folder, mail("hard/sendmail", number + 1), str(number))
    usual = arrivals.take_in

    def refuse(readings):
        if any(reading.ours.subscriber == 3 for reading in readings):
            raise DataError("cannot be stored")
        usual(readings)

    monkeypatch.setattr(rounds, "take_in", refuse)

    receive("--maildir", folder)

    assert there(folder).count("new/2") == 1
    assert len(list((folder / "cur").iterdir())) == 4
    assert "could not be taken in" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_two_at_once_do_no_harm(folder, mail, ann):
    for number in range(60):
        put(folder, mail("hard/sendmail", ann.pk + number), f"b{number}")
        put(folder, mail("unsubscribe/gmail"), f"u{number}")

    def work(_):
        try:
            return go_through(Maildir(folder))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        found = sum(pool.map(work, range(2)), Counter())

    assert found["bounce"] >= 60
    assert Event.objects.count() == 60
    assert Consent.objects.filter(action="withdrawn").count() == 1
    assert there(folder / "new") == []


# An IMAP mailbox ---------------------------------------------------------------------------------


@pytest.fixture
def imap(tmp_path, monkeypatch, settings):
    """A server whose certificate we trust and whose password we know."""
    path, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with serving(ImapServer(context)) as server:
        settings.IMAP_PASSWORD = server.password
        yield server


def test_what_is_taken_in_is_seen_and_the_rest_stays_unseen(imap, mail):
    imap.add(mail("hard/sendmail"), mail("other/spam"), mail("complaint/yahoo"))

    found = receive("--imap", imap.url)

    assert found == {"bounce": 1, "other": 1, "complaint": 1}
    assert imap.seen() == [1, 3]
    assert receive("--imap", imap.url) == {"other": 1}


def test_many_are_fetched_and_marked_by_few_commands(imap, mail):
    imap.add(*[mail("hard/sendmail", number) for number in range(1, 101)])

    receive("--imap", imap.url)

    assert len(imap.seen()) == 100
    assert sum(command.startswith("UID") for command in imap.commands) == 1 + 10 + 1


def test_of_very_many_some_are_looked_for_at_a_time(imap, mail, monkeypatch):
    monkeypatch.setattr("newsletter.receivers.mail.imap._SEARCHED", 30)
    imap.add(*[mail("hard/sendmail", number) for number in range(1, 71)])

    assert receive("--imap", imap.url) == {"bounce": 70}
    searches = [command for command in imap.commands if "SEARCH" in command]
    assert [command.split()[2] for command in searches] == ["(1:30", "(31:60", "(61:*"]


def test_of_ten_megabytes_only_the_beginning_is_fetched(imap, mail):
    imap.add(mail("hard/postfix-unknown-user").replace(b"The first", b"x" * 10_000_000))

    assert receive("--imap", imap.url) == {"bounce": 1}


def test_nothing_is_asked_where_nothing_is_unseen(imap, db):
    assert receive("--imap", imap.url) == {}
    assert not any("FETCH" in command or "STORE" in command for command in imap.commands)


def test_another_mailbox_may_be_read(imap, mail):
    imap.add(mail("hard/sendmail"))
    imap.mailbox = "Retours &- &AOk-checs"
    url = imap.url.replace(imap.mailbox, "Retours%20%26%20%C3%A9checs")

    assert receive("--imap", url) == {"bounce": 1}


def test_a_connection_that_begins_without_tls_goes_on_with_it(imap, mail):
    imap.begins_with_tls = False
    imap.add(mail("hard/sendmail"))

    assert receive("--imap", imap.url) == {"bounce": 1}
    assert imap.commands.index("STARTTLS") < imap.commands.index("LOGIN")


def test_a_server_whose_certificate_we_do_not_trust_learns_no_password(imap, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(CommandError, match="certificate"):
        receive("--imap", imap.url)

    assert imap.commands == []


def test_a_wrong_password_is_said_and_not_shown(imap, settings):
    settings.IMAP_PASSWORD = "guessed"

    with pytest.raises(CommandError, match="AUTHENTICATIONFAILED") as failed:
        receive("--imap", imap.url)

    assert "guessed" not in str(failed.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://mail.example.org/", "it should be like imaps://"),
        ("imaps://localhost:1/", "refused"),
        ("imaps://bounces:secret@localhost:1/", "imaps://bounces@localhost:1/ cannot be read"),
    ],
)
def test_what_cannot_be_reached_is_said_in_words(url, words):
    with pytest.raises(CommandError, match=words):
        receive("--imap", url)


def test_a_mailbox_that_is_not_there_is_said(imap):
    with pytest.raises(CommandError, match="no such mailbox"):
        receive("--imap", imap.url + "/nowhere")


@pytest.mark.parametrize("command", ["SEARCH", "FETCH", "STORE"])
def test_a_connection_that_breaks_loses_nothing_and_counts_nothing_twice(imap, mail, command):
    imap.add(mail("hard/sendmail"))
    imap.dies_at = command
    with pytest.raises(CommandError, match=command):
        receive("--imap", imap.url)
    imap.dies_at = ""

    assert receive("--imap", imap.url) == {"bounce": 1}
    assert imap.seen() == [1]
    assert Event.objects.count() == 1
