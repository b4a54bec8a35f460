use super::*;

const FILE: &str = "# staff\n\
    alice:$hash-of-alice:a/drop:quota=5 shell=/bin/x=y\r\n\
    \n\
    bob:{PLAIN}builder\n\
    Carl:$hash-of-carl::x=1\n\
    dora:!$hash-of-dora\n\
    :no-user\n\
    erik:\n\
    bob:$hash-of-second-bob\n";

/// Logs in with the password "sesame" everywhere; says which hashes were
/// asked about.
fn login(case: &str, user: &str, acting_as: Option<&str>) -> (Result<Account, Denial>, String) {
    let settings = Settings::parse(vec![
        ("file".into(), "/users/passwd".into()),
        ("case".into(), case.into()),
    ])
    .unwrap();
    let search = file::search(FILE.as_bytes(), user, settings.rules, StandIn::Hash).unwrap();
    let attempt = Attempt {
        acting_as: acting_as.map(str::to_owned),
        secret: Secret::new("sesame"),
    };
    let mut asked = Vec::new();
    let answer = decide(&settings, search, &attempt, &mut |hash, secret| {
        assert_eq!(secret, "sesame");
        asked.push(hash.to_owned());
        Ok(hash.starts_with('$'))
    });
    let answer = answer.map(|(_, entry)| entry.into_account());
    (answer, asked.join(" "))
}

#[test]
fn a_line_becomes_an_account() {
    let (alice, asked) = login("exact", "alice", None);
    let alice = alice.unwrap();
    assert_eq!(
        (alice.user.as_str(), alice.maildrop.as_str()),
        ("alice", "a/drop")
    );
    assert_eq!(
        alice.attributes,
        [
            ("quota".to_owned(), "5".to_owned()),
            ("shell".to_owned(), "/bin/x=y".to_owned())
        ]
    );
    assert_eq!(asked, "$hash-of-alice");
    let carl = login("exact", "Carl", Some("Carl")).0.unwrap();
    assert_eq!(
        (carl.maildrop.as_str(), carl.attribute("x")),
        ("Carl", Some("1"))
    );
}

#[test]
fn the_first_line_of_a_user_counts() {
    let (bob, asked) = login("exact", "bob", None);
    assert!(matches!(bob, Err(Denial::Rejected)), "{bob:?}");
    assert_eq!(asked, "{PLAIN}builder");
}

#[test]
fn unknown_users_take_as_long_as_known_ones() {
    for user in [
        "nobody",
        "ALICE",
        "carl",
        "# staff",
        "",
        ":",
        "alice:$hash-of-alice",
        "ali",
    ] {
        let (answer, asked) = login("exact", user, None);
        assert!(matches!(answer, Err(Denial::Unknown)), "{user}: {answer:?}");
        assert_eq!(asked, "$hash-of-alice", "{user}");
    }
}

#[test]
fn a_locked_or_broken_user_is_not_let_in_and_not_faster() {
    let (dora, asked) = login("exact", "dora", None);
    assert!(matches!(dora, Err(Denial::Rejected)), "{dora:?}");
    assert_eq!(asked, "$hash-of-alice");
    let (erik, asked) = login("exact", "erik", None);
    assert!(matches!(erik, Err(Denial::Rejected)), "{erik:?}");
    assert_eq!(asked, "$hash-of-alice");
}

#[test]
fn nobody_acts_as_somebody_else() {
    let (alice, asked) = login("exact", "alice", Some("Carl"));
    assert!(matches!(alice, Err(Denial::Rejected)), "{alice:?}");
    assert_eq!(asked, "$hash-of-alice");
    let (alice, _) = login("exact", "alice", Some("ALICE"));
    assert!(matches!(alice, Err(Denial::Rejected)), "{alice:?}");
}

#[test]
fn folding_is_for_both_sides() {
    let carl = login("fold", "CARL", Some("caRl")).0.unwrap();
    assert_eq!(
        (carl.user.as_str(), carl.maildrop.as_str()),
        ("carl", "carl")
    );
    assert!(login("fold", "Alice", None).0.is_ok());
}

