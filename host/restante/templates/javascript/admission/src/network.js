// Networks and addresses of IPv4 and IPv6. A network is "ADDRESS/LENGTH", or an address
// alone.

/** A network of a text; undefined if it is none. */
export function network(text) {
  const [, address, length] = /^([^/]+)(?:\/([0-9]{1,3}))?$/.exec(text) ?? [];
  const bits = addressBits(address ?? "");
  const kept = length === undefined ? bits?.length : Number(length);
  return bits === undefined || kept > bits.length ? undefined : { bits, kept };
}

/** Whether an address, as text, is in a network. */
export function contains(network, address) {
  const bits = addressBits(address);
  if (network === undefined || bits?.length !== network.bits.length) return false;
  return bits.slice(0, network.kept) === network.bits.slice(0, network.kept);
}

/** An address as a text of 32 or 128 zeros and ones; undefined if it is none. */
function addressBits(text) {
  return text.includes(":") ? bitsOfSix(text) : bitsOfFour(text);
}

function bitsOfFour(text) {
  const octets = text.split(".");
  const legal = octets.length === 4 && octets.every((octet) => /^[0-9]{1,3}$/.test(octet) && Number(octet) < 256);
  return legal ? octets.map((octet) => binary(Number(octet), 8)).join("") : undefined;
}

function bitsOfSix(text) {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [front, back] = halves.map(groups);
  if (front === undefined || (halves.length === 2 && back === undefined)) return undefined;
  const given = front.length + (back?.length ?? 0);
  if (halves.length === 1 ? given !== 8 : given > 7) return undefined;
  const all = [...front, ...Array(8 - given).fill(0), ...(back ?? [])];
  return all.map((group) => binary(group, 16)).join("");
}

/** The groups of half an address, "" being none; an IPv4 address may end it. */
function groups(text) {
  const parts = text === "" ? [] : text.split(":");
  const numbers = [];
  for (const [at, part] of parts.entries()) {
    const four = at === parts.length - 1 && part.includes(".") ? bitsOfFour(part) : undefined;
    if (four !== undefined) numbers.push(Number.parseInt(four.slice(0, 16), 2), Number.parseInt(four.slice(16), 2));
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) numbers.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return numbers;
}

const binary = (number, bits) => number.toString(2).padStart(bits, "0");
