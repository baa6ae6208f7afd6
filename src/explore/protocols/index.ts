import type { Protocol } from "../protocol.js";
import * as assignedDevice from "./assigned-device.js";
import * as hostLines from "./host-lines.js";
import * as kicks from "./kicks.js";
import * as vfioGroups from "./vfio-groups.js";
import * as vfioPlatform from "./vfio-platform.js";

/** Every built-in protocol, by subject. Each export of the files is one. */
export const PROTOCOLS: readonly Protocol[] = [hostLines, kicks, vfioPlatform, vfioGroups, assignedDevice].flatMap((subject): Protocol[] => Object.values(subject));
