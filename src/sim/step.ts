import { type Access, announce, beginDriving, clearAnnouncement, endDriving } from "./access.js";

/**
 * A piece of protocol code that may be interrupted at its access points. In the stepped build it is a generator of
 * {@link Access}es; the straight build strips generators from code and types alike, so that `Step<T>` is simply `T`.
 */
export type Step<T> = Generator<Access, T, void>;

function* probe(): Step<void> {}

/** True in the build whose `Step`s are plain calls. */
export const STRAIGHT = (probe() as unknown) === undefined;

/**
 * Runs a step to its end without letting any other context in: the run-to-completion schedule. The identity in the
 * straight build.
 */
export function run<T>(step: Step<T>): T {
  return STRAIGHT ? (step as unknown as T) : drive(step);
}

function drive<T>(step: Step<T>): T {
  beginDriving();
  try {
    for (;;) {
      const { done, value } = step.next();
      clearAnnouncement();
      if (done) return value;
      announce(value);
    }
  } finally {
    endDriving();
  }
}
