//! Paths with placeholders, expanded with one account at a time.
//!
//! A value never becomes more than a part of one path component, whatever it
//! holds: this is the wall between one account's mail and the next one's, and
//! values come from clients and guests. The room knows no file system.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Octets of one path component, after expansion: Linux's NAME_MAX.
pub const COMPONENT_OCTETS: usize = 255;

/// "/var/mail/{domain}/{local}/Maildir"
///
/// The placeholders are `{user}`, `{local}`, `{domain}`, `{maildrop}`,
/// `{tenant}` and `{attribute.NAME}`; `{{` and `}}` are braces. `{local}` and
/// `{domain}` are what stands before and behind the last "@" of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    components: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Placeholder),
}

/// What a template can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placeholder {
    /// The canonical user name, whole.
    User,
    /// The user before its last "@"; the whole of one without.
    Local,
    /// The user behind its last "@".
    Domain,
    /// The account's maildrop.
    Maildrop,
    /// The tenant's name.
    Tenant,
    /// An attribute of the account, by its key.
    Attribute(String),
}

/// What one component of a path can become, for all accounts of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// Always this, here in lower case: it may be all one to the file system.
    Text(String),
    /// The domain of the user, and nothing else.
    Domain,
    /// Something that an account chooses.
    Chosen,
}

/// Where a [`Template`] leads to for one account, in two parts that are not trusted
/// alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPath {
    /// What the author of the configuration has written out: absolute, the whole
    /// components before the first one that holds a placeholder.
    pub prefix: PathBuf,
    /// What the account's values have made, below the prefix: relative, without "."
    /// and "..". Empty for a template without placeholders.
    pub rest: PathBuf,
}

impl AccountPath {
    /// Both parts in one, for messages: to open it is to follow every link in it.
    pub fn whole(&self) -> PathBuf {
        match self.rest.as_os_str().is_empty() {
            true => self.prefix.clone(),
            false => self.prefix.join(&self.rest),
        }
    }

    /// The same as the name of what is no file: without the first "/".
    pub fn name(&self) -> String {
        let whole = self.whole();
        // All of it was text.
        let name = whole.to_string_lossy();
        name.trim_start_matches('/').to_owned()
    }
}

/// What a [`Template`] is expanded with.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Name of the tenant.
    pub tenant: &'a str,
    /// The canonical user name.
    pub user: &'a str,
    /// The account's maildrop.
    pub maildrop: &'a str,
    /// The account's attributes; of two with one key the first counts.
    pub attributes: &'a [(&'a str, &'a str)],
}

/// Why a text is no template. The author of the configuration is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// It does not begin with "/".
    #[error("the path is not absolute")]
    Relative,
    /// A "{" that nothing closes, or a "}" that nothing opened.
    #[error("unbalanced `{0}`; a brace of the path itself is written twice")]
    Unbalanced(char),
    /// No such placeholder.
    #[error("unknown placeholder `{{{0}}}`")]
    Unknown(String),
    /// "." or ".." as a component.
    #[error("the path holds `{0}` as a component")]
    Dots(&'static str),
    /// A control character.
    #[error("the path holds a control character")]
    Control,
}

