"""A compiled version, filled for one reader after the other by joining bytes."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from newsletter.models import Version


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom a message is filled for. `subscriber_id` 0 is nobody's: a test mail."""

    subscriber_id: int
    address: str
    name: str
    mailing_list_id: int


class Parts(NamedTuple):
    """One reader's message in pieces, for a provider that builds the MIME itself.

    `headers` are all but From, To, Subject, Date, MIME-Version and Content-*; Reply-To and
    Message-ID are among them.
    """

    subject: str
    text: str
    html: str
    sender: str
    headers: dict[str, str]


class Mailing:
    """One version, ready to be filled. Make one per version and keep it; making it queries."""

    def __init__(self, version: Version) -> None:
        raise NotImplementedError

    def message(self, reader: Reader, at: datetime) -> bytes:
        """The whole message for one reader, handed off at this moment: CRLF, 7-bit.

        Raises subscribers.addresses.AddressError if the address cannot stand in a header.
        """
        raise NotImplementedError

    def parts(self, reader: Reader, at: datetime) -> Parts:
        """The same message in pieces."""
        raise NotImplementedError

    def envelope_sender(self, reader: Reader) -> str:
        """Where bounces go: the reader's own address at the bounce domain, if there is one."""
        raise NotImplementedError

    def message_id(self, reader: Reader) -> str:
        """With its angle brackets; the same whenever this campaign goes to this reader."""
        raise NotImplementedError
