// npm test: the plugin without a server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { plugin } from "../src/store.js";

/** The plugin, and a host whose maildrop is a Map of names and octets; none: it does not exist. */
function withFiles(files) {
  const directory = {
    sync: () => {},
    unlinkFileAt: (name) => {
      if (!files.delete(name)) throw "no-entry";
    },
  };
  const { store } = plugin({
    getDirectories: () => [[directory, "/maildrop"]],
    log: () => {},
    measure: (name) => {
      const file = files.get(name);
      return file === undefined ? null : { octets: file.octets, surrogate: file.octets, status: { modified: file.age * 1e9 } };
    },
    scan: () => ({ names: [...files.keys()].sort().map((name) => `${name}\0`).join("") }),
    stat: () => (files === undefined ? null : { kind: "directory" }),
  });
  return store.Maildrop.open({ user: "alice", maildrop: "alice", attributes: [] });
}

test("files are messages until they are removed", () => {
  const files = new Map([
    ["b.eml", { octets: 21, age: 1 }],
    ["a.eml", { octets: 22, age: 2 }],
    ["c.eml", { octets: 23, age: 2 }],
    ["notes.txt", { octets: 1, age: 0 }],
    ["two words.eml", { octets: 1, age: 0 }],
  ]);
  const maildrop = withFiles(files);
  const { uniqueIds, octets, received } = maildrop.listing();
  assert.deepEqual({ uniqueIds, octets, received }, { uniqueIds: "b\0a\0c\0", octets: [21, 22, 23], received: [1, 2, 2] });
  assert.equal(maildrop.content("b.eml").val.path, "b.eml");

  maildrop.remove(["a.eml", "gone-already.eml"]);
  assert.equal(maildrop.listing().names, "b.eml\0c.eml\0");
});

test("an account without a directory has no messages", () => {
  assert.deepEqual(withFiles(undefined).listing().octets, []);
});
