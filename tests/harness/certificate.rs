//! A certificate authority of the test's own, and a server certificate from it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Files of a server certificate for `localhost`, 127.0.0.1 and whatever
/// `*.names.example` stands for.
#[derive(Debug)]
pub struct Certificate {
    /// PEM of the certificate.
    pub certificate: PathBuf,
    /// PEM of its private key.
    pub key: PathBuf,
    /// PEM of the authority that clients are told to trust.
    pub authority: PathBuf,
}

impl Certificate {
    /// Makes a new authority and a certificate, below `directory`.
    pub fn create(directory: &Path) -> Certificate {
        let names = ["localhost", "127.0.0.1", "*.names.example"].map(str::to_owned);
        Certificate::create_for(directory, &names, 180)
    }

    /// The same with a certificate for these names that ends in so many days, or has ended.
    pub fn create_for(directory: &Path, names: &[String], days: i64) -> Certificate {
        fs::create_dir_all(directory).unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority
            .distinguished_name
            .push(DnType::CommonName, "Restante test authority");
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();

        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(names.to_vec()).unwrap();
        leaf.distinguished_name
            .push(DnType::CommonName, "localhost");
        // For scanners and for clients that find a thousand years too long.
        let away = DAY * u32::try_from(days.unsigned_abs()).unwrap();
        let (begin, end) = match days < 0 {
            true => (SystemTime::now() - away - DAY, SystemTime::now() - away),
            false => (SystemTime::now() - DAY, SystemTime::now() + away),
        };
        leaf.not_before = begin.into();
        leaf.not_after = end.into();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let leaf = leaf.signed_by(&key, &authority).unwrap();

        let files = Certificate {
            certificate: directory.join("server.pem"),
            key: directory.join("server.key"),
            authority: directory.join("authority.pem"),
        };
        fs::write(&files.certificate, leaf.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&files.key, Permissions::from_mode(0o600)).unwrap();
        fs::write(&files.authority, authority.pem()).unwrap();
        files
    }
}

/// PEM of a private key that belongs to no certificate.
pub fn private_key() -> String {
    KeyPair::generate().unwrap().serialize_pem()
}
