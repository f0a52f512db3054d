"""Whose fault a refusal is: what servers out there really answer."""

from datetime import timedelta

import pytest

from newsletter import faults
from newsletter.faults import Fault

NO_MAILBOX, RECIPIENT, POLICY = Fault.NO_MAILBOX, Fault.RECIPIENT, Fault.POLICY
PROVIDER, EVERYBODY, SENDER = Fault.PROVIDER, Fault.EVERYBODY, Fault.SENDER

GMAIL = [
    ("550 5.1.1", "The email account that you tried to reach does not exist.", NO_MAILBOX),
    ("550 5.2.1", "The email account that you tried to reach is disabled.", NO_MAILBOX),
    ("550 5.1.2", "We weren't able to find the recipient domain.", NO_MAILBOX),
    ("552 5.2.2", "The email account that you tried to reach is over quota.", RECIPIENT),
    ("552 5.2.3", "Your message exceeded Google's message size limits.", RECIPIENT),
    (
        "550 5.2.1",
        (
            "The user you are trying to contact is receiving mail at a rate that prevents"
            " additional messages from being delivered."
        ),
        RECIPIENT,
    ),
    ("450 4.2.1", "The user you are trying to contact is receiving mail too quickly.", PROVIDER),
    ("421 4.7.28", "Our system has detected an unusual rate of unsolicited mail.", PROVIDER),
    ("421 4.7.0", "Try again later, closing connection.", PROVIDER),
    ("451 4.3.0", "Mail server temporarily rejected message.", PROVIDER),
    ("550 5.7.26", "This mail is unauthenticated, which poses a security risk.", POLICY),
    ("550 5.7.27", "The sender's SPF check did not pass.", POLICY),
    ("550 5.7.28", "There is an unusual rate of mail originating from your IP.", POLICY),
    ("550 5.7.1", "Our system has detected that this message is likely unsolicited mail.", POLICY),
    (
        "552 5.7.0",
        "This message was blocked because its content presents a security issue.",
        POLICY,
    ),
    ("550 5.7.25", "The sending IP does not have a PTR record setup.", POLICY),
]

MICROSOFT = [
    ("550 5.5.0", "Requested action not taken: mailbox unavailable (S2017062302).", NO_MAILBOX),
    ("550", "Requested action not taken: mailbox unavailable", NO_MAILBOX),
    (
        "550 5.1.10",
        "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP lookup",
        NO_MAILBOX,
    ),
    ("550 5.4.1", "Recipient address rejected: Access denied. AS(201806281)", RECIPIENT),
    ("550 5.7.515", "Access denied, sending domain does not meet authentication level.", POLICY),
    ("550 5.7.606", "Access denied, banned sending IP [192.0.2.7].", POLICY),
    ("550 5.7.649", "Access denied, banned sending IP.", POLICY),
    (
        "550 5.7.1",
        (
            "Unfortunately, messages from [192.0.2.7] weren't sent. Part of their network is"
            " on our block list (S3150)."
        ),
        POLICY,
    ),
    ("550 5.7.1", "Service unavailable, Client host [192.0.2.7] blocked using Spamhaus.", POLICY),
    ("550 5.7.129", "RESOLVER.RST.RestrictedToRecipientsPermission; not authorized", RECIPIENT),
    ("554 5.2.2", "mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException", RECIPIENT),
    ("550 5.4.14", "Hop count exceeded - possible mail loop ATTR34", RECIPIENT),
    ("451 4.7.650", "The mail server has been temporarily rate limited.", PROVIDER),
    ("451 4.7.500", "Server busy. Please try again later.", PROVIDER),
]

