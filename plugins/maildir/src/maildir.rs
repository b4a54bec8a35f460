//! The maildrop itself: lists, finds and removes messages below one directory.
//!
//! A message's *name*, which the host hands back, is `SIZE/PATH`, with further
//! names of the same file behind `//`: enough to find it again, wherever another program
//! moved it, without any memory of the listing. Where other files have the same base
//! name it is `SIZE=IDENTITY/PATH`, and the path is not trusted: another one of them may
//! have taken its place. `SIZE?OCTETS` in place of `SIZE` is a file that could not be read
//! when it was listed, with so many octets.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use restante_guest::files::{Kind, PACKING_OCTETS, packing, reason};
use restante_guest::maildir;
use restante_guest::prelude::*;

use crate::duplicates;
use crate::index::{self, Entry, Index};
use crate::measure::{CHANGED_PART, Measured, Scales};
use crate::memo::{Known, Memo};
use crate::name;
use crate::removal::Removal;
use crate::scan::{self, Files, Found, Located, Look, Message, Place, Scan, Stamp, Times};
use crate::seen;

/// Between the paths of a name; no path has it.
const AND: &str = "//";
/// Times that the maildrop is gone over again because messages moved away
/// while they were measured or removed.
const RETRIES: u32 = 2;
/// New files that are told as changes at most: more are listed with the help of
/// the index.
const CAME: usize = 64;
/// Messages that may come one by one, beside one [`CHANGED_PART`] of the
/// maildrop, before the index has to learn of them.
const UNSAVED: usize = 16;
/// Files that are no mail and are logged one by one.
const LOGGED: usize = 5;

/// A Maildir.
pub(crate) struct Maildir<F> {
    root: PathBuf,
    files: F,
    /// Of the directories as they were listed.
    listed: Option<Stamp>,
    /// What was found when a message was not in its place.
    scan: Option<Scan>,
    /// The name of the message whose content was asked for last.
    asked: Option<String>,
    /// The index was wrong, and has been told so.
    has_doubted: bool,
    /// Whether a directory's time tells that nothing has changed in it.
    trusts_times: bool,
    /// Messages that were asked for and are no mail.
    packed: usize,
    /// Whether messages that are asked for are marked as seen.
    marks_seen: bool,
    /// Where those are that it has marked, by their names.
    moved: BTreeMap<String, String>,
    /// One could not be marked, and that has been told.
    has_complained: bool,
}

/// A message's name, taken apart.
struct Name<'a> {
    size: u64,
    /// What its listing says, if that is a guess.
    guessed: Option<u64>,
    /// The file's number in its directory; none: its base name is no other's.
    identity: Option<u64>,
    paths: &'a str,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Result<Name<'a>, Failure> {
        let parse = || {
            let (numbers, paths) = name.split_once('/')?;
            let (size, identity) = match numbers.split_once('=') {
                Some((size, identity)) => (size, Some(identity.parse().ok()?)),
                None => (numbers, None),
            };
            let (size, guessed) = match size.split_once('?') {
                Some((size, octets)) => (size, Some(octets.parse().ok()?)),
                None => (size, None),
            };
            let size = size.parse().ok()?;
            Some(Name {
                size,
                guessed,
                identity,
                paths,
            })
        };
        parse().ok_or_else(|| Failure::permanent("there is no such message"))
    }

    fn paths(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.paths.split(AND)
    }

    /// The unique-id that its base name tells.
    fn unique_id(&self) -> String {
        let first = self.paths().next().unwrap_or_default();
        let name = first.split_once('/').map_or("", |(_, name)| name);
        name::unique_id(name).into_owned()
    }

    /// Whether a file of its base name is it, as far as the directory tells.
    fn may_be(&self, file: &Located) -> bool {
        self.identity
            .is_none_or(|identity| identity == file.identity)
    }
}

impl<F: Files> Maildir<F> {
    pub(crate) fn new(root: PathBuf, files: F) -> Maildir<F> {
        Maildir {
            root,
            files,
            listed: None,
            scan: None,
            asked: None,
            has_doubted: false,
            trusts_times: true,
            packed: 0,
            marks_seen: false,
            moved: BTreeMap::new(),
            has_complained: false,
        }
    }

