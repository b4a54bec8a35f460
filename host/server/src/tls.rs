//! TLS: certificates from files or made on the spot → what listeners and STLS
//! shake hands with. Versions 1.2 and 1.3 (RFC 8996 forbids the older ones).
//!
//! Knows nothing of sessions or sockets.

mod doubts;
mod files;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::rustls;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert,
    ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use zeroize::Zeroizing;

use doubts::DAY;
pub use files::{FileProblem, TlsError};

use crate::names::ServerNames;
use restante_config::{Config, ListenerTls, Pem, Tenant, TlsVersion};

/// The protocol's name in ALPN (RFC 7301, IANA). A client that offers others
/// only is refused: it took us for another server (ALPACA).
pub const ALPN: &[u8] = b"pop3";

/// What TLS 1.3 is called in logs, and towards plugins.
pub const TLS_1_3: &str = "TLSv1.3";

/// TLS 1.2 sessions that are remembered for clients without tickets.
const REMEMBERED_SESSIONS: usize = 1024;

/// Names of the certificate that is made on the spot.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What listeners and STLS shake hands with. One for all tenants, but for those
/// that ask for client certificates: each of these has its own, and tickets of
/// its own, so that nobody resumes at one what was verified for another.
pub struct Contexts {
    by_name: ServerNames<Arc<Context>>,
    default: Arc<Context>,
}

/// How to shake hands with clients that ask for a certain name.
pub struct Context {
    configs: Configs,
    /// The oldest version of TLS that its tenants want.
    minimum: TlsVersion,
    /// The tenant whose authorities client certificates are verified against;
    /// None: clients are not asked for one.
    pub asks_for: Option<String>,
}

/// Certificates, versions, ALPN, tickets, by the oldest version that is spoken.
#[derive(Clone)]
struct Configs {
    from_1_2: Arc<ServerConfig>,
    from_1_3: Arc<ServerConfig>,
}

impl Context {
    /// What to shake hands with on a listener that speaks no older version than `minimum`.
    pub fn config(&self, minimum: TlsVersion) -> &Arc<ServerConfig> {
        match self.minimum.max(minimum) {
            TlsVersion::V1_2 => &self.configs.from_1_2,
            TlsVersion::V1_3 => &self.configs.from_1_3,
        }
    }
}

impl Contexts {
    /// The context of the server name that the client asks for.
    pub fn find(&self, server_name: Option<&str>) -> &Arc<Context> {
        server_name
            .and_then(|name| self.by_name.find(name))
            .unwrap_or(&self.default)
    }

    fn shared(configs: Configs) -> Self {
        Contexts {
            by_name: ServerNames::default(),
            default: Arc::new(Context {
                configs,
                minimum: TlsVersion::V1_2,
                asks_for: None,
            }),
        }
    }

    /// Puts a context in the place of the one for all.
    fn set(&mut self, tenant: &Tenant, context: &Arc<Context>) {
        for name in &tenant.server_names {
            self.by_name.insert(name, Arc::clone(context));
        }
        if tenant.default {
            self.default = Arc::clone(context);
        }
    }
}

