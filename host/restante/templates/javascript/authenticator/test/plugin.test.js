// npm test: the plugin without a server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { plugin } from "../src/authenticator.js";

/** The plugin with these settings, and a host that knows {PLAIN} alone. */
const withSettings = (settings) =>
  plugin({
    get: (key) => settings[key] ?? null,
    log: () => {},
    verify: (hash, secret) => {
      if (!hash.startsWith("{PLAIN}")) throw "a hash that the test does not know";
      return hash === `{PLAIN}${secret}`;
    },
  });

const login = (user, secret, actingAs) => ({ tag: "password", val: { user, secret, actingAs } });

test("the right password logs in", () => {
  const { authenticator, settings } = withSettings({ users: "ann:{PLAIN}secret\nbob:{PLAIN}other\ncarol:x" });
  settings.validate();
  const asked = (...given) => authenticator.authenticate({}, login(...given));
  assert.equal(asked("bob", "other").user, "bob");
  assert.throws(() => asked("bob", "secret"), { tag: "rejected" });
  assert.throws(() => asked("dave", "secret"), { tag: "unknown" });
  assert.throws(() => asked("carol", "x"), { tag: "failed" });
  assert.throws(() => asked("ann", "secret", "bob"), { tag: "unknown" });
});

test("settings that cannot be are named", () => {
  const problems = (settings) => {
    try {
      withSettings(settings).settings.validate();
    } catch (problems) {
      return problems;
    }
    return [];
  };
  assert.deepEqual(problems({ users: "ann\nbob:{PLAIN}x\n:x" }).length, 2);
  assert.match(problems({})[0], /^users: /);
});
