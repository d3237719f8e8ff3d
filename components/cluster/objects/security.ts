/** What the namespace's "restricted" pod security asks for, and a read-only root besides. */
export const podSecurity = {
  runAsNonRoot: true,
  runAsUser: 65532,
  runAsGroup: 65532,
  fsGroup: 65532,
  seccompProfile: { type: "RuntimeDefault" },
} as const;

export const containerSecurity = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
} as const;

/** The only folder a process may write to, in memory and bounded. */
export const scratch = {
  volume: { name: "scratch", emptyDir: { medium: "Memory", sizeLimit: "64Mi" } },
  mount: { name: "scratch", mountPath: "/tmp" },
} as const;
