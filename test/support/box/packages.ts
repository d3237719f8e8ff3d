/** The Debian release of the test box. Its Node is 18, its HAProxy 2.6, its PostgreSQL 15. */
export const suite = "bookworm";

/** What runs the box from outside; unpacked into the cache, never installed. */
export const toolPackages = ["debootstrap", "systemd-container", "libsystemd-shared"] as const;

/** What an empty box has beside Debian's own minimum. */
export const emptyPackages = [
  "systemd",
  "systemd-sysv",
  "libpam-systemd",
  "dbus",
  "openssh-server",
  "ca-certificates",
  "curl",
  "iproute2",
  "procps",
  "sudo",
] as const;

/** What the full box has beside that, and an empty one can install without a network. */
export const fullPackages = [
  "postgresql",
  "postgresql-client",
  "redis-server",
  "redis-tools",
  "nodejs",
  "haproxy",
  "rsync",
  "restic",
  "git",
  "jq",
] as const;
