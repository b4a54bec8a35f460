// Hides messages with the header field of the setting `header`, "Name: value", or shows
// them with the field of the setting `annotate` in front.

import type { Config, Filter, Settings } from "./contract.js";
import { headerFields, permanent } from "./restante-guest.js";

/** The roles, over what the host has: the test has a host of its own. */
export function plugin({ get }: Pick<Config, "get">): { filter: Filter; settings: Settings } {
  const filter: Filter = {
    screen(account, message) {
      const wanted = field(get("header"));
      // `validate` has refused such settings.
      if (wanted === undefined) throw permanent("the filter is not configured");
      const marked = headerFields(message.header()).some(
        ({ name, value }) => same(name, wanted.name) && same(value, wanted.value),
      );
      if (!marked) return { tag: "show" };
      const annotation = get("annotate");
      return annotation == null ? { tag: "hide" } : { tag: "annotate", val: [annotation] };
    },
  };

  const settings: Settings = {
    validate() {
      const problems: string[] = [];
      if (get("header") == null) problems.push('header: is missing; give "Name: value"');
      for (const key of ["header", "annotate"]) {
        const text = get(key);
        if (text != null && field(text) === undefined) problems.push(`${key}: is not "Name: value"`);
      }
      if (problems.length > 0) throw problems;
    },
  };

  return { filter, settings };
}

/** Name and value of a header field on one line. */
function field(line: string | null): { name: string; value: string } | undefined {
  const [, name, value] = /^([!-9;-~]+): *([!-~](?:[ -~]*[!-~])?) *$/.exec(line ?? "") ?? [];
  return name === undefined || value === undefined ? undefined : { name, value };
}

const same = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();
