//! What MAIL and RCPT say: an address, and parameters of the extensions that are
//! offered. After that nothing in it needs checking again.

use crate::address::Address;
use crate::client::Attributes;
use crate::fault::Fault;
use crate::parameters::{Parameter, parameters};
use crate::xtext;

const MAIL_USAGE: &str = "Syntax: MAIL FROM:<address> [parameters]";
const RCPT_USAGE: &str = "Syntax: RCPT TO:<address> [parameters]";

/// Longest envelope identifier in octets, as it is sent (RFC 3461 section 4.4).
const MAX_ENVID_OCTETS: usize = 100;

/// Longest original recipient in octets, as it is sent (RFC 3461 section 4.2).
const MAX_ORCPT_OCTETS: usize = 500;

/// Digits of a size (RFC 1870 section 3).
const MAX_SIZE_DIGITS: usize = 20;

/// What MAIL says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Where reports go. None: the null reverse-path, nowhere.
    pub reverse_path: Option<Address>,
    /// SIZE (RFC 1870): octets that the client expects the message to have.
    pub size: Option<u64>,
    /// BODY (RFC 6152, RFC 3030).
    pub body: Body,
    /// SMTPUTF8 (RFC 6531): addresses and header fields may be UTF-8.
    pub smtputf8: bool,
    /// RET (RFC 3461 section 4.3): what a report of failure brings back.
    pub ret: Option<Ret>,
    /// ENVID (RFC 3461 section 4.4), decoded: printable ASCII.
    pub envelope_id: Option<String>,
    /// What XFORWARD said of this message's client.
    pub forwarded: Option<Attributes>,
}

/// What a message's octets may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Body {
    /// ASCII in lines, as far as it was said.
    #[default]
    SevenBit,
    /// Octets in lines.
    EightBitMime,
    /// Any octets, by BDAT only.
    BinaryMime,
}

/// What a report of failure brings back of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// What RCPT says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// For whom.
    pub address: Address,
    /// NOTIFY (RFC 3461 section 4.1). Reports are the client's to make: it learns what
    /// became of each recipient.
    pub notify: Option<Notify>,
    /// ORCPT (RFC 3461 section 4.2): for whom it was at first.
    pub original: Option<OriginalRecipient>,
}

/// Of what the sender wants reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notify {
    /// Of success. All three are false for NEVER.
    pub success: bool,
    /// Of failure.
    pub failure: bool,
    /// Of delay.
    pub delay: bool,
}

/// For whom a message was at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// Mostly `rfc822` or `utf-8`, as it was written.
    pub address_type: String,
    /// The address, decoded. No control character is in it.
    pub address: String,
}

/// What of it is offered, and how large a message may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) smtputf8: bool,
    pub(crate) chunking: bool,
    pub(crate) message_octets: u64,
}

impl Mail {
    /// Reads what stands behind "MAIL ".
    pub(crate) fn parse(text: &str, terms: &Terms) -> Result<Self, Fault> {
        let (path, rest) = path(text, "FROM:", MAIL_USAGE)?;
        let mut mail = Mail {
            reverse_path: None,
            size: None,
            body: Body::default(),
            smtputf8: false,
            ret: None,
            envelope_id: None,
            forwarded: None,
        };
        for parameter in parameters(rest, MAIL_USAGE)? {
            mail.parameter(&parameter, terms)?;
        }
        mail.reverse_path = Address::sender(path, mail.smtputf8).map_err(Fault::sender)?;
        if mail
            .size
            .is_some_and(|octets| octets > terms.message_octets)
        {
            return Err(Fault::MESSAGE_TOO_LARGE);
        }
        Ok(mail)
    }

