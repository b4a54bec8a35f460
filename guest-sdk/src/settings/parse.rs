//! Settings into a type that derives `serde::Deserialize`.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Visitor,
};

/// How alike a key must be to one that there is to be taken for a slip of the
/// pen: 1 is the same.
const ALIKE: f64 = 0.75;

/// The plugin's settings as a type of its own.
///
/// Fields are keys, as serde has it: `#[serde(rename_all = "kebab-case")]` for keys
/// with a "-", `#[serde(default)]` for those that may be missing. Values may be
/// strings, numbers, booleans, enums of names, `Option` and, for an array in the
/// configuration, `Vec`; [`Span`](super::Span) and [`Size`](super::Size) for
/// `"30s"` and `"64MiB"`.
///
/// ```
/// use restante_guest::settings::{self, Span};
/// use restante_guest::testing;
/// use serde::Deserialize;
///
/// #[derive(Debug, Deserialize)]
/// #[serde(rename_all = "kebab-case")]
/// struct Settings {
///     file: String,
///     #[serde(default)]
///     allowed_hosts: Vec<String>,
///     patience: Option<Span>,
///     #[serde(default)]
///     case: Case,
/// }
///
/// #[derive(Debug, Default, PartialEq, Deserialize)]
/// #[serde(rename_all = "kebab-case")]
/// enum Case {
///     #[default]
///     Exact,
///     Fold,
/// }
///
/// testing::set_settings([("file", "/users/list"), ("allowed-hosts", "a.example\nb.example")]);
/// let settings: Settings = settings::parse().expect("they are as they should be");
/// assert_eq!(settings.file, "/users/list");
/// assert_eq!(settings.allowed_hosts, ["a.example", "b.example"]);
/// assert_eq!(settings.case, Case::Exact);
///
/// testing::set_settings([("flie", "x"), ("patience", "30"), ("case", "flod")]);
/// let problems = settings::parse::<Settings>().expect_err("three are wrong, one is missing");
/// assert_eq!(problems, [
///     "flie: unknown setting; did you mean file?",
///     "patience: has no unit; write a whole number and its unit: 500ms, 30s, 10m, 2h, 7d",
///     "case: must be one of exact, fold; did you mean fold?",
///     "file: is missing",
/// ]);
/// ```
///
/// # Errors
/// All problems at once, one a line, as [`Validate`](super::Validate) has them:
/// each names its key and none repeats a value.
pub fn parse<T: DeserializeOwned>() -> Result<T, Vec<String>> {
    parse_all(&super::all())
}

fn parse_all<T: DeserializeOwned>(settings: &[(String, String)]) -> Result<T, Vec<String>> {
    let mut all = All {
        settings,
        stand_ins: BTreeMap::new(),
        problems: Vec::new(),
        is_first: true,
    };
    // A key whose value will not do gets one that will, so that the next problem
    // comes to light. Each turn settles a key.
    loop {
        match T::deserialize(&mut all) {
            Ok(value) if all.problems.is_empty() => return Ok(value),
            Ok(_) => return Err(all.problems),
            Err(error) => {
                let settled = error.key.as_ref().is_some_and(|key| {
                    let before = all.stand_ins.insert(key.clone(), ());
                    before.is_none()
                });
                if settled {
                    all.problems.push(error.to_string());
                } else {
                    // Nothing will do for this key, or it is about no key at all.
                    if all.problems.is_empty() {
                        all.problems.push(error.to_string());
                    }
                    return Err(all.problems);
                }
                all.is_first = false;
            }
        }
    }
}

/// Every key and value.
struct All<'a> {
    settings: &'a [(String, String)],
    /// Keys of values that will not do, or that are missing.
    stand_ins: BTreeMap<String, ()>,
    problems: Vec<String>,
    is_first: bool,
}

/// What is wrong with a setting.
#[derive(Debug)]
struct Error {
    key: Option<String>,
    what: String,
}

