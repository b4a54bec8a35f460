//! The plugin's settings, looked over.

/// Where the mail is, and how one gets at it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// "host:port", as it is granted.
    pub(crate) server: String,
    pub(crate) login: Login,
    pub(crate) user: User,
    /// Logs the store in; None: the client's own password does.
    pub(crate) master: Option<Master>,
    pub(crate) octets: Octets,
}

/// How a password is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// USER and PASS (RFC 1939 section 7).
    User,
    /// AUTH PLAIN (RFC 5034, RFC 4616).
    Plain,
}

/// What users are called there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// As here.
    Full,
    /// Without what follows the last `@`.
    Local,
}

impl User {
    pub(crate) fn there(self, user: &str) -> &str {
        match self {
            User::Full => user,
            User::Local => user.rsplit_once('@').map_or(user, |(local, _)| local),
        }
    }
}

/// Somebody who may read everybody's mail there.
#[derive(Debug, Clone)]
pub(crate) struct Master {
    pub(crate) user: String,
    /// Inside a granted directory.
    pub(crate) password_file: String,
}

/// Whose word counts for what a message weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Octets {
    /// The other server's.
    Listed,
    /// Nobody's: each message is read once.
    Counted,
}

impl Settings {
    /// Every problem, each with the name of its key and without its value.
    pub(crate) fn parse(all: Vec<(String, String)>) -> Result<Settings, Vec<String>> {
        let mut problems = Vec::new();
        let mut server = None;
        let (mut login, mut user, mut octets) = (Login::User, User::Full, Octets::Listed);
        let (mut master_user, mut password_file) = (None, None);
        for (key, value) in all {
            let mut choice = |fits: bool, what: &str| {
                if !fits {
                    problems.push(format!("{key}: must be {what}"));
                }
            };
            match (key.as_str(), value.as_str()) {
                ("server", _) => {
                    choice(
                        is_server(&value),
                        "HOST:PORT, as it is granted in `connect`",
                    );
                    server = Some(value);
                }
                ("login", "plain") => login = Login::Plain,
                ("login", _) => choice(value == "user", "\"user\" or \"plain\""),
                ("user", "local") => user = User::Local,
                ("user", _) => choice(value == "full", "\"full\" or \"local\""),
                ("octets", "counted") => octets = Octets::Counted,
                ("octets", _) => choice(value == "listed", "\"listed\" or \"counted\""),
                ("master-user", _) => {
                    let fits = !value.is_empty() && !value.chars().any(char::is_control);
                    choice(fits, "a user name");
                    master_user = Some(value);
                }
                ("master-password-file", _) => {
                    let fits = value.starts_with('/');
                    choice(fits, "an absolute path inside a granted directory");
                    password_file = Some(value);
                }
                _ => problems.push(format!("{key}: no such setting")),
            }
        }
        if server.is_none() {
            problems.push("server: must be there: HOST:PORT of the other server".to_owned());
        }
        let master = match (master_user, password_file) {
            (Some(user), Some(password_file)) => Some(Master {
                user,
                password_file,
            }),
            (None, None) => None,
            (Some(_), None) => {
                problems.push("master-user: stands without master-password-file".to_owned());
                None
            }
            (None, Some(_)) => {
                problems.push("master-password-file: stands without master-user".to_owned());
                None
            }
        };
        match server {
            Some(server) if problems.is_empty() => Ok(Settings {
                server,
                login,
                user,
                master,
                octets,
            }),
            _ => Err(problems),
        }
    }
}

fn is_server(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}
