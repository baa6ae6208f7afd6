import type { Context } from "./context.js";

/** Ready contexts by due time; among equals the one that was queued first. A binary heap over the contexts themselves. */
export class ReadyQueue {
  private readonly heap: Context[] = [];
  private count = 0;
  private orders = 0;

  get size(): number {
    return this.count;
  }

  first(): Context {
    return this.heap[0];
  }

  /** Queues a context, which has its due time. */
  add(context: Context): void {
    context.order = this.orders++;
    this.up(context, this.count++);
  }

  remove(context: Context): void {
    const slot = context.slot;
    const last = this.heap[--this.count];
    context.slot = -1;
    if (last !== context) this.settle(last, slot);
  }

  /** Gives a queued context another due time; its place among equals stays. */
  move(context: Context, due: number): void {
    context.due = due;
    this.settle(context, context.slot);
  }

  /** All of them, in no promised order. */
  toArray(): readonly Context[] {
    return this.heap.slice(0, this.count);
  }

  private settle(context: Context, slot: number): void {
    this.up(context, slot);
    this.down(context, context.slot);
  }

  private up(context: Context, slot: number): void {
    while (slot > 0) {
      const above = (slot - 1) >> 1;
      const parent = this.heap[above];
      if (!isBefore(context, parent)) break;
      this.put(parent, slot);
      slot = above;
    }
    this.put(context, slot);
  }

  private down(context: Context, slot: number): void {
    for (;;) {
      let below = 2 * slot + 1;
      if (below >= this.count) break;
      if (below + 1 < this.count && isBefore(this.heap[below + 1], this.heap[below])) below++;
      const child = this.heap[below];
      if (!isBefore(child, context)) break;
      this.put(child, slot);
      slot = below;
    }
    this.put(context, slot);
  }

  private put(context: Context, slot: number): void {
    this.heap[slot] = context;
    context.slot = slot;
  }
}

function isBefore(a: Context, b: Context): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}
