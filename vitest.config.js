import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: ["straight", "stepped"].map((tempo) => ({
      test: { name: tempo, include: [`dist/${tempo}/**/*.test.js`], testTimeout: 60_000 },
    })),
  },
});
