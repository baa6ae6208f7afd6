import { EINVAL } from "../../../uapi/errno.js";

const TOKEN = "vf_token=";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * Does GET_DEVICE_FD's string name this function (vfio.md 4.6)? 1 or 0; -EINVAL for an option that is unknown, given twice
 * or garbled, and for any token: no function modelled has virtual ones.
 */
export function matchPciName(own: string, wanted: string): number {
  if (!wanted.startsWith(own)) return 0;
  const rest = wanted.slice(own.length);
  if (rest === "") return 1;
  if (!rest.startsWith(" ")) return 0;
  const options = rest.split(" ").filter((option) => option !== "");
  let tokens = 0;
  for (const option of options) {
    if (!option.startsWith(TOKEN) || !UUID.test(option.slice(TOKEN.length))) return -EINVAL;
    tokens++;
  }
  return tokens === 0 ? 1 : -EINVAL;
}
