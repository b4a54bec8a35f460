// What plugins for Restante in JavaScript have in common: what QuickJS lacks
// (UTF-8, base64), databases, accounts and refusals, header fields, listings, the
// mail index.
//
// It imports nothing, so that tests in Node.js can import it; restante-guest.d.ts
// says the types.

// Octets and text

/** The UTF-8 of a text; lone surrogates become U+FFFD. */
export function encodeUtf8(text) {
  const octets = [];
  for (const letter of text) {
    let code = letter.codePointAt(0);
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) octets.push(code);
    else if (code < 0x800) octets.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000)
      octets.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else
      octets.push(
        0xf0 | (code >> 18),
        0x80 | ((code >> 12) & 63),
        0x80 | ((code >> 6) & 63),
        0x80 | (code & 63),
      );
  }
  return Uint8Array.from(octets);
}

/** The text of UTF-8; each octet that is none becomes U+FFFD. */
export function decodeUtf8(octets) {
  const pieces = [];
  let piece = "";
  for (let at = 0; at < octets.length; ) {
    const { code, length } = codePoint(octets, at);
    piece += String.fromCodePoint(code);
    at += length;
    if (piece.length >= 4096) {
      pieces.push(piece);
      piece = "";
    }
  }
  pieces.push(piece);
  return pieces.join("");
}

