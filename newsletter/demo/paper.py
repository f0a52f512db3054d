"""The Harbour Post as data: who publishes it, what one can subscribe to, what it wrote.

Nothing of it is real. Addresses are at domains that RFC 2606 keeps for examples.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

_STORIES = Path(__file__).parent / "stories"

EDITOR = "editor"
# What bin/start tells whoever looks around on a laptop.
LAPTOP_PASSWORD = "harbour lights"  # noqa: S105

PUBLICATION = {
    "name": "The Harbour Post",
    "tagline": "News from Port Ellis and the islands",
    "legal_name": "Harbour Post Publishing Ltd",
    "postal_address": "The Harbour Post\n1 Quay Street\nPort Ellis PE1 2QX",
    "language": "en",
    "time_zone": "Europe/London",
    "cancel_window": 10,
}
SENDER = {
    "name": "The Harbour Post",
    "email": "news@harbourpost.example",
    "reply_to": "desk@harbourpost.example",
}
LISTS = [
    {
        "slug": "morning-briefing",
        "name": "Morning Briefing",
        "rhythm": "Weekdays at 6:30",
        "position": 1,
    },
    {
        "slug": "weekend-read",
        "name": "The Weekend Read",
        "rhythm": "Saturdays, one long story",
        "position": 2,
    },
]
TERMS = """\
You give us your email address, and your name if you like. We send you the newsletters that you \
ticked, and nothing else, until you tell us to stop.

The newsletters come from Harbour Post Publishing Ltd, 1 Quay Street, Port Ellis PE1 2QX. The \
Morning Briefing comes on weekdays, The Weekend Read on Saturdays. Sometimes they carry an \
advertisement, which says that it is one.

You first get one email that asks whether it was you. Unless you press its button, we send nothing \
more, and after a month we delete what you entered.

Every newsletter has a link with which you leave in one click. That works at once, needs no \
password, and costs nothing. You can also write to desk@harbourpost.example.

We do not record whether you open a newsletter or what you click in it. We give your address to \
nobody but the company that delivers our mail, and that company may do nothing else with it.

We keep a record of when you agreed, and to which words, because the law asks us to be able to \
show it. If we change these terms, the new ones hold for whoever agrees to them, and not for you."""


@dataclass(frozen=True)
class Story:
    """One article of the demo. Its text is a file beside this one."""

    slug: str
    kicker: str
    headline: str
    standfirst: str
    byline: str
    file: str
    age: timedelta

    @property
    def body(self) -> str:
        return (_STORIES / self.file).read_text(encoding="utf-8")


STORIES = [
    Story(
        slug="night-ferries-return",
        kicker="Transport",
        headline="Night ferries return to the northern route after nine years",
        standfirst="Three crossings a week start in March. The city pays for the first winter, and "
        "says what happens if nobody comes.",
        byline="Mira Okafor",
        file="night-ferries.html",
        age=timedelta(hours=2),
    ),
    Story(
        slug="council-votes-on-the-tram",
        kicker="Council",
        headline="Council votes for the tram, by one hand",
        standfirst="The line to the hospital will be built, the branch to the university will not. "
        "What was decided, and what it costs.",
        byline="Jonas Weir",
        file="tram.html",
        age=timedelta(hours=7),
    ),
    Story(
        slug="rowing-champions",
        kicker="Sport",
        headline="Fifth with two hundred metres to go",
        standfirst="The harbour’s women’s eight are champions of the coast. It took a tenth of a "
        "second and thirty-eight years.",
        byline="Femke Dahl",
        file="rowing.html",
        age=timedelta(hours=21),
    ),
    Story(
        slug="eelgrass",
        kicker="Science",
        headline="The meadow under the bay is back",
        standfirst="Eelgrass covers 61 hectares off Port Ellis, the most since anyone counted. A "
        "seahorse has noticed.",
        byline="Dr Samir Nasser",
        file="eelgrass.html",
        age=timedelta(days=1, hours=5),
    ),
    Story(
        slug="what-the-harbour-sounds-like",
        kicker="The long story",
        headline="What the harbour sounds like at four",
        standfirst="One woman, two microphones and a folding chair: a night on the quay with the "
        "archivist of sounds that have an end date.",
        byline="Lena Brandt",
        file="harbour-sounds.html",
        age=timedelta(days=3),
    ),
    Story(
        slug="fish-pie",
        kicker="At the table",
        headline="The pie that waits for the pilot",
        standfirst="Thirty-one years in the pilot house taught Agnes Thorne one rule: never cook "
        "the fish twice.",
        byline="Tomás Rey",
        file="fish-pie.html",
        age=timedelta(days=4),
    ),
]

FIRST_NAMES = (
    "Aino Amara Anders Anouk Beatriz Birgit Carmen Chidi Clara Daniel Dilek Elif Emil Esther "
    "Farid Fiona Grace Hamza Hana Ida Imran Ingrid Jamal Joana Kenji Klara Leila Linus Magda "
    "Marek Mei Nadia Nils Noor Olga Omar Petra Priya Rosa Samuel"
)
LAST_NAMES = ["Abara", "Bergman", "Castro", "Demir", "Eriksen", "Fontaine", "Gallo", "Haas"]
DOMAINS = ["example.com", "example.net", "example.org", "mail.example", "post.example"]
