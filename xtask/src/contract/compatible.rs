//! What a contract may not change that was released: components of then are matched
//! with the host of today by the name and the type of each function.

use std::collections::BTreeMap;

use wit_parser::{InterfaceId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldItem};

use super::words::{Words, original};
use super::{Contract, WHOLE_WORLD};

/// What components of the old contract would miss under a host of the new one.
pub(super) fn differences(old: &Contract, new: &Contract) -> Vec<String> {
    let (old_shape, new_shape) = (Shape::of(old), Shape::of(new));
    let mut problems = Vec::new();
    for (interface, old_items) in &old_shape.interfaces {
        let Some(new_items) = new_shape.interfaces.get(interface) else {
            problems.push(format!("{interface} is gone"));
            continue;
        };
        for (item, words) in old_items {
            match new_items.get(item) {
                None => problems.push(format!("{interface}: {item} is gone")),
                Some(now) if now != words => {
                    problems.push(format!("{interface}: {item} was {words:?} and is {now:?}"));
                }
                Some(_) => {}
            }
        }
        if old_shape.roles.contains(interface) {
            // A component of then has not got it, and the host would ask for it.
            for item in new_items
                .keys()
                .filter(|item| !old_items.contains_key(*item))
            {
                problems.push(format!(
                    "{interface}: {item} is new; plugins export this interface, so it can only \
                     be in one of its own"
                ));
            }
        }
    }
    for (world, exports) in &old_shape.worlds {
        // Authors build against worlds by their names.
        if new_shape.worlds.get(world) != Some(exports) {
            problems.push(format!(
                "the world {world} is gone, or exports something else"
            ));
        }
    }
    problems
}

/// All of a contract that components are matched by, as words.
struct Shape {
    /// Interface → function or type → what it is.
    interfaces: BTreeMap<String, BTreeMap<String, String>>,
    /// The interfaces that plugins export.
    roles: Vec<String>,
    /// World → what it exports.
    worlds: BTreeMap<String, Vec<String>>,
}

impl Shape {
    fn of(contract: &Contract) -> Shape {
        let resolve = &contract.resolve;
        let ids = resolve.interfaces.iter().map(|(id, _)| id);
        let interfaces = ids
            .map(|id| (interface_name(resolve, id), items(resolve, id)))
            .collect();
        let mut worlds = BTreeMap::new();
        for (name, world) in &resolve.packages[contract.package].worlds {
            let exports = resolve.worlds[*world].exports.values();
            let mut exports: Vec<String> = exports
                .filter_map(|item| match item {
                    WorldItem::Interface { id, .. } => Some(interface_name(resolve, *id)),
                    _ => None,
                })
                .collect();
            exports.sort();
            worlds.insert(name.clone(), exports);
        }
        Shape {
            interfaces,
            roles: worlds.get(WHOLE_WORLD).cloned().unwrap_or_default(),
            worlds,
        }
    }
}

/// With the package, but for ours without its version: 0.1.1 has to serve what was
/// built for 0.1.0.
fn interface_name(resolve: &Resolve, id: InterfaceId) -> String {
    let interface = &resolve.interfaces[id];
    let name = interface.name.as_deref().unwrap_or("(without a name)");
    match interface
        .package
        .map(|package| &resolve.packages[package].name)
    {
        Some(package) if package.namespace == "restante" => name.to_owned(),
        Some(package) => package.interface_id(name),
        None => name.to_owned(),
    }
}

fn items(resolve: &Resolve, id: InterfaceId) -> BTreeMap<String, String> {
    let name = |id: TypeId| full_name(resolve, id);
    let words = Words {
        resolve,
        name: &name,
        angles: ("<", ">"),
    };
    let interface = &resolve.interfaces[id];
    let functions = interface
        .functions
        .iter()
        .map(|(name, function)| (format!("func {name}"), words.function(function)));
    let types = interface
        .types
        .iter()
        .map(|(name, id)| (format!("type {name}"), definition(&words, *id)));
    functions.chain(types).collect()
}