function codePoint(octets, at) {
  const first = octets[at];
  if (first < 0x80) return { code: first, length: 1 };
  const length = first >= 0xc2 && first < 0xe0 ? 2 : (first & 0xf0) === 0xe0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  const wrong = { code: 0xfffd, length: 1 };
  if (length === 0 || at + length > octets.length) return wrong;
  let code = first & (0xff >> (length + 1));
  for (let next = at + 1; next < at + length; next += 1) {
    if ((octets[next] & 0xc0) !== 0x80) return wrong;
    code = (code << 6) | (octets[next] & 63);
  }
  const least = [0, 0, 0x80, 0x800, 0x10000][length];
  if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return wrong;
  return { code, length };
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Base64 with padding (RFC 4648 section 4). */
export function encodeBase64(octets) {
  let text = "";
  for (let at = 0; at < octets.length; at += 3) {
    const bits = (octets[at] << 16) | ((octets[at + 1] ?? 0) << 8) | (octets[at + 2] ?? 0);
    const letters = Math.min(octets.length - at, 3) + 1;
    for (let letter = 0; letter < 4; letter += 1)
      text += letter < letters ? BASE64[(bits >> (18 - 6 * letter)) & 63] : "=";
  }
  return text;
}

/** The octets of base64; throws a SyntaxError if it is none. Line ends are let be. */
export function decodeBase64(text) {
  const letters = text.replace(/[\r\n]/g, "");
  const wrong = () => new SyntaxError("this is no base64");
  if (letters.length % 4 !== 0) throw wrong();
  const end = letters.endsWith("==") ? 2 : letters.endsWith("=") ? 1 : 0;
  const octets = [];
  for (let at = 0; at < letters.length; at += 4) {
    let bits = 0;
    for (let letter = 0; letter < 4; letter += 1) {
      const padding = at + letter >= letters.length - end;
      const value = padding ? 0 : BASE64.indexOf(letters[at + letter]);
      if (value < 0) throw wrong();
      bits = (bits << 6) | value;
    }
    octets.push((bits >> 16) & 255, (bits >> 8) & 255, bits & 255);
  }
  return Uint8Array.from(octets.slice(0, octets.length - end));
}

// Settings

/** The elements of a setting that is an array: they arrive one a line. */
export function lines(setting) {
  return (setting ?? "").split("\n").filter((line) => line !== "");
}

// Databases: what query and change of restante:plugin/database take and return, as in
// `rows(query("users", statement("SELECT hash FROM users WHERE name = $1", name)))`

/**
 * A statement of SQL with $1, $2, … for the parameters. Its text stays the same from call
 * to call, and what a client gave is only in parameters. A number has to be an integer;
 * where integers are BigInt (filters), a parameter is a BigInt too.
 */
export function statement(text, ...parameters) {
  return { text, parameters: parameters.map(value) };
}

function value(parameter) {
  if (parameter === null || parameter === undefined) return { tag: "null" };
  if (typeof parameter === "bigint" || Number.isSafeInteger(parameter))
    return { tag: "integer", val: parameter };
  if (typeof parameter === "string") return { tag: "text", val: parameter };
  if (parameter instanceof Uint8Array) return { tag: "octets", val: parameter };
  throw new TypeError("a parameter is null, an integer, a string or a Uint8Array");
}

/**
 * The rows of an answer, by the names of their columns; of columns with one name the
 * first counts. An integer is a number where a number holds it, and else a BigInt.
 */
export function rows(answer) {
  const count = Number(answer.rows);
  const columns = new Map();
  for (const column of answer.columns)
    if (!columns.has(column.name)) columns.set(column.name, cells(column, count));
  if (columns.size === 0) return [];
  return Array.from({ length: count }, (_, row) =>
    Object.fromEntries(Array.from(columns, ([name, values]) => [name, values[row]])),
  );
}

function cells({ name, values: { tag, val }, nulls }, count) {
  let all;
  if (tag === "integers") all = Array.from(val, integer);
  else if (tag === "texts") all = unpack(val);
  else all = Array.from(val[1], (end, row) => val[0].slice(row === 0 ? 0 : val[1][row - 1], end));
  if (all.length !== count)
    throw new RangeError(`column "${name}" has ${all.length} values in ${count} rows`);
  for (const row of nulls) all[row] = null;
  return all;
}

function integer(value) {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/**
 * For tests: the answer of a database that has these rows, all with the names of the
 * first.
 */
export function fakeAnswer(rows) {
  const names = Object.keys(rows[0] ?? {});
  const columns = names.map((name) => {
    const values = rows.map((row) => row[name] ?? null);
    const nulls = [...values.keys()].filter((row) => values[row] === null);
    return { name, values: packed(values), nulls };
  });
  return { rows: rows.length, columns };
}

function packed(values) {
  const first = values.find((value) => value !== null);
  if (typeof first === "number" || typeof first === "bigint")
    return { tag: "integers", val: values.map((value) => value ?? 0) };
  if (!(first instanceof Uint8Array))
    return { tag: "texts", val: pack(values.map((value) => value ?? "")) };
  const octets = [];
  const ends = values.map((value) => octets.push(...(value ?? [])));
  return { tag: "octets", val: [Uint8Array.from(octets), ends] };
}

// Who it is. Denials are thrown: `throw rejected()`.

/** Who logged in; the maildrop is called like the user, unless it is named. */
export function account(user, maildrop = user, attributes = {}) {
  return { user, maildrop, attributes: Object.entries(attributes) };
}

/**
 * User and password of somebody who logs in with one, and as nobody else; undefined
 * for every other kind of credentials.
 */
export function password(credentials) {
  if (credentials.tag !== "password") return undefined;
  const { user, secret, actingAs } = credentials.val;
  return (actingAs ?? user) === user ? { user, secret } : undefined;
}

/** Not a user of mine: the next authenticator of the tenant is asked. */
export const unknown = () => ({ tag: "unknown" });

/** The credentials are wrong, and nobody else is asked. */
export const rejected = () => ({ tag: "rejected" });

/** An authenticator's way to pass on a failure: `throw undecided(temporary("…"))`. */
export const undecided = (failure) => ({ tag: "failed", val: failure });

// Why a call could not be served, thrown too. The texts are for the client.

/** [SYS/TEMP]: trying again later may help. */
export const temporary = (text) => ({ tag: "temporary", val: text });

/** [SYS/PERM]: it will fail until somebody acts. */
export const permanent = (text) => ({ tag: "permanent", val: text });

/** [IN-USE]: somebody else holds the maildrop. */
export const inUse = (text) => ({ tag: "in-use", val: text });

/** [LOGIN-DELAY]: seconds until the next login is welcome. */
export const loginDelay = (seconds) => ({ tag: "login-delay", val: seconds });

/** What a function of the host threw: the error that the contract says. */
export function thrown(error) {
  return error !== null && typeof error === "object" && "payload" in error ? error.payload : error;
}

// Messages

/**
 * Names and values of a header section (RFC 5322 section 2.2), in their order. Values
 * are unfolded. The section ends at the first empty line; lines that are neither a
 * field nor the continuation of one are passed over.
 */
export function headerFields(header) {
  const fields = [];
  let inside = false;
  for (const whole of decodeUtf8(header).split("\n")) {
    const line = whole.endsWith("\r") ? whole.slice(0, -1) : whole;
    if (line === "") break;
    if (line[0] === " " || line[0] === "\t") {
      const field = fields.at(-1);
      if (inside) field.value = words(`${field.value} ${line}`);
      continue;
    }
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).replace(/[ \t]+$/, "");
    inside = /^[!-9;-~]+$/.test(name);
    if (inside) fields.push({ name, value: words(line.slice(colon + 1)) });
  }
  return fields;
}

const words = (text) => text.split(/[ \t\r\f\v]+/).filter((word) => word !== "").join(" ");

// Listings

/** Texts in one, each with a NUL behind it, as the contract has them. */
export function pack(texts) {
  if (texts.some((text) => text.includes("\0")))
    throw new RangeError("a text that is packed cannot have a NUL in it");
  return texts.map((text) => `${text}\0`).join("");
}

/** The texts of one in which each has a NUL behind it. */
export function unpack(packed) {
  return packed.split("\0").slice(0, -1);
}

/** A maildrop's messages, oldest first, one `push` for each. */
export class Listing {
  #uniqueIds = [];
  #octets = [];
  #received = [];
  #names = [];
  #surrogates = [];

  /**
   * The next message: its unique-id (1 to 70 octets of 0x21..0x7E, never reused), its
   * octets with CRLF line ends, when it came in seconds since the Unix epoch (0: not
   * known), what `content` and `remove` get back (without it the unique-id), and the
   * octets of its surrogate as files.measure says them.
   */
  push({ uniqueId, octets, received = 0, name = uniqueId, surrogate = octets }) {
    if (surrogate !== octets) this.#surrogates.push({ position: this.#octets.length, octets: surrogate });
    this.#uniqueIds.push(uniqueId);
    this.#octets.push(octets);
    this.#received.push(received);
    this.#names.push(name);
  }

  get length() {
    return this.#octets.length;
  }

  /** The listing as `maildrop.listing` returns it. */
  columns(memo = undefined) {
    return {
      uniqueIds: pack(this.#uniqueIds),
      octets: this.#octets,
      received: this.#received,
      names: pack(this.#names),
      surrogates: this.#surrogates,
      memo,
    };
  }
}

// The mail index: what read of restante:plugin/mail-index returns, and changes as `came`.

/**
 * The messages of a folder, oldest first, and those of one second as they came: what a
 * `Listing` takes with `push`, and the path of the octets, which are under `/blobs/`.
 * `remove` takes unique-ids, so most stores push a name that has both.
 */
export function entries(columns) {
  const { octets, received } = columns;
  const [uniqueIds, names] = [unpack(columns.uniqueIds), unpack(columns.names)];
  const lengths = [uniqueIds, names, octets, received].map((column) => column.length);
  if (lengths.some((length) => length !== lengths[0]))
    throw new RangeError(`columns of different length: ${lengths}`);
  const surrogates = new Map(columns.surrogates);
  const all = uniqueIds.map((uniqueId, position) => ({
    uniqueId,
    octets: Number(octets[position]),
    received: Number(received[position]),
    name: names[position],
    path: names[position].split(" ", 1)[0],
    surrogate: Number(surrogates.get(position) ?? octets[position]),
  }));
  return all.sort((one, other) => one.received - other.received);
}

// Octets of the messages in the index, with `read` of restante:plugin/blobs.

const BLOBS = "/blobs/";
const MAX_OCTETS = 1 << 20;

/**
 * The octets of a message, by the path of its entry; undefined: nothing is under this path. A
 * message can have as many octets as the plugin has memory, or more: `read` itself returns
 * part of one. Throws what `read` throws.
 */
export function wholeBlob(read, path) {
  const parts = [];
  let length = 0;
  for (;;) {
    const part = read(BLOBS + path, length, MAX_OCTETS) ?? undefined;
    if (part === undefined) {
      if (length > 0) throw new Error(`the message under ${path} was removed while it was read`);
      return undefined;
    }
    parts.push(part);
    length += part.length;
    if (part.length < MAX_OCTETS) break;
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * For tests: `read` of restante:plugin/blobs for a maildrop that has these octets, by the paths
 * of their entries.
 */
export function fakeBlobs(blobs) {
  const all = new Map(Object.entries(blobs));
  return (path, offset, length) => {
    if (!path.startsWith(BLOBS)) throw { tag: "invalid", val: `${path} does not begin with ${BLOBS}` };
    const from = Number(offset);
    return all.get(path.slice(BLOBS.length))?.slice(from, from + Math.min(length, MAX_OCTETS));
  };
}
