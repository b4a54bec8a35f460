// Lets in the users of the setting `users`: an array of "NAME:HASH", with hashes as
// `restante hash-password` prints them.

import { account, lines, password, permanent, rejected, thrown, undecided, unknown } from "./restante-guest.js";

/** The roles, over what the host has: the test has a host of its own. */
export function plugin({ get, log, verify }) {
  const users = () =>
    lines(get("users"))
      .map(entry)
      .filter((user) => user !== undefined);

  const authenticator = {
    authenticate(connection, credentials) {
      const given = password(credentials);
      // Whoever comes with something else is somebody else's to judge.
      if (given === undefined) throw unknown();
      const all = users();
      if (all.length === 0) throw unknown();
      const known = all.find(({ name }) => name === given.user);
      let right;
      try {
        // Somebody unknown takes as long as somebody known: time is an answer too.
        right = verify((known ?? all[0]).hash, given.secret);
      } catch (error) {
        log("error", "users", `a hash in the setting users is of no use: ${thrown(error)}`);
        throw undecided(permanent("the user's entry is broken"));
      }
      if (known === undefined) throw unknown();
      if (!right) throw rejected();
      return account(given.user);
    },
  };

  const settings = {
    validate() {
      const entries = lines(get("users"));
      if (entries.length === 0) throw ['users: is missing; give an array of "NAME:HASH"'];
      // The lines hold hashes, which nobody is to print: they go by number.
      const problems = entries.flatMap((line, at) =>
        entry(line) === undefined ? [`users: entry ${at + 1} is not "NAME:HASH"`] : [],
      );
      if (problems.length > 0) throw problems;
    },
  };

  return { authenticator, settings };
}

/** Name and hash of a line; undefined if it has not both. */
function entry(line) {
  const colon = line.indexOf(":");
  const [name, hash] = [line.slice(0, Math.max(colon, 0)), line.slice(colon + 1)];
  return name === "" || hash === "" ? undefined : { name, hash };
}
