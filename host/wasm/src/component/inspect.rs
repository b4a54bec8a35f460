//! What a component says of itself, read without compiling or running it.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::TypesRef;
use wasmparser::{KnownCustom, Parser, Payload, ValidPayload, Validator, WasmFeatures};

use crate::component::catalog::ComponentError;
use crate::component::exports;
use crate::component::needs::{self, CONTRACT, CONTRACT_VERSION, Interface, Need};
use restante_config::ComponentSource;

/// Values of one field of the producers sections that are kept.
const PRODUCERS: usize = 32;
/// Characters of one of them.
const PRODUCER: usize = 100;

/// The custom section in which a component may name the settings that it reads, one a
/// line, as `key: meaning`.
const SETTINGS_SECTION: &str = "restante:settings";
/// Settings that are kept.
const SETTINGS: usize = 256;
/// Characters of a setting's meaning.
const MEANING: usize = 200;

/// A component, looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// Size of the file.
    pub octets: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Versions of the contract that its exports and imports name.
    pub contract: Vec<String>,
    /// The version this restante speaks.
    pub contract_here: &'static str,
    /// Interfaces of the contract that it exports: its roles, and what it has
    /// beside them.
    pub roles: Vec<String>,
    /// All that it exports.
    pub exports: Vec<Interface>,
    /// All that it imports.
    pub imports: Vec<Import>,
    /// From the producers sections: "language" → "Rust", …
    pub producers: BTreeMap<String, Vec<String>>,
    /// The settings that it reads and what they mean, if it says so.
    pub settings: BTreeMap<String, String>,
    /// Why this restante would refuse it, as far as that can be seen from here.
    pub problems: Vec<String>,
}

/// An import, and what stands behind it.
#[derive(Debug, Clone, Serialize)]
pub struct Import {
    /// The interface, as far as it is used.
    #[serde(flatten)]
    pub interface: Interface,
    /// What has to be granted.
    pub need: Need,
}

/// Reads a component from where the configuration would, and looks at it.
///
/// # Errors
/// It cannot be read, is too large, or is no component.
pub fn inspect(source: &ComponentSource) -> Result<(Inspection, Vec<u8>), ComponentError> {
    let octets = crate::component::catalog::read(source)?.into_owned();
    Ok((Inspection::of(&octets)?, octets))
}

impl Inspection {
    /// Looks at a component's octets.
    ///
    /// # Errors
    /// They are no component.
    pub fn of(octets: &[u8]) -> Result<Inspection, ComponentError> {
        crate::component::catalog::check_kind(octets)?;
        let seen = Seen::read(octets)
            .map_err(|error| ComponentError::Invalid(error.message().to_owned()))?;
        let imports: Vec<Import> = seen
            .imports
            .iter()
            .map(|interface| Import {
                need: interface.need(),
                interface: interface.clone(),
            })
            .collect();
        let names = seen.imports.iter().chain(&seen.exports);
        let mut contract: Vec<String> = names
            .map(|interface| needs::parts(&interface.name))
            .filter(|(package, ..)| *package == CONTRACT)
            .map(|(_, _, version)| version.to_owned())
            .collect();
        contract.sort_unstable();
        contract.dedup();
        let exported: Vec<&str> = seen.exports.iter().map(|one| one.name.as_str()).collect();
        let roles = exports::names(&exported);
        let mut problems = Vec::new();
        problems.extend(roles.as_ref().err().map(ToString::to_string));
        problems.extend(
            seen.imports
                .iter()
                .filter(|import| import.need() == Need::Absent)
                .map(Interface::absent),
        );
        Ok(Inspection {
            octets: octets.len() as u64,
            sha256: crate::component::hex(&Sha256::digest(octets)),
            contract,
            contract_here: CONTRACT_VERSION,
            roles: roles
                .unwrap_or_default()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            exports: seen.exports,
            imports,
            producers: seen.producers,
            settings: seen.settings,
            problems,
        })
    }
}

/// A component's words, fit for a terminal.
fn cleaned(text: &str, most: usize) -> String {
    let characters = text.trim().chars();
    let printable = characters.filter(|character| !character.is_control());
    printable.take(most).collect()
}

/// What there is in the octets.
#[derive(Default)]
struct Seen {
    imports: Vec<Interface>,
    exports: Vec<Interface>,
    producers: BTreeMap<String, Vec<String>>,
    settings: BTreeMap<String, String>,
}

