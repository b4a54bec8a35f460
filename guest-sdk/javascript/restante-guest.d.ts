// The types of restante-guest.js.

import type { Account, Answer, Blobs, Credentials, Denial, Entries, Failure, Listing as Columns, Statement } from "./contract.js";

export function encodeUtf8(text: string): Uint8Array;
export function decodeUtf8(octets: Uint8Array): string;
export function encodeBase64(octets: Uint8Array): string;
export function decodeBase64(text: string): Uint8Array;

export function lines(setting: string | null | undefined): string[];

export type Cell = null | number | bigint | string | Uint8Array;

export function statement(text: string, ...parameters: (Cell | undefined)[]): Statement;
export function rows(answer: Answer): Record<string, Cell>[];
export function fakeAnswer(rows: Record<string, Cell>[]): Answer;

export function account(user: string, maildrop?: string, attributes?: Record<string, string>): Account;
export function password(credentials: Credentials): { user: string; secret: string } | undefined;
export function unknown(): Denial;
export function rejected(): Denial;
export function undecided(failure: Failure): Denial;

export function temporary(text: string): Failure;
export function permanent(text: string): Failure;
export function inUse(text: string): Failure;
export function loginDelay(seconds: number): Failure;
export function thrown(error: unknown): unknown;

export function headerFields(header: Uint8Array): { name: string; value: string }[];

export function pack(texts: string[]): string;
export function unpack(packed: string): string[];

export class Listing {
  push(message: {
    uniqueId: string;
    octets: number;
    received?: number;
    name?: string;
    surrogate?: number;
  }): void;
  get length(): number;
  columns(memo?: string): Columns;
}

export interface Entry {
  uniqueId: string;
  octets: number;
  received: number;
  name: string;
  path: string;
  surrogate: number;
}

export function entries(columns: Entries): Entry[];

export function wholeBlob(read: Blobs["read"], path: string): Uint8Array | undefined;
export function fakeBlobs(blobs: Record<string, Uint8Array>): Blobs["read"];
