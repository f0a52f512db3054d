"""What is sent: an article compiled by the product, with ten of the reader's own links in it.

Ten in each part: the product itself puts one there to unsubscribe, and one into the header. The
other nine are links in the article that carry the reader's token; no editor can write such.
"""

from newsletter.content import mail, stories
from newsletter.content.slots import Marker, Slot
from newsletter.models import Campaign, Version

SUBJECT = "The ferry returns to the islands, {{ name }}"
# Where it stands in the address of a link it becomes the reader's token.
_TOKEN = "READERS-OWN"

_PARAGRAPHS = [
    "The first boat left at six, {{ name | neighbour }}, with two dogs.",
    "The pier was rebuilt over the winter.",
    "“How quiet it is,” says Ida Marsh.",
    "There are four crossings on weekdays, and bicycles travel free.",
    "What it will cost is not decided. The council meets on Thursday.",
    "A second boat has a cook who is known for a pie.",
    "Fog stopped Tuesday’s last crossing.",
    "The school has nine pupils now.",
    "Readers have sent us photographs.",
]
_LINKS = [
    "Timetable", "The pier", "Her list", "Fares", "Paper", "Recipe", "Forecast", "School", "Look",
]  # fmt: skip


def _paragraph(number: int, text: str) -> str:
    link = f"/ferry/{number}?r={_TOKEN}"
    return f'<p>{text} <a href="{link}">{_LINKS[number]}</a></p>'


ARTICLE = {
    "slug": "the-ferry-returns",
    "kicker": "Harbour",
    "headline": "The ferry returns",
    "standfirst": "After two years the morning boat sails again, and the islands have their mail.",
    "byline": "Ida Marsh",
    "body": "".join(_paragraph(*one) for one in enumerate(_PARAGRAPHS)),
}


def versions(campaign: Campaign) -> list[Version]:
    """The campaign's wordings, one for each of its lists."""
    articles = [entry.article for entry in campaign.entries.select_related("article")]
    told = [_personal(stories.story(article)) for article in articles]
    lists = campaign.mailing_lists.select_related("sender", "publication__sender")
    return [mail._version(campaign, mailing_list, told) for mailing_list in lists]


def _personal(story: stories.Story) -> stories.Story:
    own = str(Marker(Slot.UNSUBSCRIBE))
    for element in story.root.walk():
        if link := element.attributes.get("href"):
            element.attributes["href"] = link.replace(_TOKEN, own)
    return story
