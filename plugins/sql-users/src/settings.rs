//! The plugin's settings, checked.

use restante_guest::prelude::*;
use restante_guest::users::Case;

use crate::query::Query;
use crate::stand_in::StandIn;

pub(crate) struct Settings {
    /// A name in the grant `databases`.
    pub(crate) database: String,
    pub(crate) query: Query,
    pub(crate) case: Case,
    pub(crate) stand_in: StandIn,
}

impl Settings {
    /// As they are now.
    pub(crate) fn of_the_host() -> Result<Settings, Failure> {
        Settings::parse(restante_guest::settings::all()).map_err(|problems| {
            log::error!("{}", problems.join("; "));
            Failure::permanent("the user database is not set up")
        })
    }

    /// Every problem, each with the name of its key first.
    pub(crate) fn parse(all: Vec<(String, String)>) -> Result<Settings, Vec<String>> {
        let mut problems = Vec::new();
        let (mut database, mut query) = (None, None);
        let mut case = Case::default();
        let mut stand_in = StandIn::default();
        let mut is_query_there = false;
        for (key, value) in all {
            match key.as_str() {
                "database" if value.is_empty() => {}
                "database" => database = Some(value),
                "user-query" if value.trim().is_empty() => {}
                "user-query" => {
                    is_query_there = true;
                    match Query::parse(&value) {
                        Ok(parsed) => query = Some(parsed),
                        Err(problem) => problems.push(format!("user-query: {problem}")),
                    }
                }
                "case" => match value.parse() {
                    Ok(parsed) => case = parsed,
                    Err(problem) => problems.push(format!("case: {problem}")),
                },
                "scheme" => match StandIn::parse(&value) {
                    Ok(parsed) => stand_in = parsed,
                    Err(problem) => problems.push(format!("scheme: {problem}")),
                },
                _ => problems.push(format!(
                    "{key}: unknown setting; there are database, user-query, case and scheme"
                )),
            }
        }
        if database.is_none() {
            problems.push(
                "database: must name a database that the plugin's grant `databases` has".to_owned(),
            );
        }
        if !is_query_there {
            problems.push(
                "user-query: must be an SQL statement that returns the row of {user}".to_owned(),
            );
        }
        match (database, query) {
            (Some(database), Some(query)) if problems.is_empty() => Ok(Settings {
                database,
                query,
                case,
                stand_in,
            }),
            _ => Err(problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(settings: &[(&str, &str)]) -> Vec<String> {
        let settings = settings.iter();
        let settings = settings.map(|(key, value)| (key.to_string(), value.to_string()));
        let problems = Settings::parse(settings.collect()).err();
        let problems = problems.unwrap_or_default();
        let key = |problem: &String| problem.split(':').next().unwrap().to_owned();
        problems.iter().map(key).collect()
    }

    #[test]
    fn every_bad_setting_is_named() {
        let query = (
            "user-query",
            "select password from users where name = {user}",
        );
        assert_eq!(keys(&[("database", "a"), query]), [""; 0]);
        assert_eq!(keys(&[]), ["database", "user-query"]);
        let all = [
            ("databse", "a"),
            ("database", ""),
            ("user-query", "select '{user}'"),
            ("case", "lower"),
            ("scheme", "rot13"),
        ];
        assert_eq!(
            keys(&all),
            ["databse", "user-query", "case", "scheme", "database"]
        );
    }
}
