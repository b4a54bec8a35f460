//! A database of the operator's, for who knows the users there. What may be read and
//! changed in it follows from the role that the engine connects as.

use std::fmt;

use async_trait::async_trait;

use crate::bounds::{MAX_CALL_BYTES, MAX_STATEMENTS};
use crate::meter::Meter;

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// SQL's null.
    Null,
    /// An integer.
    Integer(i64),
    /// A text.
    Text(String),
    /// Octets.
    Octets(Vec<u8>),
}

/// One SQL statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// With $1, $2, … in every dialect. It may be kept prepared, so it has to be one of a
    /// few.
    pub text: String,
    /// As many as the text names.
    pub parameters: Vec<Value>,
}

/// A column of an answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// One for each row.
    Integers(Vec<i64>),
    /// A NUL after each.
    Texts(String),
    /// All joined, and where each ends.
    Octets(Vec<u8>, Vec<u32>),
}

/// A column and the rows that have nothing in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in the answer, as the database gives it.
    pub name: String,
    /// What is in it. A column that is null in every row has texts.
    pub values: Values,
    /// Rows without a value, rising; 0 or nothing stands in their place.
    pub nulls: Vec<u32>,
}

/// What came of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Rows told, or rows changed where the statement tells none.
    pub rows: u64,
    /// All of the same number of rows.
    pub columns: Vec<Column>,
}

/// Why there is no answer. Nothing was changed but where it says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not answer, or not in time. The text is for the operator.
    #[error("{0}")]
    Unavailable(String),
    /// The same of a change, of which nobody knows whether it was made.
    #[error("{0}; whether anything was changed is not known")]
    Unknown(String),
    /// The database refuses the statement.
    #[error("SQLSTATE {state}: {text}")]
    Refused {
        /// Five characters of the SQL standard's.
        state: String,
        /// The database's words.
        text: String,
    },
    /// The answer has more than [`crate::MAX_ANSWER_BYTES`].
    #[error("the answer has more than 64 MiB")]
    TooLarge,
}

/// A database, as one role. A call that nobody waits for any more goes on to its end, or to
/// its deadline ([`crate::CALL_DEADLINE`]).
#[async_trait]
pub trait Database: Send + Sync + fmt::Debug {
    /// Asks, in a transaction that can change nothing.
    async fn query(&self, statement: Statement, meter: &Meter) -> Result<Answer, Refusal>;

    /// All of them in order, or none.
    async fn change(
        &self,
        statements: Vec<Statement>,
        meter: &Meter,
    ) -> Result<Vec<Answer>, Refusal>;
}

/// Whether these are as they have to be: not too many, not too large, no NUL in a text of
/// a statement.
///
/// # Errors
/// [`Refusal::Refused`].
pub fn check_statements(statements: &[Statement]) -> Result<(), Refusal> {
    let refused = |state: &str, text: &str| {
        let (state, text) = (state.to_owned(), text.to_owned());
        Err(Refusal::Refused { state, text })
    };
    if statements.len() > MAX_STATEMENTS {
        return refused("54000", "more than 1,000 statements at once");
    }
    let bytes = statements.iter().map(|statement| {
        let parameters = statement
            .parameters
            .iter()
            .map(|parameter| match parameter {
                Value::Null | Value::Integer(_) => 8,
                Value::Text(text) => text.len(),
                Value::Octets(octets) => octets.len(),
            });
        statement.text.len() + parameters.sum::<usize>()
    });
    if bytes.sum::<usize>() > MAX_CALL_BYTES {
        return refused("54000", "statements and parameters of more than 16 MiB");
    }
    if statements
        .iter()
        .any(|statement| statement.text.contains('\0'))
    {
        return refused("42601", "a NUL in a statement");
    }
    Ok(())
}

/// Columns of an answer while its rows come: what every kind packs alike.
#[derive(Debug)]
pub struct Columns {
    names: Vec<String>,
    columns: Vec<Option<Values>>,
    nulls: Vec<Vec<u32>>,
    rows: u32,
    bytes: u64,
    max_bytes: u64,
}

