//! What scans of a maildrop's directories leave out, so that no mail is passed over
//! without a word. Knows neither instances nor disks.

use std::collections::BTreeMap;

/// Directories of one maildrop of which that is remembered.
const MAX_DIRECTORIES: usize = 8;
/// Octets of a directory's name that are remembered.
const MAX_NAME_OCTETS: usize = 255;

/// Files of one directory that look like mail and are not in its scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Those whose names are not UTF-8: no text can name them.
    odd_names: u64,
    /// Symbolic links: a file is in a maildrop, or it is not.
    links: u64,
    /// One of them, escaped.
    example: Option<Box<str>>,
}

impl LeftOut {
    pub(crate) fn odd_name(&mut self, name: &[u8]) {
        self.odd_names += 1;
        self.example.get_or_insert_with(|| escaped(name));
    }

    pub(crate) fn link(&mut self, name: &[u8]) {
        self.links += 1;
        self.example.get_or_insert_with(|| escaped(name));
    }
}

fn escaped(name: &[u8]) -> Box<str> {
    name.escape_ascii().to_string().into()
}

/// The same by directories, as they were scanned last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AllLeftOut(BTreeMap<Box<str>, LeftOut>);

impl AllLeftOut {
    /// A directory was scanned.
    pub(crate) fn scanned(&mut self, directory: &str, left_out: LeftOut) {
        let fits = directory.len() <= MAX_NAME_OCTETS;
        if fits && (self.0.len() < MAX_DIRECTORIES || self.0.contains_key(directory)) {
            self.0.insert(directory.into(), left_out);
        }
    }

    /// This, and newer scans of the same maildrop.
    pub(crate) fn with(mut self, newer: &AllLeftOut) -> AllLeftOut {
        for (directory, left_out) in &newer.0 {
            self.scanned(directory, left_out.clone());
        }
        self
    }

    /// All in one, for a log line; none: nothing was left out.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut summary = Summary {
            odd_names: 0,
            links: 0,
            example: String::new(),
        };
        for (directory, left_out) in &self.0 {
            summary.odd_names += left_out.odd_names;
            summary.links += left_out.links;
            if let (Some(example), true) = (&left_out.example, summary.example.is_empty()) {
                summary.example = match &**directory {
                    "" => example.to_string(),
                    _ => format!("{directory}/{example}"),
                };
            }
        }
        (!summary.example.is_empty()).then_some(summary)
    }

    /// Octets that it holds, more or less.
    pub(crate) fn bytes(&self) -> usize {
        let directories = self.0.iter().map(|(directory, left_out)| {
            let example = left_out.example.as_ref().map_or(0, |example| example.len());
            size_of::<(Box<str>, LeftOut)>() + directory.len() + example
        });
        directories.sum()
    }
}

/// What was left out of a maildrop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) odd_names: u64,
    pub(crate) links: u64,
    /// The path of one of them, with octets that are no ASCII escaped.
    pub(crate) example: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_summed_up_as_it_was_seen_last() {
        let mut all = AllLeftOut::default();
        assert_eq!(all.summary(), None);
        let mut new = LeftOut::default();
        new.odd_name(b"1.\xff");
        new.link(b"2.a");
        all.scanned("new", new.clone());
        all.scanned("cur", LeftOut::default());
        let expected = Summary {
            odd_names: 1,
            links: 1,
            example: "new/1.\\xff".to_owned(),
        };
        assert_eq!(all.summary(), Some(expected));
        // Mended since, in the one; in the other one came.
        let mut newer = AllLeftOut::default();
        newer.scanned("new", LeftOut::default());
        assert_eq!(all.clone().with(&newer).summary(), None);
        newer.scanned("cur", new);
        let summary = all.with(&newer).summary();
        let summary = summary.map(|summary| (summary.odd_names, summary.example));
        assert_eq!(summary, Some((1, "cur/1.\\xff".to_owned())));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut all = AllLeftOut::default();
        for number in 0..1000 {
            all.scanned(&number.to_string(), LeftOut::default());
        }
        all.scanned(&"x".repeat(5000), LeftOut::default());
        assert!(all.bytes() < 1000, "{}", all.bytes());
    }
}
