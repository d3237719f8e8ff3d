/** What the node needs of Debian's, with the libraries these need; unpacked into the cache, never installed. */
export const nodePackages = [
  "runc",
  "libseccomp2",
  "containernetworking-plugins",
  "nftables",
  "libnftables1",
  "libnftnl11",
  "libmnl0",
  "libjansson4",
  "libgmp10",
  "libedit2",
  "libbsd0",
  "libmd0",
  "libxtables12",
  "conntrack",
  "libnetfilter-conntrack3",
  "libnfnetlink0",
  "busybox-static",
] as const;

/** Programs built from their Go modules. Versions and sums are those of the module's folder in `go/`. */
export interface GoPrograms {
  /** Folder in `go/`. */
  readonly name: "kubernetes" | "etcd" | "containerd";
  /** The module whose version names the programs. */
  readonly module: string;
  /** What the only program is called, where Go would call it otherwise. */
  readonly program?: string;
  readonly tags?: string;
  /** Go variables to set to the version, its major and its minor number. */
  readonly versionPackages?: readonly string[];
  /** For the progress line. */
  readonly usually: string;
}

export const kubernetes: GoPrograms = {
  name: "kubernetes",
  module: "k8s.io/kubernetes",
  // Without these the parts call themselves v0.0.0 and distrust each other.
  versionPackages: ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"],
  usually: "five minutes on two cores",
};

export const goPrograms: readonly GoPrograms[] = [
  {
    name: "etcd",
    module: "go.etcd.io/etcd/server/v3",
    program: "etcd",
    usually: "half a minute",
  },
  {
    name: "containerd",
    module: "github.com/containerd/containerd/v2",
    // No storage drivers that need C libraries or other kernels.
    tags: "no_btrfs no_devmapper no_zfs no_aufs netgo osusergo",
    usually: "one minute",
  },
  kubernetes,
];
