//! On files in a directory of each test's own.

use std::cell::Cell;
use std::fs::FileTimes;
use std::thread;

use restante_guest::users::Case;

use super::*;
use crate::file::{Line, StandIn, search};

const RULES: Rules = Rules {
    case: Case::Exact,
    legacy_hashes: true,
};
/// Of "pencil".
const SSHA: &str = "{SSHA}EbQOLLWa/6dnepMLxsSobDeavKmF9QrU";
const SHA: &str = "{SHA}mceXLazDGdDKC69o0r8TxUM8VO8=";
const SCRAM: &str = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const NEW: &str = "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$ZGlnZXN0";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("passwd-file-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("users")
    }

    fn beside(&self) -> PathBuf {
        self.0.join(".users.rehash")
    }

    fn write(&self, octets: impl AsRef<[u8]>) {
        fs::write(self.file(), octets).unwrap();
    }

    fn read(&self) -> Vec<u8> {
        fs::read(self.file()).unwrap()
    }

    /// The file has these octets, and is alone in its directory.
    #[track_caller]
    fn holds(&self, octets: impl AsRef<[u8]>) {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        assert_eq!(text(&self.read()), text(octets.as_ref()));
        assert_eq!(self.read(), octets.as_ref());
        assert_eq!(fs::read_dir(&self.0).unwrap().count(), 1);
    }

    /// The line that counts for a user.
    fn entry(&self, user: &str) -> Entry {
        let path = self.file();
        let file = Reader::open(&path).unwrap();
        match search(file, user, RULES, StandIn::Hash).unwrap().found {
            Some((_, Line::Entry(entry))) => entry,
            other => panic!("{user}: {other:?}"),
        }
    }

    fn rehash(&self, user: &str) -> Result<Rehashed, Unchanged> {
        rehash(&self.file(), RULES, &self.entry(user), || Ok(NEW.into()))
    }

    fn new_file<'a>(&self, path: &'a Path, user: &str) -> NewFile<'a> {
        let written = NewFile::write(path, self.beside(), RULES, &self.entry(user), NEW);
        written.unwrap_or_else(|why| panic!("{why:?}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn failed(rehashed: Result<Rehashed, Unchanged>) -> String {
    match rehashed {
        Err(Unchanged::Failed(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn make_old(path: &Path) {
    let old = SystemTime::now() - STALE - Duration::from_secs(1);
    let times = FileTimes::new().set_modified(old);
    File::open(path).unwrap().set_times(times).unwrap();
}

#[test]
fn every_other_octet_of_a_file_stays() {
    let folder = Folder::new("octets");
    let mut file = format!("ann:{SSHA}:a/drop:quota=5\r\n\r\n# carl:{SSHA}\n  \t\nbob:{SHA}\n");
    file += &format!("long:{}\n", "x".repeat(20_000));
    let mut file = file.into_bytes();
    file.extend_from_slice(b"bad\xff:{SHA}x\nnul\0:x\n\n");
    file.extend_from_slice(format!("ann:{SSHA}\ndora:!{SHA}\ncarl:{SSHA}").as_bytes());
    let replaced = |file: &[u8], old: &str| {
        let at = file.windows(old.len()).position(|it| it == old.as_bytes());
        let (at, user) = (at.unwrap(), old.find(':').unwrap() + 1);
        let end = at + old.trim_end().len();
        [&file[..at + user], NEW.as_bytes(), &file[end..]].concat()
    };
    folder.write(&file);
    let scheme = "{ARGON2ID}".to_owned();
    let ok = |line| {
        Ok(Rehashed {
            line,
            scheme: scheme.clone(),
        })
    };
    let carl = format!("\ncarl:{SSHA}");
    for (user, old, line) in [
        ("bob", format!("bob:{SHA}\n"), 5),
        ("carl", carl, 12),
        ("ann", format!("ann:{SSHA}"), 1),
    ] {
        assert_eq!(folder.rehash(user), ok(line), "{user}");
        file = replaced(&file, &old);
        folder.holds(&file);
        assert_eq!(folder.entry(user).hash.for_passwords(), NEW);
    }
    assert!(file.ends_with(NEW.as_bytes()));
}

#[test]
fn what_stands_behind_the_first_hash_stays() {
    let folder = Folder::new("behind");
    folder.write(format!("ann:{SSHA}|{SCRAM}|$6$x:drop:a=b c=d\n"));
    let before = folder.entry("ann");
    assert!(folder.rehash("ann").is_ok());
    folder.holds(format!("ann:{NEW}|{SCRAM}|$6$x:drop:a=b c=d\n"));
    let after = folder.entry("ann");
    assert_eq!(after.hash.for_passwords(), NEW);
    assert!(
        after
            .hash
            .scram(restante_guest::scram::Hash::Sha256)
            .is_some()
    );
    assert_eq!(after.into_account(), before.into_account());
}

/// What was verified is what is replaced, wherever it is by now.
#[test]
fn a_line_that_is_another_by_now_stays() {
    let folder = Folder::new("line");
    folder.write(format!("ann:{SSHA}\n"));
    let ann = folder.entry("ann");
    for now in [
        format!("ann:{SHA}\n"),
        format!("ann:!{SSHA}\n"),
        format!("ann:{SSHA}|{SCRAM}\n"),
        format!("ann\nann:{SSHA}\n"),
        format!("ann:$6$x\nann:{SSHA}\n"),
        format!("# ann:{SSHA}\n"),
        format!("Ann:{SSHA}\nann2:{SSHA}\n"),
        String::new(),
    ] {
        folder.write(&now);
        let rehashed = rehash(&folder.file(), RULES, &ann, || Ok(NEW.into()));
        assert_eq!(rehashed, Err(Unchanged::ForNow(OTHER_LINE)), "{now}");
        folder.holds(&now);
    }
    // It is the same line elsewhere, with another maildrop.
    folder.write(format!("bob:{SHA}\nann:{SSHA}:drop\n"));
    let rehashed = rehash(&folder.file(), RULES, &ann, || Ok(NEW.into()));
    assert_eq!(rehashed.unwrap().line, 2);
    folder.holds(format!("bob:{SHA}\nann:{NEW}:drop\n"));
}

#[test]
fn a_file_that_another_program_changes_meanwhile_stays() {
    let folder = Folder::new("changed");
    let file = folder.file();
    let old = format!("ann:{SSHA}\nbob:{SHA}\n");
    let other = old.replace("bob", "bib");
    let acts: [&dyn Fn(); 4] = [
        &|| {
            // As tools do that keep the time.
            let times = fs::metadata(&file).unwrap().modified().unwrap();
            let next = folder.0.join("next");
            fs::write(&next, &other).unwrap();
            let next_file = File::options().write(true).open(&next).unwrap();
            next_file.set_modified(times).unwrap();
            fs::rename(&next, &file).unwrap();
        },
        &|| {
            let mut end = OpenOptions::new().append(true).open(&file).unwrap();
            end.write_all(b"carl:!\n").unwrap();
        },
        &|| fs::write(&file, "").unwrap(),
        &|| {
            // In place, with the same length.
            thread::sleep(Duration::from_millis(20));
            fs::write(&file, &other).unwrap();
        },
    ];
    for (number, act) in acts.iter().enumerate() {
        folder.write(&old);
        let new = folder.new_file(&file, "ann");
        act();
        let now = folder.read();
        let replaced = new.replace_old();
        assert_eq!(replaced, Err(Unchanged::ForNow(CHANGED)), "{number}");
        folder.holds(now);
    }
    folder.write(&old);
    let new = folder.new_file(&file, "ann");
    fs::remove_file(&file).unwrap();
    assert_eq!(new.replace_old(), Err(Unchanged::ForNow(CHANGED)));
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[test]
fn a_login_leaves_the_file_to_another_that_rewrites_it() {
    let folder = Folder::new("beside");
    let old = format!("ann:{SSHA}\n");
    folder.write(&old);
    let ann = folder.entry("ann");
    let made = Cell::new(0);
    let log_in = || {
        rehash(&folder.file(), RULES, &ann, || {
            made.set(made.get() + 1);
            Ok(NEW.into())
        })
    };
    fs::write(folder.beside(), "of another login").unwrap();
    assert_eq!(log_in(), Err(Unchanged::ForNow(UNDER_WAY)));
    assert_eq!(fs::read(folder.beside()).unwrap(), b"of another login");
    // One that is made while this login computes its hash.
    fs::remove_file(folder.beside()).unwrap();
    let rehashed = rehash(&folder.file(), RULES, &ann, || {
        fs::write(folder.beside(), "of another login").unwrap();
        Ok(NEW.into())
    });
    assert_eq!(rehashed, Err(Unchanged::ForNow(UNDER_WAY)));
    assert_eq!(fs::read(folder.beside()).unwrap(), b"of another login");

    make_old(&folder.beside());
    assert_eq!(log_in(), Err(Unchanged::ForNow(LEFT_BEHIND)));
    folder.holds(&old);
    assert_eq!(made.get(), 0);
    assert_eq!(log_in().unwrap().line, 1);
    folder.holds(format!("ann:{NEW}\n"));

    folder.write(&old);
    fs::create_dir(folder.beside()).unwrap();
    make_old(&folder.beside());
    let why = failed(log_in());
    assert!(why.contains(".users.rehash is in the way"), "{why}");
    assert_eq!(folder.read(), old.as_bytes());
}

/// Another login took it for one that was left behind, and may have made its own.
#[test]
fn a_login_whose_new_file_was_removed_changes_nothing() {
    let folder = Folder::new("removed");
    let file = folder.file();
    let old = format!("ann:{SSHA}\n");
    folder.write(&old);
    let new = folder.new_file(&file, "ann");
    fs::remove_file(folder.beside()).unwrap();
    assert_eq!(new.replace_old(), Err(Unchanged::ForNow(UNDER_WAY)));
    folder.holds(&old);

    let new = folder.new_file(&file, "ann");
    fs::rename(folder.beside(), folder.0.join("kept")).unwrap();
    fs::write(folder.beside(), "half of another").unwrap();
    assert_eq!(new.replace_old(), Err(Unchanged::ForNow(UNDER_WAY)));
    assert_eq!(fs::read(folder.beside()).unwrap(), b"half of another");
    assert_eq!(folder.read(), old.as_bytes());
}

#[test]
fn what_cannot_be_rewritten_says_why() {
    let folder = Folder::new("failed");
    let old = format!("ann:{SSHA}\n");
    folder.write(&old);
    let ann = folder.entry("ann");
    let with = |hash: &'static str| {
        let rehashed = rehash(&folder.file(), RULES, &ann, || Ok(hash.to_owned()));
        failed(rehashed)
    };
    let fits_not = "the new hash does not fit into a line";
    for (hash, problem) in [
        ("", "the hash is missing"),
        ("$6$a:b", fits_not),
        ("$6$a|$6$b", fits_not),
        ("$6$a\nb:{PLAIN}c", fits_not),
        ("$6$a\u{7}", fits_not),
        ("!$6$a", fits_not),
        ("no-hash", fits_not),
        (SHA, fits_not),
    ] {
        assert_eq!(with(hash), problem, "{hash:?}");
        folder.holds(&old);
    }
    let busy = rehash(&folder.file(), RULES, &ann, || {
        Err("the host is busy".into())
    });
    assert_eq!(failed(busy), "the host is busy");
    folder.holds(&old);

    // The line would be one that is too long.
    let attributes = format!("a={}", "x".repeat(8140));
    let long = format!("ann:{SSHA}::{attributes}\n");
    folder.write(&long);
    assert_eq!(with(NEW), "the line is too long");
    folder.holds(&long);

    folder.write(&old);
    let file = File::options().append(true).open(folder.file()).unwrap();
    file.set_len(MAX_FILE_OCTETS + 1).unwrap();
    let why = with("never made: it would be refused");
    assert_eq!(why, "files of more than 16 MiB are not rewritten");
    assert!(!folder.beside().exists());

    let elsewhere = folder.0.join("elsewhere");
    fs::write(&elsewhere, &old).unwrap();
    fs::remove_file(folder.file()).unwrap();
    std::os::unix::fs::symlink("elsewhere", folder.file()).unwrap();
    let why = with(NEW);
    assert!(why.contains("users is a symbolic link"), "{why}");
    assert_eq!(fs::read(&elsewhere).unwrap(), old.as_bytes());
}

#[test]
fn a_file_that_may_not_be_written_to_stays() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("read-only");
    let old = format!("ann:{SSHA}\n");
    folder.write(&old);
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let is_root = {
        set_mode(&folder.0, 0o500);
        File::create(folder.0.join("probe")).is_ok()
    };
    // Nothing is forbidden to root.
    if !is_root {
        let why = failed(folder.rehash("ann"));
        assert!(
            why.contains(".users.rehash cannot be written: permission denied"),
            "{why}"
        );
        set_mode(&folder.0, 0o700);
        set_mode(&folder.file(), 0o400);
        let why = failed(folder.rehash("ann"));
        assert!(
            why.contains("users cannot be written to (permission denied)"),
            "{why}"
        );
        folder.holds(&old);
    }
    set_mode(&folder.0, 0o700);
}

#[test]
fn logins_at_one_time_lose_no_line() {
    const WRITERS: usize = 4;
    const USERS: usize = 25;
    let folder = Folder::new("writers");
    let user = |writer: usize, user: usize| format!("w{writer}-{user}");
    let lines = |hash: &str| {
        let users = (0..USERS).flat_map(|of| (0..WRITERS).map(move |writer| (writer, of)));
        let lines = users.map(|(writer, of)| format!("{}:{hash}\r\n# {of}\n", user(writer, of)));
        lines.collect::<String>() + "end:*"
    };
    folder.write(lines(SSHA));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let folder = &folder;
            scope.spawn(move || {
                for of in 0..USERS {
                    let user = user(writer, of);
                    while let Err(why) = folder.rehash(&user) {
                        assert!(matches!(why, Unchanged::ForNow(_)), "{user}: {why:?}");
                        thread::yield_now();
                    }
                }
            });
        }
    });
    folder.holds(lines(NEW));
}
