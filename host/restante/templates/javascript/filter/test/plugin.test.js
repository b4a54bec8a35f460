// npm test: the plugin without a server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { plugin } from "../src/filter.js";

const withSettings = (settings) => plugin({ get: (key) => settings[key] ?? null });
const ACCOUNT = { user: "alice", maildrop: "alice", attributes: [] };
const message = (header) => ({ header: () => Buffer.from(header, "latin1") });

const SPAM = "Subject: x\r\nx-spam-flag:\r\n yes\r\n\r\n";
const OTHERS = ["", "Subject: x\r\n\r\nX-Spam-Flag: YES\r\n", "no field\r\nX-Spam-Flag: \xff\r\n"];

test("what is marked is hidden", () => {
  const { filter, settings } = withSettings({ header: "X-Spam-Flag: YES" });
  settings.validate();
  assert.deepEqual(filter.screen(ACCOUNT, message(SPAM)), { tag: "hide" });
  for (const other of OTHERS) assert.deepEqual(filter.screen(ACCOUNT, message(other)), { tag: "show" });
});

test("or it is annotated", () => {
  const { filter } = withSettings({ header: "X-Spam-Flag: YES", annotate: "X-Notice: spam" });
  assert.deepEqual(filter.screen(ACCOUNT, message(SPAM)), { tag: "annotate", val: ["X-Notice: spam"] });
});

test("settings that cannot be are named", () => {
  const { settings } = withSettings({ header: "X-Spam-Flag", annotate: "X: a\r\nY: b" });
  assert.throws(() => settings.validate(), (problems) => problems.length === 2);
});
