//! A walker over parsed TOML that keeps places and never stops at a problem.
//!
//! From a [`Section`] keys are taken one by one with getters that know types
//! and record what is wrong; what is left over when it is finished is unknown.
//! The keys that were asked for are the keys there are: nothing lists them twice.

use std::cell::{Ref, RefCell};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::disk::{self, Disk, Trouble, Wanted};
use super::keys::{Key, Kind, Table};
use super::model::{Absent, Owner};
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

/// One file of the configuration: its text stands behind those of the files before
/// it, so that an octet's place among all of them says where it is.
struct Source<'t> {
    begins: At,
    lines: Lines<'t>,
    file: PathBuf,
    /// Relative paths start here; absolute.
    base: PathBuf,
}

/// What was found wrong so far, and what is needed to say so.
pub(super) struct Report<'t> {
    /// The main file, then those that it includes.
    sources: RefCell<Vec<Source<'t>>>,
    pub(super) disk: Disk,
    /// Whose files are being looked at; None: the server's.
    owner: RefCell<Option<Owner>>,
    problems: RefCell<Vec<(At, Problem)>>,
    absent: RefCell<Vec<(At, Absent)>>,
    warnings: RefCell<Vec<(At, Problem)>>,
    /// What a reload cannot change, by the keys' names: the values as they count.
    fixed: RefCell<Vec<(String, String)>>,
}

/// What was found while reading, each in the order of the text.
pub(super) struct Found {
    /// What is wrong with the text, and with the server's own files.
    pub(super) problems: Vec<(At, Problem)>,
    /// Files of plugins and tenants that are not there.
    pub(super) absent: Vec<(At, Absent)>,
    pub(super) warnings: Vec<(At, Problem)>,
    /// What takes a restart, by the keys' names.
    pub(super) fixed: Vec<(String, String)>,
}

impl<'t> Report<'t> {
    /// Of the main file; relative paths in it start at `base`.
    pub(super) fn new(text: &'t str, file: &Path, base: PathBuf, disk: Disk) -> Self {
        let report = Report {
            sources: RefCell::default(),
            disk,
            owner: RefCell::default(),
            problems: RefCell::default(),
            absent: RefCell::default(),
            warnings: RefCell::default(),
            fixed: RefCell::default(),
        };
        report.add_source(text, file, base);
        report
    }

    /// Adds an included file, and says where its text begins.
    pub(super) fn add_source(&self, text: &'t str, file: &Path, base: PathBuf) -> At {
        let mut sources = self.sources.borrow_mut();
        // One octet apart: the end of a text is not the beginning of the next.
        let begins = sources
            .last()
            .map_or(0, |last| last.begins + last.lines.octets() + 1);
        sources.push(Source {
            begins,
            lines: Lines::of(text),
            file: file.to_owned(),
            base,
        });
        begins
    }