YAHOO = [
    ("554", "delivery error: dd This user doesn't have a yahoo.com account [-5]", NO_MAILBOX),
    (
        "554",
        (
            "30 Sorry, your message to ann@yahoo.com cannot be delivered. This mailbox is disabled"
            " (554.30)."
        ),
        NO_MAILBOX,
    ),
    ("554", "delivery error: dd This account is disabled [-30]", NO_MAILBOX),
    ("552", "1 Requested mail action aborted, mailbox not found", NO_MAILBOX),
    ("554", "delivery error: dd Requested mail action aborted", RECIPIENT),
    ("550", "relaying denied for <ann@yahoo.com>", RECIPIENT),
    ("554 5.7.9", "Message not accepted for policy reasons.", POLICY),
    (
        "553 5.7.1",
        (
            "[BL21] Connections will not be accepted from 192.0.2.7, because the ip is in"
            " Spamhaus's list"
        ),
        POLICY,
    ),
    (
        "421 4.7.0",
        "[TSS04] Messages from 192.0.2.7 temporarily deferred due to user complaints",
        PROVIDER,
    ),
    ("421", "4.7.1 [TSS04] Messages temporarily deferred due to unexpected volume", PROVIDER),
]

APPLE = [
    ("550 5.1.1", "<ann@icloud.com>: user does not exist", NO_MAILBOX),
    ("550 5.1.1", "unknown or illegal alias: ann@icloud.com", NO_MAILBOX),
    ("550 5.1.6", "recipient no longer on server: ann@icloud.com", NO_MAILBOX),
    ("552 5.2.2", "<ann@icloud.com>: user is over quota", RECIPIENT),
    ("550 5.7.1", "Your message was rejected due to harbour.example's DMARC policy.", POLICY),
    ("554 5.7.1", "[HM08] Message rejected due to local policy.", POLICY),
    ("550 5.7.0", "Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.7", POLICY),
]

ORANGE = [
    ("550 5.1.1", "Adresse d au moins un destinataire invalide. OFR204_416 [416]", NO_MAILBOX),
    ("550 5.2.0", "Mail rejected. ofr_506 [506]", POLICY),
    ("421", "Service refused, please try later. 4.7.1 Too many connections, slow down.", EVERYBODY),
]

LAPOSTE = [
    ("550 5.5.0", "Service refuse. Veuillez essayer plus tard. LPN007_510", POLICY),
    ("550 5.1.1", "Adresse inconnue. Invalid recipient. LPN105_403", NO_MAILBOX),
]

GMX = [
    ("550", "Requested action not taken: mailbox unavailable", NO_MAILBOX),
    (
        "550",
        "Requested action not taken: mailbox unavailable invalid DNS MX or A/AAAA resource record",
        POLICY,
    ),
    ("554", "Transaction failed Reject due to policy restrictions.", POLICY),
    (
        "554",
        "Nemesis ESMTP Service not available No SMTP service IP address is block listed.",
        POLICY,
    ),
    ("552", "Requested mail action aborted: exceeded storage allocation", RECIPIENT),
]

