//! The mail that is served: the same octets for the same class and number, on
//! disk, in the floor's memory, and in what the client expects.
//!
//! Messages of one class differ in their headers, which tell the number, and
//! share the rest, so that a server which mixes them up is found out and the
//! floor needs memory for one.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::iter;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

/// Octets of a message at least: its header.
pub(crate) const SMALLEST: usize = 400;

/// Characters in a line of a body, its LF included.
const LINE: usize = 76;

/// Every so many lines one begins with a dot, as quoted plain text does now and
/// then: byte-stuffing has something to do.
const DOT_EVERY: usize = 40;

/// Modification time of the oldest message, in seconds since 1970.
const FIRST_DELIVERY: u64 = 1_700_000_000;

/// Octets of the text that a large message repeats.
const PART: usize = 256 * 1024;

/// How the names of later deliveries begin; none of the first messages' does.
const LATER: &str = "1999999999.D";

/// Maildrops of one kind: `users` of them, named `NAME-0`, `NAME-1` and so on,
/// each with `messages` messages of `octets` octets (LF line ends).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) name: &'static str,
    pub(crate) users: usize,
    pub(crate) messages: usize,
    pub(crate) octets: usize,
}

impl Class {
    /// The name of one of its users.
    pub(crate) fn user(&self, at: usize) -> String {
        format!("{}-{}", self.name, at % self.users)
    }

    /// A message as it lies on disk; `number` counts from 1.
    pub(crate) fn stored(&self, number: usize) -> Vec<u8> {
        let mut octets = header(self.name, number).into_bytes();
        octets.extend_from_slice(&body(self.octets - octets.len()));
        octets
    }

    /// A message as RETR sends it, without the terminating line.
    pub(crate) fn sent(&self, number: usize) -> Vec<u8> {
        to_wire(&self.stored(number))
    }

    /// Octets of each message as LIST tells them: CRLF line ends, no stuffing.
    pub(crate) fn listed_octets(&self) -> usize {
        let stored = self.stored(1);
        stored.len() + memchr::memchr_iter(b'\n', &stored).count()
    }

    /// Octets of each message in RETR's answer, the terminating line not counted.
    pub(crate) fn sent_octets(&self) -> usize {
        self.sent(1).len()
    }

    /// A message's unique-id, which is how its file's name begins.
    pub(crate) fn unique_id(number: usize) -> String {
        format!("{}.M{number:07}P1.bench", Class::received(number))
    }

    /// When a message came, in seconds since 1970: later than the one before.
    pub(crate) fn received(number: usize) -> u64 {
        FIRST_DELIVERY + number as u64
    }
}

/// A message that is too large to be held in memory: a header, and the same text again and
/// again. It is the only one of its user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Large {
    pub(crate) name: &'static str,
    /// At least so many.
    pub(crate) octets: usize,
}

impl Large {
    /// Its maildrop; the octets there are not those of an ordinary message.
    pub(crate) const fn class(self) -> Class {
        Class {
            name: self.name,
            users: 1,
            messages: 1,
            octets: self.octets,
        }
    }

    /// As it lies on disk, piece by piece.
    pub(crate) fn pieces(self) -> impl Iterator<Item = Vec<u8>> {
        let header = header(self.name, 1).into_bytes();
        iter::once(header).chain(iter::repeat_n(body(PART), self.parts()))
    }

    /// Octets on disk.
    pub(crate) fn stored_octets(self) -> usize {
        self.sum(<[u8]>::len)
    }

    /// Octets as LIST tells them.
    pub(crate) fn listed_octets(self) -> usize {
        self.sum(|text| text.len() + memchr::memchr_iter(b'\n', text).count())
    }

    /// Octets in RETR's answer, the terminating line not counted.
    pub(crate) fn sent_octets(self) -> usize {
        self.sum(|text| to_wire(text).len())
    }

    fn parts(self) -> usize {
        self.octets.div_ceil(PART)
    }

    /// Pieces end where lines end, so each can be counted by itself.
    fn sum(self, of: impl Fn(&[u8]) -> usize) -> usize {
        of(header(self.name, 1).as_bytes()) + self.parts() * of(&body(PART))
    }
}

