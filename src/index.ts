// The public API. Nothing here, or below it, needs Node; what does is in `virq/node`.

// The ground: steps in two tempos, virtual time, events.
export { Context, type ContextKind, current } from "./sim/context.js";
export { block, blocked, guarded, reads, shared, type Waitable, writes } from "./sim/access.js";
export { type CostTable, FREE_OF_COST, type Primitive, PRIMITIVES } from "./sim/cost.js";
export { Ev, EVENT_ARGUMENTS, EVENT_NAMES, type EventArgument, type EventName, type EventSink, TraceBuffer, type TraceEvent } from "./sim/event.js";
export { HAZARDS, type HazardName, type Hazards } from "./sim/hazards.js";
export { Lifetime, UseAfterFree } from "./sim/lifetime.js";
export { KernelList, ListLink } from "./sim/list.js";
export { LockError, Mutex, Spinlock } from "./sim/lock.js";
export { PersonError } from "./sim/person-error.js";
export { Deadlock, Sim, type SimOptions } from "./sim/sim.js";
export { SeqCount, Srcu } from "./sim/srcu.js";
export { run, type Step, STRAIGHT } from "./sim/step.js";
export { WorkItem, WorkQueue } from "./sim/workqueue.js";

// Linux's own words.
export * as arm from "./uapi/arm.js";
export * as errno from "./uapi/errno.js";
export * as eventfd from "./uapi/eventfd.js";
export * as fcntl from "./uapi/fcntl.js";
export * as kvm from "./uapi/kvm.js";
export * as mman from "./uapi/mman.js";
export * as powerpc from "./uapi/powerpc.js";
export * as iommufd from "./uapi/iommufd.js";
export * as vfio from "./uapi/vfio.js";
export * as vfioDraft from "./uapi/vfio-draft.js";
export * as vfioFault from "./uapi/vfio-fault.js";
export * as vfioXen from "./uapi/vfio-xen.js";

// Boards.
export { type Assignment, assignmentOf, type Mechanism, type MechanismName, MECHANISMS, mechanismsFor, mechanismsOf } from "./board/assign.js";
export type * from "./board/board.js";
export { builtinBoard, BUILTIN_BOARD_NAMES } from "./board/builtin.js";
export { findDevice, findInterrupt } from "./board/find-device.js";
export { addPciFunction, type PciFunctionRequest } from "./board/pci.js";
export { readBoard } from "./board/read-board.js";