impl Seen {
    /// Everything but the functions' bodies, which are for the compiler.
    fn read(octets: &[u8]) -> wasmparser::Result<Seen> {
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let mut seen = Seen::default();
        let (mut imports, mut exports) = (Vec::new(), Vec::new());
        let mut depth = 0u32;
        for payload in Parser::new(0).parse_all(octets) {
            let payload = payload?;
            match &payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section.clone() {
                        imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section.clone() {
                        exports.push(export?.name.name.to_owned());
                    }
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::Producers(section) = section.as_known() {
                        // A broken one says nothing, and harms nobody.
                        let _ = seen.produced(section);
                    } else if section.name() == SETTINGS_SECTION {
                        seen.reads(section.data());
                    }
                }
                _ => {}
            }
            if let ValidPayload::End(types) = validator.payload(&payload)? {
                let types = types.as_ref();
                // The outermost one comes last.
                seen.imports = interfaces(types, &imports, TypesRef::component_item_for_import);
                seen.exports = interfaces(types, &exports, TypesRef::component_item_for_export);
            }
        }
        Ok(seen)
    }

    /// Notes what a section says of settings; lines without a key say nothing.
    fn reads(&mut self, section: &[u8]) {
        let text = String::from_utf8_lossy(section);
        for line in text.lines() {
            let (key, meaning) = line.split_once(':').unwrap_or((line, ""));
            let key = cleaned(key, PRODUCER);
            if !key.is_empty() && self.settings.len() < SETTINGS {
                self.settings.insert(key, cleaned(meaning, MEANING));
            }
        }
    }

    fn produced(
        &mut self,
        section: wasmparser::ProducersSectionReader<'_>,
    ) -> wasmparser::Result<()> {
        for field in section {
            let field = field?;
            let values = self.producers.entry(field.name.to_owned()).or_default();
            for value in field.values {
                let value = value?;
                let text = cleaned(&format!("{} {}", value.name, value.version), PRODUCER);
                if values.len() < PRODUCERS && !values.contains(&text) {
                    values.push(text);
                }
            }
        }
        Ok(())
    }
}

fn interfaces<'t>(
    types: TypesRef<'t>,
    names: &[String],
    item: impl Fn(&TypesRef<'t>, &str) -> Option<&'t wasmparser::component_types::ComponentItem>,
) -> Vec<Interface> {
    let interface = |name: &String| {
        let mut interface = Interface {
            name: name.clone(),
            functions: Vec::new(),
            resources: Vec::new(),
        };
        match item(&types, name)?.ty {
            ComponentEntityType::Instance(id) => {
                for (name, item) in &types[id].exports {
                    interface.add(name, item.ty);
                }
            }
            ty => interface.add(name, ty),
        }
        interface.functions.sort_unstable();
        interface.resources.sort_unstable();
        Some(interface)
    };
    names.iter().filter_map(interface).collect()
}

impl Interface {
    fn add(&mut self, name: &str, ty: ComponentEntityType) {
        use wasmparser::component_types::ComponentAnyTypeId::Resource;
        match ty {
            ComponentEntityType::Func(_) => self.functions.push(name.to_owned()),
            ComponentEntityType::Type {
                created: Resource(_),
                ..
            } => self.resources.push(name.to_owned()),
            _ => {}
        }
    }
}

/// What one component has that another has not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Only the new one has it.
    pub added: Vec<String>,
    /// Only the old one has it.
    pub removed: Vec<String>,
}

impl Difference {
    fn of(old: &[String], new: &[String]) -> Self {
        let only = |here: &[String], there: &[String]| {
            let mut only: Vec<String> = here
                .iter()
                .filter(|name| !there.contains(name))
                .cloned()
                .collect();
            only.dedup();
            only
        };
        Difference {
            added: only(new, old),
            removed: only(old, new),
        }
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// How a new version of a component differs from the old one.
#[derive(Debug, Clone, Serialize)]
pub struct Differences {
    /// What can be asked of it: "restante:plugin/store@0.1.0".
    pub exports: Difference,
    /// What it asks for: "restante:plugin/files@0.1.0 scan", by the function.
    pub imports: Difference,
    /// What has to be granted for that.
    pub needs: Difference,
    /// Versions of the contract.
    pub contract: Difference,
    /// The settings that it reads, as far as it says so.
    pub settings: Difference,
    /// What made it.
    pub producers: Difference,
}

impl Differences {
    /// Compares two components.
    pub fn between(old: &Inspection, new: &Inspection) -> Self {
        let difference =
            |list: fn(&Inspection) -> Vec<String>| Difference::of(&list(old), &list(new));
        Differences {
            exports: difference(|one| one.exports.iter().flat_map(functions).collect()),
            imports: difference(|one| {
                let imports = one.imports.iter();
                imports
                    .flat_map(|import| functions(&import.interface))
                    .collect()
            }),
            needs: difference(|one| {
                let needs = one.imports.iter().map(|import| import.need);
                let asking = needs.filter(|need| *need != Need::Nothing);
                asking.map(|need| need.words().to_owned()).collect()
            }),
            contract: difference(|one| one.contract.clone()),
            settings: difference(|one| one.settings.keys().cloned().collect()),
            producers: difference(|one| {
                let fields = one.producers.iter();
                fields
                    .flat_map(|(field, values)| {
                        values.iter().map(move |value| format!("{field}: {value}"))
                    })
                    .collect()
            }),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        [
            &self.exports,
            &self.imports,
            &self.needs,
            &self.contract,
            &self.settings,
            &self.producers,
        ]
        .into_iter()
        .all(Difference::is_empty)
    }
}

/// "INTERFACE FUNCTION" for each function; the interface alone where it has none.
fn functions(interface: &Interface) -> Vec<String> {
    if interface.is_types_only() {
        return vec![interface.name.clone()];
    }
    let functions = interface.functions.iter();
    functions
        .map(|function| format!("{} {function}", interface.name))
        .collect()
}
