//! Answers of a database: columns as the host packs them, read a value at a time.

use crate::bindings::host::restante::plugin::database as raw;

/// What came of a statement: its rows, or how many it changed.
///
/// ```
/// use restante_guest::database::{Cell, Rows, Value};
///
/// let rows = Rows::of(
///     &["name", "quota"],
///     [vec!["alice".into(), 5.into()], vec!["bob".into(), Value::Null]],
/// );
/// assert_eq!(rows.len(), 2);
/// assert_eq!(rows.get(0, "quota"), Some(Cell::Integer(5)));
/// assert_eq!(rows.get(0, "color"), None);
/// for row in rows.rows() {
///     assert!(row.get("name").is_some_and(|cell| cell.as_text().is_some()));
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Of each column, or changed where there are none.
    rows: u64,
    /// Each has `rows` values.
    columns: Vec<Column>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    values: Values,
    /// For each row whether it has no value. Empty: each has one.
    nulls: Vec<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    Integers(Vec<i64>),
    /// The packed texts, and where the NUL of each is.
    Texts(String, Vec<usize>),
    /// The joined octets, and where those of each row end.
    Octets(Vec<u8>, Vec<u32>),
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// There is none: SQL's null.
    Null,
    /// An integer.
    Integer(i64),
    /// A text.
    Text(&'a str),
    /// Octets.
    Octets(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// Whether there is no value.
    pub fn is_null(self) -> bool {
        self == Cell::Null
    }

    /// The integer, if it is one.
    pub fn as_integer(self) -> Option<i64> {
        match self {
            Cell::Integer(integer) => Some(integer),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(self) -> Option<&'a str> {
        match self {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The octets, if that is what it is.
    pub fn as_octets(self) -> Option<&'a [u8]> {
        match self {
            Cell::Octets(octets) => Some(octets),
            _ => None,
        }
    }
}

/// One row of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    rows: &'a Rows,
    position: usize,
}

impl<'a> Row<'a> {
    /// The value in a column. None: there is no such column. Of columns with the same
    /// name it is the first.
    pub fn get(&self, column: &str) -> Option<Cell<'a>> {
        self.rows.get(self.position, column)
    }
}

impl Rows {
    /// How many rows the statement changed; those that it returns, where it returns rows.
    pub fn changed(&self) -> u64 {
        self.rows
    }

    /// How many rows there are to look at: none after a statement that returns none.
    pub fn len(&self) -> usize {
        match self.columns.first() {
            // As many as the column has values, so they are in memory.
            Some(_) => self.rows as usize,
            None => 0,
        }
    }

    /// Whether there is no row to look at.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the columns, in their order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The value of a row, the first of which is 0, in a column. None: there is no such
    /// row, or no such column. Of columns with the same name it is the first.
    pub fn get(&self, row: usize, column: &str) -> Option<Cell<'_>> {
        let column = self.columns.iter().find(|there| there.name == column)?;
        column.cell(row)
    }

    /// The rows, in their order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.len()).map(|position| Row {
            rows: self,
            position,
        })
    }
}

impl Column {
    fn cell(&self, row: usize) -> Option<Cell<'_>> {
        if self.nulls.get(row) == Some(&true) {
            return Some(Cell::Null);
        }
        match &self.values {
            Values::Integers(integers) => integers.get(row).copied().map(Cell::Integer),
            Values::Texts(texts, nuls) => {
                let end = *nuls.get(row)?;
                let begin = row.checked_sub(1).map_or(0, |before| nuls[before] + 1);
                texts.get(begin..end).map(Cell::Text)
            }
            Values::Octets(octets, ends) => {
                let end = *ends.get(row)?;
                let begin = row.checked_sub(1).map_or(0, |before| ends[before]);
                octets.get(begin as usize..end as usize).map(Cell::Octets)
            }
        }
    }
}

