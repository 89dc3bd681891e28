"""Rows: a database full of stored orders. Copies what a daemon has written itself, under new ids, cursors and signatures.

The copies keep the invariants of the schema: ids sort by creation and are older than what comes next, cursors have no gap,
a signature belongs to one order. Columns are taken as they are found, so that a new migration needs nothing here."""

import sqlite3
import time

TABLES = "orders", "order_status_history", "attempts"
# The copies lie this long before now, a millisecond for each round of copies.
AGE_MS = 30 * 24 * 3600 * 1000


class Sqlite:
    """The file of a daemon that does not run."""

    text = "{}"
    json = "{}"
    numbers = "(with recursive n(c) as (values({first}) union all select c + 1 from n where c < {last}) select c from n)"
    # Ids are text here.
    uuid = "{}"
    hex = "printf('%012x', {})"
    padded = "replace(printf('%010d', c), '0', 'z')"

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("pragma synchronous = off")
        self.db.execute("pragma cache_size = -200000")

    def run(self, statements):
        self.db.executescript(statements)

    def value(self, statement):
        return self.db.execute(statement).fetchone()[0]

    def columns(self, table):
        return [row[1] for row in self.db.execute(f"pragma table_info({table})")]

    def close(self):
        self.db.execute("pragma wal_checkpoint(truncate)")
        self.db.close()


class Postgres:
    """A database of a server that runs."""

    text = "({})::text"
    json = "({})::jsonb"
    numbers = "generate_series({first}, {last}) as n(c)"
    uuid = "({})::uuid"
    hex = "lpad(to_hex(({})::bigint), 12, '0')"
    padded = "translate(lpad(c::text, 10, '0'), '0', 'z')"

    def __init__(self, server, database):
        self.run = lambda statements: server.psql(statements, database)
        self.value = lambda statement: server.psql(statement, database)

    def columns(self, table):
        return self.value(f"select column_name from information_schema.columns where table_name = '{table}' "
                          "order by ordinal_position").split()

    def close(self):
        # What a server that has lived with its table for a while has done by itself.
        self.run("analyze")
        self.run("checkpoint")


def fill(base, orders):
    """Grows a database that holds a few ended orders to `orders` of them. May be called again with more."""
    if not _has_templates(base):
        for table in TABLES:
            base.run(f"create table template_{table} as select * from {table};")
    templates = int(base.value("select count(*) from template_orders"))
    events = int(base.value("select count(*) from template_order_status_history"))
    copied = (int(base.value("select max(cursor) from order_status_history")) - 1) // events
    last = orders // templates - 1
    start = int(time.time() * 1000) - AGE_MS
    for first in range(copied + 1, last + 1, 2_000):
        numbers = base.numbers.format(first=first, last=min(first + 1_999, last))
        base.run("begin;" + "".join(_copy(base, table, numbers, events, start) for table in TABLES) + "commit;")
    return templates * (last + 1)


def _has_templates(base):
    return bool(base.columns("template_orders"))


def _copy(base, table, numbers, events, start):
    order = "id" if table == "orders" else "order_id"
    text_id = base.text.format(f"t.{order}")
    moment = base.hex.format(f"{start} + c")
    new_id = base.uuid.format(f"substr({moment}, 1, 8) || '-' || substr({moment}, 9, 4) || substr({text_id}, 14)")
    # In place of ten characters in its middle, the number of the copy: still base58, still 64 bytes.
    fresh = f"substr(a.signature, 1, 30) || {base.padded} || substr(a.signature, 41)"
    renamed = lambda column: base.json.format(
        f"case when a.signature is null then {base.text.format(f't.{column}')} "
        f"else replace({base.text.format(f't.{column}')}, a.signature, {fresh}) end")
    changed = {
        "id": new_id, "order_id": new_id,
        "cursor": f"t.cursor + {events} * c", "last_cursor": f"t.last_cursor + {events} * c",
        "signature": fresh, "tx_signature": f"case when t.tx_signature is not null then {fresh} end" if table == "orders" else "",
        "state": renamed("state"), "payload": renamed("payload"),
    }
    columns = base.columns(table)
    values = ", ".join(changed.get(column, f"t.{column}") for column in columns)
    return (f"insert into {table} ({', '.join(columns)}) select {values} from {numbers} cross join template_{table} t "
            f"left join template_attempts a on a.order_id = t.{order};")
