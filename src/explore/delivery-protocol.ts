import { firstFitting } from "../delivery/compare.js";
import type { DeliveryRequest } from "../delivery/request.js";
import { Delivery } from "../delivery/run.js";
import { takesTurns } from "../delivery/sharing.js";
import type { LineDevice } from "../device/line-device.js";
import { Context } from "../sim/context.js";
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

/**
 * A whole machine that delivers a device's interrupts, as a program: host, VMM and guest are set up and quiet, then the
 * device raises at any moment. No condition may be left unserviced when everything has ended.
 *
 * @throws PersonError when no mechanism of the request fits
 */
export function deliveryProtocol(request: DeliveryRequest, raises: number, source: string): Protocol {
  const { mechanism, interrupts } = firstFitting(request);
  const { board, device, workload } = request;
  if (takesTurns(mechanism, workload))
    throw new PersonError(`${device.path}: in this scenario threads have a CPU by turns, whose length a search does not keep to: leave cpus away, and explore direct`);
  const numbers = interrupts.map(({ index }) => index).join(", ");
  return {
    name: `${board.name}-${mechanism}`,
    title: `${device.path} of ${board.name} raises ${interrupts.length === 1 ? "interrupt" : "interrupts"} ${numbers}${raises === 1 ? "" : ` ${raises} times`}, delivered by ${mechanism}: each is serviced`,
    source,
    program: (hazards: Partial<Hazards> = {}): Program => {
      const { machine, sources } = Delivery.prepare({ ...request, hazards }, mechanism, interrupts);
      return {
        sim: machine.sim,
        contexts: sources.map((line) => new Raises(line.source, raises)),
        check: () => null,
        end() {
          const left = sources.find((line) => line.source.counts.lost > 0);
          return left === undefined ? null : `interrupt lost: of ${left.source.counts.raised} conditions raised on interrupt ${left.index}, ${left.source.counts.lost} were never serviced`;
        },
      };
    },
  };
}
