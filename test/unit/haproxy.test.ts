import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { doorConfig, readDoorConfig } from "../../components/box/toolkit/haproxy-config.ts";
import {
  parseSlots,
  parseTotals,
  planSwitch,
  type SlotState,
  servingSlot,
} from "../../components/box/toolkit/haproxy-door.ts";
import { askDoor, DoorShutError } from "../../components/box/toolkit/haproxy-socket.ts";

/** The texts that go to HAProxy and come from it. What it does with them: test/box/hosts.test.ts. */

const door = { name: "shop-api-8080", port: 8080 };
const one = { fingerprint: "111111111111", port: 20001 };
const two = { fingerprint: "222222222222", port: 20002 };

describe("a door's config", () => {
  it("opens on what is remembered", () => {
    expect(
      doorConfig(door, one, { ipv6: true }),
    ).toBe(`# switchyard door ${JSON.stringify({ door, remembered: one })}
# Written by switchyard-box and read at a start only; while it runs, traffic moves by the admin socket.
global
  log stdout format raw local0 info
  stats socket /run/switchyard-door/shop-api-8080/admin.sock mode 600 level admin
  maxconn 8000
  set-var proc.a str(111111111111:20001)

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
  bind :8080
  bind :::8080 v6only
  default_backend service

backend service
  server a 127.0.0.1:20001
  server b 127.0.0.1:1 disabled
  server c 127.0.0.1:1 disabled
  server d 127.0.0.1:1 disabled
`);
  });

  it("answers 503 where nothing is remembered, and leaves out what the kernel lacks", () => {
    const config = doorConfig(door, null, { ipv6: false });
    expect(config.match(/^ {2}(server|bind|set-var) .*$/gm)).toEqual([
      "  bind :8080",
      "  server a 127.0.0.1:1 disabled",
      "  server b 127.0.0.1:1 disabled",
      "  server c 127.0.0.1:1 disabled",
      "  server d 127.0.0.1:1 disabled",
    ]);
  });

  it("is read back", () => {
    for (const remembered of [one, null]) {
      expect(readDoorConfig(doorConfig(door, remembered, { ipv6: true }))).toEqual({ door, remembered });
    }
    expect(() => readDoorConfig("global\n")).toThrow(
      /expected its first line to start with "# switchyard door"/,
    );
  });
});

const slot = (name: SlotState["slot"], more: Partial<SlotState> = {}): SlotState => ({
  slot: name,
  ready: false,
  backend: null,
  inFlight: 0,
  changedSecondsAgo: 100,
  ...more,
});

describe("a switch", () => {
  const fresh = [slot("a"), slot("b"), slot("c"), slot("d")];
  const [, b, c, d] = fresh as [SlotState, SlotState, SlotState, SlotState];

  it("prepares a slot that is off before it takes the old one out", () => {
    expect(planSwitch([slot("a", { ready: true, backend: one }), b, c, d], two)).toEqual([
      "set server service/b state maint",
      "set server service/b addr 127.0.0.1 port 20002",
      "experimental-mode on",
      "set var proc.b str(222222222222:20002)",
      "set server service/b state ready",
      "set server service/a state drain",
    ]);
  });

  it("takes back by the slot that still points there", () => {
    const states = [slot("a", { backend: one, inFlight: 7 }), slot("b", { ready: true, backend: two }), c, d];
    expect(planSwitch(states, one)).toEqual([
      "set server service/a state ready",
      "set server service/b state drain",
    ]);
  });

  it("finishes one that was cut in the middle", () => {
    const states = [slot("a", { ready: true, backend: one }), slot("b", { ready: true, backend: two }), c, d];
    expect(planSwitch(states, two)).toEqual(["set server service/a state drain"]);
    expect(planSwitch(states, one)).toEqual(["set server service/b state drain"]);
  });

  it("does nothing where nothing is to do, and shuts every slot for nothing", () => {
    expect(planSwitch([slot("a", { ready: true, backend: one }), b, c, d], one)).toEqual([]);
    expect(planSwitch(fresh, null)).toEqual([]);
    expect(planSwitch([slot("a", { ready: true, backend: one }), b, c, d], null)).toEqual([
      "set server service/a state drain",
    ]);
  });

  it("takes the slot with the fewest requests in flight where none is free", () => {
    const busy = [
      slot("a", { ready: true, backend: one }),
      slot("b", { backend: { fingerprint: "333333333333", port: 3 }, inFlight: 5 }),
      slot("c", { backend: { fingerprint: "444444444444", port: 4 }, inFlight: 2 }),
      slot("d", { backend: { fingerprint: "555555555555", port: 5 }, inFlight: 3 }),
    ];
    expect(planSwitch(busy, two)[0]).toBe("set server service/c state maint");
  });
});

