"""Whose fault a refusal is. Codes mislead, so the rules are data: the first that fits decides.

The raw answer is kept beside every verdict; a rule that proves wrong is one line here.
"""

import enum
import re
from datetime import timedelta
from typing import NamedTuple


class Fault(enum.Enum):
    NO_MAILBOX = "no mailbox"  # Nobody is there: failed, a hard bounce.
    RECIPIENT = "recipient"  # This reader cannot be reached this time: failed, held against nobody.
    POLICY = "policy"  # They do not want it from us: once it is the reader's, many times ours.
    PROVIDER = "provider"  # Not now, for this reader: tried again.
    EVERYBODY = "everybody"  # Not now, for nobody: the batch rests.
    SENDER = "sender"  # We did something wrong: the campaign pauses.
    UNKNOWN = "unknown"  # It may have gone out: uncertain.


class Rule(NamedTuple):
    """Where in the conversation and at which mailbox providers (blank: any), what the answer
    looks like, and whose fault it then is."""

    steps: str
    providers: str
    answer: re.Pattern[str]
    fault: Fault

    def fits(self, step: str, answer: str, provider: str) -> bool:
        return (
            (not self.steps or step in self.steps.split())
            and (not self.providers or provider in self.providers.split())
            and self.answer.match(answer) is not None
        )


def _rule(steps: str, answer: str, fault: Fault, providers: str = "") -> Rule:
    return Rule(steps, providers, re.compile(answer, re.IGNORECASE), fault)


# What servers say where nobody is, in the languages that we met.
_NOBODY = (
    r".*(unknown (user|recipient|account|mailbox|local part|or illegal alias|address)"
    r"|(user|recipient|mailbox|account|address)( is| was)?( [^ ]*@)? ?unknown"
    r"|(no such|not a valid|invalid) (user|recipient|mailbox|address|account|person)"
    r"|no (mailbox|account|user) (here|found|by that name|with)|nosuchuser|recipientnotfound"
    r"|(user|recipient|mailbox|account|address|person)[^.;:]{0,40}"
    r"(does not exist|doesn'?t exist|not found|couldn'?t be found|could not be found|not exist)"
    r"|doesn'?t have an? [^ ]+ account"
    r"|(mailbox|account|user|address)[^.;:]{0,60}(disabled|inactive|inactivity|discontinued"
    r"|deactivated|terminated|no longer|expired|closed|deleted)"
    r"|mailbox (is )?unavailable|recipient (address )?(was )?rejected\b(?!: (access|.*policy))"
    r"|recipient is not local|unrouteable address|undeliverable address|not our customer"
    r"|utilisateur inconnu|destinataire (inconnu|invalide)|adresse (inconnue|d au moins un)"
    r"|n.existe pas|compte inexistant"
    r"|unbekannter? (benutzer|empf|nutzer)|empf(ä|ae)nger (ist )?unbekannt|existiert nicht"
    r"|(usuario|destinatario) (desconocido|inexistente)|no existe"
    r"|utente sconosciuto|(utente|casella) inesistente|non esiste"
    r"|(usu[aá]rio|conta) (desconhecido|inexistente)|n[aã]o existe"
    r"|onbekende? gebruiker|gebruiker onbekend|bestaat niet"
    r"|nie istnieje|nieznany (uzytkownik|użytkownik|odbiorca)"
    r"|не существует|не найден|неизвестн)"
)
# What they say where they do not like us: block lists, authentication, our own records.
_UNWANTED = (
    r".*(blocked using|spamhaus|spamcop|barracuda|proofpoint|cloudmark"
    r"|sorbs|uceprotect|dnsbl|\brbl\b"
    r"|(block|black|deny).?list|(?<!not )\blisted (at|in|by|on)\b|\bs3150\b|\bs3140\b|reputation"
    r"|\bspam\b|unsolicited|bulk mail|\bspf\b|\bdkim\b|\bdmarc\b|unauthenticated (mail|email)"
    r"|ptr (resource )?record|reverse dns|resource record|(due to|for|by|against|local) policy"
    r"|policy (reasons|restrictions|violation)|frequency limited|content (denied|rejected)"
    r"|ask your postmaster for help|banned|suspicion)"
)
# Less certain, and looked at only where no enhanced code says more.
_DISLIKED = r".*(blocked|policy|rejected due to|denied|refused|not allowed|prohibited|not accepted)"

