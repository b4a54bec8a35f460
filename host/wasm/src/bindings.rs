//! What `wasmtime` makes of the contract in wit/. Nothing is written by hand here.

#![allow(missing_docs, unreachable_pub)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "restante:plugin/every-role",
    imports: {
        "restante:plugin/files": async | trappable,
        "restante:plugin/passwords": async | trappable,
        "restante:plugin/maildrop": async | trappable,
        "restante:plugin/database": async | trappable,
        "restante:plugin/mail-index": async | trappable,
        "restante:plugin/blobs": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "restante:plugin/maildrop.message": crate::instance::lent::MessageEntry,
        "restante:plugin/maildrop.view": crate::instance::lent::ViewEntry,
    },
});
