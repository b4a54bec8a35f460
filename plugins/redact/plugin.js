// `redact`: the component's exports, over rules.js and header.js.

import { getAll } from "wasi:config/store@0.2.0-rc.1";
import { fields } from "./header.js";
import { parse } from "./rules.js";

/** Settings hold for the life of an instance, and a filter is asked often. */
let rules;

export const filter = {
  screen(_account, message) {
    rules ??= parse(getAll());
    if (rules.problems.length > 0) {
      throw { tag: "permanent", val: "the rules for this maildrop are not set up" };
    }
    return rules.screen(() => fields(header(message)));
  },
};

export const settings = {
  validate() {
    const { problems } = parse(getAll());
    if (problems.length > 0) throw problems;
  },
};

/** The header; what keeps it from being read becomes the filter's own failure. */
function header(message) {
  try {
    return message.header();
  } catch (error) {
    throw error.payload ?? error;
  }
}