OTHER = [
    (
        "550 5.1.1",
        "<ann@example.org>: Recipient address rejected: User unknown in virtual mailbox table",
        NO_MAILBOX,
    ),
    ("550 5.1.1", "<spam@example.org>: Recipient address rejected: User unknown", NO_MAILBOX),
    ("550", "No such user here", NO_MAILBOX),
    ("550", "ann@mail.example: Utilisateur inconnu", NO_MAILBOX),
    ("550", "Der Empfänger ist unbekannt", NO_MAILBOX),
    ("550", "El usuario no existe", NO_MAILBOX),
    ("550", "Casella inesistente", NO_MAILBOX),
    (
        "550",
        (
            "Message was not accepted -- invalid mailbox. Local mailbox ann@mail.ru is"
            " unavailable: user not found"
        ),
        NO_MAILBOX,
    ),
    ("550 5.7.1", "No such user!", NO_MAILBOX),
    ("550 5.2.1", "This mailbox has been blocked due to inactivity", NO_MAILBOX),
    ("556 5.1.10", "Recipient address has a null MX", NO_MAILBOX),
    ("553 5.1.3", "Invalid address syntax", NO_MAILBOX),
    ("550 5.1.0", "Address rejected.", RECIPIENT),
    ("550 5.1.0", "<ann@example.org> User unknown", NO_MAILBOX),
    ("550 5.1.8", "<news@harbour.example>: Sender address rejected: Domain not found", POLICY),
    ("550", "spam message rejected. Please visit http://help.mail.ru/notspam-support", POLICY),
    ("554 5.7.1", "[1] Message rejected under suspicion of SPAM", POLICY),
    (
        "554 5.7.1",
        "Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org",
        POLICY,
    ),
    ("550 5.1.1", "Rejected: 192.0.2.7 has a poor reputation", POLICY),
    (
        "554",
        (
            "IP=192.0.2.7 - A problem occurred. (Ask your postmaster for help or to contact"
            " tobr@rx.t-online.de to clarify.)"
        ),
        POLICY,
    ),
    ("550", "Mail from your server was blocked", POLICY),
    ("550", "Rejected due to your configuration", POLICY),
    ("550", "Ip frequency limited", POLICY),
    ("553 5.6.7", "Address requires SMTPUTF8", RECIPIENT),
    ("554 5.3.0", "Cannot store the message", RECIPIENT),
    ("554 5.4.6", "Too many hops", RECIPIENT),
    ("554", "Transaction failed", RECIPIENT),
    ("450 4.7.1", "Greylisted, please try again in 300 seconds", PROVIDER),
    ("451 4.7.1", "Greylisting in action, please come back later", PROVIDER),
    ("452 4.2.2", "Mailbox full", PROVIDER),
    ("421 4.3.2", "The system is shutting down", EVERYBODY),
    ("421 4.4.2", "Timeout exceeded", EVERYBODY),
    ("454", "Throttling failure: Maximum sending rate exceeded.", EVERYBODY),
    ("454", "Throttling failure: Daily message quota exceeded.", SENDER),
    ("530 5.7.0", "Must issue a STARTTLS command first", SENDER),
    ("535 5.7.8", "Authentication credentials invalid", SENDER),
    ("554 5.7.1", "<ann@example.org>: Relay access denied", SENDER),
    ("550 5.7.54", "SMTP; Unable to relay recipient in non-accepted domain", SENDER),
    ("550 5.4.5", "Daily user sending limit exceeded.", SENDER),
    ("554", "Message rejected: Email address is not verified.", SENDER),
    ("553 5.7.1", "<news@harbour.example>: Sender address rejected: not owned by user x", SENDER),
    ("552 5.3.4", "Message size exceeds fixed limit", SENDER),
    ("552 5.3.4", "Message too large for this recipient", RECIPIENT),
]

ANSWERS = [
    (provider, *answer)
    for provider, answers in {
        "gmail": GMAIL,
        "microsoft": MICROSOFT,
        "yahoo": YAHOO,
        "apple": APPLE,
        "orange": ORANGE,
        "laposte": LAPOSTE,
        "gmx": GMX,
        "other": OTHER,
    }.items()
    for answer in answers
]


@pytest.mark.parametrize(("provider", "code", "text", "fault"), ANSWERS)
def test_an_answer_to_rcpt_is_the_fault_of(provider, code, text, fault):
    assert faults.of_smtp("rcpt", code, text, provider) is fault


@pytest.mark.parametrize(("provider", "code", "text", "fault"), ANSWERS)
def test_an_answer_means_the_same_after_data(provider, code, text, fault):
    assert faults.of_smtp("data", code, text, provider) is fault


@pytest.mark.parametrize(
    ("step", "code", "fault"),
    [
        ("login", "421 4.7.0", EVERYBODY),
        ("login", "454 4.7.0", EVERYBODY),
        ("login", "535 5.7.8", SENDER),
        ("login", "554 5.7.1", SENDER),
        ("mail", "421 4.7.0", EVERYBODY),
        ("mail", "452 4.3.1", EVERYBODY),
        ("mail", "550 5.1.8", SENDER),
        ("mail", "552 5.3.4", SENDER),
    ],
)
def test_before_a_reader_is_named_none_is_to_blame(step, code, fault):
    assert faults.of_smtp(step, code, "") is fault


