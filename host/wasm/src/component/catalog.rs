//! Components on their way from a file to something that can be instantiated:
//! read, checked, compiled once for each digest, and kept in the state
//! directory so that the next start does not compile at all.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use tracing::{info, warn};
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use crate::component::builtin;
use crate::component::compile::{CompileError, Compiler, MACHINE_CODE};
use crate::component::exports::{RoleError, Roles};
use crate::component::needs::{self, Interface};
use crate::component::trust::{self, Signed, TrustError};
use crate::component::{MAX_COMPONENT_BYTES, chain, hex};
use crate::imports::linker;
use crate::instance::state::State;
use restante_config::{ComponentSource, Demand};
use restante_roles::stamp::Stamp;
use restante_roles::state_dir::{Folder, SECRET_OCTETS, StateDir};

/// Different demands on one component's signature whose answers are remembered.
const DEMANDS: usize = 64;

/// Where compiled code is, in the state directory.
const FOLDER: &str = "components";

/// The file with the key of the seals, in the state directory: not beside what it seals.
const SEAL_KEY: &str = "component-seal";

/// Octets of a seal's file: an HMAC-SHA256, hexadecimal.
const SEAL_OCTETS: usize = 64;

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
    #[error("it has more than the {MAX_COMPONENT_BYTES} octets that a component may have")]
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
pub(crate) struct Compiled {
    /// SHA-256 of the component, hexadecimal.
    pub(crate) digest: String,
    pub(crate) roles: Roles,
    pub(crate) imports: Vec<Interface>,
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
pub(crate) struct Catalog {
    engine: Engine,
    linker: Linker<State>,
    /// Compiled code, written by this process's user alone. None: not kept.
    kept: Option<Kept>,
    compiler: Compiler,
    /// By digest, for as long as a plugin of some generation uses it.
    compiled: Mutex<HashMap<String, Weak<Compiled>>>,
    /// What was found in files that have not changed since.
    files: Mutex<HashMap<ComponentSource, Vec<Known>>>,
    /// One compilation at a time: each may use all processors, and much memory.
    compiling: Mutex<()>,
}

impl Catalog {
    pub(crate) fn new(
        engine: Engine,
        state_dir: &StateDir,
        compiler: Compiler,
    ) -> wasmtime::Result<Self> {
        let linker = linker::linker(&engine)?;
        let kept = Kept::open(state_dir).map_err(wasmtime::Error::from)?;
        if let Some(kept) = &kept {
            kept.prune();
        }
        Ok(Self {
            engine,
            linker,
            kept,
            compiler,
            compiled: Mutex::default(),
            files: Mutex::default(),
            compiling: Mutex::default(),
        })
    }

    /// Makes a component ready. Takes seconds where it was never compiled
    /// before: not for the event loop.
    pub(crate) fn load(
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

    fn files(&self) -> parking_lot::MutexGuard<'_, HashMap<ComponentSource, Vec<Known>>> {
        // An entry is right or not there, whatever became of its maker.
        self.files.lock()
    }

    fn compiled(
        &self,
        source: &ComponentSource,
        digest: String,
        octets: &[u8],
    ) -> Result<Arc<Compiled>, ComponentError> {
        // Whoever waits for this will find what the one before has made.
        let _one_at_a_time = self.compiling.lock();
        if let Some(compiled) = self.known().get(&digest).and_then(Weak::upgrade) {
            return Ok(compiled);
        }
        let component = self.component(source, &digest, octets)?;
        let imports = imports_of(&self.engine, &component);
        let pre = self.linker.instantiate_pre(&component).map_err(|error| {
            let words = needs::missing(&imports);
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

    fn known(&self) -> parking_lot::MutexGuard<'_, HashMap<String, Weak<Compiled>>> {
        // An entry is inserted whole or not at all.
        self.compiled.lock()
    }

    fn component(
        &self,
        source: &ComponentSource,
        digest: &str,
        octets: &[u8],
    ) -> Result<Component, ComponentError> {
        check_kind(octets)?;
        let code = Code {
            digest,
            compatibility: compatibility(&self.engine),
        };
        if let Some(kept) = &self.kept
            && let Some(component) = kept.component(&code, &self.engine)
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
        if let Some(kept) = &self.kept
            && let Err(error) = kept.keep(&code, &machine_code)
        {
            let file = kept.folder.path_of(&code.file());
            warn!(?file, %error, "a compiled component could not be kept");
        }
        // SAFETY: the octets come from this program's own compiler, some lines above;
        // where it is another process, over a pipe that nobody else has.
        unsafe { Component::deserialize(&self.engine, &machine_code) }
            .map_err(|error| ComponentError::Invalid(chain(&error)))
    }
}

/// Compiled code in the state directory. What is beside it in a file is its seal, and
/// only who has the key can make one.
struct Kept {
    folder: Folder,
    key: [u8; SECRET_OCTETS],
}

/// Which compiled code it is.
struct Code<'a> {
    /// Of the component, hexadecimal.
    digest: &'a str,
    /// Of the engine that runs it.
    compatibility: u64,
}

impl Code<'_> {
    fn stem(&self) -> String {
        format!("{}-{:016x}", self.digest, self.compatibility)
    }

