import ssh2 from "ssh2";

/**
 * A key pair for a test's own SSH server, as OpenSSH writes them. ECDSA: of the Ed25519 pairs that ssh2 makes, one in
 * some two hundred cannot be read, by ssh2 either (its issue 1390).
 */
export function freshHostKey(): { readonly private: string; readonly public: string } {
  return ssh2.utils.generateKeyPairSync("ecdsa", { bits: 256 });
}
