use super::*;
use crate::sasl::{Discovery, Mechanisms, MockCredentials};

/// The exchanges of RFC 5802 section 5 and RFC 7677 section 3: user "user",
/// password "pencil". The keys were derived from the password, salt and count
/// by Python's hashlib.pbkdf2_hmac.
struct Example {
    mechanism: Mechanism,
    client_first: &'static str,
    nonce: &'static str,
    salt: &'static str,
    stored_key: &'static str,
    server_key: &'static str,
    server_first: &'static str,
    client_final: &'static str,
    server_final: &'static str,
}

const RFC_5802: Example = Example {
    mechanism: Mechanism::ScramSha1,
    client_first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    nonce: "3rfcNHYJY1ZVvWVs7j",
    salt: "QSXCR+Q6sek8bf92",
    stored_key: "6dlGYMOdZcOPutkcNY8U2g7vK9Y=",
    server_key: "D+CSWLOshSulAsxiupA+qs2/fTE=",
    server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    client_final: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
                   p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    server_final: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
};

const RFC_7677: Example = Example {
    mechanism: Mechanism::ScramSha256,
    client_first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
    stored_key: "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
    server_key: "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    server_first: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                   s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    client_final: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                   p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
};

fn octets_of(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

fn terms(binding: Option<&ChannelBinding>) -> Terms<'_> {
    const DISCOVERY: &Discovery = &Discovery {
        scope: None,
        openid_configuration: None,
    };
    let offered: Mechanisms = match binding {
        Some(_) => Mechanism::ALL.into_iter().collect(),
        None => Mechanisms::NONE
            .with(Mechanism::ScramSha1)
            .with(Mechanism::ScramSha256),
    };
    Terms {
        offered,
        binding,
        challenge: None,
        discovery: DISCOVERY,
    }
}

fn first(mechanism: Mechanism, message: &str, terms: &Terms<'_>) -> Result<ClientFirst, Stop> {
    ClientFirst::read(mechanism, message.as_bytes(), terms)
}

fn proving(challenge: (Vec<u8>, Proving)) -> (String, Proving) {
    let (octets, proving) = challenge;
    (String::from_utf8(octets).unwrap(), proving)
}

impl Example {
    fn keys(&self) -> ScramKeys {
        let (stored, server) = (octets_of(self.stored_key), octets_of(self.server_key));
        ScramKeys::new(
            hash(self.mechanism),
            &octets_of(self.salt),
            4096,
            &stored,
            &server,
        )
        .unwrap()
    }

    fn proving(&self) -> Proving {
        let first = first(self.mechanism, self.client_first, &terms(None)).unwrap();
        assert_eq!((first.user(), &first.acting_as), ("user", &None));
        let nonce = ScramNonce::new(self.nonce).unwrap();
        let (said, proving) = proving(first.challenge(self.keys(), &nonce));
        assert_eq!(said, self.server_first);
        proving
    }
}

#[test]
fn the_examples_of_the_rfcs() {
    for example in [RFC_5802, RFC_7677] {
        let turn = example.proving().verify(example.client_final.as_bytes());
        match turn {
            Ok((octets, proved)) => {
                assert_eq!(octets, example.server_final.as_bytes());
                assert_eq!((proved.user, proved.acting_as), ("user".into(), None));
            }
            turn => panic!("{turn:?}"),
        }
    }
}

/// Whatever octet of the last message is changed, nobody is let in.
#[test]
fn every_octet_of_the_proof_counts() {
    for example in [RFC_5802, RFC_7677] {
        for position in 0..example.client_final.len() {
            let mut message = example.client_final.as_bytes().to_vec();
            message[position] ^= 1;
            let turn = example.proving().verify(&message);
            assert!(turn.is_err(), "{}: {turn:?}", message.escape_ascii());
        }
        for cut in 0..example.client_final.len() {
            let turn = example
                .proving()
                .verify(&example.client_final.as_bytes()[..cut]);
            assert!(turn.is_err(), "cut at {cut}: {turn:?}");
        }
    }
}