    fn file(&self) -> String {
        self.stem() + ".cwasm"
    }

    fn seal(&self) -> String {
        self.stem() + ".seal"
    }
}

impl Kept {
    /// None: nothing is kept.
    fn open(state_dir: &StateDir) -> io::Result<Option<Self>> {
        let Some(folder) = state_dir.folder(FOLDER) else {
            return Ok(None);
        };
        let key = state_dir.secret(SEAL_KEY, "the next start compiles the components again")?;
        Ok(Some(Self { folder, key }))
    }

    /// The compiled form from an earlier run; None where there is none, or it
    /// is damaged, or somebody else's.
    fn component(&self, code: &Code, engine: &Engine) -> Option<Component> {
        let name = code.file();
        let shown = self.folder.path_of(&name);
        let file = match self.folder.file(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(file = ?shown, %error, "a kept component is not used and is compiled again");
                return None;
            }
        };
        // Read once: what is checked and what is run are the same octets.
        let machine_code = match self.check(code, &file) {
            Ok(machine_code) => machine_code,
            Err(error) => {
                warn!(file = ?shown, %error, "a kept component is damaged and is compiled again");
                return None;
            }
        };
        // SAFETY: the seal says that these are the octets that `keep` wrote, for this
        // component and an engine of this very version with these settings: nobody else
        // has its key.
        match unsafe { Component::deserialize(engine, &machine_code) } {
            Ok(component) => {
                // Best effort: at worst it is compiled again in a month.
                if self.folder.is_written() {
                    let _ = file.set_modified(SystemTime::now());
                }
                Some(component)
            }
            Err(error) => {
                let error = chain(&error);
                warn!(file = ?shown, error, "a kept component does not load and is compiled again");
                None
            }
        }
    }

    /// Writes compiled code so that a crash leaves all of it or none, with its seal
    /// beside it.
    fn keep(&self, code: &Code, machine_code: &[u8]) -> io::Result<()> {
        let seal = self.seal(code, machine_code);
        self.folder.write(&code.file(), &[machine_code])?;
        self.folder.write(&code.seal(), &[hex(&seal).as_bytes()])
    }

