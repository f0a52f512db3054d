"""What each list of a campaign gets, and by which mailer; once per worker, not per batch."""

from typing import NamedTuple

from newsletter.content import Mailing, Reader
from newsletter.delivery.audience import Audience
from newsletter.models import Campaign, Version


class Wording(NamedTuple):
    version_id: int
    mailing: Mailing
    mailer: str


class Wordings:
    """The current wordings of one campaign."""

    def __init__(self, campaign: Campaign) -> None:
        versions = _versions(campaign)
        self.campaign_id = campaign.pk
        self._by_list = {
            version.mailing_list_id: Wording(version.pk, Mailing(version), mailer(version))
            for version in versions
        }
        self.version_ids = {wording.version_id for wording in self._by_list.values()}
        self.mailers = sorted({wording.mailer for wording in self._by_list.values()})
        self.audience = Audience(list(self._by_list))

    def of(self, mailing_list_id: int) -> Wording:
        return self._by_list[mailing_list_id]

    def to(self, reader: Reader) -> Wording:
        return self._by_list[reader.mailing_list_id]

    @property
    def first_list(self) -> int:
        return next(iter(self._by_list))


def mailer(version: Version) -> str:
    sender = version.mailing_list.effective_sender
    return sender.mailer if sender else "default"


def _versions(campaign: Campaign) -> list[Version]:
    """In the paper's order of lists: the first that may mail a reader does."""
    versions = campaign.versions.current().select_related(
        "campaign__publication",
        "mailing_list__sender",
        "mailing_list__publication__sender",
    )
    return list(versions.order_by("mailing_list__position", "mailing_list__name", "mailing_list"))