def test_the_same_words_mean_another_thing_at_another_house():
    words = "550", "relaying denied for <ann@example.org>"

    assert faults.of_smtp("rcpt", *words, "yahoo") is RECIPIENT
    assert faults.of_smtp("rcpt", *words, "other") is SENDER


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("Greylisted, please try again in 5 minutes", timedelta(minutes=5)),
        ("Greylisted for 300 seconds", timedelta(seconds=300)),
        ("Please retry after 1 hour", timedelta(hours=1)),
        (
            "Greylisted, see http://postgrey.example; wait 00:04:30",
            timedelta(minutes=4, seconds=30),
        ),
        ("try again later (10 messages today)", None),
        ("4.7.0 Try again later, closing connection.", None),
    ],
)
def test_an_answer_may_ask_for_rest(text, rest):
    assert faults.rest_in(text) == rest


@pytest.mark.parametrize(
    ("code", "text", "is_dislike"),
    [
        ("421 4.7.28", "An unusual rate of mail", True),
        ("421 4.7.0", "[TSS04] Messages deferred due to user complaints", True),
        ("451 4.7.1", "Greylisted", False),
        ("452 4.2.2", "Mailbox full", False),
    ],
)
def test_some_deferrals_are_about_us(code, text, is_dislike):
    assert faults.is_dislike(code, text) is is_dislike


@pytest.mark.parametrize(
    ("code", "text", "fault"),
    [
        ("429", "", Fault.EVERYBODY),
        ("400", "ThrottlingException Rate exceeded", Fault.EVERYBODY),
        ("400", "ACCOUNT_THROTTLED Maximum sending rate exceeded", Fault.EVERYBODY),
        ("400", "AccountSuspendedException", Fault.SENDER),
        ("400", "ACCOUNT_SENDING_PAUSED", Fault.SENDER),
        ("400", "MAIL_FROM_DOMAIN_NOT_VERIFIED", Fault.SENDER),
        ("400", "MESSAGE_REJECTED Email address is not verified.", Fault.SENDER),
        ("400", "MESSAGE_REJECTED Sending suspended for this content", Fault.POLICY),
        ("400", "TRANSIENT_FAILURE", Fault.PROVIDER),
        ("400", "INVALID_PARAMETER Invalid address", Fault.RECIPIENT),
        ("401", "", Fault.SENDER),
        ("403 send-0008", "is not an authorized sender", Fault.SENDER),
        ("409", "concurrent_idempotent_requests", Fault.UNKNOWN),
        ("422 300", "Invalid 'From' address: 'x'.", Fault.SENDER),
        ("422 300", "Invalid 'To' address: 'x'.", Fault.RECIPIENT),
        ("422 405", "Not allowed to send", Fault.SENDER),
        ("422 406", "Found inactive addresses", Fault.RECIPIENT),
        ("400", "from parameter is not a valid address", Fault.SENDER),
        ("502", "", Fault.UNKNOWN),
        ("503", "", Fault.EVERYBODY),
        ("500", "", Fault.PROVIDER),
        ("422", "", Fault.RECIPIENT),
        ("200", "not JSON", Fault.UNKNOWN),
    ],
)
def test_whose_fault_a_providers_answer_is(code, text, fault):
    assert faults.of_http(code, text) is fault


@pytest.mark.parametrize(
    ("code", "text", "is_lockout"),
    [
        ("401", "Forbidden", True),
        ("403", "API key is invalid", True),
        ("403 send-0008", "is not an authorized sender", False),
        ("422 10", "No Account or Server API tokens were supplied", True),
        ("422 405", "Not allowed to send", True),
        ("422 400", "The 'From' address is no sender signature", False),
        ("400", "ACCOUNT_SENDING_PAUSED", True),
        ("400", "MAIL_FROM_DOMAIN_NOT_VERIFIED", False),
    ],
)
def test_another_mailer_may_do_where_an_account_is_closed(code, text, is_lockout):
    assert faults.of_http(code, text) is Fault.SENDER
    assert faults.is_lockout(code, text) is is_lockout
