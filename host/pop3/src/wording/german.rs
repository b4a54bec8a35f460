//! German.

use std::fmt;

use super::phrase::{Contents, Phrase};
use crate::code::ResponseCode;
use crate::maildrop::NoMessage;
use crate::syntax::{Malformed, Syntax};

pub(super) fn word(phrase: &Phrase, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_str(match *phrase {
        Phrase::SendPass => "weiter mit PASS",
        Phrase::BeginTls => "TLS-Aushandlung kann beginnen",
        Phrase::CapabilitiesFollow => "es folgen die Fähigkeiten",
        Phrase::MechanismsFollow => "es folgen die Mechanismen",
        Phrase::LanguagesFollow => "es folgen die Sprachen",
        Phrase::LanguageChosen => "ab jetzt auf Deutsch",
        Phrase::Utf8Begins => "ab jetzt in UTF-8",
        Phrase::SigningOff => "auf Wiedersehen",
        Phrase::SignedOff(0) => "auf Wiedersehen (Postfach leer)",
        Phrase::SignedOff(1) => "auf Wiedersehen (1 Nachricht bleibt)",
        Phrase::SignedOff(left) => {
            return write!(out, "auf Wiedersehen ({left} Nachrichten bleiben)");
        }
        Phrase::Contents(contents) => return counted(contents, out),
        Phrase::MaildropHas(contents) => {
            out.write_str("im Postfach: ")?;
            return counted(contents, out);
        }
        Phrase::Octets(octets) => return write!(out, "{octets} Oktette"),
        Phrase::TopFollows => "es folgt der Anfang der Nachricht",
        Phrase::UniqueIdsFollow => "es folgen die Kennungen",
        Phrase::MessageDeleted(message) => return write!(out, "Nachricht {message} gelöscht"),
        Phrase::NothingDone => "nichts getan",

        Phrase::NoMessage(no_message) => return missing(no_message, out),
        Phrase::LogInFirst => "erst nach der Anmeldung",
        Phrase::OnlyBeforeLogin => "nur vor der Anmeldung",
        Phrase::UserFirst => "vorher muss USER kommen",
        Phrase::TlsIsActive => "TLS ist schon aktiv",
        Phrase::TlsNotOffered => "TLS gibt es hier nicht",
        Phrase::StlsFirst => "ohne TLS keine Anmeldung im Klartext: erst STLS",
        Phrase::NoPlaintextLogin => "an diesem Port keine Anmeldung im Klartext",
        Phrase::NoMechanism => "kein Mechanismus wird angeboten",
        Phrase::UnknownMechanism => "unbekannter Mechanismus",
        Phrase::MechanismNotOffered => "diesen Mechanismus gibt es hier nicht",
        Phrase::NotOffered => "gibt es hier nicht",
        Phrase::UnknownLanguage => "diese Sprache wird hier nicht gesprochen",
        Phrase::TooManyBadCommands => "zu viele falsche Befehle, Verbindung wird geschlossen",
        Phrase::Syntax(syntax) => match syntax {
            Syntax::TooLong => "Zeile zu lang",
            Syntax::ControlCharacter => "Steuerzeichen im Befehl",
            Syntax::UnknownKeyword => "unbekannter Befehl",
            Syntax::UnexpectedArgument => "hier ist kein Argument erlaubt",
            Syntax::MissingArgument => "ein Argument fehlt",
            Syntax::NotANumber => "das Argument ist keine Zahl",
            Syntax::UserName => "das ist kein Benutzername",
            Syntax::Password => "das ist kein Passwort",
            Syntax::Digest => "hier fehlt ein Digest aus 32 Hexadezimalziffern",
            Syntax::LanguageRange => "das ist kein Sprachkürzel",
        },
        Phrase::Malformed(malformed) => match malformed {
            Malformed::Base64 => "das ist kein Base64",
            Malformed::Message => "die Antwort passt nicht zum Mechanismus",
            Malformed::InitialResponse => "dieser Mechanismus beginnt beim Server",
            Malformed::Cancelled => "Anmeldung abgebrochen",
        },
        Phrase::Refused(None) => "abgelehnt",
        Phrase::Refused(Some(code)) => match code {
            ResponseCode::LoginDelay => "die letzte Anmeldung ist zu kurz her, bitte später",
            ResponseCode::InUse => "eine andere Sitzung benutzt das Postfach",
            ResponseCode::SysTemp => "vorübergehende Störung, bitte später noch einmal",
            ResponseCode::SysPerm => "Störung, bitte die Verwaltung fragen",
            ResponseCode::Auth => "Anmeldung fehlgeschlagen",
            ResponseCode::Utf8 => "dafür wird UTF8 gebraucht",
        },
    })
}

fn counted(Contents { messages, octets }: Contents, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plural = if messages == 1 { "" } else { "en" };
    write!(out, "{messages} Nachricht{plural} ({octets} Oktette)")
}

fn missing(no_message: NoMessage, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match no_message {
        NoMessage::OnlyThereAre(1) => {
            out.write_str("keine solche Nachricht, es gibt nur 1 Nachricht")
        }
        NoMessage::OnlyThereAre(messages) => write!(
            out,
            "keine solche Nachricht, es gibt nur {messages} Nachrichten"
        ),
        NoMessage::Deleted(message) => write!(out, "Nachricht {message} ist schon gelöscht"),
    }
}