// Interrupt controllers: the physical ones, and KVM's virtual GIC on top.
export { type PhysicalGic, SPURIOUS_INTID, type VirtualInterface } from "./arch/gic/contract.js";
export type { IrqPort } from "./arch/irq-port.js";
export type { EdgeSink, LevelSink } from "./arch/level.js";
export { GicV2, type GicV2Options } from "./host/gic/gicv2.js";
export { GicV3, type GicV3Options } from "./host/gic/gicv3.js";
export { GENERIC_GICV3, type GicV3Implementation, QEMU_GICV3, QEMU_GICV4 } from "./host/gic/implementation.js";
export { HostRam } from "./host/gic/its/host-ram.js";
export { type ItsImplementation, QEMU_ITS, QEMU_ITS_V4 } from "./host/gic/its/implementation.js";
export { type ItsListener, PhysicalIts } from "./host/gic/its/physical-its.js";
export { Outcome as ItsOutcome } from "./host/gic/its/translation.js";
export type { AckListener, ArmIrqchip, IrqchipVcpu, IrqchipVm, MmioBus, MmioDevice } from "./irqchip/contract.js";
export { createVgic, type Vgic } from "./irqchip/gic/vgic.js";
export type { X86Compat } from "./irqchip/x86/chip-rules.js";
export { IoApic, type IoApicOptions } from "./irqchip/x86/ioapic/ioapic.js";
export { getIoApicState, setIoApicState } from "./irqchip/x86/ioapic/record.js";
export { IrqSource } from "./irqchip/x86/line-sources.js";
export { type ChipOptions, PicPair } from "./irqchip/x86/pic.js";
export { Pit, type PitOutput } from "./irqchip/x86/pit.js";
export { NEEDS_SCAN } from "./irqchip/x86/apic-deliver.js";
export { Avic, AvicIpi, AvicVcpu, DOORBELL } from "./irqchip/x86/avic.js";
export { AvicLogicalTable, AvicPhysicalTable } from "./irqchip/x86/avic-tables.js";
export { decodeIrte, encodeIrte, Irte, type IrteFields, type IrteSink, type PostedIrte, type RemappedIrte } from "./arch/x86/irte.js";
export { IrtePosting, type PostingPort, startBypass } from "./irqchip/x86/irte-posting.js";
export type { InitTarget } from "./irqchip/x86/lapic/init.js";
export { LAPIC_DEFAULTS, type LapicOptions } from "./irqchip/x86/lapic/options.js";
export { APIC_REGISTERS, ApicReg, type ApicRegister } from "./irqchip/x86/lapic/registers.js";
export type { Lapic } from "./irqchip/x86/lapic/lapic.js";
export { LocalApicSet } from "./irqchip/x86/local-apics.js";
export { POSTED_INTR_VECTOR, POSTED_INTR_WAKEUP_VECTOR, PostedDescriptor } from "./arch/x86/posted-descriptor.js";
export { type NotificationPort, PostedHost, PostedInterrupts, type PostedVcpu } from "./irqchip/x86/posted-interrupts.js";
export {
  ApicMessage,
  DeliveryMode,
  type EoiSink,
  type LocalApics,
  type PioBus,
  type PioDevice,
  type Receivers,
  Shorthand,
  type X86IrqchipVm,
  type X86Vcpu,
} from "./irqchip/x86/contract.js";
export { MPIC_20, MPIC_42, type MpicModel, type MpicProfile } from "./irqchip/mpic/constants.js";
export type { MpicVcpu, MpicVm } from "./irqchip/mpic/contract.js";
export { MpicDevice } from "./irqchip/mpic/device.js";
export { inspectMpic, type MpicCpuInspection, type MpicInspection, type MpicSourceInspection } from "./irqchip/mpic/inspection.js";
export { Mpic } from "./irqchip/mpic/mpic.js";
export { readRegister, RegisterValue, writeRegister } from "./irqchip/mpic/registers.js";
export { getSources, setSources, type SourceController, SourceWord } from "./irqchip/sources.js";
export type { HypercallRegisters, XicsVcpu, XicsVm } from "./irqchip/xics/contract.js";
export { readIcpWord, writeIcpWord, XicsDevice } from "./irqchip/xics/device.js";
export { isXicsHypercall, virtualHypercall } from "./irqchip/xics/hypercalls.js";
export { type Icp, IcpState } from "./irqchip/xics/icp.js";
export { ExistingSources, type IcpInspection, inspectXics, type SourceInspection, type XicsInspection, type XicsTotals } from "./irqchip/xics/inspection.js";
export { RealMode } from "./irqchip/xics/real-mode.js";
export { Rtas } from "./irqchip/xics/rtas.js";
export { Xics } from "./irqchip/xics/xics.js";

