import { label } from "../../../components/cluster/names.ts";
import { Listener, Loopback } from "./loopback.ts";
import { carries, type KubernetesObject, type Objects } from "./objects.ts";
import { type Play, Pod, revisionOf } from "./pods.ts";

/** A Service as it answers: an address that leads to the pods it selects at the moment of each request. */
interface Door {
  readonly stack: string;
  readonly listener: Listener;
  turn: number;
}

export interface RunningArgs {
  readonly objects: Objects;
  readonly stacks: readonly string[];
  /** How a release answers at this moment; undefined: as it should. */
  readonly playOf: (release: string) => Play | undefined;
  /** A singleton began or ended. */
  readonly said: (what: string) => void;
}

/** What runs in the clusters: the pods that workloads want, and the Services in front of them. */
export class Running {
  private readonly args: RunningArgs;
  private readonly net = new Loopback();
  private readonly pods = new Map<string, Pod[]>();
  private readonly doors = new Map<string, Door>();
  private work: Promise<void> = Promise.resolve();

  constructor(args: RunningArgs) {
    this.args = args;
  }

  /** Everything is as the objects want it when this returns, but for pods that are still ending. */
  settle(): Promise<void> {
    const before = this.work.catch(() => {});
    this.work = before.then(async () => {
      for (const stack of this.args.stacks) await this.settleStack(stack);
    });
    return this.work;
  }

  podsOf(stack: string): readonly Pod[] {
    return this.pods.get(stack) ?? [];
  }

  /** The Service with the address at which it answers here. */
  addressed(service: KubernetesObject): KubernetesObject {
    const door = this.doors.get(service.metadata.uid);
    if (!door) return service;
    const { address: clusterIP, port } = door.listener;
    const [first, ...more] = service.spec?.ports as { port: number }[];
    const spec = {
      ...service.spec,
      clusterIP,
      clusterIPs: [clusterIP],
      ports: [{ ...first, port }, ...more],
    };
    return { ...service, spec };
  }

  doorOf(service: KubernetesObject): Listener | undefined {
    return this.doors.get(service.metadata.uid)?.listener;
  }

  async stop(): Promise<void> {
    await this.work.catch(() => {});
    const pods = [...this.pods.values()].flat();
    const all = [...pods, ...[...this.doors.values()].map(({ listener }) => listener)];
    await Promise.all(all.map((one) => one.close()));
  }

  private async settleStack(stack: string): Promise<void> {
    const { objects } = this.args;
    const workloads = [...objects.all("Deployment", stack), ...objects.all("StatefulSet", stack)];
    const known = new Set(workloads.map(({ metadata }) => metadata.uid));
    for (const pod of this.podsOf(stack)) if (!known.has(pod.owner)) this.end(stack, pod);
    for (const workload of workloads) await this.settleWorkload(stack, workload);
    const services = objects.all("Service", stack);
    for (const service of services) await this.open(stack, service);
    const open = new Set(services.map(({ metadata }) => metadata.uid));
    for (const [uid, door] of this.doors) {
      if (door.stack !== stack || open.has(uid)) continue;
      this.doors.delete(uid);
      await door.listener.close();
    }
  }

  /** A Deployment's pods are replaced when its template changes, the successors first; a StatefulSet's stay (OnDelete). */
  private async settleWorkload(stack: string, workload: KubernetesObject): Promise<void> {
    const { kind, metadata, spec } = workload;
    const own = this.podsOf(stack).filter((pod) => pod.owner === metadata.uid && !pod.ending);
    const isNow = (pod: Pod) => kind === "StatefulSet" || pod.revision === revisionOf(workload);
    const now = own.filter(isNow);
    const wanted = Number(spec?.replicas ?? 1);
    for (let index = now.length; index < wanted; index++) {
      const release = String(metadata.labels?.[label.release] ?? "");
      const pod = await Pod.start(
        workload,
        index,
        this.net,
        (asked) => this.args.playOf(release)?.(asked) ?? null,
      );
      this.pods.set(stack, [...this.podsOf(stack), pod]);
      if (pod.singleton) this.args.said(`${nameOf(pod)} begins`);
    }
    for (const pod of [...own.filter((one) => !isNow(one)), ...now.slice(wanted)]) this.end(stack, pod);
  }

  private end(stack: string, pod: Pod): void {
    if (pod.ending) return;
    void pod.end().then(() => {
      this.pods.set(
        stack,
        this.podsOf(stack).filter((one) => one !== pod),
      );
      if (pod.singleton) this.args.said(`${nameOf(pod)} ended`);
    });
  }

  private async open(stack: string, service: KubernetesObject): Promise<void> {
    const { uid, name, namespace = "" } = service.metadata;
    if (this.doors.has(uid)) return;
    const [port] = (service.spec?.ports ?? []) as { port: number }[];
    if (!port) return;
    const listener = new Listener(this.net.address(), port.port, (request, response) => {
      const pod = this.next(stack, namespace, name, uid);
      // Nothing behind it: no connection comes about.
      if (!pod) return void request.socket.destroy();
      pod.answer(request, response, name).catch(() => response.destroy());
    });
    await listener.listen();
    this.doors.set(uid, { stack, listener, turn: 0 });
  }

  private next(stack: string, namespace: string, name: string, uid: string): Pod | undefined {
    const selector = this.args.objects.find("Service", { stack, namespace }, name)?.spec?.selector;
    const door = this.doors.get(uid);
    if (!selector || !door) return undefined;
    const wanted = selector as Readonly<Record<string, string>>;
    const ready = this.podsOf(stack).filter((pod) => carries(pod.labels, wanted) && pod.ready);
    door.turn += 1;
    return ready[door.turn % ready.length];
  }
}

const nameOf = ({ labels, service, release }: Pod) => `${labels[label.system]}-${service} ${release}`;