/// `NAME=MESSAGESxOCTETS`, as the floor takes it on its command line.
impl fmt::Display for Class {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}={}x{}", self.name, self.messages, self.octets)
    }
}

impl FromStr for Class {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = || {
            let (name, size) = text.split_once('=')?;
            let (messages, octets) = size.split_once('x')?;
            let octets = octets.parse().ok().filter(|&octets| octets >= SMALLEST)?;
            Some(Class {
                name: String::leak(name.to_owned()),
                users: 1,
                messages: messages.parse().ok()?,
                octets,
            })
        };
        parsed().with_context(|| {
            format!("\"{text}\" is no NAME=MESSAGESxOCTETS of at least {SMALLEST} octets")
        })
    }
}

fn header(class: &str, number: usize) -> String {
    let mut header = format!(
        "Return-Path: <sender@example.org>\n\
         Received: from mta.example.org by mx.example.net with ESMTPS id {number:07}\n\
         From: Somebody <sender@example.org>\n\
         To: {class}@example.net\n\
         Subject: Message {number:07} of {class}\n\
         Date: Tue, 14 Nov 2023 22:13:20 +0000\n\
         Message-ID: <{number:07}.{class}@example.org>\n\
         X-Spam-Flag: NO\n"
    );
    header.push_str("MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n");
    header
}

/// Text of exactly so many octets, the last of them LF.
fn body(octets: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(octets);
    // A small generator of our own, so that the text stays the same for ever.
    let mut state: u32 = 0x2545_f491;
    for line in 0.. {
        if body.len() >= octets {
            break;
        }
        if line % DOT_EVERY == DOT_EVERY - 1 {
            body.push(b'.');
        }
        for _ in 1..LINE {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            body.push(b"etaoin shrdlucmfgypwbvkxjq zETAOI"[state as usize >> 27]);
        }
        body.push(b'\n');
    }
    body.truncate(octets);
    if let Some(last) = body.last_mut() {
        *last = b'\n';
    }
    body
}

