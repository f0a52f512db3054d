"""A test mail: the campaign as it is now, to one address, with links that do nothing."""

import copy

from newsletter.content import Mailing, Reader, compile_versions
from newsletter.delivery.outcomes import Message, Outcome, TransportError
from newsletter.delivery.sending import mailer
from newsletter.delivery.transports import Transports
from newsletter.models import Campaign, Delivery, Version
from subscribers import addresses

# Signed into the links in place of a subscriber: nobody's.
_NOBODY = 0


def send_test(campaign: Campaign, address: str) -> None:
    """Mail each wording of the campaign, drafts too, with its subject marked.

    Raises ContentError or TransportError with words for the editor, AddressError for the address.
    """
    recipient = str(addresses.parse(address))
    with Transports() as transports:
        for version in compile_versions(_marked(campaign)):
            _send(version, recipient, transports)


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
    for outcome in transports[mailer(version)].hand_over([message]):
        if outcome.status != Delivery.Status.SENT:
            raise TransportError(_words(outcome))


def _words(outcome: Outcome) -> str:
    return f"{outcome.code} {outcome.text}".strip()