/// A value of a row, borrowed.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    /// SQL's null.
    Null,
    /// An integer.
    Integer(i64),
    /// A text. A NUL would end it in the column, so one that has a NUL is refused.
    Text(&'a str),
    /// Octets.
    Octets(&'a [u8]),
}

impl Columns {
    /// Columns of these names, which may have `max_bytes` together.
    pub fn new(names: Vec<String>, max_bytes: u64) -> Self {
        Columns {
            columns: vec![None; names.len()],
            nulls: vec![Vec::new(); names.len()],
            names,
            rows: 0,
            bytes: 0,
            max_bytes,
        }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next value of the row that is coming, in the column at `position`; a row has one
    /// for each column, then [`Columns::end_row`].
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], and [`Refusal::Refused`] for what the column cannot hold
    /// beside what it holds.
    pub fn push(&mut self, position: usize, cell: Cell<'_>) -> Result<(), Refusal> {
        let bytes = match cell {
            Cell::Null | Cell::Integer(_) => 8,
            Cell::Text(text) => text.len() + 1,
            Cell::Octets(octets) => octets.len() + 4,
        };
        self.bytes += bytes as u64;
        if self.bytes > self.max_bytes {
            return Err(Refusal::TooLarge);
        }
        let rows = self.rows as usize;
        if let Cell::Null = cell {
            self.nulls[position].push(self.rows);
            if let Some(values) = &mut self.columns[position] {
                values.push_nothing();
            }
            return Ok(());
        }
        let values = self.columns[position].get_or_insert_with(|| Values::of_nothing(cell, rows));
        let is_text_with_nul = matches!(cell, Cell::Text(text) if text.contains('\0'));
        match (values, cell) {
            (Values::Integers(integers), Cell::Integer(integer)) => integers.push(integer),
            (Values::Texts(texts), Cell::Text(text)) if !is_text_with_nul => {
                texts.push_str(text);
                texts.push('\0');
            }
            (Values::Octets(octets, ends), Cell::Octets(more)) => {
                octets.extend_from_slice(more);
                // An answer is far smaller.
                ends.push(u32::try_from(octets.len()).unwrap_or(u32::MAX));
            }
            _ => {
                let what = match is_text_with_nul {
                    true => "a text with a NUL: cast it to octets",
                    false => "values of different types: cast them to one",
                };
                return Err(Refusal::Refused {
                    state: "22000".to_owned(),
                    text: format!("column {:?} has {what}", self.names[position]),
                });
            }
        }
        Ok(())
    }

    /// All of the row's values are there.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`].
    pub fn end_row(&mut self) -> Result<(), Refusal> {
        self.rows = self.rows.checked_add(1).ok_or(Refusal::TooLarge)?;
        Ok(())
    }

    /// All rows are there.
    pub fn answer(self) -> Answer {
        let rows = self.rows as usize;
        let columns = self.names.into_iter().zip(self.columns).zip(self.nulls);
        let columns = columns.map(|((name, values), nulls)| Column {
            name,
            values: values.unwrap_or_else(|| Values::of_nothing(Cell::Text(""), rows)),
            nulls,
        });
        Answer {
            rows: rows as u64,
            columns: columns.collect(),
        }
    }
}

impl Values {
    /// For so many rows of null, in a column of the kind of `cell`.
    fn of_nothing(cell: Cell<'_>, rows: usize) -> Self {
        match cell {
            Cell::Integer(_) => Values::Integers(vec![0; rows]),
            Cell::Text(_) | Cell::Null => Values::Texts("\0".repeat(rows)),
            Cell::Octets(_) => Values::Octets(Vec::new(), vec![0; rows]),
        }
    }

    fn push_nothing(&mut self) {
        match self {
            Values::Integers(integers) => integers.push(0),
            Values::Texts(texts) => texts.push('\0'),
            Values::Octets(octets, ends) => {
                ends.push(u32::try_from(octets.len()).unwrap_or(u32::MAX));
            }
        }
    }
}
