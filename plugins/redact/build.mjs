// `node build.mjs CONTRACT OUT`: plugin.js as a component. CONTRACT is the folder
// with the contract's *.wit and deps.
//
// componentize-js is called here without the command line of jco, which leads to
// QuickJS by default: components of that one keep the message that a filter is lent
// until their call is over, and hosts take that for an error.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { componentize } from "@bytecodealliance/componentize-js";

const [contract, out] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));

// The tool wants a world with all packages that it names below its own deps/.
const wit = mkdtempSync(join(tmpdir(), "redact-wit-"));
try {
  cpSync(join(here, "world.wit"), join(wit, "world.wit"));
  cpSync(join(contract, "deps"), join(wit, "deps"), { recursive: true });
  mkdirSync(join(wit, "deps/plugin"));
  for (const file of readdirSync(contract).filter((name) => name.endsWith(".wit"))) {
    cpSync(join(contract, file), join(wit, "deps/plugin", file));
  }
  const { component } = await componentize({
    sourcePath: join(here, "plugin.js"),
    witPath: wit,
    worldName: "plugin",
    // Nothing here asks anybody anything.
    disableFeatures: ["http", "fetch-event"],
  });
  writeFileSync(out, component);
} finally {
  rmSync(wit, { recursive: true });
}