# An answer of SMTP is "550 5.1.1 No such user". Steps: login (all before the first MAIL), mail,
# rcpt, data.
_SMTP = [
    _rule("login", r"4", Fault.EVERYBODY),
    _rule("login", r"", Fault.SENDER),
    # A relay that hands on how its own next hop slows us: 4.7.x is about us at that provider.
    _rule("rcpt data", r"421 4\.7\.", Fault.PROVIDER),
    _rule("rcpt data", r"421\b.*(unsolicited|user complaints|rate limited|\[tss)", Fault.PROVIDER),
    # 421: the server is going away; whoever it said so to is no more to blame than the next.
    _rule("", r"421\b", Fault.EVERYBODY),
    # Amazon's own relay: too fast for a second, or too much for a day.
    _rule("", r"4\d\d\b.*daily message quota exceeded", Fault.SENDER),
    _rule("", r"4\d\d\b.*(throttling failure|maximum sending rate exceeded)", Fault.EVERYBODY),
    _rule("mail", r"4", Fault.EVERYBODY),
    _rule("mail", r"", Fault.SENDER),
    _rule("", r"4", Fault.PROVIDER),
    # Asked to log in, or not allowed to relay: every reader would hear the same.
    _rule("", r"53[0458]\b", Fault.SENDER),
    # Yahoo says so of accounts that it does not know, and is no relay of ours.
    _rule("", r"5.*relaying denied for", Fault.RECIPIENT, "yahoo"),
    _rule("", r"5.*relay(ing)? (access )?(is )?(denied|not (permitted|allowed))", Fault.SENDER),
    _rule("", r"5.*(unable to relay|not permitted to relay|tenantattribution)", Fault.SENDER),
    _rule("", r"5.*(authentication (is )?required|must authenticate|not logged in)", Fault.SENDER),
    _rule("", r"5.*(not owned by user|send ?as ?denied|permissions to send as)", Fault.SENDER),
    _rule("", r"5.*(address|domain|identity) (is )?not verified", Fault.SENDER),
    _rule("", r"5.*must issue a starttls|5\d\d 5\.7\.(10|3) .*(starttls|tls)", Fault.SENDER),
    _rule("", r"550 5\.4\.5\b.*sending (quota|limit)|5.*unusual sending activity", Fault.SENDER),
    _rule(
        "",
        r"5.*(daily|hourly|monthly)( \w+)? ?(sending|message|mail|email) (quota|limit)",
        Fault.SENDER,
    ),
    # Too large for the server: the message is the same for everybody.
    _rule("", r"55\d 5\.3\.4\b(?!.*(recipient|mailbox))", Fault.SENDER),
    # The known liars, each at its own house.
    _rule("", r"550( 5\.5\.0)? .*mailbox unavailable", Fault.NO_MAILBOX, "microsoft"),
    _rule(
        "",
        r"55[0-9]\b.*(mailbox is disabled|\[-30\]|554\.30|account (is )?disabled|\[-5\]"
        r"|doesn'?t have an? [^ ]* ?account|mailbox not found)",
        Fault.NO_MAILBOX,
        "yahoo",
    ),
    _rule("", r"554 .*delivery error", Fault.RECIPIENT, "yahoo"),
    _rule("", r"5.*OFR\w*_(506|999)\b", Fault.POLICY, "orange"),
    _rule("", r"5.*LPN007_510\b", Fault.POLICY, "laposte"),
    # Who may write to this group or mailbox is a setting of its owner's.
    _rule("", r"55\d 5\.7\.1[23]\d\b", Fault.RECIPIENT),
    # The mailbox is there, and has too much of everybody's mail.
    _rule("", r"55\d\b.*(receiving mail (too quickly|at a rate))", Fault.RECIPIENT),
    _rule("", r"55\d 5\.1\.(1|10)\b" + _NOBODY, Fault.NO_MAILBOX),
    # Yandex and some gateways put an unknown user under policy.
    _rule("", r"55\d 5\.7\.1 (.*: )?(no such user|user unknown|unknown user)", Fault.NO_MAILBOX),
    _rule("", r"5" + _UNWANTED, Fault.POLICY),
    # A sender's domain that cannot be looked up: ours to mend, and seldom only theirs to find.
    _rule(
        "", r"55\d 5\.1\.[78]\b|5\d\d\b.*(sender (address )?(was )?(rejected|denied))", Fault.POLICY
    ),
    _rule("", r"5\d\d 5\.7\.", Fault.POLICY),
    # Exchange's edge says so of unknown readers and of strangers alike.
    _rule("", r"55\d 5\.4\.", Fault.RECIPIENT),
    _rule("", r"55\d\b.*(over ?quota|quota exceeded|mailbox (is )?full|storage)", Fault.RECIPIENT),
    _rule("", r"55\d 5\.(2\.[0234]|3\.\d+|6\.\d+)\b", Fault.RECIPIENT),
    _rule("", r"55\d 5\.1\.0\b(?!" + _NOBODY + ")", Fault.RECIPIENT),
    _rule("", r"55\d 5\.1\.[49]\b", Fault.RECIPIENT),
    _rule("", r"55\d 5\.(1\.\d+|2\.1)\b", Fault.NO_MAILBOX),
    _rule("rcpt data", r"55[0134]\b" + _NOBODY, Fault.NO_MAILBOX),
    # Words decide only where no enhanced code does.
    _rule("", r"55\d (?!5\.\d+\.\d+\b)" + _DISLIKED, Fault.POLICY),
    _rule("", r"5", Fault.RECIPIENT),
    _rule("", r"", Fault.PROVIDER),
]

