"""A campaign compiled to its versions: what goes out is what was previewed."""

from django.utils.translation import override

from newsletter.content import checks, mime, slots
from newsletter.content.errors import ContentError
from newsletter.content.issue import Issue
from newsletter.content.stories import Story, story
from newsletter.models import Article, Campaign, Version
from subscribers.models import MailingList

# Gmail clips a mail whose HTML is longer, and with it the link to leave (HTM-01).
LIMIT = 102_400
# What we reckon for a slot that is open yet: a long name, or a token.
_SLOT = 120


def compile_versions(campaign: Campaign) -> list[Version]:
    """One unsaved version for each of the campaign's lists, to look at and to test.

    Raises ContentError.
    """
    articles = _articles(campaign)
    mailing_lists = list(
        campaign.mailing_lists.select_related("sender", "publication__sender").order_by("id")
    )
    if problems := checks.problems(campaign, articles, mailing_lists):
        raise ContentError(problems)
    stories = [story(article) for article in articles]
    return [_version(campaign, mailing_list, stories) for mailing_list in mailing_lists]


def freeze_versions(campaign: Campaign) -> list[Version]:
    """The versions that go out: as compile_versions, of articles that readers can open.

    Raises ContentError.
    """
    if problems := unpublished(campaign):
        raise ContentError(problems)
    return compile_versions(campaign)


def specimen(mailing_list: MailingList, article: Article) -> Version:
    """What a campaign of this article to this list would be; neither of them need be stored.

    For trying how mail arrives, not what it says. Raises ContentError.
    """
    campaign = Campaign(pk=0, publication=mailing_list.publication, subject=article.headline)
    return _version(campaign, mailing_list, [story(article)])


def unpublished(campaign: Campaign) -> list[str]:
    """Which articles keep the campaign from going out, in words."""
    return checks.unpublished(_articles(campaign))


def size(version: Version) -> int:
    """How many bytes of HTML a reader gets, about; compare with LIMIT.

    `version.is_excerpt` says whether it was cut to fit, `version.whole_size` what the whole takes.
    """
    return _size(version.html)


def _articles(campaign: Campaign) -> list[Article]:
    entries = campaign.entries.select_related("article__publication").order_by("position", "id")
    return [entry.article for entry in entries]


def _size(html: str) -> int:
    return sum(
        len(piece.encode()) if isinstance(piece, str) else _SLOT for piece in slots.split(html)
    )


def _version(campaign: Campaign, mailing_list: MailingList, stories: list[Story]) -> Version:
    sender = mailing_list.effective_sender
    if sender is None:
        raise ContentError([f"{mailing_list} has no sender"])
    with override(mailing_list.language or mailing_list.publication.language):
        issue = Issue(campaign, mailing_list, sender, stories)
        html = whole = issue.html(stories)
        shown = stories
        if _size(whole) > LIMIT:
            if campaign.length == Campaign.Length.WHOLE:
                html = issue.html_to_be_clipped(stories)
            else:
                shown, html = _excerpt(issue)
        text = issue.text(shown)
        return Version(
            campaign=campaign,
            mailing_list=mailing_list,
            subject=issue.subject,
            html=html,
            text=text,
            message=mime.message(issue.fields(), text, html),
            whole_size=_size(whole),
            is_excerpt=shown is not stories,
        )


def _excerpt(issue: Issue) -> tuple[list[Story], str]:
    """The stories cut until the mail fits: the long ones to one length, the short ones whole."""
    longest = LIMIT
    while True:
        shown = [story.cut(longest) for story in issue.stories]
        html = issue.html(shown)
        if _size(html) <= LIMIT or not longest:
            return shown, html
        # Styles take their part; how much is only known when they are on the elements.
        longest = int(longest * LIMIT / _size(html) * 0.97)
