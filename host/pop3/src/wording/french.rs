//! French.

use std::fmt;

use super::phrase::{Contents, Phrase};
use crate::code::ResponseCode;
use crate::maildrop::NoMessage;
use crate::syntax::{Malformed, Syntax};

pub(super) fn word(phrase: &Phrase, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_str(match *phrase {
        Phrase::SendPass => "envoyez PASS",
        Phrase::BeginTls => "la négociation TLS peut commencer",
        Phrase::CapabilitiesFollow => "voici les capacités",
        Phrase::MechanismsFollow => "voici les mécanismes",
        Phrase::LanguagesFollow => "voici les langues",
        Phrase::LanguageChosen => "désormais en français",
        Phrase::Utf8Begins => "désormais en UTF-8",
        Phrase::SigningOff => "au revoir",
        Phrase::SignedOff(0) => "au revoir (boîte vide)",
        Phrase::SignedOff(1) => "au revoir (il reste 1 message)",
        Phrase::SignedOff(left) => return write!(out, "au revoir (il reste {left} messages)"),
        Phrase::Contents(contents) => return counted(contents, out),
        Phrase::MaildropHas(contents) => {
            out.write_str("dans la boîte : ")?;
            return counted(contents, out);
        }
        Phrase::Octets(octets) => return write!(out, "{octets} octets en tout"),
        Phrase::TopFollows => "voici le début du message",
        Phrase::UniqueIdsFollow => "voici les identifiants",
        Phrase::MessageDeleted(message) => return write!(out, "message {message} supprimé"),
        Phrase::NothingDone => "rien à faire",

        Phrase::NoMessage(no_message) => return missing(no_message, out),
        Phrase::LogInFirst => "identifiez-vous d’abord",
        Phrase::OnlyBeforeLogin => "seulement avant l’identification",
        Phrase::UserFirst => "il faut d’abord USER",
        Phrase::TlsIsActive => "TLS est déjà actif",
        Phrase::TlsNotOffered => "TLS n’est pas proposé",
        Phrase::StlsFirst => "pas d’identification en clair sans TLS : d’abord STLS",
        Phrase::NoPlaintextLogin => "pas d’identification en clair sur ce port",
        Phrase::NoMechanism => "aucun mécanisme n’est proposé",
        Phrase::UnknownMechanism => "mécanisme inconnu",
        Phrase::MechanismNotOffered => "ce mécanisme n’est pas proposé ici",
        Phrase::NotOffered => "cela n’est pas proposé ici",
        Phrase::UnknownLanguage => "cette langue n’est pas parlée ici",
        Phrase::TooManyBadCommands => "trop de commandes erronées, fermeture",
        Phrase::Syntax(syntax) => match syntax {
            Syntax::TooLong => "ligne trop longue",
            Syntax::ControlCharacter => "caractère de contrôle dans la commande",
            Syntax::UnknownKeyword => "commande inconnue",
            Syntax::UnexpectedArgument => "argument de trop",
            Syntax::MissingArgument => "il manque un argument",
            Syntax::NotANumber => "l’argument n’est pas un nombre",
            Syntax::UserName => "ce n’est pas un nom d’utilisateur",
            Syntax::Password => "ce n’est pas un mot de passe",
            Syntax::Digest => "il manque un condensat de 32 chiffres hexadécimaux",
            Syntax::LanguageRange => "ce n’est pas une étiquette de langue",
        },
        Phrase::Malformed(malformed) => match malformed {
            Malformed::Base64 => "ce n’est pas du Base64",
            Malformed::Message => "la réponse ne convient pas au mécanisme",
            Malformed::InitialResponse => "ce mécanisme commence par le serveur",
            Malformed::Cancelled => "identification abandonnée",
        },
        Phrase::Refused(None) => "refusé",
        Phrase::Refused(Some(code)) => match code {
            ResponseCode::LoginDelay => "identification trop récente, réessayez plus tard",
            ResponseCode::InUse => "la boîte est utilisée par une autre session",
            ResponseCode::SysTemp => "panne passagère, réessayez plus tard",
            ResponseCode::SysPerm => "panne, adressez-vous à l’administrateur",
            ResponseCode::Auth => "l’identification a échoué",
            ResponseCode::Utf8 => "il faut UTF8 pour cela",
        },
    })
}

fn counted(Contents { messages, octets }: Contents, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    // In French, none is singular.
    let plural = if messages < 2 { "" } else { "s" };
    write!(out, "{messages} message{plural} (en tout {octets} octets)")
}

fn missing(no_message: NoMessage, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match no_message {
        NoMessage::OnlyThereAre(messages) => {
            let plural = if messages < 2 { "" } else { "s" };
            write!(
                out,
                "pas de tel message, il n’y a que {messages} message{plural}"
            )
        }
        NoMessage::Deleted(message) => write!(out, "le message {message} est déjà supprimé"),
    }
}
