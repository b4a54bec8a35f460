//! `admin` and `admin-token-file` of `[server]`: where the operator's side is.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::claims::Claims;
use super::disk::{self, Wanted};
use super::problem::{Problems, quoted};
use super::section::{Located, Section, Value};
use super::server::{self, Admin, AdminAddress};

/// Octets of a socket's path (unix(7): 108, the last of them NUL).
const SOCKET_PATH_OCTETS: usize = 107;

impl Admin {
    /// What a configuration file says of it, whatever else is wrong with that
    /// file: a running server can be asked about a file that it would refuse.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub fn of_file(file: &Path) -> Result<Option<Admin>, Problems> {
        let text = disk::read_text(file)?;
        let (root, _) = DeTable::parse_recoverable(&text);
        let root = root.into_inner();
        let folder = file.parent().unwrap_or(Path::new(""));
        let text_of = |key: &str| match root.get("server")?.get_ref() {
            DeValue::Table(server) => server.get(key)?.get_ref().as_str().map(str::to_owned),
            _ => None,
        };
        let Some(Ok(address)) = text_of("admin").map(|text| text.parse()) else {
            return Ok(None);
        };
        let address = match address {
            AdminAddress::Unix(path) => AdminAddress::Unix(folder.join(path)),
            tcp @ AdminAddress::Tcp(_) => tcp,
        };
        let token_file = text_of("admin-token-file").map(|path| folder.join(path));
        Ok(Some(Admin {
            address,
            token_file,
        }))
    }
}

pub(super) fn admin(section: &mut Section<'_, '_>, claims: &mut Claims) -> Option<Admin> {
    let admin = section.take("admin");
    let token = section.take("admin-token-file");
    let Some(admin) = admin else {
        if let Some(token) = token {
            let mend = "add admin = \"127.0.0.1:9110\", or remove it";
            token.bad::<()>("is for `admin`, which is not there", mend);
        }
        return None;
    };
    let token_file = token.as_ref().and_then(|value| {
        let path = value.path()?;
        value
            .report()
            .check_path("admin-token-file", &path, Wanted::File)
            .then_some(path.value)
    });
    let address = address(&admin, token.is_some(), claims)?;
    Some(Admin {
        address,
        token_file,
    })
}

fn address(admin: &Value<'_, '_>, has_token: bool, claims: &mut Claims) -> Option<AdminAddress> {
    let text = admin.string("an address and a port, in quotes")?;
    match text.value.parse() {
        Ok(AdminAddress::Tcp(address)) => {
            claims.addresses.push((
                Located {
                    value: address,
                    at: text.at,
                },
                "`admin` in [server]".into(),
            ));
            if !address.ip().to_canonical().is_loopback() {
                return admin.bad(
                    format_args!("is {address}, which others reach than this machine"),
                    "write a loopback address such as \"127.0.0.1:9110\", or \"unix:/run/restante/admin.sock\"",
                );
            }
            if !has_token {
                return admin.bad(
                    "is a TCP port, which every program of this machine reaches, and there is no `admin-token-file`",
                    "add admin-token-file = \"PATH\", or write \"unix:/run/restante/admin.sock\"",
                );
            }
            Some(AdminAddress::Tcp(address))
        }
        Ok(AdminAddress::Unix(path)) => {
            let path = admin.report().base(admin.at).join(path);
            let octets = path.as_os_str().len();
            if octets > SOCKET_PATH_OCTETS {
                return admin.bad(
                    format_args!("is a path of {octets} octets"),
                    format!(
                        "write one of at most {SOCKET_PATH_OCTETS}: that is what a socket's name can have"
                    ),
                );
            }
            Some(AdminAddress::Unix(path))
        }
        Err(server::NoAdminAddress) => admin.bad(
            format_args!("is {}", quoted(&text.value)),
            "write an IP address and a port: \"127.0.0.1:9110\", or \"unix:/run/restante/admin.sock\"",
        ),
    }
}
