import type { Fault } from "./release.ts";

/** Mischief by release. Traffic is what users ask for: requests to / and /api, or a singleton's work; never health. */
export class Faults {
  readonly #fault: Fault | null;
  #firstAt: number | null = null;
  #requests = 0;
  #leaked: Buffer[] = [];

  constructor(fault: Fault | null) {
    this.#fault = fault;
  }

  get unhealthy(): boolean {
    return this.#fault === "never-healthy";
  }

  get refusesToStop(): boolean {
    return this.#fault === "refuses-to-stop";
  }

  /** Time that stopping takes although nothing is in flight. */
  get stopMilliseconds(): number {
    return this.#fault === "slow-drain" ? 5000 : 0;
  }

  /** Called for each request of traffic. @returns what to do to it */
  traffic(): { readonly fails: boolean; readonly delayMilliseconds: number } {
    if (this.#firstAt === null) {
      this.#firstAt = performance.now();
      this.#begin();
    }
    this.#requests += 1;
    const fifth = this.#requests % 5 === 0;
    const seconds = (performance.now() - this.#firstAt) / 1000;
    return {
      fails: fifth && (this.#fault === "errors-at-once" || (this.#fault === "errors" && seconds >= 5)),
      delayMilliseconds: this.#fault === "slow" && fifth ? 3000 : 0,
    };
  }

  #begin(): void {
    if (this.#fault === "crash") {
      setTimeout(() => {
        process.stderr.write("fault crash: giving up\n");
        process.exit(70);
      }, 3000);
    }
    if (this.#fault === "leak") setInterval(() => this.#leak(), 100);
  }

  /** 100 MB a second, up to 1.5 GB: enough for any rule, not for the machine. Filled, or no memory is taken. */
  #leak(): void {
    if (this.#leaked.length < 150) this.#leaked.push(Buffer.alloc(10_000_000, 1));
  }
}
