//! Which file of a crate knows which: files that know each other, however far
//! round, can be read and changed only together.
//!
//! A file knows another where its code (not its tests) names the other's module in
//! a path: `use crate::…`, `super::…`, or its own child's name. A name that a file
//! passes on (`pub use`) is that file's own to those who take it from there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, Meta, UseTree, VisRestricted};

use crate::cargo;

/// Files, by their modules, each of which knows all the others; `crate` is the root.
type Circle = BTreeSet<String>;

/// A crate, and files of it that know each other.
struct Known {
    krate: &'static str,
    files: &'static [&'static str],
    why: &'static str,
}

/// Files that may know each other, since what they hold is one thing. None so far. A
/// circle that is not listed fails the test, and so does one that is listed and gone.
const ONE_THING: &[Known] = &[];

/// The modules of a crate, and which files know which.
#[derive(Default)]
struct Files {
    /// Every module that is no test's, and the one whose file holds it.
    holders: BTreeMap<Vec<String>, Vec<String>>,
    sources: Vec<(Vec<String>, syn::File)>,
}

impl Files {
    fn read(root: &Path) -> Self {
        let mut files = Files::default();
        let folder = root.parent().expect("a file is in a folder");
        files.file(root, folder, Vec::new());
        files
    }

    /// Reads a module's file, whose children's files are in or below `folder`.
    fn file(&mut self, path: &Path, folder: &Path, module: Vec<String>) {
        let text = fs::read_to_string(path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let source = syn::parse_file(&text);
        let source = source.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.items(&source.items, folder, &module, &module);
        self.sources.push((module, source));
    }

    fn items(&mut self, items: &[Item], folder: &Path, module: &[String], holder: &[String]) {
        self.holders.insert(module.to_vec(), holder.to_vec());
        let modules = items.iter().filter_map(|item| match item {
            Item::Mod(module) if !is_test(&module.attrs) => Some(module),
            _ => None,
        });
        for child in modules {
            let name = child.ident.to_string();
            let inner = [module, std::slice::from_ref(&name)].concat();
            let folder_of_child = folder.join(&name);
            match &child.content {
                Some((_, items)) => self.items(items, &folder_of_child, &inner, holder),
                None => {
                    let path = file_of(child, folder);
                    self.file(&path, &folder_of_child, inner);
                }
            }
        }
    }

    /// The file that holds what this path leads to, as seen from `module`; None: it
    /// leads out of the crate, or to a name that came by a `use`.
    fn resolve(&self, path: &[String], module: &[String]) -> Option<&Vec<String>> {
        let mut at = module.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            child => {
                let inner = [module, &[child.to_owned()]].concat();
                if !self.holders.contains_key(&inner) {
                    return None;
                }
            }
        }
        for segment in rest {
            at.push(segment.clone());
            if !self.holders.contains_key(&at) {
                at.pop();
                break;
            }
        }
        self.holders.get(&at)
    }

    /// Which files each file knows.
    fn known(&self) -> BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> {
        let mut known = BTreeMap::new();
        for (holder, source) in &self.sources {
            let mut paths = Paths {
                module: holder.clone(),
                found: Vec::new(),
            };
            paths.visit_file(source);
            let others = paths.found.iter();
            let others = others.filter_map(|(path, module)| self.resolve(path, module));
            let others = others.filter(|other| *other != holder).collect();
            known.insert(holder, others);
        }
        known
    }

    /// Every circle, each file in one at most, and who knows whom in it.
    fn circles(&self) -> BTreeMap<Circle, String> {
        let known = self.known();
        let reached = |from| {
            let mut reached = BTreeSet::new();
            let mut open = vec![from];
            while let Some(file) = open.pop() {
                let others = known[file].iter().copied();
                open.extend(others.filter(|other| reached.insert(*other)));
            }
            reached
        };
        let reached: BTreeMap<_, _> = known.keys().map(|file| (*file, reached(*file))).collect();
        let mut circles: BTreeMap<Circle, String> = BTreeMap::new();
        for (file, all) in reached.iter().filter(|(file, all)| all.contains(*file)) {
            let both_ways = |other: &&&Vec<String>| reached[**other].contains(*file);
            let circle = all.iter().filter(both_ways).map(|other| name(other));
            let knows = known[*file]
                .iter()
                .filter(both_ways)
                .map(|other| name(other));
            let knows: Vec<String> = knows.collect();
            let line = format!("    {} knows {}\n", name(file), knows.join(", "));
            circles.entry(circle.collect()).or_default().push_str(&line);
        }
        circles
    }
}

fn name(module: &[String]) -> String {
    if module.is_empty() {
        return "crate".to_owned();
    }
    module.join("::")
}

fn file_of(module: &ItemMod, folder: &Path) -> PathBuf {
    let other = module.attrs.iter().any(|one| one.path().is_ident("path"));
    assert!(!other, "#[path] on {}: say where it leads", module.ident);
    let name = module.ident.to_string();
    let beside = folder.join(&name).with_extension("rs");
    if beside.exists() {
        return beside;
    }
    folder.join(name).join("mod.rs")
}

/// Whether only tests have it.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            let mut words = condition.split(|char: char| !char.is_alphanumeric() && char != '_');
            words.clone().any(|word| word == "test") && words.all(|word| word != "not")
        }
        _ => false,
    })
}

