import { firstFitting } from "../delivery/compare.js";
import type { DeliveryRequest } from "../delivery/request.js";
import { Delivery } from "../delivery/run.js";
import { takesTurns } from "../delivery/sharing.js";
import type { LineDevice } from "../device/line-device.js";
import { Context } from "../sim/context.js";
import type { Workload } from "../scenario/scenario.js";
import type { Hazards } from "../sim/hazards.js";
import { PersonError } from "../sim/person-error.js";
import type { Step } from "../sim/step.js";
import type { Protocol } from "./protocol.js";
import type { Program } from "./trial.js";

/** The outside world of a device: it raises, whenever it likes. */
class Raises extends Context {
  constructor(
    private readonly source: LineDevice,
    private readonly times: number,
  ) {
    super(`device interrupt ${source.index}`, "hardware", 0);
  }

  override *body(): Step<void> {
    for (let i = 0; i < this.times; i++) yield* this.source.raise();
  }
}

/** What comes at any moment. */
export interface Adversary {
  /** How often each interrupt is raised. */
  readonly raises: number;
  /** How often a thread that shares its CPU has to give it up in the middle of what it does. */
  readonly sliceEnds: number;
}

/**
 * A whole machine that delivers a device's interrupts, as a program: host, VMM and guest are set up and quiet, then the
 * device raises at any moment, and slices of shared CPUs end at any moment. No condition may be left unserviced when
 * everything has ended.
 *
 * @throws PersonError when no mechanism of the request fits
 */
export function deliveryProtocol(request: DeliveryRequest, adversary: Adversary, source: string): Protocol {
  const { mechanism, interrupts } = firstFitting(request);
  const { board, device, workload } = request;
  if (workload.cpus !== undefined && staysAwake(workload))
    throw new PersonError(`${device.path}: the vCPUs have ${workload.cpus} CPU${workload.cpus === 1 ? "" : "s"} by turns, and one that never sleeps leaves the others without theirs once the slices of a search have ended: set wait to wfi, hlt or cede, and others to halt`);
  const numbers = interrupts.map(({ index }) => index).join(", ");
  const { raises, sliceEnds } = adversary;
  return {
    name: `${board.name}-${mechanism}`,
    title: `${device.path} of ${board.name} raises ${interrupts.length === 1 ? "interrupt" : "interrupts"} ${numbers}${raises === 1 ? "" : ` ${raises} times`}, delivered by ${mechanism}${takesTurns(mechanism, workload) ? turns(sliceEnds) : ""}: each is serviced`,
    source,
    program: (hazards: Partial<Hazards> = {}): Program => {
      const { machine, sources, sharing } = Delivery.prepare({ ...request, hazards }, mechanism, interrupts);
      sharing.group.endsLeft = sliceEnds;
      const ahead = sharing.ahead === null ? [] : [sharing.ahead.context];
      return {
        sim: machine.sim,
        contexts: [...sources.map((line) => new Raises(line.source, raises)), ...ahead],
        check: () => null,
        end() {
          const left = sources.find((line) => line.source.counts.lost > 0);
          return left === undefined ? null : `interrupt lost: of ${left.source.counts.raised} conditions raised on interrupt ${left.index}, ${left.source.counts.lost} were never serviced`;
        },
      };
    },
  };
}

const staysAwake = ({ wait, others, vcpus, targets }: Workload): boolean => wait === "spin" || (others === "spin" && vcpus > targets);

const turns = (ends: number): string => `, threads having a CPU by turns of which ${ends} end${ends === 1 ? "s" : ""} early`;