/// It takes as long as a wrong password does, by the hash of another.
#[test]
fn a_hash_that_the_host_cannot_check_locks_its_user() {
    let settings = Settings::parse(vec![("file".into(), "/users/passwd".into())]).unwrap();
    let attempt = Attempt {
        acting_as: None,
        secret: Secret::new("sesame"),
    };
    let file = "alice:{MD9}x\nbob:$6$x\n";
    for user in ["alice", "nobody"] {
        let search = file::search(file.as_bytes(), user, settings.rules, StandIn::Hash).unwrap();
        let mut computed = 0;
        let answer = decide(&settings, search, &attempt, &mut |hash, _| {
            if hash.starts_with("{MD9}") {
                return Err("not supported".into());
            }
            computed += 1;
            Ok(false)
        });
        match user {
            "alice" => assert!(matches!(answer, Err(Denial::Rejected)), "{answer:?}"),
            _ => assert!(matches!(answer, Err(Denial::Unknown)), "{answer:?}"),
        }
        assert_eq!(computed, 1, "{user}");
    }
    let log = restante_guest::testing::take_log();
    assert!(
        log.iter().any(|line| format!("{line:?}")
            .contains("line 1 cannot be used, and its user is locked: {MD9}: not supported")),
        "{log:?}"
    );
}