# An answer of a provider's API is "429 Too Many Requests ...": its status, and where they have
# one their own code ("422 406"), then its words. Amazon says its errors by name.
_HTTP = [
    _rule("", r"429\b|\d+ (TooManyRequests|Throttling|ACCOUNT_THROTTLED)", Fault.EVERYBODY),
    _rule("", r"40[1234]\b", Fault.SENDER),
    _rule(
        "",
        r"\d+ (AccountSuspended|SendingPaused|MailFromDomainNotVerified|LimitExceeded"
        r"|ACCOUNT_|MAIL_FROM_|CONFIGURATION_SET_|INVALID_SENDING_POOL|TEMPLATE_)",
        Fault.SENDER,
    ),
    # Amazon: "Email address is not verified" is said of our own, or while all are on trial.
    _rule("", r"\d+ MESSAGE_?REJECTED\b.*not verified", Fault.SENDER),
    _rule("", r"\d+ MESSAGE_?REJECTED\b", Fault.POLICY),
    _rule("", r"\d+ TRANSIENT_FAILURE", Fault.PROVIDER),
    # Postmark: a token, a sender, a stream or an account that is not, or not yet, allowed to send.
    _rule("", r"422 (10|400|401|405|412|413|1235)\b", Fault.SENDER),
    _rule("", r"422 (100|429)\b", Fault.EVERYBODY),
    _rule(
        "",
        r"4\d\d\b.*((invalid|parsing|unauthorized) .?(from|sender)\b|from parameter is not)",
        Fault.SENDER,
    ),
    # "Inactive" at Postmark may also be one who complained.
    _rule("", r"422 406\b", Fault.RECIPIENT),
    # Its twin is on its way, or was something else.
    _rule("", r"409\b", Fault.UNKNOWN),
    _rule("", r"408\b|425\b", Fault.EVERYBODY),
    _rule("", r"503\b", Fault.EVERYBODY),
    # A gateway gave up waiting for what may well have happened behind it.
    _rule("", r"50[24]\b", Fault.UNKNOWN),
    _rule("", r"5", Fault.PROVIDER),
    # An address that a provider refuses unasked may be well with others: no hard bounce.
    _rule("", r"4|invalid\b|rejected\b|failed\b|address\b", Fault.RECIPIENT),
    # A success that cannot be read.
    _rule("", r"", Fault.UNKNOWN),
]

