"""Evidence for tests: sealed, and meddled with past the database's own refusal."""

import json
import sqlite3
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO

from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from subscribers.models import Seal

_TABLES = ["consent", "imprint", "seal", "terms"]


def seal_all(now=None):
    """As a worker does some minutes later."""
    later = (now or timezone.now()) + timedelta(minutes=5)
    while Seal.objects.seal(later):
        pass


def meddle(statement, *values):
    """What somebody does who owns the database, and takes its triggers away for the purpose."""
    with _without_triggers(), connection.cursor() as cursor:
        cursor.execute(statement, values)


def check(*options):
    """What `check_consents` says, and the status that it ends with."""
    told = StringIO()
    try:
        call_command("check_consents", "--json", *options, stdout=told)
    except SystemExit as end:
        return json.loads(told.getvalue()), end.code
    return json.loads(told.getvalue()), 0


def found(*options):
    """Kind, consent and field of what is wrong."""
    told, status = check(*options)
    assert status == (1 if told["wrong"] else 0)
    return [(one["kind"], one["consent"], one["field"]) for one in told["findings"]]


@contextmanager
def _without_triggers():
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        connection.connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
        yield
        connection.connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, True)
        return
    for switch in ["DISABLE", "ENABLE"]:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for table in _TABLES:
                cursor.execute(f"ALTER TABLE subscribers_{table} {switch} TRIGGER USER")
        if switch == "DISABLE":
            yield
