export * from "../index.js";
export { loadBoard } from "./load-board.js";
