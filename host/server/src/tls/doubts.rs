//! What is right about certificates today, and yet turns clients away today or soon: their
//! dates, and the names that they are for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use tokio_rustls::rustls;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// As certificates are counted.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An operator has this long to renew a certificate, once told.
const NOTICE: Duration = Duration::from_secs(30 * DAY.as_secs());

/// Names that one line shows; of more, only the number.
const MAX_SHOWN: usize = 5;

/// What stands for any name below a wildcard: no certificate has it as a name of its own.
const ANY_LABEL: &str = "restante-any-name";

/// What is to be said of a certificate's dates. None: they are in order, or cannot be read.
pub(super) fn of_dates(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let now = i64::try_from(now).ok()?;
    let (begin, end) = (&validity.not_before, &validity.not_after);
    let notice = i64::try_from(NOTICE.as_secs()).ok()?;
    let day = i64::try_from(DAY.as_secs()).ok()?;
    if end.timestamp() < now {
        return Some(format!(
            "ended on {}: clients refuse it, renew it now",
            date(end)
        ));
    }
    if begin.timestamp() > now {
        return Some(format!(
            "is valid from {} on: until then clients refuse it (if that day is over, this machine's clock is wrong)",
            date(begin)
        ));
    }
    let left = end.timestamp().saturating_sub(now);
    (left < notice).then(|| {
        let days = match left / day {
            0 => "within a day".to_owned(),
            1 => "in 1 day".to_owned(),
            days => format!("in {days} days"),
        };
        format!("ends on {}, {days}: renew it", date(end))
    })
}

/// The day, in UTC.
fn date(time: &ASN1Time) -> String {
    time.to_datetime().date().to_string()
}

/// Those of a tenant's server names that clients would not take the certificate for.
/// None: it fits all of them.
pub(super) fn of_names(
    certificate: &CertificateDer<'_>,
    server_names: &[String],
) -> Option<String> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let fits = |name: &str| {
        let asked = match name.strip_prefix("*.") {
            Some(parent) => format!("{ANY_LABEL}.{parent}"),
            None => name.to_owned(),
        };
        let asked = ServerName::try_from(asked);
        asked.is_ok_and(|asked| verify_server_name(&parsed, &asked).is_ok())
    };
    listed(server_names.iter().filter(|name| !fits(name)))
}

/// The names, or the first of them. None: there are none.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n String>) -> Option<String> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let shown = names[..names.len().min(MAX_SHOWN)].join(", ");
    match names.len() {
        0 => None,
        count if count > MAX_SHOWN => Some(format!("{shown} and {} more", count - MAX_SHOWN)),
        _ => Some(shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str], days: std::ops::Range<i64>) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        let at = |days: i64| {
            let days_away = Duration::from_secs(days.unsigned_abs() * DAY.as_secs());
            match days < 0 {
                true => SystemTime::now() - days_away,
                false => SystemTime::now() + days_away,
            }
        };
        params.not_before = at(days.start).into();
        params.not_after = at(days.end).into();
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn said(days: std::ops::Range<i64>, later: u64) -> String {
        let certificate = certificate(&["a.example"], days);
        let now = SystemTime::now() + Duration::from_secs(later);
        of_dates(&certificate, now).unwrap_or_default()
    }

    #[test]
    fn a_month_before_its_end_and_after_it_a_certificate_is_told() {
        assert_eq!(said(-10..31, 60), "");
        assert!(said(-10..30, 60).contains(", in 29 days: renew it"));
        assert!(said(-10..2, 60).contains(", in 1 day: renew it"));
        assert!(said(-10..1, 60).contains(", within a day: renew it"));
        let ended = said(-10..-1, 0);
        assert!(ended.starts_with("ended on 20"), "{ended}");
        // The day alone, as ISO 8601 has it.
        assert!(ended.contains("-") && ended.contains(": clients refuse it"));
        let early = said(2..90, 0);
        assert!(early.starts_with("is valid from 20"), "{early}");
    }

    #[test]
    fn names_that_a_certificate_does_not_have_are_told() {
        let certificate = certificate(&["pop.a.example", "*.b.example"], -1..90);
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            of_names(&certificate, &names)
        };
        assert_eq!(names(&[]), None);
        assert_eq!(
            names(&["pop.a.example", "x.b.example", "*.b.example"]),
            None
        );
        assert_eq!(
            names(&[
                "pop.a.example",
                "imap.a.example",
                "*.a.example",
                "b.example"
            ]),
            Some("imap.a.example, *.a.example, b.example".into())
        );
        // A wildcard stands for one label.
        assert_eq!(names(&["x.y.b.example"]), Some("x.y.b.example".into()));
        let many = ["1", "2", "3", "4", "5", "6", "7"].map(|label| format!("{label}.c.example"));
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let told = names(&many).unwrap();
        assert!(told.ends_with("5.c.example and 2 more"), "{told}");
    }

    #[test]
    fn what_cannot_be_read_is_not_this_rooms_to_say() {
        let rubbish = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(of_dates(&rubbish, SystemTime::now()), None);
        assert_eq!(of_names(&rubbish, &["a.example".into()]), None);
    }
}
