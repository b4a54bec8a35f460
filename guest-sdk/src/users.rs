//! Who is the same user: the one place where names of users are folded and compared.
//!
//! Two names that are the same here open the same account, so as few as possible
//! are: letters of ASCII in either case, and nothing else. No folding of Unicode is
//! as safe, since several letters fold into one of ASCII (KELVIN SIGN into "k"): who
//! registers such a name would have another user's. A name with letters beyond ASCII
//! is another name in another case.
//!
//! What follows the last "@" is a domain, and domains are the same in either case (RFC
//! 4343), whatever is said of the rest.
//!
//! The host has prepared what a client calls itself (SASLprep, RFC 4013): composed
//! and decomposed letters are the same already. Names from elsewhere, of a file or a
//! directory, are best kept in that form (NFKC).

use std::fmt;
use std::str::FromStr;

/// How names of users are compared. As a setting: `"exact"` or `"fold"`.
///
/// ```
/// use restante_guest::users::Case;
///
/// let case: Case = "fold".parse().unwrap();
/// assert_eq!(case.canonical("Kate@Example.org"), "kate@example.org");
/// assert!(case.is_same("KATE", "kate"));
/// // KELVIN SIGN, whose lower case is a k.
/// assert!(!case.is_same("\u{212a}ate", "kate"));
/// assert!(!Case::Exact.is_same("Kate", "kate"));
/// assert!(Case::Exact.is_same("Kate@example.org", "Kate@Example.ORG"));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Case {
    /// Octet for octet, but for the domain.
    #[default]
    Exact,
    /// Upper and lower case of ASCII's letters are the same.
    Fold,
}

impl Case {
    /// The name as it is compared, and as an account should have it: the same for all
    /// names of one user.
    pub fn canonical(self, name: &str) -> String {
        match self {
            Case::Exact => match parts(name) {
                Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
                None => name.to_owned(),
            },
            Case::Fold => name.to_ascii_lowercase(),
        }
    }

    /// Whether both are names of one user.
    pub fn is_same(self, one: &str, other: &str) -> bool {
        match self {
            Case::Exact => match (parts(one), parts(other)) {
                (Some((one, domain)), Some((other, its))) => {
                    one == other && domain.eq_ignore_ascii_case(its)
                }
                _ => one == other,
            },
            Case::Fold => one.eq_ignore_ascii_case(other),
        }
    }
}

/// A name's local part and its domain, if it has one.
fn parts(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('@')
}

/// Neither "exact" nor "fold". The words go behind the setting's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownCase;

impl fmt::Display for UnknownCase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("must be \"exact\" or \"fold\"")
    }
}

impl std::error::Error for UnknownCase {}

impl FromStr for Case {
    type Err = UnknownCase;

    fn from_str(text: &str) -> Result<Self, UnknownCase> {
        match text {
            "exact" => Ok(Case::Exact),
            "fold" => Ok(Case::Fold),
            _ => Err(UnknownCase),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Of all characters there are, those that are the same.
    #[test]
    fn nothing_is_the_same_but_letters_of_ascii_in_either_case() {
        let mut groups: HashMap<String, Vec<char>> = HashMap::new();
        for letter in '\0'..=char::MAX {
            let name = letter.to_string();
            assert_eq!(Case::Exact.canonical(&name), name);
            let canonical = Case::Fold.canonical(&name);
            assert!(Case::Fold.is_same(&name, &canonical));
            groups.entry(canonical).or_default().push(letter);
        }
        for (canonical, group) in groups {
            match group[..] {
                [letter] => assert!(!letter.is_ascii_alphabetic(), "{letter}"),
                [upper, lower] => {
                    assert!(upper.is_ascii_uppercase() && lower.is_ascii_lowercase());
                    assert_eq!(upper.to_ascii_lowercase(), lower, "{canonical}");
                }
                _ => panic!("{canonical}: {group:?}"),
            }
        }
    }

    /// Letters that some folding of Unicode makes ones of ASCII.
    #[test]
    fn a_letter_that_looks_or_folds_like_another_is_another() {
        for (name, other) in [
            ("\u{212a}ate", "kate"),
            ("\u{17f}am", "sam"),
            ("\u{130}da", "ida"),
            ("\u{131}da", "ida"),
            ("stra\u{df}e", "strasse"),
            ("\u{fb01}ona", "fiona"),
            ("\u{ff4b}ate", "kate"),
            ("\u{43a}ate", "kate"),
            ("J\u{d6}RG", "j\u{f6}rg"),
            ("jo\u{308}rg", "j\u{f6}rg"),
        ] {
            for case in [Case::Exact, Case::Fold] {
                assert!(!case.is_same(name, other), "{name} {other}");
                assert_ne!(case.canonical(name), case.canonical(other));
            }
        }
    }

    #[test]
    fn a_domain_is_the_same_in_any_case_and_a_local_part_is_not() {
        let exact = Case::Exact;
        for (one, other, same) in [
            ("kate@example.org", "kate@EXAMPLE.org", true),
            ("Kate@example.org", "kate@example.org", false),
            ("kate@a@Example.org", "kate@a@example.org", true),
            ("kate@A@example.org", "kate@a@example.org", false),
            ("kate@", "kate@", true),
            ("kate", "KATE", false),
            ("kate@\u{212a}.example", "kate@k.example", false),
        ] {
            assert_eq!(exact.is_same(one, other), same, "{one} {other}");
            let canonical = exact.canonical(one) == exact.canonical(other);
            assert_eq!(canonical, same, "{one} {other}");
        }
        assert_eq!(exact.canonical("Kate@Example.ORG"), "Kate@example.org");
    }

    #[test]
    fn a_setting_is_one_of_two_words() {
        assert_eq!("exact".parse(), Ok(Case::Exact));
        assert_eq!("fold".parse(), Ok(Case::Fold));
        for text in ["", "Fold", "lower", "fold "] {
            assert_eq!(text.parse::<Case>(), Err(UnknownCase), "{text}");
        }
    }
}
