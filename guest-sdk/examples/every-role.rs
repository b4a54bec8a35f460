//! Every role in one component, each in its shortest form: what a plugin of
//! one's own can start from.

use restante_guest::accepts::{Accepts, Kinds};
use restante_guest::admission::{self, Admission};
use restante_guest::filter;
use restante_guest::prelude::*;
use restante_guest::scram::{Hash, Keys, Scram};
use restante_guest::store::Reader;

struct Plugin;

impl Admission for Plugin {
    fn admit(connection: Connection) -> admission::Verdict {
        match connection.tls {
            Some(_) => admission::Verdict::Admit,
            None => admission::Verdict::Delay(100),
        }
    }
}

impl Authenticator for Plugin {
    fn authenticate(_: Connection, _: Credentials) -> Result<Account, Denial> {
        Err(Denial::Unknown)
    }
}

impl Accepts for Plugin {
    fn accepts() -> Kinds {
        Kinds::PASSWORD | Kinds::SCRAM_SHA256
    }
}

impl Scram for Plugin {
    fn lookup(_: Connection, _: String, _: Option<String>, _: Hash) -> Result<Keys, Denial> {
        Err(Failure::temporary("the keys cannot be read").into())
    }
}

/// A maildrop with two messages: one at hand, one that is made as it is read.
struct Greetings;

impl Maildrop for Greetings {
    fn open(account: Account) -> Result<Greetings, Failure> {
        log::info!("{} has a maildrop", account.user);
        Ok(Greetings)
    }

    fn listing(&mut self) -> Result<Listing, Failure> {
        let mut listing = Listing::default();
        listing.push("hello-1", 25, 0, "inline");
        listing.push("hello-2", 21, 0, "reader");
        Ok(listing)
    }

    fn content(&mut self, name: &str) -> Result<Content, Failure> {
        match name {
            "inline" => Ok(Content::Inline(b"Subject: hello\r\n\r\nworld\r\n".to_vec())),
            _ => Ok(Content::Reader(Box::new(Hello(3)))),
        }
    }

    fn remove(&mut self, _: &[String]) -> Result<(), Failure> {
        Err(Failure::permanent("greetings stay"))
    }
}

/// So many times "hello".
struct Hello(u8);

impl Reader for Hello {
    fn read(&mut self, _: u32) -> Result<Vec<u8>, Failure> {
        self.0 = match self.0.checked_sub(1) {
            Some(left) => left,
            None => return Ok(Vec::new()),
        };
        Ok(b"hello\n".to_vec())
    }
}

impl Selector for Plugin {
    fn select(_: Connection, _: Account, view: &View<'_>) -> Result<Positions, Failure> {
        Ok((0..view.count())
            .filter(|position| position % 2 == 1)
            .collect())
    }
}

impl Filter for Plugin {
    fn screen(_: Account, message: &Message<'_>) -> Result<filter::Verdict, Failure> {
        let count = restante_guest::header::fields(&message.header()?).count();
        Ok(filter::Verdict::Annotate(vec![format!(
            "X-Fields: {count}"
        )]))
    }
}

impl Validate for Plugin {
    fn validate() -> Result<(), Vec<String>> {
        settings::get("greeting")
            .map(|_| ())
            .ok_or_else(|| vec!["greeting: is missing".into()])
    }
}

export! {
    admission: Plugin,
    authenticator: Plugin,
    accepts: Plugin,
    scram: Plugin,
    store: Greetings,
    selector: Plugin,
    filter: Plugin,
    settings: Plugin,
}
