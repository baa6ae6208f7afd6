import { type ControllerKind, type Iommu } from "./board.js";
import { type FdtNode } from "./fdt-node.js";

const GICV2 = new Set([
  "arm,gic-400",
  "arm,cortex-a15-gic",
  "arm,cortex-a9-gic",
  "arm,cortex-a7-gic",
  "arm,cortex-a5-gic",
  "arm,arm11mp-gic",
  "arm,arm1176jzf-devchip-gic",
  "arm,eb11mp-gic",
  "arm,tc11mp-gic",
  "arm,pl390",
  "brcm,brahma-b15-gic",
  "qcom,msm-8660-qgic",
  "qcom,msm-qgic2",
]);
const GICV3 = new Set(["arm,gic-v3", "qcom,msm8996-gic-v3"]);
const SMMUV2 = /^(arm,smmu-v[12]|arm,mmu-40[01]|arm,mmu-500|cavium,smmu-v2|nvidia,smmu-500|qcom,smmu-(v2|500))$/;

/** Controllers that pass a GIC's three cells on unchanged: they only wake or mask in front of it. */
const PASSES_ON = /(^fsl,imx\w+-gpc$|-sysirq$|^nvidia,tegra\d+-ictlr$|-wugen-mpu$)/;

/** By the names in `compatible`, in lower case. */
export function matches(node: FdtNode, test: (name: string) => boolean): boolean {
  return node.compatible.some(test);
}

export function kindOf(node: FdtNode): ControllerKind {
  if (matches(node, (name) => GICV3.has(name))) return "gicv3";
  if (matches(node, (name) => GICV2.has(name))) return "gicv2";
  if (matches(node, (name) => name === "arm,gic-v3-its")) return "its";
  if (matches(node, (name) => name === "arm,gic-v2m-frame")) return "v2m";
  if (node.parent && matches(node.parent, (name) => name === "hisilicon,mbigen-v2")) return "mbigen";
  if (isXics(node)) return "xics";
  return "other";
}

/** Controllers whose messages say nothing about who sends them. */
export function takesPlainMessages(kind: ControllerKind): boolean {
  return kind === "v2m" || kind === "xics";
}

/** The presentation controller, and the nodes that hand its sources out (event sources, virtual devices). */
function isXics(node: FdtNode): boolean {
  if (matches(node, (name) => name === "ibm,ppc-xicp" || name === "ibm,ppc-xics" || name === "ibm,vdevice")) return true;
  return node.has("interrupt-ranges") && node.baseName === "event-sources";
}

export function passesOn(node: FdtNode): boolean {
  return matches(node, (name) => PASSES_ON.test(name));
}

export function iommuKind(node: FdtNode): Iommu["kind"] {
  if (matches(node, (name) => name === "arm,smmu-v3")) return "smmuv3";
  return matches(node, (name) => SMMUV2.test(name)) ? "smmuv2" : "other";
}
