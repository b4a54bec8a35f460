//! What the client hears of a failure: the code that RFC 2449 and RFC 3206 have
//! for it, and a text that was meant for it.

use restante_pop3::{Refusal, ResponseCode};

use restante_roles::backend::Failure;

/// The one answer to a login that did not succeed, whatever the reason: it does
/// not say whether the user exists.
pub(super) fn login_failed() -> Refusal {
    Refusal::new(Some(ResponseCode::Auth), "")
}

/// The same failure in POP3's words.
pub(super) fn refusal_for(failure: &Failure) -> Refusal {
    match failure {
        Failure::Temporary(text) => Refusal::new(Some(ResponseCode::SysTemp), text),
        Failure::Permanent(text) => Refusal::new(Some(ResponseCode::SysPerm), text),
        Failure::InUse(text) => Refusal::new(Some(ResponseCode::InUse), text),
        Failure::LoginDelay(seconds) => Refusal::new(
            Some(ResponseCode::LoginDelay),
            &format!("next login in {seconds} seconds, not sooner"),
        ),
        // A code that is not registered means nothing to a client.
        Failure::Other(code, text) => Refusal::new(code.parse().ok(), text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_code() {
        let other = |code: &str| Failure::Other(code.into(), "text".into());
        for (failure, code) in [
            (Failure::internal(), Some(ResponseCode::SysTemp)),
            (Failure::Permanent("p".into()), Some(ResponseCode::SysPerm)),
            (Failure::InUse("i".into()), Some(ResponseCode::InUse)),
            (Failure::LoginDelay(60), Some(ResponseCode::LoginDelay)),
            (other("utf8"), Some(ResponseCode::Utf8)),
            (other("X-OWN"), None),
        ] {
            assert_eq!(refusal_for(&failure).code(), code, "{failure}");
        }
        let delay = refusal_for(&Failure::LoginDelay(60));
        assert_eq!(delay.text(), "next login in 60 seconds, not sooner");
    }
}
