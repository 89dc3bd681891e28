//! Statements: the SQL that stores many rows at once, made from the tables' columns.
//!
//! Owns the two dialects of one idea: a statement's text, and with it its prepared plan, is one of a few whatever the size
//! of a group. SQLite takes rows in powers of two, a parameter for each value; PostgreSQL an array for each column.

use std::sync::LazyLock;

use super::{
    cell::Cell,
    tables::{
        ATTEMPTS, Column, EVENTS, FACTS, KEYS, Kind, MARKS, ORDERS, OUTCOMES, OfAttempt, OfEvent, OfFact, OfKey,
        OfMark, OfOrder, OfOutcome, OfTakeUp, TAKE_UPS, Table, Upsert,
    },
};

/// The most rows of one statement of SQLite is two to the power of this.
const LARGEST_POWER: u32 = 6;

/// The statements of one dialect.
pub(super) struct Statements {
    /// New orders.
    pub orders: Statement<OfOrder>,
    /// Orders that are there: what may change of them. Its parameters come after those of `orders`.
    pub moves: Statement<OfOrder>,
    /// Its parameters come after those of both.
    pub events: Statement<OfEvent>,
    pub attempts: Statement<OfAttempt>,
    pub outcomes: Statement<OfOutcome>,
    pub marks: Statement<OfMark>,
    pub take_ups: Statement<OfTakeUp>,
    pub keys: Statement<OfKey>,
    pub facts: Statement<OfFact>,
}

/// SQLite's statements.
pub(super) static SQLITE: LazyLock<Statements> = LazyLock::new(|| Statements::of(Sql::Sqlite));
/// PostgreSQL's statements.
pub(super) static POSTGRES: LazyLock<Statements> = LazyLock::new(|| Statements::of(Sql::Postgres));
/// The first three of PostgreSQL's in one, with the parameters of all: one way to the server and back instead of three, while
/// it holds the writers' lock.
pub(super) static TOGETHER: LazyLock<String> = LazyLock::new(|| {
    let Statements { orders, moves, events, .. } = &*POSTGRES;
    format!("with new as ({}), moved as ({}) {}", orders.texts[0], moves.texts[0], events.texts[0])
});

impl Statements {
    fn of(sql: Sql) -> Self {
        let orders = Statement::insert(&ORDERS, sql, 0);
        let moves = Statement::update(&ORDERS, sql, orders.kinds.len());
        let events = Statement::insert(&EVENTS, sql, orders.kinds.len() + moves.kinds.len());
        Self {
            orders,
            moves,
            events,
            attempts: Statement::insert(&ATTEMPTS, sql, 0),
            outcomes: Statement::update(&OUTCOMES, sql, 0),
            marks: Statement::update(&MARKS, sql, 0),
            take_ups: Statement::update(&TAKE_UPS, sql, 0),
            keys: Statement::insert(&KEYS, sql, 0),
            facts: Statement::upsert(&FACTS, sql, 0),
        }
    }
}

/// One statement.
pub(super) struct Statement<Get> {
    /// By the power of two that is its number of rows; for PostgreSQL one for any number.
    texts: Vec<String>,
    kinds: Vec<Kind>,
    get: Vec<Get>,
}

/// A statement with the rows it stores.
pub(super) struct Filled<'s, 'r> {
    texts: &'s [String],
    /// What the columns hold.
    kinds: &'s [Kind],
    /// Row by row.
    cells: Vec<Cell<'r>>,
}

impl<Get: Copy> Statement<Get> {
    /// With `rows`, whose values `cell` gets.
    pub(super) fn filled<'s, 'r, Row: 'r>(
        &'s self,
        rows: impl IntoIterator<Item = &'r Row>,
        cell: impl Fn(Get, &'r Row) -> Cell<'r>,
    ) -> Filled<'s, 'r> {
        let mut cells = Vec::new();
        for row in rows {
            cells.extend(self.get.iter().map(|get| cell(*get, row)));
        }
        Filled { texts: &self.texts, kinds: &self.kinds, cells }
    }

