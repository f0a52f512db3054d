"""A campaign as one list gets it: names, addresses and header fields, its slots left open."""

from collections.abc import Iterator
from functools import cached_property

from django.utils.text import slugify
from django.utils.translation import get_language_bidi

from newsletter.content import headers, layout, slots, urls
from newsletter.content.slots import Marker, Slot
from newsletter.content.stories import Story
from newsletter.models import Campaign
from subscribers import colours
from subscribers.models import MailingList, Sender

# Google wants 5 to 15 characters that never change, last in the Feedback-ID.
_SHORTEST_SENDER_ID, _LONGEST_SENDER_ID = 5, 15


class Issue:
    """Made and used while the list's language is active."""

    def __init__(
        self, campaign: Campaign, mailing_list: MailingList, sender: Sender, stories: list[Story]
    ) -> None:
        self.campaign = campaign
        self.mailing_list = mailing_list
        self.publication = mailing_list.publication
        self.sender = sender
        self.stories = stories

    @cached_property
    def subject(self) -> str:
        own = slots.opened(slots.line(self.campaign.subject))
        return layout.subject({"subject": own or self.stories[0].headline})

    @cached_property
    def unsubscribe_url(self) -> str:
        return urls.unsubscribe(self.publication)

    @cached_property
    def _language(self) -> str:
        return self.mailing_list.language or self.publication.language

    @cached_property
    def _paper(self) -> str:
        return slots.line(self.publication.name)

    @cached_property
    def _list_name(self) -> str:
        return slots.line(self.mailing_list.name)

    @cached_property
    def _frame(self) -> dict[str, object]:
        return {
            "language": self._language,
            "direction": "rtl" if get_language_bidi() else "ltr",
            "subject": self.subject,
            "summary": self.stories[0].summary,
            "paper": self._paper,
            "list_name": self._list_name,
            "legal_name": slots.line(self.publication.legal_name),
            "postal_lines": [
                slots.line(line) for line in self.publication.postal_address.splitlines()
            ],
            "front_url": urls.page(self.publication, "web:front"),
            "unsubscribe_url": self.unsubscribe_url,
            "masked": str(Marker(Slot.MASKED)),
            "accent": colours.accent(self.publication.accent),
        }

    def text(self, stories: list[Story]) -> str:
        return layout.text({**self._frame, "stories": stories})

    def html(self, stories: list[Story]) -> str:
        return layout.html({**self._frame, "stories": stories})

    def html_to_be_clipped(self, stories: list[Story]) -> str:
        """With the way out at the top as well: its end is not shown (UNS-18)."""
        return layout.html({**self._frame, "stories": stories, "is_clipped": True})

    def fields(self) -> list[str]:
        """The header of the message, but for what MIME adds."""
        sender = self.sender
        reply_to = [f"Reply-To: {sender.reply_to}"] if sender.reply_to else []
        return [
            f"From: {headers.named(slots.line(sender.name), sender.email)}",
            f"To: {Marker(Slot.ADDRESS)}",
            *reply_to,
            headers.unstructured("Subject", self.subject),
            f"Date: {Marker(Slot.DATE)}",
            f"Message-ID: {Marker(Slot.MESSAGE_ID)}",
            *self._list_fields(),
            "Precedence: bulk",
            "X-Auto-Response-Suppress: OOF, AutoReply",
            f"Feedback-ID: {self._feedback_id()}",
        ]

    def _list_fields(self) -> Iterator[str]:
        owner = self.sender.reply_to or self.sender.email
        yield f"List-Id: {headers.named(self._list_name, self.mailing_list.list_id)}"
        # Each address as it is: never folded, never encoded (UNS-01 to UNS-03).
        yield f"List-Unsubscribe: {f',{headers.FOLD}'.join(self._ways_out())}"
        yield "List-Unsubscribe-Post: List-Unsubscribe=One-Click"
        yield f"List-Subscribe: <{urls.page(self.publication, 'subscribers:sign-up')}>"
        yield f"List-Archive: <{urls.page(self.publication, 'web:front')}>"
        yield f"List-Help: <mailto:{owner}?subject=help>"
        yield f"List-Owner: <mailto:{owner}>"
        yield "List-Post: NO"

    def _ways_out(self) -> Iterator[str]:
        yield f"<{self.unsubscribe_url}>"
        if domain := self.sender.return_domain(self.sender.mailer):
            yield f"<{urls.unsubscribe_by_mail(domain)}>"

    def _feedback_id(self) -> str:
        name = slugify(self._paper).replace("-", "")[:_LONGEST_SENDER_ID]
        if len(name) < _SHORTEST_SENDER_ID:
            name = f"paper{self.publication.pk}{name}"[:_LONGEST_SENDER_ID]
        return f"{self.campaign.pk}:{self.mailing_list.slug}:campaign:{name}"
