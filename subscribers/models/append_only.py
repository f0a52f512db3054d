"""Rows that are added and never changed: what the database itself refuses."""

from collections.abc import Sequence
from typing import Any, Literal

from django.db import models
from django.db.backends.ddl_references import Columns, Statement, Table

# Evidence goes only while the row is written that says why; see Removal.
DOOR_IS_OPEN = "EXISTS (SELECT 1 FROM subscribers_removal WHERE closed_at IS NULL)"

_POSTGRESQL = """
    CREATE FUNCTION %(name)s() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF %(unless)s THEN RETURN COALESCE(NEW, OLD); END IF;
        RAISE EXCEPTION '%(words)s' USING ERRCODE = 'restrict_violation';
    END $$;
    CREATE TRIGGER %(name)s BEFORE %(change)s%(of)s ON %(table)s
    FOR EACH ROW EXECUTE FUNCTION %(name)s();
"""
_SQLITE = """
    CREATE TRIGGER %(name)s BEFORE %(change)s%(of)s ON %(table)s WHEN NOT (%(unless)s)
    BEGIN SELECT RAISE(ABORT, '%(words)s'); END
"""
_REMOVE = {
    "postgresql": "DROP TRIGGER %(name)s ON %(table)s; DROP FUNCTION %(name)s();",
    "sqlite": "DROP TRIGGER %(name)s",
}


class AppendOnlyError(RuntimeError):
    """Somebody tried to change or remove evidence."""


class Refused(models.constraints.BaseConstraint):
    """A trigger that refuses to change, or to remove, rows of a table, whoever asks.

    With `fields`, only a change of these is refused; `unless` is a condition in SQL. What it
    refuses is an IntegrityError.
    """

    def __init__(
        self,
        *,
        name: str,
        change: Literal["UPDATE", "DELETE"],
        fields: tuple[str, ...] = (),
        unless: str = "FALSE",
    ) -> None:
        super().__init__(name=name)
        self.change, self.fields, self.unless = change, tuple(fields), unless

    # Django's own type of these is narrower than what its schema editor passes and takes.
    def constraint_sql(self, model: Any, schema_editor: Any) -> Any:
        """A trigger stands beside its table: it is made once the table is there."""
        schema_editor.deferred_sql.append(self.create_sql(model, schema_editor))

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        is_postgresql = schema_editor.connection.vendor == "postgresql"
        return self._statement(_POSTGRESQL if is_postgresql else _SQLITE, model, schema_editor)

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        return self._statement(_REMOVE[schema_editor.connection.vendor], model, schema_editor)

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """Nothing that is added is refused."""

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        mine = {"change": self.change, "fields": self.fields, "unless": self.unless}
        return path, args, kwargs | mine

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Refused):
            return NotImplemented
        return self.deconstruct() == other.deconstruct()

    __hash__ = None  # type: ignore[assignment]  # As Django's own constraints, which compare.

    def _statement(self, form: str, model: Any, schema_editor: Any) -> Statement:
        return Statement(
            form,
            name=self.name,
            change=self.change,
            of=self._of(model, schema_editor),
            table=Table(model._meta.db_table, schema_editor.quote_name),
            unless=self.unless,
            words=f"{self.name}: these rows are evidence, and are only added to",
        )

    def _of(self, model: Any, schema_editor: Any) -> Statement | str:
        if not self.fields:
            return ""
        columns = [model._meta.get_field(name).column for name in self.fields]
        written = Columns(model._meta.db_table, columns, schema_editor.quote_name)
        return Statement(" OF %(columns)s", columns=written)
