"""The schema of the index: what is kept in columns so that it can be searched.

Adding a column is adding it here, filling it in `rows`, and writing a migration in `migrations`.
The tables are STRICT on sqlite. The same ones serve PostgreSQL, with the same order of texts.
"""

from __future__ import annotations

import functools

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

#: `PRAGMA application_id` of our databases: "CLPY".
APPLICATION_ID = int.from_bytes(b"CLPY")
#: `PRAGMA user_version`; a newer file is refused, an older one migrated.
SCHEMA_VERSION = 2

metadata = MetaData()

# STRICT tables know REAL and no other name for a double; PostgreSQL's REAL has half the digits.
Number: TypeEngine[float] = Double().with_variant(REAL(), "sqlite")
Whole: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")


class Words(TypeDecorator[str]):
    """A text, compared by its characters' numbers whatever the language of the server is."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """Return the type of an engine."""
        return Text(collation="C" if dialect.name == "postgresql" else None)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what an engine is given; PostgreSQL has no NUL, so that a text with one is like none."""
        return None if value is not None and dialect.name == "postgresql" and "\0" in value else value


def _hex(name: str, digits: int) -> CheckConstraint:
    return CheckConstraint(f"length({name}) = {digits} AND {name} = lower({name})", name=f"{name}_is_hex")