    fn parameter(&mut self, parameter: &Parameter<'_>, terms: &Terms) -> Result<(), Fault> {
        match parameter.keyword.to_ascii_uppercase().as_str() {
            "SIZE" => self.size = Some(size(parameter)?),
            "BODY" => self.body = body(parameter, terms)?,
            "SMTPUTF8" if terms.smtputf8 => {
                if parameter.value.is_some() {
                    return Err(parameter.bad());
                }
                self.smtputf8 = true;
            }
            "RET" => {
                self.ret = Some(match parameter.value()?.to_ascii_uppercase().as_str() {
                    "FULL" => Ret::Full,
                    "HDRS" => Ret::Headers,
                    _ => return Err(parameter.bad()),
                });
            }
            "ENVID" => {
                let value = parameter.value()?;
                let decoded = xtext::decoded(value).filter(|id| {
                    let is_printable = id.bytes().all(|octet| matches!(octet, b' '..=b'~'));
                    is_printable && value.len() <= MAX_ENVID_OCTETS
                });
                self.envelope_id = Some(decoded.ok_or_else(|| parameter.bad())?);
            }
            _ => return Err(Fault::unknown_parameter(parameter.keyword)),
        }
        Ok(())
    }
}

impl Recipient {
    /// Reads what stands behind "RCPT "; `utf8`: MAIL said SMTPUTF8.
    pub(crate) fn parse(text: &str, utf8: bool) -> Result<Self, Fault> {
        let (path, rest) = path(text, "TO:", RCPT_USAGE)?;
        let (mut notify, mut original) = (None, None);
        for parameter in parameters(rest, RCPT_USAGE)? {
            if parameter.is("NOTIFY") {
                notify = Some(self::notify(&parameter)?);
            } else if parameter.is("ORCPT") {
                original = Some(original_recipient(&parameter, utf8)?);
            } else {
                return Err(Fault::unknown_parameter(parameter.keyword));
            }
        }
        let address = Address::recipient(path, utf8).map_err(Fault::recipient)?;
        Ok(Recipient {
            address,
            notify,
            original,
        })
    }
}

/// `FROM:<…>`, and what comes behind the path.
fn path<'a>(
    text: &'a str,
    keyword: &str,
    usage: &'static str,
) -> Result<(&'a str, &'a str), Fault> {
    let wrong = || Fault::syntax(usage);
    let (word, rest) = text.split_at_checked(keyword.len()).ok_or_else(wrong)?;
    if !word.eq_ignore_ascii_case(keyword) {
        return Err(wrong());
    }
    let path = rest.strip_prefix('<').ok_or_else(wrong)?;
    let (mut is_quoted, mut is_escaped) = (false, false);
    let end = path.find(|char| {
        let is_end = char == '>' && !is_quoted;
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        is_end
    });
    let (path, behind) = path.split_at(end.ok_or_else(wrong)?);
    Ok((path, behind.strip_prefix('>').unwrap_or_default()))
}

fn size(parameter: &Parameter<'_>) -> Result<u64, Fault> {
    let digits = parameter.value()?;
    if digits.len() > MAX_SIZE_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(parameter.bad());
    }
    // Twenty digits may be more than can be counted, and too large in any case.
    Ok(digits.parse().unwrap_or(u64::MAX))
}

fn body(parameter: &Parameter<'_>, terms: &Terms) -> Result<Body, Fault> {
    match parameter.value()?.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(Body::SevenBit),
        "8BITMIME" => Ok(Body::EightBitMime),
        "BINARYMIME" if terms.chunking => Ok(Body::BinaryMime),
        _ => Err(parameter.bad()),
    }
}

/// `NOTIFY=NEVER`, or a list of the others with commas.
fn notify(parameter: &Parameter<'_>) -> Result<Notify, Fault> {
    let value = parameter.value()?;
    let mut notify = Notify::default();
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(notify);
    }
    for word in value.split(',') {
        let known = match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => &mut notify.success,
            "FAILURE" => &mut notify.failure,
            "DELAY" => &mut notify.delay,
            _ => return Err(parameter.bad()),
        };
        *known = true;
    }
    Ok(notify)
}

