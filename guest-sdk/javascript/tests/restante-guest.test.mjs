// node --test: what QuickJS lacks is held against what Node.js has.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as sdk from "../restante-guest.js";

test("UTF-8 is that of TextEncoder and TextDecoder", () => {
  for (const text of ["", "a", "ä€𝄞\0\n", "x".repeat(10000), "\ud800a", "ÿ\u{10ffff}"]) {
    const octets = new TextEncoder().encode(text);
    assert.deepEqual(sdk.encodeUtf8(text), octets);
    assert.equal(sdk.decodeUtf8(octets), new TextDecoder("utf-8", { ignoreBOM: true }).decode(octets));
  }
  for (const broken of [[0xff], [0xc0, 0x80], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80]]) {
    const text = sdk.decodeUtf8(Uint8Array.from([0x61, ...broken, 0x62]));
    assert.match(text, /^a\ufffd+b$/);
  }
});

test("base64 is that of Buffer", () => {
  for (const length of [0, 1, 2, 3, 4, 255]) {
    const octets = Uint8Array.from({ length }, (_, at) => (at * 7) % 256);
    const text = Buffer.from(octets).toString("base64");
    assert.equal(sdk.encodeBase64(octets), text);
    assert.deepEqual(sdk.decodeBase64(text), octets);
  }
  assert.deepEqual(sdk.decodeBase64("YW\r\nJj"), Uint8Array.from([97, 98, 99]));
  for (const wrong of ["YQ", "YQ=", "Y===", "Y Q=", "YQ==YQ==", "ä==="]) {
    assert.throws(() => sdk.decodeBase64(wrong), SyntaxError, wrong);
  }
});

test("a password is its owner's alone", () => {
  const login = (actingAs) => ({ tag: "password", val: { user: "ann", secret: "x", actingAs } });
  assert.deepEqual(sdk.password(login()), { user: "ann", secret: "x" });
  assert.deepEqual(sdk.password(login("ann")), { user: "ann", secret: "x" });
  assert.equal(sdk.password(login("bob")), undefined);
  assert.equal(sdk.password({ tag: "bearer", val: { token: "x" } }), undefined);
});

test("an account has a maildrop and pairs", () => {
  assert.deepEqual(sdk.account("ann"), { user: "ann", maildrop: "ann", attributes: [] });
  assert.deepEqual(sdk.account("ann", "all", { quota: "1" }).attributes, [["quota", "1"]]);
});

test("settings that are arrays are lines", () => {
  assert.deepEqual(sdk.lines("a\nb\n"), ["a", "b"]);
  assert.deepEqual(sdk.lines(undefined), []);
});

test("a statement has the contract's values", () => {
  const octets = Uint8Array.from([0, 255]);
  assert.deepEqual(sdk.statement("SELECT 1"), { text: "SELECT 1", parameters: [] });
  assert.deepEqual(sdk.statement("x", null, undefined, -1, 2n ** 60n, "ann", octets).parameters, [
    { tag: "null" },
    { tag: "null" },
    { tag: "integer", val: -1 },
    { tag: "integer", val: 2n ** 60n },
    { tag: "text", val: "ann" },
    { tag: "octets", val: octets },
  ]);
  for (const wrong of [1.5, 2 ** 60, true, ["ann"], {}])
    assert.throws(() => sdk.statement("x", wrong), TypeError);
});

test("rows are objects", () => {
  const answer = {
    rows: 3n,
    columns: [
      { name: "id", values: { tag: "integers", val: BigInt64Array.from([7n, 0n, 2n ** 60n]) }, nulls: [1] },
      { name: "name", values: { tag: "texts", val: "ann\0\0\0" }, nulls: Uint32Array.from([2]) },
      { name: "key", values: { tag: "octets", val: [Uint8Array.from([1, 2, 3]), [2, 2, 3]] }, nulls: [] },
      { name: "id", values: { tag: "integers", val: [0, 0, 0] }, nulls: [] },
    ],
  };
  assert.deepEqual(sdk.rows(answer), [
    { id: 7, name: "ann", key: Uint8Array.from([1, 2]) },
    { id: null, name: "", key: Uint8Array.from([]) },
    { id: 2n ** 60n, name: null, key: Uint8Array.from([3]) },
  ]);
  assert.deepEqual(sdk.rows({ rows: 5, columns: [] }), []);
});

test("a fake answer has the rows that it is made of", () => {
  for (const rows of [
    [],
    [{ id: 1, name: "ann", key: Uint8Array.from([1]), none: null }],
    [
      { id: null, name: null, key: null },
      { id: 2, name: "", key: Uint8Array.from([]) },
      { id: 3, name: "bob", key: Uint8Array.from([1, 2]) },
    ],
  ])
    assert.deepEqual(sdk.rows(sdk.fakeAnswer(rows)), rows);
});

