import { verify } from "restante:plugin/passwords@0.1.1";
import { get } from "wasi:config/store@0.2.0-rc.1";
import { log } from "wasi:logging/logging@0.1.0-draft";

import { plugin } from "./authenticator.js";

export const { authenticator, settings } = plugin({ get, log, verify });
