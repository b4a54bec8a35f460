//! Files that a mail program has compressed or encrypted: no octet of them goes out as
//! mail.

use restante_guest::log::Level;

use super::*;

const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00";

impl Mailbox {
    fn write_octets(&self, path: &str, octets: &[u8]) {
        fs::write(self.path().join(path), octets).unwrap();
    }
}

#[test]
fn a_packed_message_is_refused_and_the_others_are_served() {
    let mail = Mailbox::maildir();
    let packed: [(&str, &[u8]); 5] = [
        ("gzip", GZIP),
        ("zstd", b"\x28\xb5\x2f\xfd\x04\x00\x01"),
        ("bzip2", b"BZh91AY&SY\x00\x00"),
        ("lz4", b"Dovecot-LZ4\r\x2a\x9b\xc5\x00"),
        ("Dovecot's mail_crypt", b"CRYPTED\x03\x07\x02\x00"),
    ];
    for (at, (_, octets)) in packed.iter().enumerate() {
        // As Dovecot names them: the octets of what was delivered.
        mail.write_octets(&format!("cur/{at}.a.h,S=900,W=920:2,SZ"), octets);
    }
    mail.write("cur/9.a.h:2,S", "Subject: BZh91AY&SY\n\nbody\n");
    let listing = mail.listing();
    let mut maildir = mail.open();
    for ((format, _), name) in packed.iter().zip(names(&listing)) {
        // A host asks again where a file cannot be opened.
        for _ in 0..2 {
            testing::take_log();
            let Err(Failure::Temporary(text)) = maildir.content(&name) else {
                panic!("{format} is served");
            };
            assert!(text.ends_with(&format!("({format})")), "{text}");
            let log = testing::take_log();
            let path = name.split_once('/').unwrap().1;
            assert!(
                log.iter()
                    .all(|line| line.level == Level::Warn && line.text.contains(path)),
                "{log:?}"
            );
        }
    }
    let last = &names(&listing)[5];
    assert_eq!(maildir.content(last).unwrap(), "cur/9.a.h:2,S");
}

#[test]
fn a_packed_message_is_found_without_a_word_in_its_name_too() {
    let mail = Mailbox::maildir();
    mail.write_octets("new/1.a.h", GZIP);
    mail.write_octets("new/2.a.h,S=900", GZIP);
    mail.write_octets("cur/3.a.h,S=12:2,Z", GZIP);
    for name in mail.names() {
        assert!(mail.open().content(&name).is_err(), "{name}");
    }
    // What is unpacked is mail again.
    mail.write("new/1.a.h", "Subject: x\n\n");
    let name = &mail.names()[0];
    assert_eq!(mail.open().content(name).unwrap(), "new/1.a.h");
}

/// Nobody's log fills up by what a client asks for.
#[test]
fn the_log_has_some_of_them() {
    let mail = Mailbox::maildir();
    for at in 0..20 {
        mail.write_octets(&format!("new/{at}.a.h"), GZIP);
    }
    let names = mail.names();
    let mut maildir = mail.open();
    testing::take_log();
    for name in &names {
        assert!(maildir.content(name).is_err());
    }
    assert_eq!(testing::take_log().len(), 5);
}

/// The flag is a letter for keywords to others: it alone says nothing.
#[test]
fn a_flag_alone_makes_nothing_packed() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h,S=12:2,Z", "Subject: x\n\n");
    let name = &mail.names()[0];
    assert_eq!(mail.open().content(name).unwrap(), "cur/1.a.h,S=12:2,Z");
}
