//! Types and functions of the contract as WIT writes them.

use wit_parser::{Function, FunctionKind, Handle, Resolve, Type, TypeDef, TypeDefKind, TypeId};

/// Writes types; `name` says how one that has a name is written.
pub(super) struct Words<'a> {
    pub(super) resolve: &'a Resolve,
    pub(super) name: &'a dyn Fn(TypeId) -> String,
    /// What stands for "<" and ">".
    pub(super) angles: (&'a str, &'a str),
}

impl Words<'_> {
    /// `read: func(limit: u32) -> list<u8>`, without the resource that a method is of.
    pub(super) fn function(&self, function: &Function) -> String {
        let is_method = matches!(function.kind, FunctionKind::Method(_));
        let params = function.params.iter().skip(usize::from(is_method));
        let params: Vec<String> = params
            .map(|param| format!("{}: {}", param.name, self.ty(&param.ty)))
            .collect();
        let keyword = match function.kind {
            FunctionKind::Static(_) => "static func",
            _ => "func",
        };
        let result = function
            .result
            .as_ref()
            .map(|result| format!(" -{} {}", self.angles.1, self.ty(result)));
        format!(
            "{}: {keyword}({}){}",
            short_name(function),
            params.join(", "),
            result.unwrap_or_default()
        )
    }

    pub(super) fn ty(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "bool".to_owned(),
            Type::U8 => "u8".to_owned(),
            Type::U16 => "u16".to_owned(),
            Type::U32 => "u32".to_owned(),
            Type::U64 => "u64".to_owned(),
            Type::S8 => "s8".to_owned(),
            Type::S16 => "s16".to_owned(),
            Type::S32 => "s32".to_owned(),
            Type::S64 => "s64".to_owned(),
            Type::F32 => "f32".to_owned(),
            Type::F64 => "f64".to_owned(),
            Type::Char => "char".to_owned(),
            Type::String => "string".to_owned(),
            Type::ErrorContext => "error-context".to_owned(),
            Type::Id(id) => self.id(*id),
        }
    }

    fn id(&self, id: TypeId) -> String {
        let definition = &self.resolve.types[id];
        match definition.name {
            Some(_) => (self.name)(id),
            None => self.anonymous(definition),
        }
    }

    fn anonymous(&self, definition: &TypeDef) -> String {
        match &definition.kind {
            TypeDefKind::Handle(Handle::Own(resource)) => self.id(*resource),
            TypeDefKind::Handle(Handle::Borrow(resource)) => {
                self.of("borrow", &[self.id(*resource)])
            }
            TypeDefKind::Tuple(tuple) => {
                let parts: Vec<String> = tuple.types.iter().map(|ty| self.ty(ty)).collect();
                self.of("tuple", &parts)
            }
            TypeDefKind::Option(ty) => self.of("option", &[self.ty(ty)]),
            TypeDefKind::List(ty) => self.of("list", &[self.ty(ty)]),
            TypeDefKind::Result(result) => {
                let part = |ty: &Option<Type>| ty.as_ref().map(|ty| self.ty(ty));
                match (part(&result.ok), part(&result.err)) {
                    (None, None) => "result".to_owned(),
                    (Some(ok), None) => self.of("result", &[ok]),
                    (ok, Some(err)) => self.of("result", &[ok.unwrap_or("_".to_owned()), err]),
                }
            }
            // The contract has none of the others; whoever brings one in sees it here.
            other => format!("({})", other.as_str()),
        }
    }

    fn of(&self, what: &str, parts: &[String]) -> String {
        let (open, close) = self.angles;
        format!("{what}{open}{}{close}", parts.join(", "))
    }
}

/// Without the resource that it belongs to.
pub(super) fn short_name(function: &Function) -> &str {
    let name = &function.name;
    name.rsplit_once('.').map_or(name, |(_, method)| method)
}

/// The type behind names that stand for another name: what `use` brings in.
pub(super) fn original(resolve: &Resolve, mut id: TypeId) -> TypeId {
    while let TypeDefKind::Type(Type::Id(other)) = resolve.types[id].kind {
        id = other;
    }
    id
}
