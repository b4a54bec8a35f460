//! Whose component it is: the signature beside its file, held against what the
//! tenants demand. Policy is in the configuration; here is the verdict.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use restante_config::Demand;
use restante_config::signature::{ENDING, KeyId, PublicKey, SIGNATURE_FILE, Signature};

/// Why a component is not trusted. Who reads it wrote the configuration.
#[derive(Debug, Clone, Error)]
pub enum TrustError {
    /// There is no signature, and one is required.
    #[error(
        "it must be signed, and {file:?} does not exist; get that file from its author, or sign what you trust yourself: minisign -S -m {component:?}"
    )]
    Unsigned {
        /// Where the signature would be.
        file: PathBuf,
        /// What would be signed.
        component: PathBuf,
    },
    /// The signature is there and cannot be read.
    #[error("its signature {file:?} is of no use: {reason}")]
    Unreadable {
        /// Where it is.
        file: PathBuf,
        /// What the system or the reader says.
        reason: String,
    },
    /// The signature is somebody else's.
    #[error(
        "it is signed by the key {found}, which does not count here ({counting} does); if you trust that key, add it to `signature-keys`"
    )]
    Stranger {
        /// Who signed.
        found: KeyId,
        /// Those who count, in words.
        counting: String,
    },
    /// The key counts, and the signature is not over this component.
    #[error(
        "its signature {file:?} by the key {key} does not fit: the component or the signature was changed or damaged, or they are of different versions; get both anew from its author"
    )]
    Broken {
        /// Where it is.
        file: PathBuf,
        /// Who is said to have signed.
        key: KeyId,
    },
}

/// What is known of a component's signature.
#[derive(Debug, Clone)]
pub(crate) enum Signed {
    /// Nobody's signature counts, so it was not looked at.
    Unasked,
    /// There is none. (Where it would be, and the component.)
    Not(PathBuf, PathBuf),
    /// It fits this key.
    By(PublicKey),
    /// It is by none of the keys that were tried.
    Stranger(KeyId),
    /// It says that it is by a key that was tried, and is not, or it is no
    /// signature at all.
    Wrong(TrustError),
}

/// Where the signature of a component is.
pub fn signature_path(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

/// Reads the signature beside a component. None: there is none.
///
/// # Errors
/// It cannot be read, or is no signature.
pub fn read_signature(component: &Path) -> Result<Option<Signature>, TrustError> {
    let file = signature_path(component);
    let unreadable = |reason: String| TrustError::Unreadable {
        file: file.clone(),
        reason,
    };
    let mut text = String::new();
    let read = open(&file).and_then(|open| open.take(SIGNATURE_FILE + 1).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
        Ok(_) if text.len() as u64 > SIGNATURE_FILE => {
            return Err(unreadable(format!("it is over {SIGNATURE_FILE} octets")));
        }
        Ok(_) => {}
    }
    Signature::parse(&text)
        .map(Some)
        .map_err(|error| unreadable(error.to_string()))
}

/// Opens a regular file, and nothing that would wait or act.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits() as i32,
    );
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// Looks at the signature beside `component`, whose octets are those in hand,
/// with all keys that count for anybody.
pub(crate) fn look(component: &Path, octets: &[u8], demands: &[Demand]) -> Signed {
    let asked = |demand: &Demand| demand.required || !demand.keys.is_empty();
    if !demands.iter().any(asked) {
        return Signed::Unasked;
    }
    let signature = match read_signature(component) {
        Ok(Some(signature)) => signature,
        Ok(None) => return Signed::Not(signature_path(component), component.to_owned()),
        Err(error) => return Signed::Wrong(error),
    };
    let mut tried = false;
    for key in demands.iter().flat_map(|demand| &demand.keys) {
        if key.id() == signature.key() {
            tried = true;
            if signature.fits(key, octets) {
                return Signed::By(key.clone());
            }
        }
    }
    match tried {
        true => Signed::Wrong(TrustError::Broken {
            file: signature_path(component),
            key: signature.key(),
        }),
        false => Signed::Stranger(signature.key()),
    }
}

