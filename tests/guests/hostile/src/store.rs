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

/// Handles that are never dropped.
pub(crate) fn make_handles() {
    for _ in 0..100_000_000 {
        std::mem::forget(raw::Reader::new(Reader(Cell::new(0))));
    }
}

/// A listing before its texts are packed.
struct Columns {
    unique_ids: Vec<String>,
    octets: Vec<u64>,
    received: Vec<u64>,
    names: Vec<String>,
}

impl Columns {
    fn packed(self) -> raw::Listing {
        let pack = |texts: Vec<String>| texts.into_iter().flat_map(|text| [text, "\0".to_owned()]);
        raw::Listing {
            unique_ids: pack(self.unique_ids).collect(),
            octets: self.octets,
            received: self.received,
            names: pack(self.names).collect(),
            surrogates: Vec::new(),
            memo: None,
        }
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
        let names = || ["first", "second", "third"].map(str::to_owned).to_vec();
        let mut columns = Columns {
            unique_ids: names(),
            octets: vec![honest, octets, honest],
            received: vec![0; 3],
            names: names(),
        };
        let mut surrogates = Vec::new();
        let deed = misdeed();
        match deed.as_str() {
            "few-ids" => drop(columns.unique_ids.pop()),
            "few-octets" => drop(columns.octets.pop()),
            "few-received" => drop(columns.received.pop()),
            "few-names" => drop(columns.names.pop()),
            "many-octets" => columns.octets.extend([7; 1000]),
            "surrogate-of-nothing" => surrogates.push(raw::Surrogate {
                position: u32::MAX,
                octets: 1,
            }),
            "one-huge-id" => columns.unique_ids[1] = "x".repeat(10 << 20),
            "id" => columns.unique_ids[1] = settings::get("id").unwrap_or_default(),
            _ => {}
        }
        let mut listing = columns.packed();
        listing.surrogates = surrogates;
        match deed.as_str() {
            "huge-listing" => listing.unique_ids = "id\0".repeat(2_000_000),
            "no-end" => drop(listing.unique_ids.pop()),
            "long-memo" => listing.memo = Some("m".repeat(8 << 20)),
            deed if deed.starts_with("changes") => listing.memo = Some("memo".to_owned()),
            _ => {}
        }
        Ok(listing)
    }

    fn changes(&self, _: String) -> Result<Option<raw::Changes>, Failure> {
        called("changes");
        let mut columns = Columns {
            unique_ids: vec!["fourth".to_owned()],
            octets: vec![1],
            received: vec![0],
            names: vec!["fourth".to_owned()],
        };
        let mut gone = String::new();
        match misdeed().as_str() {
            "changes-columns" => columns.octets.clear(),
            // It is there already.
            "changes-twice" => columns.unique_ids = vec!["first".to_owned()],
            "changes-unknown" => gone.push_str("nobody\0"),
            _ => return Ok(None),
        }
        let came = columns.packed();
        Ok(Some(raw::Changes { gone, came }))
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