impl Rows {
    /// The error says what is malformed: columns that do not fit each other are no rows,
    /// because a value that is missing must not pass for another one.
    pub(super) fn unpack(answer: raw::Answer) -> Result<Rows, String> {
        let rows = answer.rows;
        let columns = answer.columns.into_iter().map(|column| {
            let malformed = |what: &str| {
                format!(
                    "the host's answer is malformed: column {:?} {what}",
                    column.name
                )
            };
            let values = match column.values {
                raw::Values::Integers(integers) => Values::Integers(integers),
                raw::Values::Texts(texts) => {
                    let nuls: Vec<usize> = memchr::memchr_iter(0, texts.as_bytes()).collect();
                    if nuls.last().map_or(0, |last| last + 1) != texts.len() {
                        return Err(malformed("has a text without a NUL after it"));
                    }
                    Values::Texts(texts, nuls)
                }
                raw::Values::Octets((octets, ends)) => {
                    if !ends.is_sorted()
                        || ends.last().map_or(0, |end| *end as usize) != octets.len()
                    {
                        return Err(malformed("has ends that do not fit its octets"));
                    }
                    Values::Octets(octets, ends)
                }
            };
            let count = match &values {
                Values::Integers(integers) => integers.len(),
                Values::Texts(_, nuls) => nuls.len(),
                Values::Octets(_, ends) => ends.len(),
            };
            if count as u64 != rows {
                return Err(malformed(&format!("has {count} values in {rows} rows")));
            }
            let mut nulls = Vec::new();
            if !column.nulls.is_empty() {
                nulls.resize(count, false);
            }
            for row in column.nulls {
                match nulls.get_mut(row as usize) {
                    Some(is_null) => *is_null = true,
                    None => return Err(malformed(&format!("has no value in row {row} of {rows}"))),
                }
            }
            Ok(Column {
                name: column.name,
                values,
                nulls,
            })
        });
        Ok(Rows {
            rows,
            columns: columns.collect::<Result<_, _>>()?,
        })
    }
}

/// Outside a component only: what a fake database answers.
#[cfg(not(target_family = "wasm"))]
mod fake {
    use super::{Rows, raw};
    use crate::database::Value;

    impl Rows {
        /// Rows for [`testing::set_database`](crate::testing::set_database): the names of
        /// the columns, and for each row a value in each of them. Outside components
        /// only.
        ///
        /// # Panics
        /// If a row has not a value for each column, a column has values of different
        /// types, or a text has a NUL in it: no host answers like that.
        pub fn of(columns: &[&str], rows: impl IntoIterator<Item = Vec<Value>>) -> Rows {
            let rows: Vec<Vec<Value>> = rows.into_iter().collect();
            for (position, row) in rows.iter().enumerate() {
                let (values, columns) = (row.len(), columns.len());
                assert_eq!(values, columns, "row {position}: values and columns");
            }
            let columns = columns.iter().enumerate().map(|(position, name)| {
                let values: Vec<&Value> = rows.iter().map(|row| &row[position]).collect();
                packed(name, &values)
            });
            let answer = raw::Answer {
                rows: rows.len() as u64,
                columns: columns.collect(),
            };
            Rows::unpack(answer).unwrap_or_else(|problem| panic!("{problem}"))
        }

        /// What comes of a statement that changed so many rows and returns none. Outside
        /// components only.
        pub fn after_change(changed: u64) -> Rows {
            Rows {
                rows: changed,
                columns: Vec::new(),
            }
        }
    }