/// What a configuration's certificates come to.
pub struct Built<'c> {
    /// What its listeners shake hands with. None: it names no certificate that can be
    /// used.
    pub contexts: Option<Arc<Contexts>>,
    /// Everything that is wrong with the files. A tenant with errors has no certificate
    /// of its own, and asks for none.
    pub errors: Vec<(Option<&'c Tenant>, Arc<TlsError>)>,
    /// What turns clients away although the files are in order: dates and names. In both
    /// lists with the tenant that it is about; None: the server.
    pub warnings: Vec<(Option<&'c Tenant>, String)>,
}

/// What the configuration's listeners shake hands with, and what is to be said of it.
pub fn contexts(config: &Config) -> Built<'_> {
    let mut certificates = Certificates::default();
    let mut errors = Vec::new();
    let mut loaded = HashMap::new();
    let mut load = |owner, pem: &Pem| {
        // Tenants may share a certificate.
        let known = loaded.entry((pem.certificate.clone(), pem.key.clone()));
        let (_, known) = known.or_insert_with(|| {
            let loaded = files::load(pem);
            let loaded = loaded.map_err(|all| all.into_iter().map(Arc::new).collect::<Vec<_>>());
            (owner, loaded)
        });
        let of_owner = |error: &Arc<TlsError>| (owner, Arc::clone(error));
        known
            .clone()
            .map_err(|all| errors.extend(all.iter().map(of_owner)))
            .ok()
    };
    if let Some(pem) = &config.server.certificate {
        certificates.default = load(None, pem);
    }
    for tenant in &config.tenants {
        let pem = tenant.certificate.as_ref();
        let Some(certified) = pem.and_then(|pem| load(Some(tenant), pem)) else {
            continue;
        };
        for name in &tenant.server_names {
            certificates.by_name.insert(name, Arc::clone(&certified));
        }
        if config.server.certificate.is_none() && (tenant.default || config.tenants.len() == 1) {
            certificates.default = Some(certified);
        }
    }
    let warnings = match uses_tls(config) {
        true => doubts(config, &loaded, certificates.default.as_deref()),
        false => Vec::new(),
    };
    let certificates = Arc::new(certificates);
    let shared = match server_configs(&certificates, &(Arc::new(NoClientAuth) as _)) {
        Ok(configs) => configs,
        Err(error) => {
            errors.push((None, Arc::new(error)));
            return Built {
                contexts: None,
                errors,
                warnings,
            };
        }
    };
    let mut contexts = Contexts::shared(shared.clone());
    // A tenant's own name comes before another one's wildcard and before the default: what
    // these ask of their clients is not asked of its own.
    let usual = Arc::clone(&contexts.default);
    for name in config
        .tenants
        .iter()
        .flat_map(|tenant| &tenant.server_names)
    {
        contexts.by_name.insert(name, Arc::clone(&usual));
    }
    let strict = Arc::new(Context {
        configs: shared,
        minimum: TlsVersion::V1_3,
        asks_for: None,
    });
    for tenant in &config.tenants {
        // Also where its authorities cannot be used.
        if tenant.tls_minimum == strict.minimum {
            contexts.set(tenant, &strict);
        }
        let Some(path) = &tenant.client_authorities else {
            continue;
        };
        match asking(tenant, path, &certificates) {
            Ok(context) => contexts.set(tenant, &context),
            Err(error) => errors.push((Some(tenant), Arc::new(error))),
        }
    }
    Built {
        contexts: (!loaded.is_empty()).then(|| Arc::new(contexts)),
        errors,
        warnings,
    }
}

fn uses_tls(config: &Config) -> bool {
    let mut listeners = config.listeners.iter();
    listeners.any(|listener| listener.tls != ListenerTls::Off)
}

/// By the paths of certificate and key: who named them first, and what is in them.
type Loaded<'c> = HashMap<
    (PathBuf, PathBuf),
    (
        Option<&'c Tenant>,
        Result<Arc<CertifiedKey>, Vec<Arc<TlsError>>>,
    ),
>;

/// What is to be said of certificates that could be loaded. `default`: the one for names
/// without one.
fn doubts<'c>(
    config: &'c Config,
    loaded: &Loaded<'c>,
    default: Option<&CertifiedKey>,
) -> Vec<(Option<&'c Tenant>, String)> {
    let first = |certified: &CertifiedKey| certified.cert.first().cloned();
    let now = SystemTime::now();
    let mut warnings = Vec::new();
    let said = loaded.iter().filter_map(|((path, _), (owner, certified))| {
        let certificate = first(certified.as_ref().ok()?)?;
        let what = doubts::of_dates(&certificate, now)?;
        Some((*owner, format!("certificate {} {what}", path.display())))
    });
    warnings.extend(said);
    // A table has no order.
    warnings.sort_by_key(|(owner, what)| (owner.map(|owner| owner.place), what.clone()));
    // Of one that could not be loaded there is an error, and nothing is known of its names.
    let is_known = config.server.certificate.is_none() || default.is_some();
    for tenant in &config.tenants {
        let names = &tenant.server_names;
        let Some(pem) = &tenant.certificate else {
            if !is_known {
                continue;
            }
            warnings.extend(without_certificate(names, default).map(|what| (Some(tenant), what)));
            continue;
        };
        let known = loaded.get(&(pem.certificate.clone(), pem.key.clone()));
        let certified = known.and_then(|(_, certified)| certified.as_ref().ok());
        let certificate = certified.and_then(|certified| first(certified));
        let Some(missing) = certificate.and_then(|it| doubts::of_names(&it, names)) else {
            continue;
        };
        let what = format!(
            "certificate {} is not for {missing}: clients that ask for it as `server-names` say refuse it; get one with these names",
            pem.certificate.display()
        );
        warnings.push((Some(tenant), what));
    }
    warnings
}

