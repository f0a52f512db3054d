"""What tests of domains publish in the DNS, and what they read of a report."""

from io import StringIO

from django.core.management import call_command

RIGHT = "v=spf1 ip4:198.51.100.0/24 include:spf.mailjet.com -all"


def txt(name, value):
    """A TXT record in strings of 255."""
    pieces = [value[start : start + 255] for start in range(0, len(value), 255)]
    return f"{name}. TXT " + " ".join(f'"{piece}"' for piece in pieces)


def spf(dns, text, *others):
    dns.zones["harbour.example"] = [
        record for record in dns.zones["harbour.example"] if "v=spf1" not in record
    ]
    dns.publish(txt("harbour.example", text), *others)


def dmarc(dns, *texts, at="harbour.example"):
    dns.zones[f"_dmarc.{at}"] = [f'_dmarc.{at}. TXT "{text}"' for text in texts]


def envelope(publication, domain):
    publication.sender.bounce_domain = domain
    publication.sender.save()


class Findings(list):
    def of(self, check):
        """Levels of what was looked at."""
        return {one["level"] for one in self if one["check"] == check}

    def one(self, check):
        [one] = [one for one in self if one["check"] == check]
        return one

    def wrong(self):
        """Everything that is not fine in the DNS."""
        return {
            one["check"]
            for one in self
            if one["level"] in {"error", "warning", "unknown"}
            and not one["check"].startswith(("mailboxes.", "unsubscribe"))
        }


def run(dns, *words, as_json=True):
    out = StringIO()
    words = words or ["harbour.example"]
    shape = ["--json"] if as_json else []
    try:
        call_command("check_domain", *words, "--resolver", dns.address, *shape, stdout=out)
    except SystemExit as end:
        return out.getvalue(), end.code
    return out.getvalue(), 0
