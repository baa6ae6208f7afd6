// What the command line runs in the stepped build (../stepped.ts).
export { PersonError } from "../../sim/person-error.js";
export { explore } from "./explore.js";
export { museum } from "./museum.js";
export { replay } from "./replay.js";