meta = Table(
    "meta",
    metadata,
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

class_ = Table(
    "class",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("ref", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("bases", Words, nullable=False),  # JSON list of references, nearest first
    UniqueConstraint("ref", "version", "bases").ddl_if(dialect="sqlite"),
    sqlite_strict=True,
)

fit = Table(
    "fit",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("fit_key", Words, nullable=False, unique=True),
    Column("run_id", Words, nullable=False),
    Column("status", Words, nullable=False),  # complete, missing, damaged
    Column("name", Words, nullable=False),
    Column("unique_tag", Words, nullable=False),
    Column("model_hash", Words),
    Column("data_hash", Words),
    Column("likelihood_hash", Words),
    Column("search_hash", Words),
    Column("graph_hash", Words),
    Column("sampler", Words, nullable=False),
    Column("n_free", Whole, nullable=False),
    Column("sha256", Words, nullable=False),
    Column("nbytes", Whole, nullable=False),
    Column("fmt", Whole, nullable=False),
    Column("created", Words, nullable=False),
    Column("seconds", Number),
    Column("log_evidence", Number),
    Column("log_evidence_error", Number),
    Column("max_log_likelihood", Number),
    Column("loo", Number),
    Column("divergences", Whole),
    Column("max_rhat", Number),
    Column("min_ess", Number),
    Column("n_nonfinite", Whole, nullable=False),
    Column("parent_key", Words),
    Column("kind", Words, nullable=False),
    Column("grid_index", Whole),
    _hex("fit_key", 64),
    _hex("run_id", 32),
    _hex("sha256", 64),
    Index("fit_status", "status"),
    Index("fit_name_tag", "name", "unique_tag"),
    Index("fit_unique_tag", "unique_tag"),
    Index("fit_model_hash", "model_hash"),
    Index("fit_data_hash", "data_hash"),
    Index("fit_parent", "parent_key", "grid_index"),
    Index("fit_created", "created"),
    Index("fit_sampler", "sampler"),
    sqlite_strict=True,
)


def _of_fit() -> Column[int]:
    return Column("fit_id", Whole, ForeignKey("fit.id", ondelete="CASCADE"), primary_key=True)


component = Table(
    "component",
    metadata,
    _of_fit(),
    Column("path", Words, primary_key=True),
    Column("class_id", Whole, ForeignKey("class.id"), nullable=False),
    Index("component_path_class", "path", "class_id", "fit_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

parameter = Table(
    "parameter",
    metadata,
    _of_fit(),
    Column("path", Words, primary_key=True),
    Column("place", Whole, nullable=False),  # order in the model
    # free, fixed, derived; shared, for another path of the parameter that has the same place
    Column("role", Words, nullable=False),
    Column("prior", Words),
    Column("text", Words),  # what a fixed str was fixed to
    Column("mean", Number),
    Column("median", Number),
    Column("sd", Number),
    Column("lo1", Number),
    Column("hi1", Number),
    Column("lo3", Number),
    Column("hi3", Number),
    Column("ml", Number),
    Column("map", Number),
    Column("ess", Number),
    Column("rhat", Number),
    Column("exact", Words),  # the digits of an integer that no double holds
    Index("parameter_path_median", "path", "median", "fit_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

tag = Table(
    "tag",
    metadata,
    _of_fit(),
    Column("tag", Words, primary_key=True),
    Index("tag_tag", "tag", "fit_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

info = Table(
    "info",
    metadata,
    _of_fit(),
    Column("key", Words, primary_key=True),
    Column("num", Number),  # numbers and booleans
    Column("text", Words),  # str
    Column("json", Words, nullable=False),  # the value as it was given
    Column("exact", Words),  # the digits of an integer that no double holds
    Index("info_key_num", "key", "num", "fit_id"),
    Index("info_key_text", "key", "text", "fit_id").ddl_if(dialect="sqlite"),
    # An index by hash, for PostgreSQL's others refuse a long text.
    Index("info_text", "text", postgresql_using="hash").ddl_if(dialect="postgresql"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

#: For people with datasette or any other tool; classy_pm itself does not read them.
VIEWS = {
    "fits": """
        SELECT fit.name, fit.unique_tag, fit.sampler, fit.created, fit.seconds, fit.log_evidence,
            fit.max_log_likelihood, fit.max_rhat, fit.min_ess, fit.divergences, fit.status,
            (SELECT group_concat(component.path || ': ' || class.ref, ', ') FROM component
                JOIN class ON class.id = component.class_id WHERE fit_id = fit.id) AS classes,
            (SELECT group_concat(path || ' = ' || round(median, 6), ', ') FROM parameter
                WHERE fit_id = fit.id AND median IS NOT NULL AND role <> 'shared') AS medians,
            (SELECT group_concat(key || ' = ' || json, ', ') FROM info WHERE fit_id = fit.id) AS notes,
            fit.fit_key
        FROM fit""",
    "parameters": """
        SELECT fit.name, fit.unique_tag, parameter.path, role, prior, mean, median, sd, lo1, hi1, lo3,
            hi3, ml, map, ess, rhat, text, exact, fit.fit_key
        FROM parameter JOIN fit ON fit.id = parameter.fit_id""",
}


@event.listens_for(metadata, "after_create")
def create_views(target: object, connection: Connection, **options: object) -> None:
    """Make the views, which follow the tables; as SQLAlchemy calls it, and a migration."""
    for name, query in VIEWS.items():
        if connection.dialect.name == "postgresql":
            query = query.replace("group_concat", "string_agg")
            query = query.replace("round(median,", "round(median::numeric,")
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {' '.join(query.split())}")


def drop_views(connection: Connection) -> None:
    """Take the views away; there is nothing in them."""
    for name in VIEWS:
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def contents(connection: Connection) -> list[tuple[object, ...]]:
    """Return what there is in a sqlite database: its objects, and the columns of its tables."""
    found: list[tuple[object, ...]] = []
    master = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master").all()
    for kind, name, table, sql in master:
        if name == "sqlite_stat1":
            continue  # what `PRAGMA optimize` notes about the indexes
        found.append((kind, name, table))
        if kind == "table" and name in metadata.tables:
            for column in connection.exec_driver_sql(f"PRAGMA table_xinfo({name})"):
                found.append((name, *column[1:]))
        if kind == "index" and sql is not None and "(" in sql.partition("(")[2]:
            found.append((kind, name, "has an expression"))
    return sorted(found, key=repr)


@functools.cache
def expected_contents() -> list[tuple[object, ...]]:
    """Return what there is in a database that was made just now."""
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            metadata.create_all(connection)
            return contents(connection)
    finally:
        engine.dispose()