#[test]
fn the_wrong_proof_fails_and_nonsense_is_malformed() {
    let with = |client_final: &str| match RFC_5802.proving().verify(client_final.as_bytes()) {
        Err(stop) => stop,
        Ok(turn) => panic!("{turn:?}"),
    };
    let nonce = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";
    let proof = "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    let failed = |cause| super::failed("user".into(), cause);
    let wrong = format!("c=biws,{nonce},p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(with(&wrong), failed(Cause::Proof));
    // "y,," and "n,a=x," instead of "n,,".
    for header in ["eSws", "bixhPXgs"] {
        let wrong = format!("c={header},{nonce},{proof}");
        assert_eq!(with(&wrong), failed(Cause::ChannelBinding));
    }
    // An extension is legal, but it is part of what is signed.
    let extended = format!("c=biws,{nonce},x=y,{proof}");
    assert_eq!(with(&extended), failed(Cause::Proof));
    for message in [
        String::new(),
        proof.into(),
        format!("c=biws,{nonce}"),
        format!("{nonce},c=biws,{proof}"),
        format!("c=biws,r=fyko+d2lbbFgONRv9qkxdawL,{proof}"),
        format!("c=biws,{nonce}x,{proof}"),
        format!("c=biws,{proof}"),
        format!("c=b i w s,{nonce},{proof}"),
        format!("c=biws,{nonce},m=x,{proof}"),
        format!("c=biws,{nonce},,{proof}"),
        format!("c=biws,{nonce},p=v0X8v3Bz2T0CJGbJQyF0X"),
        format!("c=biws,{nonce},p="),
        format!("c=biws,{nonce},{proof},x=y"),
    ] {
        assert_eq!(
            with(&message),
            Stop::Malformed(Malformed::Message),
            "{message}"
        );
    }
}

#[test]
fn first_messages() {
    let read = |message: &str| {
        let first = first(Mechanism::ScramSha1, message, &terms(None))?;
        Ok((first.user, first.acting_as))
    };
    for (message, user, acting_as) in [
        ("n,,n=user,r=abc", "user", None),
        ("y,,n=user,r=abc,x=extension,y==", "user", None),
        ("n,a=other,n=user,r=abc", "user", Some("other")),
        ("n,a=user,n=user,r=abc", "user", None),
        ("n,a=a=2Cb,n=c=3Dd=2C,r=!~", "c=d,", Some("a,b")),
        ("n,,n=I\u{ad}X,r=abc", "IX", None),
    ] {
        let acting_as = acting_as.map(String::from);
        assert_eq!(read(message), Ok((user.to_owned(), acting_as)), "{message}");
    }
    let long = "x".repeat(MAX_CLIENT_NONCE_OCTETS + 1);
    for message in [
        "",
        "n,,",
        "n,,n=user",
        "n,,n=,r=abc",
        "n,,r=abc,n=user",
        "n,,n=user,r=",
        "n,,n=user,r=a b",
        "n,,n=user,r=abc,",
        "n,,n=user,r=abc,xy",
        "n,,n=user,r=abc,m=x",
        "n,,m=x,n=user,r=abc",
        "n,,n=us=er,r=abc",
        "n,,n=us=2cer,r=abc",
        "p=tls-unique,,n=user,r=abc",
        &format!("n,,n=user,r={long}"),
    ] {
        assert_eq!(
            read(message),
            Err(Stop::Malformed(Malformed::Message)),
            "{message:?}"
        );
    }
    assert!(matches!(read("n,,n=a\u{7}b,r=abc"), Err(Stop::Failed(_))));
}

#[test]
fn mock_credentials_answer_like_anybody_and_let_nobody_in() {
    let mock_credentials = MockCredentials::new([7; 32], 4096, 12);
    let answer = || {
        let first = first(Mechanism::ScramSha1, RFC_5802.client_first, &terms(None)).unwrap();
        let keys = mock_credentials.keys(first.hash(), first.user());
        proving(first.challenge(keys, &ScramNonce::new(RFC_5802.nonce).unwrap()))
    };
    let (said, proving) = answer();
    assert_eq!(said, answer().0);
    assert_eq!(said.len(), RFC_5802.server_first.len());
    match proving.verify(RFC_5802.client_final.as_bytes()) {
        Err(stop) => assert_eq!(stop, failed("user".into(), Cause::Proof)),
        Ok(turn) => panic!("{turn:?}"),
    }
    // Not even with the keys themselves.
    let keys = || ScramKeys {
        mock_credentials: true,
        ..RFC_5802.keys()
    };
    let first = first(Mechanism::ScramSha1, RFC_5802.client_first, &terms(None)).unwrap();
    let nonce = ScramNonce::new(RFC_5802.nonce).unwrap();
    let (_, proving) = super::tests::proving(first.challenge(keys(), &nonce));
    assert!(proving.verify(RFC_5802.client_final.as_bytes()).is_err());
}

#[test]
fn mock_credentials_are_each_tenants_own() {
    let mock_credentials = MockCredentials::new([7; 32], 4096, 16);
    let salt = |tenant| mock_credentials.of(tenant).salt(ScramHash::Sha256, "user");
    assert_eq!(salt(Some("a")), salt(Some("a")));
    let all = [None, Some(""), Some("a"), Some("ab"), Some("nobody:")].map(salt);
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one));
    }
    assert!(!all.contains(&mock_credentials.salt(ScramHash::Sha256, "user")));
}

