//! Lets in the users of the setting `users`: an array of "NAME:HASH", with hashes
//! as `restante hash-password` prints them.

use restante_guest::prelude::*;

struct Users;

impl Authenticator for Users {
    fn authenticate(_: Connection, credentials: Credentials) -> Result<Account, Denial> {
        // Whoever comes with something else is somebody else's to judge.
        let (user, secret) = credentials.into_password().ok_or(Denial::Unknown)?;
        let users = users();
        let known = users.iter().find(|(name, _)| *name == user);
        // Somebody unknown takes as long as somebody known: time is an answer too.
        let Some((_, hash)) = known.or(users.first()) else {
            return Err(Denial::Unknown);
        };
        let right = passwords::verify(hash, secret.expose()).map_err(|why| {
            log::error!("a hash in the setting users is of no use: {why}");
            Failure::permanent("the user's entry is broken")
        })?;
        match (known, right) {
            (None, _) => Err(Denial::Unknown),
            (Some(_), false) => Err(Denial::Rejected),
            (Some(_), true) => Ok(Account::new(user)),
        }
    }
}

impl Validate for Users {
    fn validate() -> Result<(), Vec<String>> {
        let lines = settings::get("users").unwrap_or_default();
        if lines.trim().is_empty() {
            return Err(vec![
                "users: is missing; give an array of \"NAME:HASH\"".to_owned(),
            ]);
        }
        // The lines hold hashes, which nobody is to print: they go by number.
        let problems: Vec<String> = (1..)
            .zip(lines.lines())
            .filter(|(_, line)| !matches!(line.split_once(':'), Some((name, hash)) if !name.is_empty() && !hash.is_empty()))
            .map(|(number, _)| format!("users: entry {number} is not \"NAME:HASH\""))
            .collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }
}

/// Names and hashes. An array arrives as its elements, one a line.
fn users() -> Vec<(String, String)> {
    let lines = settings::get("users").unwrap_or_default();
    let pairs = lines.lines().filter_map(|line| line.split_once(':'));
    pairs
        .map(|(name, hash)| (name.to_owned(), hash.to_owned()))
        .collect()
}

export! { authenticator: Users, settings: Users }

restante_guest::describe_settings! {
    "users": "NAME:HASH, with a hash as `restante hash-password` prints it",
}

#[cfg(test)]
mod tests {
    use super::*;
    use restante_guest::testing;

    fn log_in(user: &str, secret: &str) -> Result<Account, Denial> {
        let connection = Connection {
            session: "s1".into(),
            tenant: "acme".into(),
            listener: "pop3s".into(),
            client_address: "192.0.2.1".into(),
            client_port: 40000,
            tls: None,
        };
        let credentials = Credentials::Password {
            user: user.into(),
            acting_as: None,
            secret: Secret::new(secret),
        };
        Users::authenticate(connection, credentials)
    }

    #[test]
    fn the_right_password_logs_in() {
        // Outside a component there is {PLAIN} alone.
        testing::set_settings([("users", "alice:{PLAIN}secret\nbob:{PLAIN}other")]);
        assert_eq!(Users::validate(), Ok(()));
        assert_eq!(log_in("bob", "other").expect("bob's password").user, "bob");
        assert!(matches!(log_in("bob", "secret"), Err(Denial::Rejected)));
        assert!(matches!(log_in("carol", "secret"), Err(Denial::Unknown)));
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        testing::set_settings([("users", "alice\nbob:{PLAIN}x\n:x")]);
        let problems = Users::validate().expect_err("two entries are broken");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[1].contains("entry 3"), "{problems:?}");
        testing::set_settings::<&str, &str>([]);
        assert!(Users::validate().is_err());
    }
}
