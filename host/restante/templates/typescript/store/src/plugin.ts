import { measure, scan, stat } from "restante:plugin/files@0.1.1";
import { log } from "wasi:logging/logging@0.1.0-draft";
import { getDirectories } from "wasi:filesystem/preopens@0.2.0";

import { plugin } from "./store.js";

export const { store } = plugin({ getDirectories, log, measure, scan, stat });
