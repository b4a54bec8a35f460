//! Components on their way from a file to something that can be instantiated:
//! read, checked, compiled once for each digest, and kept in the state
//! directory so that the next start does not compile at all.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tracing::{info, warn};
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use super::compile::{CompileError, Compiler};
use super::grants::make_private_dir;
use super::imports::{self, Interface};
use super::roles::{RoleError, Roles};
use super::state::State;
use super::trust::{self, Signed, TrustError};
use super::{builtin, linker};
use crate::config::{ComponentSource, Demand};
use crate::stamp::Stamp;

/// Largest component, in octets: an 18 MB Python component fits, with room.
pub(super) const COMPONENT: u64 = 64 << 20;

/// Different demands on one component's signature whose answers are remembered.
const DEMANDS: usize = 64;

/// Compiled code that was not used for so long is removed at a start.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why a component cannot be put to work. Who reads it wrote the configuration.
#[derive(Debug, Error)]
pub enum ComponentError {
    /// The file.
    #[error("cannot read {path:?}: {error}")]
    Read {
        /// As configured.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Over the size limit.
    #[error("it has more than the {COMPONENT} octets that a component may have")]
    TooLarge,
    /// No such name among the embedded ones.
    #[error("this build of restante embeds no component {name:?}; {known}")]
    NoSuchBuiltin {
        /// As configured.
        name: String,
        /// Those it has, in words.
        known: String,
    },
    /// The file is not the one that was pinned.
    #[error(
        "its SHA-256 is {found}, pinned is {pinned}; if the new file is to be trusted, change `sha256`"
    )]
    Digest {
        /// Of the file, hexadecimal.
        found: String,
        /// As configured.
        pinned: String,
    },
    /// A core module, not a component.
    #[error(
        "it is a core WebAssembly module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Machine code of wasmtime's, which is not safe to load from anybody.
    #[error(
        "it is a precompiled wasmtime artifact, which restante does not load; name the .wasm component it was made from"
    )]
    Precompiled,
    /// Neither.
    #[error("it is not a WebAssembly component (its first octets are not those of one)")]
    NotWasm,
    /// wasmtime refuses it.
    #[error("it is not a valid component: {0}")]
    Invalid(String),
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Its signature.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It asks for what the host does not have, or was not told to give.
    #[error("{0}")]
    Import(String),
    /// Its exports.
    #[error(transparent)]
    Role(#[from] RoleError),
}

/// A component, compiled, its imports satisfied and its roles known.
pub(super) struct Compiled {
    /// SHA-256 of the component, hexadecimal.
    pub(super) digest: String,
    pub(super) roles: Roles,
    pub(super) imports: Vec<Interface>,
}

/// What a component's file was found to be, for those who demand the same of its
/// signature.
struct Known {
    stamps: Stamps,
    demands: Vec<Demand>,
    signed: Signed,
    compiled: Weak<Compiled>,
}

/// The component's file and its signature's; None: it is inside restante.
#[derive(Clone, PartialEq)]
struct Stamps(Option<(Stamp, Stamp)>);

impl Stamps {
    fn of(source: &ComponentSource) -> Self {
        Stamps(match source {
            ComponentSource::Builtin(_) => None,
            ComponentSource::Path(path) => {
                let signature = Stamp::of(&trust::signature_path(path));
                Some((Stamp::of(path), signature))
            }
        })
    }

    fn are_settled(&self) -> bool {
        let Stamps(stamps) = self;
        stamps
            .as_ref()
            .is_none_or(|(component, signature)| component.is_settled() && signature.is_settled())
    }
}

/// All components of the process, each compiled once.
pub(super) struct Catalog {
    engine: Engine,
    linker: Linker<State>,
    /// Compiled code, written by this process's user alone. None: not kept.
    directory: Option<PathBuf>,
    compiler: Compiler,
    /// By digest, for as long as a plugin of some generation uses it.
    compiled: Mutex<HashMap<String, Weak<Compiled>>>,
    /// What was found in files that have not changed since.
    files: Mutex<HashMap<ComponentSource, Vec<Known>>>,
    /// One compilation at a time: each may use all processors, and much memory.
    compiling: Mutex<()>,
}

