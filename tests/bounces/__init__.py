"""Mail that comes back, as servers, mail programs and people write it. The folders say what it is.

What stands between @@ and @@ is filled in: tokens, dates, and the message that came back.
"""

from base64 import encodebytes
from email.utils import format_datetime
from pathlib import Path

from django.utils import timezone

from subscribers import tokens
from subscribers.tokens import Purpose

FOLDER = Path(__file__).parent
BOUNCE_DOMAIN = "bounces.harbour.example"

_HEADERS = """\
Return-Path: <@@VERP@@>
Received: from mx.harbour.example (mx.harbour.example [192.0.2.9]); Tue, 24 Nov 2026 08:00:00 +0000
From: The Harbour Post <news@harbour.example>
To: @@ADDRESS@@
Subject: The ferry returns
Date: Tue, 24 Nov 2026 08:00:00 +0000
Message-ID: @@MSGID@@
List-Id: "Morning Briefing" <morning-briefing.harbour.example>
List-Unsubscribe: <@@LINK@@>,
 <mailto:@@LEAVE@@?subject=unsubscribe>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="=_0f1e2d3c"
"""
_ORIGINAL = (
    _HEADERS
    + """
--=_0f1e2d3c
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: quoted-printable

The first boat left at six. Leave: @@LINK@@

--=_0f1e2d3c
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: quoted-printable

<p>The first boat left at six.</p>

--=_0f1e2d3c--
"""
)
_STATUS = """\
Reporting-MTA: dns; gateway.example.net

Final-Recipient: rfc822; @@ADDRESS@@
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 Unbekannter Benutzer
"""


def paths():
    """All of them."""
    return sorted(FOLDER.glob("*/*.eml"))


def mail(path, reader=1, campaign=1, mailing_list=1, letter=0, address="ann@example.org"):
    """The bytes of one, about a message of this campaign to this reader, or about a letter."""
    text = (path if isinstance(path, Path) else FOLDER / f"{path}.eml").read_text()
    return filled(text, reader, campaign, mailing_list, letter, address)


def filled(text, reader=1, campaign=1, mailing_list=1, letter=0, address="ann@example.org"):
    if letter:
        bounce = tokens.sign(Purpose.BOUNCE, letter)
        message = tokens.sign(Purpose.LETTER, letter)
    else:
        bounce = tokens.sign(Purpose.BOUNCE, reader, campaign)
        message = tokens.sign(Purpose.MESSAGE, reader, campaign)
    leave = tokens.sign(Purpose.UNSUBSCRIBE, reader, mailing_list, campaign)
    # What holds others comes before them.
    for name, value in {
        "ORIGINAL": _ORIGINAL,
        "HEADERS": _HEADERS,
        "VERPLOCAL": f"b+{bounce}",
        "VERP": f"b+{bounce}@{BOUNCE_DOMAIN}",
        "MSGID": f"<{message}@harbour.example>",
        "LEAVE": f"u+{leave}@{BOUNCE_DOMAIN}",
        "LINK": f"https://harbour.example/u/{leave}",
        "DATE": format_datetime(timezone.now()),
        "STATUS_IN_BASE64": encodebytes(_STATUS.replace("@@ADDRESS@@", address).encode()).decode(),
        "ADDRESS": address,
    }.items():
        text = text.replace(f"@@{name}@@", value)
    return text.replace("ann@example.org", address).encode("utf-8", "surrogateescape")