describe("what HAProxy says", () => {
  const stateHeader =
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight " +
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state " +
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port";
  const answer = (rows: string[], vars: string[]) =>
    [
      ...["1", stateHeader, ...rows, "", "# pxname,svname,qcur,qmax,scur,smax"],
      ...["service,a,0,0,3,9", "service,b,0,0,0,4", "service,c,0,0,0,0", "service,d,0,0,0,0", "", ...vars],
    ].join("\n");
  const rest = (port = 1) => `1 1 5 1 0 8 0 0 0 0 - ${port}`;

  it("gives each slot's state: draining, serving, off, and off by its config", () => {
    const rows = [
      `3 service 1 a 127.0.0.1 2 8 ${rest(20001)}`,
      `3 service 2 b 127.0.0.1 2 4 ${rest(20002)}`,
      `3 service 3 c 127.0.0.1 0 1 ${rest(20003)}`,
      `3 service 4 d 127.0.0.1 0 5 ${rest()}`,
    ];
    const vars = [
      "proc.a: type=str value=<111111111111:20001>",
      "proc.b: type=str value=<222222222222:20002>",
      "proc.c: type=str value=<333333333333:9>",
      "Variable not found.",
    ];
    const states = parseSlots(answer(rows, vars));
    expect(states).toEqual([
      { slot: "a", ready: false, backend: one, inFlight: 3, changedSecondsAgo: 5 },
      { slot: "b", ready: true, backend: two, inFlight: 0, changedSecondsAgo: 5 },
      { slot: "c", ready: false, backend: null, inFlight: 0, changedSecondsAgo: 5 },
      { slot: "d", ready: false, backend: null, inFlight: 0, changedSecondsAgo: 5 },
    ]);
    expect(servingSlot(states)?.slot).toBe("b");
  });

  it("is shown where it is something else", () => {
    expect(() => parseSlots("No such backend.\n")).toThrow(/no server slot a; it printed:\nNo such backend/);
  });
});

describe("the admin socket", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "switchyard-door-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("without a process is a door that is shut", async () => {
    await expect(askDoor(join(folder, "none.sock"), ["show info"])).rejects.toThrow(DoorShutError);
  });

  it("that does not answer is given up, and one that does is heard to its end", async () => {
    const socket = join(folder, "admin.sock");
    const got: string[] = [];
    const server = createServer((connection) => {
      connection.on("data", (data) => {
        got.push(`${data}`);
        connection.write("half ");
        if (got.length > 1) connection.end("and whole\n");
      });
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    await expect(askDoor(socket, ["show stat"], 100)).rejects.toThrow(
      /did not answer `show stat` within 100 ms/,
    );
    expect(await askDoor(socket, ["show stat", "show info"])).toBe("half and whole\n");
    expect(got).toEqual(["show stat\n", "show stat; show info\n"]);
    await new Promise((resolve) => server.close(resolve));
  });
});

describe("what a door counted", () => {
  // As HAProxy 2.6 prints it, cut to a few columns.
  const table = (rows: readonly string[]) =>
    `# pxname,svname,srv_abrt,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,\n${rows.join("\n")}\n\n`;
  const servers = table(["service,a,3,0,10,0,2,4,0,", "service,b,1,0,5,0,0,0,0,"]);

  it("are all answers; bad ones are the door's own 5xx too, and bodies that a release broke off", () => {
    expect(parseTotals(`${table(["door,FRONTEND,,0,15,1,2,9,0,"])}${servers}`)).toEqual({
      requests: 27,
      errors: 13,
    });
  });

  it("throws, with what it printed, where there is no front end", () => {
    expect(() => parseTotals(servers)).toThrow(/no front end; it printed:\n# pxname/);
  });
});
