"""Events as they are stored: however many, by one statement."""

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.utils import timezone

from newsletter import faults
from newsletter.faults import Fault
from newsletter.models.deliveries import storable
from newsletter.models.parkings import house
from subscribers import addresses
from subscribers.addresses import Address
from subscribers.models import MailDomain

if TYPE_CHECKING:
    from newsletter.models.events import Report

_LARGEST_NUMBER = 2**63 - 1
_LONGEST_ID = 200

# One parameter of JSON, as in the ledger. Most of what comes is that a message, of which we know
# that it was handed over, was delivered: nothing follows from that.
_SQL = """
    INSERT INTO newsletter_event (
        source, event_id, kind, campaign_id, subscriber_id, key, house, at, fault, code, text,
        provider_id, received_at, applied_at
    )
    SELECT told.*, {now}, CASE WHEN told.kind IN ('delivered', 'deferred') AND EXISTS (
        SELECT 1 FROM newsletter_delivery ledger
        WHERE ledger.campaign_id = told.campaign_id
            AND ledger.subscriber_id = told.subscriber_id AND ledger.status <> 'uncertain'
    ) THEN {now} END
    FROM (SELECT {columns} FROM {rows}) AS told
    WHERE true
    ON CONFLICT DO NOTHING
    RETURNING id, subscriber_id, applied_at
"""
_COLUMNS = "source event_id kind campaign_id subscriber_id key house at fault code text provider_id"


def _statement(value: str, casts: dict[str, str], now: str, rows: str) -> str:
    columns = [
        f"({value}->>{place}){casts.get(name, '')} AS {name}"
        for place, name in enumerate(_COLUMNS.split())
    ]
    return _SQL.format(columns=", ".join(columns), now=now, rows=rows)


_STORE = {
    "postgresql": _statement(
        "entry",
        {"campaign_id": "::bigint", "subscriber_id": "::bigint", "at": "::timestamptz"},
        "%s::timestamptz",
        "json_array_elements(%s::json) AS entry",
    ),
    "sqlite": _statement("value", {}, "%s", "json_each(%s)"),
}


def statement_to_store(rows: str) -> tuple[str, list[str]]:
    """What stores these, each once; of the new ones it returns the key, the reader, and when it
    was applied: at once, if nothing follows from it."""
    now = _moment(timezone.now())
    return _STORE[connection.vendor], [now, now, rows]


def written(reports: "list[Report]") -> str:
    """As JSON, in one order for all: who stores the same must not wait for each other.

    Who runs a mailbox is asked only of what may be a reader's.
    """
    mailboxes = [addresses.named(report.address) for report in reports]
    told = list(zip(reports, mailboxes, strict=True))
    domains = {mailbox.domain for report, mailbox in told if mailbox and report.subscriber}
    providers = MailDomain.objects.providers(domains)
    rows = [_row(report, mailbox, providers) for report, mailbox in told]
    return json.dumps(sorted(rows, key=lambda row: row[:2]))


def _row(report: "Report", mailbox: Address | None, providers: dict[str, str]) -> list[Any]:
    provider = providers.get(mailbox.domain, "other") if mailbox else "other"
    return [
        report.source[:30],
        _short(report.event_id),
        report.kind.value,
        _number(report.campaign),
        _number(report.subscriber),
        mailbox.suppression_keys()[0] if mailbox else "",
        house(provider, mailbox.domain) if mailbox else "",
        _moment(min(report.at, timezone.now())),
        _fault(report, provider),
        storable(report.code[:20]),
        storable(faults.without_addresses(report.text[:1000])[:500]),
        storable(report.provider_id[:200]),
    ]


def _short(event_id: str) -> str:
    """As long as the column is; cut off, two might be one."""
    fits = len(event_id) <= _LONGEST_ID
    return (
        storable(event_id)
        if fits
        else hashlib.sha256(event_id.encode(errors="replace")).hexdigest()
    )


def _number(number: int) -> int | None:
    """Null for what can be no number of ours."""
    return number if 0 < number <= _LARGEST_NUMBER else None


def _fault(report: "Report", provider: str) -> str:
    if report.kind == report.kind.BOUNCED:
        said = faults.of_return(report.code, report.text, provider, report.fault)
    elif report.kind == report.kind.REJECTED:
        said = report.fault if report.fault is not Fault.UNKNOWN else Fault.POLICY
    else:
        return ""
    return str(said.value)


def _moment(at: datetime) -> str:
    return str(connection.ops.adapt_datetimefield_value(at))