impl Signed {
    /// Whether that is what is demanded. A signature need not be there where it
    /// is not required; one that is there and broken is refused all the same.
    pub(crate) fn satisfies(&self, demand: &Demand) -> Result<(), TrustError> {
        let stranger = |found: KeyId| match demand.required {
            true => Err(TrustError::Stranger {
                found,
                counting: counting(&demand.keys),
            }),
            false => Ok(()),
        };
        match self {
            Signed::By(key) if demand.keys.contains(key) => Ok(()),
            Signed::By(key) => stranger(key.id()),
            Signed::Stranger(found) => stranger(*found),
            Signed::Not(file, component) if demand.required => Err(TrustError::Unsigned {
                file: file.clone(),
                component: component.clone(),
            }),
            Signed::Not(..) | Signed::Unasked => Ok(()),
            Signed::Wrong(_) if demand.keys.is_empty() && !demand.required => Ok(()),
            Signed::Wrong(error) => Err(error.clone()),
        }
    }

    /// Whether anybody is satisfied; what the first one misses where nobody is.
    pub(crate) fn satisfies_any(&self, demands: &[Demand]) -> Result<(), TrustError> {
        let mut first = Ok(());
        for demand in demands {
            match self.satisfies(demand) {
                Ok(()) => return Ok(()),
                Err(error) if first.is_ok() => first = Err(error),
                Err(_) => {}
            }
        }
        first
    }
}

fn counting(keys: &[PublicKey]) -> String {
    match keys {
        [] => "none".into(),
        _ => {
            let ids: Vec<String> = keys.iter().map(|key| key.id().to_string()).collect();
            ids.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &[u8] = include_bytes!("../../../../tests/signatures/component.wasm");
    const SIGNATURE: &str = include_str!("../../../../tests/signatures/component.wasm.minisig");
    const KEY_FILE: &str = include_str!("../../../../tests/signatures/vendor.pub");
    /// minisign's own key, which signed nothing here.
    const OTHER: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn demand(keys: &[&str], required: bool) -> Demand {
        let keys = keys.iter().map(|key| PublicKey::parse(key).unwrap());
        Demand {
            keys: keys.collect(),
            required,
        }
    }

    #[test]
    fn each_tenant_has_its_own_keys() {
        let vendor = KEY_FILE.lines().nth(1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let component = folder.path().join("a.wasm");
        let (theirs, ours) = (demand(&[vendor], true), demand(&[OTHER], true));
        let both = demand(&[OTHER, vendor], true);
        let tries = demand(&[OTHER], false);
        let all = [theirs.clone(), ours.clone(), both.clone(), tries.clone()];
        let told = |signed: &Signed, demand| signed.satisfies(demand).unwrap_err().to_string();

        // No signature.
        let signed = look(&component, SIGNED, &all);
        assert!(told(&signed, &ours).contains("a.wasm.minisig"));
        assert!(signed.satisfies(&tries).is_ok());
        assert!(signed.satisfies_any(&all).is_ok());
        assert!(signed.satisfies_any(&all[..2]).is_err());

        // The vendor's.
        std::fs::write(signature_path(&component), SIGNATURE).unwrap();
        let signed = look(&component, SIGNED, &all);
        assert!(matches!(signed, Signed::By(_)));
        assert!(signed.satisfies(&theirs).is_ok() && signed.satisfies(&both).is_ok());
        assert!(told(&signed, &ours).contains("E27595259E98F5CD"));
        assert!(signed.satisfies(&tries).is_ok());
        let stranger = look(&component, SIGNED, std::slice::from_ref(&ours));
        assert!(told(&stranger, &ours).contains("E7620F1842B4E81F"));

        // The vendor's, of something else: whoever looks refuses it.
        let signed = look(&component, b"changed", &all);
        for demand in &all {
            assert!(told(&signed, demand).contains("does not fit"));
        }
        std::fs::write(signature_path(&component), "rubbish").unwrap();
        let signed = look(&component, SIGNED, &all);
        assert!(told(&signed, &theirs).contains("not what minisign writes"));
        let nobody = Demand::default();
        assert!(signed.satisfies(&nobody).is_ok());
        let unasked = look(&component, SIGNED, std::slice::from_ref(&nobody));
        assert!(matches!(unasked, Signed::Unasked));
    }
}
