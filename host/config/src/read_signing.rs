//! `signature-keys` and `signed`, wherever they stand.

use super::problem::quoted;
use super::section::Section;
use super::server::Signing;
use crate::signature::PublicKey;

/// Takes both keys of a section. Who names keys wants signatures, unless it
/// says otherwise.
pub(super) fn signing(section: &mut Section<'_, '_>) -> Signing {
    let example = "[\"RW…\"], the second line of a minisign.pub";
    let texts = section
        .take("signature-keys")
        .and_then(|value| value.strings(example))
        .unwrap_or_default();
    let named = !texts.is_empty();
    let mut keys: Vec<PublicKey> = Vec::with_capacity(texts.len());
    for text in texts {
        match PublicKey::parse(&text.value) {
            Some(key) if keys.contains(&key) => {}
            Some(key) => keys.push(key),
            None => section.report.problem(
                text.at,
                format!(
                    "{} in `signature-keys` of {} is no minisign public key",
                    quoted(&text.value),
                    section.name
                ),
                "write the second line of the minisign.pub, 56 characters that begin with RW",
            ),
        }
    }
    let said = section
        .take("signed")
        .and_then(|value| value.choice(&[("required", true), ("optional", false)]));
    Signing {
        keys,
        required: said.unwrap_or(named),
    }
}