/// CRLF line ends, and a dot in front of each line that begins with one
/// (RFC 1939 section 3). Plain on purpose: it is what servers are checked with.
fn to_wire(stored: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(stored.len() + stored.len() / 32);
    for line in stored.split_inclusive(|&octet| octet == b'\n') {
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

/// A folder of Maildirs, one for each user.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    root: PathBuf,
    /// Whose the directories are, where that is not us: user and group.
    owner: Option<(u32, u32)>,
}

impl Tree {
    pub(crate) fn new(root: PathBuf, owner: Option<(u32, u32)>) -> Self {
        Tree { root, owner }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn maildir(&self, user: &str) -> PathBuf {
        self.root.join(user)
    }

    /// Makes the maildrops of a class that are not there yet. With `like`, the
    /// files are links to the ones there, which nobody ever writes to.
    pub(crate) fn make(&self, class: &Class, like: Option<&Tree>) -> Result<()> {
        for at in 0..class.users {
            let user = class.user(at);
            // The first user's files are those of all.
            let from = match (like, at) {
                (Some(tree), _) => Some(tree.maildir(&user)),
                (None, 0) => None,
                (None, _) => Some(self.maildir(&class.user(0))),
            };
            self.make_one(class, &user, from.as_deref())
                .with_context(|| format!("cannot make the maildrop of {user}"))?;
        }
        Ok(())
    }

    fn make_one(&self, class: &Class, user: &str, from: Option<&Path>) -> Result<()> {
        let maildir = self.maildir(user);
        // Written last, and of the class's size, so that a folder that was left
        // behind half made or by other figures is not taken for whole.
        let whole = maildir.join("tmp").join(class.to_string());
        if fs::symlink_metadata(&whole).is_ok() {
            return Ok(());
        }
        if maildir.exists() {
            fs::remove_dir_all(&maildir)?;
        }
        for part in ["", "cur", "new", "tmp"] {
            let folder = maildir.join(part);
            fs::create_dir_all(&folder)?;
            if let Some((user, group)) = self.owner {
                chown(&folder, Some(user), Some(group))?;
            }
        }
        let mut stored = class.stored(1);
        let header_octets = header(class.name, 1).len();
        for number in 1..=class.messages {
            let name = format!("cur/{}:2,", Class::unique_id(number));
            let file = maildir.join(&name);
            match from {
                Some(from) => fs::hard_link(from.join(&name), &file)?,
                None => {
                    stored[..header_octets].copy_from_slice(header(class.name, number).as_bytes());
                    write_message(&file, &stored, Class::received(number))?;
                }
            }
        }
        symlink("whole", whole)?;
        Ok(())
    }

    /// Writes those messages of a class again that sessions have removed.
    pub(crate) fn restore(&self, class: &Class) -> Result<()> {
        for at in 0..class.users {
            let maildir = self.maildir(&class.user(at));
            for number in 1..=class.messages {
                let file = maildir.join(format!("cur/{}:2,", Class::unique_id(number)));
                if !file.try_exists()? {
                    write_message(&file, &class.stored(number), Class::received(number))?;
                }
            }
        }
        Ok(())
    }

    /// Makes the maildrop of a large message, if it is not there yet.
    pub(crate) fn make_large(&self, large: Large) -> Result<()> {
        let maildir = self.maildir(&large.class().user(0));
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(maildir.join(part))?;
        }
        let name = Class::unique_id(1);
        let whole = maildir.join(format!("cur/{name}:2,"));
        let octets = large.stored_octets() as u64;
        if fs::metadata(&whole).is_ok_and(|file| file.len() == octets) {
            return Ok(());
        }
        let tmp = maildir.join("tmp").join(name);
        let mut file = fs::File::create(&tmp)?;
        for piece in large.pieces() {
            file.write_all(&piece)?;
        }
        fs::rename(tmp, whole)?;
        Ok(())
    }

    /// Puts one more message into a maildrop, as a delivery agent does; `at`
    /// tells it from others.
    pub(crate) fn deliver(&self, class: &Class, user: &str, at: usize) -> Result<()> {
        let maildir = self.maildir(user);
        let name = format!("{LATER}{at:07}P1.bench");
        let tmp = maildir.join("tmp").join(&name);
        write_message(&tmp, &class.stored(1), FIRST_DELIVERY + 10_000_000)?;
        fs::rename(tmp, maildir.join("new").join(name))?;
        Ok(())
    }

    /// Takes out again what [`Tree::deliver`] put in.
    pub(crate) fn remove_deliveries(&self, class: &Class) -> Result<()> {
        for at in 0..class.users {
            let maildir = self.maildir(&class.user(at));
            // Some servers move what they have seen.
            for part in ["new", "cur"] {
                for entry in fs::read_dir(maildir.join(part))? {
                    let entry = entry?;
                    if entry.file_name().to_string_lossy().starts_with(LATER) {
                        fs::remove_file(entry.path())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes what servers remember of a maildrop: every file that is not in
    /// `cur`, `new` or `tmp`.
    pub(crate) fn forget_indexes(&self, class: &Class) -> Result<()> {
        for at in 0..class.users {
            for entry in fs::read_dir(self.maildir(&class.user(at)))? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }
}

fn write_message(path: &Path, octets: &[u8], second: u64) -> Result<()> {
    fs::write(path, octets)?;
    let delivered = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    let file = fs::File::options().write(true).open(path)?;
    file.set_modified(delivered)?;
    Ok(())
}

/// User and group of a name in the system's table of users.
pub(crate) fn system_user(name: &str) -> Result<(u32, u32)> {
    let table = fs::read_to_string("/etc/passwd").context("cannot read the table of users")?;
    for line in table.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let [found, _, user, group, ..] = fields[..]
            && found == name
        {
            return Ok((user.parse()?, group.parse()?));
        }
    }
    bail!("there is no user \"{name}\"")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SMALL: Class = Class {
        name: "small",
        users: 2,
        messages: 3,
        octets: 4000,
    };

    #[test]
    fn messages_have_their_octets_and_their_number() {
        let (one, three) = (SMALL.stored(1), SMALL.stored(3));
        assert_eq!((one.len(), three.len()), (4000, 4000));
        assert_ne!(one, three);
        assert!(
            String::from_utf8(three)
                .unwrap()
                .contains("Message 0000003 of small\n")
        );
        assert!(one.ends_with(b"\n"));
        let smallest = Class {
            octets: SMALLEST,
            ..SMALL
        };
        assert_eq!(smallest.stored(9_999_999).len(), SMALLEST);
    }

    #[test]
    fn what_is_sent_is_stuffed_and_what_is_listed_is_not() {
        assert_eq!(to_wire(b"a\n.b\n.\n\nc"), b"a\r\n..b\r\n..\r\n\r\nc\r\n");
        let lines = SMALL
            .stored(1)
            .iter()
            .filter(|&&octet| octet == b'\n')
            .count();
        assert_eq!(SMALL.listed_octets(), 4000 + lines);
        let dots = SMALL.sent_octets() - SMALL.listed_octets();
        assert_eq!(dots, 1);
    }

    #[test]
    fn a_large_message_is_as_long_as_it_says() {
        let large = Large {
            name: "large",
            octets: PART + 1,
        };
        let stored = large.pieces().collect::<Vec<_>>().concat();
        assert!(stored.len() > 2 * PART);
        assert_eq!(large.stored_octets(), stored.len());
        assert_eq!(large.sent_octets(), to_wire(&stored).len());
        let lines = stored.iter().filter(|&&octet| octet == b'\n').count();
        assert_eq!(large.listed_octets(), stored.len() + lines);

        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("a"), None);
        let file = tree
            .maildir("large-0")
            .join("cur/1700000001.M0000001P1.bench:2,");
        for _ in 0..2 {
            tree.make_large(large).unwrap();
            assert!(fs::read(&file).unwrap() == stored);
            // One that was cut off is written once more.
            fs::write(&file, "").unwrap();
        }
    }

    #[test]
    fn a_class_is_read_as_it_is_written() {
        let read: Class = SMALL.to_string().parse().unwrap();
        assert_eq!(read, Class { users: 1, ..SMALL });
        for wrong in ["", "a", "a=1", "a=1x", "a=1x2", "a=-1x4000", "a=1x4000x"] {
            assert!(wrong.parse::<Class>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn maildrops_are_made_once_and_deliveries_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(folder.path().join("a"), None);
        tree.make(&SMALL, None).unwrap();
        let file = tree
            .maildir("small-1")
            .join("cur/1700000002.M0000002P1.bench:2,");
        assert_eq!(fs::read(&file).unwrap(), SMALL.stored(2));

        let other = Tree::new(folder.path().join("b"), None);
        other.make(&SMALL, Some(&tree)).unwrap();
        let listed = |tree: &Tree, part: &str| {
            fs::read_dir(tree.maildir("small-0").join(part))
                .unwrap()
                .count()
        };
        assert_eq!(listed(&other, "cur"), 3);
        other.deliver(&SMALL, "small-0", 7).unwrap();
        assert_eq!(listed(&other, "new"), 1);
        fs::write(other.maildir("small-0").join("index"), "").unwrap();
        other.forget_indexes(&SMALL).unwrap();
        assert!(!other.maildir("small-0").join("index").exists());
        other.remove_deliveries(&SMALL).unwrap();
        assert_eq!((listed(&other, "new"), listed(&other, "cur")), (0, 3));

        let first = "cur/1700000001.M0000001P1.bench:2,";
        let first = other.maildir("small-0").join(first);
        fs::remove_file(&first).unwrap();
        other.restore(&SMALL).unwrap();
        assert_eq!(fs::read(&first).unwrap(), SMALL.stored(1));
        assert_eq!(listed(&other, "cur"), 3);

        // Other figures under the same name: made anew.
        let fewer = Class {
            messages: 1,
            ..SMALL
        };
        other.make(&fewer, Some(&tree)).unwrap();
        assert_eq!(listed(&other, "cur"), 1);
    }
}
