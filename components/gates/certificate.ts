import { connect, type PeerCertificate, type TLSSocket } from "node:tls";
import { type GateLine, type GateReport, holds } from "./gate-report.ts";

/** Certificates that clients of a system see (POD-11, DEI-1): trusted, for this name, and valid for long enough. */
export interface CertificateGateArgs {
  readonly name: string;
  readonly hosts: readonly CertificateHost[];
  /** Days that have to be left. @default 30 */
  readonly days?: number;
}

export interface CertificateHost {
  /** Name that the certificate has to be for. */
  readonly host: string;
  /** @default 443 */
  readonly port?: number;
  /** Where to connect instead of `host`. */
  readonly address?: string;
  /** PEM text of the authorities to trust instead of Node's own. */
  readonly authorities?: string;
}

export async function certificateGate(
  { name, hosts, days = 30 }: CertificateGateArgs,
  now = new Date(),
): Promise<GateReport> {
  const found = await Promise.all(hosts.map(async (host) => ({ host: host.host, ...(await look(host)) })));
  return {
    gate: name,
    lines: found.flatMap((one) => linesOf(one, days, now)),
    evidence: { certificates: found },
  };
}

interface Seen {
  readonly host: string;
  readonly failed: string | null;
  /** Why a client would refuse it. */
  readonly refused: string | null;
  readonly validTo: string | null;
  readonly issuer: string | null;
}

const day = 86_400_000;

function linesOf({ host, failed, refused, validTo }: Seen, days: number, now: Date): GateLine[] {
  const trust = `certificate of ${host}`;
  const left = `certificate of ${host} stays valid`;
  const allowed = `> ${days} days`;
  if (failed !== null || validTo === null) {
    const measured = failed ?? "no certificate";
    return [
      { rule: trust, measured, allowed: "trusted, for this name", state: "unmeasured" },
      { rule: left, measured: "not measured", allowed, state: "unmeasured" },
    ];
  }
  const remaining = (Date.parse(validTo) - now.getTime()) / day;
  const measured = `${Math.floor(remaining)} days (until ${new Date(validTo).toISOString().slice(0, 10)})`;
  return [
    holds(trust, refused === null, refused ?? "trusted, for this name", "trusted, for this name"),
    holds(left, remaining > days, measured, allowed),
  ];
}

/** Seconds for the connection and its handshake. */
const boundSeconds = 10;

function look({ host, port = 443, address, authorities }: CertificateHost): Promise<Omit<Seen, "host">> {
  return new Promise((resolve) => {
    const nothing = { refused: null, validTo: null, issuer: null };
    const end = (seen: Omit<Seen, "host">) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(seen);
    };
    // A bad certificate is what this looks for: it is read, and nothing is sent over the connection.
    const socket: TLSSocket = connect({
      host: address ?? host,
      port,
      servername: host,
      rejectUnauthorized: false,
      ...(authorities === undefined ? {} : { ca: authorities }),
    });
    const timer = setTimeout(
      () => end({ ...nothing, failed: `no handshake within ${boundSeconds} s` }),
      boundSeconds * 1000,
    );
    socket.once("error", (error) => end({ ...nothing, failed: error.message }));
    socket.once("secureConnect", () => {
      const certificate = socket.getPeerCertificate();
      const reason = socket.authorizationError as Error | string | undefined;
      const refused = socket.authorized ? null : String((reason as Error)?.message ?? reason);
      const validTo = certificate.valid_to ?? null;
      end({ failed: null, refused, validTo, issuer: issuerOf(certificate) });
    });
  });
}

function issuerOf({ issuer }: PeerCertificate): string | null {
  const name = issuer?.O ?? issuer?.CN ?? null;
  return Array.isArray(name) ? name.join(", ") : name;
}