    /// All files, the main one first.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let sources = self.sources.borrow();
        sources.iter().map(|source| source.file.clone()).collect()
    }

    /// Which file's this place is.
    fn source(&self, at: At) -> Ref<'_, Source<'t>> {
        let index = self.index(at);
        Ref::map(self.sources.borrow(), |sources| &sources[index])
    }

    fn index(&self, at: At) -> usize {
        let sources = self.sources.borrow();
        // The first begins at 0, so at least one begins at or before `at`.
        sources.partition_point(|source| source.begins <= at) - 1
    }

    fn entry(&self, at: Option<At>, what: String, mend: String) -> (At, Problem) {
        let problem = Problem {
            file: self.source(at.unwrap_or(0)).file.clone(),
            place: at.map(|at| self.place(at)),
            what,
            mend: Some(mend),
        };
        (at.unwrap_or(At::MAX), problem)
    }

    /// Records a problem of an included file as a whole, where it is named.
    pub(super) fn problem_of(&self, at: At, problem: Problem) {
        self.problems.borrow_mut().push((at, problem));
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

    /// File, line and column of a place, for those who speak of it later.
    pub(super) fn place(&self, at: At) -> Place {
        let source = self.source(at);
        Place {
            file: self.index(at),
            ..source.lines.place(at - source.begins)
        }
    }

    /// Where `at` is, to point at it from another place: "line 3", with the file
    /// where it is another one.
    pub(super) fn seen_from(&self, from: At, at: At) -> String {
        let place = self.place(at);
        match self.index(from) == place.file {
            true => format!("line {}", place.line),
            false => format!("{}, line {}", self.source(at).file.display(), place.line),
        }
    }

    /// Relative paths that stand at `at` start here.
    pub(super) fn base(&self, at: At) -> PathBuf {
        self.source(at).base.clone()
    }

    /// Everything that was recorded.
    pub(super) fn into_found(self) -> Found {
        fn sorted<T>(list: RefCell<Vec<(At, T)>>) -> Vec<(At, T)> {
            let mut list = list.into_inner();
            list.sort_by_key(|(at, _)| *at);
            list
        }
        Found {
            problems: sorted(self.problems),
            absent: sorted(self.absent),
            warnings: sorted(self.warnings),
            fixed: {
                let mut fixed = self.fixed.into_inner();
                fixed.sort();
                fixed
            },
        }
    }

    /// From here on files are this plugin's or tenant's, or the server's own.
    pub(super) fn files_of(&self, owner: Option<Owner>) {
        *self.owner.borrow_mut() = owner;
    }

    /// Looks at a path and records what is wrong with it. `role` is what the
    /// message calls it. False: it is of no use. A file of a plugin or a tenant
    /// is what it is: the server may do without its owner.
    pub(super) fn check_path(&self, role: &str, path: &Located<PathBuf>, wanted: Wanted) -> bool {
        let Err(trouble) = (self.disk.look)(&path.value, wanted) else {
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
        match self.owner.borrow().clone() {
            Some(owner) => {
                let (at, problem) = self.entry(Some(path.at), what, mend.into());
                let absent = Absent {
                    owner,
                    path: path.value.clone(),
                    problem,
                };
                self.absent.borrow_mut().push((at, absent));
                true
            }
            None => {
                self.problem(path.at, what, mend);
                false
            }
        }
    }
}

/// One TOML value on its way to a type.
pub(super) struct Value<'r, 't> {
    report: &'r Report<'t>,
    /// "`address` in [listener.pop3]"
    pub(super) name: String,
    pub(super) at: At,
    /// Where its file's text begins.
    begins: At,
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
            value: self.report.base(self.at).join(text.as_ref()),
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
            at: self.begins + element.span().start,
            begins: self.begins,
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
            DeValue::Table(table) => {
                Some(Section::new(self.report, name, self.at, table, self.begins))
            }
            _ => self.wrong_type(wanted),
        }
    }
}

