//! The store, without the SDK's help: it would not let columns differ.

use std::cell::Cell;

use restante_guest::bindings::store::exports::restante::plugin::store as raw;
use restante_guest::prelude::{Account, Failure, settings};

use crate::{called, misdeed};

/// The honest message, as it comes out of RETR.
const HONEST: &[u8] = b"Subject: honest\r\n\r\nbody\r\n";

/// Octets that a reader has which ends.
const LONG: u64 = 1_000_000;

struct Store;

#[cfg(target_family = "wasm")]
restante_guest::__export_store_plugin_impl!(Store with_types_in restante_guest::bindings::store);

#[cfg(not(target_family = "wasm"))]
const fn plays_the_role<T: raw::Guest>() {}
#[cfg(not(target_family = "wasm"))]
const _: () = plays_the_role::<Store>();

impl raw::Guest for Store {
    type Reader = Reader;
    type Maildrop = Maildrop;
}

struct Maildrop;

/// How much it has given.
struct Reader(Cell<u64>);

impl Drop for Reader {
    fn drop(&mut self) {
        called("drop");
    }
}

/// Texts as they cross the border.
fn packed<const N: usize>(texts: [&str; N]) -> String {
    texts.map(|text| format!("{text}\0")).concat()
}

/// Handles that are never dropped.
pub(crate) fn make_handles() {
    for _ in 0..100_000_000 {
        std::mem::forget(raw::Reader::new(Reader(Cell::new(0))));
    }
}

impl raw::GuestMaildrop for Maildrop {
    fn open(_: Account) -> Result<raw::Maildrop, Failure> {
        called("open");
        Ok(raw::Maildrop::new(Maildrop))
    }

    fn stamp(&self) -> Result<Option<String>, Failure> {
        called("stamp");
        Ok(match misdeed().as_str() {
            "long-stamp" => Some("s".repeat(16 << 20)),
            _ => None,
        })
    }

    fn listing(&self) -> Result<raw::Listing, Failure> {
        called("listing");
        let honest = HONEST.len() as u64;
        let octets = match settings::get("octets") {
            Some(octets) => octets.parse().unwrap_or(u64::MAX),
            None => honest,
        };
        let mut listing = raw::Listing {
            unique_ids: packed(["first", "second", "third"]),
            octets: vec![honest, octets, honest],
            received: vec![0; 3],
            names: packed(["first", "second", "third"]),
            surrogates: Vec::new(),
            memo: Some("memo".to_owned()),
        };
        match misdeed().as_str() {
            "few-ids" => listing.unique_ids = packed(["first", "second"]),
            "few-octets" => drop(listing.octets.pop()),
            "few-received" => drop(listing.received.pop()),
            "few-names" => listing.names = packed(["first", "second"]),
            "open-end" => drop(listing.unique_ids.pop()),
            "long-memo" => listing.memo = Some("m".repeat(8 << 20)),
            "many-octets" => listing.octets.extend([7; 1000]),
            "surrogate-of-nothing" => listing.surrogates.push(raw::Surrogate {
                position: u32::MAX,
                octets: 1,
            }),
            "one-huge-id" => {
                listing.unique_ids = packed(["first", &"x".repeat(10 << 20), "third"]);
            }
            "huge-listing" => {
                listing.unique_ids = (0..5_000_000).map(|id: u32| format!("id-{id}\0")).collect();
            }
            "surrogates" => {
                let position = 3;
                listing.surrogates = vec![raw::Surrogate {
                    position,
                    octets: 1,
                }];
            }
            "id" => {
                let id = settings::get("id").unwrap_or_default();
                listing.unique_ids = packed(["first", &id, "third"]);
            }
            _ => {}
        }
        Ok(listing)
    }

    fn changes(&self, _: String) -> Result<Option<raw::Changes>, Failure> {
        called("changes");
        let mut changes = raw::Changes {
            gone: String::new(),
            came: raw::Listing {
                unique_ids: packed(["fourth"]),
                octets: vec![HONEST.len() as u64],
                received: vec![0],
                names: packed(["fourth"]),
                surrogates: Vec::new(),
                memo: Some("memo".to_owned()),
            },
        };
        match misdeed().as_str() {
            "fourth" => {}
            "came-short" => changes.came.octets.clear(),
            "came-twice" => {
                changes.came.unique_ids = packed(["third"]);
            }
            "gone-nobody" => changes.gone = packed(["nobody"]),
            "gone-much" => changes.gone = "x\0".repeat(1 << 20),
            _ => return Ok(None),
        }
        Ok(Some(changes))
    }

    fn content(&self, name: String) -> Result<raw::Content, Failure> {
        called("content");
        if name != "second" {
            return Ok(raw::Content::Inline(HONEST.to_vec()));
        }
        let reader = || raw::Content::Reader(raw::Reader::new(Reader(Cell::new(0))));
        Ok(match misdeed().as_str() {
            "huge-content" => raw::Content::Inline(vec![b'x'; 40 << 20]),
            "path" => raw::Content::File(raw::FileRange {
                path: settings::get("path")
                    .unwrap_or_default()
                    .replace("NUL", "\0"),
                offset: 0,
                length: None,
            }),
            "endless" | "greedy" => reader(),
            _ if settings::get("at").as_deref() == Some("read") => reader(),
            _ if settings::get("at").as_deref() == Some("drop") => reader(),
            "inline-short" => raw::Content::Inline(HONEST[..10].to_vec()),
            "inline-long" => raw::Content::Inline(HONEST.repeat(1000)),
            _ => raw::Content::Inline(HONEST.to_vec()),
        })
    }

    fn remove(&self, _: Vec<String>) -> Result<(), Failure> {
        called("remove");
        Ok(())
    }
}

impl raw::GuestReader for Reader {
    fn read(&self, limit: u32) -> Result<Vec<u8>, Failure> {
        called("read");
        let limit = u64::from(limit);
        let given = self.0.get();
        let octets = match misdeed().as_str() {
            "endless" => limit,
            "greedy" => limit + 1,
            _ => limit.min(LONG - given),
        };
        self.0.set(given + octets);
        // Lines of 80 octets.
        let octet = |at| match at % 80 {
            78 => b'\r',
            79 => b'\n',
            _ => b'x',
        };
        Ok((given..given + octets).map(octet).collect())
    }
}