#[test]
fn legacy_hashes_open_maildrops_where_the_setting_says_so() {
    // `openssl passwd -1` of "pencil".
    let path = std::env::temp_dir().join(format!("passwd-file-legacy-{}", std::process::id()));
    std::fs::write(
        &path,
        "old:$1$5RPVAd$r5e/USfSwsah24DMCHXUw0\nbob:{PLAIN}builder\nbad:{SSHA}x\n",
    )
    .unwrap();
    let log_in = |user: &str, secret: &str| {
        PasswdFile::authenticate(
            connection(),
            Credentials::Password {
                user: user.into(),
                acting_as: None,
                secret: Secret::new(secret),
            },
        )
    };
    let file = path.to_str().unwrap();
    for (legacy_hashes, opens) in [("true", true), ("false", false)] {
        restante_guest::testing::set_settings([("file", file), ("legacy-hashes", legacy_hashes)]);
        // Neither keeps the file from being used.
        assert_eq!(PasswdFile::validate(), Ok(()));
        assert_eq!(log_in("old", "pencil").is_ok(), opens);
        assert!(matches!(log_in("old", "Pencil"), Err(Denial::Rejected)));
        assert!(matches!(log_in("bad", "x"), Err(Denial::Rejected)));
        assert!(log_in("bob", "builder").is_ok());
    }
    restante_guest::testing::set_settings([("file", file), ("legacy-hashes", "yes")]);
    let problems = PasswdFile::validate().unwrap_err();
    assert_eq!(problems, ["legacy-hashes: must be true or false"]);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_login_replaces_its_legacy_hash_where_the_setting_says_so() {
    const OLD: &str =
        "# staff\r\nold:$1$5RPVAd$r5e/USfSwsah24DMCHXUw0:drop:a=b\r\nbob:{PLAIN}builder\n";
    let folder = std::env::temp_dir().join(format!("passwd-file-rehash-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("users");
    let file = path.to_str().unwrap();
    let read = || std::fs::read_to_string(&path).unwrap();
    let log_in = |secret: &str| {
        PasswdFile::authenticate(
            connection(),
            Credentials::Password {
                user: "old".into(),
                acting_as: None,
                secret: Secret::new(secret),
            },
        )
    };
    let set = |rehash: &[(&'static str, &'static str)]| {
        let settings = [("file", file), ("legacy-hashes", "true")];
        restante_guest::testing::set_settings(settings.iter().chain(rehash).copied());
        assert_eq!(PasswdFile::validate(), Ok(()));
        restante_guest::testing::take_log();
    };
    let log = || {
        let lines = restante_guest::testing::take_log().into_iter();
        let lines: Vec<String> = lines.map(|line| line.text.replace(file, "FILE")).collect();
        assert!(
            !lines
                .iter()
                .any(|line| line.contains("pencil") || line.contains("r5e")),
            "{lines:?}"
        );
        lines
    };
    let seen = "FILE: line 2: a login with a legacy hash, {MD5-CRYPT}";

    std::fs::write(&path, OLD).unwrap();
    set(&[]);
    assert!(log_in("pencil").is_ok());
    assert_eq!((read().as_str(), log()), (OLD, vec![seen.to_owned()]));
    set(&[("rehash", "argon2id")]);
    assert!(matches!(log_in("pencils"), Err(Denial::Rejected)));
    assert_eq!((read().as_str(), log()), (OLD, vec![]));
    let account = log_in("pencil").unwrap();
    // What stands in for hashes outside a component.
    let new = OLD.replace("$1$5RPVAd$r5e/USfSwsah24DMCHXUw0", "{PLAIN}pencil");
    assert_eq!(read(), new);
    let replaced = "FILE: line 2: {MD5-CRYPT} was replaced by {PLAIN}";
    assert_eq!(log(), [seen, replaced]);
    assert_eq!(log_in("pencil").unwrap(), account);
    assert_eq!((read(), log()), (new, vec![]));

    // Whatever goes wrong, the user is in.
    std::fs::write(&path, OLD).unwrap();
    std::fs::write(folder.join(".users.rehash"), "of another login").unwrap();
    assert_eq!(log_in("pencil").unwrap(), account);
    let stays =
        "FILE: line 2: {MD5-CRYPT} stays until a later login: another login is rewriting the file";
    assert_eq!(
        (read().as_str(), log()),
        (OLD, vec![seen.to_owned(), stays.to_owned()])
    );
    std::fs::remove_file(folder.join(".users.rehash")).unwrap();
    let link = folder.join("link");
    std::fs::rename(&path, &link).unwrap();
    std::os::unix::fs::symlink("link", &path).unwrap();
    assert_eq!(log_in("pencil").unwrap(), account);
    let lines = log();
    assert!(
        lines.len() == 2 && lines[1].contains("{MD5-CRYPT} stays: FILE is a symbolic link, "),
        "{lines:?}"
    );
    let problems = PasswdFile::validate().unwrap_err();
    assert!(problems[0].starts_with("rehash: "), "{problems:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_rehash_is_for_legacy_hashes_and_by_a_scheme_that_there_is() {
    let problems = |settings: &[(&str, &str)]| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let file = ("file".to_owned(), "/users/passwd".to_owned());
        let settings = settings.iter().map(owned).chain([file]).collect();
        Settings::parse(settings).err().unwrap_or_default()
    };
    for scheme in [
        "argon2id",
        "bcrypt",
        "scrypt",
        "sha512-crypt",
        "scram-sha-256",
    ] {
        let legacy = [("legacy-hashes", "true"), ("rehash", scheme)];
        assert_eq!(problems(&legacy), [""; 0], "{scheme}");
    }
    let told = problems(&[("rehash", "bcrypt")]);
    assert!(
        told.len() == 1 && told[0].contains("set `legacy-hashes = true` too"),
        "{told:?}"
    );
    let told = problems(&[("legacy-hashes", "true"), ("rehash", "md5")]);
    assert!(
        told.len() == 1 && told[0].starts_with("rehash: must be one of argon2id, "),
        "{told:?}"
    );
}

#[test]
fn digests_are_for_passwords_in_the_clear() {
    use restante_guest::authenticator::DigestAlgorithm;
    // RFC 1939 section 7.
    const FILE: &str = "tim:$6$x\nmrose:{PLAIN}tanstaaf:drop\nlocked:!{PLAIN}tanstaaf\n\
        broken:{PLAIN}\n";
    let settings = Settings::parse(vec![("file".into(), "/users/passwd".into())]).unwrap();
    let decide = |user: &str, digest: &str| {
        let search = file::search(FILE.as_bytes(), user, settings.rules, StandIn::Clear).unwrap();
        let response = Response {
            algorithm: DigestAlgorithm::Md5,
            challenge: "<1896.697170952@dbc.mtview.ca.us>".into(),
            digest: digest.into(),
        };
        decide_by_digest(&settings, search, &response)
    };
    let right = "c4c9334bac560ecc979e58001b3e22fb";
    assert_eq!(decide("mrose", right).unwrap().maildrop, "drop");
    let wrong = "c4c9334bac560ecc979e58001b3e22fc";
    assert!(matches!(decide("mrose", wrong), Err(Denial::Rejected)));
    assert!(matches!(decide("mrose", ""), Err(Denial::Rejected)));
    // Not even with what stands in for them.
    assert!(matches!(decide("nobody", right), Err(Denial::Unknown)));
    assert!(matches!(decide("tim", right), Err(Denial::Rejected)));
    assert!(matches!(decide("locked", right), Err(Denial::Rejected)));
    // MD5 of the challenge alone.
    let of_nothing = "6d7379174f7df9fb329480e5c47c1f1a";
    for digest in [right, of_nothing] {
        let broken = decide("broken", digest);
        assert!(matches!(broken, Err(Denial::Rejected)), "{broken:?}");
    }
}

#[test]
fn every_bad_setting_is_named() {
    let problems = Settings::parse(vec![
        ("fiel".into(), "/users/passwd".into()),
        ("case".into(), "lower".into()),
    ])
    .err()
    .unwrap();
    let keys: Vec<_> = problems
        .iter()
        .map(|problem| problem.split(':').next().unwrap())
        .collect();
    assert_eq!(keys, ["fiel", "case", "file"]);
}

#[test]
fn the_roles_work_on_a_real_file() {
    let path = std::env::temp_dir().join(format!("passwd-file-{}", std::process::id()));
    let log_in = |secret: &str| {
        PasswdFile::authenticate(
            connection(),
            Credentials::Password {
                user: "bob".into(),
                acting_as: None,
                secret: Secret::new(secret),
            },
        )
    };
    restante_guest::testing::set_settings([("file", path.to_str().unwrap())]);
    assert!(matches!(
        log_in("builder"),
        Err(Denial::Failed(Failure::Temporary(_)))
    ));
    assert!(PasswdFile::validate().unwrap_err()[0].starts_with("file: "));
    std::fs::write(&path, "bob:{PLAIN}builder\n").unwrap();
    assert_eq!(PasswdFile::validate(), Ok(()));
    let scram = Kinds::SCRAM_SHA1 | Kinds::SCRAM_SHA256;
    let kinds = Kinds::PASSWORD | Kinds::DIGEST | scram;
    assert_eq!(PasswdFile::accepts(), kinds);
    assert_eq!(log_in("builder").unwrap(), Account::new("bob"));
    assert!(matches!(log_in("Builder"), Err(Denial::Rejected)));
    std::fs::write(&path, "bob:{PLAIN}changed\n").unwrap();
    assert!(log_in("changed").is_ok());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_large_file_that_is_replaced_meanwhile_is_read_again() {
    let path = std::env::temp_dir().join(format!("passwd-file-large-{}", std::process::id()));
    // Each "old" or "new" as a whole, and longer than what is read at once.
    let write = |word: &str| {
        let next = path.with_extension("next");
        let filler = format!("{word}:{{PLAIN}}{word}\n").repeat(200_000);
        std::fs::write(&next, filler + "end:{PLAIN}end\n").unwrap();
        std::fs::rename(&next, &path).unwrap();
    };
    let lines = |replace: &mut dyn FnMut()| {
        from_one_file(|| {
            let mut words = std::collections::BTreeSet::new();
            file::each_line(Reader::open(&path)?, |number, line| {
                if number == 1 {
                    replace();
                }
                words.insert(String::from_utf8(line.to_vec()).unwrap());
            })?;
            Ok(words.into_iter().collect::<Vec<_>>())
        })
    };
    write("old");
    let mut times = 0;
    let read = lines(&mut || {
        times += 1;
        if times == 1 {
            write("new");
        }
    });
    assert_eq!(read.unwrap(), ["end:{PLAIN}end", "new:{PLAIN}new"]);
    assert_eq!(times, 2);
    let read = lines(&mut || write("new"));
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ResourceBusy);
    std::fs::remove_file(&path).unwrap();
}

fn connection() -> Connection {
    Connection {
        session: "s1".into(),
        tenant: "acme".into(),
        listener: "pop3".into(),
        client_address: "192.0.2.1".into(),
        client_port: 1,
        tls: None,
    }
}
