// The modules that a plugin imports from the host, by the names in its wit/plugin.wit.

declare module "wasi:config/store@0.2.0-rc.1" {
  export const get: import("./contract.js").Config["get"];
  export const getAll: import("./contract.js").Config["getAll"];
}

declare module "wasi:logging/logging@0.1.0-draft" {
  export const log: import("./contract.js").Logging["log"];
}

declare module "wasi:filesystem/preopens@0.2.0" {
  export const getDirectories: import("./contract.js").Preopens["getDirectories"];
}

declare module "restante:plugin/passwords@0.1.1" {
  export const verify: import("./contract.js").Passwords["verify"];
  export const deriveScram: import("./contract.js").Passwords["deriveScram"];
  export const hash: import("./contract.js").Passwords["hash"];
}

declare module "restante:plugin/database@0.1.1" {
  export const query: import("./contract.js").Database["query"];
  export const change: import("./contract.js").Database["change"];
}

declare module "restante:plugin/mail-index@0.1.1" {
  export const state: import("./contract.js").MailIndex["state"];
  export const read: import("./contract.js").MailIndex["read"];
  export const changes: import("./contract.js").MailIndex["changes"];
  export const remove: import("./contract.js").MailIndex["remove"];
}

declare module "restante:plugin/blobs@0.1.1" {
  export const read: import("./contract.js").Blobs["read"];
}

declare module "restante:plugin/hold@0.1.1" {
  export const fence: import("./contract.js").Hold["fence"];
}

declare module "restante:plugin/files@0.1.1" {
  export const scan: import("./contract.js").Files["scan"];
  export const measure: import("./contract.js").Files["measure"];
  export const stat: import("./contract.js").Files["stat"];
  export const read: import("./contract.js").Files["read"];
}
