import type { Command } from "commander";
import type { Exit, Session } from "../session.ts";

/** Options that every command takes. */
export interface CommonOptions {
  readonly stack: string;
  readonly json?: boolean;
}

/** Runs a command's body with a session and turns errors into words and an exit code. */
export type Run = (options: CommonOptions, body: (session: Session) => Promise<Exit>) => Promise<void>;

/** One command: what it takes, and what it does. */
export type Define = (program: Command, run: Run) => void;

export const allowBad = ["--allow-bad", "also a release that is marked bad"] as const;