    /// Goes through the directories each time, whatever their times say.
    pub(crate) fn without_times(mut self) -> Maildir<F> {
        self.trusts_times = false;
        self
    }

    /// Marks each message that is asked for as seen.
    pub(crate) fn marking_seen(mut self) -> Maildir<F> {
        self.marks_seen = true;
        self
    }

    /// What of a directory's times may stand for what is in it.
    fn known<'a>(&self, times: &'a [Option<Times>; 2]) -> &'a [Option<Times>; 2] {
        match self.trusts_times {
            true => times,
            false => &[None; 2],
        }
    }

    /// See [`Maildrop::stamp`]. Nothing that changed since it was listed is
    /// vouched for. Whether the directories are too fresh to tell a change is for the
    /// host to see, which knows what the stamp was made of: it need not ask again as
    /// long as they are as they were, if the time has no part in it.
    pub(crate) fn stamp(&self) -> Result<Option<String>, Failure> {
        if !self.trusts_times {
            return Ok(None);
        }
        let times = Stamp::times_of(&self.root).map_err(unreadable)?;
        Ok(match &self.listed {
            None => Some(scan::text(&times)),
            Some(listed) if listed.times == times => listed.trusted(),
            Some(_) => None,
        })
    }

    pub(crate) fn listing(&mut self) -> Result<Listing, Failure> {
        let index = Index::load(&self.root);
        let mut scales = Scales::new(&self.root, &self.files, &index);
        let mut retries = RETRIES;
        loop {
            let known = self.known(index.times());
            let look = Look::take(&self.root, &self.files, known).map_err(unreadable)?;
            let mut messages = look.files(&self.root, &index);
            let settled = duplicates::settle(&self.root, &mut messages);
            let measured = match scales.weigh_all(&mut messages) {
                Measured::All if settled.some_gone => Measured::SomeGone,
                measured => measured,
            };
            match measured {
                // Gone is deleted, or moved: then it has to be looked for.
                Measured::SomeGone if retries > 0 => {
                    retries -= 1;
                    continue;
                }
                Measured::SomeGone => {
                    log::warn!(
                        "the maildrop changes all the time, and part of it is no listing: see which program renames its files"
                    );
                    return Err(Failure::temporary("the maildrop is being changed"));
                }
                Measured::All => {}
                Measured::OutOfTime => {
                    log::warn!("measuring the maildrop goes on at the next login");
                    return Err(Failure::temporary(
                        "a large maildrop is opened for the first time, try again soon",
                    ));
                }
                Measured::Failed => {
                    return Err(Failure::temporary("the maildrop cannot be read"));
                }
            }
            let memo = Memo::of(&look, &messages);
            // The index has one name of a file.
            let has_links = messages.iter().any(|message| !message.links.is_empty());
            let is_whole = !has_links;
            let is_known = is_whole && scales.is_all_known();
            scales.close(&look, &messages, is_whole, settled.has_new_ids);
            let mut listing = oldest_first(messages);
            if let Some(memo) = memo.filter(|_| is_known) {
                listing.set_memo(memo.render());
            }
            self.listed = Some(look.stamp);
            return Ok(listing);
        }
    }

    /// See [`Maildrop::changes`]. None also where a whole listing, with the index,
    /// is the cheaper way or the surer one.
    pub(crate) fn changes(&mut self, memo: &str) -> Result<Option<Changes>, Failure> {
        let Some(mut memo) = Memo::parse(memo) else {
            return Ok(None);
        };
        let now = Stamp::of(&self.root, SystemTime::now()).map_err(unreadable)?;
        let can_tell = |place: Place| {
            let at = place.at();
            memo.names[at].is_some() || self.known(&memo.times)[at] == Some(now.times[at])
        };
        if !Place::ALL.into_iter().all(can_tell) {
            return Ok(None);
        }
        let known = self.known(&memo.times);
        let look = Look::take(&self.root, &self.files, known).map_err(unreadable)?;
        let Some((gone, mut messages)) = differences(&look, &mut memo) else {
            return Ok(None);
        };
        let unsaved = memo.unsaved + messages.len();
        if messages.len() > CAME || unsaved > UNSAVED + memo.messages / CHANGED_PART {
            return Ok(None);
        }
        if messages
            .windows(2)
            .any(|pair| pair[0].first.unique_id == pair[1].first.unique_id)
        {
            return Ok(None);
        }
        let mut scales = Scales::for_few(&self.root, &self.files);
        if scales.weigh_all(&mut messages) != Measured::All || !scales.is_all_known() {
            return Ok(None);
        }
        memo.messages = (memo.messages + messages.len()).saturating_sub(gone.len());
        memo.unsaved = unsaved;
        memo.times = look.stamp.trusted_times();
        let Some(memo) = memo.with(&messages) else {
            return Ok(None);
        };
        let mut came = oldest_first(messages);
        came.set_memo(memo.render());
        let mut changes = Changes::new(came);
        for unique_id in gone {
            changes.push_gone(unique_id);
        }
        self.listed = Some(look.stamp);
        Ok(Some(changes))
    }

    /// The path of a message's file, for the host to open.
    ///
    /// It is nearly always where it was listed, and the host finds out by itself
    /// whether it is there and can be what was listed: the first answer is given
    /// without a look for it. If the host asks for the same message once more, it was
    /// not there.
    pub(crate) fn content(&mut self, name: &str) -> Result<String, Failure> {
        let parsed = Name::parse(name)?;
        let path = if self.asked.as_deref() == Some(name) || parsed.identity.is_some() {
            self.locate(name)?
        } else {
            self.asked = Some(name.to_owned());
            let moved = self.moved.get(name).map(String::as_str);
            let path = moved.or_else(|| parsed.paths().next());
            path.unwrap_or_default().to_owned()
        };
        if let Some(octets) = parsed.guessed {
            self.expect_readable(&path, octets)?;
        }
        self.expect_mail(&path, parsed.size)?;
        Ok(match self.marks_seen && parsed.paths().count() == 1 {
            true => self.mark_seen(name, path),
            false => path,
        })
    }

    /// Marks a message as seen, and says where it is then. It is served all the same if
    /// that cannot be done.
    fn mark_seen(&mut self, name: &str, path: String) -> String {
        match seen::mark(&self.root, &path) {
            Ok(Some(seen)) => {
                self.moved.insert(name.to_owned(), seen.clone());
                seen
            }
            Ok(None) => path,
            Err(error) => {
                if !std::mem::replace(&mut self.has_complained, true) {
                    let reason = reason(&error);
                    log::warn!("{path:?} cannot be marked as seen, and perhaps others: {reason}");
                }
                path
            }
        }
    }

    /// Refuses a file that could not be read when it was listed with so many octets, and
    /// cannot be now, or has others.
    fn expect_readable(&self, path: &str, octets: u64) -> Result<(), Failure> {
        let problem = match self.files.measure(path) {
            Ok(Some(weight)) if weight.octets == octets => return Ok(()),
            // Which one it is the host finds out, or the next listing.
            Ok(None) => return Ok(()),
            Ok(Some(_)) => {
                return Err(Failure::temporary(
                    "the message can be read again, at the next login",
                ));
            }
            Err(problem) => problem,
        };
        log::error!(
            "{path:?} cannot be read, RETR of it is [SYS/TEMP]: {problem}; check the mode of the file and the disk"
        );
        Err(Failure::temporary("the message cannot be read now"))
    }

    /// Refuses a file that some mail program has compressed or encrypted. A file that
    /// has the size which its name tells is as it was delivered, and is not looked at.
    fn expect_mail(&mut self, path: &str, size: u64) -> Result<(), Failure> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_as_delivered = maildir::delivered_octets(name) == Some(size);
        if is_as_delivered && !maildir::flags(name).contains('Z') {
            return Ok(());
        }
        // What cannot be read the host finds out.
        let Ok(Some(beginning)) = files::read(self.root.join(path), 0, PACKING_OCTETS) else {
            return Ok(());
        };
        let Some(format) = packing(&beginning.octets) else {
            return Ok(());
        };
        self.packed += 1;
        if self.packed <= LOGGED {
            log::warn!(
                "{path:?} is no mail but {format}, and is refused: this server does not unpack \
                 it. Unpack it, and have mail stored as it is"
            );
        }
        Err(Failure::temporary(format!(
            "the message is stored in a form that this server cannot read ({format})"
        )))
    }

    /// The path of a message's file, as it is now.
    pub(crate) fn locate(&mut self, name: &str) -> Result<String, Failure> {
        let moved = self.moved.get(name).cloned();
        let name = Name::parse(name)?;
        let mut changed = false;
        let listed = moved.as_deref().into_iter().chain(name.paths());
        for path in listed.filter(|_| name.identity.is_none()) {
            if let Ok(Some(about)) = files::stat(self.root.join(path))
                && about.kind == Kind::File
            {
                if about.size == name.size {
                    self.doubt(&name, Some(about.modified));
                    return Ok(path.to_owned());
                }
                changed = true;
            }
        }
        let root = self.root.clone();
        let is_it = |file: &&Located| {
            let status = files::stat(root.join(&file.path));
            name.may_be(file) && matches!(status, Ok(Some(status)) if status.size == name.size)
        };
        let found = self.scan()?.files_of(&name.unique_id()).find(is_it);
        if let Some(found) = found {
            return Ok(found.path.clone());
        }
        self.doubt(&name, None);
        Err(Failure::temporary(if changed {
            "the message was changed by another program"
        } else {
            "the message is gone: another program has removed it"
        }))
    }

    /// A message is not as it was listed, or somebody thinks so. If the index says
    /// otherwise it is wrong: the next listing is to look at every directory, and at
    /// this message. `modified`: when its file was; none: it is not there.
    fn doubt(&mut self, name: &Name<'_>, modified: Option<u64>) {
        if std::mem::replace(&mut self.has_doubted, true) {
            return;
        }
        let index = Index::load(&self.root);
        let unique_id = name.unique_id();
        let is_it = |entry: &Entry<'_>| match name.identity {
            None => entry.unique_id == unique_id,
            Some(identity) => {
                entry.record.identity == identity && name::unique_id(entry.name) == unique_id
            }
        };
        let Some(entry) = index.entries().find(is_it) else {
            return;
        };
        if modified == Some(entry.record.modified) {
            return;
        }
        let rest = index.entries().filter(|entry| !is_it(entry));
        if let Err(error) = index::write(&self.root, &[None; 2], rest) {
            log::warn!("{} cannot be written: {}", index::FILE, reason(&error));
        }
    }

    /// The files as they are now; not looked for again while nothing changed.
    fn scan(&mut self) -> Result<&Scan, Failure> {
        let now = Stamp::of(&self.root, SystemTime::now()).map_err(unreadable)?;
        let is_current = |scan: &Scan| {
            self.trusts_times && scan.stamp.is_same(&now) && scan.stamp.trusted().is_some()
        };
        let scan = match self.scan.take() {
            Some(scan) if is_current(&scan) => scan,
            _ => Scan::take(&self.root, &self.files).map_err(unreadable)?,
        };
        Ok(self.scan.insert(scan))
    }

    /// Removes what is named, tries everything, and makes it last.
    pub(crate) fn remove(&mut self, names: &[String]) -> Result<(), Failure> {
        let mut removal = Removal::new(&self.root);
        let mut lost = Vec::new();
        for name in names {
            let moved = self.moved.get(name);
            let Ok(name) = Name::parse(name) else {
                removal.fail(name, io::ErrorKind::InvalidInput.into());
                continue;
            };
            let paths: Vec<&str> = match moved {
                Some(path) => vec![path],
                None => name.paths().collect(),
            };
            if name.identity.is_some() || !removal.unlink_all(&paths, name.size) {
                lost.push(name);
            }
        }
        for _ in 0..=RETRIES {
            if lost.is_empty() {
                break;
            }
            let scan = match Scan::take(&self.root, &self.files) {
                Ok(scan) => scan,
                Err(problem) => {
                    removal.fail(".", io::Error::other(problem));
                    break;
                }
            };
            // What is not found any more was removed by somebody else.
            lost.retain(|name| match self.paths_of(name, &scan) {
                Ok(paths) => !paths.is_empty() && !removal.unlink_all(&paths, name.size),
                Err(error) => {
                    removal.fail(name.paths, error);
                    false
                }
            });
        }
        if let Some(name) = lost.first() {
            removal.fail(name.paths, io::Error::other("the message keeps moving"));
        }
        removal.finish()
    }

    /// Where a message's file is, by all its names. An error: it cannot be told from
    /// another file that has the same base name now.
    fn paths_of<'a>(&self, name: &Name<'_>, scan: &'a Scan) -> io::Result<Vec<&'a str>> {
        let mut paths = Vec::new();
        let mut first = None;
        for file in scan.files_of(&name.unique_id()) {
            let found = files::stat(self.root.join(&file.path)).map_err(io::Error::other)?;
            let Some(status) = found.filter(|status| status.size == name.size) else {
                continue;
            };
            if !name.may_be(file) {
                continue;
            }
            if *first.get_or_insert(status) != status {
                let text = format!("{:?} and {:?} have the same base name", paths[0], file.path);
                return Err(io::Error::other(text));
            }
            paths.push(file.path.as_str());
        }
        Ok(paths)
    }
}

