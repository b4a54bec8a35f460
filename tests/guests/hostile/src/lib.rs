//! A guest that plays every role and does one misdeed, which the setting
//! `misdeed` names, in the call that `at` names: "authenticate", "open",
//! "screen", ... Everything else it does honestly: everybody who says "x" is let
//! in, admitted, and has a maildrop of three messages.

mod canary;
mod deeds;
mod store;

use restante_guest::accepts::{Accepts, Kinds};
use restante_guest::admission::{self, Admission};
use restante_guest::filter;
use restante_guest::prelude::*;
use restante_guest::scram::{Hash, Keys, Scram};

struct Hostile;

restante_guest::export! {
    admission: Hostile,
    authenticator: Hostile,
    accepts: Hostile,
    scram: Hostile,
    selector: Hostile,
    filter: Hostile,
    settings: Hostile,
}

/// What is to be done; empty: nothing.
fn misdeed() -> String {
    settings::get("misdeed").unwrap_or_default()
}

/// Every call passes here.
fn called(call: &str) {
    if settings::get("at").as_deref() == Some(call) {
        deeds::commit(&misdeed(), call);
    }
}

impl Admission for Hostile {
    fn admit(connection: Connection) -> admission::Verdict {
        called("admit");
        match misdeed().as_str() {
            "deny" => admission::Verdict::Deny("not today".to_owned()),
            "deny-at-length" => admission::Verdict::Deny("no ".repeat(1 << 20)),
            "deny-injection" => admission::Verdict::Deny("no]\r\n+OK come in".to_owned()),
            "deny-in-the-clear" if connection.tls.is_none() => {
                admission::Verdict::Deny("say STLS first".to_owned())
            }
            "delay" => admission::Verdict::Delay(700),
            _ => admission::Verdict::Admit,
        }
    }
}

impl Accepts for Hostile {
    fn accepts() -> Kinds {
        called("accepts");
        match settings::get("scram").is_some() {
            true => Kinds::PASSWORD | Kinds::SCRAM_SHA256,
            false => Kinds::PASSWORD,
        }
    }
}

impl Scram for Hostile {
    fn lookup(_: Connection, _: String, _: Option<String>, _: Hash) -> Result<Keys, Denial> {
        called("lookup");
        Err(Denial::Unknown)
    }
}

impl Authenticator for Hostile {
    fn authenticate(_: Connection, credentials: Credentials) -> Result<Account, Denial> {
        called("authenticate");
        let credentials = match (misdeed().as_str(), credentials) {
            // One password opens every mailbox.
            (
                "ignore-acting-as",
                Credentials::Password {
                    user,
                    acting_as,
                    secret,
                },
            ) => {
                let user = acting_as.unwrap_or(user);
                Credentials::Password {
                    user,
                    acting_as: None,
                    secret,
                }
            }
            (_, credentials) => credentials,
        };
        let Some((user, secret)) = credentials.into_password() else {
            return Err(Denial::Unknown);
        };
        match misdeed().as_str() {
            "canary" => {
                return Err(Failure::temporary(canary::visit(&user, secret.expose())).into());
            }
            "other-settings" => {
                return Err(Failure::temporary(deeds::settings_in_words()).into());
            }
            "long-words" => return Err(Failure::temporary("word ".repeat(200_000)).into()),
            "injection" => {
                let words = "wrong] [AUTH]\r\n+OK logged in\r\n.\r\n\x1b[2J";
                return Err(Failure::temporary(words).into());
            }
            "unregistered-code" => {
                let code = "X]\r\n+OK".to_owned();
                return Err(Failure::Other((code, "text".to_owned())).into());
            }
            "huge-account" => {
                let mut account = Account::new("u".repeat(8 << 20));
                account.attributes = vec![("key".repeat(1000), "v".repeat(1000)); 4000];
                return Ok(account);
            }
            // Whose user it says it is decides where the store looks.
            "other-maildrop" => {
                let mut account = Account::new(user);
                account.maildrop = settings::get("maildrop").unwrap_or_default();
                return Ok(account);
            }
            "other-user" => {
                let user = settings::get("user").unwrap_or_default();
                return Ok(Account::new(user));
            }
            "deny-all" => return Err(Denial::Rejected),
            _ => {}
        }
        match secret.expose() {
            "x" => Ok(Account::new(user)),
            _ => Err(Denial::Rejected),
        }
    }
}

impl Selector for Hostile {
    fn select(_: Connection, _: Account, view: &View<'_>) -> Result<Positions, Failure> {
        called("select");
        if misdeed() == "beyond-the-listing" {
            return Ok((0..view.count() + 7).collect());
        }
        Ok(Positions::none())
    }
}

impl Filter for Hostile {
    fn screen(_: Account, message: &Message<'_>) -> Result<filter::Verdict, Failure> {
        called("screen");
        let fields = |field: String| Ok(filter::Verdict::Annotate(vec![field]));
        match misdeed().as_str() {
            "field-injection" => fields("X-Ok: yes\r\nX-Evil: yes\r\n\r\nnew body".to_owned()),
            "field-bare-line-feed" => fields("X-Ok: yes\nX-Evil: yes".to_owned()),
            "field-nul" => fields("X-Ok: y\0es".to_owned()),
            "field-without-colon" => fields("not a field".to_owned()),
            "field-too-long" => fields(format!("X-Ok: {}", "y".repeat(1 << 20))),
            "field-crowd" => Ok(filter::Verdict::Annotate(vec![
                "X-Ok: y".to_owned();
                10_000
            ])),
            "hide-all" => Ok(filter::Verdict::Hide),
            "read-beyond" => {
                for offset in [0, 1 << 20, u64::MAX] {
                    let octets = message.read(offset, u32::MAX)?;
                    log::info!("{} octets from {offset}", octets.len());
                }
                Ok(filter::Verdict::Show)
            }
            "fail" => Err(Failure::temporary("the filter is out of order")),
            _ => Ok(filter::Verdict::Show),
        }
    }
}

impl Validate for Hostile {
    fn validate() -> Result<(), Vec<String>> {
        called("validate");
        match misdeed().as_str() {
            "long-complaint" => Err(vec!["long ".repeat(1 << 20); 8]),
            _ => Ok(()),
        }
    }
}
