//! Role `store`: the maildrop that the other server shows.
//!
//! A message's name is "NUMBER OCTETS UNIQUE-ID": its number there is good for the
//! session that it was listed in. When the host has dropped the instance meanwhile
//! there is another session, and a number counts once UIDL has confirmed it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use restante_guest::settings::all;
use restante_guest::store::{Content, Listing, Maildrop, Reader};
use restante_guest::types::{Account, Failure, Secret};
use restante_guest::{files, log};

use crate::account::PASSWORD;
use crate::body::Body;
use crate::settings::{Octets, Settings};
use crate::sizes::{self, Sizes};
use crate::upstream::{Trouble, Upstream};

/// Octets of a message that is handed over whole. Of a larger one the client may
/// have had a part before it turns out to be broken.
const WHOLE: usize = 128 * 1024;
/// Octets of one piece of a larger one.
const PIECE: usize = 64 * 1024;
/// Octets of a message that nobody wants any more which are received all the same:
/// more cost less with a new session.
const DRAINED: u64 = 256 * 1024;
/// How often a login is tried while the session before it is not over there yet,
/// and how long is waited in between.
const IN_USE_TRIES: u32 = 10;
const IN_USE_WAIT: Duration = Duration::from_millis(200);
/// How long one login reads messages to count their octets.
const COUNTING: Duration = Duration::from_secs(10);
/// Removals that are confirmed one by one in a new session; for more, all
/// unique-ids are asked for.
const CONFIRMED: usize = 20;

/// A maildrop of the other server.
pub(crate) struct Collected {
    session: Rc<RefCell<Session>>,
}

/// A message as the listing names it.
struct Named<'a> {
    number: u32,
    octets: u64,
    id: &'a str,
}

impl<'a> Named<'a> {
    fn read(name: &'a str) -> Result<Named<'a>, Failure> {
        let named = || {
            let (number, rest) = name.split_once(' ')?;
            let (octets, id) = rest.split_once(' ')?;
            Some(Named {
                number: number.parse().ok()?,
                octets: octets.parse().ok()?,
                id,
            })
        };
        named().ok_or_else(|| Failure::permanent("there is no such message"))
    }
}

/// The session with the other server, and what holds in it.
struct Session {
    settings: Settings,
    /// Whose it is there, as the account says.
    maildrop: String,
    password: Secret,
    upstream: Option<Upstream>,
    /// Whether it is the session that the listing was told in.
    is_listed: bool,
    /// Numbers by unique-id, once they were all asked for in another session.
    numbers: Option<HashMap<String, u32>>,
    /// The message that is being received, and whose reader may go on with it.
    receiving: Option<Receiving>,
    readers: u64,
}

struct Receiving {
    body: Body,
    /// As it was listed.
    octets: u64,
    reader: u64,
}

impl Session {
    fn forget(&mut self) {
        self.upstream = None;
        self.is_listed = false;
        self.numbers = None;
        self.receiving = None;
    }

