import { get } from "wasi:config/store@0.2.0-rc.1";
import { log } from "wasi:logging/logging@0.1.0-draft";

import { plugin } from "./admission.js";

export const { admission, settings } = plugin({ get, log });
