//! What a guest's paths lead to, at once and by way of the blocking pool.

use super::*;

fn open(path: &std::path::Path) -> Arc<Root> {
    Arc::new(Root::open(path).unwrap())
}

fn never() -> Stop {
    Stop::new(tokio::time::Instant::now() + std::time::Duration::from_secs(3600))
}

/// A directory "inside" with every kind of thing in it, beside a secret.
fn tree() -> (tempfile::TempDir, Arc<Root>) {
    let root = tempfile::tempdir().unwrap();
    let inside = root.path().join("inside");
    std::fs::create_dir_all(inside.join("new")).unwrap();
    std::fs::write(inside.join("mail"), b"0123456789").unwrap();
    std::fs::write(inside.join("empty"), b"").unwrap();
    std::fs::write(root.path().join("secret"), b"no").unwrap();
    for (target, link) in [
        ("mail", "alias"),
        ("new", "alias-of-new"),
        ("nowhere", "dangling"),
        ("../secret", "out"),
        ("/etc/passwd", "absolute"),
        ("/proc/self/root/etc/passwd", "magic"),
        ("loop", "loop"),
    ] {
        std::os::unix::fs::symlink(target, inside.join(link)).unwrap();
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        inside.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let dir = open(&inside);
    (root, dir)
}

fn at(dir: &Arc<Root>, path: &str) -> Place {
    let none: Arc<[Granted]> = Arc::new([]);
    place(Some(dir), &none, path).unwrap().unwrap()
}

/// Asks both ways, which must say the same where the quick one says anything.
fn both<R: PartialEq + std::fmt::Debug>(
    cached: Option<io::Result<R>>,
    waiting: io::Result<R>,
) -> Result<Option<R>, String> {
    match (cached, &waiting) {
        (Some(Ok(cached)), Ok(waiting)) => assert_eq!(cached, *waiting),
        (Some(Ok(cached)), Err(error)) => panic!("{cached:?}, but {error}"),
        (Some(Err(error)), waiting) if error.kind() == io::ErrorKind::NotFound => {
            let waiting = waiting.as_ref().map_err(|error| error.kind());
            assert_eq!(waiting, Err(io::ErrorKind::NotFound));
        }
        (Some(Err(_)) | None, _) => {}
    }
    present(waiting)
}

/// The octets of a message and of its surrogate, and how large its file is.
fn measure_both(place: &Place) -> Result<Option<(u64, u64, u64)>, String> {
    let plain = |weight: Weight| (weight.octets, weight.surrogate, weight.status.size);
    let cached = measure_cached(place).map(|weight| weight.map(plain));
    both(cached, measure(place, &never()).map(plain))
}

fn stat_both(dir: &Arc<Root>, path: &str) -> Result<Option<Plain>, String> {
    let place = at(dir, path);
    let cached = stat_cached(&place).map(|status| status.map(|(status, _)| plain(status)));
    both(cached, stat(&place).map(|(status, _)| plain(status)))
}

fn read_both(
    dir: &Arc<Root>,
    path: &str,
    offset: u64,
    length: u32,
) -> Result<Option<Vec<u8>>, String> {
    let place = at(dir, path);
    let plain = |chunk: Chunk| (chunk.octets, plain(chunk.status));
    let cached = read_cached(&place, offset, length).map(|chunk| chunk.map(plain));
    let waiting = read_waiting(&place, offset, length).map(plain);
    both(cached, waiting).map(|chunk| chunk.map(|(octets, _)| octets))
}

/// What must lead nowhere: outside, in circles, or no path at all.
fn nowhere() -> Vec<String> {
    let mut paths: Vec<String> = ["../secret", "out", "absolute", "magic", "..", "loop"]
        .into_iter()
        .chain(["new/../../secret", "mail\0", "mail/below", "mail/"])
        .map(str::to_owned)
        .collect();
    paths.push("a/".repeat(4000));
    paths.push("a".repeat(300));
    paths
}

#[test]
fn a_status_says_what_is_there_below_the_grant() {
    let (root, dir) = tree();
    let about = std::fs::metadata(root.path().join("inside/mail")).unwrap();
    let modified = about.modified().unwrap().duration_since(UNIX_EPOCH);
    let mail = stat_both(&dir, "mail").unwrap().unwrap();
    assert_eq!((mail.0, mail.1), (Kind::File as u8, 10));
    assert_eq!(u128::from(mail.2), modified.unwrap().as_nanos());
    assert_eq!(mail.3.is_some(), about.created().is_ok());
    assert_eq!(mail.4, std::os::unix::fs::MetadataExt::ino(&about));
    assert_eq!(stat_both(&dir, "alias"), Ok(Some(mail)));
    let new = stat_both(&dir, "new").unwrap().unwrap();
    assert_eq!(new.0, Kind::Directory as u8);
    assert_eq!(stat_both(&dir, "alias-of-new"), Ok(Some(new)));
    assert_eq!(stat_both(&dir, "").unwrap().unwrap().0, new.0);
    assert_eq!(stat_both(&dir, "new/..").unwrap().unwrap().0, new.0);
    let fifo = stat_both(&dir, "fifo").unwrap().unwrap();
    assert_eq!(fifo.0, Kind::Other as u8);
    for path in ["missing", "new/missing", "missing/below", "dangling"] {
        assert_eq!(stat_both(&dir, path), Ok(None), "{path}");
    }
    for path in nowhere() {
        assert!(stat_both(&dir, &path).is_err(), "{path:?}");
    }
}

#[test]
fn what_is_older_than_the_epoch_is_from_the_epoch() {
    let (root, dir) = tree();
    let old = UNIX_EPOCH - std::time::Duration::from_secs(1000);
    let mail = root.path().join("inside/mail");
    File::open(&mail).unwrap().set_modified(old).unwrap();
    assert_eq!(stat_both(&dir, "mail").unwrap().unwrap().2, 0);
}

#[test]
fn parts_of_regular_files_are_read_and_nothing_else() {
    let (_root, dir) = tree();
    let read = |path: &str, offset, length| read_both(&dir, path, offset, length);
    let octets = |octets: &[u8]| Ok(Some(octets.to_vec()));
    assert_eq!(read("mail", 0, 100), octets(b"0123456789"));
    assert_eq!(read("mail", 3, 4), octets(b"3456"));
    assert_eq!(read("mail", 8, u32::MAX), octets(b"89"));
    assert_eq!(read("alias", 9, 1), octets(b"9"));
    for (path, offset, length) in [
        ("mail", 0, 0),
        ("mail", 10, 1),
        ("mail", 11, 1),
        ("mail", u64::MAX, u32::MAX),
        ("empty", 0, 1),
    ] {
        assert_eq!(read(path, offset, length), octets(b""), "{path} {offset}");
    }
    assert_eq!(read("missing", 0, 1), Ok(None));
    assert_eq!(read("dangling", 0, 1), Ok(None));
    for path in ["new", "", "fifo", "alias-of-new"] {
        assert!(read(path, 0, 1).is_err(), "{path:?}");
    }
    for path in nowhere() {
        assert!(read(&path, 0, 1).is_err(), "{path:?}");
    }
}

#[test]
fn one_read_is_bounded() {
    let (root, dir) = tree();
    let whole: Vec<u8> = (0..u64::from(READ) + 5).map(|n| (n % 251) as u8).collect();
    std::fs::write(root.path().join("inside/large"), &whole).unwrap();
    let (first, rest) = whole.split_at(READ as usize);
    let read = |offset| read_both(&dir, "large", offset, u32::MAX).unwrap().unwrap();
    assert!(read(0) == first);
    assert!(read(READ.into()) == rest);
}

#[test]
fn a_path_leads_into_the_innermost_grant_or_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let directories: Arc<[Granted]> = ["/users", "/users/more", "/u"]
        .into_iter()
        .map(|guest| {
            let host = root.path().join(guest.replace('/', "-"));
            std::fs::create_dir(&host).unwrap();
            std::fs::write(host.join("mark"), guest).unwrap();
            Granted {
                guest: guest.into(),
                root: Root::open(&host).unwrap(),
                write: false,
            }
        })
        .collect();
    let found = |path: &str| {
        let place = place(None, &directories, path)?;
        let chunk = place.map(|place| read_waiting(&place, 0, 100).unwrap());
        Ok::<_, String>(chunk.map(|chunk| String::from_utf8(chunk.octets).unwrap()))
    };
    let is = |guest: &str| Ok(Some(guest.to_owned()));
    assert_eq!(found("/users/mark"), is("/users"));
    assert_eq!(found("/users//mark"), is("/users"));
    assert_eq!(found("/users/more/mark"), is("/users/more"));
    assert_eq!(found("/u/mark"), is("/u"));
    for path in ["/usersmark", "/us/mark", "/", "/etc/passwd", "//users/mark"] {
        assert!(found(path).is_err(), "{path}");
    }
    // Without a maildrop there is nothing in it.
    for path in ["mark", "", "/maildrop", "/maildrop/mark"] {
        assert_eq!(found(path), Ok(None), "{path}");
    }
    assert!(found("/maildropmark").is_err());
    let maildrop = &open(&root.path().join("-users"));
    for path in ["mark", "/maildrop/mark", "/maildrop//mark"] {
        let place = at(maildrop, path);
        assert_eq!(place.path, "mark");
    }
    let whole: Arc<[Granted]> = Arc::new([Granted {
        guest: "/".into(),
        root: Root::open(root.path()).unwrap(),
        write: true,
    }]);
    let place = place(None, &whole, "/users/mark").unwrap().unwrap();
    assert_eq!(place.path, "users/mark");
}

