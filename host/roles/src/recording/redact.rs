//! What stands in a recording in place of secrets.
//!
//! A stand-in follows from the secret and from a key that nobody keeps: the same
//! secret has the same stand-in all through one recording, so that a replayed
//! plugin finds equal what was equal, and nothing leads back. The kind of a text
//! is known where it crosses the border (a password, a token, SCRAM's keys);
//! what a plugin reads of its own files is not, so of those no more stays than
//! the words that the call itself is about, and the form. In URLs what authorizes is
//! hidden, wherever they stand.
//!
//! A user name is not always one: people type passwords in its place. Only the answer
//! that it leads to an account shows that it is a name; in calls without it the name has
//! a stand-in too ([`Redactor::hide_names`]).

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use restante_pop3::{Secret, without_url_secrets};
use serde_json::Value;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::format::{Kept, Octets};

/// What every stand-in of a text begins with.
const MARK: &str = "redacted-";
/// Octets of the digest in one, before they are hexadecimal.
const MARK_OCTETS: usize = 8;
/// Secrets of one session that are looked for in its texts.
const SECRETS: usize = 1000;
/// Octets of the shortest secret that is looked for within texts: shorter ones
/// are found only where they are all of it.
const SHORTEST: usize = 4;
/// Lines at the beginning of a file that are kept, in form; of the others only
/// those with a word of the call.
const FIRST_LINES: usize = 64;

/// Parts one word from the next, in settings and policy files.
fn parts_words(letter: char) -> bool {
    letter.is_whitespace() || ":,;|=\"'<>()[]{}$".contains(letter)
}

/// Whether this text stands for a secret.
pub fn is_stand_in(text: &str) -> bool {
    text.strip_prefix(MARK).is_some_and(|rest| {
        rest.len() == 2 * MARK_OCTETS && rest.bytes().all(|octet| octet.is_ascii_hexdigit())
    })
}

/// Replaces the secrets of one recording.
pub struct Redactor {
    key: Zeroizing<[u8; 32]>,
    secrets: Vec<(Secret, String)>,
    /// Names that one call is about, which may be something else.
    names: Vec<(Secret, String)>,
    mail: bool,
}

