//! Parameters of MAIL and RCPT (RFC 5321 section 4.1.2):
//!
//! ```text
//! Mail-parameters = esmtp-param *(SP esmtp-param)
//! esmtp-param     = esmtp-keyword ["=" esmtp-value]
//! esmtp-keyword   = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
//! esmtp-value     = 1*(%d33-60 / %d62-126 / UTF8-non-ascii)
//! ```

use crate::fault::Fault;

/// More than there are extensions that one command could use.
const MAX_PARAMETERS: usize = 16;

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameter<'a> {
    pub(crate) keyword: &'a str,
    pub(crate) value: Option<&'a str>,
}

impl<'a> Parameter<'a> {
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }

    /// The value, where there has to be one.
    pub(crate) fn value(&self) -> Result<&'a str, Fault> {
        self.value.ok_or_else(|| self.bad())
    }

    pub(crate) fn bad(&self) -> Fault {
        Fault::bad_parameter(self.keyword)
    }
}

/// Takes apart what stands behind a path: nothing, or a space and parameters, none of
/// them twice.
pub(crate) fn parameters<'a>(
    text: &'a str,
    usage: &'static str,
) -> Result<Vec<Parameter<'a>>, Fault> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let text = text.strip_prefix(' ').ok_or(Fault::syntax(usage))?;
    let mut parameters: Vec<Parameter<'a>> = Vec::new();
    for word in text.split(' ') {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let is_legal = is_keyword(keyword) && value.is_none_or(is_value);
        if !is_legal || parameters.len() == MAX_PARAMETERS {
            return Err(Fault::syntax(usage));
        }
        if parameters.iter().any(|known| known.is(keyword)) {
            return Err(Fault::bad_parameter(keyword));
        }
        parameters.push(Parameter { keyword, value });
    }
    Ok(parameters)
}

fn is_keyword(keyword: &str) -> bool {
    !keyword.is_empty()
        && !keyword.starts_with('-')
        && keyword
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

fn is_value(value: &str) -> bool {
    let fits = |char: char| match char {
        '=' => false,
        '!'..='~' => true,
        _ => !char.is_ascii() && !char.is_control(),
    };
    !value.is_empty() && value.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Result<Vec<(&str, Option<&str>)>, u16> {
        let parameters = parameters(text, "usage").map_err(|fault| fault.reply.code())?;
        let parameters = parameters.iter();
        Ok(parameters.map(|it| (it.keyword, it.value)).collect())
    }

    #[test]
    fn parameters_are_taken_apart() {
        assert_eq!(codes(""), Ok(vec![]));
        assert_eq!(
            codes(" SIZE=1 smtputf8 X-Y=a;b<>\u{e4}"),
            Ok(vec![
                ("SIZE", Some("1")),
                ("smtputf8", None),
                ("X-Y", Some("a;b<>\u{e4}"))
            ])
        );
    }

    #[test]
    fn what_is_no_parameter_is_refused() {
        let many: String = (0..=MAX_PARAMETERS).map(|it| format!(" X{it}")).collect();
        for text in [
            " ",
            "SIZE=1",
            "  SIZE=1",
            " SIZE=1  BODY=7BIT",
            " SIZE=",
            " =1",
            " -X=1",
            " A_B",
            " A=b=c",
            " \u{e4}=1",
            " A A",
            " SIZE=1 size=2",
            " A=\u{85}",
            &many,
        ] {
            assert_eq!(codes(text), Err(501), "{text:?}");
        }
    }
}
