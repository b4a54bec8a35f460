// The contract restante:plugin 0.1.1 (wit/) as QuickJS components see it. What the
// contract calls none is null where the host says it, and null or undefined where the
// plugin does. Results that fail are thrown. A u64 is a number.

export type None = null | undefined;

// types

export interface Connection {
  session: string;
  tenant: string;
  listener: string;
  /** An IP address; "::" where it is not known. */
  clientAddress: string;
  /** 0 where the address is not known. */
  clientPort: number;
  tls?: Tls | null;
}

export interface Tls {
  version: string;
  cipher: string;
  serverName?: string | null;
  clientCertificate?: Uint8Array | null;
}

export interface Account {
  user: string;
  maildrop: string;
  attributes: [string, string][];
}

export type Failure =
  | { tag: "temporary"; val: string }
  | { tag: "permanent"; val: string }
  | { tag: "in-use"; val: string }
  | { tag: "login-delay"; val: number }
  | { tag: "other"; val: [string, string] };

export type Denial = { tag: "unknown" } | { tag: "rejected" } | { tag: "failed"; val: Failure };

// authenticator, accepts, scram

export interface Password {
  user: string;
  actingAs?: string | null;
  secret: string;
}

export type Credentials =
  | { tag: "password"; val: Password }
  | {
      tag: "digest";
      val: { user: string; algorithm: "md5" | "hmac-md5"; challenge: string; response: string };
    }
  | { tag: "bearer"; val: { user?: string | null; token: string } }
  | { tag: "certificate"; val: { actingAs?: string | null; der: Uint8Array } };

export interface Authenticator {
  /** Throws a Denial. */
  authenticate(connection: Connection, credentials: Credentials): Account;
}

export interface Kinds {
  password?: boolean;
  digest?: boolean;
  bearer?: boolean;
  certificate?: boolean;
  scramSha1?: boolean;
  scramSha256?: boolean;
}

export interface Accepts {
  accepts(): Kinds;
}

export interface ScramKeys {
  salt: Uint8Array;
  iterations: number;
  storedKey: Uint8Array;
  serverKey: Uint8Array;
}

export interface Scram {
  /** Throws a Denial. */
  lookup(
    connection: Connection,
    user: string,
    actingAs: string | None,
    hash: "sha1" | "sha256",
  ): ScramKeys & { account: Account | None };
}

// store

export interface Listing {
  uniqueIds: string;
  octets: number[];
  received: number[];
  names: string;
  surrogates: { position: number; octets: number }[];
  memo: string | None;
}

export interface Changes {
  gone: string;
  came: Listing;
}

export interface Reader {
  /** Throws a Failure. */
  read(limit: number): Uint8Array;
}

export type Content =
  | { tag: "inline"; val: Uint8Array }
  | { tag: "file"; val: { path: string; offset: number; length: number | None } }
  | { tag: "reader"; val: Reader };

/** Each method throws a Failure. */
export interface Maildrop {
  stamp(): string | None;
  listing(): Listing;
  changes(memo: string): Changes | None;
  content(name: string): Content;
  remove(names: string[]): void;
}

export interface Store {
  Maildrop: { open(account: Account): Maildrop };
}

// filter, selector, admission, settings

export interface Message {
  uniqueId(): string;
  octets(): number | bigint;
  received(): number | bigint;
  /** Throws a Failure. */
  header(): Uint8Array;
  /** Throws a Failure. */
  read(offset: number | bigint, length: number): Uint8Array;
}

export type FilterVerdict = { tag: "show" } | { tag: "hide" } | { tag: "annotate"; val: string[] };

export interface Filter {
  /** Throws a Failure. */
  screen(account: Account, message: Message): FilterVerdict;
}

export interface View {
  count(): number;
  uniqueIds(start: number, length: number): string[];
  octets(start: number, length: number): ArrayLike<number | bigint>;
  received(start: number, length: number): ArrayLike<number | bigint>;
}

export interface Selector {
  /** Throws a Failure. */
  select(connection: Connection, account: Account, view: View): { start: number; length: number }[];
}

export type AdmissionVerdict = { tag: "admit" } | { tag: "delay"; val: number } | { tag: "deny"; val: string };

export interface Admission {
  admit(connection: Connection): AdmissionVerdict;
}

