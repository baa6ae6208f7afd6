// `npm run soak`: what is too long for the check. Each part prints its counts; exit status 1 when one found a fault.
import { soakBoards } from "./soak/boards.js";
import { soakIts } from "./soak/its.js";
import { soakExplore } from "./soak/explore.js";
import { soakVfio } from "./soak/vfio.js";
import { soakXics } from "./soak/xics.js";
import { soakXicsOrders } from "./soak/xics-orders.js";

const parts = [await soakBoards(), await soakIts(), await soakVfio(), await soakXics(), await soakXicsOrders(), await soakExplore()];
process.exitCode = parts.every(Boolean) ? 0 : 1;
