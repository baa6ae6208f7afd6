import { EINVAL } from "../../../uapi/errno.js";

const TOKEN = "vf_token=";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * GET_DEVICE_FD's string for a function (vfio.md 4.6): the token in it, as 32 hexadecimal digits, or null without one; 0 where
 * another device is meant; -EINVAL for an option that is unknown, given twice or garbled.
 */
export function parsePciName(own: string, wanted: string): { readonly token: string | null } | number {
  if (!wanted.startsWith(own)) return 0;
  const rest = wanted.slice(own.length);
  if (rest === "") return { token: null };
  if (!rest.startsWith(" ")) return 0;
  let token: string | null = null;
  for (const option of rest.split(" ").filter((each) => each !== "")) {
    if (token !== null || !option.startsWith(TOKEN) || !UUID.test(option.slice(TOKEN.length))) return -EINVAL;
    token = option.slice(TOKEN.length).replaceAll("-", "").toLowerCase();
  }
  return { token };
}