/// Why an account has no path. Its values are at fault; they are not repeated
/// here, since what they hold is not fit for a log line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExpandError {
    /// The value is empty, so is the user's local part, or the attribute.
    #[error("{0} is empty")]
    Empty(Placeholder),
    /// The value is "." or "..".
    #[error("{0} is `.` or `..`")]
    Dots(Placeholder),
    /// The value holds a "/".
    #[error("{0} holds a `/`")]
    Slash(Placeholder),
    /// The value holds NUL or another control character.
    #[error("{0} holds a control character")]
    Control(Placeholder),
    /// The user has no "@", and so no domain.
    #[error("the user has no domain for {{domain}}")]
    NoDomain,
    /// The account has no such attribute.
    #[error("the account has no attribute for {0}")]
    NoAttribute(Placeholder),
    /// Values and text together make a component "." or "..".
    #[error("a component of the path becomes `.` or `..`")]
    ComponentDots,
    /// A component is longer than [`COMPONENT_OCTETS`].
    #[error("a component of the path is longer than {} octets", COMPONENT_OCTETS)]
    TooLong,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`], for the author of the configuration.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        if !text.starts_with('/') {
            return Err(TemplateError::Relative);
        }
        if text.chars().any(char::is_control) {
            return Err(TemplateError::Control);
        }
        // A "/" between braces stays with its placeholder, where it is refused.
        let mut components = Vec::new();
        let mut component = Vec::new();
        for token in tokens(text)? {
            match token {
                Token::Slash => components.push(std::mem::take(&mut component)),
                Token::Piece(piece) => push(&mut component, piece),
            }
        }
        components.push(component);
        components.retain(|component| !component.is_empty());
        for component in &components {
            match component.as_slice() {
                [Piece::Text(text)] if text == "." => return Err(TemplateError::Dots(".")),
                [Piece::Text(text)] if text == ".." => return Err(TemplateError::Dots("..")),
                _ => {}
            }
        }
        Ok(Template {
            text: text.to_owned(),
            components,
        })
    }

    /// The path of one account. Nothing in a value is expanded again.
    ///
    /// # Errors
    /// [`ExpandError`] where a value is not fit to be part of one component.
    pub fn expand(&self, values: &Values<'_>) -> Result<AccountPath, ExpandError> {
        let (mut prefix, mut rest) = (PathBuf::from("/"), PathBuf::new());
        let fixed = self.fixed_components();
        for (at, pieces) in self.components.iter().enumerate() {
            let mut component = String::new();
            for piece in pieces {
                match piece {
                    Piece::Text(text) => component.push_str(text),
                    Piece::Value(placeholder) => {
                        component.push_str(checked(placeholder, values)?);
                    }
                }
            }
            if component == "." || component == ".." {
                return Err(ExpandError::ComponentDots);
            }
            if component.len() > COMPONENT_OCTETS {
                return Err(ExpandError::TooLong);
            }
            match at < fixed {
                true => prefix.push(component),
                false => rest.push(component),
            }
        }
        Ok(AccountPath { prefix, rest })
    }

    /// The part of its paths that is the same for every account: the whole components
    /// before the first one that holds a placeholder.
    pub fn prefix(&self) -> PathBuf {
        let mut prefix = PathBuf::from("/");
        for pieces in &self.components[..self.fixed_components()] {
            prefix.push(pieces.iter().filter_map(text).collect::<String>());
        }
        prefix
    }

    /// How many components come before the first one that holds a placeholder.
    fn fixed_components(&self) -> usize {
        let fixed = self.components.iter();
        fixed
            .take_while(|pieces| pieces.iter().all(|piece| text(piece).is_some()))
            .count()
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it asks for, in order, repetitions included.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.components
            .iter()
            .flatten()
            .filter_map(|piece| match piece {
                Piece::Value(placeholder) => Some(placeholder),
                Piece::Text(_) => None,
            })
    }

    /// What its paths are made of, for this tenant.
    pub fn components(&self, tenant: &str) -> Vec<Component> {
        let component = |pieces: &Vec<Piece>| {
            if matches!(pieces[..], [Piece::Value(Placeholder::Domain)]) {
                return Component::Domain;
            }
            let texts = pieces.iter().map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Value(Placeholder::Tenant) => Some(tenant),
                Piece::Value(_) => None,
            });
            let whole = texts.collect::<Option<String>>();
            whole.map_or(Component::Chosen, |text| {
                Component::Text(text.to_lowercase())
            })
        };
        self.components.iter().map(component).collect()
    }

    /// `text` written so that [`Template::parse`] takes it literally.
    pub fn escape(text: &str) -> String {
        text.replace('{', "{{").replace('}', "}}")
    }
}

impl fmt::Display for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Placeholder {
    /// Every placeholder's name, for messages.
    pub const NAMES: [&'static str; 6] = [
        "user",
        "local",
        "domain",
        "maildrop",
        "tenant",
        "attribute.NAME",
    ];

    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "user" => Placeholder::User,
            "local" => Placeholder::Local,
            "domain" => Placeholder::Domain,
            "maildrop" => Placeholder::Maildrop,
            "tenant" => Placeholder::Tenant,
            _ => match name.strip_prefix("attribute.") {
                // Secrets do not become names of directories.
                Some(key) if !key.is_empty() && !key.starts_with("secret.") => {
                    Placeholder::Attribute(key.to_owned())
                }
                _ => return None,
            },
        })
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placeholder::User => out.write_str("{user}"),
            Placeholder::Local => out.write_str("{local}"),
            Placeholder::Domain => out.write_str("{domain}"),
            Placeholder::Maildrop => out.write_str("{maildrop}"),
            Placeholder::Tenant => out.write_str("{tenant}"),
            Placeholder::Attribute(key) => write!(out, "{{attribute.{key}}}"),
        }
    }
}

fn text(piece: &Piece) -> Option<&str> {
    match piece {
        Piece::Text(text) => Some(text),
        Piece::Value(_) => None,
    }
}

enum Token {
    Slash,
    Piece(Piece),
}

fn tokens(text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, octets) = match first {
            '/' => (Token::Slash, 1),
            '{' if rest.starts_with("{{") => (Token::Piece(Piece::Text("{".into())), 2),
            '}' if rest.starts_with("}}") => (Token::Piece(Piece::Text("}".into())), 2),
            '}' => return Err(TemplateError::Unbalanced('}')),
            '{' => {
                let Some((name, _)) = rest[1..].split_once('}') else {
                    return Err(TemplateError::Unbalanced('{'));
                };
                if name.contains('{') {
                    return Err(TemplateError::Unbalanced('{'));
                }
                let placeholder = Placeholder::parse(name)
                    .ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
                (Token::Piece(Piece::Value(placeholder)), name.len() + 2)
            }
            _ => {
                let end = rest.find(['/', '{', '}']).unwrap_or(rest.len());
                (Token::Piece(Piece::Text(rest[..end].to_owned())), end)
            }
        };
        tokens.push(token);
        rest = &rest[octets..];
    }
    Ok(tokens)
}

/// Texts that touch become one, so that a component that is text alone is one
/// piece.
fn push(component: &mut Vec<Piece>, piece: Piece) {
    if let (Some(Piece::Text(before)), Piece::Text(text)) = (component.last_mut(), &piece) {
        before.push_str(text);
    } else {
        component.push(piece);
    }
}

/// The placeholder's value, if it is fit to be part of one component.
fn checked<'a>(placeholder: &Placeholder, values: &Values<'a>) -> Result<&'a str, ExpandError> {
    let value = value(placeholder, values)?;
    let refuse = |reason: fn(Placeholder) -> ExpandError| Err(reason(placeholder.clone()));
    match value {
        "" => refuse(ExpandError::Empty),
        "." | ".." => refuse(ExpandError::Dots),
        _ if value.contains('/') => refuse(ExpandError::Slash),
        _ if value.chars().any(char::is_control) => refuse(ExpandError::Control),
        _ => Ok(value),
    }
}

fn value<'a>(placeholder: &Placeholder, values: &Values<'a>) -> Result<&'a str, ExpandError> {
    Ok(match placeholder {
        Placeholder::User => values.user,
        Placeholder::Local => match values.user.rsplit_once('@') {
            Some((local, _)) => local,
            None => values.user,
        },
        Placeholder::Domain => match values.user.rsplit_once('@') {
            Some((_, domain)) => domain,
            None => return Err(ExpandError::NoDomain),
        },
        Placeholder::Maildrop => values.maildrop,
        Placeholder::Tenant => values.tenant,
        Placeholder::Attribute(wanted) => values
            .attributes
            .iter()
            .find(|(key, _)| key == wanted)
            .map(|(_, value)| *value)
            .ok_or_else(|| ExpandError::NoAttribute(placeholder.clone()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'a>(user: &'a str, maildrop: &'a str) -> Values<'a> {
        Values {
            tenant: "acme",
            user,
            maildrop,
            attributes: &[],
        }
    }

    fn expand(template: &str, user: &str) -> Result<PathBuf, ExpandError> {
        Template::parse(template)
            .unwrap()
            .expand(&values(user, "drop"))
            .map(|path| path.whole())
    }

    #[test]
    fn an_account_becomes_a_name() {
        for (template, expected) in [
            ("/{tenant}/{domain}/{local}", "acme/a.example/alice"),
            ("/x/{user}/", "x/alice@a.example"),
            ("//all", "all"),
        ] {
            let template = Template::parse(template).unwrap();
            let path = template.expand(&values("alice@a.example", "drop"));
            assert_eq!(path.map(|path| path.name()).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn an_account_becomes_a_path() {
        for (template, user, expected) in [
            (
                "/var/mail/{domain}/{local}/Maildir",
                "alice@acme.example",
                "/var/mail/acme.example/alice/Maildir",
            ),
            ("/m/{user}", "alice@acme.example", "/m/alice@acme.example"),
            ("/m/{local}", "alice", "/m/alice"),
            ("/m/{local}@{domain}", "a@b@c", "/m/a@b@c"),
            ("/m/{domain}", "a@b@c", "/m/c"),
            ("/{tenant}/{maildrop}.d/", "x", "/acme/drop.d"),
            ("//m///{user}//", "x", "/m/x"),
            ("/m/{{{user}}}", "x", "/m/{x}"),
            ("/m/{{user}}", "x", "/m/{user}"),
            ("/m/.{user}", "x", "/m/.x"),
            (
                "/m/{user}",
                "älice@bücher.example",
                "/m/älice@bücher.example",
            ),
            ("/m/{user}", "...", "/m/..."),
            ("/", "x", "/"),
        ] {
            assert_eq!(
                expand(template, user),
                Ok(PathBuf::from(expected)),
                "{template} {user}"
            );
        }
    }

    #[test]
    fn a_value_is_never_expanded_again() {
        let template = Template::parse("/m/{user}/{maildrop}").unwrap();
        let path = template
            .expand(&values("{maildrop}", "{{}}{tenant}{user}"))
            .unwrap();
        let expected = PathBuf::from("/m/{maildrop}/{{}}{tenant}{user}");
        assert_eq!(path.whole(), expected);
    }

    #[test]
    fn what_is_fixed_ends_before_the_first_component_with_a_placeholder() {
        for (template, prefix, rest) in [
            ("/var/mail/{domain}/x/{local}", "/var/mail", "b.example/x/a"),
            ("/var//mail/u-{local}/", "/var/mail", "u-a"),
            ("/m/{{x}}/{tenant}/y", "/m/{x}", "acme/y"),
            ("/{local}", "/", "a"),
            ("/var/mail/all", "/var/mail/all", ""),
            ("/", "/", ""),
        ] {
            let template = Template::parse(template).unwrap();
            let path = template.expand(&values("a@b.example", "d")).unwrap();
            assert_eq!(path.prefix, PathBuf::from(prefix), "{template}");
            assert_eq!(path.rest, PathBuf::from(rest), "{template}");
            assert_eq!(template.prefix(), path.prefix, "{template}");
        }
    }

    #[test]
    fn hostile_values_are_refused_by_every_placeholder() {
        type Reason = fn(Placeholder) -> ExpandError;
        let hostile: &[(&str, Reason)] = &[
            ("", ExpandError::Empty),
            (".", ExpandError::Dots),
            ("..", ExpandError::Dots),
            ("/", ExpandError::Slash),
            ("../x", ExpandError::Slash),
            ("a/b", ExpandError::Slash),
            ("a/", ExpandError::Slash),
            ("/etc", ExpandError::Slash),
            ("a\0", ExpandError::Control),
            ("a\nb", ExpandError::Control),
            ("a\r", ExpandError::Control),
            ("\x1b[2J", ExpandError::Control),
            ("a\x7f", ExpandError::Control),
            ("a\u{85}", ExpandError::Control),
        ];
        for (value, reason) in hostile {
            let attributes = [("home", *value)];
            let with_domain = format!("x@{value}");
            let with_local = format!("{value}@x");
            for (name, user, placeholder) in [
                ("user", *value, Placeholder::User),
                ("local", with_local.as_str(), Placeholder::Local),
                ("domain", with_domain.as_str(), Placeholder::Domain),
                ("maildrop", "x", Placeholder::Maildrop),
                ("tenant", "x", Placeholder::Tenant),
                ("attribute.home", "x", Placeholder::Attribute("home".into())),
            ] {
                for template in [format!("/m/{{{name}}}"), format!("/m/a{{{name}}}b/c")] {
                    let template = Template::parse(&template).unwrap();
                    let values = Values {
                        tenant: value,
                        user,
                        maildrop: value,
                        attributes: &attributes,
                    };
                    assert_eq!(
                        template.expand(&values),
                        Err(reason(placeholder.clone())),
                        "{template} {value:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn text_and_values_together_never_make_dots() {
        assert_eq!(
            Template::parse("/m/{user}{maildrop}")
                .unwrap()
                .expand(&values("..", "x")),
            Err(ExpandError::Dots(Placeholder::User))
        );
        assert_eq!(
            expand("/m/.{user}", "."),
            Err(ExpandError::Dots(Placeholder::User))
        );
        // Each of the two is refused already; the whole component is looked at
        // all the same, so that a placeholder that one day lets dots through
        // leads nowhere.
        let template = Template {
            text: String::new(),
            components: vec![vec![Piece::Text(".".into()), Piece::Text(".".into())]],
        };
        assert_eq!(
            template.expand(&values("x", "x")),
            Err(ExpandError::ComponentDots)
        );
    }

    #[test]
    fn what_an_account_lacks_is_named() {
        assert_eq!(expand("/m/{domain}", "alice"), Err(ExpandError::NoDomain));
        assert_eq!(
            expand("/m/{attribute.home}", "alice")
                .unwrap_err()
                .to_string(),
            "the account has no attribute for {attribute.home}"
        );
        assert_eq!(
            expand("/m/{local}", "@x").unwrap_err().to_string(),
            "{local} is empty"
        );
    }

    #[test]
    fn a_component_has_a_longest() {
        let longest = "x".repeat(COMPONENT_OCTETS);
        assert!(expand("/m/{user}", &longest).is_ok());
        assert_eq!(expand("/m/{user}y", &longest), Err(ExpandError::TooLong));
    }

    #[test]
    fn what_is_no_template() {
        for (text, expected) in [
            ("", TemplateError::Relative),
            ("m/{user}", TemplateError::Relative),
            ("{user}", TemplateError::Relative),
            ("/m/{user", TemplateError::Unbalanced('{')),
            ("/m/{", TemplateError::Unbalanced('{')),
            ("/m/{us{er}", TemplateError::Unbalanced('{')),
            ("/m/user}", TemplateError::Unbalanced('}')),
            ("/m/{user}}", TemplateError::Unbalanced('}')),
            ("/m/{usr}", TemplateError::Unknown("usr".into())),
            ("/m/{}", TemplateError::Unknown(String::new())),
            ("/m/{a/b}", TemplateError::Unknown("a/b".into())),
            (
                "/m/{attribute.secret.password}",
                TemplateError::Unknown("attribute.secret.password".into()),
            ),
            (
                "/m/{attribute.}",
                TemplateError::Unknown("attribute.".into()),
            ),
            ("/m/../{user}", TemplateError::Dots("..")),
            ("/m/./{user}", TemplateError::Dots(".")),
            ("/m/..", TemplateError::Dots("..")),
            ("/m\0/{user}", TemplateError::Control),
            ("/m\n/{user}", TemplateError::Control),
        ] {
            assert_eq!(Template::parse(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_escaped_stays_itself() {
        let folder = "/srv/{odd}}/{user";
        let template = Template::parse(&Template::escape(folder)).unwrap();
        let path = template.expand(&values("x", "x")).unwrap();
        assert_eq!(path.whole(), PathBuf::from(folder));
        assert_eq!(template.placeholders().count(), 0);
    }
}
