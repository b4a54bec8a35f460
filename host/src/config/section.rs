//! A walker over parsed TOML that keeps places and never stops at a problem.
//!
//! From a [`Section`] keys are taken one by one with getters that know types
//! and record what is wrong; what is left over when it is finished is unknown.
//! The keys that were asked for are the keys there are: nothing lists them twice.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::disk::{Look, Trouble, Wanted};
use super::problem::{Lines, Place, Problem, closest, list, quoted, quoted_path, suggest};
use super::units;

/// Where something stands in the text, in octets from its start.
pub(super) type At = usize;

/// Something and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) at: At,
}

/// What was found wrong so far, and what is needed to say so.
pub(super) struct Report<'t> {
    lines: Lines<'t>,
    file: &'t Path,
    /// Relative paths start here; absolute.
    base: PathBuf,
    look: Look,
    problems: RefCell<Vec<(At, Problem)>>,
    warnings: RefCell<Vec<(At, Problem)>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str, file: &'t Path, base: PathBuf, look: Look) -> Self {
        Report {
            lines: Lines::of(text),
            file,
            base,
            look,
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    fn entry(&self, at: Option<At>, what: String, mend: String) -> (At, Problem) {
        let problem = Problem {
            file: self.file.to_owned(),
            place: at.map(|at| self.lines.place(at)),
            what,
            mend: Some(mend),
        };
        (at.unwrap_or(At::MAX), problem)
    }

    /// Records a problem.
    pub(super) fn problem(&self, at: At, what: impl Into<String>, mend: impl Into<String>) {
        let entry = self.entry(Some(at), what.into(), mend.into());
        self.problems.borrow_mut().push(entry);
    }

    /// Records a problem of the file as a whole; it comes last.
    pub(super) fn problem_of_file(&self, what: &str, mend: &str) {
        let entry = self.entry(None, what.into(), mend.into());
        self.problems.borrow_mut().push(entry);
    }

    /// Records what is odd but no obstacle.
    pub(super) fn warning(&self, at: At, what: impl Into<String>, mend: impl Into<String>) {
        let entry = self.entry(Some(at), what.into(), mend.into());
        self.warnings.borrow_mut().push(entry);
    }

    /// Lines and columns of a place, for those who speak of it later.
    pub(super) fn place(&self, at: At) -> Place {
        self.lines.place(at)
    }

    /// The line of a place, to point at it from another one.
    pub(super) fn line(&self, at: At) -> usize {
        self.lines.place(at).line
    }

    /// Relative paths start here.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// Problems and warnings, each in the order of the text.
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        let sorted = |list: RefCell<Vec<(At, Problem)>>| {
            let mut list = list.into_inner();
            list.sort_by_key(|(at, _)| *at);
            list.into_iter().map(|(_, problem)| problem).collect()
        };
        (sorted(self.problems), sorted(self.warnings))
    }

    /// Looks at a path and records what is wrong with it. `role` is what the
    /// message calls it.
    pub(super) fn check_path(&self, role: &str, path: &Located<PathBuf>, wanted: Wanted) -> bool {
        let Err(trouble) = (self.look)(&path.value, wanted) else {
            return true;
        };
        let shown = quoted_path(&path.value);
        let (what, mend) = match trouble {
            Trouble::Missing => (
                format!("{role} {shown} does not exist"),
                "create it, or correct the path (a relative one starts at this file's folder)",
            ),
            Trouble::IsDirectory => (
                format!("{role} {shown} is a directory"),
                "name the file in it",
            ),
            Trouble::IsFile => (format!("{role} {shown} is a file"), "name a directory"),
            Trouble::IsOther => (
                format!("{role} {shown} is neither a file nor a directory"),
                "name a regular one",
            ),
            Trouble::Unreadable(error) => (
                format!("{role} {shown} cannot be read: {error}"),
                "let the user that runs restante read it, or correct the path",
            ),
        };
        self.problem(path.at, what, mend);
        false
    }
}

/// One TOML value on its way to a type.
pub(super) struct Value<'r, 't> {
    report: &'r Report<'t>,
    /// "`address` in [listener.pop3]"
    pub(super) name: String,
    pub(super) at: At,
    pub(super) toml: DeValue<'t>,
}

impl<'r, 't> Value<'r, 't> {
    /// Where problems go.
    pub(super) fn report(&self) -> &'r Report<'t> {
        self.report
    }

    fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        let found = match &self.toml {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let what = format!("{} is {found}", self.name);
        self.report
            .problem(self.at, what, format!("write {wanted}"));
        None
    }

