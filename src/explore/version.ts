/** The package's version: a schedule means the steps of the code that printed it. */
export const VERSION = "0.1.0";
