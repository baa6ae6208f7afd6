import { type Access, announce, beginDriving, clearAnnouncement, endDriving } from "./access.js";

/**
 * A piece of protocol code that may be interrupted at its access points. In the stepped build it is a generator of
 * {@link Access}es (null: one that is announced already); the straight build strips generators from code and types alike, so that `Step<T>` is simply `T`.
 */
export type Step<T> = Generator<Access | null, T, void>;

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
  const before = beginDriving(true);
  try {
    for (;;) {
      const { done, value } = step.next();
      if (done) return value;
      if (value !== null) announce(value);
    }
  } finally {
    clearAnnouncement();
    endDriving(before);
  }
}