/// Every path in a file, and the module that it stands in.
struct Paths {
    module: Vec<String>,
    found: Vec<(Vec<String>, Vec<String>)>,
}

impl Paths {
    fn found(&mut self, path: Vec<String>) {
        self.found.push((path, self.module.clone()));
    }

    fn tree(&mut self, tree: &UseTree, before: &[String]) {
        match tree {
            UseTree::Path(path) => {
                let before = [before, &[path.ident.to_string()]].concat();
                self.tree(&path.tree, &before);
            }
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item, before)),
            UseTree::Name(name) => self.found([before, &[name.ident.to_string()]].concat()),
            UseTree::Rename(name) => self.found([before, &[name.ident.to_string()]].concat()),
            UseTree::Glob(_) => self.found(before.to_vec()),
        }
    }

    /// What is written in a macro is known as tokens only.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    self.tokens(group.stream());
                    colons = 0;
                }
                _ => {
                    self.end(&mut path);
                    colons = 0;
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.found(path);
        }
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item(&mut self, item: &'a Item) {
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Macro(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        self.tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments = path.segments.iter();
        let segments: Vec<String> = segments.map(|one| one.ident.to_string()).collect();
        if segments.len() > 1 {
            self.found(segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'a Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    /// Who may see something is nothing that is known of it.
    fn visit_vis_restricted(&mut self, _: &'a VisRestricted) {}
}

#[test]
fn no_circle_of_files_but_those_that_are_known() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let host = root.canonicalize().expect("the checkout").join("host");
    let metadata = cargo::metadata(&root).expect("what cargo knows");
    let crates = metadata.packages.iter();
    let crates = crates.filter(|package| package.manifest_path.as_std_path().starts_with(&host));
    let mut read = 0;
    let mut circles = BTreeMap::new();
    for package in crates {
        let targets = package.targets.iter();
        for target in targets.filter(|target| target.is_lib() || target.is_bin()) {
            let files = Files::read(target.src_path.as_std_path());
            read += files.sources.len();
            let of_crate = files.circles().into_iter();
            circles.extend(of_crate.map(|(circle, who)| ((package.name.to_string(), circle), who)));
        }
    }
    assert!(read > 150, "only {read} files were read");
    let mut known: BTreeSet<(String, Circle)> = ONE_THING
        .iter()
        .map(|known| {
            assert!(!known.why.is_empty(), "say why");
            let files = known.files.iter().map(|file| (*file).to_owned());
            (known.krate.to_owned(), files.collect())
        })
        .collect();
    let new = circles.iter().filter(|(circle, _)| !known.remove(circle));
    let new: Vec<String> = new
        .map(|((krate, circle), who)| format!("{krate}, {circle:?}:\n{who}"))
        .collect();
    assert!(
        new.is_empty(),
        "files that know each other, and no list here says so:\n{}",
        new.join("\n")
    );
    assert!(
        known.is_empty(),
        "listed, and no circle any more (strike it, or list what is left of it): {known:#?}"
    );
}

/// The finder itself: what it must see, and what it must not.
#[test]
fn a_circle_is_found_however_it_is_written() {
    let circles_of = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let circles = Files::read(&folder.path().join("lib.rs")).circles();
        let circles = circles
            .into_keys()
            .map(|circle| circle.into_iter().collect::<Vec<_>>());
        circles.map(|circle| circle.join(" ")).collect::<Vec<_>>()
    };
    let lib = ("lib.rs", "mod a;\nmod b;\n");
    let b = ("b.rs", "use crate::a::A;\npub struct B;");
    let found = vec!["a b".to_owned()];
    for a in [
        "use crate::b::B;",
        "use super::b::{self, B};",
        "use crate::{b::B};",
        "use crate::b::*;",
        "fn f() { crate::b::f(); }",
        "fn f(b: super::b::B) {}",
        "fn f() { println!(\"{}\", crate::b::f()); }",
        "mod inner { use super::super::b::B; }",
        "#[cfg(not(test))]\nuse crate::b::B;",
    ] {
        assert_eq!(circles_of(&[lib, b, ("a.rs", a)]), found, "{a}");
    }
    for a in [
        "pub struct A;",
        "//! [`B`](crate::b::B)\n",
        "use b::B;",
        "const B: &str = \"crate::b::B\";",
        "pub(in crate::b) struct A;",
        "#[cfg(test)]\nmod tests { use crate::b::B; }",
        "#[cfg(test)]\nmod tests;",
        "#[cfg(test)]\nuse crate::b::B;",
    ] {
        assert_eq!(circles_of(&[lib, b, ("a.rs", a)]), [""; 0], "{a}");
    }
    // A parent and its child, by what is passed on and by what is called.
    for parent in ["mod c;\npub use c::C;", "mod c;\nfn f() { c::f(); }"] {
        let files = [
            ("lib.rs", "mod a;"),
            ("a.rs", parent),
            ("a/c.rs", "use super::A;"),
        ];
        assert_eq!(circles_of(&files), ["a a::c"], "{parent}");
    }
    // A name that the root passes on is the root's.
    let files = [
        ("lib.rs", "mod a;\npub use a::A;"),
        ("a.rs", "use crate::A;"),
    ];
    assert_eq!(circles_of(&files), ["a crate"]);
}
