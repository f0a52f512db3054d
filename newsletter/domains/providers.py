"""What each provider's documentation asks one to publish, by Anymail's name of it."""

from typing import NamedTuple


class Provider(NamedTuple):
    """`spf`: to be included for the envelope domain; "" where none is asked for.

    `return_path`: what a CNAME of the envelope domain leads to, or ends with, in its place.
    `selectors`: those that it signs with, where all its customers have the same; `key_hosts`: what
    their CNAMEs end with. `hosts`: of its SMTP servers. `has_own_envelope`: bounces go to a domain
    of its own, unless one sets up another there.
    """

    name: str
    spf: str = ""
    return_path: str = ""
    selectors: tuple[str, ...] = ()
    key_hosts: str = ""
    hosts: tuple[str, ...] = ()
    has_own_envelope: bool = True


_PROVIDERS = {
    "amazon_ses": Provider(
        "Amazon SES",
        spf="amazonses.com",
        key_hosts="dkim.amazonses.com",
        hosts=("amazonaws.com",),
    ),
    "brevo": Provider(
        "Brevo",
        spf="spf.brevo.com",
        selectors=("brevo1", "brevo2", "mail"),
        key_hosts="dkim.brevo.com",
        hosts=("smtp-relay.brevo.com", "smtp-relay.sendinblue.com"),
    ),
    "mailersend": Provider(
        "MailerSend",
        spf="_spf.mailersend.net",
        return_path="mailersend.net",
        selectors=("mlsend", "mlsend2"),
        key_hosts="mailersend.net",
        hosts=("smtp.mailersend.net",),
    ),
    "mailgun": Provider(
        "Mailgun",
        spf="mailgun.org",
        selectors=("mx", "k1", "krs", "mta", "pic", "smtp", "mailo"),
        hosts=("mailgun.org",),
        has_own_envelope=False,
    ),
    "mailjet": Provider(
        "Mailjet",
        spf="spf.mailjet.com",
        return_path="mailjet.com",
        selectors=("mailjet",),
        hosts=("mailjet.com",),
    ),
    "mandrill": Provider(
        "Mailchimp Transactional",
        spf="spf.mandrillapp.com",
        selectors=("mte1", "mte2", "mandrill"),
        key_hosts="mandrillapp.com",
        hosts=("smtp.mandrillapp.com",),
    ),
    "postmark": Provider(
        "Postmark",
        return_path="pm.mtasv.net",
        hosts=("postmarkapp.com",),
    ),
    "resend": Provider(
        "Resend",
        spf="amazonses.com",
        selectors=("resend",),
        hosts=("smtp.resend.com",),
    ),
    "sendgrid": Provider(
        "SendGrid",
        spf="sendgrid.net",
        return_path="sendgrid.net",
        selectors=("s1", "s2"),
        key_hosts="sendgrid.net",
        hosts=("smtp.sendgrid.net",),
    ),
    "sparkpost": Provider(
        "SparkPost",
        spf="_spf.sparkpostmail.com",
        return_path="sparkpostmail.com",
        hosts=("sparkpostmail.com",),
    ),
    # No providers of Anymail's, but relays that many send through.
    "google": Provider(
        "Google Workspace",
        spf="_spf.google.com",
        selectors=("google",),
        hosts=("smtp.gmail.com", "smtp-relay.gmail.com"),
        has_own_envelope=False,
    ),
    "microsoft": Provider(
        "Microsoft 365",
        spf="spf.protection.outlook.com",
        selectors=("selector1", "selector2"),
        key_hosts="onmicrosoft.com",
        hosts=("office365.com", "protection.outlook.com"),
        has_own_envelope=False,
    ),
}


def named(name: str) -> Provider | None:
    return _PROVIDERS.get(name)


def running(host: str) -> Provider | None:
    """Whose SMTP server that is; None if it is nobody's of these."""
    for provider in _PROVIDERS.values():
        if any(is_below(host, known) for known in provider.hosts):
            return provider
    return None


def is_below(name: str, domain: str) -> bool:
    """Whether it is this domain, or belongs to it."""
    return name == domain or name.endswith(f".{domain}")
