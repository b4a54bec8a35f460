//! Everything that a guest can import, tied to its host side.
//!
//! WASI 0.2 is linked whole so that standard libraries start; what it leads to
//! is decided by the instance's context, which holds the grants and nothing
//! else (see [`crate::instance`]). No standard library imports `wasi:http`: who
//! does needs the grant (see [`crate::instance::http`]).

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p2::bindings::cli::environment;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::sockets;

use crate::bindings::restante::plugin as contract;
use crate::bindings::wasi;
use crate::imports::filesystem;
use crate::instance::state::State;

pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    filesystem::add_to_linker(&mut linker)?;
    linker.allow_shadowing(true);
    environment::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    // The granted directories are open already: see grants.
    preopens::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    // Connections go to granted places only, some under TLS: see sockets.
    sockets::tcp_create_socket::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    sockets::tcp::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    sockets::ip_name_lookup::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    linker.allow_shadowing(false);
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasi::config::store::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    wasi::logging::logging::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::types::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::files::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::passwords::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::database::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::mail_index::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::blobs::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::hold::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::maildrop::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Nobody has one: a plugin is told things by its settings. Standard libraries ask as
/// they start.
impl environment::Host for State {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.witness.constant();
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        self.witness.constant();
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        self.witness.constant();
        Ok(None)
    }
}

/// The interface `types` has no functions.
impl contract::types::Host for State {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use serde_json::Value;
    use wasmtime::Module;

    use super::*;

    /// The least of all modules.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    /// Where the sources of these packages are that this crate is built with.
    fn sources(packages: &[&str]) -> Vec<PathBuf> {
        let mut metadata = Command::new(env!("CARGO"));
        metadata.args(["metadata", "--format-version=1", "--offline", "--locked"]);
        // Those for other systems need not be on this machine.
        metadata.args(["--filter-platform", env!("RESTANTE_TARGET")]);
        let metadata = metadata.current_dir(env!("CARGO_MANIFEST_DIR")).output();
        let metadata = metadata.unwrap();
        let said = String::from_utf8_lossy(&metadata.stderr);
        assert!(metadata.status.success(), "{said}");
        let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let all = metadata["packages"].as_array().unwrap();
        let named = |package: &&Value| packages.contains(&package["name"].as_str().unwrap());
        let manifests = all.iter().filter(named).map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            manifest.parent().unwrap().to_owned()
        });
        manifests.collect()
    }

    /// "wasi:cli/exit@0.2.12": the interfaces of WIT files.
    fn interfaces(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                interfaces(&path, found);
            } else if path.extension().is_some_and(|end| end == "wit") {
                let text = fs::read_to_string(path).unwrap();
                let statement = |line: &str, word: &str, end: char| {
                    let named = line.trim().strip_prefix(word)?.trim_end();
                    Some(named.strip_suffix(end)?.trim().to_owned())
                };
                let package = text
                    .lines()
                    .find_map(|line| statement(line, "package ", ';'));
                let Some(package) = package else { continue };
                let (package, version) = package.split_once('@').unwrap_or((&package, ""));
                let named = text
                    .lines()
                    .filter_map(|line| statement(line, "interface ", '{'));
                found.extend(named.map(|interface| format!("{package}/{interface}@{version}")));
            }
        }
    }

    /// Of all the interfaces that there are, those that guests are linked with have a row on
    /// the page, and no others.
    #[test]
    fn each_linked_interface_of_wasi_is_accounted_for() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut all = BTreeSet::new();
        interfaces(&repository.join("wit/deps"), &mut all);
        let sources = sources(&["wasmtime-wasi", "wasmtime-wasi-http"]);
        assert_eq!(sources.len(), 2, "{sources:?}");
        for source in sources {
            interfaces(&source, &mut all);
        }

        let engine = Engine::default();
        let mut linker = linker(&engine).unwrap();
        let module = Module::new(&engine, MODULE).unwrap();
        let mut linked = BTreeSet::new();
        for interface in &all {
            // It takes no name that stands for something already.
            if linker.root().module(interface, &module).is_err() {
                linked.insert(interface.split('@').next().unwrap());
            }
        }
        assert!(linked.len() > 30 && linked.len() < all.len(), "{linked:?}");

        let page = fs::read_to_string(repository.join("docs/host-functions.md")).unwrap();
        let rows: BTreeMap<&str, usize> = (page.lines())
            .filter(|line| line.starts_with("| `wasi:"))
            .filter_map(|line| Some((line.split('`').nth(1)?, line.matches(" | ").count())))
            .collect();
        assert!(rows.values().all(|borders| *borders == 5), "{rows:?}");
        let rows: BTreeSet<&str> = rows.into_keys().collect();
        assert_eq!(linked, rows);
    }
}
