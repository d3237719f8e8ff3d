import { appendFileSync, closeSync, openSync, rmSync, writeSync } from "node:fs";
import type { Faults } from "./faults.ts";
import type { Measurements } from "./measurements.ts";

/**
 * Work that two processes must never do at once: it submits a price every 100 ms, and writes down when it began and
 * when it ended, so that an overlap can be proved. Beside the log lies `<log>.<pid>`, the time of its last sign of
 * life, which stands in for the end when the process is killed.
 */
export class Singleton {
  readonly #log: string | null;
  readonly #release: string;
  readonly #timer: NodeJS.Timeout;
  #beat: number | null = null;

  constructor(log: string | null, release: string, measurements: Measurements, faults: Faults) {
    this.#log = log;
    this.#release = release;
    if (log !== null) this.#beat = openSync(`${log}.${process.pid}`, "w", 0o644);
    this.#write("active");
    this.#sign();
    this.#timer = setInterval(() => {
      this.#sign();
      measurements.submitted.inc();
      if (faults.traffic().fails) measurements.failedSubmissions.inc();
    }, 100);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#write("ended");
    if (this.#beat === null) return;
    closeSync(this.#beat);
    rmSync(`${this.#log}.${process.pid}`, { force: true });
  }

  #write(event: "active" | "ended"): void {
    if (this.#log === null) return;
    const line = { at: new Date().toISOString(), event, release: this.#release, pid: process.pid };
    appendFileSync(this.#log, `${JSON.stringify(line)}\n`);
  }

  /** Always as many bytes, at the same place. */
  #sign(): void {
    if (this.#beat !== null) writeSync(this.#beat, new Date().toISOString(), 0);
  }
}