#[test]
fn a_file_is_measured_alike_however_large() {
    let (root, dir) = tree();
    let subject = |text: &str, lines: usize| format!("Subject: {text}\n\n{}", "a\n".repeat(lines));
    // An encoded-word (RFC 2047) in place of the one letter.
    let longer = Scales::weigh(subject("\u{fc}", 0).as_bytes());
    assert!(longer.surrogate > longer.octets);
    for (size, text) in [
        (0, ""),
        (3, "x"),
        (9, "a\nb\r\nc"),
        (18, "\n\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}"),
    ] {
        std::fs::write(root.path().join("inside/mail"), text).unwrap();
        let place = at(&dir, "mail");
        let measured = measure_both(&place);
        assert_eq!(measured, Ok(Some((size, size, text.len() as u64))));
    }
    for lines in [0, CHUNK] {
        let text = subject("\u{fc}", lines);
        std::fs::write(root.path().join("inside/mail"), &text).unwrap();
        let body = 3 * lines as u64;
        let sizes = (
            longer.octets + body,
            longer.surrogate + body,
            text.len() as u64,
        );
        assert_eq!(measure_both(&at(&dir, "mail")), Ok(Some(sizes)));
    }
    for lines in [CHUNK / 2, CHUNK / 2 + 1, CHUNK] {
        std::fs::write(root.path().join("inside/mail"), "a\n".repeat(lines)).unwrap();
        let place = at(&dir, "mail");
        let cached = measure_cached(&place);
        assert!(cached.is_none() || 2 * lines <= CHUNK);
        let sizes = (3 * lines as u64, 3 * lines as u64, 2 * lines as u64);
        assert_eq!(measure_both(&place), Ok(Some(sizes)));
    }
    for path in ["new", "fifo", "out", "../secret"] {
        let place = at(&dir, path);
        assert!(measure_both(&place).is_err());
    }
    assert_eq!(measure_both(&at(&dir, "missing")), Ok(None));
}

