//! What an authenticator owes.

use std::sync::Arc;
use std::time::Duration;

use restante_pop3::{DigestAlgorithm, ScramHash, Secret};
use tokio::time::Instant;

use crate::candidate::Candidate;
use crate::exam::{Checked, Exam, Printable, broken, expect, skip, unpleasant_names};
use restante_roles::backend::{Account, Authenticator, Connection, Credentials, Denial};

/// Whom nobody knows.
const NOBODY: &str = "nobody-knows-7f3a@example.org";
/// A wrong password for everybody.
const WRONG: &str = "certainly not 0e1d9c";
/// How often the same question is asked for its answer.
const REPEATS: usize = 3;
/// How often it is asked for its time.
const TIMED: usize = 15;
/// What the times of known and unknown users may differ by: so many times, and
/// by less than this anyway.
const TIMES: u32 = 4;
const UNNOTICED: Duration = Duration::from_millis(2);

pub(super) async fn examine(exam: &mut Exam<'_>, role: &dyn Authenticator) {
    let candidate = exam.candidate;
    let asked = Asked {
        role,
        candidate,
        user: candidate.user.clone(),
    };
    let accepts = role.accepts();
    exam.check(
        "what it accepts",
        "accepts: at least one kind of credentials, or nobody ever logs in",
        async {
            let any = accepts.password
                || accepts.digest
                || accepts.bearer
                || accepts.certificate
                || accepts.scram_sha1
                || accepts.scram_sha256;
            expect(any, "accepts.credentials()", "no kind at all")
        },
    )
    .await;
    if accepts.password {
        passwords(exam, &asked).await;
    }
    if accepts.digest {
        exam.check(
            "a digest of nothing",
            "authenticator: credentials that are wrong log nobody in (RFC 1939 section 7, APOP; RFC 2195)",
            asked.digests(),
        )
        .await;
    }
    if accepts.bearer {
        exam.check(
            "a token of nobody's",
            "authenticator: a token that was not issued logs nobody in (RFC 6750 section 2)",
            asked.tokens(),
        )
        .await;
    }
    if accepts.certificate {
        exam.check(
            "a certificate that is none",
            "authenticator: what is no certificate logs nobody in (RFC 4422 appendix A)",
            asked.certificates(),
        )
        .await;
    }
    if accepts.scram_sha1 || accepts.scram_sha256 {
        exam.check(
            "the keys of SCRAM",
            "scram.lookup: keys of the hash's length, with a salt; none of unknown users, whom the host answers for (RFC 5802 section 5)",
            asked.keys(),
        )
        .await;
    }
}

async fn passwords(exam: &mut Exam<'_>, asked: &Asked<'_>) {
    exam.check(
        "the right password",
        "authenticator: whoever proves who they are gets an account with a user and a maildrop",
        asked.right_password(),
    )
    .await;
    exam.check(
        "a wrong password",
        "authenticator: \"rejected\" for a user of its own; \"unknown\" would have the next authenticator asked",
        asked.wrong_password(),
    )
    .await;
    exam.check(
        "somebody unknown",
        "authenticator: nobody logs in whom it does not know",
        asked.unknown(),
    )
    .await;
    exam.check(
        "an empty name, an empty password",
        "authenticator: a password of no octets is never right",
        asked.nothing(),
    )
    .await;
    exam.check(
        "a password of 1 MiB",
        "authenticator: bad input is denied, within the limits of a call, and breaks nothing",
        asked.long_password(),
    )
    .await;
    exam.check(
        "quotes, NUL, paths, line ends, 8 bits in the name",
        "authenticator: bad input is denied and breaks nothing",
        asked.unpleasant(),
    )
    .await;
    exam.check(
        "the same answer each time",
        "authenticator: a fresh instance for each login, which knows nothing of the others",
        asked.same_answers(),
    )
    .await;
    exam.check(
        "the time of unknown users",
        "authenticator: whether a user exists is nobody's business, and time tells it (RFC 4422 section 6)",
        asked.times(),
    )
    .await;
}

struct Asked<'a> {
    role: &'a dyn Authenticator,
    candidate: &'a Candidate,
    user: Option<(String, String)>,
}

/// An answer in words.
fn words(answer: &Result<Account, Denial>) -> String {
    match answer {
        Ok(account) => format!(
            "the account of {} with maildrop {}",
            Printable(account.user.as_bytes()),
            Printable(account.maildrop.as_bytes())
        ),
        Err(Denial::Unknown) => "unknown".to_owned(),
        Err(Denial::Rejected) => "rejected".to_owned(),
        Err(Denial::Failed(failure)) => format!("it failed, {failure}"),
    }
}

