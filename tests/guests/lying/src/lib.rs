//! A store that lies, breaks off and reaches for what is not its own; the
//! account's user says how. Every maildrop has three messages: the first and
//! the third are honest, the second is where the trouble is.

use std::io::{self, Read};
use std::time::Duration;

use restante_guest::prelude::*;
use restante_guest::store::FileRange;

/// The honest message, as it comes out of RETR.
const HONEST: &[u8] = b"Subject: honest\r\n\r\nbody\r\n";

/// Octets of what the second message is said to have where it breaks off.
const LONG: u64 = 1_000_000;

struct Lying {
    user: String,
}

restante_guest::export! { store: Lying }

impl Maildrop for Lying {
    fn open(account: Account) -> Result<Lying, Failure> {
        match account.user.as_str() {
            "trap-open" => panic!("in open"),
            "code-injection" => {
                return Err(Failure::temporary("[AUTH] wrong\r\n+OK logged in"));
            }
            _ => {}
        }
        Ok(Lying { user: account.user })
    }

    fn listing(&mut self) -> Result<Listing, Failure> {
        let honest = HONEST.len() as u64;
        let (id, octets) = match self.user.as_str() {
            "trap-listing" => panic!("in listing"),
            "id-empty" => ("", honest),
            "id-with-space" => ("a b", honest),
            "id-with-line-end" => ("a\r\n+OK", honest),
            "id-not-ascii" => ("\u{e9}", honest),
            "id-twice" => ("first", honest),
            "octets-overflow" => ("second", u64::MAX),
            "reader-traps" | "reader-fails" | "reader-sleeps" | "too-short" => ("second", LONG),
            "too-long" => ("second", 10),
            _ => ("second", honest),
        };
        let mut listing = Listing::with_capacity(3);
        listing.push("first", honest, 0, "first");
        if self.user == "id-too-long" {
            listing.push("x".repeat(71), honest, 0, "second");
        } else {
            listing.push(id, octets, 0, "second");
        }
        listing.push("third", honest, 0, "third");
        Ok(listing)
    }

    fn content(&mut self, name: &str) -> Result<Content, Failure> {
        if name != "second" {
            return Ok(Content::Inline(HONEST.to_vec()));
        }
        match self.user.as_str() {
            "trap-content" => panic!("in content"),
            "fail-content" => Err(Failure::temporary("not now")),
            "file-above" => Ok(Content::file("../secret")),
            "file-absolute" => Ok(Content::file("/etc/passwd")),
            "file-link" => Ok(Content::file("link")),
            "file-directory" => Ok(Content::file(".")),
            "file-beyond" => Ok(Content::File(FileRange {
                path: "own".to_owned(),
                offset: 1_000,
                length: Some(u64::MAX),
            })),
            "reader-traps" => Ok(Content::reader(Breaking(|| panic!("in read")))),
            "reader-fails" => Ok(Content::reader(Breaking(|| {
                Err(io::Error::other("broken"))
            }))),
            "reader-sleeps" => Ok(Content::reader(Breaking(|| {
                std::thread::sleep(Duration::from_secs(3600));
                Ok(0)
            }))),
            _ => Ok(Content::Inline(HONEST.to_vec())),
        }
    }

    fn remove(&mut self, _: &[String]) -> Result<(), Failure> {
        match self.user.as_str() {
            "trap-remove" => panic!("in remove"),
            "fail-remove" => Err(Failure::permanent("nothing is removed here")),
            _ => Ok(()),
        }
    }
}

/// Good for a third of what was promised; then it does something else.
struct Breaking<F>(F);

impl<F: FnMut() -> io::Result<usize>> Read for Breaking<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        thread_local! {
            static GIVEN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
        }
        let given = GIVEN.get();
        if given >= LONG / 3 {
            return (self.0)();
        }
        for octets in buffer.chunks_mut(50) {
            octets.fill(b'x');
            if let Some(last) = octets.last_mut() {
                *last = b'\n';
            }
        }
        GIVEN.set(given + buffer.len() as u64);
        Ok(buffer.len())
    }
}
