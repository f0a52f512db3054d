"""Sending APIs of eight providers, on this machine, as their documentation says they behave.

    with provider("mailgun") as fake:
        settings.MAILERS = {"default": fake.mailer}
        fake.next(Status(429, retry_after=30), HANG_UP)
        ...
        assert fake.received[0].headers["To"] == "ann@example.com"

`python -m tests.providers mailgun` runs one as a program that only counts; see __main__.py.
"""

import contextlib
from collections.abc import Callable, Iterator

from tests.providers.amazon_ses import AmazonSES
from tests.providers.brevo import Brevo
from tests.providers.conversation import HANG_UP, SILENCE, Api, Call, Received, Status
from tests.providers.fake import Fake
from tests.providers.http import serving
from tests.providers.mailgun import Mailgun
from tests.providers.mailjet import Mailjet
from tests.providers.postmark import Postmark, PostmarkBulk
from tests.providers.resend import Resend
from tests.providers.sendgrid import SendGrid
from tests.providers.sparkpost import SparkPost

__all__ = ["APIS", "HANG_UP", "SILENCE", "Call", "Fake", "Received", "Status", "provider"]

APIS: dict[str, Callable[[], Api]] = {
    "amazon-ses": AmazonSES,
    "brevo": Brevo,
    "mailgun": Mailgun,
    "mailjet": Mailjet,
    "postmark": Postmark,
    "postmark-bulk": PostmarkBulk,
    "resend": Resend,
    "sendgrid": SendGrid,
    "sparkpost": SparkPost,
}


@contextlib.contextmanager
def provider(name: str) -> Iterator[Fake]:
    """The API of this name, listening until the block is left."""
    fake = Fake(APIS[name]())
    with serving(fake.answer) as fake.url:
        yield fake