export interface Settings {
  /** Throws the problems, one line for each. */
  validate(): void;
}

// What the host has for every plugin

/** wasi:config/store */
export interface Config {
  get(key: string): string | null;
  getAll(): [string, string][];
}

/** wasi:logging/logging */
export interface Logging {
  log(level: "trace" | "debug" | "info" | "warn" | "error" | "critical", context: string, message: string): void;
}

export type HashScheme = "argon2id" | "scrypt" | "bcrypt" | "sha512-crypt" | "scram-sha256" | "scram-sha1";

export interface Passwords {
  /** Throws why the hash cannot be checked. */
  verify(hash: string, secret: string): boolean;
  /** Throws why there are none. */
  deriveScram(user: string, secret: string, hash: "sha1" | "sha256"): ScramKeys;
  /** A new hash, which verify takes. Throws why there is none. */
  hash(secret: string, scheme: HashScheme): string;
}

export type Value =
  | { tag: "null" }
  | { tag: "integer"; val: number | bigint }
  | { tag: "text"; val: string }
  | { tag: "octets"; val: Uint8Array };

export interface Statement {
  /** With $1, $2, … in every dialect. */
  text: string;
  parameters: Value[];
}

/** One for each row. Texts have a NUL after each; octets are joined, with where each ends. */
export type Values =
  | { tag: "integers"; val: ArrayLike<number | bigint> }
  | { tag: "texts"; val: string }
  | { tag: "octets"; val: [Uint8Array, ArrayLike<number>] };

export interface Answer {
  /** Rows that the columns have, or rows changed where there are no columns. */
  rows: number | bigint;
  columns: { name: string; values: Values; nulls: ArrayLike<number> }[];
}

export type DatabaseProblem =
  | { tag: "unavailable"; val: string }
  | { tag: "refused"; val: { sqlstate: string; text: string } }
  | { tag: "too-large" };

/** Each function throws a DatabaseProblem. */
export interface Database {
  query(database: string, statement: Statement): Answer;
  change(database: string, statements: Statement[]): Answer[];
}

export interface Summary {
  /** Another one after each change; 0: nothing was ever in the folder. */
  version: number | bigint;
  messages: number | bigint;
  octets: number | bigint;
}

/** As they came, in columns of one length. A name begins with the path of the octets. */
export interface Entries {
  uniqueIds: string;
  octets: ArrayLike<number | bigint>;
  received: ArrayLike<number | bigint>;
  names: string;
  /** Positions from 0, ascending, and octets. */
  surrogates: [number, number | bigint][];
  version: number | bigint;
}

export type MailIndexProblem =
  | { tag: "unavailable"; val: string }
  | { tag: "unknown"; val: string }
  | { tag: "lost" }
  | { tag: "invalid"; val: string };

/** Each function throws a MailIndexProblem. The folder "" is the maildrop itself. */
export interface MailIndex {
  state(folder: string): Summary;
  read(folder: string): Entries;
  /** Absent: that is too long ago to tell. */
  changes(folder: string, version: number | bigint): { gone: string; came: Entries } | null | undefined;
  /** All of these or none. */
  remove(folder: string, uniqueIds: string[]): void;
}

/** Each function throws a MailIndexProblem. */
export interface Blobs {
  /** Of "/blobs/" and an entry's path; at most 1 MiB. Absent: nothing is under this path. */
  read(path: string, offset: number | bigint, length: number): Uint8Array | null | undefined;
}

export interface Hold {
  /** Absent: the hold is one in this server alone. */
  fence(): number | bigint | null | undefined;
}

export interface Status {
  kind: "file" | "directory" | "other";
  size: number;
  modified: number;
  created?: number | null;
  identity: number;
}

/** Each function throws what the operating system said. */
export interface Files {
  scan(directory: string): { names: string; identities: ArrayLike<number> };
  measure(path: string): { octets: number; surrogate: number; status: Status } | null;
  stat(path: string): Status | null;
  read(path: string, offset: number, length: number): { octets: Uint8Array; status: Status } | null;
}

/** wasi:filesystem/preopens, as much of it as a store needs; both methods throw an error code. */
export interface Descriptor {
  sync(): void;
  unlinkFileAt(path: string): void;
}

export interface Preopens {
  getDirectories(): [Descriptor, string][];
}
