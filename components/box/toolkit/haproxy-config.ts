import type { Backend, Door } from "./host.ts";

/**
 * The config file of one door: one HAProxy process each, so that opening, closing or changing a door never reloads
 * another (a reload cuts keep-alive connections). The file is read at a start only; traffic moves by haproxy-door.ts.
 */

/**
 * Server slots of a door. One serves, one may be draining; the other two let releases follow each other faster than
 * their slowest requests end.
 */
export const slots = ["a", "b", "c", "d"] as const;
export type Slot = (typeof slots)[number];

/** Folder of the config files, one `<door>.cfg` each. */
export const doorsFolder = "/etc/switchyard/doors";

/** Root's way to steer a door; in the unit's runtime directory, so it goes when the process goes. */
export function adminSocket(doorName: string): string {
  return `/run/switchyard-door/${doorName}/admin.sock`;
}

/**
 * The whole file. `remembered` is what the door sends requests to when it starts; null answers 503.
 *
 * - `http-server-close`: each request gets a connection of its own to the release, so a keep-alive client is routed
 *   request by request and none is sent over an idle connection that the release closes at that moment.
 * - `redispatch 1` and `retry-on conn-failure`: a request whose connection was refused has not been sent, so it is
 *   routed again, a second later, three times: enough for a process that is starting again.
 * - no health checks: the cutover judges a release; a second judge here could only take the last one away.
 */
export function doorConfig(
  door: Door,
  remembered: Backend | null,
  { ipv6, socket = adminSocket(door.name) }: { readonly ipv6: boolean; readonly socket?: string },
): string {
  const note = remembered ? `  set-var proc.${slots[0]} str(${slotNote(remembered)})\n` : "";
  const servers = slots.map((slot, index) =>
    index === 0 && remembered
      ? `  server ${slot} 127.0.0.1:${remembered.port}`
      : `  server ${slot} 127.0.0.1:1 disabled`,
  );
  return `${heading}${JSON.stringify({ door, remembered })}
# Written by switchyard-box and read at a start only; while it runs, traffic moves by the admin socket.
global
  log stdout format raw local0 info
  stats socket ${socket} mode 600 level admin
  maxconn 8000
${note}
defaults
  mode http
  log global
  option httplog
  option dontlog-normal
  option http-server-close
  option forwardfor
  option redispatch 1
  retries 3
  retry-on conn-failure
  timeout connect 1s
  timeout http-request 10s
  timeout http-keep-alive 60s
  timeout client 120s
  timeout server 120s
  timeout tunnel 1h
  http-error status 503 content-type text/plain string "nothing serves here at this moment\\n" hdr Retry-After 1

frontend door
  bind :${door.port}
${ipv6 ? `  bind :::${door.port} v6only\n` : ""}  default_backend service

backend service
${servers.join("\n")}
`;
}

/** What a config file remembers. Throws when it is not one of ours. */
export function readDoorConfig(text: string): { readonly door: Door; readonly remembered: Backend | null } {
  const [first = ""] = text.split("\n", 1);
  if (!first.startsWith(heading)) {
    throw new Error(
      `not a door's config: expected its first line to start with "${heading.trim()}", found "${first}"`,
    );
  }
  return JSON.parse(first.slice(heading.length));
}

/** What a slot holds, as HAProxy itself keeps it beside the slot's address (a variable of its process). */
export function slotNote({ fingerprint, port }: Backend): string {
  return `${fingerprint}:${port}`;
}

const heading = "# switchyard door ";