    /// Logs in.
    fn begin(&mut self) -> Result<(), Trouble> {
        self.forget();
        let mut tries = 1;
        loop {
            match Upstream::open(&self.settings, &self.maildrop, &self.password) {
                Ok(upstream) => {
                    self.upstream = Some(upstream);
                    return Ok(());
                }
                // The session before this one, which has just been left.
                Err(trouble) if trouble.code() == Some("IN-USE") && tries < IN_USE_TRIES => {
                    tries += 1;
                    std::thread::sleep(IN_USE_WAIT);
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Leaves a message that nobody wants any more.
    fn leave_message(&mut self) {
        let Some(mut receiving) = self.receiving.take() else {
            return;
        };
        let left = receiving.octets.saturating_sub(receiving.body.octets());
        let Some(upstream) = self.upstream.as_mut().filter(|_| left <= DRAINED) else {
            self.forget();
            return;
        };
        let mut nowhere = Vec::new();
        let mut drained = 0;
        while !receiving.body.ended() {
            nowhere.clear();
            let received = receiving.body.receive(upstream, &mut nowhere, PIECE);
            drained += nowhere.len() as u64;
            if received.is_err() || drained > 2 * DRAINED {
                self.forget();
                return;
            }
        }
    }

    /// Does something in a session. One that was left idle may be gone; then there
    /// is another try in a new one.
    fn with<R>(&mut self, work: impl Fn(&mut Session) -> Result<R, Trouble>) -> Result<R, Trouble> {
        self.leave_message();
        let is_new = self.upstream.is_none();
        if is_new {
            self.begin()?;
        }
        let mut done = work(self);
        if matches!(done, Err(Trouble::Away(_))) && !is_new {
            self.begin()?;
            done = work(self);
        }
        if matches!(done, Err(Trouble::Away(_) | Trouble::Nonsense(_))) {
            self.forget();
        }
        done
    }

    fn upstream(&mut self) -> Result<&mut Upstream, Trouble> {
        let away = || Trouble::Away("there is no session".to_owned());
        self.upstream.as_mut().ok_or_else(away)
    }

    /// The number of a message in this session; None: it is gone.
    fn number(&mut self, named: &Named<'_>) -> Result<Option<u32>, Trouble> {
        if self.is_listed {
            return Ok(Some(named.number));
        }
        if let Some(numbers) = &self.numbers {
            return Ok(numbers.get(named.id).copied());
        }
        let number = named.number;
        match self.upstream()?.command(&format!("UIDL {number}")) {
            Ok(answer) if pair(&answer) == Some((number, named.id)) => return Ok(Some(number)),
            Ok(_) | Err(Trouble::Refused(_)) => {}
            Err(trouble) => return Err(trouble),
        }
        Ok(self.all_numbers()?.get(named.id).copied())
    }

    fn all_numbers(&mut self) -> Result<&HashMap<String, u32>, Trouble> {
        let mut numbers = HashMap::new();
        self.upstream()?.lines("UIDL", |line| {
            let (number, id) = pair(line).ok_or(Trouble::Nonsense(NO_UNIQUE_IDS))?;
            numbers.insert(id.to_owned(), number);
            Ok(())
        })?;
        Ok(self.numbers.insert(numbers))
    }

    /// Receives messages to know what they weigh, as long as there is time. What is
    /// still to be counted.
    fn count(&mut self, listed: &mut [Message], known: &Sizes) -> Result<usize, Trouble> {
        let begun = Instant::now();
        let mut left = 0;
        let mut nowhere = Vec::new();
        for message in listed {
            if let Some(octets) = known.get(&message.id) {
                message.octets = octets;
                continue;
            }
            if begun.elapsed() > COUNTING {
                left += 1;
                continue;
            }
            let upstream = self.upstream()?;
            upstream.command(&format!("RETR {}", message.number))?;
            let mut body = Body::new();
            while !body.ended() {
                nowhere.clear();
                body.receive(upstream, &mut nowhere, PIECE)?;
            }
            message.octets = body.octets();
            sizes::keep(&message.id, message.octets);
        }
        Ok(left)
    }
}

const NO_UNIQUE_IDS: &str = "UIDL with what are no unique-ids";

/// A number, and what stands behind it.
fn pair(line: &str) -> Option<(u32, &str)> {
    let (number, rest) = line.split_once(' ')?;
    let rest = rest.split_whitespace().next()?;
    Some((number.parse().ok()?, rest))
}

struct Message {
    number: u32,
    octets: u64,
    id: String,
}

fn list(upstream: &mut Upstream) -> Result<Vec<Message>, Trouble> {
    let mut messages: Vec<Message> = Vec::new();
    let mut ids = HashSet::new();
    upstream.lines("UIDL", |line| {
        let (number, id) = pair(line).ok_or(Trouble::Nonsense(NO_UNIQUE_IDS))?;
        let rises = messages.last().is_none_or(|last| last.number < number);
        let is_one =
            (1..=70).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_graphic());
        if !rises || !is_one || !ids.insert(id.to_owned()) {
            return Err(Trouble::Nonsense(NO_UNIQUE_IDS));
        }
        messages.push(Message {
            number,
            octets: 0,
            id: id.to_owned(),
        });
        Ok(())
    })?;
    drop(ids);
    const OTHERS: Trouble = Trouble::Nonsense("LIST with other messages than UIDL");
    let mut next = messages.iter_mut();
    upstream.lines("LIST", |line| {
        let (number, octets) = pair(line).ok_or(OTHERS)?;
        let message = next.next().filter(|message| message.number == number);
        message.ok_or(OTHERS)?.octets = octets.parse().map_err(|_| OTHERS)?;
        Ok(())
    })?;
    match next.next() {
        None => Ok(messages),
        Some(_) => Err(OTHERS),
    }
}

impl Maildrop for Collected {
    fn open(account: Account) -> Result<Collected, Failure> {
        let settings = Settings::parse(all()).map_err(|problems| {
            log::error!("{}", problems.join("; "));
            Failure::permanent("this mailbox is not set up properly")
        })?;
        let password = match (&settings.master, account.attribute(PASSWORD)) {
            (Some(master), _) => files::read_secret(&master.password_file).map_err(|error| {
                log::error!("master-password-file: {error}");
                Failure::permanent("this mailbox is not set up properly")
            })?,
            (None, Some(password)) => Secret::new(password),
            (None, None) => {
                log::error!(
                    "there is no password to log in with: let this plugin be the authenticator too, or one that gives the attribute {PASSWORD}, or set master-user"
                );
                return Err(Failure::permanent("this mailbox is not set up properly"));
            }
        };
        // Nothing of a name or a password may become a command of its own.
        let text = [settings.user.there(&account.maildrop), password.expose()];
        if text
            .iter()
            .any(|text| text.is_empty() || text.chars().any(char::is_control))
        {
            return Err(Failure::permanent("there is no such mailbox"));
        }
        let mut session = Session {
            settings,
            maildrop: account.maildrop,
            password,
            upstream: None,
            is_listed: false,
            numbers: None,
            receiving: None,
            readers: 0,
        };
        session
            .begin()
            .map_err(|trouble| trouble.into_failure("a login"))?;
        Ok(Collected {
            session: Rc::new(RefCell::new(session)),
        })
    }

    fn listing(&mut self) -> Result<Listing, Failure> {
        let mut session = self.session.borrow_mut();
        let listed = session.with(|session| list(session.upstream()?));
        let mut messages = listed.map_err(|trouble| trouble.into_failure("the listing"))?;
        session.is_listed = true;
        let known = Sizes::read();
        if session.settings.octets == Octets::Counted {
            let left = session.count(&mut messages, &known);
            let left = left.map_err(|trouble| {
                session.forget();
                trouble.into_failure("counting octets")
            })?;
            if left > 0 {
                let all = messages.len();
                log::info!("the octets of {left} of {all} messages are still to be counted");
                return Err(match sizes::is_granted() {
                    true => Failure::temporary("the mailbox is being counted, log in again"),
                    false => {
                        log::error!(
                            "grant a `maildrop`: there is no place to keep what was counted"
                        );
                        Failure::permanent("this mailbox is not set up properly")
                    }
                });
            }
        }
        known.tidy(messages.iter().map(|message| &*message.id), messages.len());
        let mut listing = Listing::with_capacity(messages.len());
        for Message { number, octets, id } in &messages {
            let octets = known.get(id).unwrap_or(*octets);
            listing.push(id, octets, 0, format!("{number} {octets} {id}"));
        }
        Ok(listing)
    }

    fn content(&mut self, name: &str) -> Result<Content, Failure> {
        let named = Named::read(name)?;
        let failed = |trouble: Trouble| trouble.into_failure("a message");
        let mut session = self.session.borrow_mut();
        let mut whole = Vec::new();
        let begun = session.with(|session| {
            let Some(number) = session.number(&named)? else {
                return Ok(None);
            };
            let upstream = session.upstream()?;
            upstream.command(&format!("RETR {number}"))?;
            Ok(Some(()))
        });
        if begun.map_err(failed)?.is_none() {
            return Err(Failure::permanent("the message is not there any more"));
        }
        let mut body = Body::new();
        while !body.ended() && whole.len() < WHOLE {
            let limit = WHOLE + PIECE - whole.len();
            let upstream = session.upstream().map_err(failed)?;
            if let Err(trouble) = body.receive(upstream, &mut whole, limit) {
                session.forget();
                return Err(failed(trouble));
            }
        }
        if body.ended() {
            weighed(&named, body.octets())?;
            return Ok(Content::Inline(whole));
        }
        session.readers += 1;
        let reader = session.readers;
        session.receiving = Some(Receiving {
            body,
            octets: named.octets,
            reader,
        });
        Ok(Content::Reader(Box::new(Piecewise {
            session: Rc::clone(&self.session),
            reader,
            begun: whole,
            given: 0,
            name: name.to_owned(),
        })))
    }

    fn remove(&mut self, names: &[String]) -> Result<(), Failure> {
        if names.is_empty() {
            return Ok(());
        }
        let named: Vec<Named<'_>> = names
            .iter()
            .map(|name| Named::read(name))
            .collect::<Result<_, _>>()?;
        let failed = |trouble: Trouble| trouble.into_failure("a removal");
        let mut session = self.session.borrow_mut();
        // As long as QUIT has not been said there, nothing is gone: a session that
        // breaks off may be followed by another.
        let marked = session.with(|session| {
            if !session.is_listed && named.len() > CONFIRMED {
                session.all_numbers()?;
            }
            let mut numbers = Vec::new();
            for named in &named {
                // What is gone already need not go.
                numbers.extend(session.number(named)?);
            }
            session.upstream()?.delete(&numbers)
        });
        let marked = marked.and_then(|()| session.upstream()?.command("QUIT"));
        // Whatever came of it, this session is over; without QUIT nothing is removed.
        session.forget();
        marked.map(drop).map_err(failed)
    }
}

/// Whether a message has the octets that it was listed with. If not, the logins to
/// come know better.
fn weighed(named: &Named<'_>, octets: u64) -> Result<(), Failure> {
    if octets == named.octets {
        return Ok(());
    }
    log::warn!(
        "the other server lists a message with {} octets and sends {octets}: octets = \"counted\" goes by what it sends",
        named.octets
    );
    sizes::keep(named.id, octets);
    Err(Failure::temporary(
        "the message is not as it was listed, log in again",
    ))
}

/// A large message, as it is received.
struct Piecewise {
    session: Rc<RefCell<Session>>,
    reader: u64,
    begun: Vec<u8>,
    /// Octets of `begun` that were handed over.
    given: usize,
    name: String,
}

impl Reader for Piecewise {
    fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
        let limit = limit as usize;
        if self.given < self.begun.len() {
            let end = self.begun.len().min(self.given + limit);
            let piece = self.begun[self.given..end].to_vec();
            self.given = end;
            if end == self.begun.len() {
                (self.begun, self.given) = (Vec::new(), 0);
            }
            return Ok(piece);
        }
        let mut session = self.session.borrow_mut();
        let Session {
            upstream,
            receiving,
            ..
        } = &mut *session;
        let over = || Failure::temporary("the message cannot be read on");
        let receiving = receiving.as_mut().filter(|now| now.reader == self.reader);
        let (Some(upstream), Some(receiving)) = (upstream, receiving) else {
            return Err(over());
        };
        // One octet at a time would leave no room for a CR that turns out to be one.
        let mut piece = Vec::new();
        while piece.is_empty() && !receiving.body.ended() {
            let limit = limit.clamp(2, PIECE);
            if let Err(trouble) = receiving.body.receive(upstream, &mut piece, limit) {
                session.forget();
                return Err(trouble.into_failure("a message"));
            }
        }
        if piece.is_empty() {
            let octets = receiving.body.octets();
            session.receiving = None;
            weighed(&Named::read(&self.name)?, octets)?;
        }
        if piece.len() > limit {
            self.begun = piece.split_off(limit);
        }
        Ok(piece)
    }
}
