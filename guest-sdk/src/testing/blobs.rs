//! The octets of a maildrop in an engine, in memory.

use super::mail_index::ask;
use crate::bindings::host::restante::plugin::mail_index as raw;
use crate::blobs::MAX_OCTETS;
use crate::store::BLOBS;

pub(crate) fn read(path: &str, offset: u64, length: u32) -> Result<Option<Vec<u8>>, raw::Problem> {
    let is_part = |part: &str| !matches!(part, "" | "." | "..");
    let below = path.strip_prefix(BLOBS);
    let below = below.filter(|below| below.split('/').all(is_part));
    ask(|state| {
        let Some(below) = below else {
            let text = format!("blob path {path:?} leads to no message");
            return Err(raw::Problem::Invalid(text));
        };
        Ok(state.blob(below).map(|octets| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let start = start.min(octets.len());
            let length = length.min(MAX_OCTETS) as usize;
            let end = start.saturating_add(length).min(octets.len());
            octets.get(start..end).unwrap_or_default().to_vec()
        }))
    })
}
