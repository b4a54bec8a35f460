//! Parameters as every dialect has them here: $1, $2, …

use std::path::Path;

use rusqlite::types::{Null, ToSqlOutput, ValueRef};

use super::refusal::{refusal, refused};
use crate::database::{Refusal, Value};

/// Binds each to where its number is. To SQLite "$2" is a name like any other, so
/// its own order is that in which they come up in the text.
pub(super) fn bind(
    path: &Path,
    prepared: &mut rusqlite::Statement<'_>,
    parameters: &[Value],
) -> Result<(), Refusal> {
    let mut is_named = vec![false; parameters.len()];
    for index in 1..=prepared.parameter_count() {
        let name = prepared.parameter_name(index).unwrap_or("?").to_owned();
        let number = name.strip_prefix('$').and_then(number);
        let position = number.and_then(|number| number.checked_sub(1));
        let found = position.and_then(|position| Some((position, parameters.get(position)?)));
        let Some((position, value)) = found else {
            let given = parameters.len();
            let text = format!("parameter {name}: there are $1 to ${given}, and no other names");
            return Err(refused("42P02", &text));
        };
        is_named[position] = true;
        let value = match value {
            Value::Null => ToSqlOutput::from(Null),
            Value::Integer(integer) => ToSqlOutput::from(*integer),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Octets(octets) => ToSqlOutput::Borrowed(ValueRef::Blob(octets)),
        };
        let bound = prepared.raw_bind_parameter(index, value);
        bound.map_err(|error| refusal(path, &error))?;
    }
    match is_named.iter().position(|is_named| !is_named) {
        Some(position) => {
            let text = format!("parameter ${} is not in the statement", position + 1);
            Err(refused("42P02", &text))
        }
        None => Ok(()),
    }
}

/// A number as it is written in the one way: no "01", no "+1".
fn number(digits: &str) -> Option<usize> {
    let number: usize = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}
