// A store: every `.eml` file of the maildrop's directory is a message, and the name of
// the file its unique-id.

import { Listing, temporary, thrown, unpack } from "./restante-guest.js";

const ROOT = "/maildrop";
const NANOSECONDS = 1e9;
// 1 to 70 octets of 0x21..0x7E (RFC 1939 section 7, UIDL).
const UNIQUE_ID = /^[!-~]{1,70}$/;

/** The role, over what the host has: the test has a host of its own. */
export function plugin({ getDirectories, log, measure, scan, stat }) {
  class Maildrop {
    // The host has granted this account's directory as /maildrop, and locked it.
    static open(account) {
      return new Maildrop();
    }

    stamp() {
      return undefined;
    }

    listing() {
      const listing = new Listing();
      try {
        // Without a directory nothing was ever delivered to this account.
        const found = stat("") == null ? [] : messages();
        for (const { name, uniqueId, weight } of found) {
          const received = Math.floor(Number(weight.status.modified) / NANOSECONDS);
          const { octets, surrogate } = weight;
          listing.push({ uniqueId, octets, received, name, surrogate });
        }
      } catch (error) {
        log("error", "store", `the maildrop cannot be read: ${thrown(error)}`);
        throw temporary("the maildrop cannot be read");
      }
      return listing.columns();
    }

    changes(memo) {
      return undefined;
    }

    content(name) {
      // The host opens the file; its octets never come in here.
      return { tag: "file", val: { path: name, offset: 0, length: undefined } };
    }

    remove(names) {
      try {
        const [directory] = getDirectories().find(([, path]) => path === ROOT);
        for (const name of names) unlink(directory, name);
        // It has to last before the client is told.
        directory.sync();
      } catch (error) {
        log("error", "store", `messages cannot be removed: ${thrown(error)}`);
        throw temporary("not all messages were removed");
      }
    }
  }

  /** Name, unique-id and weight of each message, oldest first. */
  function messages() {
    const found = [];
    for (const name of unpack(scan(".").names)) {
      if (!name.endsWith(".eml")) continue;
      const uniqueId = name.slice(0, -".eml".length);
      if (!UNIQUE_ID.test(uniqueId)) {
        log("warn", "store", "a file cannot be a message: its name is no unique-id");
        continue;
      }
      const weight = measure(name);
      // A file that is gone by now is no message.
      if (weight != null) found.push({ name, uniqueId, weight });
    }
    const age = ({ weight }) => Number(weight.status.modified);
    return found.sort((a, b) => age(a) - age(b) || (a.name < b.name ? -1 : 1));
  }

  function unlink(directory, name) {
    try {
      directory.unlinkFileAt(name);
    } catch (error) {
      // Somebody else was faster: it is gone, and that was asked.
      if (thrown(error) !== "no-entry") throw error;
    }
  }

  return { store: { Maildrop } };
}
