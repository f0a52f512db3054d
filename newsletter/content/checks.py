"""What would keep a campaign from being mail that one may send, in words for its editor."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host
from django.utils.translation import gettext as _

from newsletter.content import slots, tree, urls
from newsletter.models import Article, Campaign
from subscribers.addresses import is_free_mail
from subscribers.models import MailingList, Publication, Sender

# RFC 2919 section 3: dot-atoms, at least two.
_LIST_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)+")
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")


def problems(
    campaign: Campaign, articles: list[Article], mailing_lists: list[MailingList]
) -> list[str]:
    return [
        *_problems_of_publication(campaign.publication),
        *_problems_of_lists(mailing_lists),
        *_problems_of_articles(articles),
        *_problems_of_subject(campaign, articles),
    ]


def unpublished(articles: list[Article]) -> list[str]:
    """What a mail that really goes out needs besides: it links to pages on the web."""
    return [
        _("“%(headline)s” is not on the web yet. Publish it first: the mail links to it.")
        % {"headline": article.headline}
        for article in articles
        if not article.is_published
    ]


def _problems_of_publication(publication: Publication) -> Iterator[str]:
    for label in publication.missing_for_sending():
        yield _("Enter the publication’s %(missing)s: the law wants it in every mail.") % {
            "missing": label
        }
    site = publication.url("/")
    if not site.startswith(("https://", "http://") if settings.LAPTOP else "https://"):
        yield _("The publication’s site is “%(site)s”; links in mail must begin with https://.") % {
            "site": site
        }
    if not validate_host(publication.host, settings.ALLOWED_HOSTS):
        yield _("“%(host)s” is not among this server’s ALLOWED_HOSTS: no link would open.") % {
            "host": publication.host
        }


def _problems_of_lists(mailing_lists: list[MailingList]) -> Iterator[str]:
    if not mailing_lists:
        yield _("Choose a list: nobody would get this.")
    for sender in {mailing_list.effective_sender for mailing_list in mailing_lists}:
        yield from _problems_of_sender(sender)
    for mailing_list in mailing_lists:
        if not _LIST_ID.fullmatch(mailing_list.list_id):
            yield _("The List-Id “%(id)s” of %(list)s is not one that mail can carry.") % {
                "id": mailing_list.list_id,
                "list": mailing_list.name,
            }


def _problems_of_sender(sender: Sender | None) -> Iterator[str]:
    if sender is None:
        yield _("Name a sender for the publication: mail must be from somebody.")
        return
    for address in filter(None, [sender.email, sender.reply_to]):
        if not _PLAIN_ADDRESS.fullmatch(address):
            yield _("“%(address)s” cannot stand in a header: write it in plain letters.") % {
                "address": address
            }
    if sender.mailer not in settings.MAILERS:
        yield _("The mailer “%(mailer)s” of %(sender)s is not set up on this server.") % {
            "mailer": sender.mailer,
            "sender": sender.name,
        }
    if is_free_mail(sender.email):
        yield _(
            "“%(address)s” belongs to a mailbox provider, which refuses mail in its name from "
            "others. Send from a domain of your own."
        ) % {"address": sender.email}


def _problems_of_articles(articles: list[Article]) -> Iterator[str]:
    if not articles:
        yield _("Choose an article: there is nothing to send.")
    for article in articles:
        for problem in _problems_of_article(article):
            yield _("“%(headline)s”: %(problem)s") % {
                "headline": article.headline,
                "problem": problem,
            }


def _problems_of_article(article: Article) -> Iterator[str]:
    elements = list(tree.read(article.body).walk())
    if not article.standfirst.strip() and not any(map(_says_something, elements)):
        yield _("it has neither a standfirst nor a text.")
    for element in elements:
        if element.tag == "img" and "alt" not in element.attributes:
            yield _("a picture has no description (%(source)s).") % {
                "source": element.attributes.get("src", "")
            }
    for address in sorted(_unreachable(elements)):
        yield _("readers cannot reach %(address)s: it leads into your own network.") % {
            "address": address
        }


def _says_something(element: tree.Element) -> bool:
    return element.tag == "img" or any(
        isinstance(child, str) and child.strip() for child in element.children
    )


def _unreachable(elements: Iterable[tree.Element]) -> set[str]:
    """Links to machines that only we can see (HTM-13); a laptop's own pages are such links."""
    if settings.LAPTOP:
        return set()
    addresses = {
        urls.absolute("", element.attributes.get(name, ""))
        for element in elements
        for name in ("href", "src")
    }
    return {address for address in addresses if _is_private(address)}


def _is_private(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    if host == "localhost" or host.endswith((".local", ".internal", ".localhost")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _problems_of_subject(campaign: Campaign, articles: list[Article]) -> Iterator[str]:
    headlines = [article.headline for article in articles[:1]]
    if articles and not slots.line(campaign.subject or "".join(headlines)):
        yield _("Write a subject.")
