// npm test: the plugin without a server.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Connection, Credentials } from "./contract.js";
import { plugin } from "./authenticator.js";

/** The plugin with these settings, and a host that knows {PLAIN} alone. */
const withSettings = (settings: Record<string, string>) =>
  plugin({
    get: (key) => settings[key] ?? null,
    log: () => {},
    verify: (hash, secret) => {
      if (!hash.startsWith("{PLAIN}")) throw "a hash that the test does not know";
      return hash === `{PLAIN}${secret}`;
    },
  });

const login = (user: string, secret: string, actingAs?: string): Credentials => ({
  tag: "password",
  val: { user, secret, actingAs: actingAs ?? null },
});

const CONNECTION: Connection = {
  session: "s1",
  tenant: "acme",
  listener: "pop3s",
  clientAddress: "192.0.2.1",
  clientPort: 40000,
};

test("the right password logs in", () => {
  const { authenticator, settings } = withSettings({ users: "ann:{PLAIN}secret\nbob:{PLAIN}other\ncarol:x" });
  settings.validate();
  const asked = (...given: Parameters<typeof login>) => authenticator.authenticate(CONNECTION, login(...given));
  assert.equal(asked("bob", "other").user, "bob");
  assert.throws(() => asked("bob", "secret"), { tag: "rejected" });
  assert.throws(() => asked("dave", "secret"), { tag: "unknown" });
  assert.throws(() => asked("carol", "x"), { tag: "failed" });
  assert.throws(() => asked("ann", "secret", "bob"), { tag: "unknown" });
});

test("settings that cannot be are named", () => {
  const problems = (settings: Record<string, string>) => {
    try {
      withSettings(settings).settings.validate();
    } catch (problems) {
      return problems as string[];
    }
    return [];
  };
  assert.deepEqual(problems({ users: "ann\nbob:{PLAIN}x\n:x" }).length, 2);
  assert.match(problems({})[0] ?? "", /^users: /);
});