    /// Stores rows that are not there. Its parameters come after `others`.
    fn insert(table: &Table<Get>, sql: Sql, others: usize) -> Self {
        let columns = sql.columns(table, |_| true);
        let names = join(columns.iter().map(|column| column.0.to_owned()));
        let texts = sql.sizes().map(|rows| match sql {
            Sql::Sqlite => format!("insert into {} ({names}) {}", table.name, sql.rows(&columns, rows, others)),
            Sql::Postgres => {
                let values = join(columns.iter().enumerate().map(|(n, column)| sql.value(n, column)));
                let rows = sql.rows(&columns, rows, others);
                format!("insert into {} ({names}) select {values} from {rows}", table.name)
            }
        });
        Self::new(texts.collect(), &columns)
    }

    /// Changes rows that are there.
    fn update(table: &Table<Get>, sql: Sql, others: usize) -> Self {
        let is_key = |column: &Column<Get>| table.key.contains(&column.0);
        let columns = sql.columns(table, |column| is_key(column) || column.2 != Upsert::Never);
        let values = || columns.iter().enumerate().map(|(n, column)| (column, sql.value(n, column)));
        let changes = join(values().filter_map(|(&(name, _, upsert, _), value)| match upsert {
            Upsert::Never => None,
            Upsert::Replace => Some(format!("{name} = {value}")),
            Upsert::Keep => Some(format!("{name} = coalesce({value}, {}.{name})", table.name)),
        }));
        let same = values().filter(|(column, _)| is_key(column));
        let same = same.map(|(column, value)| format!("{}.{} = {value}", table.name, column.0)).collect::<Vec<_>>();
        let texts = sql.sizes().map(|rows| {
            let rows = match sql {
                Sql::Sqlite => format!("({}) as r", sql.rows(&columns, rows, others)),
                Sql::Postgres => sql.rows(&columns, rows, others),
            };
            format!("update {} set {changes} from {rows} where {}", table.name, same.join(" and "))
        });
        Self::new(texts.collect(), &columns)
    }

    /// Stores rows, over those that are there.
    fn upsert(table: &Table<Get>, sql: Sql, others: usize) -> Self {
        let changes = table.columns.iter().filter(|column| column.2 == Upsert::Replace);
        let changes = join(changes.map(|(name, ..)| format!("{name} = excluded.{name}")));
        let insert = Self::insert(table, sql, others);
        let over = |text| format!("{text} on conflict ({}) do update set {changes}", table.key.join(", "));
        Self { texts: insert.texts.into_iter().map(over).collect(), ..insert }
    }

    fn new(texts: Vec<String>, columns: &[&Column<Get>]) -> Self {
        let kinds = columns.iter().map(|column| column.1).collect();
        Self { texts, kinds, get: columns.iter().map(|column| column.3).collect() }
    }
}

impl<'s, 'r> Filled<'s, 'r> {
    /// For SQLite: texts that together store all the rows, each with its parameters.
    pub(super) fn by_row(&self) -> impl Iterator<Item = (&'s str, &[Cell<'r>])> {
        let width = self.kinds.len();
        let mut left = self.cells.as_slice();
        std::iter::from_fn(move || {
            let power = (left.len() / width).checked_ilog2()?.min(LARGEST_POWER);
            let (taken, rest) = left.split_at(width << power);
            left = rest;
            Some((self.texts[power as usize].as_str(), taken))
        })
    }

    /// Whether there is nothing to store.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// For PostgreSQL: the text.
    pub(super) fn text(&self) -> &'s str {
        &self.texts[0]
    }

    /// For PostgreSQL: what each column holds, and its values.
    pub(super) fn by_column(&self) -> impl Iterator<Item = (Kind, impl Iterator<Item = Cell<'r>>)> {
        let column = |n| self.cells.iter().skip(n).step_by(self.kinds.len()).copied();
        self.kinds.iter().enumerate().map(move |(n, kind)| (*kind, column(n)))
    }
}