#[test]
fn a_scan_names_regular_files_in_order_and_nothing_else() {
    use std::os::unix::ffi::OsStrExt;
    let root = tempfile::tempdir().unwrap();
    let new = root.path().join("new");
    std::fs::create_dir_all(new.join("directory")).unwrap();
    let not_text = std::ffi::OsStr::from_bytes(b"1.\xff");
    std::fs::write(new.join(not_text), b"x").unwrap();
    std::fs::write(new.join(".hidden"), b"x").unwrap();
    std::os::unix::fs::symlink("0001.a", new.join("link")).unwrap();
    let dir = open(root.path());
    let scan = |directory: &str| scan(dir.dir(), directory, &never());
    let (nothing, left_out) = scan("new").unwrap();
    let mut expected = LeftOut::default();
    expected.odd_name(b"1.\xff");
    expected.link(b"link");
    let mut other_way = LeftOut::default();
    other_way.link(b"link");
    other_way.odd_name(b"1.\xff");
    assert!(
        left_out == expected || left_out == other_way,
        "{left_out:?}"
    );
    assert_eq!((nothing.names.as_str(), nothing.identities.len()), ("", 0));
    // More than fit one read of the directory.
    let mut expected = String::new();
    let mut inodes = Vec::new();
    for number in 1..5000 {
        let path = new.join(format!("{number:04}.a"));
        std::fs::write(&path, b"line\n").unwrap();
        let about = std::fs::metadata(&path).unwrap();
        expected += &format!("{number:04}.a\0");
        inodes.push(std::os::unix::fs::MetadataExt::ino(&about));
    }
    let (scanned, _) = scan("new").unwrap();
    assert_eq!((scanned.names, scanned.identities), (expected, inodes));
    std::fs::write(root.path().join("here"), b"x").unwrap();
    for itself in ["", "."] {
        let (scanned, left_out) = scan(itself).unwrap();
        assert_eq!((&*scanned.names, left_out), ("here\0", LeftOut::default()));
    }
    assert!(scan("cur").is_err());
    assert!(scan("..").is_err());
}

/// A sparse file takes no room on the disk, and hours to read.
#[test]
fn what_is_larger_than_any_message_is_not_measured() {
    let (root, dir) = tree();
    let path = root.path().join("inside/mail");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(MAX_MEASURED_OCTETS + 1).unwrap();
    let error = measure(&at(&dir, "mail"), &never()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    assert!(error.to_string().contains("mail"), "{error}");
    assert!(measure_cached(&at(&dir, "mail")).is_none());
}

#[test]
fn work_that_nobody_waits_for_ends() {
    let (root, dir) = tree();
    let file = File::options()
        .write(true)
        .open(root.path().join("inside/mail"));
    file.unwrap().set_len(MAX_MEASURED_OCTETS).unwrap();
    let over = Stop::new(tokio::time::Instant::now());
    for error in [
        measure(&at(&dir, "mail"), &over).map(drop).unwrap_err(),
        scan(dir.dir(), "", &over).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
