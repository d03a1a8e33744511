//! What can still be read of a file, row by row: a damaged page costs the rows on it and no others.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use crate::error::LedgerError;

/// Numbers in a row that may be unreadable before a table counts as ended; a page holds far fewer rows.
const LARGEST_HOLE: i64 = 100_000;

/// A table, and the column that orders it.
pub(super) struct Table {
    pub(super) name: &'static str,
    key: &'static str,
    /// Whether the key is a number that grows by one, so that holes can be stepped over.
    counted: bool,
}

/// All tables; `workers` are copied so that the next run can end what is left of them.
pub(super) const TABLES: [Table; 9] = [
    Table::by_name("meta", "key"),
    Table::counted("runs", "epoch"),
    Table::counted("events", "seq"),
    Table::counted("experiments", "id"),
    Table::by_name("rejections", "origin_key"),
    Table::by_name("researchers", "name"),
    Table::by_name("workers", "token"),
    Table::by_name("calls", "id"),
    Table::by_name("graphs", "name"),
];

impl Table {
    const fn counted(name: &'static str, key: &'static str) -> Self {
        Self {
            name,
            key,
            counted: true,
        }
    }

    const fn by_name(name: &'static str, key: &'static str) -> Self {
        Self {
            name,
            key,
            counted: false,
        }
    }
}

/// What became of a table.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copied {
    /// Rows.
    pub(super) rows: u64,
    /// Whether some could not be read.
    pub(super) damaged: bool,
}

/// Copies every row of a table that can be read into one that is empty.
///
/// # Errors
/// When the copy can't be written.
pub(super) fn copy(
    from: &Connection,
    to: &Connection,
    table: &Table,
) -> Result<Copied, LedgerError> {
    let columns = shared_columns(from, to, table.name)?;
    let mut copied = Copied::default();
    if columns.is_empty() {
        // An older version did not have it.
        return Ok(copied);
    }
    let sink = Sink::new(to, table, &columns);
    if table.counted {
        counted(from, table, &columns, &sink, &mut copied)?;
    } else {
        named(from, table, &columns, &sink, &mut copied)?;
    }
    Ok(copied)
}

/// The columns that both files have; none where the table is not there or can't be described.
fn shared_columns(
    from: &Connection,
    to: &Connection,
    table: &str,
) -> Result<Vec<String>, LedgerError> {
    let describe = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let names = statement.query_map([table], |row| row.get(0))?;
        names.collect()
    };
    let ours = describe(to)?;
    let mut theirs = describe(from)?;
    theirs.retain(|column| ours.contains(column));
    Ok(theirs)
}

struct Sink<'a> {
    to: &'a Connection,
    insert: String,
}

impl<'a> Sink<'a> {
    fn new(to: &'a Connection, table: &Table, columns: &[String]) -> Self {
        let (name, names) = (table.name, columns.join(", "));
        let places = vec!["?"; columns.len()].join(", ");
        // Read from both ends, a row may come twice.
        let verb = if table.counted { "" } else { " OR IGNORE" };
        Self {
            to,
            insert: format!("INSERT{verb} INTO {name} ({names}) VALUES ({places})"),
        }
    }

    /// A row that the tables refuse (its bytes are not what the column
    /// holds) is damage, not an error of writing.
    fn take(&self, row: Vec<Value>, copied: &mut Copied) -> Result<(), LedgerError> {
        match self
            .to
            .prepare_cached(&self.insert)?
            .execute(params_from_iter(row))
        {
            Ok(changed) => copied.rows += changed as u64,
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
            {
                copied.damaged = true;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn counted(
    from: &Connection,
    table: &Table,
    columns: &[String],
    sink: &Sink<'_>,
    copied: &mut Copied,
) -> Result<(), LedgerError> {
    let (name, key) = (table.name, table.key);
    let names = columns.join(", ");
    let forward = format!("SELECT {key}, {names} FROM {name} WHERE {key} >= ?1 ORDER BY {key}");
    let mut next = i64::MIN;
    // One more than the last that was read.
    let mut after_last = 1;
    loop {
        let end = read(from, &forward, next, columns.len(), |key, row| {
            after_last = key.saturating_add(1);
            sink.take(row, copied)
        })?;
        if end.is_ok() {
            return Ok(());
        }
        copied.damaged = true;
        next = next.max(after_last).saturating_add(1);
        // A lookup of one number costs one descent: step to the next that can be read.
        let Some(readable) = beyond(from, name, key, next) else {
            return Ok(());
        };
        next = readable;
    }
}

/// The first number from `from_number` whose row can be read, if one follows the hole.
fn beyond(from: &Connection, name: &str, key: &str, from_number: i64) -> Option<i64> {
    let one = format!("SELECT {key} FROM {name} WHERE {key} = ?1");
    (from_number..from_number.saturating_add(LARGEST_HOLE)).find(|number| {
        from.prepare_cached(&one)
            .and_then(|mut statement| {
                statement
                    .query_row([number], |row| row.get::<_, i64>(0))
                    .optional()
            })
            .is_ok_and(|found| found.is_some())
    })
}

/// Both ends inward, up to what can't be read.
fn named(
    from: &Connection,
    table: &Table,
    columns: &[String],
    sink: &Sink<'_>,
    copied: &mut Copied,
) -> Result<(), LedgerError> {
    let (name, key) = (table.name, table.key);
    let names = columns.join(", ");
    for order in ["ASC", "DESC"] {
        let query = format!("SELECT 0, {names} FROM {name} WHERE ?1 = ?1 ORDER BY {key} {order}");
        let end = read(from, &query, 0, columns.len(), |_, row| {
            sink.take(row, copied)
        })?;
        if end.is_ok() {
            break;
        }
        copied.damaged = true;
    }
    Ok(())
}

/// Reads rows until there are none left, or one can't be read: the inner result says which.
fn read(
    from: &Connection,
    query: &str,
    parameter: i64,
    columns: usize,
    mut take: impl FnMut(i64, Vec<Value>) -> Result<(), LedgerError>,
) -> Result<rusqlite::Result<()>, LedgerError> {
    let mut statement = match from.prepare(query) {
        Ok(statement) => statement,
        Err(error) => return Ok(Err(error)),
    };
    let mut rows = match statement.query([parameter]) {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        let row = match rows.next() {
            Ok(None) => return Ok(Ok(())),
            Ok(Some(row)) => row,
            Err(error) => return Ok(Err(error)),
        };
        let values: rusqlite::Result<Vec<Value>> =
            (1..=columns).map(|column| row.get(column)).collect();
        match (row.get(0), values) {
            (Ok(key), Ok(values)) => take(key, values)?,
            // Text that is not UTF-8: this row alone.
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        }
    }
}