impl Catalog {
    pub(super) fn new(
        engine: Engine,
        state_dir: &Path,
        compiler: Compiler,
    ) -> wasmtime::Result<Self> {
        let linker = linker::linker(&engine)?;
        let directory = match private_directory(&state_dir.join("components")) {
            Ok(directory) => {
                prune(&directory);
                Some(directory)
            }
            Err(error) => {
                warn!(
                    directory = ?state_dir, %error,
                    "compiled components cannot be kept; every start compiles them anew"
                );
                None
            }
        };
        Ok(Self {
            engine,
            linker,
            directory,
            compiler,
            compiled: Mutex::default(),
            files: Mutex::default(),
            compiling: Mutex::default(),
        })
    }

    /// Makes a component ready. Takes seconds where it was never compiled
    /// before: not for the event loop.
    pub(super) fn load(
        &self,
        source: &ComponentSource,
        pinned: Option<&[u8; 32]>,
        demands: &[Demand],
    ) -> Result<(Arc<Compiled>, Signed), ComponentError> {
        // Looked at before it is read: what changes meanwhile is read again.
        let stamps = Stamps::of(source);
        if let Some((compiled, signed)) = self.unchanged(source, &stamps, demands) {
            check_pin(&compiled.digest, pinned)?;
            return Ok((compiled, signed));
        }
        // Read once: what is checked below and what is compiled are the same.
        let octets = read(source)?;
        let digest = hex(&Sha256::digest(&octets));
        check_pin(&digest, pinned)?;
        let signed = match source {
            ComponentSource::Builtin(_) => Signed::Unasked,
            ComponentSource::Path(path) => trust::look(path, &octets, demands),
        };
        signed.satisfies_any(demands)?;
        let compiled = self.compiled(source, digest, &octets)?;
        self.remember(source, stamps, demands, &signed, &compiled);
        Ok((compiled, signed))
    }

    /// What is known of a file that has not changed.
    fn unchanged(
        &self,
        source: &ComponentSource,
        stamps: &Stamps,
        demands: &[Demand],
    ) -> Option<(Arc<Compiled>, Signed)> {
        let files = self.files();
        let known = files.get(source)?.iter().find(|known| {
            known.stamps.are_settled() && known.stamps == *stamps && known.demands == demands
        })?;
        Some((known.compiled.upgrade()?, known.signed.clone()))
    }

    fn remember(
        &self,
        source: &ComponentSource,
        stamps: Stamps,
        demands: &[Demand],
        signed: &Signed,
        compiled: &Arc<Compiled>,
    ) {
        let mut files = self.files();
        let of_file = files.entry(source.clone()).or_default();
        of_file.retain(|known| known.stamps == stamps && known.demands != demands);
        if of_file.len() == DEMANDS {
            of_file.remove(0);
        }
        of_file.push(Known {
            stamps,
            demands: demands.to_vec(),
            signed: signed.clone(),
            compiled: Arc::downgrade(compiled),
        });
        files.retain(|_, all| all.iter().any(|known| known.compiled.strong_count() > 0));
    }