    /// Records that the value is not fit, and why.
    pub(super) fn bad<T>(&self, what: impl Display, mend: impl Into<String>) -> Option<T> {
        let what = format!("{} {what}", self.name);
        self.report.problem(self.at, what, mend);
        None
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.toml, DeValue::Table(_))
    }

    pub(super) fn string(&self, wanted: &str) -> Option<Located<String>> {
        match &self.toml {
            DeValue::String(text) => Some(Located {
                value: text.clone().into_owned(),
                at: self.at,
            }),
            _ => self.wrong_type(wanted),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match &self.toml {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type("true or false"),
        }
    }

    /// A whole number in `range`.
    pub(super) fn count(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let DeValue::Integer(integer) = &self.toml else {
            return self.wrong_type("a whole number, without quotes");
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix());
        match number.ok().and_then(|number| u32::try_from(number).ok()) {
            Some(number) if range.contains(&number) => Some(number),
            _ => self.bad(
                format_args!("is {}", quoted(integer.to_string())),
                format!(
                    "write a whole number from {} to {}",
                    range.start(),
                    range.end()
                ),
            ),
        }
    }

    /// A duration in `range`; `reason` says why there is a least one.
    pub(super) fn duration(
        &self,
        range: RangeInclusive<Duration>,
        reason: &str,
    ) -> Option<Duration> {
        let parsed = match &self.toml {
            DeValue::String(text) => units::duration(text),
            DeValue::Integer(number) => Err(units::duration_without_unit(number.as_str())),
            _ => return self.wrong_type("a duration such as \"30s\" or \"10m\""),
        };
        match parsed {
            Err(bad) => self.bad(bad.what, bad.mend),
            Ok(value) if range.contains(&value) => Some(value),
            Ok(value) => self.bad(
                format_args!("is {}", units::show_duration(value)),
                format!(
                    "write at least \"{}\" and at most \"{}\"{reason}",
                    units::show_duration(*range.start()),
                    units::show_duration(*range.end()),
                ),
            ),
        }
    }

    /// A size in octets, in `range`; `reason` says why there is a least one.
    pub(super) fn size(&self, range: RangeInclusive<u64>, reason: &str) -> Option<u64> {
        let parsed = match &self.toml {
            DeValue::String(text) => units::size(text),
            DeValue::Integer(number) => Err(units::size_without_unit(number.as_str())),
            _ => return self.wrong_type("a size such as \"8KiB\" or \"64MiB\""),
        };
        match parsed {
            Err(bad) => self.bad(bad.what, bad.mend),
            Ok(value) if range.contains(&value) => Some(value),
            Ok(value) => self.bad(
                format_args!("is {}", units::show_size(value)),
                format!(
                    "write at least \"{}\" and at most \"{}\"{reason}",
                    units::show_size(*range.start()),
                    units::show_size(*range.end()),
                ),
            ),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let DeValue::String(text) = &self.toml else {
            return self.wrong_type(&format!("one of {}", list(&words)));
        };
        match choices.iter().find(|(word, _)| word == text) {
            Some((_, choice)) => Some(*choice),
            None => {
                let mend = match closest(text, &words) {
                    Some(word) => format!("did you mean `{word}`?"),
                    None => format!("write one of {}", list(&words)),
                };
                self.bad(format_args!("is {}", quoted(text)), mend)
            }
        }
    }

    /// A path, absolute from here on.
    pub(super) fn path(&self) -> Option<Located<PathBuf>> {
        let DeValue::String(text) = &self.toml else {
            return self.wrong_type("a path, in quotes");
        };
        if text.is_empty() {
            return self.bad("is empty", "write a path");
        }
        if text.contains('\0') {
            return self.bad("holds a NUL", "write a path without it");
        }
        Some(Located {
            value: self.report.base.join(text.as_ref()),
            at: self.at,
        })
    }

    /// The elements of an array.
    pub(super) fn array(&self, wanted: &str) -> Option<Vec<Value<'r, 't>>> {
        let DeValue::Array(array) = &self.toml else {
            return self.wrong_type(wanted);
        };
        let elements = array.iter().map(|element| Value {
            report: self.report,
            name: format!("an entry of {}", self.name),
            at: element.span().start,
            toml: element.get_ref().clone(),
        });
        Some(elements.collect())
    }

    /// An array of strings; entries that are none are problems and left out.
    pub(super) fn strings(&self, wanted: &str) -> Option<Vec<Located<String>>> {
        let elements = self.array(&format!("an array of strings, such as {wanted}"))?;
        let strings = elements
            .into_iter()
            .filter_map(|element| element.string("a string"));
        Some(strings.collect())
    }

    /// A table, as a section called `name`; "[a.b]" is how it is written.
    pub(super) fn section(self, name: String) -> Option<Section<'r, 't>> {
        let wanted = format!("a table: a line {name} with its keys below");
        self.table(name, &wanted)
    }

    /// A table, as a section called `name`.
    pub(super) fn table(self, name: String, wanted: &str) -> Option<Section<'r, 't>> {
        match self.toml {
            DeValue::Table(table) => Some(Section::new(self.report, name, self.at, table)),
            _ => self.wrong_type(wanted),
        }
    }
}

/// A table whose keys are being taken.
pub(super) struct Section<'r, 't> {
    pub(super) report: &'r Report<'t>,
    /// "[listener.pop3]"
    pub(super) name: String,
    pub(super) at: At,
    left: Vec<Entry<'t>>,
    asked: Vec<&'static str>,
    /// Required keys that are not there, each with a line that would do.
    missing: Vec<(&'static str, String)>,
}

struct Entry<'t> {
    key: DeString<'t>,
    key_at: At,
    /// Where a problem of the value is shown: the value, but for a table its
    /// key, which stands where a person looks.
    at: At,
    toml: DeValue<'t>,
}

impl<'r, 't> Section<'r, 't> {
    pub(super) fn new(
        report: &'r Report<'t>,
        name: String,
        at: At,
        table: DeTable<'t>,
    ) -> Section<'r, 't> {
        let entry = |(key, value): (Spanned<DeString<'t>>, Spanned<DeValue<'t>>)| {
            let key_at = key.span().start;
            let at = match value.get_ref() {
                DeValue::Table(_) => key_at,
                _ => value.span().start,
            };
            Entry {
                key: key.into_inner(),
                key_at,
                at,
                toml: value.into_inner(),
            }
        };
        let mut left: Vec<Entry<'t>> = table.into_iter().map(entry).collect();
        left.sort_by_key(|entry| entry.key_at);
        Section {
            report,
            name,
            at,
            left,
            asked: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// The value of `key`, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'r, 't>> {
        self.asked.push(key);
        let index = self.left.iter().position(|entry| entry.key == key)?;
        let Entry { at, toml, .. } = self.left.remove(index);
        Some(Value {
            report: self.report,
            name: format!("`{key}` in {}", self.name),
            at,
            toml,
        })
    }

    /// The value of `key`; it is a problem if it is not there. `example` is a
    /// line that would do.
    pub(super) fn require(&mut self, key: &'static str, example: &str) -> Option<Value<'r, 't>> {
        let value = self.take(key);
        if value.is_none() {
            self.missing.push((key, example.to_owned()));
        }
        value
    }

    /// The section below `key`; an empty one if it is not there, so that its
    /// keys take their defaults.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'r, 't> {
        let name = match self.name.strip_suffix(']') {
            Some(parent) => format!("{parent}.{key}]"),
            None => format!("[{key}]"),
        };
        self.take(key)
            .and_then(|value| value.section(name.clone()))
            .unwrap_or_else(|| Section::new(self.report, name, self.at, DeTable::new()))
    }

    /// Every key that is there, whatever it is called, in the text's order.
    pub(super) fn rest(mut self) -> Vec<(Located<String>, Value<'r, 't>)> {
        let located = |entry: Entry<'t>| {
            let value = Value {
                report: self.report,
                name: format!("{} in {}", quoted(&entry.key), self.name),
                at: entry.at,
                toml: entry.toml,
            };
            let key = Located {
                value: entry.key.into_owned(),
                at: entry.key_at,
            };
            (key, value)
        };
        std::mem::take(&mut self.left)
            .into_iter()
            .map(located)
            .collect()
    }

    /// Every key that nobody asked for is a problem, and so is every required
    /// one that is not there, unless it is there with a slip of the pen.
    pub(super) fn finish(self) {
        let mut misspelt = Vec::new();
        for Entry { key, key_at, .. } in &self.left {
            misspelt.extend(closest(key, &self.asked));
            let what = format!("unknown key {} in {}", quoted(key), self.name);
            self.report
                .problem(*key_at, what, suggest(key, &self.asked));
        }
        for (key, example) in &self.missing {
            if !misspelt.contains(key) {
                let what = format!("`{key}` is missing in {}", self.name);
                self.report
                    .problem(self.at, what, format!("add: {example}"));
            }
        }
    }
}
