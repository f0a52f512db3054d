"""A test mail: the campaign as it is now, to one address, with links that do nothing."""

import copy

from django.utils.translation import gettext as _

from newsletter.content import Mailing, Reader, compile_versions
from newsletter.delivery.outcomes import Fate, Message, Outbox, Outcome, TransportError
from newsletter.delivery.transports import Transports
from newsletter.delivery.wordings import mailer
from newsletter.models import Campaign, Version
from subscribers import addresses
from subscribers.models import Suppression

# Signed into the links in place of a subscriber: nobody's.
_NOBODY = 0
# Seconds between looks; an outcome wakes us at once.
_WAIT = 60


def send_test(campaign: Campaign, address: str) -> None:
    """Mail each wording of the campaign, drafts too, with its subject marked.

    Raises ContentError or TransportError with words for the editor, AddressError for the address.
    """
    recipient = addresses.parse(address)
    if Suppression.objects.keeping_out(recipient, campaign.mailing_lists.all()).exists():
        raise addresses.AddressError(_("Whoever has this address left, or wants no mail of ours."))
    with Transports() as transports:
        for version in compile_versions(_marked(campaign)):
            _send(version, str(recipient), transports)


def send_specimen(version: Version, address: str) -> None:
    """Mail a version that nobody stored. Raises TransportError, or AddressError."""
    with Transports() as transports:
        _send(version, str(addresses.parse(address)), transports)


def _marked(campaign: Campaign) -> Campaign:
    marked = copy.copy(campaign)
    marked.subject = f"[Test] {_subject(campaign)}"
    return marked


def _subject(campaign: Campaign) -> str:
    if campaign.subject:
        return campaign.subject
    first = campaign.entries.select_related("article").first()
    return first.article.headline if first else ""


def _send(version: Version, recipient: str, transports: Transports) -> None:
    reader = Reader(_NOBODY, recipient, "", version.mailing_list_id)
    message = Message(Mailing(version), reader, version.campaign_id)
    transports[mailer(version)].take([message], _is_ours)
    outcome = _first(transports.outbox)
    if outcome.fate is not Fate.SENT:
        raise TransportError(_words(outcome))


def _is_ours() -> bool:
    """Nobody else sends a test mail."""
    return True


def _first(outbox: Outbox) -> Outcome:
    """Transports give up by themselves, with an outcome or with an error."""
    while not (items := outbox.collect(1, _WAIT)):
        pass
    if isinstance(items[0], BaseException):
        raise items[0]
    return items[0]


def _words(outcome: Outcome) -> str:
    return f"{outcome.code} {outcome.text}".strip()