impl Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(formatter, "{key}: {}", self.what),
            None => formatter.write_str(&self.what),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(what: T) -> Error {
        Error {
            key: None,
            what: what.to_string(),
        }
    }

    // What was there instead is nobody's business: it may be a password.
    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn Expected) -> Error {
        Error::custom(format_args!("must be {expected}"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn Expected) -> Error {
        Error::custom(format_args!("must be {expected}"))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Error {
        Error::custom(format_args!("has {length} entries, and must be {expected}"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Error {
        let expected_names = expected.join(", ");
        let meant = meant(variant, expected);
        Error::custom(format_args!("must be one of {expected_names}{meant}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Error {
        Error {
            key: Some(field.to_owned()),
            what: unknown(field, expected),
        }
    }

    fn missing_field(field: &'static str) -> Error {
        Error {
            key: Some(field.to_owned()),
            what: "is missing".to_owned(),
        }
    }

    fn duplicate_field(field: &'static str) -> Error {
        Error {
            key: Some(field.to_owned()),
            what: "is there twice".to_owned(),
        }
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    match meant(key, known) {
        meant if !meant.is_empty() => format!("unknown setting{meant}"),
        _ if known.is_empty() => "unknown setting; there are none".to_owned(),
        _ => format!("unknown setting; there is {}", known.join(", ")),
    }
}

/// "; did you mean that?", or nothing.
fn meant(word: &str, known: &[&str]) -> String {
    let alike = |name: &&str| strsim::jaro_winkler(word, name);
    let closest = known
        .iter()
        .copied()
        .max_by(|left, right| alike(left).total_cmp(&alike(right)));
    match closest.filter(|closest| alike(closest) >= ALIKE) {
        Some(closest) => format!("; did you mean {closest}?"),
        None => String::new(),
    }
}

impl<'de> Deserializer<'de> for &mut All<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Entries::new(self, None))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.is_first {
            for (key, _) in self.settings {
                if !fields.contains(&key.as_str()) {
                    self.problems
                        .push(format!("{key}: {}", unknown(key, fields)));
                }
            }
        }
        visitor.visit_map(Entries::new(self, Some(fields)))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes
        byte_buf option unit unit_struct seq tuple tuple_struct map enum identifier
        ignored_any
    }
}

/// The keys that there are for a struct, and then those that stand in.
struct Entries<'a> {
    entries: Vec<(&'a str, Value<'a>)>,
    /// The key whose value comes next.
    key: &'a str,
}

impl<'a> Entries<'a> {
    fn new(all: &'a All<'_>, fields: Option<&[&str]>) -> Entries<'a> {
        let settings = all.settings.iter();
        let known =
            settings.filter(|(key, _)| fields.is_none_or(|fields| fields.contains(&&**key)));
        let sound = known.filter(|(key, _)| !all.stand_ins.contains_key(key));
        let stand_ins = all.stand_ins.keys();
        let stand_ins = stand_ins.map(|key| (key.as_str(), Value::StandIn));
        let mut entries: Vec<_> = stand_ins.collect();
        entries.extend(sound.map(|(key, value)| (key.as_str(), Value::Text(value))));
        // Taken from the end.
        entries.reverse();
        Entries { entries, key: "" }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, _)) = self.entries.last() else {
            return Ok(None);
        };
        self.key = key;
        let key: StrDeserializer<'_, Error> = self.key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (_, value) = self.entries.pop().unwrap_or(("", Value::StandIn));
        seed.deserialize(value).map_err(|error| Error {
            key: Some(error.key.unwrap_or_else(|| self.key.to_owned())),
            what: error.what,
        })
    }
}

/// One value, or one entry of an array.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    /// Whatever will do, so that other problems come to light.
    StandIn,
}

/// Numbers of one kind: parsed, or 0 where anything will do.
macro_rules! number {
    ($($method:ident $visit:ident $type:ty;)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let Value::Text(text) = self else {
                return visitor.$visit(<$type>::default());
            };
            match text.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(de::Error::custom(format_args!(
                    "must be a whole number from {} to {}", <$type>::MIN, <$type>::MAX
                ))),
            }
        })+
    };
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = Error;

    number! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Value::Text(text) => visitor.visit_str(text),
            Value::StandIn => visitor.visit_unit(),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Value::Text(text) => visitor.visit_str(text),
            Value::StandIn => visitor.visit_str(""),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Value::Text("true") => visitor.visit_bool(true),
            Value::Text("false") | Value::StandIn => visitor.visit_bool(false),
            Value::Text(_) => Err(de::Error::custom("must be true or false")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Value::Text(text) => match text.parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(de::Error::custom("must be a number")),
            },
            Value::StandIn => visitor.visit_f64(0.0),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Value::Text(text) => visitor.visit_str(text),
            Value::StandIn => visitor.visit_char(' '),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Value::Text(_) => visitor.visit_some(self),
            Value::StandIn => visitor.visit_none(),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = match self {
            Value::Text(text) => text,
            Value::StandIn => "",
        };
        let lines = text.split('\n').filter(|_| !text.is_empty());
        visitor.visit_seq(de::value::SeqDeserializer::new(lines.map(Value::Text)))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text = match self {
            Value::Text(text) => text,
            Value::StandIn => variants.first().copied().unwrap_or_default(),
        };
        let name: StrDeserializer<'_, Error> = text.into_deserializer();
        visitor.visit_enum(name)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct map struct
        identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Value<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests;