// The host kernel.
export type { DmaPort } from "./device/dma-port.js";
export { EdgeDevice, LevelDevice, type LineDevice } from "./device/line-device.js";
export type { Bar, BarRegisters } from "./device/pci/bar.js";
export * as pciCapabilities from "./device/pci/capabilities.js";
export { E1000, E1000_CAUSE, E1000Nic } from "./device/pci/e1000.js";
export { PciFunction, type PciFunctionOptions } from "./device/pci/function.js";
export type { VgaRegisters } from "./device/pci/vga.js";
export type { MessagePort } from "./device/pci/message-port.js";
export { NVME, NVME_ADMIN, NvmeController } from "./device/pci/nvme.js";
export { WiredOr } from "./device/pci/wired-or.js";
export { RegisterFile } from "./device/register-file.js";
export { Workload } from "./device/workload.js";
export { hostFromBoard } from "./host/board-host.js";
export { HostCpu } from "./host/cpu.js";
export { DeviceNodes } from "./host/device-nodes.js";
export { Bus, HostDriver, OrdinaryDriver } from "./host/driver-binding.js";
export { eventfd2, EventfdContext, EventfdFile } from "./host/eventfd.js";
export { File } from "./host/file.js";
export { IommuDma } from "./host/iommu/dma.js";
export { PhysicalMemory } from "./host/physical-memory.js";
export { DmaFaults, type DmaFault } from "./host/iommu/faults.js";
export { IommuGroup } from "./host/iommu/group.js";
export { Host } from "./host/machine.js";
export { Smmu } from "./host/smmu.js";
export type { IommuUnit } from "./host/iommu/unit.js";
export { DmaRemapping } from "./host/x86/dma-remapping.js";
export { GicHost } from "./host/gic/gic-host.js";
export { ItsHost, type ItsHostOptions, type LpiHardware } from "./host/its/its-host.js";
export { ItsDriver } from "./host/its/its-driver.js";
export { allocateVcpuIrqs, freeVcpuIrqs } from "./host/its/vpes.js";
export { commit, deschedule, schedule } from "./host/its/residency.js";
export { ItsVm, ItsVpe, type VlpiMap, vlpiProperties } from "./host/its/its-vm.js";
export { VlpiCommand } from "./host/its/vlpis.js";
export { MbigenPort } from "./host/its/its-msi.js";
export { connectPin, x86HostFromBoard } from "./host/x86/board-host.js";
export { X86Host } from "./host/x86/x86-host.js";
export { IcpRegister, PhysicalXics } from "./host/xics/physical-xics.js";
export { Psi, PSI_SOURCES, type PsiXivr } from "./host/xics/psi.js";
export { XicsHost } from "./host/xics/xics-host.js";
export { Mbigen } from "./host/mbigen.js";
export { AddressSpace, SigBus } from "./host/memory.js";
export { PciDevice, type PciDeviceOptions } from "./host/pci/pci-device.js";
export { PciRoot } from "./host/pci/pci-root.js";
export { pipe2 } from "./host/pipe.js";
export { PlatformDevice } from "./host/platform-device.js";
export { Poller } from "./host/poller.js";
export { Process, type ProcessOptions } from "./host/process.js";
export { Sysfs } from "./host/sysfs.js";
export { XenHypervisor, type XenOptions } from "./host/xen/hypervisor.js";
export { XenMsiDomain } from "./host/xen/msi-domain.js";
export { V2mDomain, V2mFrame } from "./host/v2m.js";
export type { VfioPciDevice } from "./vfio/backends/pci/device.js";
export type { VfioPciOptions } from "./vfio/backends/pci/options.js";
export type { SpecificRegionOptions } from "./vfio/backends/pci/specific-region.js";
export { VfioPciDriver } from "./vfio/backends/pci/driver.js";
export { VfioPlatformDriver, type VfioPlatformOptions } from "./vfio/backends/platform.js";
export { VfioXenPciDriver } from "./vfio/backends/xen/driver.js";
export type { IommuBackend, IommuInstance } from "./vfio/iommu/backend.js";
export { SpaprBackend } from "./vfio/iommu/spapr.js";
export { Type1Backend } from "./vfio/iommu/type1.js";
export { XenIommuBackend } from "./vfio/iommu/xen.js";
export { DeviceGate } from "./vfio/migration/device-gate.js";
export { DmaLog, LoggedDma } from "./vfio/migration/dma-log.js";
export { BROKEN, type MigrationDriver } from "./vfio/migration/migration.js";
export { draft2011 } from "./vfio/draft2011/group-file.js";
export type { NotifiedInterrupt, Notification, NotifyBackend } from "./vfio/notify-backend.js";
export { VFIO_PROFILES, type VfioProfile, type VfioProfileName } from "./vfio/profiles.js";
export { type NewVfioAbi, Vfio, type VfioAbi, type VfioOptions } from "./vfio/vfio.js";

// KVM, guests, a reference VMM.
export { Arm64 } from "./kvm/arm64/arm64.js";
export { KvmModule } from "./kvm/arm64/module.js";
export { KvmFile, KvmNode, vmOf } from "./kvm/system.js";
export { type Vcpu } from "./kvm/arm64/vcpu.js";
export { Ppc, type PpcOptions, PpcVm } from "./kvm/powerpc/powerpc.js";
export { E500Vm, PpcE500 } from "./kvm/powerpc/e500.js";
export { PpcExit, type PpcGuestCpu } from "./kvm/powerpc/guest.js";
export { PpcModule } from "./kvm/powerpc/module.js";
export { PpcVcpuFile } from "./kvm/powerpc/vcpu-ioctl.js";
export { type PpcVcpu } from "./kvm/powerpc/vcpu.js";
export { VcpuThread } from "./kvm/vcpu-thread.js";
export { Vm } from "./kvm/vm.js";
export { X86, type X86Options, X86Vm } from "./kvm/x86/x86.js";
export { X86Cpu, type X86CpuListener } from "./kvm/x86/cpu.js";
export type { CpuInspection, IoApicInspection, PicInspection, X86Inspection } from "./kvm/x86/inspection.js";
export { X86Irqchip, type X86IrqchipOptions, type X86Route } from "./kvm/x86/irqchip.js";
export { X86Exit, type X86GuestCpu } from "./kvm/x86/guest.js";
export { X86VcpuFile } from "./kvm/x86/vcpu-ioctl.js";
export { type VcpuX86 } from "./kvm/x86/vcpu.js";
export { HypercallGuest } from "./guest/hypercall-guest.js";
export { DriverGuest } from "./guest/driver-guest.js";
export { GuestSoftware, type GuestSoftwareOptions } from "./guest/software.js";
export { type PpcBinding, PpcSoftware, type PpcSoftwareOptions } from "./guest/ppc-software.js";
export { type X86Binding, X86Software, type X86SoftwareOptions } from "./guest/x86-software.js";
export { KvmDevice, KvmSystem, KvmVcpu, KvmVm } from "./vmm/kvm.js";
export { must } from "./vmm/must.js";
export { Pc, type PciSlot, type PcOptions, type PluggedFunction } from "./vmm/pc.js";
export { openPciFunction, type VfioPciClient } from "./vmm/pci-device.js";
export { AssignedDevice } from "./vmm/platform-device.js";
export { type OpenDevice, VfioContainerClient, VfioDeviceClient, VfioGroupClient } from "./vmm/vfio.js";
export { attachIrqfds, detachIrqfds, moveGuest, notRestorable, type PpcGuestState, type PpcRestoreOptions, restoreGuest, saveGuest, stopGuest } from "./vmm/ppc-migrate.js";
export { PPC_GUEST, type PpcSource, PpcVmm, type PpcVmmOptions } from "./vmm/ppc-vmm.js";
export { Vmm, type VmmOptions } from "./vmm/vmm.js";
export { VfioXenClient } from "./vmm/xen-function.js";
export { X86_GUEST, X86Vmm, type X86VmmOptions } from "./vmm/x86-vmm.js";