fn unreadable(problem: String) -> Failure {
    log::error!("the maildrop cannot be read: {problem}");
    Failure::temporary("the maildrop cannot be read")
}

/// Which messages of the directories that were scanned are gone, by their
/// unique-ids, and which files are new. Takes both out of the memo's names, whose
/// place those that were found now take. None: the memo has no names there.
fn differences<'a>(look: &'a Look, memo: &mut Memo) -> Option<(Vec<String>, Vec<Message<'a>>)> {
    let (mut gone, mut came) = (Vec::new(), Vec::new());
    for place in Place::ALL {
        let Some(names) = &look.names[place.at()] else {
            continue;
        };
        let mut left: Vec<Known> = Vec::new();
        let mut known = memo.names[place.at()].take()?.into_iter().peekable();
        for (name, identity) in names.iter() {
            while let Some((missing, _)) = known.next_if(|(known, _)| known.as_str() < name) {
                gone.push(name::unique_id(&missing).into_owned());
            }
            match known.next_if(|(known, _)| known == name) {
                Some(same) if same.1 == identity => left.push(same),
                other => {
                    gone.extend(other.map(|(name, _)| name::unique_id(&name).into_owned()));
                    came.push(Found::new(place, name, identity).into());
                }
            }
        }
        gone.extend(known.map(|(name, _)| name::unique_id(&name).into_owned()));
        memo.names[place.at()] = Some(left);
    }
    came.sort_by(Message::order);
    Some((gone, came))
}