/// As it may be shown: a password never is.
fn question(user: &str, what: &str) -> String {
    format!("user {}, {what}", Printable(user.as_bytes()))
}

impl Asked<'_> {
    async fn password(&self, user: &str, password: &str) -> Result<Account, Denial> {
        let credentials = Credentials::Password {
            user: user.to_owned(),
            acting_as: None,
            secret: Secret::from(password.to_owned()),
        };
        let connection = self.candidate.usual_connection();
        self.role.authenticate(&connection, &credentials).await
    }

    fn known(&self) -> Checked<(&str, &str)> {
        match &self.user {
            Some((user, password)) => Ok((user, password)),
            None => skip("give a user whom it knows: --user NAME --password-file FILE"),
        }
    }

    async fn denied(&self, user: &str, password: &str, what: &str) -> Checked {
        match self.password(user, password).await {
            Err(Denial::Unknown | Denial::Rejected) => Ok(()),
            answer => broken(question(user, what), words(&answer)),
        }
    }

    async fn right_password(&self) -> Checked {
        let (user, password) = self.known()?;
        let answer = self.password(user, password).await;
        let sent = question(user, "the password that was given");
        let Ok(account) = &answer else {
            return broken(sent, words(&answer));
        };
        let fit = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        expect(
            fit(&account.user) && fit(&account.maildrop),
            sent,
            words(&answer),
        )
    }

    async fn wrong_password(&self) -> Checked {
        let (user, password) = self.known()?;
        for (wrong, what) in [
            (WRONG.to_owned(), "a wrong password"),
            (format!("{password}x"), "the password and one octet more"),
            (String::new(), "no password"),
            (password.to_uppercase() + password, "the password twice"),
        ] {
            let answer = self.password(user, &wrong).await;
            if !matches!(answer, Err(Denial::Rejected)) {
                return broken(question(user, what), words(&answer));
            }
        }
        let mut shorter = password.to_owned();
        if shorter.pop().is_some() && !shorter.is_empty() {
            self.denied(user, &shorter, "the password less its last letter")
                .await?;
        }
        Ok(())
    }

    async fn unknown(&self) -> Checked {
        self.denied(NOBODY, WRONG, "some password").await?;
        if let Some((_, password)) = &self.user {
            self.denied(NOBODY, password, "another user's password")
                .await?;
        }
        Ok(())
    }

    async fn nothing(&self) -> Checked {
        self.denied("", "", "no password").await?;
        self.denied("", WRONG, "some password").await?;
        self.denied(NOBODY, "", "no password").await?;
        match &self.user {
            Some((user, _)) => self.denied(user, "", "no password").await,
            None => Ok(()),
        }
    }

    async fn long_password(&self) -> Checked {
        let long = "x".repeat(1 << 20);
        let user = self.user.as_ref().map_or(NOBODY, |(user, _)| user);
        self.denied(user, &long, "a password of 1 MiB").await
    }

    async fn unpleasant(&self) -> Checked {
        for (name, what) in unpleasant_names() {
            let what = format!("which is {what}; some password");
            self.denied(&name, WRONG, &what).await?;
        }
        let user = self.user.as_ref().map_or(NOBODY, |(user, _)| user);
        for wrong in [
            "\0",
            "a\0b",
            "'",
            "\"",
            "%",
            "\r\n",
            "\u{fc}\u{4f60}",
            "{PLAIN}",
            "*",
            "x",
        ] {
            if self.user.as_ref().is_some_and(|(_, right)| right == wrong) {
                continue;
            }
            let what = format!("the password {}", Printable(wrong.as_bytes()));
            self.denied(user, wrong, &what).await?;
        }
        Ok(())
    }

    async fn same_answers(&self) -> Checked {
        let mut questions = vec![(NOBODY, WRONG, "some password")];
        if let Some((user, password)) = &self.user {
            questions.push((user, password, "the right password"));
            questions.push((user, WRONG, "a wrong password"));
        }
        let mut first = Vec::new();
        for repeat in 0..REPEATS {
            for (at, (user, password, what)) in questions.iter().enumerate() {
                let answer = words(&self.password(user, password).await);
                match first.get(at) {
                    None => first.push(answer),
                    Some(before) if *before == answer => {}
                    Some(before) => {
                        return broken(
                            question(user, what),
                            format_args!("{before} at first, the {}th time {answer}", repeat + 1),
                        );
                    }
                }
            }
        }
        Ok(())
    }

    async fn times(&self) -> Checked {
        let (user, _) = self.known()?;
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        // By turns, so that whatever else the machine does meets both.
        for _ in 0..TIMED {
            for (user, times) in [(user, &mut known), (NOBODY, &mut unknown)] {
                let begun = Instant::now();
                let _ = self.password(user, WRONG).await;
                times.push(begun.elapsed());
            }
        }
        let middle = |mut times: Vec<Duration>| {
            times.sort();
            times[TIMED / 2]
        };
        let (known, unknown) = (middle(known), middle(unknown));
        let (less, more) = (known.min(unknown), known.max(unknown));
        expect(
            more - less < UNNOTICED || more < less * TIMES,
            format_args!(
                "a wrong password, {TIMED} times by turns of {user:?} and of a user whom nobody knows"
            ),
            format_args!(
                "{:.1} ms for the one and {:.1} ms for the other (middle): let unknown users take as long, by checking a hash that fits nobody",
                known.as_secs_f64() * 1e3,
                unknown.as_secs_f64() * 1e3
            ),
        )
    }

    async fn denies(&self, credentials: Credentials, sent: &str) -> Checked {
        let connection = self.candidate.usual_connection();
        self.denies_over(&connection, credentials, sent).await
    }

    async fn denies_over(
        &self,
        connection: &Arc<Connection>,
        credentials: Credentials,
        sent: &str,
    ) -> Checked {
        let answer = self.role.authenticate(connection, &credentials).await;
        match answer {
            Err(Denial::Unknown | Denial::Rejected) => Ok(()),
            answer => broken(sent, words(&answer)),
        }
    }

    async fn digests(&self) -> Checked {
        let users = self.user.iter().map(|(user, _)| user.as_str());
        for user in users.chain([NOBODY]) {
            for algorithm in [DigestAlgorithm::Md5, DigestAlgorithm::HmacMd5] {
                for response in ["0".repeat(32), String::new(), "f".repeat(4096)] {
                    let sent = format!(
                        "{}, {algorithm:?}, a response of {} octets that is nobody's",
                        Printable(user.as_bytes()),
                        response.len()
                    );
                    let credentials = Credentials::Digest {
                        user: user.to_owned(),
                        algorithm,
                        challenge: "<1896.697170952@kit.example.org>".to_owned(),
                        response,
                    };
                    self.denies(credentials, &sent).await?;
                }
            }
        }
        Ok(())
    }

    async fn tokens(&self) -> Checked {
        let long = "x".repeat(1 << 20);
        let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.";
        for token in ["", "x", "a.b.c", unsigned, "\0", "\r\n", &long] {
            for user in [None, Some(NOBODY.to_owned())] {
                let credentials = Credentials::Bearer {
                    user,
                    token: Secret::from(token.to_owned()),
                    host: None,
                    port: None,
                };
                let sent = format!("the token {}", Printable(token.as_bytes()));
                self.denies(credentials, &sent).await?;
            }
        }
        Ok(())
    }

    async fn certificates(&self) -> Checked {
        for der in [
            Vec::new(),
            vec![0x30],
            vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            vec![0; 65536],
        ] {
            let connection = self.candidate.connection_with_certificate(der.clone());
            for acting_as in [None, Some(NOBODY.to_owned())] {
                let sent = format!("a certificate of the octets {}", Printable(&der));
                let credentials = Credentials::Certificate { acting_as };
                self.denies_over(&connection, credentials, &sent).await?;
            }
        }
        Ok(())
    }

    async fn keys(&self) -> Checked {
        let accepts = self.role.accepts();
        for hash in [ScramHash::Sha1, ScramHash::Sha256] {
            if !accepts.scram(hash) {
                continue;
            }
            let lookup = |user: &'_ str| {
                let user = user.to_owned();
                async move {
                    let connection = self.candidate.usual_connection();
                    self.role.scram_keys(&connection, &user, None, hash).await
                }
            };
            if let Ok((_, account)) = lookup(NOBODY).await {
                return broken(
                    format_args!("{hash:?}, a user whom nobody knows"),
                    format_args!(
                        "keys, and {} account",
                        if account.is_some() { "an" } else { "no" }
                    ),
                );
            }
            let Some((user, _)) = &self.user else {
                continue;
            };
            // What is no key of this hash the host has refused already.
            let sent = format!("{hash:?}, {}", Printable(user.as_bytes()));
            let (once, twice) = (lookup(user).await, lookup(user).await);
            for answer in [&once, &twice] {
                if let Err(Denial::Failed(failure)) = answer {
                    return broken(sent, format_args!("it failed, {failure}"));
                }
            }
            // It need not have keys of this hash for everybody.
            let same = once.is_ok() == twice.is_ok();
            expect(same, &sent, "keys one time, and none the other")?;
        }
        match &self.user {
            Some(_) => Ok(()),
            None => self.known().map(drop),
        }
    }
}
