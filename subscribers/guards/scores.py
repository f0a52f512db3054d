"""Who is let in, and who waits for the newsroom: no sign tells a robot alone (ABU-07, ABU-08)."""

from subscribers.addresses import Address
from subscribers.guards.limits import Room

# RFC 2142, and their like: nobody reads news there, and many see what comes.
_ROLES = {
    "abuse",
    "admin",
    "administrator",
    "billing",
    "do-not-reply",
    "donotreply",
    "ftp",
    "hostmaster",
    "mailer-daemon",
    "majordomo",
    "no-reply",
    "noc",
    "noreply",
    "postmaster",
    "root",
    "security",
    "spam",
    "sysadmin",
    "usenet",
    "webmaster",
    "www",
}

ROLE, CROWDED, BLAMED = "role", "crowded", "blamed"
BUSY, WITHOUT_WORK, TIGHT = "busy", "without_work", "tight"
_POINTS = {ROLE: 2, CROWDED: 2, BLAMED: 1, BUSY: 1, WITHOUT_WORK: 1, TIGHT: 1}
_ENOUGH = 2


def signs(address: Address, room: Room, *, has_worked: bool) -> list[str]:
    """Why somebody in the newsroom should look at it first; nothing: there is no need to."""
    there = {
        ROLE: is_role(address),
        CROWDED: room.is_crowded,
        BLAMED: room.is_blamed,
        BUSY: room.is_busy,
        WITHOUT_WORK: not has_worked,
        TIGHT: room.is_tight,
    }
    found = [sign for sign, is_there in there.items() if is_there]
    return found if sum(_POINTS[sign] for sign in found) >= _ENOUGH else []


def is_role(address: Address) -> bool:
    return address.without_tag.partition("@")[0] in _ROLES