    /// A column as the host packs it.
    fn packed(name: &str, values: &[&Value]) -> raw::Column {
        let is_null = |value: &Value| matches!(value, Value::Null);
        let first = values.iter().find(|value| !is_null(value));
        let strange = |value: &Value| -> ! {
            panic!("column {name:?} has {value:?} among values of another type")
        };
        let packed = match first {
            Some(Value::Integer(_)) => {
                let integers = values.iter().map(|value| match value {
                    Value::Integer(integer) => *integer,
                    Value::Null => 0,
                    other => strange(other),
                });
                raw::Values::Integers(integers.collect())
            }
            Some(Value::Octets(_)) => {
                let (mut octets, mut ends) = (Vec::new(), Vec::new());
                for value in values {
                    match value {
                        Value::Octets(more) => octets.extend_from_slice(more),
                        Value::Null => {}
                        other => strange(other),
                    }
                    ends.push(u32::try_from(octets.len()).unwrap_or(u32::MAX));
                }
                raw::Values::Octets((octets, ends))
            }
            _ => {
                let texts = values.iter().flat_map(|value| match value {
                    Value::Text(text) => [text.as_str(), "\0"],
                    Value::Null => ["", "\0"],
                    other => strange(other),
                });
                raw::Values::Texts(texts.collect())
            }
        };
        let rows = (0_u32..).zip(values);
        raw::Column {
            name: name.to_owned(),
            values: packed,
            nulls: rows
                .filter(|(_, value)| is_null(value))
                .map(|(row, _)| row)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Value;

    fn column(name: &str, values: raw::Values, nulls: &[u32]) -> raw::Column {
        raw::Column {
            name: name.into(),
            values,
            nulls: nulls.into(),
        }
    }

    fn rows(rows: u64, columns: impl Into<Vec<raw::Column>>) -> Result<Rows, String> {
        let columns = columns.into();
        Rows::unpack(raw::Answer { rows, columns })
    }

    #[test]
    fn packed_columns_are_read_a_value_at_a_time() {
        let rows = rows(
            3,
            [
                column("id", raw::Values::Integers(vec![i64::MIN, 0, 7]), &[]),
                column("name", raw::Values::Texts("a\0\0äö\0".into()), &[]),
                column(
                    "key",
                    raw::Values::Octets((vec![1, 2, 0], vec![2, 2, 3])),
                    &[],
                ),
            ],
        )
        .unwrap();
        assert_eq!((rows.len(), rows.changed(), rows.is_empty()), (3, 3, false));
        assert_eq!(rows.columns().collect::<Vec<_>>(), ["id", "name", "key"]);
        let all: Vec<_> = rows
            .rows()
            .map(|row| ["id", "name", "key"].map(|column| row.get(column).unwrap()))
            .collect();
        let expected = [(i64::MIN, "a", &[1, 2][..]), (0, "", &[]), (7, "äö", &[0])]
            .map(|(id, name, key)| [Cell::Integer(id), Cell::Text(name), Cell::Octets(key)]);
        assert_eq!(all, expected);
        assert_eq!(rows.get(3, "id"), None);
        assert_eq!(rows.get(usize::MAX, "name"), None);
        assert_eq!(rows.get(0, "ID"), None);
        assert!(rows.rows().next().unwrap().get("none").is_none());
    }

    #[test]
    fn rows_without_a_value_are_null() {
        let rows = rows(
            2,
            [
                column("id", raw::Values::Integers(vec![0, 0]), &[1]),
                column("name", raw::Values::Texts("\0\0".into()), &[0]),
                column("key", raw::Values::Octets((vec![], vec![0, 0])), &[0, 1]),
            ],
        )
        .unwrap();
        assert_eq!(rows.get(0, "id"), Some(Cell::Integer(0)));
        assert_eq!(rows.get(1, "id"), Some(Cell::Null));
        assert_eq!(rows.get(0, "name"), Some(Cell::Null));
        assert_eq!(rows.get(1, "name"), Some(Cell::Text("")));
        assert!((0..2).all(|row| rows.get(row, "key").unwrap().is_null()));
        // No row is not a row of null.
        assert_eq!(rows.get(2, "key"), None);
    }

    #[test]
    fn of_columns_with_one_name_the_first_counts() {
        let rows = Rows::of(&["id", "id"], [vec![1.into(), "x".into()]]);
        assert_eq!(rows.get(0, "id"), Some(Cell::Integer(1)));
        assert_eq!(rows.columns().count(), 2);
    }

    #[test]
    fn a_statement_that_returns_nothing_has_no_rows() {
        let rows = rows(u64::MAX, []).unwrap();
        assert_eq!(rows, Rows::after_change(u64::MAX));
        assert_eq!((rows.changed(), rows.len()), (u64::MAX, 0));
        assert!(rows.is_empty());
        assert_eq!(rows.rows().count(), 0);
        assert_eq!(rows.get(0, "id"), None);
    }

    #[test]
    fn malformed_answers_are_refused() {
        let integers = |count| raw::Values::Integers(vec![0; count]);
        let texts = |text: &str| raw::Values::Texts(text.into());
        let octets =
            |octets: &[u8], ends: &[u32]| raw::Values::Octets((octets.into(), ends.into()));
        for (values, nulls, words) in [
            (integers(1), &[][..], "1 values in 2 rows"),
            (integers(3), &[], "3 values in 2 rows"),
            (integers(2), &[0, 2], "row 2 of 2"),
            (integers(2), &[u32::MAX], "row 4294967295 of 2"),
            (texts("a\0"), &[], "1 values"),
            (texts("a\0b"), &[], "without a NUL"),
            (texts("a\0b\0c\0"), &[], "3 values"),
            (texts(""), &[0, 1], "0 values"),
            (octets(b"ab", &[1, 1]), &[], "ends"),
            (octets(b"ab", &[1, 3]), &[], "ends"),
            (octets(b"ab", &[3, 2]), &[], "ends"),
            (octets(b"ab", &[2]), &[], "1 values"),
            (octets(b"ab", &[]), &[], "ends"),
        ] {
            let problem = rows(2, [column("x", values, nulls)]).unwrap_err();
            assert!(problem.contains("column \"x\""), "{problem}");
            assert!(problem.contains(words), "{problem}");
        }
        // Nulls in any order, and twice, say what they say.
        let odd = rows(2, [column("x", integers(2), &[1, 0, 1])]).unwrap();
        assert!(odd.rows().all(|row| row.get("x").unwrap().is_null()));
    }

    #[test]
    fn a_fakes_rows_are_what_it_says() {
        let key = || Value::Octets(vec![9]);
        let rows = Rows::of(
            &["id", "name", "key", "none"],
            [
                vec![Value::Null, "a".into(), key(), Value::Null],
                vec![2.into(), Value::Null, Value::Null, Value::Null],
                vec![3.into(), "".into(), key(), Value::Null],
            ],
        );
        let integers: Vec<_> = rows.rows().map(|row| row.get("id").unwrap()).collect();
        assert_eq!(integers, [Cell::Null, Cell::Integer(2), Cell::Integer(3)]);
        let texts = rows.rows().map(|row| row.get("name").unwrap().as_text());
        assert_eq!(texts.collect::<Vec<_>>(), [Some("a"), None, Some("")]);
        let octets = rows.rows().map(|row| row.get("key").unwrap().as_octets());
        assert_eq!(
            octets.collect::<Vec<_>>(),
            [Some(&[9][..]), None, Some(&[9])]
        );
        assert!(rows.rows().all(|row| row.get("none").unwrap().is_null()));
        assert!(Rows::of(&["id"], []).is_empty());
    }

    #[test]
    #[should_panic(expected = "values of another type")]
    fn a_fakes_column_has_one_type() {
        Rows::of(&["id"], [vec![1.into()], vec!["2".into()]]);
    }

    #[test]
    #[should_panic(expected = "row 1: values and columns")]
    fn a_fakes_rows_are_whole() {
        Rows::of(&["id"], [vec![1.into()], vec![]]);
    }

    #[test]
    fn a_cell_is_one_thing() {
        let all = |cell: Cell<'_>| {
            [
                cell.is_null(),
                cell.as_integer().is_some(),
                cell.as_text().is_some(),
                cell.as_octets().is_some(),
            ]
        };
        assert_eq!(all(Cell::Null), [true, false, false, false]);
        assert_eq!(all(Cell::Integer(0)), [false, true, false, false]);
        assert_eq!(all(Cell::Text("")), [false, false, true, false]);
        assert_eq!(all(Cell::Octets(&[])), [false, false, false, true]);
    }
}