    /// The code in the file, if the seal beside it is over that.
    fn check(&self, code: &Code, file: &File) -> io::Result<Vec<u8>> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut machine_code = Vec::new();
        file.take(MACHINE_CODE + 1).read_to_end(&mut machine_code)?;
        if machine_code.len() as u64 > MACHINE_CODE {
            return Err(invalid(format!("it has more than {MACHINE_CODE} octets")));
        }
        let seal = self.folder.read(&code.seal(), SEAL_OCTETS)?;
        let right = hex(&self.seal(code, &machine_code));
        match seal.ct_eq(right.as_bytes()).into() {
            true => Ok(machine_code),
            false => Err(invalid("its seal does not fit".into())),
        }
    }

    /// Over which component it is, which engine it is for, and the code itself; the first
    /// two have a length of their own.
    fn seal(&self, code: &Code, machine_code: &[u8]) -> [u8; 32] {
        let mut seal =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        seal.update(&Sha256::digest(code.digest));
        seal.update(&code.compatibility.to_le_bytes());
        seal.update(machine_code);
        seal.finalize().into_bytes().into()
    }

    /// Removes what no start has used for a long time, and what earlier versions wrote
    /// beside compiled code. What cannot be removed does no harm.
    fn prune(&self) {
        let old = |used: SystemTime| {
            let age = SystemTime::now().duration_since(used);
            age.is_ok_and(|age| age > UNUSED)
        };
        for (name, used) in self.folder.entries().unwrap_or_default() {
            match name.rsplit_once('.') {
                Some((stem, "cwasm")) if old(used) => {
                    self.folder.remove(&format!("{stem}.seal"));
                    self.folder.remove(&name);
                }
                Some((_, "sha256")) => self.folder.remove(&name),
                _ => {}
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

/// Reads a component, whatever it is.
pub(crate) fn read(source: &ComponentSource) -> Result<Cow<'static, [u8]>, ComponentError> {
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
        .and_then(|file| file.take(MAX_COMPONENT_BYTES + 1).read_to_end(&mut octets))
        .map_err(failed)?;
    match octets.len() as u64 > MAX_COMPONENT_BYTES {
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
pub(crate) fn check_kind(octets: &[u8]) -> Result<(), ComponentError> {
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

/// The part of a linker error that names the import.
fn import_error(error: &wasmtime::Error) -> String {
    chain(error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::Path;

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

    const CODE: Code = Code {
        digest: "d1",
        compatibility: 1,
    };

    fn kept(state: &Path) -> Kept {
        Kept::open(&StateDir::open(state)).unwrap().unwrap()
    }

    fn check(kept: &Kept, code: &Code) -> io::Result<Vec<u8>> {
        kept.check(code, &kept.folder.file(&code.file())?)
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        kept(root.path());
        for path in [root.path().join(FOLDER), root.path().to_owned()] {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            assert!(Kept::open(&StateDir::open(root.path())).unwrap().is_none());
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        kept(root.path());
    }

    #[test]
    fn what_was_not_used_for_a_month_goes() {
        let root = tempfile::tempdir().unwrap();
        let kept = kept(root.path());
        let old = Code {
            digest: "d2",
            ..CODE
        };
        for code in [&old, &CODE] {
            kept.keep(code, b"machine code").unwrap();
        }
        let long_ago = SystemTime::now() - UNUSED - Duration::from_secs(60);
        let file = kept.folder.file(&old.file()).unwrap();
        file.set_modified(long_ago).unwrap();
        let before = root.path().join(FOLDER).join("d1.sha256");
        fs::write(&before, "seal of an earlier version").unwrap();
        kept.prune();
        let there = |name: String| root.path().join(FOLDER).join(name).exists();
        assert!(!there(old.file()) && !there(old.seal()) && !before.exists());
        assert!(there(CODE.file()) && there(CODE.seal()));
    }

    #[test]
    fn damage_breaks_the_seal() {
        let root = tempfile::tempdir().unwrap();
        let kept = kept(root.path());
        let path = kept.folder.path_of(&CODE.file());
        kept.keep(&CODE, b"machine code").unwrap();
        check(&kept, &CODE).unwrap();
        fs::write(&path, b"machine coda").unwrap();
        assert!(check(&kept, &CODE).is_err());
        fs::write(&path, b"machine code").unwrap();
        check(&kept, &CODE).unwrap();
        fs::remove_file(kept.folder.path_of(&CODE.seal())).unwrap();
        assert!(check(&kept, &CODE).is_err());
    }

    #[test]
    fn what_somebody_else_sealed_is_not_run() {
        let engine = crate::component::engine::compiler().unwrap();
        // A component with nothing in it.
        let empty = b"\0asm\x0d\0\x01\0";
        let machine_code = engine.precompile_component(empty).unwrap();
        let root = tempfile::tempdir().unwrap();
        let kept = kept(root.path());
        kept.keep(&CODE, &machine_code).unwrap();
        assert!(kept.component(&CODE, &engine).is_some());
        let (file, seal) = (
            kept.folder.path_of(&CODE.file()),
            kept.folder.path_of(&CODE.seal()),
        );
        let right = fs::read(&seal).unwrap();
        // A digest that fits, as earlier versions took it, and a seal with another key.
        let digest = hex(&Sha256::digest(&machine_code));
        fs::write(&seal, &digest).unwrap();
        fs::write(file.with_extension("sha256"), &digest).unwrap();
        assert!(kept.component(&CODE, &engine).is_none());
        let elsewhere = tempfile::tempdir().unwrap();
        let other = self::kept(elsewhere.path());
        other.keep(&CODE, &machine_code).unwrap();
        fs::copy(other.folder.path_of(&CODE.seal()), &seal).unwrap();
        assert!(kept.component(&CODE, &engine).is_none());
        // The right seal of another component, and for another engine.
        for code in [
            Code {
                digest: "d2",
                ..CODE
            },
            Code {
                compatibility: 2,
                ..CODE
            },
        ] {
            fs::copy(&file, kept.folder.path_of(&code.file())).unwrap();
            fs::write(kept.folder.path_of(&code.seal()), &right).unwrap();
            assert!(kept.component(&code, &engine).is_none());
        }
        fs::write(&seal, &right).unwrap();
        assert!(kept.component(&CODE, &engine).is_some());
        // A link to it is not followed.
        let moved = root.path().join("moved");
        fs::rename(&file, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &file).unwrap();
        assert!(kept.component(&CODE, &engine).is_none());
    }
}
