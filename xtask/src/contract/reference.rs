//! docs/plugins/reference.md: the contract as people look things up in it, made of
//! wit/ and of nothing else.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wit_parser::{
    Docs, Function, FunctionKind, Interface, InterfaceId, Resolve, Type, TypeDef, TypeDefKind,
    TypeId, TypeOwner, WorldItem,
};

use super::words::{Words, original, short_name};
use super::{CONTRACT, Contract, WHOLE_WORLD};

const REFERENCE: &str = "docs/plugins/reference.md";

/// Writes the reference.
pub(super) fn write(root: &Path) -> Result<()> {
    let text = render(&Contract::read(&root.join(CONTRACT))?)?;
    fs::write(root.join(REFERENCE), text).with_context(|| format!("cannot write {REFERENCE}"))
}

fn render(contract: &Contract) -> Result<String> {
    let version = contract.version()?;
    let mut page = Page {
        resolve: &contract.resolve,
        text: String::new(),
    };
    write!(
        page.text,
        "# The contract: restante:plugin {version}\n\n\
         Made of the files in [wit/](../../wit) by `cargo xtask wit-reference`. Why it is like this is in \
         [contract.md](contract.md), what may change in [versions.md](versions.md).\n"
    )?;
    let sides = sides(contract)?;
    for (title, ids) in &sides {
        writeln!(page.text, "\n{title}: {}.", page.index(ids))?;
    }
    for (title, ids) in sides {
        writeln!(page.text, "\n## {title}")?;
        for id in ids {
            page.interface(id)?;
        }
    }
    Ok(page.text)
}

/// The interfaces of our package, by who has to have them.
fn sides(contract: &Contract) -> Result<[(&'static str, Vec<InterfaceId>); 3]> {
    let package = &contract.resolve.packages[contract.package];
    let world = package
        .worlds
        .get(WHOLE_WORLD)
        .with_context(|| format!("there is no world {WHOLE_WORLD}"))?;
    let world = &contract.resolve.worlds[*world];
    let is_in = |items: &[&WorldItem], wanted: InterfaceId| {
        let mut items = items.iter();
        items.any(|item| matches!(item, WorldItem::Interface { id, .. } if *id == wanted))
    };
    let exports: Vec<_> = world.exports.values().collect();
    let all = || package.interfaces.values().copied();
    let has_functions = |id: InterfaceId| !contract.resolve.interfaces[id].functions.is_empty();
    let is_role = |id: InterfaceId| is_in(&exports, id);
    Ok([
        (
            "What plugins export",
            all().filter(|id| is_role(*id)).collect(),
        ),
        (
            "What the host provides",
            all()
                .filter(|id| !is_role(*id) && has_functions(*id))
                .collect(),
        ),
        (
            "Shared types",
            all()
                .filter(|id| !is_role(*id) && !has_functions(*id))
                .collect(),
        ),
    ])
}

/// The name, type and docs of a field, a case or a flag.
type Row<'a> = (&'a str, Option<&'a Type>, &'a Docs);

struct Page<'a> {
    resolve: &'a Resolve,
    text: String,
}

