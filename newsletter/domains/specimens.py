"""A message that is sent to be looked at where it arrives."""

from django.db.models import Q

from newsletter import delivery
from newsletter.content import ContentError, specimen
from newsletter.domains.findings import About, Finding
from newsletter.models import Article
from subscribers.addresses import AddressError
from subscribers.models import MailingList, Sender

_ABOUT = About("DOM-08")
_BODY = "<p>This message says nothing. It was sent to see how mail from here arrives.</p>"


def send(sender: Sender, address: str) -> Finding:
    """DOM-08: by this sender's mailer, as a campaign would leave."""
    mailing_list = _list_of(sender)
    if mailing_list is None:
        return _ABOUT.error("sent", f"{sender} sends to no list.", "Give a list this sender.")
    headline = f"A test of {sender.domain}"
    article = Article(publication=sender.publication, slug="test", headline=headline, body=_BODY)
    try:
        delivery.send_specimen(specimen(mailing_list, article), address)
    except (ContentError, AddressError, delivery.TransportError) as error:
        return _ABOUT.error("sent", f"No test could be sent to {address}: {error}", "See there.")
    return _ABOUT.ok(
        "sent",
        f"“{headline}” was handed over to {address}. Save it there in its source, and read it "
        "with --received.",
    )


def _list_of(sender: Sender) -> MailingList | None:
    mine = Q(sender=sender) | Q(sender__isnull=True, publication__sender=sender)
    lists = MailingList.objects.select_related("sender", "publication__sender")
    return lists.filter(mine).first()