/// What is to be said of a tenant's server names where the server's certificate is all
/// there is for them.
fn without_certificate(names: &[String], default: Option<&CertifiedKey>) -> Option<String> {
    let Some(default) = default else {
        let names = doubts::listed(names.iter())?;
        return Some(format!(
            "there is no certificate for {names}: TLS clients that ask for it are refused; give the tenant or the server one"
        ));
    };
    let missing = doubts::of_names(default.cert.first()?, names)?;
    Some(format!(
        "no certificate is for {missing}: clients that ask for it refuse the server's; give the tenant one with these names"
    ))
}

/// How to shake hands for a tenant with authorities of its own. A client may show
/// no certificate, but none that they do not stand behind.
fn asking(
    tenant: &Tenant,
    authorities: &Path,
    certificates: &Arc<Certificates>,
) -> Result<Arc<Context>, TlsError> {
    let roots: Arc<RootCertStore> = Arc::new(files::authorities(authorities)?);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> =
        WebPkiClientVerifier::builder_with_provider(roots, provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| TlsError::Crypto(error.to_string()))?;
    Ok(Arc::new(Context {
        configs: server_configs(certificates, &verifier)?,
        minimum: tenant.tls_minimum,
        asks_for: Some(tenant.name.clone()),
    }))
}

/// Certificates by the name that a client asks for (SNI, RFC 6066 section 3).
#[derive(Debug, Default)]
struct Certificates {
    by_name: ServerNames<Arc<CertifiedKey>>,
    /// For clients that ask for no name, or for one that nobody has. None: they
    /// are refused.
    default: Option<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello
            .server_name()
            .and_then(|name| self.by_name.find(name))
            .or(self.default.as_ref())
            .cloned()
    }
}

/// A certificate that was made on the spot, for this machine's loopback names.
pub struct SelfSigned {
    /// What to shake hands with.
    pub contexts: Arc<Contexts>,
    /// The certificate, for clients to trust.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: Zeroizing<String>,
}

/// How long a certificate of our own is valid.
const OWN_CERTIFICATE_DAYS: u32 = 180;

/// Makes a key and a certificate for localhost, 127.0.0.1 and ::1.
///
/// # Errors
/// When the cryptographic library fails.
pub fn self_signed() -> Result<SelfSigned, TlsError> {
    let crypto = |error: &dyn fmt::Display| TlsError::Crypto(error.to_string());
    let mut params = rcgen::CertificateParams::new(OWN_NAMES.map(String::from))
        .map_err(|error| crypto(&error))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Restante demo");
    // Clients' clocks may be behind.
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + OWN_CERTIFICATE_DAYS * DAY).into();
    let signing_key = rcgen::KeyPair::generate().map_err(|error| crypto(&error))?;
    let certificate = params
        .self_signed(&signing_key)
        .map_err(|error| crypto(&error))?;
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let signing = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key.into())
        .map_err(|error| crypto(&error))?;
    let chain = vec![certificate.der().clone()];
    let certificates = Arc::new(Certificates {
        default: Some(Arc::new(CertifiedKey::new(chain, signing))),
        ..Certificates::default()
    });
    let configs = server_configs(&certificates, &(Arc::new(NoClientAuth) as _))?;
    Ok(SelfSigned {
        contexts: Arc::new(Contexts::shared(configs)),
        certificate_pem: certificate.pem(),
        key_pem: Zeroizing::new(signing_key.serialize_pem()),
    })
}