fn full_name(resolve: &Resolve, id: TypeId) -> String {
    let definition = &resolve.types[original(resolve, id)];
    let name = definition.name.as_deref().unwrap_or_default();
    match definition.owner {
        TypeOwner::Interface(owner) => format!("{}.{name}", interface_name(resolve, owner)),
        _ => name.to_owned(),
    }
}

/// A type with all that is in it, names and order included.
fn definition(words: &Words<'_>, id: TypeId) -> String {
    let optional = |ty: &Option<Type>| ty.as_ref().map_or(String::new(), |ty| words.ty(ty));
    let kind = &words.resolve.types[id].kind;
    let parts: Vec<String> = match kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter();
            fields
                .map(|field| format!("{}: {}", field.name, words.ty(&field.ty)))
                .collect()
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            cases
                .map(|case| format!("{}({})", case.name, optional(&case.ty)))
                .collect()
        }
        TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| case.name.clone()).collect(),
        TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| flag.name.clone()).collect(),
        TypeDefKind::Type(ty) => vec![words.ty(ty)],
        _ => Vec::new(),
    };
    format!("{} {{ {} }}", kind.as_str(), parts.join(", "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;
    use crate::contract::{CONTRACT, RELEASED, released, sorted};

    fn contract(text: &str) -> Contract {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deps")).unwrap();
        fs::write(folder.path().join("a.wit"), text).unwrap();
        Contract::read(folder.path()).unwrap()
    }

    const OLD: &str = "package restante:plugin@0.1.0;
        interface host { record r { a: u8 } ask: func(r: r) -> option<u8>; }
        interface role { use host.{r}; resource m { get: func() -> r; } answer: func(m: m); }
        world every-role { import host; export role; }";

    fn found(replace: &str, with: &str) -> Vec<String> {
        assert!(OLD.contains(replace), "{replace}");
        differences(&contract(OLD), &contract(&OLD.replace(replace, with)))
    }

    #[test]
    fn new_functions_of_the_host_and_new_interfaces_are_welcome() {
        for (replace, with) in [
            ("@0.1.0", "@0.1.1"),
            ("ask:", "/// Said.\n more: func(); ask:"),
            ("record r {", "enum e { x } record r {"),
            ("interface role", "interface new { } interface role"),
            ("export role;", "export role; } world new { import host;"),
        ] {
            assert_eq!(found(replace, with), [""; 0], "{with}");
        }
    }

    #[test]
    fn whatever_a_component_of_then_would_miss_is_found() {
        for (replace, with, words) in [
            ("a: u8", "a: u16", "type r was"),
            ("a: u8", "a: u8, b: u8", "type r was"),
            ("option<u8>", "u8", "func ask was"),
            ("ask: func(r: r)", "ask: func()", "func ask was"),
            ("ask:", "asked:", "func ask is gone"),
            (
                "get: func() -> r;",
                "get: func();",
                "func [method]m.get was",
            ),
            ("answer:", "more: func(); answer:", "func more is new"),
            (
                "interface host {",
                "interface h { } interface host2 { record r { a: u8 } } interface host { use host2.{r as x};",
                "type x",
            ),
            ("world every-role", "world all", "the world every-role"),
        ] {
            let found = found(replace, with);
            let said = found.iter().any(|line| line.contains(words));
            // What is new at the host's side is no difference.
            assert_eq!(said, words != "type x", "{with}: {found:?}");
        }
    }

    #[test]
    fn the_contract_serves_what_was_built_for_each_released_one() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap();
        let now = Contract::read(&root.join(CONTRACT)).unwrap();
        let folders = sorted(&root.join(RELEASED)).unwrap();
        assert_eq!(folders.len(), released::DIGESTS.len());
        for folder in folders {
            let then = Contract::read(&folder).unwrap();
            assert_eq!(differences(&then, &now), [""; 0], "{}", folder.display());
        }
    }
}