/// A database's way to say the same.
#[derive(Clone, Copy)]
enum Sql {
    Sqlite,
    Postgres,
}

impl Sql {
    /// The columns that the database has, of those that are wanted.
    fn columns<Get>(self, table: &Table<Get>, is_wanted: impl Fn(&Column<Get>) -> bool) -> Vec<&'static Column<Get>> {
        let is_here = |kind| match self {
            Self::Sqlite => kind != Kind::Whole,
            Self::Postgres => kind != Kind::Half,
        };
        table.columns.iter().filter(|column| is_here(column.1) && is_wanted(column)).collect()
    }

    /// The numbers of rows that there is a text for.
    fn sizes(self) -> impl Iterator<Item = usize> {
        let largest = match self {
            Self::Sqlite => LARGEST_POWER,
            Self::Postgres => 0,
        };
        (0..=largest).map(|power| 1 << power)
    }

    /// The value of the column at place `n`, out of a row of the parameters.
    fn value<Get>(self, n: usize, (name, kind, ..): &Column<Get>) -> String {
        match (self, kind) {
            (Self::Sqlite, _) => format!("r.column{}", n + 1),
            (Self::Postgres, Kind::Json) => format!("r.{name}::json"),
            (Self::Postgres, Kind::Amount | Kind::Whole) => format!("r.{name}::numeric"),
            (Self::Postgres, _) => format!("r.{name}"),
        }
    }

    /// The parameters' rows. `others` parameters come before them.
    fn rows<Get>(self, columns: &[&Column<Get>], rows: usize, others: usize) -> String {
        match self {
            Self::Sqlite => {
                let row = format!("({})", join(columns.iter().map(|_| "?".to_owned())));
                format!("values {}", join(std::iter::repeat_n(row, rows)))
            }
            Self::Postgres => {
                let names = join(columns.iter().map(|column| column.0.to_owned()));
                let arrays = columns.iter().enumerate().map(|(n, column)| {
                    let kind = match column.1 {
                        Kind::Id => "uuid",
                        Kind::Text | Kind::Json | Kind::Amount | Kind::Whole => "text",
                        Kind::Bytes => "bytea",
                        Kind::Integer | Kind::Half => "bigint",
                        Kind::Time => "timestamptz",
                        Kind::Truth => "boolean",
                    };
                    format!("${}::{kind}[]", others + n + 1)
                });
                format!("unnest({}) as r ({names})", join(arrays))
            }
        }
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::PlannedFact;

    #[test]
    fn any_number_of_rows_is_stored_once_and_in_order() {
        for count in [0, 1, 2, 3, 63, 64, 65, 127, 256] {
            let names: Vec<String> = (0..count).map(|n| n.to_string()).collect();
            let facts: Vec<_> = names.iter().map(|name| PlannedFact { name, value: "v" }).collect();
            let filled = SQLITE.facts.filled(&facts, |get, row| get(row));
            let mut stored = Vec::new();
            for (text, cells) in filled.by_row() {
                assert_eq!(text.matches('?').count(), cells.len(), "{count}: {text}");
                stored.extend(cells.iter().step_by(2).copied());
            }
            assert_eq!(stored, names.iter().map(|name| Cell::from(name.as_str())).collect::<Vec<_>>());
            assert_eq!(filled.is_empty(), count == 0);
        }
    }

    #[test]
    fn the_statement_for_most_of_a_group_takes_each_parameter_once() {
        let Statements { orders, moves, events, .. } = &*POSTGRES;
        let parameters = orders.kinds.len() + moves.kinds.len() + events.kinds.len();
        for n in 1..=parameters {
            assert_eq!(TOGETHER.matches(&format!("${n}::")).count(), 1, "${n}");
        }
        assert_eq!(TOGETHER.matches('$').count(), parameters);
    }
}
