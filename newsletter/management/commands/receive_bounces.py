"""Learn from mail that came back: from a mail server's pipe, a Maildir or an IMAP mailbox."""

import json
import logging
import mailbox
import os
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from newsletter.receivers.mail import LARGEST, Kind, Reading, read
from newsletter.receivers.mail.arrivals import take_in
from newsletter.receivers.mail.imap import ImapError, ImapMailbox
from newsletter.receivers.mail.maildir import Maildir
from newsletter.receivers.mail.rounds import go_through, named

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Take in bounces, complaints and readers who leave by mail: one message on standard input,"
        " or all that is unread in a mailbox. Anything else stays where it is."
    )
    # A mail server that pipes to us takes a failed check for a refusal, and answers the sender.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        box = parser.add_mutually_exclusive_group()
        box.add_argument("--maildir", type=Path, metavar="PATH")
        box.add_argument(
            "--imap",
            metavar="URL",
            help="as in imaps://bounces@mail.example.org/INBOX; the password is IMAP_PASSWORD",
        )
        parser.add_argument(
            "--recipient",
            default="",
            metavar="ADDRESS",
            help="of standard input: whom the mail server took it for",
        )
        parser.add_argument(
            "--keep",
            type=Path,
            metavar="PATH",
            help="of standard input: a Maildir for what is neither; without it, it is dropped",
        )
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["maildir"] or options["imap"]:
            found = self._go_through(options)
        else:
            found = _take_one_in(sys.stdin.buffer, options["recipient"], options["keep"])
        self.stdout.write(json.dumps(found) if options["json"] else _summary(found))

    def _go_through(self, options: dict[str, Any]) -> Counter[str]:
        try:
            with closing(_box(options)) as box:
                return go_through(box)
        except (ImapError, OSError) as error:
            raise CommandError(str(error)) from error


def _box(options: dict[str, Any]) -> Maildir | ImapMailbox:
    if options["maildir"]:
        return Maildir(options["maildir"])
    return ImapMailbox(options["imap"], settings.IMAP_PASSWORD)


def _take_one_in(source: IO[bytes], recipient: str, keep: Path | None) -> Counter[str]:
    """Ends with EX_TEMPFAIL if it cannot be done now: the mail server then keeps the message."""
    try:
        with tempfile.TemporaryFile() as spool:
            # All of it: a mail server whose pipe is closed early takes that for a failure.
            shutil.copyfileobj(source, spool)
            spool.seek(0)
            reading = read(spool.read(LARGEST), recipient)
            _refuse_unreadable(reading)
            take_in([reading])
            if keep and not reading.is_report:
                spool.seek(0)
                mailbox.Maildir(keep).add(spool)
    # Whatever it is, the mail server has the only copy.
    except Exception as error:
        logger.exception("A mail could not be taken in")
        raise CommandError(f"Not now: {error}", returncode=os.EX_TEMPFAIL) from error
    return Counter([named(reading)])


def _refuse_unreadable(reading: Reading) -> None:
    if reading.kind is Kind.UNREADABLE:
        raise RuntimeError("it could not be read, which is our mistake.")


def _summary(found: Counter[str]) -> str:
    lines = [f"{count:>8,}  {name}" for name, count in sorted(found.items())]
    return "\n".join(lines) or "Nothing has come back."
