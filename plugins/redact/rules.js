// The settings as rules, and what they say of a message.

import { addresses } from "./header.js";

/** Rules of all kinds together: each is held against each message. */
const MOST_RULES = 200;
/** Annotating rules: the host takes so many header fields of a filter. */
const MOST_ANNOTATIONS = 32;

const KINDS = ["show", "hide", "annotate"];
const FIELD_NAME = /^[!-9;-~]+$/;
const DEFAULT_HEADER = "X-Redact-Rule";

/**
 * Reads the settings, pairs of key and value.
 *
 * `problems` has a line for each that is wrong, naming the key; `screen` takes a
 * function that yields the fields of a message, and returns the verdict.
 */
export function parse(settings) {
  const rules = { show: [], hide: [], annotate: [] };
  const problems = [];
  let header = DEFAULT_HEADER;
  for (const [key, value] of settings) {
    if (KINDS.includes(key)) {
      for (const line of value.split("\n").filter((line) => line.trim() !== "")) {
        try {
          rules[key].push(rule(line.trim()));
        } catch (error) {
          problems.push(`${key}: ${JSON.stringify(line.trim())} ${error.message}`);
        }
      }
    } else if (key === "header") {
      header = value;
      if (!FIELD_NAME.test(value) || value.length > 70) {
        problems.push("header: is no header field's name");
      }
    } else {
      problems.push(`${key}: unknown setting; there are show, hide, annotate and header`);
    }
  }
  problems.push(...together(rules, settings));
  return { problems, screen: (fields) => screen(rules, header, fields) };
}

function* together(rules, settings) {
  const count = KINDS.reduce((sum, kind) => sum + rules[kind].length, 0);
  if (count > MOST_RULES) yield `hide: there are ${count} rules; there may be ${MOST_RULES}`;
  if (rules.annotate.length > MOST_ANNOTATIONS) {
    yield `annotate: there are ${rules.annotate.length} rules; there may be ${MOST_ANNOTATIONS}`;
  }
  const given = (wanted) => settings.some(([key]) => key === wanted);
  if (given("header") && !given("annotate")) yield "header: needs annotate beside it";
}

/** `show` goes before `hide`, and `hide` before `annotate`. */
function screen(rules, header, fields) {
  if (rules.hide.length + rules.annotate.length === 0) return { tag: "show" };
  const values = new Map();
  for (const { name, value } of fields()) {
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  const fits = (rule) => rule.fits(values);
  if (rules.show.some(fits)) return { tag: "show" };
  if (rules.hide.some(fits)) return { tag: "hide" };
  const names = rules.annotate.filter(fits).map((rule) => `${header}: ${rule.name}`);
  return names.length > 0 ? { tag: "annotate", val: names } : { tag: "show" };
}

// NAME: FIELD[,FIELD …]: PATTERN
const RULE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})\s*:\s*([^:]+?)\s*:\s*(.*)$/;

function rule(line) {
  const found = RULE.exec(line);
  if (found === null) throw new Error('is not "NAME: FIELD: PATTERN"');
  const [, name, list, written] = found;
  const parts = list.split(",").map((part) => lookUp(part.trim()));
  const isNegated = written.startsWith("!");
  const matches = pattern(isNegated ? written.slice(1).trim() : written);
  const fits = (values) => parts.some((part) => part(values).some(matches));
  return { name, fits: (values) => fits(values) !== isNegated };
}

/** `Subject`, or `From.address` for the addresses in it alone. */
function lookUp(written) {
  const [name, part, ...more] = written.split(".");
  if (!FIELD_NAME.test(name) || more.length > 0 || (part ?? "address") !== "address") {
    throw new Error(`names no header field with ${JSON.stringify(written)}; there are Subject, From.address, …`);
  }
  const values = (all) => all.get(name.toLowerCase()) ?? [];
  return part === undefined ? values : (all) => values(all).flatMap(addresses);
}

/** `/…/` is a regular expression, anything else a glob over the whole value. */
function pattern(written) {
  if (written === "") throw new Error("has no pattern; anything is *");
  const found = /^\/(.*)\/([a-z]*)$/.exec(written);
  if (found === null) return glob(written);
  const [, source, flags] = found;
  if (!/^[isu]*$/.test(flags)) throw new Error("has other flags than i, s and u");
  let expression;
  try {
    expression = new RegExp(source, flags);
  } catch (error) {
    throw new Error(`has no regular expression: ${error.message}`);
  }
  return (value) => expression.test(value);
}

/** `*` for any text, `?` for any letter, `\` before one that is meant; in any case. */
function glob(written) {
  const source = written
    .replace(/\s+/g, " ")
    .replace(/\\(.)|[\s\S]/gu, (letter, meant) => {
      if (meant !== undefined) return quote(meant);
      if (letter === "*") return ".*";
      if (letter === "?") return ".";
      return quote(letter);
    });
  const expression = new RegExp(`^${source}$`, "isu");
  return (value) => expression.test(value);
}

function quote(letter) {
  return letter.replace(/[\\^$.*+?()[\]{}|/]/u, "\\$&");
}
