import { defineConfig } from "vitest/config";

const suite = (name, include) => ({ test: { name, include, testTimeout: 60_000 } });

export default defineConfig({
  test: {
    maxWorkers: "100%",
    projects: [
      suite("straight", ["dist/straight/**/*.test.js"]),
      suite("stepped", ["dist/stepped/**/*.test.js"]),
      suite("tools", ["tools/**/*.test.js"]),
    ],
  },
});
