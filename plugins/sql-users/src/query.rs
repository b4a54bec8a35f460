//! The operator's statement: placeholders in braces become parameters. What a client
//! sends is a value beside the text, whatever is in it.

use restante_guest::database::{Statement, Value};

use crate::scanner::{Part, parts};

/// What may stand in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    User,
    Local,
    Domain,
    Tenant,
}

const PLACEHOLDERS: [(&str, Placeholder); 4] = [
    ("{user}", Placeholder::User),
    ("{local}", Placeholder::Local),
    ("{domain}", Placeholder::Domain),
    ("{tenant}", Placeholder::Tenant),
];

const KNOWN: &str = "{user}, {local}, {domain} and {tenant}";

/// A statement with its parameters' meanings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// With $1, $2, …
    text: String,
    /// The first is $1.
    parameters: Vec<Placeholder>,
}

impl Query {
    /// # Errors
    /// What is wrong, for the operator.
    pub(crate) fn parse(sql: &str) -> Result<Query, String> {
        if sql.contains('\0') {
            return Err("has a NUL".to_owned());
        }
        let mut query = Query {
            text: String::with_capacity(sql.len()),
            parameters: Vec::new(),
        };
        for part in parts(sql)? {
            match part {
                Part::Code(code) => query.take(code)?,
                Part::Quoted(text) => {
                    let inside = PLACEHOLDERS.iter().find(|(name, _)| text.contains(name));
                    if let Some((name, _)) = inside {
                        return Err(format!(
                            "{name} is in quotes, where it would be only text: write it without them (to join texts, use ||)"
                        ));
                    }
                    query.text.push_str(text);
                }
                Part::Comment(text) => query.text.push_str(text),
            }
        }
        let tells_users_apart =
            |parameter: &Placeholder| matches!(parameter, Placeholder::User | Placeholder::Local);
        if !query.parameters.iter().any(tells_users_apart) {
            return Err(
                "has neither {user} nor {local}, so it would return the same for all users (Dovecot's '%u', '%n' and '%d' are {user}, {local} and {domain} here, without quotes)"
                    .to_owned(),
            );
        }
        Ok(query)
    }

    fn take(&mut self, code: &str) -> Result<(), String> {
        let mut after_dollar = code.split('$').skip(1);
        let numbered =
            after_dollar.find(|rest| rest.starts_with(|next: char| next.is_ascii_digit()));
        if let Some(rest) = numbered {
            let digits = rest.chars().take_while(char::is_ascii_digit);
            return Err(format!(
                "parameters have names here: write {KNOWN}, not ${}",
                digits.take(3).collect::<String>()
            ));
        }
        let mut rest = code;
        while let Some(start) = rest.find(['{', '}']) {
            let known = PLACEHOLDERS
                .iter()
                .find(|(name, _)| rest[start..].starts_with(name));
            let Some((name, placeholder)) = known else {
                return Err(format!(
                    "has a brace that is not of a placeholder: there are {KNOWN}"
                ));
            };
            self.text.push_str(&rest[..start]);
            let number = self.number(*placeholder);
            self.text.push_str(&format!("${number}"));
            rest = &rest[start + name.len()..];
            // "$1" before a digit would be another parameter.
            if rest.starts_with(|next: char| next.is_alphanumeric() || next == '_') {
                return Err(format!("{name} has a letter or a digit right after it"));
            }
        }
        self.text.push_str(rest);
        Ok(())
    }

    /// Its parameter's number. One that is used twice is one parameter.
    fn number(&mut self, placeholder: Placeholder) -> usize {
        let known = self.parameters.iter().position(|one| *one == placeholder);
        let position = known.unwrap_or_else(|| {
            self.parameters.push(placeholder);
            self.parameters.len() - 1
        });
        position + 1
    }

    /// For this user, whose name is in its canonical form.
    pub(crate) fn statement(&self, user: &str, tenant: &str) -> Statement {
        let (local, domain) = user.rsplit_once('@').unwrap_or((user, ""));
        let mut statement = Statement::new(self.text.as_str());
        for parameter in &self.parameters {
            let value = match parameter {
                Placeholder::User => user,
                Placeholder::Local => local,
                Placeholder::Domain => domain,
                Placeholder::Tenant => tenant,
            };
            statement = statement.with(Value::Text(value.to_owned()));
        }
        statement
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Placeholder::{Domain, Local, Tenant, User};

    #[test]
    fn placeholders_become_parameters() {
        for (sql, text, parameters) in [
            (
                "select a from u where n = {user}",
                "select a from u where n = $1",
                vec![User],
            ),
            (
                "select {tenant}, {user}||'@x' from u where d={domain} and l={local} or n = {user}",
                "select $1, $2||'@x' from u where d=$3 and l=$4 or n = $2",
                vec![Tenant, User, Domain, Local],
            ),
            (
                "select '{SHA256}' || h, '{1,2}' /* {user} {x} $1 */ from \"a{b}\" where n={user} -- '{user}",
                "select '{SHA256}' || h, '{1,2}' /* {user} {x} $1 */ from \"a{b}\" where n=$1 -- '{user}",
                vec![User],
            ),
        ] {
            let query = Query::parse(sql).unwrap();
            assert_eq!((&*query.text, query.parameters), (text, parameters));
        }
    }

    #[test]
    fn a_name_is_a_value_whatever_is_in_it() {
        let query = Query::parse("select {domain}, {local}, {user}, {tenant}").unwrap();
        for (user, local, domain) in [
            ("ann@example.org", "ann", "example.org"),
            ("a@b@c", "a@b", "c"),
            ("ann", "ann", ""),
            ("' or 1=1 --{tenant}$1", "' or 1=1 --{tenant}$1", ""),
        ] {
            let mut expected = Statement::new("select $1, $2, $3, $4");
            for text in [domain, local, user, "acme"] {
                expected = expected.with(Value::Text(text.to_owned()));
            }
            assert_eq!(query.statement(user, "acme"), expected);
        }
    }

    #[test]
    fn statements_that_cannot_be_meant_are_told() {
        for (sql, problem) in [
            ("select 1", "neither {user} nor {local}"),
            ("select 1 where a = '%u'", "'%n'"),
            ("select 1 where a = {domain}", "neither {user} nor {local}"),
            ("select 1 -- {user}", "neither {user} nor {local}"),
            ("select 1 where a = '{user}'", "{user} is in quotes"),
            ("select 1 where a = 'x{local}y'", "{local} is in quotes"),
            ("select \"{user}\"", "{user} is in quotes"),
            ("select $$ {user} $$", "{user} is in quotes"),
            ("select {name}", "a brace that is not"),
            ("select {user", "a brace that is not"),
            ("select {User}", "a brace that is not"),
            ("select {user}}", "a brace that is not"),
            ("select {user}1", "right after it"),
            ("select {user} where a = $12", "not $12"),
            ("select {user} where a = 'b", "a quote is not closed"),
            ("select {user}\0", "NUL"),
        ] {
            let told = Query::parse(sql).unwrap_err();
            assert!(told.contains(problem), "{sql}: {told}");
        }
    }
}
