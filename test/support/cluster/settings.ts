import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { apiPort, nodeAddress, nodeName, podRange, serviceRange } from "./addresses.ts";
import type { Programs } from "./programs.ts";

/** The image of every pod's first container. */
export const pauseName = "switchyard.test/pause:1";

/**
 * Writes the settings of the cluster's parts into its state folder: containerd.toml, kubelet.json, proxy.json and
 * network/. What they keep lies in /run and /var, of which a cluster has its own.
 * @param cgroup the control group all pods are in, below the root of each hierarchy
 */
export function writeSettings(state: string, programs: Programs, cgroup: string): void {
  const write = (name: string, value: unknown) =>
    writeFileSync(join(state, name), `${JSON.stringify(value, null, 2)}\n`);
  const network = join(state, "network");
  mkdirSync(network);
  writeFileSync(join(state, "containerd.toml"), containerd(network, programs));
  writeFileSync(join(state, "resolv.conf"), "");
  write("network/pods.conflist", podNetwork);
  write("kubelet.json", kubelet(state, cgroup));
  write("proxy.json", proxy(state));
}

/** Each pod on a cable of its own to the node: whatever goes from pod to pod passes the node's rules. */
const podNetwork = {
  cniVersion: "1.0.0",
  name: "pods",
  plugins: [
    {
      type: "ptp",
      ipam: {
        type: "host-local",
        ranges: [[{ subnet: podRange }]],
        routes: [{ dst: "0.0.0.0/0" }],
        dataDir: "/run/pod-addresses",
      },
    },
  ],
};

function containerd(network: string, programs: Programs): string {
  return `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "/run/containerd/containerd.sock"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = ${JSON.stringify(pauseName)}

[plugins."io.containerd.cri.v1.runtime"]
# The machine may not let a process lower its score, and need not have AppArmor.
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [${JSON.stringify(programs.cni)}]
conf_dir = ${JSON.stringify(network)}

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
`;
}

function kubelet(state: string, cgroup: string) {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    // Who can reach the kubelet is in the cluster already.
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: "AlwaysAllow" },
    containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock",
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${cgroup}`,
    failCgroupV1: false,
    failSwapOn: false,
    oomScoreAdj: 0,
    makeIPTablesUtilChains: false,
    resolvConf: join(state, "resolv.conf"),
    // The machine's disk is not the cluster's business, and its images are imported once.
    evictionHard: {
      "memory.available": "0%",
      "nodefs.available": "0%",
      "nodefs.inodesFree": "0%",
      "imagefs.available": "0%",
      "imagefs.inodesFree": "0%",
    },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    maxPods: 250,
  };
}

function proxy(state: string) {
  return {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    clientConnection: { kubeconfig: join(state, "proxy.kubeconfig") },
    mode: "nftables",
    clusterCIDR: podRange,
    detectLocalMode: "ClusterCIDR",
    hostnameOverride: nodeName,
    oomScoreAdj: 0,
    // 0 leaves them alone: they are the machine's, not the namespace's.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
  };
}

/** The words that start each part, in the order they are started. */
export function commands(state: string): Readonly<Record<string, readonly string[]>> {
  const file = (name: string) => join(state, name);
  const etcd = "http://127.0.0.1:2379";
  return {
    etcd: [
      "etcd",
      "--data-dir=/var/lib/etcd",
      `--listen-client-urls=${etcd}`,
      `--advertise-client-urls=${etcd}`,
      "--listen-peer-urls=http://127.0.0.1:2380",
      // The only member elects itself, and all of it is gone with the cluster.
      "--heartbeat-interval=20",
      "--election-timeout=200",
      "--unsafe-no-fsync",
      "--log-level=warn",
    ],
    containerd: ["containerd", `--config=${file("containerd.toml")}`],
    api: [
      "kube-apiserver",
      `--etcd-servers=${etcd}`,
      `--secure-port=${apiPort}`,
      `--advertise-address=${nodeAddress}`,
      `--service-cluster-ip-range=${serviceRange}`,
      `--tls-cert-file=${file("api.crt")}`,
      `--tls-private-key-file=${file("api.key")}`,
      `--token-auth-file=${file("tokens.csv")}`,
      `--service-account-key-file=${file("accounts.key")}`,
      `--service-account-signing-key-file=${file("accounts.key")}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      "--authorization-mode=Node,RBAC",
      "--enable-admission-plugins=NodeRestriction",
      "--allow-privileged",
      "--kubelet-preferred-address-types=InternalIP",
    ],
    kubelet: [
      "kubelet",
      `--config=${file("kubelet.json")}`,
      `--kubeconfig=${file("kubelet.kubeconfig")}`,
      `--hostname-override=${nodeName}`,
      `--node-ip=${nodeAddress}`,
    ],
    controllers: [
      "kube-controller-manager",
      `--kubeconfig=${file("controllers.kubeconfig")}`,
      `--root-ca-file=${file("api.crt")}`,
      "--leader-elect=false",
      "--kube-api-qps=200",
      "--kube-api-burst=400",
    ],
    scheduler: ["kube-scheduler", `--kubeconfig=${file("scheduler.kubeconfig")}`, "--leader-elect=false"],
    proxy: ["kube-proxy", `--config=${file("proxy.json")}`],
  };
}
