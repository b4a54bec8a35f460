//! Settings, and what the words of the other server become.

use restante_guest::types::Failure;

use crate::settings::{Login, Octets, Settings, User};
use crate::upstream::Trouble;

fn parsed(settings: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let settings = settings.iter();
    let settings = settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Settings::parse(settings.collect())
}

const SERVER: (&str, &str) = ("server", "pop.example.org:995");

#[test]
fn settings_have_defaults_and_problems_name_their_keys() {
    let settings = parsed(&[SERVER]).unwrap();
    assert_eq!(settings.login, Login::User);
    assert_eq!(
        (settings.user, settings.octets),
        (User::Full, Octets::Listed)
    );
    assert!(settings.master.is_none());
    for (settings, key) in [
        (&[][..], "server"),
        (&[("server", "pop.example.org")], "server"),
        (&[("server", "tls://pop.example.org:995")], "server"),
        (&[SERVER, ("login", "apop")], "login"),
        (&[SERVER, ("user", "domain")], "user"),
        (&[SERVER, ("octets", "guessed")], "octets"),
        (&[SERVER, ("master-user", "root")], "master-user"),
        (
            &[SERVER, ("master-password-file", "/s")],
            "master-password-file",
        ),
        (
            &[
                SERVER,
                ("master-user", "root"),
                ("master-password-file", "s"),
            ],
            "master-password-file",
        ),
        (&[SERVER, ("tls", "yes")], "tls"),
    ] {
        let problems = parsed(settings).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("{key}: ")), "{problems:?}");
    }
}

#[test]
fn users_may_be_called_otherwise_there() {
    for (user, full, local) in [
        ("ada@example.org", "ada@example.org", "ada"),
        ("a@b@c", "a@b@c", "a@b"),
        ("ada", "ada", "ada"),
    ] {
        assert_eq!(
            (User::Full.there(user), User::Local.there(user)),
            (full, local)
        );
    }
}

#[test]
fn codes_of_the_other_server_are_handed_on() {
    let refused = |words: &str| Trouble::Refused(words.to_owned()).into_failure("a test");
    assert!(matches!(refused("[IN-USE] busy"), Failure::InUse(_)));
    assert!(matches!(refused("[in-use] busy"), Failure::InUse(_)));
    assert!(matches!(refused("[SYS/PERM] gone"), Failure::Permanent(_)));
    assert!(matches!(refused("[SYS/TEMP] later"), Failure::Temporary(_)));
    assert!(
        matches!(refused("[LOGIN-DELAY] wait"), Failure::Other((code, _)) if code == "LOGIN-DELAY")
    );
    for words in ["no", "[UNKNOWN] x", "["] {
        assert!(matches!(refused(words), Failure::Temporary(_)), "{words}");
    }
}
