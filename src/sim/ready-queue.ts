import type { Task } from "./context.js";

/** Ready tasks by due time; among equals the one that was queued first. A binary heap over the tasks themselves. */
export class ReadyQueue {
  private readonly heap: Task[] = [];
  private count = 0;
  private orders = 0;

  get size(): number {
    return this.count;
  }

  first(): Task {
    return this.heap[0];
  }

  /** Queues a task, which has its due time. */
  add(task: Task): void {
    task.order = this.orders++;
    this.up(task, this.count++);
  }

  remove(task: Task): void {
    const slot = task.slot;
    const last = this.heap[--this.count];
    task.slot = -1;
    if (last !== task) this.settle(last, slot);
  }

  /**
   * A queued task was given another due time; its place among equals stays. The time goes by the task: as an argument it
   * would be allocated wherever this call is not inlined.
   */
  move(task: Task): void {
    this.settle(task, task.slot);
  }

  /** All of them, in no promised order. */
  toArray(): readonly Task[] {
    return this.heap.slice(0, this.count);
  }

  private settle(task: Task, slot: number): void {
    this.up(task, slot);
    this.down(task, task.slot);
  }

  private up(task: Task, slot: number): void {
    while (slot > 0) {
      const above = (slot - 1) >> 1;
      const parent = this.heap[above];
      if (!isBefore(task, parent)) break;
      this.put(parent, slot);
      slot = above;
    }
    this.put(task, slot);
  }

  private down(task: Task, slot: number): void {
    for (;;) {
      let below = 2 * slot + 1;
      if (below >= this.count) break;
      if (below + 1 < this.count && isBefore(this.heap[below + 1], this.heap[below])) below++;
      const child = this.heap[below];
      if (!isBefore(child, task)) break;
      this.put(child, slot);
      slot = below;
    }
    this.put(task, slot);
  }

  private put(task: Task, slot: number): void {
    this.heap[slot] = task;
    task.slot = slot;
  }
}

function isBefore(a: Task, b: Task): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}