    fn files(&self) -> std::sync::MutexGuard<'_, HashMap<ComponentSource, Vec<Known>>> {
        // An entry is right or not there, whatever became of its maker.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compiled(
        &self,
        source: &ComponentSource,
        digest: String,
        octets: &[u8],
    ) -> Result<Arc<Compiled>, ComponentError> {
        // Whoever waits for this will find what the one before has made.
        let _one_at_a_time = self
            .compiling
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = self.known().get(&digest).and_then(Weak::upgrade) {
            return Ok(compiled);
        }
        let component = self.component(source, &digest, octets)?;
        let imports = imports_of(&self.engine, &component);
        let pre = self.linker.instantiate_pre(&component).map_err(|error| {
            let words = imports::missing(&imports);
            ComponentError::Import(words.unwrap_or_else(|| import_error(&error)))
        })?;
        let roles = Roles::of(pre)?;
        let compiled = Arc::new(Compiled {
            digest: digest.clone(),
            roles,
            imports,
        });
        let mut known = self.known();
        known.retain(|_, compiled| compiled.strong_count() > 0);
        known.insert(digest, Arc::downgrade(&compiled));
        drop(known);
        Ok(compiled)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<Compiled>>> {
        // An entry is inserted whole or not at all.
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn component(
        &self,
        source: &ComponentSource,
        digest: &str,
        octets: &[u8],
    ) -> Result<Component, ComponentError> {
        check_kind(octets)?;
        let kept = self.directory.as_ref().map(|directory| {
            directory.join(format!(
                "{digest}-{:016x}.cwasm",
                compatibility(&self.engine)
            ))
        });
        if let Some(path) = &kept
            && let Some(component) = self.kept(path)
        {
            return Ok(component);
        }
        let started = Instant::now();
        info!(component = %source, octets = octets.len(), "compiling a component");
        let machine_code = self.compiler.compile(&self.engine, octets)?;
        info!(
            component = %source,
            milliseconds = started.elapsed().as_millis() as u64,
            "component compiled"
        );
        if let Some(path) = &kept
            && let Err(error) = keep(path, &machine_code)
        {
            warn!(file = ?path, %error, "a compiled component could not be kept");
        }
        // SAFETY: the octets come from this program's own compiler, some lines above;
        // where it is another process, over a pipe that nobody else has.
        unsafe { Component::deserialize(&self.engine, &machine_code) }
            .map_err(|error| ComponentError::Invalid(chain(&error)))
    }

    /// The compiled form from an earlier run; None where there is none, or it
    /// is damaged.
    fn kept(&self, path: &Path) -> Option<Component> {
        if !path.exists() {
            return None;
        }
        if let Err(error) = check_seal(path) {
            warn!(file = ?path, error, "a kept component is damaged and is compiled anew");
            return None;
        }
        // SAFETY: `private_directory` made sure that this user alone writes
        // there, and the seal that these are the octets `keep` wrote, with
        // this very engine's version and settings in the file's name.
        match unsafe { Component::deserialize_file(&self.engine, path) } {
            Ok(component) => {
                // Best effort: at worst it is compiled again in a month.
                let _ = fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
                Some(component)
            }
            Err(error) => {
                warn!(file = ?path, %error, "a kept component does not load and is compiled anew");
                None
            }
        }
    }
}

/// Whether that is the component that was pinned.
fn check_pin(found: &str, pinned: Option<&[u8; 32]>) -> Result<(), ComponentError> {
    match pinned.map(|pinned| hex(pinned)) {
        Some(pinned) if pinned != found => Err(ComponentError::Digest {
            found: found.to_owned(),
            pinned,
        }),
        _ => Ok(()),
    }
}

/// Removes what no start has used for a long time. What cannot be removed does
/// no harm.
fn prune(directory: &Path) {
    let old = |path: &Path| {
        let used = fs::metadata(path).and_then(|about| about.modified()).ok()?;
        Some(SystemTime::now().duration_since(used).ok()? > UNUSED)
    };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "cwasm") && old(&path) == Some(true) {
            let _ = fs::remove_file(seal_of(&path));
            let _ = fs::remove_file(&path);
        }
    }
}

/// Reads a component, whatever it is.
pub(super) fn read(source: &ComponentSource) -> Result<Cow<'static, [u8]>, ComponentError> {
    let path = match source {
        ComponentSource::Builtin(name) => {
            return builtin::component(name).map(Cow::Borrowed).ok_or_else(|| {
                ComponentError::NoSuchBuiltin {
                    name: name.clone(),
                    known: builtin::known(),
                }
            });
        }
        ComponentSource::Path(path) => path,
    };
    let failed = |error| ComponentError::Read {
        path: path.clone(),
        error,
    };
    let mut octets = Vec::new();
    trust::open(path)
        .and_then(|file| file.take(COMPONENT + 1).read_to_end(&mut octets))
        .map_err(failed)?;
    match octets.len() as u64 > COMPONENT {
        true => Err(ComponentError::TooLarge),
        false => Ok(Cow::Owned(octets)),
    }
}

