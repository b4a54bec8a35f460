// The header section of a message (RFC 5322): octets to fields, unfolded, with
// encoded-words (RFC 2047) as the text that they stand for.

/** Octets of one field that are looked at: a pattern over more would take its time. */
export const FIELD_OCTETS = 8192;

/**
 * The fields of a header section, as `{ name, value }`: the name in lower case, the
 * value decoded, with single blanks between its words.
 */
export function* fields(octets) {
  let name = "";
  let parts = [];
  for (const line of lines(octets)) {
    if (line.length === 0) break;
    if (line[0] === 0x20 || line[0] === 0x09) {
      parts.push(line);
      continue;
    }
    if (name !== "") yield field(name, parts);
    const colon = line.indexOf(0x3a);
    // A line that is no field hides nothing that comes behind it.
    name = colon > 0 ? latin1(line.subarray(0, colon)).trimEnd().toLowerCase() : "";
    parts = [line.subarray(colon + 1)];
  }
  if (name !== "") yield field(name, parts);
}

function* lines(octets) {
  let start = 0;
  while (start < octets.length) {
    let end = octets.indexOf(0x0a, start);
    if (end < 0) end = octets.length;
    const stop = end > start && octets[end - 1] === 0x0d ? end - 1 : end;
    yield octets.subarray(start, stop);
    start = end + 1;
  }
}

function field(name, parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const octets = new Uint8Array(Math.min(length, FIELD_OCTETS));
  let at = 0;
  for (const part of parts) {
    const room = part.subarray(0, octets.length - at);
    octets.set(room, at);
    at += room.length;
  }
  const value = decodeWords(text(octets)).replace(/\s+/g, " ").trim();
  return { name, value };
}

/** UTF-8 (RFC 6532); what is not was written before there were charsets. */
function text(octets) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(octets);
  } catch {
    return latin1(octets);
  }
}

function latin1(octets) {
  let out = "";
  for (const octet of octets) out += String.fromCharCode(octet);
  return out;
}

// encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?="
// (RFC 2047 section 2, RFC 2231 section 5)
const WORD = /=\?([^?*\s]+)(?:\*[^?\s]*)?\?([BbQq])\?([^?\s]*)\?=/g;

/** Text with its encoded-words decoded. What cannot be decoded stays as it is. */
export function decodeWords(value) {
  let out = "";
  let end = 0;
  // Neighbours of one charset are decoded together: many mail programs cut their
  // words in the middle of a letter.
  let pending = null;
  const flush = () => {
    if (pending !== null) out += pending.decoded();
    pending = null;
  };
  for (const match of value.matchAll(WORD)) {
    const between = value.slice(end, match.index);
    const word = encodedWord(match);
    // Blanks between encoded-words do not count (RFC 2047 section 6.2).
    const isNeighbour = pending !== null && /^\s*$/.test(between);
    if (isNeighbour && pending.charset === word.charset) {
      pending.join(word);
    } else {
      flush();
      if (!isNeighbour) out += between;
      pending = word;
    }
    end = match.index + match[0].length;
  }
  flush();
  return out + value.slice(end);
}

function encodedWord([written, charset, encoding, encoded]) {
  const octets = encoding.toUpperCase() === "B" ? base64(encoded) : quoted(encoded);
  return {
    charset: charset.toLowerCase(),
    written,
    octets,
    join(other) {
      this.written += ` ${other.written}`;
      if (this.octets === null || other.octets === null) this.octets = null;
      else this.octets = Uint8Array.from([...this.octets, ...other.octets]);
    },
    decoded() {
      if (this.octets === null) return this.written;
      try {
        return new TextDecoder(this.charset).decode(this.octets);
      } catch {
        // A charset that nobody knows.
        return this.written;
      }
    },
  };
}

function base64(encoded) {
  try {
    return Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
}

/** The "Q" encoding (RFC 2047 section 4.2). */
function quoted(encoded) {
  const octets = [];
  for (let at = 0; at < encoded.length; at += 1) {
    const letter = encoded[at];
    const digits = encoded.slice(at + 1, at + 3);
    if (letter === "=" && /^[0-9A-Fa-f]{2}$/.test(digits)) {
      octets.push(Number.parseInt(digits, 16));
      at += 2;
    } else if (encoded.charCodeAt(at) > 0x7e) {
      return null;
    } else {
      octets.push(letter === "_" ? 0x20 : encoded.charCodeAt(at));
    }
  }
  return Uint8Array.from(octets);
}

/** The addresses of a From, To or the like, without names and comments. */
export function addresses(value) {
  // Names in quotes and comments may hold what looks like an address.
  const plain = value.replace(/"(?:[^"\\]|\\.)*"(?!@)/g, " ").replace(/\((?:[^()\\]|\\.)*\)/g, " ");
  const found = [];
  for (const mailbox of plain.split(/[,;]/)) {
    const angle = /<([^<>]*)>/.exec(mailbox);
    const address = angle === null ? (/\S+@\S+/.exec(mailbox)?.[0] ?? "") : angle[1];
    if (address.trim() !== "") found.push(address.trim());
  }
  return found;
}