fn server_configs(
    certificates: &Arc<Certificates>,
    verifier: &Arc<dyn ClientCertVerifier>,
) -> Result<Configs, TlsError> {
    let of = |versions| server_config(certificates, verifier, versions);
    Ok(Configs {
        from_1_2: of(&[&version::TLS13, &version::TLS12])?,
        from_1_3: of(&[&version::TLS13])?,
    })
}

fn server_config(
    certificates: &Arc<Certificates>,
    verifier: &Arc<dyn ClientCertVerifier>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ServerConfig>, TlsError> {
    let crypto = |error: rustls::Error| TlsError::Crypto(error.to_string());
    let (resolver, verifier) = (Arc::clone(certificates), Arc::clone(verifier));
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .map_err(crypto)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // The strongest that both have, not the client's favourite.
    config.ignore_client_order = true;
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(crypto)?;
    // To TLS 1.3 sessions are tickets.
    config.session_storage = match versions.contains(&&version::TLS12) {
        true => ServerSessionMemoryCache::new(REMEMBERED_SESSIONS),
        false => Arc::new(NoServerSessionStorage {}),
    };
    // A POP3 client comes back one connection at a time.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn made_on_the_spot() {
        let made = self_signed().expect("a certificate can be made");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pem = Pem {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
        };
        fs::write(&pem.certificate, &made.certificate_pem).expect("a new file");
        fs::write(&pem.key, made.key_pem.as_bytes()).expect("a new file");
        assert!(files::load(&pem).is_ok());
        let context = made.contexts.find(Some("localhost"));
        for minimum in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let config = context.config(minimum);
            assert_eq!(config.alpn_protocols, [ALPN]);
            assert!(config.ignore_client_order);
        }
        assert_eq!(context.asks_for, None);
    }

    #[test]
    fn tickets_are_kept_with_the_client_under_keys_that_change() {
        let [one, other] = [(); 2].map(|()| self_signed().expect("a certificate can be made"));
        let ticketer = |made: &SelfSigned| {
            let config = made.contexts.find(None).config(TlsVersion::V1_2);
            config.ticketer.clone()
        };
        let (one, other) = (ticketer(&one), ticketer(&other));
        assert!(one.enabled());
        // RFC 8446 section 4.6.1: seven days at most; a key makes tickets for half
        // of the time that it opens them.
        assert!((1..=24 * 60 * 60).contains(&one.lifetime()));
        let ticket = one.encrypt(b"a session").expect("a ticket");
        assert_eq!(one.decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
        assert_eq!(other.decrypt(&ticket), None);
        assert_ne!(one.encrypt(b"a session"), Some(ticket));
    }

    /// Shakes hands, on a listener with this minimum, with a client that speaks these versions
    /// and asks for `name`. None: the server refuses.
    fn shake_hands(
        contexts: &Contexts,
        minimum: TlsVersion,
        versions: &[&'static SupportedProtocolVersion],
        roots: &RootCertStore,
        name: &'static str,
    ) -> Option<rustls::ClientConnection> {
        let server = Arc::clone(contexts.find(Some(name)).config(minimum));
        let mut server = rustls::ServerConnection::new(server).expect("a server");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let name = name.try_into().expect("a name");
        let mut client = rustls::ClientConnection::new(Arc::new(client), name).expect("a client");
        while client.is_handshaking() {
            let mut octets = Vec::new();
            client.write_tls(&mut octets).expect("memory");
            server.read_tls(&mut octets.as_slice()).expect("memory");
            server.process_new_packets().ok()?;
            octets.clear();
            server.write_tls(&mut octets).expect("memory");
            client.read_tls(&mut octets.as_slice()).expect("memory");
            client.process_new_packets().ok()?;
        }
        Some(client)
    }

    fn roots(files: &[std::path::PathBuf]) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        for file in files {
            for certificate in files::load_chain(file).expect("a chain") {
                roots.add(certificate).expect("a root");
            }
        }
        roots
    }

    /// The certificate that a client is shown who asks for `name`, from a
    /// configuration with these lines of `[server]` and two tenants.
    fn shown(folder: &Path, server: &str, name: &'static str) -> Option<Vec<u8>> {
        let path = |name: &str| folder.join(name).display().to_string();
        let tenant = |name: &str, server_names: &str| {
            format!(
                "[tenant.{name}]\nserver-names = {server_names}\ncertificate = {:?}\nkey = {:?}\nauthenticators = ['p']\nstore = 'p'\n",
                path(&format!("{name}.pem")),
                path(&format!("{name}.key")),
            )
        };
        let text = format!(
            "[server]\n{server}\n[listener.l]\naddress = '127.0.0.1:0'\ntls = 'implicit'\n[plugin.p]\ncomponent = 'builtin:p'\n{}{}",
            tenant("exact", "['pop.acme.example']"),
            tenant("wild", "['*.acme.example']"),
        );
        let config = Config::parse(&text, Path::new("test.toml"), folder).expect("in order");
        let built = contexts(&config);
        assert!(built.errors.is_empty(), "{:?}", built.errors);
        let contexts = built.contexts.expect("TLS");
        let roots = roots(&["exact.pem", "wild.pem", "server.pem"].map(|name| folder.join(name)));
        let versions = rustls::DEFAULT_VERSIONS;
        let client = shake_hands(&contexts, TlsVersion::V1_2, versions, &roots, name)?;
        Some(client.peer_certificates()?[0].to_vec())
    }

    /// Of the listener's and the tenant's oldest version the newer one counts, and not that
    /// of a tenant with a wildcard that the name fits too, or of the default one.
    #[test]
    fn no_older_version_is_spoken_than_listener_and_tenant_want() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let names = ["new.example", "old.example", "asks.example"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("server.pem"), made.cert.pem()).expect("a new file");
        fs::write(at("server.key"), made.signing_key.serialize_pem()).expect("a new file");
        let text = "[server]\ncertificate = 'server.pem'\nkey = 'server.key'\n\
             [listener.l]\naddress = '127.0.0.1:0'\ntls = 'implicit'\n\
             [plugin.p]\ncomponent = 'builtin:p'\n\
             [tenant.new]\nserver-names = ['new.example', '*.example']\ndefault = true\ntls-minimum = '1.3'\n\
             authenticators = ['p']\nstore = 'p'\n\
             [tenant.old]\nserver-names = ['old.example']\nauthenticators = ['p']\nstore = 'p'\n\
             [tenant.asks]\nserver-names = ['asks.example']\ntls-minimum = '1.3'\n\
             client-authorities = 'server.pem'\nauthenticators = ['p']\nstore = 'p'\n";
        let config = Config::parse(text, Path::new("test.toml"), folder.path()).expect("in order");
        let built = contexts(&config);
        assert!(built.errors.is_empty(), "{:?}", built.errors);
        let contexts = built.contexts.expect("TLS");
        assert_eq!(
            contexts.find(Some("asks.example")).asks_for.as_deref(),
            Some("asks")
        );
        let roots = roots(&[at("server.pem")]);
        for (minimum, name, old_ones_too) in [
            (TlsVersion::V1_2, "old.example", true),
            (TlsVersion::V1_3, "old.example", false),
            (TlsVersion::V1_2, "new.example", false),
            (TlsVersion::V1_3, "new.example", false),
            (TlsVersion::V1_2, "asks.example", false),
        ] {
            let spoken = |versions: &[&'static SupportedProtocolVersion]| {
                shake_hands(&contexts, minimum, versions, &roots, name)?.protocol_version()
            };
            let newest = Some(rustls::ProtocolVersion::TLSv1_3);
            assert_eq!(
                spoken(rustls::DEFAULT_VERSIONS),
                newest,
                "{minimum:?} {name}"
            );
            assert_eq!(spoken(&[&version::TLS13]), newest, "{minimum:?} {name}");
            let old = old_ones_too.then_some(rustls::ProtocolVersion::TLSv1_2);
            assert_eq!(spoken(&[&version::TLS12]), old, "{minimum:?} {name}");
        }
    }

    #[test]
    fn names_without_a_fitting_certificate_are_told_with_their_tenant() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let make = |name: &str, of: &str| {
            let made = rcgen::generate_simple_self_signed([of.to_owned()]).expect("a certificate");
            let at = |end: &str| folder.path().join(format!("{name}.{end}"));
            fs::write(at("pem"), made.cert.pem()).expect("a new file");
            fs::write(at("key"), made.signing_key.serialize_pem()).expect("a new file");
        };
        make("server", "pop.server.example");
        make("own", "pop.own.example");
        let said = |server: &str, tls: &str| {
            let text = format!(
                "[server]\n{server}\n[listener.l]\naddress = '127.0.0.1:0'\ntls = '{tls}'\n\
                 [plugin.p]\ncomponent = 'builtin:p'\n\
                 [tenant.own]\nserver-names = ['pop.own.example', 'pop.new.example']\n\
                 certificate = 'own.pem'\nkey = 'own.key'\nauthenticators = ['p']\nstore = 'p'\n\
                 [tenant.servers]\nserver-names = ['pop.server.example', '*.server.example']\n\
                 authenticators = ['p']\nstore = 'p'\n"
            );
            let config =
                Config::parse(&text, Path::new("test.toml"), folder.path()).expect("in order");
            let built = contexts(&config);
            assert!(built.errors.is_empty(), "{:?}", built.errors);
            let said = built.warnings.into_iter().map(|(tenant, what)| {
                let what = what.replace(&format!("{}/", folder.path().display()), "");
                (tenant.map_or("", |tenant| &tenant.name).to_owned(), what)
            });
            said.collect::<Vec<_>>()
        };
        let server = "certificate = 'server.pem'\nkey = 'server.key'";
        let begins = |said: &(String, String), tenant: &str, what: &str| {
            assert!(said.0 == tenant && said.1.starts_with(what), "{said:?}");
        };
        let told = said(server, "implicit");
        assert_eq!(told.len(), 2, "{told:?}");
        begins(
            &told[0],
            "own",
            "certificate own.pem is not for pop.new.example: ",
        );
        begins(
            &told[1],
            "servers",
            "no certificate is for *.server.example: ",
        );
        let told = said("", "starttls");
        assert_eq!(told.len(), 2, "{told:?}");
        begins(
            &told[1],
            "servers",
            "there is no certificate for pop.server.example, *.server.example: ",
        );
        // Nobody sees a certificate.
        assert_eq!(said(server, "off"), []);
    }

    #[test]
    fn certificates_go_by_the_name_that_is_asked_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let make = |name: &str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
            let at = |end: &str| folder.path().join(format!("{name}.{end}"));
            fs::write(at("pem"), made.cert.pem()).expect("a new file");
            fs::write(at("key"), made.signing_key.serialize_pem()).expect("a new file");
            made.cert.der().to_vec()
        };
        let exact = make("exact", &["pop.acme.example"]);
        let wild = make("wild", &["*.acme.example"]);
        let default = make("server", &["elsewhere.example"]);
        let server = format!(
            "certificate = {:?}\nkey = {:?}\n",
            folder.path().join("server.pem"),
            folder.path().join("server.key")
        );
        let shown = |server: &str, name| shown(folder.path(), server, name);
        assert_eq!(shown(&server, "pop.acme.example"), Some(exact.clone()));
        assert_eq!(shown(&server, "imap.acme.example"), Some(wild));
        assert_eq!(shown(&server, "elsewhere.example"), Some(default));
        assert_eq!(shown("", "pop.acme.example"), Some(exact));
        // Nobody's name, and no default certificate.
        assert_eq!(shown("", "elsewhere.example"), None);
    }
}
