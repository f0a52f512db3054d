"""The machines: who delivers, who takes replies and bounces, and where a reader unsubscribes."""

import contextlib
import http.client
import ipaddress
import smtplib
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import mailers
from django.core.mail.backends.smtp import EmailBackend
from django.urls import reverse

from newsletter.domains.findings import About, Finding, Record
from newsletter.domains.resolver import Resolver, is_public
from newsletter.domains.sendings import Sending
from subscribers import tokens
from subscribers.models import Publication
from subscribers.tokens import Purpose

_DELIVERY = About("DOM-05")
_HOSTS = About("DOM-07")
# Seconds for each word of a conversation.
_PATIENCE = 10
_NOBODY = 0


def check_server(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    """DOM-05, as far as machines go: the names of the mail server, and TLS to it."""
    names = _of_names(sending, resolver)
    yield from _DELIVERY.as_far_as_known("ptr.answer", names)
    yield from _DELIVERY.as_far_as_known("tls.answer", _of_tls(sending, resolver))


def check_mail(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    """DOM-07: whether replies and bounces find somebody, and From is a domain at all."""
    comes = {"From": sending.domain, "Replies": sending.reply_domain}
    comes["Bounces"] = sending.envelope_domain
    for domain in dict.fromkeys(comes.values()):
        what = ", ".join(name for name, where in comes.items() if where == domain)
        found = _of_exchanges(sending, resolver, domain, what)
        yield from _HOSTS.as_far_as_known("mx.answer", found)


def unsubscribe_url(publication: Publication | None) -> str:
    """A link to leave as mail carries it, that is nobody's."""
    token = tokens.sign(Purpose.UNSUBSCRIBE, _NOBODY, 0, 0)
    path = reverse("subscribers:unsubscribe", args=[token])
    return publication.url(path) if publication else f"{settings.SITE_URL}{path}"


def check_unsubscribing(url: str) -> Iterator[Finding]:
    """DOM-07: the one-click POST of a mailbox provider, made to ourselves (RFC 8058)."""
    parts = urlsplit(url)
    if parts.scheme != "https":
        yield _HOSTS.error(
            "unsubscribe.tls",
            f"Readers unsubscribe at {url}: mailbox providers post to https:// alone.",
            "Serve the site over TLS, and say https:// in SITE_URL or the publication's site.",
        )
        return
    yield _posted(f"{parts.scheme}://{parts.netloc}", parts.hostname or "", parts.port, parts.path)


def _of_names(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    if sending.provider:
        found = f"{sending.provider.name} delivers, from machines of its own."
        yield _DELIVERY.note("ptr", found)
        return
    addresses = _addresses(sending.host, resolver) if sending.host else []
    for address in filter(is_public, addresses):
        yield _of_address(sending.host, address, resolver)
    if not any(map(is_public, addresses)):
        where = f"{sending.host} has no public address" if sending.host else "No server is named"
        yield _DELIVERY.unknown(
            "ptr",
            f"{where}: the address that mail is delivered from cannot be seen from here.",
            "Read a delivered message with --received, or name that server: check its PTR record.",
        )


def _addresses(host: str, resolver: Resolver) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return resolver.addresses(host)


def _of_address(host: str, address: str, resolver: Resolver) -> Finding:
    names = resolver.names(address)
    if not names:
        reverse = ipaddress.ip_address(address).reverse_pointer
        wanted = Record(reverse, "PTR", f"{host}.")
        remedy = "Ask whoever gave you the address to publish:"
        return _DELIVERY.error("ptr", f"{address} ({host}) has no PTR record.", remedy, wanted)
    if any(address in resolver.addresses(name) for name in names):
        return _DELIVERY.ok("ptr", f"{address} is {names[0]}, and {names[0]} is {address}.")
    wanted = Record(names[0], "AAAA" if ":" in address else "A", address)
    found = f"{address} is {names[0]} by its PTR record, and {names[0]} is another."
    return _DELIVERY.error("ptr", found, "Publish:", wanted)


def _of_tls(sending: Sending, resolver: Resolver) -> Iterator[Finding]:
    backend = mailers[sending.mailer]
    if not isinstance(backend, EmailBackend):
        if sending.provider:
            yield _DELIVERY.ok("tls", f"Mail goes to {sending.provider.name} over HTTPS.")
        return
    if not (backend.use_tls or backend.use_ssl):
        yield _in_the_clear(sending.host, resolver)
        return
    yield _secured(backend, sending.host)


def _in_the_clear(host: str, resolver: Resolver) -> Finding:
    addresses = _addresses(host, resolver)
    if "." not in host or (addresses and not any(map(is_public, addresses))):
        return _DELIVERY.ok("tls", f"{host} is next door; what it delivers, it must encrypt.")
    remedy = "Write the mailer’s EMAIL_URL with smtp+tls:// or smtp+ssl://."
    return _DELIVERY.error("tls", f"Mail travels to {host} unencrypted.", remedy)


def _secured(backend: EmailBackend, host: str) -> Finding:
    backend.timeout = min(backend.timeout or _PATIENCE, _PATIENCE)
    backend.fail_silently = False
    try:
        backend.open()
    except ssl.SSLError as error:
        remedy = "Name the server as its certificate does, or have the certificate renewed."
        return _DELIVERY.error("tls", f"{host} could not be trusted: {error}", remedy)
    except smtplib.SMTPAuthenticationError as error:
        found = f"{host} refused the sign-in: {error.smtp_code}"
        return _DELIVERY.error("tls", found, "Correct user and password in the mailer’s EMAIL_URL.")
    except smtplib.SMTPNotSupportedError as error:
        return _DELIVERY.error("tls", f"{host}: {error}", "Use another port, or another server.")
    except (OSError, smtplib.SMTPException) as error:
        return _DELIVERY.unknown("tls", f"{host} could not be reached: {error}")
    finally:
        # What broke off half way is still open.
        with contextlib.suppress(OSError, smtplib.SMTPException):
            backend.close()
    return _DELIVERY.ok("tls", f"{host} speaks TLS, and its certificate is right.")


def _of_exchanges(
    sending: Sending, resolver: Resolver, domain: str, what: str
) -> Iterator[Finding]:
    hosts = resolver.exchanges(domain)
    wanted = Record(domain, "MX", f"10 mail.{sending.domain}.")
    if hosts == [""]:
        found = f"{what}: {domain} says that it takes no mail (RFC 7505)."
        yield _HOSTS.error("mx", found, "Publish:", wanted)
    elif hosts:
        yield from _of_hosts(resolver, domain, what, hosts)
    elif resolver.addresses(domain):
        found = f"{what}: {domain} has no MX record; mail goes to the machine of that name."
        yield _HOSTS.warning("mx", found, "Publish:", wanted)
    else:
        found = f"{what}: {domain} has neither MX nor address. Mail is lost, and refused."
        yield _HOSTS.error("mx", found, "Publish:", wanted)


def _of_hosts(resolver: Resolver, domain: str, what: str, hosts: list[str]) -> Iterator[Finding]:
    lost = [host for host in hosts if host and not resolver.addresses(host)]
    if len(lost) == len(hosts):
        remedy = "Correct the MX records, or give their hosts addresses."
        found = f"{what}: no MX of {domain} has an address ({', '.join(lost)})."
        yield _HOSTS.error("mx", found, remedy)
    elif lost:
        remedy = "Take it out, or give it an address."
        found = f"{what}: an MX of {domain} has no address ({', '.join(lost)})."
        yield _HOSTS.warning("mx", found, remedy)
    else:
        yield _HOSTS.ok("mx", f"{what}: mail to {domain} goes to {', '.join(hosts)}.")


def _posted(site: str, host: str, port: int | None, path: str) -> Finding:
    context = ssl.create_default_context()
    connection = http.client.HTTPSConnection(host, port, timeout=_PATIENCE, context=context)
    body = "List-Unsubscribe=One-Click"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        connection.request("POST", path, body, kind)
        status = connection.getresponse().status
    except ssl.SSLError as error:
        remedy = "Renew the certificate, with all that is between it and its root."
        return _HOSTS.error("unsubscribe", f"{site} could not be trusted: {error}", remedy)
    except (OSError, http.client.HTTPException) as error:
        return _HOSTS.unknown("unsubscribe", f"{site} could not be reached from here: {error}")
    finally:
        connection.close()
    if 200 <= status < 300:
        return _HOSTS.ok("unsubscribe", f"A one-click POST to {site} is answered {status}.")
    if 300 <= status < 400:
        found = f"{site} redirects a one-click POST ({status}); mailbox providers do not follow."
        return _HOSTS.error("unsubscribe", found, "Answer it where the link leads (RFC 8058, 3.1).")
    found = f"{site} answers a one-click POST with {status}."
    remedy = f"Let POST through to {path.rpartition('/')[0] or '/'}: no sign-in, no cookie."
    return _HOSTS.error("unsubscribe", found, remedy)
