"""The few transactional messages: please confirm, welcome, already subscribed."""

import email.message
import email.policy
import time
from collections.abc import Iterator, Mapping
from email.header import Header
from email.headerregistry import HeaderRegistry
from email.utils import formataddr, parseaddr
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.formats import date_format

from subscribers import colours, tokens
from subscribers.models import Letter, Publication, Renewal, Sender, Subscriber, Subscription
from subscribers.posting import post
from subscribers.tokens import Purpose
from subscribers.validators import plain_line, plain_text


def send(letter: Letter) -> None:
    """Hand one letter over, and write down what became of it."""
    subscriber = letter.subscriber
    if subscriber is None or not letter.is_wanted():
        return letter.give_up("Nobody waits for it any more.")
    message, mailers = _compose(letter, subscriber)
    return post(letter, message, mailers)


class LetterMessage(EmailMultiAlternatives):
    """A message whose bytes are 7-bit, and whose List-* headers stand there letter by letter."""

    # Where it bounces to by each mailer that has this from us; by the others to the author.
    bounces: Mapping[str, str] = {}

    def send(self, *args: Any, using: str | None = None, **kwargs: Any) -> int:
        """An address of its own stands on the envelope, and never the author's (BNC-01)."""
        self.from_email = author = self.extra_headers.pop("From", self.from_email)
        if bounces_to := self.bounces.get(using or "default"):
            # Django writes this one on the envelope, and the header on the letter.
            self.extra_headers["From"] = author
            self.from_email = bounces_to
        return super().send(*args, using=using, **kwargs)

    def message(self, *, policy: Any = email.policy.default) -> email.message.EmailMessage:
        # 76: what RFC 2045 leaves for a line in quoted-printable.
        mine = policy.clone(header_factory=_HEADERS, cte_type="7bit", max_line_length=76)
        built = super().message(policy=mine)
        for part in built.walk():
            if part.get_content_maintype() == "text":
                part.set_content(
                    part.get_content(),
                    subtype=part.get_content_subtype(),
                    charset="utf-8",
                    cte="quoted-printable",
                )
                del part["MIME-Version"]
        return built


