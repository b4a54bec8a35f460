//! Names of sections.

/// Octets of the name of a section, such as a listener's or a plugin's.
pub(super) const NAME_OCTETS: usize = 64;

/// Fit for log lines, metrics and file names.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= NAME_OCTETS
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
}