test("malformed answers are refused", () => {
  for (const values of [
    { tag: "integers", val: [1] },
    { tag: "texts", val: "a\0b" },
    { tag: "octets", val: [Uint8Array.from([1]), [1]] },
  ])
    assert.throws(() => sdk.rows({ rows: 2, columns: [{ name: "x", values, nulls: [] }] }), RangeError);
});

test("header fields are unfolded and the body is left alone", () => {
  const header = "Subject: a\r\n folded\r\n\t subject \r\nX-Spam-Flag:YES\r\n\r\nBody: no\r\n";
  assert.deepEqual(sdk.headerFields(sdk.encodeUtf8(header)), [
    { name: "Subject", value: "a folded subject" },
    { name: "X-Spam-Flag", value: "YES" },
  ]);
});

test("broken headers lose only what is broken", () => {
  const header = " orphan: line\nFrom me Mon Jan 1\n folded: from\nno colon\n: empty\nA b: c\nOld : style\nä: b\nLast:";
  assert.deepEqual(sdk.headerFields(sdk.encodeUtf8(header)), [
    { name: "Old", value: "style" },
    { name: "Last", value: "" },
  ]);
  assert.deepEqual(sdk.headerFields(Uint8Array.of(0x41, 0x3a, 0xff)), [{ name: "A", value: "\ufffd" }]);
  assert.deepEqual(sdk.headerFields(new Uint8Array()), []);
});

test("each packed text has a NUL behind it", () => {
  for (const texts of [[], [""], ["a", "", "bc"]]) assert.deepEqual(sdk.unpack(sdk.pack(texts)), texts);
  assert.equal(sdk.pack(["a", "b"]), "a\0b\0");
  assert.throws(() => sdk.pack(["a\0b"]), RangeError);
});

test("a listing has columns of one length", () => {
  const listing = new sdk.Listing();
  listing.push({ uniqueId: "u1", octets: 10, received: 5, name: "one.eml", surrogate: 12 });
  listing.push({ uniqueId: "u2", octets: 20 });
  assert.equal(listing.length, 2);
  assert.deepEqual(listing.columns("memo"), {
    uniqueIds: "u1\0u2\0",
    octets: [10, 20],
    received: [5, 0],
    names: "one.eml\0u2\0",
    surrogates: [{ position: 0, octets: 12 }],
    memo: "memo",
  });
});

test("entries of the mail index are oldest first, and as they came in one second", () => {
  const columns = {
    uniqueIds: "a\0b\0c\0",
    octets: BigUint64Array.of(1n, 2n, 3n),
    received: [20, 10, 20],
    names: "A note of it\0x/B\0C\0",
    surrogates: [[2, 33n]],
    version: 7n,
  };
  assert.deepEqual(sdk.entries(columns), [
    { uniqueId: "b", octets: 2, received: 10, name: "x/B", path: "x/B", surrogate: 2 },
    { uniqueId: "a", octets: 1, received: 20, name: "A note of it", path: "A", surrogate: 1 },
    { uniqueId: "c", octets: 3, received: 20, name: "C", path: "C", surrogate: 33 },
  ]);
  const listing = new sdk.Listing();
  for (const entry of sdk.entries(columns)) listing.push({ ...entry, name: `${entry.uniqueId} ${entry.path}` });
  assert.deepEqual(listing.columns(String(columns.version)), {
    uniqueIds: "b\0a\0c\0",
    octets: [2, 1, 3],
    received: [10, 20, 20],
    names: "b x/B\0a A\0c C\0",
    surrogates: [{ position: 2, octets: 33 }],
    memo: "7",
  });
  assert.throws(() => sdk.entries({ ...columns, names: "A\0" }), RangeError);
});

test("a message is read whole in parts", () => {
  const part = 1 << 20;
  const filled = (length, octet) => new Uint8Array(length).fill(octet);
  const blobs = { none: filled(0), "x/1": filled(4, 1), part: filled(part, 2), parts: filled(2 * part + 5, 3) };
  const read = sdk.fakeBlobs(blobs);
  for (const [path, octets] of Object.entries(blobs))
    assert.ok(Buffer.from(octets).equals(sdk.wholeBlob(read, path)), path);
  for (const path of ["y", "toString"]) assert.equal(sdk.wholeBlob(read, path), undefined);
  assert.deepEqual(read("/blobs/x/1", 3n, 9), Uint8Array.of(1));
  assert.equal(read("/blobs/x/1", 9, 9).length, 0);
  assert.equal(read("/blobs/parts", 0, 2 * part).length, part);
  assert.throws(() => read("x/1", 0, 9), { tag: "invalid" });
});

test("a message that goes while it is read does not end", () => {
  const parts = [new Uint8Array(1 << 20), null];
  assert.throws(() => sdk.wholeBlob(() => parts.shift(), "x"), /was removed/);
});

test("what a host threw is the contract's error", () => {
  assert.equal(sdk.thrown("no-entry"), "no-entry");
  assert.deepEqual(sdk.thrown(Object.assign(new Error(), { payload: sdk.temporary("x") })), sdk.temporary("x"));
});