# "4.7.28", "TSS04", "unsolicited": they slow us for what we are, not for how they are.
_SLOWED = re.compile(
    r"4\d\d\b( 4\.7\.(28|26|27|32)\b|.*(\[tss|unsolicited|user complaints|reputation))", re.I
)
# Asked to sign in, a key that is not known, an account that is closed: by whatever message.
_LOCKED_OUT = re.compile(
    r"53[0458]\b|401\b|403\b.*api[ _-]?key|422 (10|405|412|413)\b"
    r"|\d+ (AccountSuspended|SendingPaused|InvalidClientTokenId|SignatureDoesNotMatch"
    r"|UnrecognizedClient|ACCOUNT_SUSPENDED|ACCOUNT_SENDING_PAUSED)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"[^\s<>]*@[^\s<>]*")
_LOCAL_PART = re.compile(r"[^\s<>@:;,\"'()\[\]]+@")
_REST = re.compile(
    r"(?:try|retry|again|wait|come back|after|delayed|greylist\w*)\D{0,40}?(\d{1,6})\s*"
    r"(s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?)\b",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\b(?:in|for|after|wait)\s+(\d{1,2}):(\d\d):(\d\d)\b", re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
# Where a report names the answer: "550 5.1.1", "smtp; 550-5.1.1", "host mx.example said: 550".
_REPLY = re.compile(r"(?:^|said: ?|; ?|: )([45]\d\d)(?=[ -]|$)", re.IGNORECASE)
_ENHANCED = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
_TELLING_WORDS = re.compile(f"{_NOBODY}|{_UNWANTED}", re.IGNORECASE)


def of_smtp(step: str, code: str, text: str, mailbox_provider: str = "other") -> Fault:
    """`code` is "550 5.1.1", the enhanced one with it where there is one."""
    return _first(_SMTP, step, code, text, mailbox_provider)


def of_http(code: str, text: str) -> Fault:
    return _first(_HTTP, "", code, text, "")


def of_return(
    code: str, text: str, mailbox_provider: str = "other", reporter: Fault = Fault.UNKNOWN
) -> Fault:
    """What came back later, in a bounce or a provider's report, for a message that failed for good.

    `code` is as it came: "550 5.1.1", "5.1.1" (the Status of RFC 3464), "550" or blank; the text
    often says more, and is believed where the code is none or the least specific (5.0.0). Where
    neither has a code, `reporter` says what it is taken for; UNKNOWN: its words decide. Temporary
    failures ended in it too: the server was asked until the sender gave up.
    """
    answer = _returned(code, text)
    if not answer and (reporter is not Fault.UNKNOWN or not _TELLING_WORDS.match(text)):
        return reporter
    answer = answer or "550"
    if answer.startswith("4") and (" 4.7." in answer[:8] or is_dislike(answer, text)):
        return Fault.POLICY
    return _first(_SMTP, "data", answer, text, mailbox_provider)


def is_dislike(code: str, text: str) -> bool:
    """Whether a deferral is about us at that provider, and so as good as a refusal of ours."""
    return _SLOWED.match(_answer(code, text)) is not None


def is_lockout(code: str, text: str) -> bool:
    """Whether a fault of ours is one of our account there, and of no message."""
    return _LOCKED_OUT.match(_answer(code, text)) is not None


def rest_in(text: str) -> timedelta | None:
    """How long an answer asks us to wait, if it says so in words."""
    if clock := _CLOCK.search(text):
        hours, minutes, seconds = map(int, clock.groups())
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if asked := _REST.search(text):
        return timedelta(**{_UNITS[asked[2][0].lower()]: int(asked[1])})
    return None


def without_addresses(text: str) -> str:
    """Fit to be kept, and shown to others than the reader."""
    return _LOCAL_PART.sub("•••@", text)


def _first(rules: list[Rule], step: str, code: str, text: str, provider: str) -> Fault:
    answer = _answer(code, text)
    return next(rule.fault for rule in rules if rule.fits(step, answer, provider))


def _returned(code: str, text: str) -> str:
    """As a server would have said it: "550 5.1.1"; blank if nobody can tell."""
    enhanced = _ENHANCED.findall(f"{code} {text[:1000]}")
    specific = next((one for one in enhanced if not one.endswith(".0.0")), "".join(enhanced[:1]))
    reply = _REPLY.search(code) or _REPLY.search(text[:1000])
    if reply and specific.startswith(reply[1][0]):
        return f"{reply[1]} {specific}"
    if specific:
        return f"{specific[0]}50 {specific}"
    return reply[1] if reply else ""


def _answer(code: str, text: str) -> str:
    """In one line, and without addresses: "spam@example.org" is no word about us."""
    return _ADDRESS.sub("@", f"{code} {' '.join(text[:1000].split())}")
