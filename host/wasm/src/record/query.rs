//! Calls of databases as a recording has them.

use serde_json::{Value, json};

use crate::bindings::restante::plugin::database::{
    Answer, Column, Problem, Refusal, Statement, Value as Parameter, Values,
};
use crate::record::form;
use restante_roles::recording::Octets;

/// What the call is named.
pub(crate) fn call(is_change: bool) -> &'static str {
    match is_change {
        true => "database.change",
        false => "database.query",
    }
}

/// Bytes of an answer.
pub(crate) fn bytes(answer: &Answer) -> usize {
    let columns = answer.columns.iter().map(|column| match &column.values {
        Values::Integers(integers) => 8 * integers.len(),
        Values::Texts(texts) => texts.len(),
        Values::Octets((octets, ends)) => octets.len() + 4 * ends.len(),
    });
    columns.sum()
}

/// What was asked; `words` takes secrets out of a text.
pub(crate) fn asked(
    database: &str,
    statements: &[Statement],
    words: impl Fn(&str) -> String,
) -> Value {
    let statements = statements.iter().map(|statement| {
        let parameters = statement.parameters.iter().map(|value| match value {
            Parameter::Null => Value::Null,
            Parameter::Integer(integer) => json!(integer),
            Parameter::Text(text) => json!(words(text)),
            Parameter::Octets(octets) => json!({ "octets": octets.len() }),
        });
        json!({ "text": statement.text, "parameters": parameters.collect::<Vec<_>>() })
    });
    json!({ "database": database, "statements": statements.collect::<Vec<_>>() })
}

/// What came of it. Octets are replaced by as many zeros: what they are nobody knows.
pub(crate) fn answered(
    answer: Result<Vec<Answer>, Problem>,
    words: impl Fn(&str) -> String,
) -> Value {
    match answer {
        Ok(answers) => {
            let answers = answers.iter().map(|answer| {
                let columns = answer.columns.iter().map(|column| told(column, &words));
                json!({ "rows": answer.rows, "columns": columns.collect::<Vec<_>>() })
            });
            json!({ "ok": answers.collect::<Vec<_>>() })
        }
        Err(Problem::Unavailable(text)) => json!({ "unavailable": words(&text) }),
        // Databases quote values in it.
        Err(Problem::Refused(Refusal { sqlstate, text })) => {
            json!({ "refused": { "sqlstate": sqlstate, "text": words(&text) } })
        }
        Err(Problem::TooLarge) => json!({ "too-large": true }),
    }
}

fn told(column: &Column, words: &impl Fn(&str) -> String) -> Value {
    let (kind, values) = match &column.values {
        Values::Integers(integers) => ("integers", json!(integers)),
        Values::Texts(texts) => {
            let each = texts.split_terminator('\0').map(words);
            ("texts", json!(each.collect::<Vec<_>>()))
        }
        Values::Octets((octets, ends)) => {
            let octets = form::value(Octets(vec![0; octets.len()]));
            ("octets", json!({ "octets": octets, "ends": ends }))
        }
    };
    json!({ "name": column.name, kind: values, "nulls": column.nulls })
}

/// What a recording has for an answer. None: nothing of the kind.
pub(crate) fn played(answer: &Value) -> Option<Result<Vec<Answer>, Problem>> {
    if let Some(text) = answer["unavailable"].as_str() {
        return Some(Err(Problem::Unavailable(text.to_owned())));
    }
    if answer["too-large"] == true {
        return Some(Err(Problem::TooLarge));
    }
    if let Some(refused) = answer.get("refused") {
        return Some(Err(Problem::Refused(Refusal {
            sqlstate: refused["sqlstate"].as_str()?.to_owned(),
            text: refused["text"].as_str()?.to_owned(),
        })));
    }
    let answers = answer["ok"].as_array()?.iter().map(|answer| {
        let columns = answer["columns"].as_array()?.iter().map(column);
        Some(Answer {
            rows: answer["rows"].as_u64()?,
            columns: columns.collect::<Option<_>>()?,
        })
    });
    answers.collect::<Option<Vec<_>>>().map(Ok)
}

fn column(of: &Value) -> Option<Column> {
    let values = if let Some(integers) = of.get("integers") {
        Values::Integers(serde_json::from_value(integers.clone()).ok()?)
    } else if let Some(texts) = of.get("texts") {
        let each: Vec<String> = serde_json::from_value(texts.clone()).ok()?;
        Values::Texts(each.iter().flat_map(|text| [text.as_str(), "\0"]).collect())
    } else {
        let found = of.get("octets")?;
        let octets: Octets = serde_json::from_value(found["octets"].clone()).ok()?;
        let ends = serde_json::from_value(found["ends"].clone()).ok()?;
        Values::Octets((octets.0, ends))
    };
    Some(Column {
        name: of["name"].as_str()?.to_owned(),
        values,
        nulls: serde_json::from_value(of["nulls"].clone()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: Values) -> Column {
        Column {
            name: "c".into(),
            values,
            nulls: vec![1],
        }
    }

    /// Every kind of column comes back, with its texts as they were replaced and octets gone.
    #[test]
    fn an_answer_is_played_as_it_was_told() {
        let answers = vec![Answer {
            rows: 2,
            columns: vec![
                column(Values::Integers(vec![-1, 0])),
                column(Values::Texts("secret\0\0".into())),
                column(Values::Octets((vec![7, 8], vec![2, 2]))),
            ],
        }];
        let told = answered(Ok(answers), |text| text.replace("secret", "hidden"));
        assert!(!told.to_string().contains("secret"));
        let Some(Ok(played)) = played(&told) else {
            panic!("{told}");
        };
        let [answer] = &*played else {
            panic!("{told}");
        };
        assert_eq!((answer.rows, answer.columns.len()), (2, 3));
        assert!(matches!(&answer.columns[0].values, Values::Integers(all) if *all == [-1, 0]));
        assert!(matches!(&answer.columns[1].values, Values::Texts(all) if all == "hidden\0\0"));
        assert!(matches!(
            &answer.columns[2].values,
            Values::Octets((octets, ends)) if *octets == [0, 0] && *ends == [2, 2]
        ));
        assert!(answer.columns.iter().all(|column| column.nulls == [1]));
    }

    #[test]
    fn what_was_refused_then_is_refused_again() {
        let refused = Problem::Refused(Refusal {
            sqlstate: "42P01".into(),
            text: "no such table".into(),
        });
        let away = Problem::Unavailable("away".into());
        for problem in [refused, away, Problem::TooLarge] {
            let told = answered(Err(problem.clone()), str::to_owned);
            let played = played(&told).map(|played| format!("{:?}", played.err()));
            assert_eq!(played, Some(format!("{:?}", Some(problem))));
        }
        assert!(played(&json!({})).is_none());
    }
}