/// What a component imports, as far as it uses it.
fn imports_of(engine: &Engine, component: &Component) -> Vec<Interface> {
    let mut imports = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        let mut interface = Interface {
            name: name.to_owned(),
            functions: Vec::new(),
            resources: Vec::new(),
        };
        let mut add = |name: &str, item: ComponentItem| match item {
            ComponentItem::ComponentFunc(_) => interface.functions.push(name.to_owned()),
            ComponentItem::Resource(_) => interface.resources.push(name.to_owned()),
            _ => {}
        };
        match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                for (name, item) in instance.exports(engine) {
                    add(name, item.ty);
                }
            }
            item => add(name, item),
        }
        interface.functions.sort_unstable();
        interface.resources.sort_unstable();
        imports.push(interface);
    }
    imports
}

/// Tells a component from what is often taken for one.
pub(super) fn check_kind(octets: &[u8]) -> Result<(), ComponentError> {
    if Engine::detect_precompiled(octets).is_some() {
        return Err(ComponentError::Precompiled);
    }
    match octets.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(ComponentError::CoreModule),
        _ => Err(ComponentError::NotWasm),
    }
}

/// Stands for wasmtime's version and the engine's settings.
fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// A directory that this process's user alone can write, made if it is not there.
fn private_directory(path: &Path) -> io::Result<PathBuf> {
    make_private_dir(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let about = fs::symlink_metadata(path)?;
        let own = about.uid() == rustix::process::geteuid().as_raw();
        if !about.is_dir() || !own || about.mode() & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{path:?} must be a directory of the server's own user, writable by nobody else"
                ),
            ));
        }
    }
    Ok(path.to_owned())
}

/// Writes compiled code so that a crash leaves all of it or none, with its
/// digest beside it.
fn keep(path: &Path, machine_code: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    for (path, octets) in [
        (path.to_owned(), machine_code),
        (seal_of(path), hex(&Sha256::digest(machine_code)).as_bytes()),
    ] {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(octets)?;
        file.as_file().sync_data()?;
        file.persist(path)?;
    }
    Ok(())
}

fn seal_of(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

fn check_seal(path: &Path) -> Result<(), String> {
    let read = |path: &Path| fs::read(path).map_err(|error| error.to_string());
    let seal = read(&seal_of(path))?;
    if seal == hex(&Sha256::digest(read(path)?)).as_bytes() {
        Ok(())
    } else {
        Err("its digest is not the one written beside it".into())
    }
}

pub(super) fn hex(octets: &[u8]) -> String {
    use std::fmt::Write;
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// wasmtime's errors as one line, outermost first.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The part of a linker error that names the import.
fn import_error(error: &wasmtime::Error) -> String {
    chain(error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        assert!(matches!(
            check_kind(b"\0asm\x01\0\0\0rest"),
            Err(ComponentError::CoreModule)
        ));
        assert!(check_kind(b"\0asm\x0d\0\x01\0").is_ok());
        for octets in [&b""[..], b"\0asm", b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01\0"] {
            assert!(matches!(check_kind(octets), Err(ComponentError::NotWasm)));
        }
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("components");
        assert!(private_directory(&path).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(private_directory(&path).is_err());
    }

    #[test]
    fn what_was_not_used_for_a_month_goes() {
        let root = tempfile::tempdir().unwrap();
        let (old, new) = (root.path().join("old.cwasm"), root.path().join("new.cwasm"));
        for path in [&old, &new] {
            keep(path, b"machine code").unwrap();
        }
        let long_ago = SystemTime::now() - UNUSED - Duration::from_secs(60);
        fs::File::open(&old)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        prune(root.path());
        assert!(!old.exists() && !seal_of(&old).exists());
        assert!(new.exists() && seal_of(&new).exists());
    }

    #[test]
    fn damage_breaks_the_seal() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.cwasm");
        keep(&path, b"machine code").unwrap();
        check_seal(&path).unwrap();
        fs::write(&path, b"machine coda").unwrap();
        assert!(check_seal(&path).is_err());
        fs::remove_file(seal_of(&path)).unwrap();
        assert!(check_seal(&path).is_err());
    }
}
