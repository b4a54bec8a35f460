// npm test: the plugin without a server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { plugin } from "./admission.js";
import { contains, network } from "./network.js";

const withSettings = (settings: Record<string, string>) => plugin({ get: (key) => settings[key] ?? null, log: () => {} });

test("networks are told apart", () => {
  const { admission, settings } = withSettings({
    deny: "198.51.100.0/24\n2001:db8:bad::/48",
    delay: "203.0.113.0/25",
    "delay-milliseconds": "250",
  });
  settings.validate();
  const admit = (clientAddress: string) =>
    admission.admit({ session: "s1", tenant: "acme", listener: "pop3s", clientAddress, clientPort: 40000 });
  assert.deepEqual(admit("192.0.2.1"), { tag: "admit" });
  for (const denied of ["198.51.100.9", "2001:db8:bad:1::9"]) assert.equal(admit(denied).tag, "deny");
  assert.deepEqual(admit("203.0.113.1"), { tag: "delay", val: 250 });
  assert.deepEqual(admit("203.0.113.200"), { tag: "admit" });
});

test("settings that cannot be are named", () => {
  const { settings } = withSettings({ deny: "192.0.2.0/33\nhere", "delay-milliseconds": "soon" });
  assert.throws(() => settings.validate(), (problems: string[]) => problems.length === 3);
});

test("addresses are read as they are written", () => {
  const known: [string, string, boolean][] = [
    ["::/0", "2001:db8::1", true],
    ["0.0.0.0/0", "::1", false],
    ["::1", "0:0:0:0:0:0:0:1", true],
    ["::ffff:192.0.2.0/120", "::ffff:c000:0201", true],
    ["10.1.2.3", "10.1.2.4", false],
  ];
  for (const [line, address, expected] of known)
    assert.equal(contains(network(line), address), expected, `${line} ${address}`);
  for (const wrong of ["", "1.2.3", "1.2.3.256", "1::2::3", "1:2", "::g", "::/129", "1.2.3.4/", "::1.2.3"])
    assert.equal(network(wrong), undefined, wrong);
});
