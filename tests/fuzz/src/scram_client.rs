//! A SCRAM client (RFC 5802, RFC 7677) that is right, or wrong in a way that is
//! chosen.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use restante_pop3::{Mechanism, Preparation, ScramHash, ScramKeys, saslprep};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// HMAC(key, str).
fn hmac(hash: ScramHash, key: &[u8], octets: &[u8]) -> Vec<u8> {
    fn keyed<M: Mac + KeyInit>(key: &[u8], octets: &[u8]) -> Vec<u8> {
        let mac = <M as KeyInit>::new_from_slice(key).expect("a key of any length");
        mac.chain_update(octets).finalize().into_bytes().to_vec()
    }
    match hash {
        ScramHash::Sha1 => keyed::<Hmac<Sha1>>(key, octets),
        ScramHash::Sha256 => keyed::<Hmac<Sha256>>(key, octets),
    }
}

fn digest(hash: ScramHash, octets: &[u8]) -> Vec<u8> {
    match hash {
        ScramHash::Sha1 => Sha1::digest(octets).to_vec(),
        ScramHash::Sha256 => Sha256::digest(octets).to_vec(),
    }
}

/// Hi(password, salt, iterations).
fn salted(hash: ScramHash, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
    let password = saslprep(password, Preparation::Stored).expect("a password that can be");
    let password = password.as_bytes();
    let mut salted = vec![0; hash.octets()];
    match hash {
        ScramHash::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut salted),
        ScramHash::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
    }
    salted
}

/// What a server keeps of a password.
pub(crate) fn keys(hash: ScramHash, password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
    let salted = salted(hash, password, salt, iterations);
    let stored = digest(hash, &hmac(hash, &salted, b"Client Key"));
    let server = hmac(hash, &salted, b"Server Key");
    ScramKeys::new(hash, salt, iterations, &stored, &server).expect("keys that fit")
}

/// How a client is wrong in its last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Not at all.
    None,
    /// Nor here: an extension that everybody may pass over.
    Extension,
    /// An extension that the proof does not cover.
    ExtensionUnproved,
    /// An extension that nobody may pass over.
    Mandatory,
    /// A bit of the proof.
    Bit(u8),
    Short,
    Empty,
    /// What the server keeps instead of what the client has.
    StoredKey,
    Nonce,
    /// The header or the channel, as `c=` repeats it.
    Binding,
    /// The proof of the other message: without the server's.
    Message,
}

impl Flaw {
    pub(crate) fn chosen(choice: u8) -> Self {
        match choice % 16 {
            0..=4 => Flaw::None,
            5 | 6 => Flaw::Extension,
            7 => Flaw::ExtensionUnproved,
            8 => Flaw::Mandatory,
            9 => Flaw::Bit(choice >> 4),
            10 => Flaw::Short,
            11 => Flaw::Empty,
            12 => Flaw::StoredKey,
            13 => Flaw::Nonce,
            14 => Flaw::Binding,
            _ => Flaw::Message,
        }
    }

    fn is_none(self) -> bool {
        matches!(self, Flaw::None | Flaw::Extension)
    }
}

/// One exchange of a client.
pub(crate) struct Client {
    hash: ScramHash,
    /// The GS2 header, as it goes out.
    header: String,
    bare: String,
    nonce: String,
    /// The channel's binding, as the client knows it.
    binding: Vec<u8>,
    password: String,
    /// `v=` of a server that knows the keys.
    server_final: Option<String>,
}

impl Client {
    /// `header` ends with its comma; `name` is encoded already.
    pub(crate) fn new(
        mechanism: Mechanism,
        header: String,
        name: &str,
        nonce: &str,
        binding: &[u8],
        password: &str,
    ) -> Self {
        Client {
            hash: match mechanism {
                Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => ScramHash::Sha1,
                _ => ScramHash::Sha256,
            },
            header,
            bare: format!("n={name},r={nonce}"),
            nonce: nonce.into(),
            binding: binding.into(),
            password: password.into(),
            server_final: None,
        }
    }

    pub(crate) fn first(&self) -> String {
        format!("{}{}", self.header, self.bare)
    }

    /// The last message, and whether it is right. None: that was no
    /// `server-first-message` to us.
    pub(crate) fn last(&mut self, server_first: &str, flaw: Flaw) -> Option<(String, bool)> {
        let mut attributes = server_first.splitn(3, ',');
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let salt = STANDARD
            .decode(attributes.next()?.strip_prefix("s=")?)
            .ok()?;
        let iterations = attributes.next()?.strip_prefix("i=")?.parse().ok()?;
        assert!(nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len());

        let mut binding = [self.header.as_bytes(), &self.binding].concat();
        let mut nonce = nonce.to_owned();
        match flaw {
            Flaw::Nonce => nonce.push('0'),
            Flaw::Binding => binding.push(b'x'),
            _ => {}
        }
        let mut without_proof = format!("c={},r={nonce}", STANDARD.encode(binding));
        match flaw {
            Flaw::Extension => without_proof += ",x=y",
            Flaw::Mandatory => without_proof += ",m=y",
            _ => {}
        }
        let salted = salted(self.hash, &self.password, &salt, iterations);
        let client_key = hmac(self.hash, &salted, b"Client Key");
        let stored_key = digest(self.hash, &client_key);
        let message = match flaw {
            Flaw::Message => format!("{},{without_proof}", self.bare),
            _ => format!("{},{server_first},{without_proof}", self.bare),
        };
        let signature = hmac(self.hash, &stored_key, message.as_bytes());
        let key = if flaw == Flaw::StoredKey {
            stored_key
        } else {
            client_key
        };
        let mut proof: Vec<u8> = key.iter().zip(signature).map(|(k, s)| k ^ s).collect();
        match flaw {
            Flaw::Bit(bit) => proof[usize::from(bit)] ^= 1 << (bit % 8),
            Flaw::Short => proof.truncate(8),
            Flaw::Empty => proof.clear(),
            Flaw::ExtensionUnproved => without_proof += ",x=y",
            _ => {}
        }
        let server_key = hmac(self.hash, &salted, b"Server Key");
        let verifier = hmac(self.hash, &server_key, message.as_bytes());
        self.server_final = Some(format!("v={}", STANDARD.encode(verifier)));
        let last = format!("{without_proof},p={}", STANDARD.encode(proof));
        Some((last, flaw.is_none()))
    }

    /// Whether the server has proved to know the keys too.
    pub(crate) fn accepts(&self, server_final: &str) -> bool {
        self.server_final.as_deref() == Some(server_final)
    }
}
