//! Names of users: which of them are one user's.

use restante_guest::users::Case;

/// Two names with a line end between them. They are the same user's only if one
/// becomes the other by changing the case of letters of ASCII, where case counts in the
/// domain alone, and then in every way that is asked.
pub fn users(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (one, other) = text.split_once('\n').unwrap_or((text, text));
    for case in [Case::Exact, Case::Fold] {
        let same = case.is_same(one, other);
        assert_eq!(same, case.is_same(other, one));
        assert_eq!(same, case.canonical(one) == case.canonical(other));
        let as_they_are = match case {
            Case::Exact => {
                let parts = |name| str::rsplit_once(name, '@').unwrap_or((name, ""));
                let ((one, domain), (other, its)) = (parts(one), parts(other));
                one == other && differ_in_case(domain, its)
            }
            Case::Fold => differ_in_case(one, other),
        };
        assert_eq!(
            same,
            as_they_are && one.contains('@') == other.contains('@')
        );
        for name in [one, other] {
            let canonical = case.canonical(name);
            assert!(case.is_same(name, &canonical));
            assert_eq!(case.canonical(&canonical), canonical);
            // What is another letter stays one, and in its place.
            assert_eq!(canonical.len(), name.len());
            let beyond = |text: &str| -> Vec<(usize, char)> {
                text.char_indices()
                    .filter(|(_, letter)| !letter.is_ascii_alphabetic())
                    .collect()
            };
            assert_eq!(beyond(&canonical), beyond(name));
        }
    }
}

/// Octet for octet, but for the bit that is the case of a letter of ASCII.
fn differ_in_case(one: &str, other: &str) -> bool {
    let letter = |octet: u8| (octet | 0x20).is_ascii_lowercase();
    let same = |(one, other): (u8, u8)| {
        one == other || letter(one) && letter(other) && one | 0x20 == other | 0x20
    };
    one.len() == other.len() && one.bytes().zip(other.bytes()).all(same)
}
