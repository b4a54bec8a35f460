//! Tokens of every kind against the whole plugin: settings in, account or refusal
//! out. What signs here is not what verifies there.

mod vectors;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use restante_guest::http::{Error, Request, Response};
use restante_guest::testing::{set_http, set_settings};
use restante_guest::types::Secret;
use serde_json::{Value, json};

use crate::*;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example.org/realm";
const KEYS: &str = "https://idp.example.org/realm/keys";

fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// A key of the issuer's.
enum Signer {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    fn rsa() -> Signer {
        Signer::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn p256() -> Signer {
        Signer::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn ed25519() -> Signer {
        Signer::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Signer::Rsa(key) => {
                // RSAPublicKey: SEQUENCE, INTEGER and a zero before the modulus.
                let n = &key.public_key().as_ref()[9..9 + 256];
                json!({"kty": "RSA", "kid": kid, "n": encode(n), "e": "AQAB"})
            }
            Signer::P256(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})
            }
            Signer::Ed25519(key) => {
                let x = encode(key.public_key());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
        }
    }

    fn sign(&self, algorithm: &str, message: &str) -> Vec<u8> {
        let (random, message) = (SystemRandom::new(), message.as_bytes());
        match self {
            Signer::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    "PS256" => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                key.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Signer::P256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Signer::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn token_of(&self, header: &Value, claims: &Value) -> String {
        let algorithm = header["alg"].as_str().unwrap_or_default();
        let message = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let signature = encode(self.sign(algorithm, &message));
        format!("{message}.{signature}")
    }

    fn token(&self, algorithm: &str, claims: &Value) -> String {
        self.token_of(
            &json!({"alg": algorithm, "typ": "JWT", "kid": "k1"}),
            claims,
        )
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": ["other", "mail"],
        "sub": "4711",
        "email": "Ada@Example.org",
        "email_verified": true,
        "scope": "openid mail.read",
        "groups": ["staff", "sales"],
        "quota": 5,
        "iat": NOW - 10,
        "exp": NOW + 300,
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// The settings of most tests, and what some have besides or instead.
fn jwt_settings(others: &[(&str, &str)]) {
    let mut settings = vec![
        ("mode", "jwt"),
        ("issuer", ISSUER),
        ("audience", "mail"),
        ("jwks", KEYS),
        ("user-claim", "email"),
        ("case", "fold"),
    ];
    for (key, value) in others {
        settings.retain(|(known, _)| known != key);
        settings.push((*key, *value));
    }
    set_settings(settings);
}

/// What was asked, URL by URL.
type Asked = Rc<RefCell<Vec<String>>>;

/// Answers every request so, and counts.
fn answering(mut answer: impl FnMut(&Request) -> Result<Value, Error> + 'static) -> Asked {
    let asked = Asked::default();
    let count = asked.clone();
    set_http(move |request| {
        count.borrow_mut().push(request.url.clone());
        answer(request).map(|json| Response {
            status: 200,
            body: json.to_string().into_bytes(),
        })
    });
    asked
}

fn serving(keys: &[Value]) -> Asked {
    let set = json!({"keys": keys});
    answering(move |request| {
        assert_eq!(request.url, KEYS);
        Ok(set.clone())
    })
}

fn refused(token: &str) -> &'static str {
    match judge(None, token, NOW) {
        Err(Refusal::Wrong(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn failure(token: &str) -> Failure {
    match judge(None, token, NOW) {
        Err(Refusal::Failed(_, failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn is_temporary(failure: &Failure) -> bool {
    matches!(failure, Failure::Temporary(_))
}

#[test]
fn every_algorithm_opens_the_account() {
    jwt_settings(&[("attributes", "groups\nlimit=quota\nabsent")]);
    let (rsa, p256, ed25519) = (Signer::rsa(), Signer::p256(), Signer::ed25519());
    for (algorithm, signer) in [
        ("RS256", &rsa),
        ("PS256", &rsa),
        ("ES256", &p256),
        ("EdDSA", &ed25519),
        ("Ed25519", &ed25519),
    ] {
        serving(&[signer.jwk("k1")]);
        let token = signer.token(algorithm, &claims());
        let account = judge(Some("ada@example.ORG"), &token, NOW).unwrap();
        let groups = ("groups".to_owned(), "staff sales".to_owned());
        let limit = ("limit".to_owned(), "5".to_owned());
        assert_eq!(account.user, "ada@example.org", "{algorithm}");
        assert_eq!(account.maildrop, "ada@example.org");
        assert_eq!(account.attributes, [groups, limit]);
        assert_eq!(judge(None, &token, NOW).unwrap(), account);
        // One octet of the signature, one of the claims.
        for at in [token.len() - 20, token.len() / 3] {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let judged = judge(None, &String::from_utf8(other).unwrap(), NOW);
            assert!(judged.is_err(), "{algorithm}: {judged:?}");
        }
    }
}

#[test]
fn a_token_is_for_its_own_user() {
    jwt_settings(&[]);
    let signer = Signer::p256();
    serving(&[signer.jwk("k1")]);
    let token = signer.token("ES256", &claims());
    for user in ["bob@example.org", "ada", "", "ada@example.org "] {
        let judged = judge(Some(user), &token, NOW);
        assert!(
            matches!(judged, Err(Refusal::Wrong(_))),
            "{user}: {judged:?}"
        );
    }
    jwt_settings(&[("case", "exact")]);
    assert!(judge(Some("Ada@Example.org"), &token, NOW).is_ok());
    assert!(judge(Some("ada@example.org"), &token, NOW).is_err());
}

#[test]
fn claims_that_will_not_do() {
    jwt_settings(&[("scope", "mail.read\nopenid"), ("leeway", "30")]);
    let signer = Signer::ed25519();
    serving(&[signer.jwk("k1")]);
    let token = |claims: &Value| signer.token("EdDSA", claims);
    for (claims, why) in [
        (with(claims(), "aud", json!("other")), "audience"),
        (with(claims(), "aud", json!(["mailx", 5, null])), "audience"),
        (with(claims(), "aud", json!({"mail": true})), "audience"),
        (without(claims(), "aud"), "audience"),
        (with(claims(), "exp", json!(NOW - 30)), "expired"),
        (with(claims(), "exp", json!("2100-01-01")), "no number"),
        (
            with(claims(), "exp", json!((NOW + 9).to_string())),
            "no number",
        ),
        (without(claims(), "exp"), "never expires"),
        (with(claims(), "nbf", json!(NOW + 31)), "not valid yet"),
        (with(claims(), "nbf", json!(null)), "no number"),
        (with(claims(), "iat", json!(NOW + 31)), "in the future"),
        (
            with(claims(), "scope", json!("openid mail.reader")),
            "scope",
        ),
        (without(claims(), "scope"), "scope"),
        (without(claims(), "email"), "no user"),
        (
            with(claims(), "email", json!(["ada@example.org"])),
            "no text",
        ),
        (with(claims(), "email", json!("")), "no user name"),
        (with(claims(), "email", json!("a\nb")), "no user name"),
        (
            with(claims(), "email", json!("a".repeat(256))),
            "no user name",
        ),
        (without(claims(), "email_verified"), "not verified"),
        (
            with(claims(), "email_verified", json!(false)),
            "not verified",
        ),
        (
            with(claims(), "email_verified", json!("true")),
            "not verified",
        ),
    ] {
        let said = refused(&token(&claims));
        assert!(said.contains(why), "{claims}: {said}");
    }
    for claims in [
        with(claims(), "aud", json!("mail")),
        with(claims(), "exp", json!(NOW - 29)),
        with(claims(), "exp", json!(NOW as f64 + 0.5)),
        with(claims(), "nbf", json!(NOW + 30)),
        with(
            without(claims(), "scope"),
            "scp",
            json!(["openid", "mail.read"]),
        ),
    ] {
        assert!(judge(None, &token(&claims), NOW).is_ok(), "{claims}");
    }
}

#[test]
fn strangers_tokens_are_left_to_others() {
    jwt_settings(&[]);
    let signer = Signer::ed25519();
    let asked = serving(&[signer.jwk("k1")]);
    let other = with(claims(), "iss", json!("https://idp.example.org/realm/"));
    for token in [
        signer.token("EdDSA", &other),
        signer.token("EdDSA", &without(claims(), "iss")),
        signer.token("EdDSA", &with(claims(), "iss", json!([ISSUER]))),
        "opaque".into(),
        "a.b".into(),
        "...".into(),
        format!("{}.x", signer.token("EdDSA", &claims())),
        signer.token("EdDSA", &claims()) + "=",
        format!("{}.{}.", encode("{\"alg\":\"none\"}"), encode("[]")),
    ] {
        let judged = judge(None, &token, NOW);
        assert!(matches!(judged, Err(Refusal::NotMine(_))), "{judged:?}");
    }
    assert!(asked.borrow().is_empty());
}

#[test]
fn a_header_cannot_choose_how_it_is_checked() {
    jwt_settings(&[]);
    let (rsa, p256) = (Signer::rsa(), Signer::p256());
    let jwk = rsa.jwk("k1");
    let asked = serving(&[jwk.clone(), p256.jwk("k2")]);
    // RFC 7515 appendix A.5, and the spellings that naive comparisons let in.
    for algorithm in [
        "none", "None", "NONE", "", "HS256", "RS1", "rs256", "RS512", "ES256K",
    ] {
        let header = json!({"alg": algorithm, "kid": "k1"});
        let message = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims().to_string())
        );
        for signature in ["", "AAAA"] {
            let said = refused(&format!("{message}.{signature}"));
            assert!(said.contains("not allowed"), "{algorithm}: {said}");
        }
    }
    // HMAC with the public key's octets as its secret.
    let header = json!({"alg": "HS256", "kid": "k1"});
    let message = format!(
        "{}.{}",
        encode(header.to_string()),
        encode(claims().to_string())
    );
    let secret = jwk["n"].as_str().unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let mac = encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));
    assert!(refused(&format!("{message}.{mac}")).contains("not allowed"));
    assert!(asked.borrow().is_empty());
    // Good, and yet signed with a key of another kind, or that is not the issuer's.
    let odd = [
        rsa.token_of(&json!({"alg": "RS256", "kid": "k2"}), &claims()),
        p256.token_of(&json!({"alg": "ES256", "kid": "k1"}), &claims()),
        Signer::rsa().token("RS256", &claims()),
        rsa.token_of(
            &json!({"alg": "RS256", "kid": "k1", "crit": ["b64"], "b64": false}),
            &claims(),
        ),
        rsa.token_of(
            &json!({"alg": "RS256", "kid": "k1", "typ": "logout+jwt"}),
            &claims(),
        ),
        rsa.token_of(&json!({"alg": "RS256", "kid": "k1", "typ": 5}), &claims()),
        rsa.token_of(&json!({"alg": ["RS256"], "kid": "k1"}), &claims()),
        rsa.token_of(&json!({"kid": "k1"}), &claims()),
    ];
    for token in odd {
        refused(&token);
    }
    assert!(judge(None, &rsa.token("RS256", &claims()), NOW).is_ok());
    jwt_settings(&[("algorithms", "ES256\nEdDSA")]);
    refused(&rsa.token("RS256", &claims()));
}

#[test]
fn a_type_that_is_asked_for_must_be_there() {
    jwt_settings(&[("token-type", "at+jwt")]);
    let signer = Signer::ed25519();
    serving(&[signer.jwk("k1")]);
    let token = |header: Value| signer.token_of(&header, &claims());
    for good in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        let token = token(json!({"alg": "EdDSA", "typ": good}));
        assert!(judge(None, &token, NOW).is_ok(), "{good}");
    }
    refused(&token(json!({"alg": "EdDSA", "typ": "JWT"})));
    refused(&token(json!({"alg": "EdDSA"})));
}

#[test]
fn a_kid_is_a_name_and_nothing_else() {
    jwt_settings(&[]);
    let signer = Signer::ed25519();
    let stranger = Signer::ed25519();
    let asked = serving(&[signer.jwk("k1"), Signer::ed25519().jwk("../../etc/passwd")]);
    let long = "k".repeat(513);
    for kid in [
        json!("../../etc/passwd"),
        json!("https://evil.example/keys"),
        json!("k1' OR '1'='1"),
        json!("K1"),
        json!("k1\0"),
        json!(""),
        json!(1),
        json!(null),
        json!(["k1"]),
        json!({"k1": true}),
        json!(long),
    ] {
        let mut header = json!({"alg": "EdDSA", "kid": kid});
        // Where a stranger's key could be had, if somebody looked.
        header["jku"] = json!("https://evil.example/keys");
        header["x5u"] = json!("https://evil.example/chain");
        header["jwk"] = stranger.jwk("k1");
        for signer in [&signer, &stranger] {
            refused(&signer.token_of(&header, &claims()));
        }
    }
    // Nothing but the one URL was ever asked.
    assert!(asked.borrow().iter().all(|url| url == KEYS));
    // A token without a name is tried with each key.
    assert!(
        judge(
            None,
            &signer.token_of(&json!({"alg": "EdDSA"}), &claims()),
            NOW
        )
        .is_ok()
    );
    refused(&stranger.token_of(&json!({"alg": "EdDSA"}), &claims()));
}

#[test]
fn keys_that_are_for_something_else_do_not_count() {
    jwt_settings(&[]);
    let signer = Signer::rsa();
    let token = signer.token("RS256", &claims());
    for (name, value, good) in [
        ("use", json!("enc"), false),
        ("use", json!("sig"), true),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["encrypt"]), false),
        ("alg", json!("RS256"), true),
        ("alg", json!("PS256"), false),
        ("alg", json!("HS256"), false),
        ("kty", json!("oct"), false),
        ("e", json!("AQAB="), false),
        ("e", json!("AA"), false),
        ("n", json!("AQAB"), false),
        ("n", json!("_".repeat(4000)), false),
        ("n", json!(5), false),
    ] {
        serving(&[
            with(signer.jwk("k1"), name, value.clone()),
            Signer::p256().jwk("k9"),
        ]);
        let judged = judge(None, &token, NOW);
        assert_eq!(judged.is_ok(), good, "{name} {value}: {judged:?}");
        // What is broken does not hide what is not.
        serving(&[
            with(signer.jwk("k1"), name, value),
            json!("no key"),
            json!({"kty": "RSA"}),
            signer.jwk("k1"),
        ]);
        assert!(judge(None, &token, NOW).is_ok());
    }
}

#[test]
fn an_issuer_that_does_not_answer_is_no_refusal() {
    jwt_settings(&[]);
    let token = Signer::ed25519().token("EdDSA", &claims());
    answering(|_| Err(Error::Failed("ConnectionRefused".into())));
    assert!(is_temporary(&failure(&token)));
    answering(|_| Err(Error::TooLarge));
    assert!(is_temporary(&failure(&token)));
    answering(|_| Err(Error::Denied));
    assert!(matches!(failure(&token), Failure::Permanent(_)));
    for body in [
        json!("text"),
        json!([]),
        json!({}),
        json!({"keys": []}),
        json!({"keys": 5}),
    ] {
        answering(move |_| Ok(body.clone()));
        assert!(is_temporary(&failure(&token)));
    }
    for (status, temporary) in [
        (302, false),
        (401, false),
        (404, false),
        (429, true),
        (503, true),
    ] {
        set_http(move |_| {
            Ok(Response {
                status,
                body: Vec::new(),
            })
        });
        assert_eq!(is_temporary(&failure(&token)), temporary, "{status}");
    }
    // A connection that was closed under it is tried once more.
    let signer = Signer::ed25519();
    let set = json!({"keys": [signer.jwk("k1")]});
    let mut first = true;
    answering(move |_| match std::mem::take(&mut first) {
        true => Err(Error::Closed),
        false => Ok(set.clone()),
    });
    assert!(judge(None, &signer.token("EdDSA", &claims()), NOW).is_ok());
}

#[test]
fn keys_are_found_where_the_issuer_says() {
    jwt_settings(&[("jwks", "")]);
    let signer = Signer::ed25519();
    let token = signer.token("EdDSA", &claims());
    let discovery = "https://idp.example.org/realm/.well-known/openid-configuration";
    let found = |configuration: Value| {
        let set = json!({"keys": [signer.jwk("k1")]});
        answering(move |request| match request.url.as_str() {
            url if url == discovery => Ok(configuration.clone()),
            url if url == KEYS => Ok(set.clone()),
            url => panic!("{url}"),
        })
    };
    let asked = found(json!({"issuer": ISSUER, "jwks_uri": KEYS}));
    assert!(judge(None, &token, NOW).is_ok());
    assert_eq!(*asked.borrow(), [discovery, KEYS]);
    for configuration in [
        json!({"jwks_uri": KEYS}),
        json!({"issuer": "https://evil.example", "jwks_uri": KEYS}),
        json!({"issuer": ISSUER}),
        json!({"issuer": ISSUER, "jwks_uri": KEYS.replace("https", "http")}),
    ] {
        found(configuration);
        assert!(matches!(failure(&token), Failure::Permanent(_)));
    }
}

#[test]
fn keys_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    jwt_settings(&[("jwks", path.to_str().unwrap())]);
    let signer = Signer::p256();
    let token = signer.token("ES256", &claims());
    assert!(OAuth2::validate().unwrap_err()[0].starts_with("jwks: "));
    assert!(matches!(failure(&token), Failure::Permanent(_)));
    std::fs::write(&path, "{}").unwrap();
    assert!(matches!(failure(&token), Failure::Permanent(_)));
    std::fs::write(&path, json!({"keys": [signer.jwk("k1")]}).to_string()).unwrap();
    assert_eq!(OAuth2::validate(), Ok(()));
    assert!(judge(None, &token, NOW).is_ok());
}

fn cached(folder: &Path, others: &[(&str, &str)]) {
    let mut settings = vec![("cache", folder.to_str().unwrap())];
    settings.extend(others);
    jwt_settings(&settings);
}

fn cache_file(folder: &Path) -> std::path::PathBuf {
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].as_ref().unwrap().path()
}

#[test]
fn keys_are_fetched_once() {
    let folder = tempfile::tempdir().unwrap();
    cached(folder.path(), &[("cache-for", "600")]);
    let signer = Signer::ed25519();
    let asked = serving(&[signer.jwk("k1")]);
    let exp = json!(NOW + 10_000);
    let token = signer.token("EdDSA", &with(claims(), "exp", exp));
    for (now, fetched) in [(NOW, 1), (NOW + 599, 1), (NOW + 600, 2), (NOW + 601, 2)] {
        assert!(judge(None, &token, now).is_ok());
        assert_eq!(asked.borrow().len(), fetched, "{now}");
    }
    // A clock that was set back.
    assert!(judge(None, &token, NOW).is_ok());
    assert_eq!(asked.borrow().len(), 3);
    // Another source has a file of its own.
    cached(folder.path(), &[("jwks", ""), ("cache-for", "600")]);
    answering(|_| Err(Error::Failed("down".into())));
    assert!(is_temporary(&failure(&token)));
}

#[test]
fn an_unknown_key_is_looked_for_once_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    cached(folder.path(), &[]);
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let asked = serving(&[old.jwk("k1")]);
    let exp = json!(NOW + 10_000);
    let token = old.token("EdDSA", &with(claims(), "exp", exp.clone()));
    assert!(judge(None, &token, NOW).is_ok());
    let header = json!({"alg": "EdDSA", "kid": "k2"});
    let turned = new.token_of(&header, &with(claims(), "exp", exp));
    let judged = |now| judge(None, &turned, now);
    assert!(matches!(judged(NOW + 59), Err(Refusal::Wrong(_))));
    assert_eq!(asked.borrow().len(), 1);
    assert!(matches!(judged(NOW + 60), Err(Refusal::Wrong(_))));
    assert!(matches!(judged(NOW + 119), Err(Refusal::Wrong(_))));
    assert_eq!(asked.borrow().len(), 2);
    // The issuer is away: nobody knows whether there is such a key.
    let asked = answering(|_| Err(Error::Failed("down".into())));
    for now in [NOW + 120, NOW + 121, NOW + 179] {
        assert!(matches!(judged(now), Err(Refusal::Failed(..))), "{now}");
    }
    assert_eq!(asked.borrow().len(), 1);
    // Those that are known are good meanwhile.
    assert!(judge(None, &token, NOW + 121).is_ok());
    let asked = serving(&[old.jwk("k1"), new.jwk("k2")]);
    assert!(judged(NOW + 180).is_ok());
    assert!(judged(NOW + 181).is_ok());
    assert_eq!(asked.borrow().len(), 1);
}

#[test]
fn a_damaged_cache_is_none() {
    let folder = tempfile::tempdir().unwrap();
    cached(folder.path(), &[]);
    let signer = Signer::ed25519();
    let asked = serving(&[signer.jwk("k1")]);
    let token = signer.token("EdDSA", &claims());
    assert!(judge(None, &token, NOW).is_ok());
    let path = cache_file(folder.path());
    let whole = std::fs::read_to_string(&path).unwrap();
    let file: Value = serde_json::from_str(&whole).unwrap();
    let damages = [
        String::new(),
        whole[..whole.len() / 2].to_owned(),
        "[]".into(),
        with(file.clone(), "source", json!("https://evil.example/keys")).to_string(),
        with(file.clone(), "fetched", json!(NOW + 1)).to_string(),
        with(file.clone(), "asked", json!(NOW + 1)).to_string(),
        with(file.clone(), "fetched", json!(-1)).to_string(),
        with(file.clone(), "failed", json!("no")).to_string(),
        with(file.clone(), "keys", json!([])).to_string(),
        without(file, "keys").to_string(),
    ];
    for (round, damage) in damages.iter().enumerate() {
        std::fs::write(&path, damage).unwrap();
        assert!(judge(None, &token, NOW).is_ok(), "{damage}");
        assert_eq!(asked.borrow().len(), round + 2, "{damage}");
        assert_eq!(cache_file(folder.path()), path);
    }
    // It cannot be written: then it is fetched each time.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let before = asked.borrow().len();
    for _ in 0..2 {
        assert!(judge(None, &token, NOW).is_ok());
    }
    assert_eq!(asked.borrow().len(), before + 2);
    assert_eq!(cache_file(folder.path()), path);
}

fn introspection_settings(others: &[(&'static str, &'static str)]) {
    let mut settings = vec![
        ("mode", "introspection"),
        ("endpoint", "https://idp.example.org/introspect"),
        ("client-id", "pop3"),
        ("client-secret", "s&cret %"),
    ];
    settings.extend(others);
    set_settings(settings);
}

#[test]
fn an_issuer_is_asked_about_a_token() {
    introspection_settings(&[]);
    answering(|request| {
        let body = String::from_utf8(request.body.clone()).unwrap();
        assert_eq!(body, "token=a%2Fb%2Bc%3D&token_type_hint=access_token");
        // "pop3:s%26cret+%25"
        let basic = (
            "authorization".to_owned(),
            "Basic cG9wMzpzJTI2Y3JldCslMjU=".to_owned(),
        );
        assert!(request.headers.contains(&basic));
        Ok(json!({"active": true, "username": "ada", "aud": "anything"}))
    });
    assert_eq!(
        judge(Some("ada"), "a/b+c=", NOW).unwrap(),
        Account::new("ada")
    );
    assert!(matches!(
        judge(Some("bob"), "a/b+c=", NOW),
        Err(Refusal::Wrong(_))
    ));
    introspection_settings(&[("client-auth", "post")]);
    answering(|request| {
        let body = String::from_utf8(request.body.clone()).unwrap();
        assert!(body.ends_with("&client_id=pop3&client_secret=s%26cret+%25"));
        assert!(
            !request
                .headers
                .iter()
                .any(|(name, _)| name == "authorization")
        );
        Ok(json!({"active": true, "username": "ada"}))
    });
    assert!(judge(None, "token", NOW).is_ok());
}

#[test]
fn what_an_issuer_says_of_a_token_must_do() {
    introspection_settings(&[
        ("issuer", ISSUER),
        ("audience", "mail"),
        ("scope", "mail.read"),
        ("user-claim", "sub"),
    ]);
    let judged = |answer: Value| {
        answering(move |_| Ok(answer.clone()));
        judge(None, "token", NOW)
    };
    let active = with(claims(), "active", json!(true));
    assert_eq!(judged(active.clone()).unwrap().user, "4711");
    assert!(judged(without(active.clone(), "exp")).is_ok());
    for answer in [
        with(active.clone(), "active", json!(false)),
        with(active.clone(), "exp", json!(NOW - 61)),
        with(active.clone(), "aud", json!("other")),
        without(active.clone(), "aud"),
        with(active.clone(), "iss", json!("https://evil.example")),
        without(active.clone(), "iss"),
        with(active.clone(), "scope", json!("openid")),
        without(active.clone(), "sub"),
    ] {
        let said = judged(answer.clone());
        assert!(matches!(said, Err(Refusal::Wrong(_))), "{answer}: {said:?}");
    }
    for active in [json!("true"), json!(1), json!(null)] {
        let said = judged(with(claims(), "active", active));
        assert!(matches!(said, Err(Refusal::Failed(..))), "{said:?}");
    }
}

#[test]
fn maildrops_come_from_a_template() {
    let signer = Signer::ed25519();
    let token = signer.token("EdDSA", &claims());
    let opened = |template: &str| {
        jwt_settings(&[("maildrop", template)]);
        serving(&[signer.jwk("k1")]);
        judge(None, &token, NOW)
    };
    for (template, maildrop) in [
        ("{user}", "ada@example.org"),
        ("{domain}-{local}", "example.org-ada"),
        ("u{claim.sub}", "u4711"),
        ("{{{claim.quota}}}", "{5}"),
    ] {
        assert_eq!(opened(template).unwrap().maildrop, maildrop);
    }
    assert!(matches!(opened("{claim.absent}"), Err(Refusal::Failed(..))));
}

#[test]
fn every_bad_setting_is_named() {
    let keys = |settings: &[(&str, &str)]| -> Vec<String> {
        let all = settings
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()));
        match Settings::parse(all.collect()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems
                .iter()
                .map(|problem| problem.split(':').next().unwrap().to_owned())
                .collect(),
        }
    };
    assert_eq!(keys(&[]), ["mode", "issuer", "audience", "user-claim"]);
    assert_eq!(
        keys(&[
            ("mode", "jwt"),
            ("issuer", "idp.example.org"),
            ("audience", "mail"),
            ("user-claim", "sub"),
            ("case", "lower"),
            ("maildrop", "{user"),
            ("attributes", "=x"),
            ("leeway", "1h"),
            ("algorithms", "RS256\nHS256\nnone"),
            ("cache", "cache"),
            ("cache-for", "86401"),
            ("client-id", "x"),
        ]),
        [
            "case",
            "maildrop",
            "attributes",
            "leeway",
            "issuer",
            "algorithms",
            "algorithms",
            "cache",
            "cache-for",
            "client-id"
        ]
    );
    assert_eq!(
        keys(&[
            ("mode", "introspection"),
            ("endpoint", "idp"),
            ("jwks", "x")
        ]),
        ["endpoint", "client-id", "client-secret", "jwks"]
    );
    let secrets = [
        ("mode", "introspection"),
        ("endpoint", "https://idp.example.org/introspect"),
        ("client-id", "pop3"),
        ("client-secret", "x"),
    ];
    assert_eq!(keys(&secrets), Vec::<String>::new());
    assert_eq!(
        keys(&[&secrets[..], &[("client-secret-file", "/x")]].concat()),
        ["client-secret"]
    );
}

#[test]
fn only_tokens_are_judged() {
    jwt_settings(&[]);
    let connection = Connection {
        session: "s1".into(),
        tenant: "acme".into(),
        listener: "pop3".into(),
        client_address: "192.0.2.1".into(),
        client_port: 1,
        tls: None,
    };
    let password = Credentials::Password {
        user: "ada@example.org".into(),
        acting_as: None,
        secret: Secret::new("x"),
    };
    let denied = OAuth2::authenticate(connection.clone(), password);
    assert!(matches!(denied, Err(Denial::Unknown)));
    assert_eq!(OAuth2::accepts(), Kinds::BEARER);
    let token = Secret::new("x".repeat(TOKEN + 1));
    let denied = OAuth2::authenticate(connection, Credentials::Bearer { user: None, token });
    assert!(matches!(denied, Err(Denial::Rejected)));
}
