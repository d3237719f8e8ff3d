import type { ChildProcess } from "node:child_process";
import { performance } from "node:perf_hooks";

/** Seconds without a heartbeat after which a baker counts as dead, however long its bake is. */
export const silenceSeconds = 15;

/** How often a baker says that it lives. */
export const heartbeatMilliseconds = 1000;

/**
 * Watches a baker (a child with an IPC channel that sends anything as a heartbeat) on the monotonic clock. Returns
 * whether it reached its own end; where it did not, it is gone when this returns, and the caller takes back.
 */
export function superviseBaker(child: ChildProcess, silenceMs = silenceSeconds * 1000): Promise<boolean> {
  return new Promise((resolve) => {
    let lastHeard = performance.now();
    const timer = setInterval(
      () => {
        if (performance.now() - lastHeard > silenceMs) child.kill("SIGKILL");
      },
      Math.min(500, silenceMs / 4),
    );
    child.on("message", () => {
      lastHeard = performance.now();
    });
    child.once("exit", (code) => {
      clearInterval(timer);
      resolve(code === 0);
    });
    child.once("error", () => {
      clearInterval(timer);
      resolve(false);
    });
  });
}

/** The baker's side: heartbeats until it ends, and an immediate end when its watchdog is gone. */
export function reportHeartbeats(): void {
  process.on("disconnect", () => process.exit(1));
  setInterval(() => process.send?.("alive"), heartbeatMilliseconds).unref();
}
