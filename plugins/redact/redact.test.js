// Tests of header.js and rules.js: `node --test` in the plugin's folder.

import assert from "node:assert/strict";
import { test } from "node:test";
import { addresses, decodeWords, fields, FIELD_OCTETS } from "./header.js";
import { parse } from "./rules.js";

const octets = (text) => new TextEncoder().encode(text);
const read = (text) => [...fields(octets(text))].map(({ name, value }) => [name, value]);

test("fields are unfolded, and end at the blank line", () => {
  assert.deepEqual(read("Subject: one\r\n two\r\n\tthree\r\nX-Y:\r\n\r\nBody: no\r\n"), [
    ["subject", "one two three"],
    ["x-y", ""],
  ]);
  assert.deepEqual(read("A : b\nC: d"), [
    ["a", "b"],
    ["c", "d"],
  ]);
});

test("a line that is no field hides nothing behind it", () => {
  assert.deepEqual(read("From someone\n folded: too\nSubject: x\n"), [["subject", "x"]]);
  assert.deepEqual(read(": nameless\nSubject: x\n"), [["subject", "x"]]);
  assert.deepEqual(read(" folded: first\nSubject: x\n"), [["subject", "x"]]);
});

test("octets beyond ASCII are UTF-8, or what was there before it", () => {
  assert.deepEqual(read("Subject: Grüße\n"), [["subject", "Grüße"]]);
  const old = Uint8Array.from([...octets("Subject: Gr"), 0xfc, 0x0a]);
  assert.deepEqual([...fields(old)], [{ name: "subject", value: "Grü" }]);
});

test("a field is looked at as far as its limit", () => {
  const [[, value]] = read(`Subject: ${"x ".repeat(FIELD_OCTETS)}\nFrom: y\n`);
  assert.equal(value.length, FIELD_OCTETS - 1);
});

test("the encoded-words of RFC 2047 section 8", () => {
  for (const [written, meant] of [
    ["=?ISO-8859-1?Q?a?=", "a"],
    ["=?ISO-8859-1?Q?a?= b", "a b"],
    ["=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"],
    ["=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"],
    ["=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab"],
    ["=?ISO-8859-1?Q?a_b?=", "a b"],
    ["=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"],
    ["=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"],
    ["=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?=", "Keld Jørn Simonsen"],
    ["=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=", "If you can read this yo"],
  ]) {
    assert.equal(decodeWords(written), meant, written);
  }
});

test("words that are cut in a letter, in other charsets, in another language", () => {
  assert.equal(decodeWords("=?utf-8?Q?Gr=C3?= =?UTF-8?B?vMOfZQ==?="), "Grüße");
  assert.equal(decodeWords("=?iso-8859-2?Q?=B1?= =?koi8-r?B?0NLJ18XU?="), "ąпривет");
  assert.equal(decodeWords("=?us-ascii*de?q?ja?="), "ja");
});

test("what cannot be decoded stays as it is", () => {
  for (const written of ["=?x-nothing?Q?a?=", "=?utf-8?B?a?=", "=?utf-8?X?a?=", "=?utf-8?Q?a b?=", "=?utf-8?Q?a", "="]) {
    assert.equal(decodeWords(written), written);
  }
});

test("addresses are found without names and comments", () => {
  for (const [value, found] of [
    ["ada@example.org", ["ada@example.org"]],
    ["Ada <ada@example.org>, bob@example.org (Bob)", ["ada@example.org", "bob@example.org"]],
    ['"ceo@firm.example" <mallory@elsewhere.example>', ["mallory@elsewhere.example"]],
    ['"Lovelace, Ada \\"<x@y>\\"" <ada@example.org>', ["ada@example.org"]],
    ['"quoted local"@example.org', ['local"@example.org']],
    ["(ceo@firm.example) mallory@elsewhere.example", ["mallory@elsewhere.example"]],
    ["Team: ada@example.org, bob@example.org;", ["ada@example.org", "bob@example.org"]],
    ["undisclosed-recipients:;", []],
    ["", []],
  ]) {
    assert.deepEqual(addresses(value), found, value);
  }
});

