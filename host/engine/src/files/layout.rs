//! Which file a blob's path is.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::blobs::BlobPath;

/// Octets of a file's name that is made of the path; file systems take 255.
const MAX_FILE_NAME_OCTETS: usize = 200;

/// A blob's place below the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    /// Names of the two directories.
    pub(super) directories: [String; 2],
    /// The same as a number.
    pub(super) bucket: u16,
    /// Name of the file.
    pub(super) name: String,
}

/// Two paths never have the same file: "%" stands before what is not as in the path.
pub(super) fn spot(path: &BlobPath) -> Spot {
    let hash = Sha256::digest(path.as_str());
    let mut name = String::new();
    for octet in path.as_str().bytes() {
        let is_plain = octet.is_ascii_alphanumeric()
            || (b"_-@+=,".contains(&octet) || octet == b'.' && !name.is_empty());
        match is_plain {
            true => name.push(char::from(octet)),
            false => push_hex(&mut name, "%", octet),
        }
    }
    if name.len() > MAX_FILE_NAME_OCTETS {
        name = "%-".to_owned();
        for octet in hash {
            push_hex(&mut name, "", octet);
        }
    }
    let directory = |octet: u8| format!("{octet:02x}");
    Spot {
        directories: [directory(hash[0]), directory(hash[1])],
        bucket: u16::from_be_bytes([hash[0], hash[1]]),
        name,
    }
}

fn push_hex(name: &mut String, before: &str, octet: u8) {
    // A String takes whatever is written to it.
    let _ = write!(name, "{before}{octet:02X}");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_path_has_a_file_of_its_own() {
        let long = "ü/".repeat(300);
        let long_hash = spot(&BlobPath::new(format!("{long}a")).unwrap()).name;
        let paths = [
            "a",
            "A",
            "a/b",
            "a%2Fb",
            "a%252Fb",
            ".a",
            "..a",
            "%-a",
            "a b",
            "ü",
            &long_hash,
            &format!("{long}a"),
            &format!("{long}b"),
        ];
        let names: HashSet<String> = (paths.iter())
            .map(|path| spot(&BlobPath::new(*path).unwrap()).name)
            .collect();
        assert_eq!(names.len(), paths.len(), "{names:?}");
        for name in names {
            assert!(
                !name.starts_with('.') && !name.contains('/') && name.len() <= 200,
                "{name}"
            );
        }
    }

    #[test]
    fn the_files_of_a_path_are_where_they_were() {
        // A change of this would lose all mail: SHA-256 of "mail/ab12" by sha256sum.
        let spot = spot(&BlobPath::new("mail/ab12").unwrap());
        assert_eq!(spot.name, "mail%2Fab12");
        assert_eq!(spot.directories.concat(), "7137");
    }
}