impl Page<'_> {
    fn index(&self, ids: &[InterfaceId]) -> String {
        let names = ids.iter().map(|id| name(&self.resolve.interfaces[*id]));
        let links: Vec<String> = names.map(|name| format!("[{name}](#{name})")).collect();
        links.join(", ")
    }

    fn interface(&mut self, id: InterfaceId) -> Result<()> {
        let interface = &self.resolve.interfaces[id];
        let name = name(interface);
        writeln!(self.text, "\n<a id=\"{name}\"></a>\n\n### {name}\n")?;
        self.prose(&interface.docs)?;
        for function in interface.functions.values() {
            if resource(function).is_none() {
                self.function(name, function)?;
            }
        }
        for (type_name, id) in &interface.types {
            if original(self.resolve, *id) == *id {
                self.definition(name, type_name, *id, interface)?;
            }
        }
        Ok(())
    }

    fn function(&mut self, interface: &str, function: &Function) -> Result<()> {
        let words = self.words(function);
        let anchor = format!("{interface}.{}", short_name(function));
        writeln!(
            self.text,
            "<a id=\"{anchor}\"></a>\n\n<code>{words}</code>\n"
        )?;
        self.prose(&function.docs)
    }

    fn words(&self, function: &Function) -> String {
        self.with_words(|words| words.function(function))
    }

    fn ty(&self, ty: Option<&Type>) -> String {
        ty.map_or(String::new(), |ty| {
            format!("<code>{}</code>", self.with_words(|words| words.ty(ty)))
        })
    }

    fn with_words<T>(&self, ask: impl FnOnce(&Words<'_>) -> T) -> T {
        let link = |id: TypeId| self.link(id);
        ask(&Words {
            resolve: self.resolve,
            name: &link,
            angles: ("&lt;", "&gt;"),
        })
    }

    fn link(&self, id: TypeId) -> String {
        let definition = &self.resolve.types[original(self.resolve, id)];
        let name = definition.name.as_deref().unwrap_or_default();
        match definition.owner {
            TypeOwner::Interface(owner) => {
                let owner = self::name(&self.resolve.interfaces[owner]);
                format!("<a href=\"#{owner}.{name}\">{name}</a>")
            }
            _ => name.to_owned(),
        }
    }

    fn definition(
        &mut self,
        interface_name: &str,
        name: &str,
        id: TypeId,
        interface: &Interface,
    ) -> Result<()> {
        let definition: &TypeDef = &self.resolve.types[id];
        let kind = match &definition.kind {
            TypeDefKind::Type(_) => "type",
            kind => kind.as_str(),
        };
        writeln!(
            self.text,
            "<a id=\"{interface_name}.{name}\"></a>\n\n#### {kind} `{name}`\n"
        )?;
        self.prose(&definition.docs)?;
        match &definition.kind {
            TypeDefKind::Type(ty) => writeln!(self.text, "Is {}.\n", self.ty(Some(ty)))?,
            TypeDefKind::Resource => {
                for function in interface.functions.values() {
                    if resource(function) == Some(id) {
                        self.function(&format!("{interface_name}.{name}"), function)?;
                    }
                }
            }
            kind => self.table(kind)?,
        }
        Ok(())
    }

    /// Fields, cases or flags: name, type, docs.
    fn table(&mut self, kind: &TypeDefKind) -> Result<()> {
        let (title, rows): (&str, Vec<Row<'_>>) = match kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter();
                let rows = fields.map(|field| (&*field.name, Some(&field.ty), &field.docs));
                ("field", rows.collect())
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter();
                let rows = cases.map(|case| (&*case.name, case.ty.as_ref(), &case.docs));
                ("case", rows.collect())
            }
            TypeDefKind::Enum(cases) => {
                let cases = cases.cases.iter();
                (
                    "case",
                    cases.map(|case| (&*case.name, None, &case.docs)).collect(),
                )
            }
            TypeDefKind::Flags(flags) => {
                let flags = flags.flags.iter();
                (
                    "flag",
                    flags.map(|flag| (&*flag.name, None, &flag.docs)).collect(),
                )
            }
            _ => return Ok(()),
        };
        writeln!(self.text, "| {title} | type | meaning |\n|---|---|---|")?;
        for (name, ty, docs) in rows {
            let docs = escaped(docs).replace('\n', " ").replace('|', "\\|");
            writeln!(self.text, "| `{name}` | {} | {docs} |", self.ty(ty))?;
        }
        writeln!(self.text)?;
        Ok(())
    }

    fn prose(&mut self, docs: &Docs) -> Result<()> {
        if docs.contents.is_some() {
            writeln!(self.text, "{}\n", escaped(docs))?;
        }
        Ok(())
    }
}

fn name(interface: &Interface) -> &str {
    interface.name.as_deref().unwrap_or_default()
}

fn resource(function: &Function) -> Option<TypeId> {
    match function.kind {
        FunctionKind::Method(id) | FunctionKind::Static(id) | FunctionKind::Constructor(id) => {
            Some(id)
        }
        _ => None,
    }
}

/// Doc comments hold Markdown, and angle brackets that are none of HTML's.
fn escaped(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default();
    text.trim().replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    fn rendered() -> String {
        render(&Contract::read(&root().join(CONTRACT)).unwrap()).unwrap()
    }

    #[test]
    fn the_reference_is_that_of_the_contract() {
        let there = fs::read_to_string(root().join(REFERENCE)).unwrap_or_default();
        assert!(
            there == rendered(),
            "{REFERENCE} is not that of wit/: `cargo xtask wit-reference` writes it anew"
        );
    }

    #[test]
    fn each_name_that_is_linked_is_there() {
        let text = rendered();
        let links = text.split("href=\"#").chain(text.split("](#")).skip(1);
        let mut count = 0;
        for link in links.filter_map(|rest| rest.split(['"', ')']).next()) {
            if !link.starts_with('#') {
                assert!(text.contains(&format!("<a id=\"{link}\"></a>")), "{link}");
                count += 1;
            }
        }
        assert!(count > 50, "{count} links");
    }

    #[test]
    fn functions_fields_cases_and_docs_are_there() {
        let text = rendered();
        for words in [
            "<code>remove: func(names: list&lt;string&gt;) -&gt; result&lt;_, <a href=\"#types.failure\">failure</a>&gt;</code>",
            "<code>open: static func(account: <a href=\"#types.account\">account</a>) -&gt; result&lt;<a href=\"#store.maildrop\">maildrop</a>, ",
            "| `scram-sha256` |  | SCRAM-SHA-256, likewise. |",
            "| `temporary` | <code>string</code> | [SYS/TEMP]: trying again later may help. |",
            "| `user` | <code>option&lt;string&gt;</code> | As the client gave it; OAUTHBEARER may leave it out. |",
            "<a id=\"filter.screen\"></a>",
        ] {
            assert!(text.contains(words), "{words}");
        }
    }
}