/// A client's side, for what the RFCs give no example of.
fn client_final(proving: &Proving, gs2: &str, binding: &[u8]) -> String {
    let input = [gs2.as_bytes(), binding].concat();
    let without_proof = format!("c={},r={}", STANDARD.encode(input), proving.nonce);
    let message = format!(
        "{},{},{without_proof}",
        proving.first.bare, proving.server_first
    );
    let hash = proving.keys.hash;
    // The stored key's preimage: the tests below make it so.
    let client_key = hash.digest(b"salted password");
    let signature = hash.hmac(&hash.digest(&client_key), &[message.as_bytes()]);
    let proof: Vec<u8> = client_key
        .iter()
        .zip(signature)
        .map(|(k, s)| k ^ s)
        .collect();
    format!("{without_proof},p={}", STANDARD.encode(proof))
}

#[test]
fn channel_binding() {
    let binding = ChannelBinding {
        exporter: Some(vec![1; 32]),
        unique: Some(vec![2; 12]),
        server_end_point: None,
    };
    let terms = terms(Some(&binding));
    let bound = |mechanism: Mechanism, gs2: &str, octets: &[u8]| {
        let message = format!("{gs2}n=user,r=abc");
        let first = first(mechanism, &message, &terms)?;
        let hash = first.hash;
        let stored = hash.digest(&hash.digest(b"salted password"));
        let keys = ScramKeys::new(hash, b"salt", 4096, &stored, &stored).unwrap();
        let nonce = ScramNonce::from_random([3; 18]);
        let (_, proving) = proving(first.challenge(keys, &nonce));
        let message = client_final(&proving, gs2, octets);
        proving.verify(message.as_bytes()).map(|_| ())
    };
    let failed = |cause| Err(super::failed("user".into(), cause));
    let malformed = Err(Stop::Malformed(Malformed::Message));
    for (bare, plus) in [
        (Mechanism::ScramSha1, Mechanism::ScramSha1Plus),
        (Mechanism::ScramSha256, Mechanism::ScramSha256Plus),
    ] {
        assert_eq!(bound(plus, "p=tls-exporter,,", &[1; 32]), Ok(()));
        assert_eq!(bound(plus, "p=tls-unique,,", &[2; 12]), Ok(()));
        assert_eq!(bound(bare, "n,,", &[]), Ok(()));
        // Another channel, or none, or another type than was said.
        for octets in [&[9; 32][..], &[], &[2; 12], &[1; 31]] {
            let result = bound(plus, "p=tls-exporter,,", octets);
            assert_eq!(result, failed(Cause::ChannelBinding));
        }
        assert_eq!(bound(bare, "n,,", &[1; 32]), failed(Cause::ChannelBinding));
        // A type that the channel has not, or that nobody knows.
        for gs2 in ["p=tls-server-end-point,,", "p=tls-magic,,"] {
            assert_eq!(bound(plus, gs2, &[]), failed(Cause::ChannelBinding));
        }
        assert_eq!(bound(bare, "y,,", &[]), failed(Cause::Downgrade));
        assert_eq!(bound(bare, "p=tls-exporter,,", &[1; 32]), malformed);
        assert_eq!(bound(plus, "n,,", &[]), malformed);
        assert_eq!(bound(plus, "y,,", &[]), malformed);
    }
}