class _Verbatim:
    """A header that machines read: encoded words or a fold inside would break it (UNS-02, -03)."""

    max_count = 1

    @staticmethod
    def parse(value: str, kwds: dict[str, Any]) -> None:
        kwds["parse_tree"] = None
        kwds["decoded"] = value

    def fold(self, *, policy: email.policy.Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"  # type: ignore[attr-defined]  # BaseHeader's


class _Words(_Verbatim):
    """A free text: what looks like an encoded word in it is text, and never decoded (MSG-06)."""

    def fold(self, *, policy: email.policy.Policy) -> str:
        text, name = str(self), self.name  # type: ignore[attr-defined]  # BaseHeader's.
        is_plain = (
            text.isascii() and "=?" not in text and max(map(len, text.split()), default=0) < 60
        )
        charset = "us-ascii" if is_plain else "utf-8"
        header = Header(text, charset, header_name=name, maxlinelen=policy.max_line_length)
        return f"{name}: {header.encode(linesep=policy.linesep)}{policy.linesep}"


def _headers_of_ours() -> HeaderRegistry:
    registry = HeaderRegistry()
    registry.map_to_type("Subject", _Words)  # type: ignore[arg-type]  # A mixin, as _Verbatim.
    for name in ["List-Unsubscribe", "List-Unsubscribe-Post", "Message-ID"]:
        registry.map_to_type(name, _Verbatim)  # type: ignore[arg-type]  # A mixin, by its documentation.
    return registry


_HEADERS = _headers_of_ours()


def _compose(letter: Letter, subscriber: Subscriber) -> tuple[LetterMessage, list[str]]:
    """The letter in the reader's language, and the mailers it may leave by, in their order."""
    periods = letter.periods()
    publication, sender, language = _house(subscriber, periods)
    with translation.override(language):
        context = _context(letter, subscriber, periods, publication)
        message = LetterMessage(
            subject=plain_line(_rendered(letter, "subject.txt", context)),
            body=plain_text(_rendered(letter, "body.txt", context)).strip() + "\n",
            from_email=_author(sender),
            to=[subscriber.address],
            reply_to=[sender.reply_to] if sender and sender.reply_to else None,
            headers=_headers(letter, sender, context),
        )
        message.attach_alternative(plain_text(_rendered(letter, "body.html", context)), "text/html")
    message.bounces = _bounces(letter, sender)
    return message, sender.letter_mailers if sender else ["default"]


def _house(
    subscriber: Subscriber, periods: list[Subscription]
) -> tuple[Publication, Sender | None, str]:
    """Whose letter it is, who signs it, and in which language: the list's, if it is about one."""
    if periods:
        mailing_list = periods[0].mailing_list
        language = subscriber.language_on(mailing_list)
        return mailing_list.publication, mailing_list.effective_sender, language
    publication = Publication.objects.current()
    return publication, publication.sender, subscriber.language or publication.language


def _rendered(letter: Letter, part: str, context: dict[str, Any]) -> str:
    return render_to_string(f"email/{letter.kind}/{part}", context)


def _author(sender: Sender | None) -> str:
    """A name that looks like an encoded word is taken apart, or Python would decode it (MSG-14)."""
    if sender is None:
        return settings.DEFAULT_FROM_EMAIL
    return formataddr((plain_line(sender.name).replace("=?", "= ?"), sender.email))


def _bounces(letter: Letter, sender: Sender | None) -> dict[str, str]:
    """By mailers, an address that is the letter's own."""
    if sender is None:
        return {}
    local = f"b+{tokens.sign(Purpose.BOUNCE, letter.pk)}"
    domains = {mailer: sender.return_domain(mailer) for mailer in sender.letter_mailers}
    return {mailer: f"{local}@{domain}" for mailer, domain in domains.items() if domain}


def _context(
    letter: Letter, subscriber: Subscriber, periods: list[Subscription], publication: Publication
) -> dict[str, Any]:
    """Nothing in it was written by whoever filled in the form but the address itself (DOI-02)."""
    asked_at = timezone.localtime(letter.asked_at, ZoneInfo(publication.time_zone))
    return {
        "publication": publication,
        "accent": colours.accent(publication.accent),
        "address": subscriber.address,
        "language": translation.get_language(),
        "direction": "rtl" if translation.get_language_bidi() else "ltr",
        "lists": [
            {"mailing_list": period.mailing_list, "leave_url": _leave_url(period)}
            for period in periods
        ],
        "asked_at": date_format(asked_at, "j F Y, H:i"),
        "zone": publication.time_zone,
        "front_url": publication.url("/"),
        "confirm_url": _confirm_url(letter, periods, publication),
        "block_url": _link(publication, "block", subscriber.pk),
        "lift_url": _link(publication, "lift", subscriber.pk),
        "renewal": _renewal(letter, publication),
        "agree_url": _url(publication, "agree", Purpose.AGREE, subscriber.pk),
        "terms_url": publication.url(reverse("subscribers:terms")),
    }


def _confirm_url(letter: Letter, periods: list[Subscription], publication: Publication) -> str:
    """Which letter was answered, its evidence shall tell."""
    if not periods:
        return ""
    numbers = periods[0].pk, int(time.time()), letter.pk
    return _url(publication, "confirm", Purpose.CONFIRM, *numbers)


def _renewal(letter: Letter, publication: Publication) -> Renewal | None:
    """What the reader is asked to agree to."""
    if letter.kind != Letter.Kind.TERMS:
        return None
    return Renewal.objects.filter(terms__publication=publication).latest("terms")


def _headers(letter: Letter, sender: Sender | None, context: dict[str, Any]) -> dict[str, str]:
    headers = {
        "Message-ID": f"<{tokens.sign(Purpose.LETTER, letter.pk)}@{_domain(sender)}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply",
    }
    if letter.kind in {Letter.Kind.WELCOME, Letter.Kind.TERMS}:
        headers["List-Unsubscribe"] = ", ".join(_ways_out(letter.periods()[0], sender))
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


def _domain(sender: Sender | None) -> str:
    """Where a Message-ID says it was made: the domain that the mail is from (MSG-10)."""
    _name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    return (sender.email if sender else address).rpartition("@")[2].encode("idna").decode()


def _leave_url(period: Subscription) -> str:
    publication = period.mailing_list.publication
    return _url(publication, "unsubscribe", Purpose.UNSUBSCRIBE, *_leaving(period))


def _leaving(period: Subscription) -> tuple[int, int, int]:
    return period.subscriber_id, period.mailing_list_id, 0


def _link(publication: Publication, page: str, number: int) -> str:
    """That of a page whose links lapse."""
    return _url(publication, page, Purpose(page), number, int(time.time()))


def _url(publication: Publication, page: str, purpose: Purpose, *numbers: int) -> str:
    token = tokens.sign(purpose, *numbers)
    return publication.url(reverse(f"subscribers:{page}", args=[token]))


def _ways_out(period: Subscription, sender: Sender | None) -> Iterator[str]:
    yield f"<{_leave_url(period)}>"
    if domain := sender.return_domain(sender.letter_mailers[0]) if sender else "":
        token = tokens.sign(Purpose.UNSUBSCRIBE, *_leaving(period))
        yield f"<mailto:u+{token}@{domain}?subject=unsubscribe>"