/// Messages come by unique-id, so that messages of one instant keep an order.
fn oldest_first(mut messages: Vec<Message<'_>>) -> Listing {
    messages.sort_by_cached_key(|message| message.first.delivered());
    let mut listing = Listing::with_capacity(messages.len());
    let octets = |text: fn(&Found<'_>) -> usize| -> usize {
        messages.iter().map(|message| text(&message.first)).sum()
    };
    listing.reserve_text(
        octets(|found| found.unique_id.len() + 1),
        octets(|found| found.name.len() + "123456/cur/ ".len()),
    );
    for message in &messages {
        let first = &message.first;
        let Some(record) = first.record else {
            continue;
        };
        let (mut size, mut octets, mut identity) = ([0; 20], [0; 20], [0; 20]);
        let size = decimal(record.size, &mut size);
        let guessed = match first.is_unread {
            true => ["?", decimal(record.octets, &mut octets)],
            false => ["", ""],
        };
        let identity = match first.shares_name {
            true => ["=", decimal(first.identity, &mut identity)],
            false => ["", ""],
        };
        let links = message.links.iter();
        let links = links.flat_map(|link| [AND, link.place.directory(), "/", link.name]);
        let path = ["/", first.place.directory(), "/", first.name];
        let numbers = [size].into_iter().chain(guessed).chain(identity);
        let name = numbers.chain(path).chain(links);
        let (seconds, _) = first.delivered();
        listing.push_parts(&first.unique_id, record.octets, seconds, name);
        listing.surrogate(record.surrogate);
    }
    listing
}

/// A number in digits: formatting a hundred thousand of them the usual way takes
/// longer than all the rest.
fn decimal(number: u64, digits: &mut [u8; 20]) -> &str {
    let mut rest = number;
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return str::from_utf8(&digits[start..]).expect("digits are ASCII");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn numbers_in_digits() {
        for number in [0, 9, 10, 4711, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string());
        }
    }
}
