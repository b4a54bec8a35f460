//! What an authenticator says of an account beside its user and its maildrop. Some of it
//! is for the store alone, and is a secret from the moment at which it comes in.

use restante_pop3::Secret;
use zeroize::Zeroize;

/// How the names of attributes begin that are nobody's to see but the store's:
/// passwords for where the mail is.
pub const SECRET_ATTRIBUTE: &str = "secret.";

/// Names and values, in the order in which they came.
///
/// A value whose name begins with [`SECRET_ATTRIBUTE`] never prints, and each copy of it is
/// overwritten when it is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(String, Value)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Shown(String),
    Secret(Secret),
}

impl Value {
    fn text(&self) -> &str {
        match self {
            Value::Shown(text) => text,
            Value::Secret(secret) => secret.expose(),
        }
    }
}

impl Attributes {
    /// Those that are no secrets: for everybody but the store.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| match value {
            Value::Shown(text) => Some((name.as_str(), text.as_str())),
            Value::Secret(_) => None,
        })
    }

    /// All of them: for the store, and for digests.
    pub fn exposed(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        all.map(|(name, value)| (name.as_str(), value.text()))
    }

    /// Octets of all names and values.
    pub fn octets(&self) -> usize {
        let all = self.exposed();
        all.map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl From<Vec<(String, String)>> for Attributes {
    /// Takes the values over; no copy of them stays behind.
    fn from(all: Vec<(String, String)>) -> Self {
        let value = |(name, text): (String, String)| {
            let value = match name.starts_with(SECRET_ATTRIBUTE) {
                true => Value::Secret(Secret::new(text)),
                false => Value::Shown(text),
            };
            (name, value)
        };
        Attributes(all.into_iter().map(value).collect())
    }
}

/// Overwrites those that are secrets, where they are on their way to the store.
pub fn wipe_secrets(attributes: &mut [(String, String)]) {
    let secrets = attributes.iter_mut();
    for (_, value) in secrets.filter(|(name, _)| name.starts_with(SECRET_ATTRIBUTE)) {
        value.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(password: &str) -> Attributes {
        let text = |text: &str| text.to_owned();
        Attributes::from(vec![
            (text("secret.password"), text(password)),
            (text("quota"), text("1")),
            (text("secretary"), text("bob")),
        ])
    }

    #[test]
    fn secrets_never_print_and_are_not_shown() {
        let whole = attributes("tanstaaf");
        for printed in [format!("{whole:?}"), format!("{:#?}", whole.clone())] {
            assert!(!printed.contains("tanstaaf"), "{printed}");
            assert!(printed.contains("bob"), "{printed}");
        }
        let shown: Vec<_> = whole.shown().collect();
        assert_eq!(shown, [("quota", "1"), ("secretary", "bob")]);
    }

    #[test]
    fn nothing_is_lost_and_the_order_stays() {
        let whole = attributes("tanstaaf");
        let all: Vec<_> = whole.exposed().collect();
        assert_eq!(
            all,
            [
                ("secret.password", "tanstaaf"),
                ("quota", "1"),
                ("secretary", "bob")
            ]
        );
        assert_eq!(whole.octets(), 15 + 8 + 5 + 1 + 9 + 3);
        assert_eq!(whole, attributes("tanstaaf"));
        assert_ne!(whole, attributes("tanstaag"));
    }
}
