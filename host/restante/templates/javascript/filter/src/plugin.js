import { get } from "wasi:config/store@0.2.0-rc.1";

import { plugin } from "./filter.js";

export const { filter, settings } = plugin({ get });
