"""What a seal keeps of one consent: a salted digest of each of its fields."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db import models

from subscribers.models.append_only import DOOR_IS_OPEN, Refused
from subscribers.models.consents import LASTING, PERSONAL

if TYPE_CHECKING:
    from subscribers.models.removals import Removal

# In the order of their digests: a field that is added later goes to the end.
FIELDS = ("id", *LASTING, *PERSONAL)
# Octets, of each salt and of each digest: SHA-256 cut to 128 bits.
SIZE = 16
_NO_SALT = bytes(SIZE)


class ImprintQuerySet(models.QuerySet["Imprint"]):
    def forget(self, removal: "Removal") -> int:
        """Let go of the salts of what went: nobody can guess from then on what stood there."""
        imprints, by = list(self), f"{removal.kind}_by"
        for imprint in imprints:
            imprint._forget(removal.fields)
            setattr(imprint, by, removal)
        return self.bulk_update(imprints, ["salts", by], batch_size=500) if imprints else 0


class Imprint(models.Model):
    """Of a consent that was sealed; it outlives the row.

    A digest is the beginning of SHA-256 over the salt, the field's name, a zero and the value in
    UTF-8. Whoever trims a field removes its salt with the value: the digest stays, and tells
    nothing.
    """

    # No key: the row may be gone.
    consent_id = models.BigIntegerField(primary_key=True)
    salts = models.BinaryField()
    digests = models.BinaryField()
    # By whom the traces, the person and the row went.
    trimmed_by = models.ForeignKey(
        "Removal", models.PROTECT, null=True, related_name="+", db_index=False
    )
    erased_by = models.ForeignKey(
        "Removal", models.PROTECT, null=True, related_name="+", db_index=False
    )
    removed_by = models.ForeignKey(
        "Removal", models.PROTECT, null=True, related_name="+", db_index=False
    )

    objects = ImprintQuerySet.as_manager()

    class Meta:
        constraints = [
            Refused(name="imprint_changed", change="UPDATE", unless=DOOR_IS_OPEN),
            Refused(name="imprint_rewritten", change="UPDATE", fields=("consent_id", "digests")),
            Refused(name="imprint_removed", change="DELETE"),
        ]

    def __str__(self) -> str:
        return f"consent {self.consent_id}"

    @classmethod
    def of(cls, values: Sequence[Any]) -> "Imprint":
        """Of a consent's values, in the order of FIELDS."""
        salts = secrets.token_bytes(SIZE * len(FIELDS))
        return cls(consent_id=values[0], salts=salts, digests=_digests(salts, values))

    def changed(self, values: Sequence[Any]) -> list[str]:
        """The fields that are not what they were when this was taken.

        A field without a salt was trimmed: it must be empty.
        """
        salts, digests = bytes(self.salts), bytes(self.digests)
        known = len(digests) // SIZE
        if _digests(salts, values[:known]) == digests:
            return []
        pieces = zip(FIELDS, values, _pieces(salts), _pieces(digests), strict=False)
        return [
            name
            for name, value, salt, digest in pieces
            if not (_is_blank(value) if salt == _NO_SALT else _digest(salt, name, value) == digest)
        ]

    def _forget(self, fields: Iterable[str]) -> None:
        salts = bytearray(self.salts)
        for name in fields:
            place = FIELDS.index(name) * SIZE
            salts[place : place + SIZE] = _NO_SALT
        self.salts = bytes(salts)


def _digests(salts: bytes, values: Sequence[Any]) -> bytes:
    pieces = zip(FIELDS, values, _pieces(salts), strict=False)
    return b"".join([_digest(salt, name, value) for name, value, salt in pieces])


def _digest(salt: bytes, name: str, value: Any) -> bytes:
    return hashlib.sha256(b"%b%b\0%b" % (salt, name.encode(), _written(value))).digest()[:SIZE]


def _written(value: Any) -> bytes:
    """One spelling for each value, the same on every database."""
    if value is None:
        return b""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").encode()
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    return str(value).encode()


def _pieces(joined: bytes) -> list[bytes]:
    return [joined[at : at + SIZE] for at in range(0, len(joined), SIZE)]


def _is_blank(value: Any) -> bool:
    return not value