// Runs: scenarios, delivery mechanisms, traces.
export { type CostProfile, readProfile } from "./scenario/profile.js";
export { COST_PROFILES, DEFAULT_PROFILE } from "./scenario/profiles.js";
export { readScenario, type Scenario, type Workload as WorkloadSettings, workloadSchema } from "./scenario/scenario.js";
export { type ExplorationFile, readExploration } from "./scenario/exploration.js";
export { type BackendRequest, compareBackends } from "./delivery/backends/compare.js";
export { type BackendComparison, type BackendName, type BackendResult, BACKENDS, backendComparisonSchema } from "./delivery/backends/result.js";
export { backendText } from "./delivery/backends/table.js";
export { compare, runOne } from "./delivery/compare.js";
export { Machine } from "./delivery/machine.js";
export type { DeliveryRequest } from "./delivery/request.js";
export { comparisonPage } from "./delivery/report.js";
export { type Comparison, comparisonSchema, type MechanismResult } from "./delivery/result.js";
export { comparisonText } from "./delivery/table.js";
export { traceChrome } from "./trace/chrome.js";
export { traceText } from "./trace/text.js";

// Recorded calls to /dev/kvm, made on whatever answers system calls as a process with /dev/kvm would see them.
export { parseConformanceFile } from "./conform/vector.js";
export { X86Calls } from "./conform/x86/calls.js";
export { type HypercallAnswer, PaprMachine, type PaprOptions, RunError } from "./conform/papr-machine.js";
export { type ReplayDifference, replayX86 } from "./conform/x86/replay.js";
export type { GuestCommand, GuestOutcome, X86System } from "./conform/x86/system.js";
export type { X86Answer, X86Call, X86Step, X86Target, X86Vector } from "./conform/x86/vector.js";

// Interleavings; on the stepped build only.
export { type Clean, explore, type ExploreOptions, replay, type Violation } from "./explore/explorer.js";
export { builtinProtocols, protocolNamed } from "./explore/catalogue.js";
export { asking } from "./explore/asking.js";
export { type ColumnOptions, columns, type Execution, type Hop, type Lane, meetings, type Paint } from "./explore/columns.js";
export { deliveryProtocol } from "./explore/delivery-protocol.js";
export type { HazardCase, Impossible, ProgramTrap, Race, Reproduced, Trap } from "./explore/hazard-case.js";
export { checkHazard, type HazardCheckOptions, type HazardReport, RuledSearches } from "./explore/hazard-check.js";
export { BEYOND_DPOR, DPOR_EXECUTIONS } from "./explore/hazards/beyond-dpor.js";
export { HAZARD_CASES } from "./explore/hazards/index.js";
export type { Heard, Property } from "./explore/property.js";
export * from "./explore/properties/index.js";
export type { Protocol } from "./explore/protocol.js";
export { PROTOCOLS } from "./explore/protocols/index.js";
export { CoreStage } from "./explore/stages/core-stage.js";
export { Raise, Thread } from "./explore/stages/threads.js";
export { threadsProtocol } from "./explore/threads-protocol.js";
export { RULE_FORMS, ruleProperty } from "./explore/rule.js";
export { programHash, scheduleHash } from "./explore/schedule.js";
export { type Counterexample, replaySchedule, type Replay, type Report, search, type SearchOptions } from "./explore/search.js";
export { type OpenSearch, openSearchSchema } from "./explore/open-search.js";
export { STRATEGIES, type StrategyName } from "./explore/strategy.js";
export type { ShownStep } from "./explore/show.js";
export type { Program, Scenario as Exploration } from "./explore/trial.js";
export type { Citation, Exhibit } from "./museum/exhibit.js";
export { EXHIBITS } from "./museum/exhibits.js";
export { UNREACHABLE, type Unreachable } from "./museum/unreachable.js";
export { type Proof, prove, visit, type Visit } from "./museum/visit.js";
