// Turns away clients from the networks of the setting `deny`, and greets those from
// `delay` after `delay-milliseconds`.

import { contains, network } from "./network.js";
import { lines } from "./restante-guest.js";

// What the contract has room for.
const MOST_MILLISECONDS = 2 ** 32 - 1;

/** The roles, over what the host has: the test has a host of its own. */
export function plugin({ get, log }) {
  const inside = (key, client) => lines(get(key)).some((line) => contains(network(line), client));

  const delay = () => {
    const text = get("delay-milliseconds") ?? "1000";
    const milliseconds = /^[0-9]+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
    return milliseconds <= MOST_MILLISECONDS ? milliseconds : undefined;
  };

  const admission = {
    admit(connection) {
      // `validate` has refused settings that do not parse.
      if (inside("deny", connection.clientAddress)) {
        log("info", "gate", "turned away");
        return { tag: "deny", val: "no mail for your network" };
      }
      const slow = inside("delay", connection.clientAddress);
      return slow ? { tag: "delay", val: delay() } : { tag: "admit" };
    },
  };

  const settings = {
    validate() {
      const problems = [];
      for (const key of ["deny", "delay"])
        for (const line of lines(get(key)))
          if (network(line) === undefined) problems.push(`${key}: "${line}" is no network, as 192.0.2.0/24 is`);
      if (delay() === undefined)
        problems.push(`delay-milliseconds: is no whole number up to ${MOST_MILLISECONDS}`);
      if (problems.length > 0) throw problems;
    },
  };

  return { admission, settings };
}
