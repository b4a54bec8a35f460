//! What the host keeps for us beside a listing, to be told what has changed
//! since: the directories' times, and the names of those that have few files.

use std::fmt::Write;

use crate::scan::{Look, Message, Place, Times};

/// Octets that the files of one directory take at most; a host keeps 64 KiB in all.
const NAMES_OCTETS: usize = 30 * 1024;
/// Of them for each file beside its name: the digits of a u64, and what separates.
const BESIDE_OCTETS: usize = 22;

/// A file that was listed: its name, and its number in the directory.
pub(crate) type Known = (String, u64);

/// What a listing was made of. As text it has a "/" behind each field, which no
/// file's name has in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Memo {
    pub(crate) messages: usize,
    /// Messages that came since the index was looked at.
    pub(crate) unsaved: usize,
    /// None: too fresh to be trusted.
    pub(crate) times: [Option<Times>; 2],
    /// By name; none: too many.
    pub(crate) names: [Option<Vec<Known>>; 2],
}

impl Memo {
    /// None where changes could not be told: of messages that it takes more than their
    /// names to tell apart.
    pub(crate) fn of(look: &Look, messages: &[Message<'_>]) -> Option<Memo> {
        let memo = Memo {
            messages: messages.len(),
            unsaved: 0,
            times: look.stamp.trusted_times(),
            names: [Some(Vec::new()), Some(Vec::new())],
        };
        memo.with(messages)
    }

    /// The same with the names of more messages, as far as there is room. None as
    /// for [`Memo::of`].
    pub(crate) fn with(mut self, messages: &[Message<'_>]) -> Option<Memo> {
        let octets_of = |name: &str| name.len() + BESIDE_OCTETS;
        let mut octets = Place::ALL.map(|place| {
            let names = self.names[place.at()].iter().flatten();
            names.map(|(name, _)| octets_of(name)).sum::<usize>()
        });
        for message in messages {
            if !message.is_plain() {
                return None;
            }
            let first = &message.first;
            let at = first.place.at();
            octets[at] += octets_of(first.name);
            if octets[at] > NAMES_OCTETS {
                self.names[at] = None;
            }
            if let Some(names) = &mut self.names[at] {
                names.push((first.name.to_owned(), first.identity));
            }
        }
        for names in self.names.iter_mut().flatten() {
            names.sort_unstable();
        }
        Some(self)
    }

    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let _ = write!(text, "{}/{}/", self.messages, self.unsaved);
        for place in Place::ALL {
            if let Some(Times { modified, made }) = self.times[place.at()] {
                let _ = write!(text, "{modified},{made}");
            }
            text.push('/');
            let Some(names) = &self.names[place.at()] else {
                text.push('/');
                continue;
            };
            let _ = write!(text, "{}/", names.len());
            for (name, identity) in names {
                let _ = write!(text, "{name}/{identity}/");
            }
        }
        text
    }

    pub(crate) fn parse(text: &str) -> Option<Memo> {
        let mut fields = text.split_terminator('/');
        let mut memo = Memo {
            messages: fields.next()?.parse().ok()?,
            unsaved: fields.next()?.parse().ok()?,
            ..Memo::default()
        };
        for place in Place::ALL {
            memo.times[place.at()] = match fields.next()? {
                "" => None,
                times => {
                    let (modified, made) = times.split_once(',')?;
                    Some(Times {
                        modified: modified.parse().ok()?,
                        made: made.parse().ok()?,
                    })
                }
            };
            memo.names[place.at()] = match fields.next()? {
                "" => None,
                count => Some(
                    (0..count.parse().ok()?)
                        .map(|_: usize| {
                            let name = fields.next()?.to_owned();
                            Some((name, fields.next()?.parse().ok()?))
                        })
                        .collect::<Option<_>>()?,
                ),
            };
        }
        fields.next().is_none().then_some(memo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_is_read_as_it_was_written_and_nothing_else_is() {
        let memo = Memo {
            messages: 5,
            unsaved: 2,
            times: [
                Some(Times {
                    modified: 3,
                    made: 4,
                }),
                None,
            ],
            names: [
                None,
                Some(vec![("1.a,\n".into(), 7), ("2".into(), u64::MAX)]),
            ],
        };
        let text = memo.render();
        assert_eq!(Memo::parse(&text).as_ref(), Some(&memo));
        assert_eq!(
            Memo::parse(&Memo::default().render()),
            Some(Memo::default())
        );
        for end in 0..text.len() - 1 {
            assert_ne!(Memo::parse(&text[..end]).as_ref(), Some(&memo), "{end}");
        }
        assert_eq!(Memo::parse(&format!("{text}x/")), None);
        assert_eq!(Memo::parse("5/2//9999999999999//"), None);
    }
}
