//! Messages that were asked for are seen, as far as other mail programs go: they belong
//! into `cur`, with the flag S.

use std::fs;
use std::io;
use std::path::Path;

use restante_guest::files;
use restante_guest::log;
use restante_guest::maildir;

/// Before the flags of a name that has none yet.
const FLAGS: &str = ":2,";
const SEEN: char = 'S';

/// Moves a message's file, named below the Maildir, and says where it is then. None: it
/// stays, because it is marked, or another file has the name that it would get.
///
/// # Errors
/// What the file system says. The file is where it was.
pub(crate) fn mark(root: &Path, path: &str) -> io::Result<Option<String>> {
    let Some(seen) = seen(path) else {
        return Ok(None);
    };
    let (from, to) = (root.join(path), root.join(&seen));
    // To rename would put it over a file that has this name, and that may be mail.
    match fs::hard_link(&from, &to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Moved meanwhile, and looked for by whoever wants it. Or there is no `cur`.
            let there = files::stat(&from).map_err(io::Error::other)?;
            return there.map_or(Ok(None), |_| Err(error));
        }
        // Without hard links (FAT, some SMB) there is no way that writes over nothing.
        Err(error) => return Err(error),
    }
    // A file server may have done it and say that it has not: then the new name is the last
    // one. Two names of one file are one message.
    if let Err(error) = fs::remove_file(&from) {
        log::warn!("{from:?} is marked as seen and keeps its old name: {error}");
    }
    Ok(Some(seen))
}

/// Where a message's file belongs once it is seen. None: it is there.
fn seen(path: &str) -> Option<String> {
    let (directory, name) = path.split_once('/')?;
    let flags = maildir::flags(name);
    let is_marked = flags.contains(SEEN);
    if directory == "cur" && is_marked {
        return None;
    }
    let mut seen = format!("cur/{name}");
    if is_marked {
        return Some(seen);
    }
    if flags.is_empty() && !maildir::has_flags(name) {
        seen.push_str(FLAGS);
    }
    // In the order of ASCII, as Maildir has it.
    let after = flags.chars().take_while(|flag| *flag < SEEN).count();
    seen.insert(seen.len() - flags.len() + after, SEEN);
    Some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stay_and_stand_in_order() {
        for (path, expected) in [
            ("new/1.a.h", Some("cur/1.a.h:2,S")),
            ("new/1.a.h,S=5:2,", Some("cur/1.a.h,S=5:2,S")),
            ("cur/1.a.h:2,FRT", Some("cur/1.a.h:2,FRST")),
            ("cur/1.a.h:2,Rab", Some("cur/1.a.h:2,RSab")),
            ("cur/1.a.h;2,R", Some("cur/1.a.h;2,RS")),
            ("cur/1.a.h!2,", Some("cur/1.a.h!2,S")),
            ("new/1.a.h:2,S", Some("cur/1.a.h:2,S")),
            ("cur/1.a.h:2,RS", None),
            ("1.a.h", None),
        ] {
            assert_eq!(seen(path).as_deref(), expected, "{path}");
        }
    }
}