/// A table whose keys are being taken.
pub(super) struct Section<'r, 't> {
    pub(super) report: &'r Report<'t>,
    /// The keys that it may have, where they are data.
    table: Option<&'static Table>,
    /// "[listener.pop3]"
    pub(super) name: String,
    pub(super) at: At,
    /// Where its file's text begins.
    begins: At,
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
        begins: At,
    ) -> Section<'r, 't> {
        let entry = |(key, value): (Spanned<DeString<'t>>, Spanned<DeValue<'t>>)| {
            let key_at = begins + key.span().start;
            let at = match value.get_ref() {
                DeValue::Table(_) => key_at,
                _ => begins + value.span().start,
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
            table: None,
            name,
            at,
            begins,
            left,
            asked: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// The same, with the keys of this table.
    pub(super) fn with(self, table: &'static Table) -> Self {
        Section {
            table: Some(table),
            ..self
        }
    }

    /// A key of the section's table.
    fn key(&self, name: &str) -> &'static Key {
        let table = self
            .table
            .expect("a reader that asks for ranges has said which keys there are");
        table.key(name)
    }

    /// A whole number in its key's range; or its default.
    pub(super) fn count(&mut self, name: &'static str) -> u32 {
        let key = self.key(name);
        let given = self.given_count(name);
        given.or_else(|| key.default_count()).unwrap_or_default()
    }

    /// The same without a default.
    pub(super) fn given_count(&mut self, name: &'static str) -> Option<u32> {
        let Kind::Count(least, most) = self.key(name).kind else {
            unreachable!("{name} is asked for as a number");
        };
        self.take(name)?.count(least..=most)
    }

    /// A duration in its key's range; or its default.
    pub(super) fn duration(&mut self, name: &'static str) -> Duration {
        let key = self.key(name);
        let given = self.given_duration(name);
        given.or_else(|| key.default_duration()).unwrap_or_default()
    }

    /// The same without a default.
    pub(super) fn given_duration(&mut self, name: &'static str) -> Option<Duration> {
        let Kind::Duration(least, most, source) = self.key(name).kind else {
            unreachable!("{name} is asked for as a duration");
        };
        let range = Duration::from_millis(least)..=Duration::from_millis(most);
        self.take(name)?.duration(range, &in_parentheses(source))
    }

    /// A size in octets, in its key's range; or its default.
    pub(super) fn size(&mut self, name: &'static str) -> u64 {
        let key = self.key(name);
        let given = self.given_size(name);
        given.or_else(|| key.default_size()).unwrap_or_default()
    }

    /// The same without a default.
    pub(super) fn given_size(&mut self, name: &'static str) -> Option<u64> {
        let Kind::Size(least, most, source) = self.key(name).kind else {
            unreachable!("{name} is asked for as a size");
        };
        self.take(name)?.size(least..=most, &in_parentheses(source))
    }

    /// Whether; or its default.
    pub(super) fn boolean(&mut self, name: &'static str) -> bool {
        let key = self.key(name);
        let given = self.take(name).and_then(|value| value.boolean());
        given.unwrap_or(key.default_text() == Some("true"))
    }

    /// Whether this key is there, before it is taken.
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.iter().any(|entry| entry.key == name)
    }

    /// Where its value is, before it is taken; else where the section is.
    pub(super) fn at_of(&self, name: &str) -> At {
        let entry = self.left.iter().find(|entry| entry.key == name);
        entry.map_or(self.at, |entry| entry.at)
    }

    /// Records that the value of a key, which stands at `at`, is not fit, and why.
    pub(super) fn bad_at(&self, at: At, name: &str, what: impl Display, mend: &str) {
        let what = format!("`{name}` in {} {what}", self.name);
        self.report.problem(at, what, mend);
    }

    /// Notes the value of a key that a reload cannot change.
    fn note_fixed(&self, name: &str) {
        // Sections below this one are no keys of its table.
        let Some(key) = self.table.and_then(|table| table.find(name)) else {
            return;
        };
        if key.restart {
            let given = self.left.iter().find(|entry| entry.key == name);
            let text = match given {
                Some(entry) => as_it_counts(key, &entry.toml),
                None => key.default_text().unwrap_or_default().to_owned(),
            };
            let name = format!("{} {name}", self.name);
            self.report.fixed.borrow_mut().push((name, text));
        }
    }

    /// The value of `key`, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'r, 't>> {
        self.asked.push(key);
        self.note_fixed(key);
        let index = self.left.iter().position(|entry| entry.key == key)?;
        let Entry { at, toml, .. } = self.left.remove(index);
        Some(Value {
            report: self.report,
            name: format!("`{key}` in {}", self.name),
            at,
            begins: self.begins,
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
            .unwrap_or_else(|| {
                Section::new(self.report, name, self.at, DeTable::new(), self.begins)
            })
    }

    /// Every key that is there, whatever it is called, in the text's order.
    pub(super) fn rest(mut self) -> Vec<(Located<String>, Value<'r, 't>)> {
        let located = |entry: Entry<'t>| {
            let value = Value {
                report: self.report,
                name: format!("{} in {}", quoted(&entry.key), self.name),
                at: entry.at,
                begins: self.begins,
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
            if let Some(new) = self.table.and_then(|table| table.renamed(key)) {
                let what = format!("{} in {} has another name now", quoted(key), self.name);
                self.report.problem(*key_at, what, format!("write `{new}`"));
                continue;
            }
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

/// Why there is a least value, behind it.
fn in_parentheses(source: &str) -> String {
    match source {
        "" => String::new(),
        source => format!(" ({source})"),
    }
}

/// A value in one spelling of all that mean the same.
fn as_it_counts(key: &Key, value: &DeValue<'_>) -> String {
    match (&key.kind, value) {
        (Kind::Duration(..), DeValue::String(text)) => {
            let shown = units::duration(text).map(units::show_duration);
            shown.map_or_else(|_| text.to_string(), |shown| format!("\"{shown}\""))
        }
        (Kind::Size(..), DeValue::String(text)) => {
            let shown = units::size(text).map(units::show_size);
            shown.map_or_else(|_| text.to_string(), |shown| format!("\"{shown}\""))
        }
        (_, DeValue::String(text)) => format!("\"{text}\""),
        (_, DeValue::Integer(number)) => {
            let digits = i128::from_str_radix(number.as_str(), number.radix());
            digits.map_or_else(|_| number.to_string(), |number| number.to_string())
        }
        (_, DeValue::Boolean(value)) => value.to_string(),
        (_, DeValue::Array(array)) => {
            let entries = array.iter().map(|entry| as_it_counts(key, entry.get_ref()));
            format!("[{}]", entries.collect::<Vec<_>>().join(", "))
        }
        // No key that takes a restart is one of these: its reader has refused them.
        (_, DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_)) => String::new(),
    }
}

/// What a reader makes of a section that says nothing.
pub(super) fn without_a_word<T>(
    table: &'static Table,
    read: impl FnOnce(Section<'_, '_>) -> T,
) -> T {
    let report = Report::new("", Path::new(""), PathBuf::new(), disk::ALONE);
    let section = Section::new(&report, table.section.into(), 0, DeTable::new(), 0);
    read(section.with(table))
}
