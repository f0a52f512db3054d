"""Statements that are executed thousands of times a minute: compiled once, and planned once."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import ForeignKey, Lookup, QuerySet
from django.db.models.sql.compiler import SQLCompiler

# Stands for the ids in a query that is being compiled.
_STAND_IN = -1


@ForeignKey.register_lookup
class Among(Lookup):
    """`__in` with all values in one parameter, so that the statement is the same for any number."""

    lookup_name = "among"

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        return self._written("{} IN (SELECT value FROM json_each({}))", compiler, connection)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        return self._written("{} = ANY({}::bigint[])", compiler, connection)

    def _written(
        self, form: str, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        left, left_values = self.process_lhs(compiler, connection)
        right, right_values = self.process_rhs(compiler, connection)
        return form.format(left, right), [*left_values, *right_values]


class PreparedQuery:
    """What `query` finds among some ids of one of its foreign keys.

    Compiling a query costs Django more than PostgreSQL needs to answer it.
    """

    def __init__(self, query: "QuerySet[Any, Any]", foreign_key: str) -> None:
        asked = query.filter(**{f"{foreign_key}__among": _STAND_IN}).query
        self._sql, parameters = asked.get_compiler(connection=connection).as_sql()
        self._parameters: Sequence[Any] = parameters

    def among(self, ids: Iterable[int]) -> list[tuple[Any, ...]]:
        wanted = list(ids) if connection.vendor == "postgresql" else json.dumps(list(ids))
        return fetched(
            self._sql, [wanted if value == _STAND_IN else value for value in self._parameters]
        )


def fetched(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement that PostgreSQL is to plan once for each connection.

    Planning costs it three times as much as finding a window's readers. Django leaves it at
    planning anew, since a pool of connections in between may not know of what was planned.
    """
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as prepared:
            return prepared.execute(statement, parameters, prepare=True).fetchall()