impl Redactor {
    /// With a key of its own. `mail`: octets of mail are kept.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new(mail: bool) -> Result<Redactor, getrandom::Error> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key)?;
        Ok(Redactor {
            key,
            secrets: Vec::new(),
            names: Vec::new(),
            mail,
        })
    }

    fn digest(&self, octets: &[u8], counter: u8) -> [u8; 32] {
        let mut digest = <Hmac<Sha256> as KeyInit>::new_from_slice(&*self.key)
            .expect("HMAC takes a key of any length");
        digest.update(&[counter]);
        digest.update(octets);
        digest.finalize().into_bytes().into()
    }

    fn stand_in(&self, text: &str) -> String {
        if text.is_empty() || is_stand_in(text) {
            return text.to_owned();
        }
        let digest = self.digest(text.as_bytes(), 0);
        let digits = digest[..MARK_OCTETS].iter();
        let digits: String = digits.map(|octet| format!("{octet:02x}")).collect();
        format!("{MARK}{digits}")
    }

    /// What stands for a password, a token or the like. From now on it is replaced
    /// in every text, wherever it turns up.
    pub fn secret(&mut self, secret: &str) -> String {
        let stand_in = self.stand_in(secret);
        let known = self.secrets.iter().any(|(_, known)| *known == stand_in);
        if !known && !secret.is_empty() && !is_stand_in(secret) && self.secrets.len() < SECRETS {
            self.secrets
                .push((Secret::from(secret.to_owned()), stand_in.clone()));
            // The longest first: one may be part of another.
            self.secrets
                .sort_by_key(|(secret, _)| std::cmp::Reverse(secret.expose().len()));
        }
        stand_in
    }

    /// From now on these have stand-ins, until [`Redactor::show_names`].
    pub fn hide_names<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        for name in names.into_iter().filter(|name| !name.is_empty()) {
            let stand_in = self.stand_in(name);
            self.names.push((Secret::from(name.to_owned()), stand_in));
        }
        self.names
            .sort_by_key(|(name, _)| std::cmp::Reverse(name.expose().len()));
    }

    /// Names stay again as they are.
    pub fn show_names(&mut self) {
        self.names.clear();
    }

    /// What stands for octets that are a secret (SCRAM's keys): as many.
    pub fn secret_octets(&self, octets: &[u8]) -> Vec<u8> {
        let blocks = (0..=u8::MAX).flat_map(|counter| self.digest(octets, counter));
        blocks.take(octets.len()).collect()
    }

    /// Octets of mail, if they are to be kept.
    pub fn mail(&self, octets: &[u8]) -> Kept {
        Kept {
            octets: octets.len() as u64,
            base64: self.mail.then(|| Octets(octets.to_owned())),
        }
    }

    /// Whether octets of mail are kept.
    pub fn keeps_mail(&self) -> bool {
        self.mail
    }

    /// A text that is no secret, without those that are known, hidden names, and what
    /// authorizes in URLs.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (secret, stand_in) in self.secrets.iter().chain(&self.names) {
            let secret = secret.expose();
            if text == secret {
                return stand_in.clone();
            }
            if secret.len() >= SHORTEST && text.contains(secret) {
                text = text.replace(secret, stand_in);
            }
        }
        without_url_secrets(&text).into_owned()
    }

    /// The same for all texts of a value.
    pub fn sweep(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.sweep(value)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.sweep(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Settings, and the keys of those that were replaced: what is called a secret,
    /// or looks like a hash.
    pub fn settings(
        &mut self,
        settings: &[(String, String)],
    ) -> (Vec<(String, String)>, Vec<String>) {
        let mut redacted = Vec::new();
        // Those that are called so first: the same may stand in another.
        let named: Vec<bool> = settings
            .iter()
            .map(|(key, value)| is_secret_name(key) && !value.starts_with('/'))
            .collect();
        for ((_, value), named) in settings.iter().zip(&named) {
            if *named {
                self.secret(value);
            }
        }
        let settings = settings.iter().zip(&named).map(|((key, value), named)| {
            let kept = match named {
                true => self.stand_in(value),
                false if looks_hashed(value) => self.policy(value, &HashSet::new()),
                false => self.text(value),
            };
            if kept != *value {
                redacted.push(key.clone());
            }
            (key.clone(), kept)
        });
        (settings.collect(), redacted)
    }

    /// Texts of an account's attributes: one that is called a secret is one.
    pub fn attributes(&mut self, attributes: &[(String, String)]) -> Vec<(String, String)> {
        let mut kept = Vec::with_capacity(attributes.len());
        for (key, value) in attributes {
            let value = match is_secret_name(key) {
                true => self.secret(value),
                false if looks_hashed(value) => self.policy(value, &HashSet::new()),
                false => value.clone(),
            };
            kept.push((key.clone(), value));
        }
        kept
    }

    /// A file of a plugin's own, or a part of one: its form, and those words of it
    /// that the call is about anyway.
    pub fn file(&self, text: &str, words: &HashSet<String>) -> String {
        let mut kept = String::new();
        for (number, line) in text.split_inclusive('\n').enumerate() {
            if number < FIRST_LINES || line.split(parts_words).any(|word| named(words, word)) {
                kept.push_str(&self.policy(line, words));
            }
        }
        kept
    }

    /// A hash, or any text that holds some: every word is replaced that is not one
    /// of these, and not the name of a scheme.
    pub fn policy(&self, text: &str, words: &HashSet<String>) -> String {
        let text = self.text(text);
        let mut kept = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(letter) = rest.chars().next() {
            if let Some(scheme) = scheme(rest) {
                kept.push_str(scheme);
                rest = &rest[scheme.len()..];
                let taken = match self.scram(scheme, rest, &mut kept) {
                    Some(taken) => taken,
                    None => self.behind_scheme(scheme, rest, &mut kept),
                };
                rest = &rest[taken..];
                continue;
            }
            if parts_words(letter) {
                kept.push(letter);
                rest = &rest[letter.len_utf8()..];
                continue;
            }
            let end = rest.find(parts_words).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            match (named(words, word) && !self.hides(word)) || is_key(&kept, word, behind) {
                true => kept.push_str(word),
                false => kept.push_str(&self.stand_in(word)),
            }
            rest = behind;
        }
        kept
    }

    fn hides(&self, name: &str) -> bool {
        self.names.iter().any(|(hidden, _)| hidden.expose() == name)
    }

    /// What a scheme's name stands before: a hash, or a password in the clear.
    fn behind_scheme(&self, before: &str, rest: &str, kept: &mut String) -> usize {
        if !is_in_the_clear(before) && scheme(rest).is_some() {
            return 0;
        }
        let parts = |letter: char| letter.is_whitespace() || ":|;\"'".contains(letter);
        let end = rest.find(parts).unwrap_or(rest.len());
        kept.push_str(&self.stand_in(&rest[..end]));
        end
    }

    /// SCRAM keys as text keep their form: plugins take them apart.
    fn scram(&self, scheme: &str, rest: &str, kept: &mut String) -> Option<usize> {
        if !scheme.starts_with("{SCRAM-") {
            return None;
        }
        let parts = |letter: char| letter.is_whitespace() || ":|;\"'".contains(letter);
        let end = rest.find(parts).unwrap_or(rest.len());
        let mut fields = rest[..end].split(',');
        let iterations: u32 = fields.next()?.parse().ok()?;
        let mut text = iterations.to_string();
        for _ in 0..3 {
            let octets = STANDARD.decode(fields.next()?).ok()?;
            text.push(',');
            text.push_str(&STANDARD.encode(self.secret_octets(&octets)));
        }
        if fields.next().is_some() {
            return None;
        }
        kept.push_str(&text);
        Some(end)
    }
}

fn named(words: &HashSet<String>, word: &str) -> bool {
    !word.is_empty() && words.contains(&word.to_lowercase())
}

/// The words of the texts of a value, in lower case.
pub fn words(value: &Value, words: &mut HashSet<String>) {
    match value {
        Value::String(text) if !is_stand_in(text) => {
            words.insert(text.to_lowercase());
            let parts = text.split(parts_words).filter(|word| !is_stand_in(word));
            words.extend(parts.map(str::to_lowercase));
        }
        Value::Array(values) => values.iter().for_each(|value| self::words(value, words)),
        Value::Object(fields) => fields.values().for_each(|value| self::words(value, words)),
        _ => {}
    }
}

/// Whether a word is the name of a value, as in `name = …` or `"name": …`.
fn is_key(before: &str, word: &str, behind: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_lowercase() || octet == b'-' || octet == b'_';
    let quoted = before.ends_with('"') && behind.starts_with('"');
    let line = before.rsplit('\n').next().unwrap_or_default();
    let behind = behind.strip_prefix('"').unwrap_or(behind).trim_start();
    let named = match quoted {
        true => behind.starts_with(':') || behind.starts_with('='),
        false => behind.starts_with('=') && line.trim().is_empty(),
    };
    named && word.len() <= 24 && word.bytes().all(plain)
}

/// "{SCHEME}" or "$id$" at the beginning of a text, where it is a known one: what
/// begins otherwise may be a password.
fn scheme(text: &str) -> Option<&str> {
    const SCHEMES: [&str; 27] = [
        "PLAIN",
        "CLEAR",
        "CLEARTEXT",
        "CRYPT",
        "MD5",
        "SMD5",
        "SHA",
        "SSHA",
        "SHA256",
        "SSHA256",
        "SHA512",
        "SSHA512",
        "MD5-CRYPT",
        "SHA256-CRYPT",
        "SHA512-CRYPT",
        "BLF-CRYPT",
        "BCRYPT",
        "ARGON2I",
        "ARGON2ID",
        "SCRYPT",
        "PBKDF2",
        "PLAIN-MD5",
        "LDAP-MD5",
        "CRAM-MD5",
        "SHA1",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256",
    ];
    const IDS: [&str; 17] = [
        "1",
        "2",
        "2a",
        "2b",
        "2x",
        "2y",
        "5",
        "6",
        "7",
        "y",
        "argon2i",
        "argon2d",
        "argon2id",
        "scrypt",
        "pbkdf2",
        "pbkdf2-sha256",
        "pbkdf2-sha512",
    ];
    let (known, close): (&[&str], _) = match text.as_bytes().first()? {
        b'{' => (&SCHEMES, '}'),
        b'$' => (&IDS, '$'),
        _ => return None,
    };
    let end = text[1..].find(close)? + 1;
    let name = &text[1..end];
    let known = known.iter().any(|known| known.eq_ignore_ascii_case(name));
    known.then(|| &text[..=end])
}

/// Behind this a password stands as it is, whatever it looks like.
fn is_in_the_clear(scheme: &str) -> bool {
    let name = scheme.trim_matches(['{', '}']);
    ["PLAIN", "CLEAR", "CLEARTEXT"]
        .iter()
        .any(|clear| clear.eq_ignore_ascii_case(name))
}

fn looks_hashed(value: &str) -> bool {
    let mut at = value.char_indices();
    at.any(|(at, letter)| "{$".contains(letter) && scheme(&value[at..]).is_some())
}

/// Whether a setting or an attribute is called as secrets are.
fn is_secret_name(key: &str) -> bool {
    const NAMES: [&str; 12] = [
        "password",
        "passwd",
        "pass",
        "passphrase",
        "secret",
        "secrets",
        "token",
        "apikey",
        "key",
        "credential",
        "credentials",
        "hash",
    ];
    let key = key.to_lowercase();
    key.split(['-', '_', '.']).any(|word| NAMES.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Stand-ins are random hexadecimal digits: what must not be in a text has letters
    // here that no stand-in has.

    fn redactor() -> Redactor {
        Redactor::new(false).unwrap()
    }

    fn call_words(all: &[&str]) -> HashSet<String> {
        all.iter().map(|word| word.to_lowercase()).collect()
    }

    #[test]
    fn a_secret_has_one_stand_in_in_one_recording_and_another_in_the_next() {
        let mut one = redactor();
        let stand_in = one.secret("hunter2");
        assert!(is_stand_in(&stand_in) && !stand_in.contains("hunter2"));
        assert_eq!(one.secret("hunter2"), stand_in);
        assert_ne!(one.secret("hunter3"), stand_in);
        assert_ne!(redactor().secret("hunter2"), stand_in);
        assert_eq!(one.secret(""), "");
        // What is replaced once is not replaced again.
        assert_eq!(one.secret(&stand_in), stand_in);
        let said = one.text("I was told hunter2, twice hunter2hunter2");
        assert!(!said.contains("hunter2"), "{said}");
    }

    #[test]
    fn what_authorizes_in_a_url_is_hidden_wherever_it_stands() {
        let mut redactor = redactor();
        let url = "https://ada:hunter2@idp.example/?token=hunter2";
        let given = [("url".to_owned(), url.to_owned())];
        let (kept, redacted) = redactor.settings(&given);
        assert_eq!(kept[0].1, "https://***@idp.example/?token=***");
        assert_eq!(redacted, ["url"]);
        let mut answer =
            serde_json::json!({ "failure": { "temporary": format!("{url} is down") } });
        redactor.sweep(&mut answer);
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }

    #[test]
    fn a_name_that_leads_to_no_account_is_hidden_in_its_call_alone() {
        let mut redactor = redactor();
        for name in ["hunter2", "Zo"] {
            redactor.hide_names([name, ""]);
            let said = redactor.text(&format!("there is no {name} here"));
            let whole = redactor.text(name);
            assert!(is_stand_in(&whole), "{whole}");
            // Within a text a short one may be part of any word.
            assert_eq!(said.contains(&whole), name.len() >= SHORTEST, "{said}");
            // A file that has it has its stand-in, so that a replay finds it there.
            let text = format!("ada:x\n{name}:y\n");
            let kept = redactor.file(&text, &call_words(&[name]));
            assert!(
                kept.lines()
                    .nth(1)
                    .unwrap()
                    .starts_with(&format!("{whole}:")),
                "{kept}"
            );
            redactor.show_names();
            assert_eq!(redactor.text(name), name);
        }
        assert_eq!(redactor.text(""), "");
    }

    #[test]
    fn short_secrets_are_replaced_where_they_are_all_of_a_text() {
        let mut redactor = redactor();
        let stand_in = redactor.secret("a");
        assert_eq!(redactor.text("a"), stand_in);
        assert_eq!(redactor.text("ada"), "ada");
    }

    #[test]
    fn settings_keep_what_is_no_secret() {
        let mut redactor = redactor();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let given = [
            pair("file", "/users/passwd"),
            pair("token-file", "/run/token"),
            pair("banner", "ask for s3cret!"),
            pair("api-key", "s3cret!"),
            pair("admin", "{SHA512-CRYPT}$6$salt$digest"),
            pair("hide-header", "X-Spam-Flag: YES"),
        ];
        let (kept, redacted) = redactor.settings(&given);
        assert_eq!(redacted, ["banner", "api-key", "admin"]);
        assert_eq!((&kept[0], &kept[1]), (&given[0], &given[1]));
        assert_eq!(kept[5], given[5]);
        assert!(is_stand_in(&kept[3].1));
        assert_eq!(kept[2].1, format!("ask for {}", kept[3].1));
        assert!(kept[4].1.starts_with("{SHA512-CRYPT}$6$redacted-"));
        assert!(!kept[4].1.contains("digest") && !kept[4].1.contains("salt"));
    }

    #[test]
    fn of_a_file_its_form_stays_and_what_the_call_is_about() {
        let mut redactor = redactor();
        let password = redactor.secret("hunter2");
        let text = "# users\nada@example.org:{PLAIN}hunter2:ada:quota=5\n\
                    bob:{PLAIN}bob\neve:$argon2id$v=19$m=1,t=2$salt$hash:eve\n";
        let kept = redactor.file(text, &call_words(&["ada@example.org", "ada", "bob"]));
        let lines: Vec<&str> = kept.lines().collect();
        assert!(lines[1].starts_with(&format!("ada@example.org:{{PLAIN}}{password}:ada:")));
        // A password that is the user's own name is still one.
        assert!(lines[2].starts_with("bob:{PLAIN}redacted-"), "{kept}");
        assert!(lines[3].contains(":$argon2id$redacted-"), "{kept}");
        for secret in ["hunter2", "users", "eve", "salt", "hash", "quota"] {
            assert!(!kept.contains(secret), "{secret}: {kept}");
        }
    }

    #[test]
    fn names_of_values_stay_and_values_do_not() {
        let redactor = redactor();
        let kept = redactor.file(
            "{\"user\": \"x\", \"pass-word\": \"xyzzy\"}\nsecret = \"plugh\"\n",
            &HashSet::new(),
        );
        assert!(kept.contains("\"pass-word\": \"redacted-"), "{kept}");
        assert!(kept.contains("secret = \"redacted-"), "{kept}");
        assert!(!kept.contains("xyzzy") && !kept.contains("plugh"), "{kept}");
    }

    #[test]
    fn lines_far_down_stay_only_if_the_call_is_about_them() {
        let redactor = redactor();
        let mut text: String = (0..500).map(|n| format!("user{n}:x\n")).collect();
        text.push_str("ada:y\n");
        let kept = redactor.file(&text, &call_words(&["ada"]));
        assert_eq!(kept.lines().count(), FIRST_LINES + 1);
        assert!(kept.lines().last().unwrap().starts_with("ada:"));
    }

    #[test]
    fn scram_keys_keep_their_form_as_text_and_as_octets() {
        let redactor = redactor();
        let keys = [vec![1; 16], vec![2; 32], vec![3; 32]];
        let text = |keys: &[Vec<u8>]| {
            let keys: Vec<String> = keys.iter().map(|key| STANDARD.encode(key)).collect();
            format!("{{SCRAM-SHA-256}}4096,{}", keys.join(","))
        };
        let replaced: Vec<Vec<u8>> = keys.iter().map(|key| redactor.secret_octets(key)).collect();
        let kept = redactor.policy(&text(&keys), &HashSet::new());
        assert_eq!(kept, text(&replaced));
        assert_ne!(replaced[1], keys[1]);
        let broken = redactor.policy("{SCRAM-SHA-256}xyzzy,plugh", &HashSet::new());
        assert!(broken.starts_with("{SCRAM-SHA-256}redacted-"), "{broken}");
        assert!(!broken.contains("xyzzy") && !broken.contains("plugh"));
    }
}