/// `ORCPT=rfc822;xtext`, and for `utf-8` RFC 6533 section 3.
fn original_recipient(parameter: &Parameter<'_>, utf8: bool) -> Result<OriginalRecipient, Fault> {
    let bad = || parameter.bad();
    let value = parameter.value()?;
    let (address_type, address) = value.split_once(';').ok_or_else(bad)?;
    let is_type = !address_type.is_empty()
        && address_type
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    if !is_type || value.len() > MAX_ORCPT_OCTETS || !(utf8 || value.is_ascii()) {
        return Err(bad());
    }
    let decoded = match address_type.eq_ignore_ascii_case("utf-8") {
        true => xtext::decoded_utf8(address).or_else(|| xtext::decoded(address)),
        false => xtext::decoded(address),
    };
    let address = decoded
        .filter(|address| !address.is_empty())
        .ok_or_else(bad)?;
    Ok(OriginalRecipient {
        address_type: address_type.to_owned(),
        address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        smtputf8: true,
        chunking: true,
        message_octets: 1000,
    };

    fn mail(text: &str) -> Result<Mail, String> {
        Mail::parse(text, &TERMS).map_err(|fault| fault.reply.to_string())
    }

    fn recipient(text: &str) -> Result<Recipient, String> {
        Recipient::parse(text, false).map_err(|fault| fault.reply.to_string())
    }

    fn refused<T: std::fmt::Debug>(result: Result<T, String>, begins: &str, text: &str) {
        let said = result.expect_err(text);
        assert!(said.starts_with(begins), "{text}: {said}");
    }

    #[test]
    fn mail_with_all_of_its_parameters() {
        let all = "from:<\"a>b\"@x> size=1000 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=QQ+2B314159";
        let read = mail(all).unwrap();
        let sender = read.reverse_path.map(|path| path.to_string());
        assert_eq!(sender.as_deref(), Some("\"a>b\"@x"));
        assert_eq!((read.size, read.body), (Some(1000), Body::EightBitMime));
        assert_eq!((read.smtputf8, read.ret), (true, Some(Ret::Headers)));
        assert_eq!(read.envelope_id.as_deref(), Some("QQ+314159"));

        let plain = mail("FROM:<>").unwrap();
        assert_eq!((plain.reverse_path, plain.size), (None, None));
        assert_eq!(plain.body, Body::SevenBit);
        assert_eq!(mail("FROM:<> RET=FULL").unwrap().ret, Some(Ret::Full));
        assert_eq!(
            mail("FROM:<> BODY=BINARYMIME").unwrap().body,
            Body::BinaryMime
        );
        assert_eq!(mail("FROM:<> BODY=7BIT").unwrap().body, Body::SevenBit);
        assert!(mail("FROM:<\u{f6}@\u{f6}> SMTPUTF8").unwrap().smtputf8);
    }

    #[test]
    fn each_way_in_which_mail_is_wrong_has_its_code() {
        let long_id = format!("FROM:<> ENVID={}", "x".repeat(MAX_ENVID_OCTETS + 1));
        for (text, begins) in [
            ("", "501 5.5.4"),
            ("FROM", "501 5.5.4"),
            ("FROM:", "501 5.5.4"),
            ("FROM: <a@b>", "501 5.5.4"),
            ("FROM:a@b", "501 5.5.4"),
            ("FROM:<a@b", "501 5.5.4"),
            ("FROM:<\"a@b>", "501 5.5.4"),
            ("FROM:<a@b>SIZE=1", "501 5.5.4"),
            ("TO:<a@b>", "501 5.5.4"),
            ("\u{e4}\u{e4}\u{e4}", "501 5.5.4"),
            ("FROM:<a>", "501 5.1.7"),
            ("FROM:<Postmaster>", "501 5.1.7"),
            ("FROM:<a b@c>", "501 5.1.7"),
            ("FROM:<\u{f6}@x>", "553 5.6.7"),
            ("FROM:<> SIZE=1001", "552 5.3.4"),
            ("FROM:<> SIZE=99999999999999999999", "552 5.3.4"),
            ("FROM:<> SIZE=100000000000000000000", "501 5.5.4"),
            ("FROM:<> SIZE", "501 5.5.4"),
            ("FROM:<> SIZE=+1", "501 5.5.4"),
            ("FROM:<> BODY", "501 5.5.4"),
            ("FROM:<> BODY=9BIT", "501 5.5.4"),
            ("FROM:<> SMTPUTF8=yes", "501 5.5.4"),
            ("FROM:<> RET=ALL", "501 5.5.4"),
            ("FROM:<> RET", "501 5.5.4"),
            ("FROM:<> ENVID=a+zz", "501 5.5.4"),
            ("FROM:<> ENVID=+C3+A4", "501 5.5.4"),
            (&long_id, "501 5.5.4"),
            ("FROM:<> SIZE=1 SIZE=1", "501 5.5.4"),
            ("FROM:<> NOTIFY=NEVER", "555 5.5.4"),
            ("FROM:<> AUTH=<>", "555 5.5.4"),
            ("FROM:<> X-Y", "555 5.5.4 Parameter not known: X-Y"),
        ] {
            refused(mail(text), begins, text);
        }
        let nothing = Terms {
            smtputf8: false,
            chunking: false,
            ..TERMS
        };
        for (text, code) in [("FROM:<> SMTPUTF8", 555), ("FROM:<> BODY=BINARYMIME", 501)] {
            let fault = Mail::parse(text, &nothing).unwrap_err();
            assert_eq!(fault.reply.code(), code, "{text}");
        }
    }

    #[test]
    fn recipients_with_their_parameters() {
        let all = "TO:<mrose@x> NOTIFY=success,DELAY ORCPT=rfc822;m+2Brose@y";
        let read = recipient(all).unwrap();
        let notify = read.notify.unwrap();
        assert!(notify.success && notify.delay && !notify.failure);
        let original = read.original.unwrap();
        assert_eq!(original.address_type, "rfc822");
        assert_eq!(original.address, "m+rose@y");

        let never = recipient("TO:<mrose@x> NOTIFY=never").unwrap();
        assert_eq!(never.notify, Some(Notify::default()));
        assert_eq!(recipient("TO:<postmaster>").unwrap().address.domain(), None);
        let original = recipient("TO:<a@b> ORCPT=utf-8;\\x{F6}@b")
            .unwrap()
            .original;
        assert_eq!(original.unwrap().address, "\u{f6}@b");
        let utf8 = Recipient::parse("TO:<\u{f6}@b> ORCPT=utf-8;\u{f6}@b", true).unwrap();
        assert!(utf8.address.is_internationalized());
        assert_eq!(utf8.original.unwrap().address, "\u{f6}@b");
    }

    #[test]
    fn each_way_in_which_a_recipient_is_wrong_has_its_code() {
        let long = format!("TO:<a@b> ORCPT=rfc822;{}", "x".repeat(MAX_ORCPT_OCTETS));
        for (text, begins) in [
            ("", "501 5.5.4"),
            ("TO:a@b", "501 5.5.4"),
            ("FROM:<a@b>", "501 5.5.4"),
            ("TO:<>", "501 5.1.3"),
            ("TO:<mrose>", "501 5.1.3"),
            ("TO:<a@b@c>", "501 5.1.3"),
            ("TO:<\u{f6}@b>", "553 5.6.7"),
            ("TO:<a@b> NOTIFY", "501 5.5.4"),
            ("TO:<a@b> NOTIFY=NEVER,SUCCESS", "501 5.5.4"),
            ("TO:<a@b> NOTIFY=ALWAYS", "501 5.5.4"),
            ("TO:<a@b> NOTIFY=SUCCESS,", "501 5.5.4"),
            ("TO:<a@b> ORCPT=a@b", "501 5.5.4"),
            ("TO:<a@b> ORCPT=;a@b", "501 5.5.4"),
            ("TO:<a@b> ORCPT=rfc822;", "501 5.5.4"),
            ("TO:<a@b> ORCPT=rfc822;a+0Ab", "501 5.5.4"),
            ("TO:<a@b> ORCPT=rfc_822;a", "501 5.5.4"),
            ("TO:<a@b> ORCPT=utf-8;\u{f6}@b", "501 5.5.4"),
            (&long, "501 5.5.4"),
            ("TO:<a@b> SIZE=1", "555 5.5.4"),
        ] {
            refused(recipient(text), begins, text);
        }
    }
}
