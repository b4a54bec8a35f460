//! Against hashes that other programs made.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Digest;

use super::limits::{SCRAM_ITERATIONS, SECRET_LENGTH};
use super::*;

const ASCII: &str = "Maildrop secret 7";
const UTF8: &str = "pässwörd ☃";

/// Secrets, and what other implementations made of them (named above the lines).
const VECTORS: [(&str, &str); 7] = [
    (
        ASCII,
        "
        # Dovecot's doveadm pw
        {ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$NBUTT/CJw7tP/PJoDEHfxg$6q0+AzIP1G+XIIAuCctp+yG74Mug1qnwKGq8dtOr6ew
        {ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$IPK41CBrnJn/zL9asrtofg$n77B+dLVwBsT3kMZCIstcETx/OaoF7/HWt1+fyK49x0
        {BLF-CRYPT}$2y$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW
        {SHA512-CRYPT}$6$hbob1PeH4JbdhtsU$vsG8o8mAW0ZAN4JVWO3oEfqzqWdChfiUkdskkf5gxI7vdJpuvKvem.tsH72GvgyUDPNOeyi6x6nCYDtl9ndPe.
        {SHA256-CRYPT}$5$vOQ0rEXK.MRmsRt6$cn9Ja9d/RYdd03HasP4Xh62CTeKCPYWkSXKVtuT12D7
        {CRYPT}$2y$05$CvcIpQSwUBcN7.fsUTsGHuM/YzivCwn8/mKMpKb19Xyp3QsWCKfqO
        {PLAIN}Maildrop secret 7
        {SCRAM-SHA-256}4096,ZONpHbx2PBmu7nGRqIOj1A==,2mywHaaSaHw3lRXvxoxpcQDbftef2yKZivyKOOwFlvE=,y9tEVu0a3WhPS4TrPSERLvH++UZeShq9XUBSxDDKPok=
        # openssl passwd
        $6$saltsalt$3ombyNV7ArTSfBosPJ/NC.FK24wzYasZ02gDra8q9m07ohzrIjwXPVDeqSsulSuBFcSo6Lf0bIgFH2gQwvRdi.
        $5$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
        $6$rounds=1000$abcdefghijklmnop$hzftKiaJsTV6YtdWtdr4jDBmADKD1Y6IUjAr8bjOeZf9XgSX9fPLrFt5qHPKwycUqKsrn51cfODEeHDSbazSa.
        # htpasswd and mkpasswd
        $2y$05$dLJP.lZZ/93IImOjDv6b7ua/VO2V68NRAqCDwjFxb3n2L5gQchTDq
        $2b$05$3hJi8MwGl.w799vpGeK.lOO0WsiBVY40fhO/r2I3drOs0jmnlheCW
        {CRYPT}$5$0BASx.7lTlM0S09n$WNmdcKpoF3/DB49oTsgwKz/6hR3kjS4b85Lq0Hb07.0
        # the argon2 command of the reference implementation
        $argon2i$v=16$m=64,t=2,p=2$c2FsdHNhbHRzYWx0$6z+XYIHv4OO/dcHt4tJmiW373mim1jIR28YCi0A/rf0
        $argon2i$v=19$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$ww1GVIjx3GkripAQ+Xq2SBKmEZTMNW8YsDcsVDnr3ro
        $argon2d$v=16$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$zYC+x+GoFPXrot0Vhc1wY9iL6x8S+MXpy/Zz/iu9ngQ
        {ARGON2D}$argon2d$v=19$m=64,t=2,p=2$c2FsdHNhbHRzYWx0$R4JjvF4hPXRRLhpogZsbDpwNIfPUawALGCJLzP75HvE
        $argon2id$v=16$m=64,t=2,p=2$c2FsdHNhbHRzYWx0$2OUAYMojTgcFSwhlOdZ6MHeTANzOb+MR4LGQ1leb7VA
        {ARGON2}$argon2id$v=19$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$Xf8Aj97U+PpZyTYaOANvFDCjMZJd2vjLoXD2hdGq9Ok
        # Python's hashlib
        $scrypt$ln=10,r=8,p=1$8PHy8/T19vf4+fr7/P3+/w$D5CbDqCppf/BZ1xV9nzXxacAN7B2qKiTzHuJfUqIWp0
        $pbkdf2-sha256$i=4096,l=32$8PHy8/T19vf4+fr7/P3+/w$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y
        {PBKDF2-SHA256}$pbkdf2-sha256$i=4096$8PHy8/T19vf4+fr7/P3+/w$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y
        $pbkdf2-sha512$i=4096,l=64$8PHy8/T19vf4+fr7/P3+/w$ZZoCWJ/PjmigX7EVWcdLgDs+ICAOahHi8z8Xy2/UlbbiDwmbyUXGeSNR+/yA0rK+5RXnpcpxTkBtolAmIqrTgA
        ",
    ),
    (
        UTF8,
        "
        # Dovecot's doveadm pw
        {SHA512-CRYPT}$6$rounds=12345$dESFDtn88hFMg/Jo$3bwNXR72oELd4utnm9hZOa0awJGDltsQ1M5N5kIinzZzlt1kJE7kBzJRenrBhk4P2ajecwyDW.3BisCbK03vA.
        {SHA256-CRYPT}$5$rounds=1000$xVHRSgDOoQmXSpNS$N.TV.U7avJnAQ0NusA.Fm.BdDokIVP6SLXv0kFPhYpA
        {BLF-CRYPT}$2y$04$5OP0w3S3nF6WaGT.CpfvTeaJT535WOla9NmUKOFq.jFBERPcCnL0y
        {SCRAM-SHA-1}4096,HJCjWVp7mXm+DX9RG85Vpw==,jHf9Qdr0x6+svvNQ2S+tZhnOLoE=,Nm790LR8gXxhpZt+Dp6vn9gJ3gg=
        # htpasswd and mkpasswd
        $2a$05$mTH2kyM82ooDjukDRHmP1eSt.fPg5lG3uuHvgHdnBdEhypYe/UnPS
        # the argon2 command of the reference implementation
        $argon2id$v=19$m=32,t=1,p=4$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY$CohdCpQd5enkreeTR6aTDjJQ+IZjLVKVhPCoFVs+TM1FpgRXOfkQ5ZXizWGYkxuT90UHKta6XOgClZJErCbuuA
        # Python's hashlib
        {SCRYPT}$scrypt$ln=4,r=8,p=3$8PHy8/T19vf4+fr7/P3+/w$ns0yeQbOBDdzCB0tG/QZ6pLAQy3XoZ/VJpvENi2PcL5LtMW9MAevv20qrJRLBzC2zR3+QzubaMCrlb+JwYid/Q
        $scrypt$ln=1,r=1,p=1$8PHy8/T19vf4+fr7/P3+/w$wsKdBpNR6BeM0A
        $pbkdf2-sha256$4096$8PHy8/T19vf4.fr7/P3./w$pJE7iTRChPQTQc6m385AMu4MfuJmePrQqmRxY2onp/P9qR/7J98f.Q
        {PBKDF2-SHA256}4096$8PHy8/T19vf4.fr7/P3./w$pJE7iTRChPQTQc6m385AMu4MfuJmePrQqmRxY2onp/M
        {PBKDF2-SHA512}4096$8PHy8/T19vf4.fr7/P3./w$wrPwmksyjQQmn0DfCXtdJJg67bUZUFs/tTPaJa/YAnm8Ld13d65N/IVkH2NXWOwzULONw/asjw3TYJeZl4mXFA
        ",
    ),
    (
        "password",
        "
        # the argon2 command of the reference implementation
        $argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc
        $argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ
        ",
    ),
    (
        "pleaseletmein",
        "
        # Python's hashlib, and RFC 7914, section 12
        $scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw
        ",
    ),
    (
        "Hello world!",
        "
        # crypt(3) of libxcrypt, openssl passwd (secrets and salts of the specification)
        $5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5
        $5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA
        $6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1
        ",
    ),
    (
        "U*U",
        "
        # crypt(3) of libxcrypt
        $2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW
        ",
    ),
    (
        "",
        "
        # crypt(3) of libxcrypt
        $2y$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq
        ",
    ),
];

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let hashes = text.lines().map(str::trim_start);
    hashes.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// One cheap hash of each form, all of `ASCII`.
const CHEAP: [&str; 9] = [
    "$argon2id$v=19$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$Xf8Aj97U+PpZyTYaOANvFDCjMZJd2vjLoXD2hdGq9Ok",
    "$argon2i$v=19$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$ww1GVIjx3GkripAQ+Xq2SBKmEZTMNW8YsDcsVDnr3ro",
    "$scrypt$ln=4,r=8,p=3$8PHy8/T19vf4+fr7/P3+/w$JtmtpVmDVO1DvVmVxAMGxW2gh7C/mas0aRKUMb0uBTGe4H48++PThLLqE2pWyHguxHd8E2mfQHSRomU0dKbxyw",
    "$pbkdf2-sha256$i=4096,l=32$8PHy8/T19vf4+fr7/P3+/w$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y",
    "{PBKDF2-SHA256}4096$8PHy8/T19vf4.fr7/P3./w$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y",
    "{BLF-CRYPT}$2y$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW",
    "$6$rounds=1000$abcdefghijklmnop$hzftKiaJsTV6YtdWtdr4jDBmADKD1Y6IUjAr8bjOeZf9XgSX9fPLrFt5qHPKwycUqKsrn51cfODEeHDSbazSa.",
    "$5$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1",
    "{PLAIN}Maildrop secret 7",
];

const SALT: &str = "8PHy8/T19vf4+fr7/P3+/w";
const DIGEST: &str = "nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y";

#[test]
fn what_others_made_is_verified_and_wrong_secrets_are_not() {
    let vectors = VECTORS
        .iter()
        .flat_map(|(secret, text)| lines(text).map(move |hash| (secret, hash)));
    for (secret, hash) in vectors {
        assert_eq!(verify(hash, secret), Ok(true), "{hash}");
        for wrong in [
            format!("{secret}x"),
            format!(" {secret}"),
            secret.to_uppercase(),
        ] {
            let expected = wrong == *secret;
            assert_eq!(verify(hash, &wrong), Ok(expected), "{hash} {wrong}");
        }
    }
    for hash in CHEAP {
        assert_eq!(verify(hash, ASCII), Ok(true), "{hash}");
        assert_eq!(verify(hash, ""), Ok(false), "{hash}");
        assert_eq!(verify(hash, &ASCII[1..]), Ok(false), "{hash}");
    }
}

#[test]
fn a_changed_digest_matches_no_more() {
    for hash in CHEAP.iter().filter(|hash| !hash.starts_with("{PLAIN}")) {
        let at = hash.len() - 9;
        let other = if hash.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        let changed = format!("{}{other}{}", &hash[..at], &hash[at + 1..]);
        assert_eq!(verify(&changed, ASCII), Ok(false), "{changed}");
    }
}

#[test]
fn a_new_hash_is_salted_and_verifies() {
    for (scheme, begin) in [
        (
            Scheme::Argon2id,
            "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$",
        ),
        (Scheme::Scrypt, "{SCRYPT}$scrypt$ln=17,r=8,p=1$"),
        (Scheme::Bcrypt, "{BLF-CRYPT}$2y$12$"),
        (Scheme::Sha512Crypt, "{SHA512-CRYPT}$6$rounds=100000$"),
        (Scheme::ScramSha256, "{SCRAM-SHA-256}5000,"),
        (Scheme::ScramSha1, "{SCRAM-SHA-1}5000,"),
    ] {
        let made = |secret: &str| hash(scheme, 5000, secret);
        let (one, two) = (made(UTF8).unwrap(), made(UTF8).unwrap());
        assert!(one.starts_with(begin), "{one}");
        assert_ne!(one, two);
        assert_eq!(verify(&one, UTF8), Ok(true), "{one}");
        assert_eq!(verify(&one, ASCII), Ok(false), "{one}");
        assert_eq!(made(""), Err(HashError::EmptySecret));
        let too_long = "s".repeat(SECRET_OCTETS + 1);
        assert_eq!(
            made(&too_long),
            Err(HashError::OverLimit(SECRET_LENGTH)),
            "{scheme:?}"
        );
    }
}

#[test]
fn a_scheme_hashes_no_secret_that_it_would_cut() {
    let made = |scheme, secret: &str| hash(scheme, 4096, secret);
    assert!(made(Scheme::Bcrypt, &"s".repeat(72)).is_ok());
    let error = made(Scheme::Bcrypt, &"s".repeat(73)).unwrap_err();
    assert!(error.to_string().contains("72 octets"), "{error}");
    for scheme in [Scheme::Bcrypt, Scheme::Sha512Crypt] {
        assert_eq!(made(scheme, "a\0b"), Err(HashError::Nul));
    }
    let longest = "s".repeat(SECRET_OCTETS);
    let hash = made(Scheme::Argon2id, &longest).unwrap();
    assert_eq!(verify(&hash, &longest), Ok(true));
    // Nor one that it would take too long to check.
    let long = "s".repeat(1280);
    let hash = made(Scheme::Sha512Crypt, &long).unwrap();
    assert_eq!(verify(&hash, &long), Ok(true));
    assert_eq!(
        made(Scheme::Sha512Crypt, &"s".repeat(1281)),
        Err(HashError::OverLimit(SHA_CRYPT_WORK))
    );
    // RFC 4013 section 2.5: stored strings have no unassigned code points.
    for secret in ["a\u{7}", "\u{1f600}"] {
        assert!(matches!(
            made(Scheme::ScramSha256, secret),
            Err(HashError::Unprepared(_))
        ));
    }
}

/// The salt of RFC 5802 section 5 and of RFC 7677 section 3, and keys of the
/// password "pencil" that GNU SASL's `gsasl --mkpasswd` made with them.
const SCRAM_KEYS: [(ScramHash, &str); 2] = [
    (
        ScramHash::Sha1,
        "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
    ),
    (
        ScramHash::Sha256,
        "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    ),
];

#[test]
fn scram_keys_are_checked_as_any_hash() {
    for (_, hash) in SCRAM_KEYS {
        assert_eq!(verify(hash, "pencil"), Ok(true), "{hash}");
        assert_eq!(verify(hash, "Pencil"), Ok(false), "{hash}");
        let lower = hash.replacen("SCRAM-SHA", "scram-sha", 1);
        assert_eq!(verify(&lower, "pencil"), Ok(true));
        // Either key says so.
        let fields: Vec<&str> = hash.split(',').collect();
        for at in [2, 3] {
            let mut changed = fields.clone();
            let other = format!("A{}", &fields[at][1..]);
            changed[at] = &other;
            assert_ne!(changed, fields);
            assert_eq!(verify(&changed.join(","), "pencil"), Ok(false));
        }
    }
    // RFC 4013: I <U+00AD SOFT HYPHEN> X is IX.
    let ix = hash(Scheme::ScramSha1, 4096, "IX").unwrap();
    assert_eq!(verify(&ix, "I\u{ad}X"), Ok(true));
}

#[test]
fn broken_scram_keys_are_refused() {
    let (_, good) = SCRAM_KEYS[1];
    let (_, sha1) = SCRAM_KEYS[0];
    let wrong_hash = sha1.replacen("SHA-1", "SHA-256", 1);
    let fields: Vec<&str> = good.split(',').collect();
    let with = |at: usize, field: &str| {
        let mut fields = fields.clone();
        fields[at] = field;
        fields.join(",")
    };
    for broken in [
        wrong_hash,
        format!("{good},"),
        format!("{good}\n"),
        fields[..3].join(","),
        with(0, "{SCRAM-SHA-256}0"),
        with(0, "{SCRAM-SHA-256}04096"),
        with(0, "{SCRAM-SHA-256}"),
        with(0, "{SCRAM-SHA-256}4294967296"),
        with(1, ""),
        with(1, "%"),
        with(1, &"QUJD".repeat(22)),
        with(2, ""),
        with(3, "AAAA"),
    ] {
        assert_eq!(
            verify(&broken, "pencil"),
            Err(HashError::Malformed("SCRAM")),
            "{broken}"
        );
    }
    assert_eq!(
        verify(&with(0, "{SCRAM-SHA-256}4000001"), "pencil"),
        Err(HashError::OverLimit(SCRAM_ITERATIONS))
    );
}

/// RFC 5802 section 5, RFC 7677 section 3: what the client proves there, and how
/// the server answers.
#[test]
fn derived_keys_are_those_of_the_rfcs() {
    let auth_message = |server_first: &str, nonce: &str| {
        format!("n=user,r=CLIENT,{server_first},c=biws,r={nonce}")
    };
    for (hash, client_nonce, nonce, salt, proof, signature) in [
        (
            ScramHash::Sha1,
            "fyko+d2lbbFgONRv9qkxdawL",
            "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
            "QSXCR+Q6sek8bf92",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            ScramHash::Sha256,
            "rOprNGfwEbeRWgbNEkqO",
            "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ] {
        let server_first = format!("r={nonce},s={salt},i=4096");
        let message = auth_message(&server_first, nonce).replace("CLIENT", client_nonce);
        let [salt, proof, signature] =
            [salt, proof, signature].map(|base64| STANDARD.decode(base64).unwrap());
        let keys = ScramSecret::derive(hash, "pencil", &salt, 4096).unwrap();
        let hmac = |key: &[u8]| match hash {
            ScramHash::Sha1 => mac::<Hmac<Sha1>>(key, &message),
            ScramHash::Sha256 => mac::<Hmac<Sha256>>(key, &message),
        };
        assert_eq!(hmac(&keys.server_key), signature);
        let client_key: Vec<u8> = hmac(&keys.stored_key)
            .iter()
            .zip(&proof)
            .map(|(one, other)| one ^ other)
            .collect();
        let stored_key = match hash {
            ScramHash::Sha1 => Sha1::digest(client_key).to_vec(),
            ScramHash::Sha256 => Sha256::digest(client_key).to_vec(),
        };
        assert_eq!(stored_key, keys.stored_key);
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn the_scheme_has_any_case_and_must_agree_with_the_form() {
    let bcrypt = "$2y$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW";
    for scheme in ["BLF-CRYPT", "blf-crypt", "Blf-Crypt", "CRYPT", "crypt"] {
        assert_eq!(verify(&format!("{{{scheme}}}{bcrypt}"), ASCII), Ok(true));
    }
    let names = [
        "ARGON2ID",
        "argon2",
        "SCRYPT",
        "PBKDF2-SHA256",
        "SHA512-CRYPT",
        "sha256-crypt",
    ];
    for scheme in names {
        let hash = format!("{{{scheme}}}{bcrypt}");
        assert_eq!(
            verify(&hash, ASCII),
            Err(HashError::Contradiction),
            "{hash}"
        );
    }
    for (scheme, hash) in [
        ("CRYPT", CHEAP[0]),
        ("ARGON2I", CHEAP[0]),
        ("ARGON2ID", CHEAP[1]),
        ("PBKDF2-SHA512", CHEAP[3]),
        ("SHA256-CRYPT", CHEAP[6]),
    ] {
        let hash = format!("{{{scheme}}}{hash}");
        assert_eq!(
            verify(&hash, ASCII),
            Err(HashError::Contradiction),
            "{hash}"
        );
    }
    for scheme in [
        "",
        " ",
        "MD5",
        "SSHA",
        "PLAIN ",
        "{PLAIN",
        "$6$",
        "ARGON2ID.b64",
    ] {
        let hash = format!("{{{scheme}}}{bcrypt}");
        assert_eq!(
            verify(&hash, ASCII),
            Err(HashError::UnknownScheme),
            "{hash}"
        );
    }
}

#[test]
fn only_what_is_marked_so_is_compared_in_the_clear() {
    for scheme in ["PLAIN", "plain", "CLEARTEXT", "Clear"] {
        let marked = format!("{{{scheme}}}{UTF8}");
        assert_eq!(verify(&marked, UTF8), Ok(true));
        assert_eq!(verify(&marked, ASCII), Ok(false));
    }
    // The rest is the password as it is, whatever it looks like.
    for password in [" ", "a\0", "{PLAIN}x", CHEAP[0], "$6$", "}"] {
        assert_eq!(verify(&format!("{{PLAIN}}{password}"), password), Ok(true));
        assert_eq!(verify(&format!("{{PLAIN}}{password}"), ASCII), Ok(false));
    }
    // U+00E9 is what SASLprep makes of e and U+0301; U+00AD disappears.
    for kept in ["e\u{301}", "\u{e9}", "\u{ad}\u{e9}"] {
        assert_eq!(verify(&format!("{{PLAIN}}{kept}"), "\u{e9}"), Ok(true));
        assert_eq!(verify(&format!("{{PLAIN}}{kept}"), "e"), Ok(false));
    }
    // U+FDFA grows to 33 octets when it is prepared.
    let long = "\u{fdfa}".repeat(300);
    assert_eq!(verify(&format!("{{PLAIN}}{long}"), &long), Ok(true));
    // Padding must not make these equal.
    assert_eq!(verify("{PLAIN}a", "a\0"), Ok(false));
    assert_eq!(verify("{PLAIN}a\0", "a"), Ok(false));
    assert_eq!(verify("{PLAIN}", ""), Err(HashError::Malformed("{PLAIN}")));
    for unmarked in [
        "",
        "secret",
        "$",
        "$$",
        "{",
        "{PLAIN",
        "PLAIN}x",
        "}",
        "$1$abcdefgh$x",
        "$2x$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW",
        "$y$j9T$x$y",
        "$6",
        " {PLAIN}x",
        "\u{feff}{PLAIN}x",
        "☃",
        "abJnggxhB/yWI",
    ] {
        assert_eq!(
            verify(unmarked, unmarked),
            Err(HashError::UnknownForm),
            "{unmarked}"
        );
    }
}

#[test]
fn bcrypt_truncates_at_72_octets_and_crypt_knows_no_nul() {
    // crypt(3) of 90 digits; the second differs in the 72nd octet.
    let digits = "0123456789".repeat(9);
    let hash = "$2b$04$abcdefghijklmnopqrstuum2G75IXDN/xsgbNa/hCiPSKyIHQd70S";
    let other = "$2b$04$abcdefghijklmnopqrstuuA473nXARKiTztKqHgL7EnT0DB.pvb8m";
    assert_eq!(verify(hash, &digits), Ok(true));
    assert_eq!(verify(hash, &digits[..72]), Ok(true));
    assert_eq!(verify(hash, &digits[..71]), Ok(false));
    assert_eq!(verify(other, &digits), Ok(false));
    assert_eq!(verify(other, &format!("{}x", &digits[..71])), Ok(true));
    for index in [5, 6, 7] {
        let joined = format!("{ASCII}\0{ASCII}");
        assert_eq!(verify(CHEAP[index], &joined), Ok(false));
        assert_eq!(verify(CHEAP[index], &format!("{ASCII}\0")), Ok(false));
    }
}

#[test]
fn the_malformed_is_refused() {
    let argon2 = "
        m=64,t=2 t=2,p=1 m=64,t=2,p=1,m=64 m=064,t=2,p=1 m=+64,t=2,p=1 v=17$m=64,t=2,p=1
        v=x$m=64,t=2,p=1 v=19$m=64,t=2,p=1,keyid=AAAA m=64,t=0,p=1 m=64,t=2,p=0 m=7,t=2,p=1
        m=64,t=2,p=9 m=99999999999,t=1,p=1 m=-1,t=2,p=1 m=64,t=2,p= m=64,t=2,p
        m=64,,t=2,p=1 v=19 m=64,t=2,p=1$x=1
    ";
    let scrypt = "
        ln=4,r=8 ln=4,r=8,p=1,x=1 ln=0,r=8,p=1 ln=4,r=0,p=1 ln=4,r=8,p=0 ln=256,r=8,p=1
        n=16,r=8,p=1 v=1$ln=4,r=8,p=1
    ";
    let pbkdf2 = "
        i=0 l=32 i=4096,l=31 i=4096,i=4096 i=04096 v=1$i=4096 0 04096 4096x 4294967296
        i=4294967296 x
    ";
    let whole = "
        $argon2id$
        $argon2id$$
        $argon2id$v=19$m=64,t=2,p=1
        $scrypt$
        $pbkdf2-sha256$
        $argon2id$m=64,t=2,p=1$c2FsdHNhbHRzYWx0
        $argon2id$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$
        $argon2id$m=64,t=2,p=1$c2FsdA$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y
        $scrypt$ln=4,r=8,p=1$8PHy8/T19vf4+fr7/P3+/w$AAAA
        {PBKDF2-SHA256}
        {PBKDF2-SHA256}4096
        {PBKDF2-SHA256}4096$$
        {PBKDF2-SHA256}x$8PHy8/T19vf4$nixQw307SZFfSN1eJW
        $2y$
        $2y$05$
        {PBKDF2-SHA256}4096$8PHy8/T19vf4.fr7/P3./w$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y$x
        $2y$+5$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW
        $2y$03$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW
        $2y$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRt
        $2y$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SR☃
        $2y$☃
        $2y$0☃
        $6$
        $6$$
        $6$salt
        $6$salt$
        $6$salt$short
        $6$rounds=
        $6$rounds=1000
        $6$rounds=x$a$b
        $5$rounds=999$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
        $5$rounds=05000$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
        $5$rounds=+5000$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
        $5$$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
        $5$seventeen-octets.$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
        $5$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU=
        $5$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1$
        $6$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
    ";
    let with = |form: &'static str, params: &'static str| {
        let each = params.split_whitespace().chain([""]);
        each.map(move |params| format!("${form}${params}${SALT}${DIGEST}"))
    };
    let hashes = with("argon2id", argon2)
        .chain(with("scrypt", scrypt))
        .chain(with("pbkdf2-sha256", pbkdf2))
        .chain(lines(whole).map(String::from))
        .chain(CHEAP[..8].iter().map(|hash| format!("{hash}\n")))
        .chain(CHEAP[..8].iter().map(|hash| format!("{hash} ")));
    for hash in hashes {
        let outcome = verify(&hash, ASCII);
        assert!(
            matches!(outcome, Err(HashError::Malformed(_))),
            "{hash}: {outcome:?}"
        );
    }
}

#[test]
fn nothing_over_a_limit_is_computed() {
    let max = u32::MAX;
    let phc = |params: String| format!("${params}${SALT}${DIGEST}");
    let begun = std::time::Instant::now();
    for (hash, limit) in [
        (phc("argon2id$v=19$m=262145,t=1,p=1".into()), ARGON2_MEMORY),
        (
            phc(format!("argon2i$m={max},t={max},p={max}")),
            ARGON2_MEMORY,
        ),
        (phc("argon2d$m=64,t=33,p=1".into()), ARGON2_PASSES),
        (phc("argon2id$m=1024,t=1,p=17".into()), ARGON2_LANES),
        (phc("argon2id$m=262144,t=5,p=1".into()), ARGON2_WORK),
        (phc("scrypt$ln=19,r=8,p=1".into()), SCRYPT_MEMORY),
        (phc("scrypt$ln=63,r=1,p=1".into()), SCRYPT_MEMORY),
        (phc("scrypt$ln=255,r=1,p=1".into()), SCRYPT_MEMORY),
        (phc(format!("scrypt$ln=255,r={max},p={max}")), SCRYPT_MEMORY),
        // r × p is 2^51 here, which scrypt's own checks multiply in 32 bits.
        (
            phc("scrypt$ln=1,r=2147483648,p=1048576".into()),
            SCRYPT_MEMORY,
        ),
        (phc(format!("scrypt$ln=1,r=1,p={max}")), SCRYPT_MEMORY),
        (phc("scrypt$ln=17,r=8,p=5".into()), SCRYPT_WORK),
        (phc("pbkdf2-sha256$i=4000001".into()), PBKDF2_WORK),
        (phc(format!("pbkdf2-sha512${max}")), PBKDF2_WORK),
        (
            format!("$pbkdf2-sha256$i=2000001${SALT}${}", "A".repeat(44)),
            PBKDF2_WORK,
        ),
        (
            format!("{{PBKDF2-SHA256}}4000001${SALT}${DIGEST}"),
            PBKDF2_WORK,
        ),
        (CHEAP[5].replace("$05$", "$16$"), BCRYPT_COST),
        (CHEAP[5].replace("$05$", "$99$"), BCRYPT_COST),
        (CHEAP[6].replace("=1000$", "=1000001$"), SHA_CRYPT_ROUNDS),
        (CHEAP[6].replace("=1000$", "=999999999$"), SHA_CRYPT_ROUNDS),
        (format!("{{PLAIN}}{}", "p".repeat(1018)), HASH_LENGTH),
        ("x".repeat(1 << 20), HASH_LENGTH),
    ] {
        assert_eq!(
            verify(&hash, ASCII),
            Err(HashError::OverLimit(limit)),
            "{hash:.80}"
        );
    }
    let spent = begun.elapsed();
    assert!(
        spent < std::time::Duration::from_secs(1),
        "something was computed: {spent:?}"
    );
    let long = "s".repeat(SECRET_OCTETS);
    let costly = CHEAP[6].replace("=1000$", "=32000$");
    assert_eq!(
        verify(&costly, &long),
        Err(HashError::OverLimit(SHA_CRYPT_WORK))
    );
    assert_eq!(verify(CHEAP[6], &long), Ok(false));
    for hash in CHEAP {
        assert_eq!(verify(hash, &format!("{long}s")), Ok(false));
    }
    let longest = "p".repeat(1024 - "{PLAIN}".len());
    assert_eq!(verify(&format!("{{PLAIN}}{longest}"), &longest), Ok(true));
}

#[test]
fn errors_name_the_limit_and_show_nothing_of_hash_or_secret() {
    let hash = format!("$argon2id$m=9876543,t=1,p=1${SALT}${DIGEST}");
    let text = verify(&hash, ASCII).unwrap_err().to_string();
    assert_eq!(
        text,
        "over the limit for the argon2 memory (m): at most 262144 KiB"
    );
    for hash in [
        "Xhush",
        "{Xhush}y",
        "{CRYPT}$argon2id$Xhush",
        "$6$Xhush",
        "$2y$Xhush",
        "$scrypt$Xhush",
        "{PBKDF2-SHA256}Xhush",
        "$argon2id$m=Xhush$a$b",
        "$pbkdf2-sha256$i=Xhush$a$b",
    ] {
        let error = verify(hash, "Xhush").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{hash}");
    }
}

/// A small generator of its own, so that a failure repeats.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn mutated_strings_neither_panic_nor_let_anyone_in() {
    let odd: Vec<char> = "$$$=={},+-/.0aZ \0\n\u{e9}\u{2603}".chars().collect();
    let mut random = Xorshift(0x5eed_cafe_f00d_0001);
    let (mut understood, mut refused) = (0, 0);
    for turn in 0..3000 {
        let mut text: Vec<char> = CHEAP[turn % CHEAP.len()].chars().collect();
        for _ in 0..=random.below(3) {
            let at = random.below(text.len());
            match random.below(5) {
                0 if text.len() > 1 => drop(text.remove(at)),
                1 => text.insert(at, odd[random.below(odd.len())]),
                2 => text[at] = odd[random.below(odd.len())],
                3 => text.truncate(at + 1),
                _ => text.swap(at, 0),
            }
        }
        let hash: String = text.into_iter().collect();
        match verify(&hash, "somebody else's") {
            Ok(matches) => {
                assert!(!matches, "{hash}");
                understood += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(understood > 100 && refused > 1000, "{understood} {refused}");
}

#[test]
fn what_is_compared_is_told_from_what_is_computed() {
    for hash in ["{PLAIN}a", "{plain}a", "{CLEARTEXT}a", "{Clear}"] {
        assert!(is_compared(hash), "{hash}");
    }
    let scram = "{SCRAM-SHA-256}4096,YQ==,YQ==,YQ==";
    for hash in [
        "",
        "{",
        "{PLAIN",
        "PLAIN",
        "{PLAIN-MD5}a",
        "{BLF-CRYPT}$2y$",
        scram,
    ] {
        assert!(!is_compared(hash), "{hash}");
    }
    // The one that is no hash.
    assert_eq!(
        CHEAP.into_iter().filter(|hash| is_compared(hash)).count(),
        1
    );
}
