import { createHash, createHmac } from "node:crypto";
import type { ReleaseManifest } from "./manifest.ts";

/**
 * The identity of a release: twelve hex digits over the canonical text of its manifest. Whatever changes how it runs
 * (a setting, a secret's revision, a build command) makes another fingerprint, and so another release beside the old.
 */
export function fingerprint(manifest: object): string {
  return shortHash(canonical(manifest));
}

/** The identity of a build: releases that differ in settings only share it, so nothing is built twice (CHR-6). */
export function buildFingerprint(manifest: ReleaseManifest): string {
  return shortHash(canonical({ source: manifest.source, build: manifest.build }));
}

/** The revision of a secret: says that it changed without saying what it is. */
export function secretRevision(name: string, value: string, stackKey: string): string {
  return createHmac("sha256", stackKey).update(`${name}\0${value}`).digest("hex").slice(0, 12);
}

/** The revisions of secrets by their names, as a manifest holds them. */
export function secretRevisions(
  secrets: Readonly<Record<string, string>>,
  stackKey = "",
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(secrets).map(([name, value]) => [name, secretRevision(name, value, stackKey)]),
  );
}

/** JSON with sorted keys and without undefined members, so that equal values give equal text. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`);
    return `{${members.join(",")}}`;
  }
  return JSON.stringify(value);
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
