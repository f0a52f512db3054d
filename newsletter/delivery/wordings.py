"""What each list of a campaign gets, once per worker, not per batch; and by which mailers."""

from collections.abc import Iterable
from typing import NamedTuple

from newsletter.content import Mailing, Reader
from newsletter.delivery.audience import Audience
from newsletter.models import Campaign, Version
from subscribers.models import MailingList


class Wording(NamedTuple):
    version_id: int
    mailing: Mailing


class Wordings:
    """The current wordings of one campaign."""

    def __init__(self, campaign: Campaign) -> None:
        versions = _versions(campaign)
        self.campaign_id = campaign.pk
        self._by_list = {
            version.mailing_list_id: Wording(version.pk, Mailing(version)) for version in versions
        }
        self.version_ids = {wording.version_id for wording in self._by_list.values()}
        self.lists = list(self._by_list)
        self.audience = Audience(self.lists)

    def of(self, mailing_list_id: int) -> Wording:
        return self._by_list[mailing_list_id]

    def to(self, reader: Reader) -> Wording:
        return self._by_list[reader.mailing_list_id]

    @property
    def first_list(self) -> int:
        return self.lists[0]


def ways(mailing_lists: Iterable[int]) -> dict[int, list[str]]:
    """By which mailers each list's mail may leave, as of now, the first preferred."""
    chosen = MailingList.objects.filter(pk__in=list(mailing_lists))
    rows = chosen.select_related("sender", "publication__sender")
    return {row.pk: row.mailers for row in rows}


def mailer(version: Version) -> str:
    """By which a test mail goes, whatever its state: it shows how all would go."""
    return version.mailing_list.mailers[0]


def _versions(campaign: Campaign) -> list[Version]:
    """In the paper's order of lists: the first that may mail a reader does."""
    versions = campaign.versions.current().select_related(
        "campaign__publication",
        "mailing_list__sender",
        "mailing_list__publication__sender",
    )
    return list(versions.order_by("mailing_list__position", "mailing_list__name", "mailing_list"))