const MESSAGE = [
  "From: =?utf-8?Q?Gro=C3=9Fe_Angebote?= <offers@news.example>",
  "To: ada@example.org",
  "Subject: [Offer] only",
  "  today",
  "X-Spam-Level: *****",
].join("\r\n");

function verdict(settings) {
  const { problems, screen } = parse(Object.entries(settings));
  assert.deepEqual(problems, []);
  return screen(() => fields(octets(MESSAGE)));
}

const hides = (rule) => verdict({ hide: rule }).tag === "hide";

test("globs fit the whole value, in any case", () => {
  for (const [rule, fits] of [
    ["a: Subject: [offer]*", true],
    ["a: subject: *ONLY TODAY", true],
    ["a: subject: *only   today", true],
    ["a: Subject: [offer]", false],
    ["a: Subject: ?offer?*", true],
    ["a: From: große angebote <*>", true],
    ["a: From.address: *@news.example", true],
    ["a: From.address: *angebote*", false],
    ["a: To,From.address: offers@*", true],
    ["a: Cc: *", false],
    ["a: X-Spam-Level: \\*\\*\\*\\*\\*", true],
    ["a: X-Spam-Level: \\*", false],
    ["a: Subject: .offer.*", false],
  ]) {
    assert.equal(hides(rule), fits, rule);
  }
});

test("regular expressions, and what does not fit", () => {
  for (const [rule, fits] of [
    ["a: Subject: /^\\[offer\\]/i", true],
    ["a: Subject: /^\\[offer\\]/", false],
    ["a: Subject: /today$/", true],
    ["a: From: /\\p{L}ße/u", true],
    ["a: From.address: !*@example.org", true],
    ["a: From.address: !*@news.example", false],
    ["a: List-Id: !*", true],
    ["a: To: !/ada/", false],
  ]) {
    assert.equal(hides(rule), fits, rule);
  }
});

test("show goes before hide, and hide before annotate", () => {
  const [show, hide] = ["us: To: *@example.org", "offers: Subject: [offer]*"];
  const annotate = "outside: From.address: !*@example.org\noffers: Subject: *offer*\nno: Cc: *";
  assert.deepEqual(verdict({ show, hide, annotate }), { tag: "show" });
  assert.deepEqual(verdict({ hide, annotate }), { tag: "hide" });
  assert.deepEqual(verdict({ annotate }), {
    tag: "annotate",
    val: ["X-Redact-Rule: outside", "X-Redact-Rule: offers"],
  });
  assert.deepEqual(verdict({ annotate, header: "X-Why" }).val, ["X-Why: outside", "X-Why: offers"]);
  assert.deepEqual(verdict({ annotate: "no: Cc: *" }), { tag: "show" });
});

test("without rules that change anything no header is read", () => {
  const { screen } = parse([["show", "a: To: *"]]);
  assert.deepEqual(screen(() => assert.fail("read")), { tag: "show" });
});

test("each problem names its key, and all are said at once", () => {
  for (const [settings, words] of [
    [{ hide: "Subject" }, 'hide: "Subject" is not'],
    [{ hide: "a: Subject" }, "is not"],
    [{ hide: "a b: Subject: *" }, "is not"],
    [{ show: "a: Sub ject: *" }, "show: "],
    [{ hide: "a: From.name: *" }, "names no header field"],
    [{ hide: "a: Subject:" }, "has no pattern"],
    [{ hide: "a: Subject: /(/" }, "regular expression"],
    [{ hide: "a: Subject: /a/g" }, "flags"],
    [{ annotate: "a: To: *", header: "X Y" }, "header: is no"],
    [{ header: "X-Y" }, "header: needs annotate"],
    [{ colour: "red" }, "colour: unknown setting"],
    [{ hide: "a: To: *\n".repeat(201) }, "201 rules"],
    [{ annotate: "a: To: *\n".repeat(33) }, "annotate: there are 33"],
  ]) {
    const { problems } = parse(Object.entries(settings));
    assert.equal(problems.length, 1, problems);
    assert.ok(problems[0].includes(words), `${problems[0]} lacks ${words}`);
  }
  assert.equal(parse([["hide", "a\nb"], ["x", "y"]]).problems.length, 3);
});
