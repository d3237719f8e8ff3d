import type { Box } from "./box.ts";

/** Standard output of a command that has to succeed on the box, within two minutes. */
export async function must(box: Pick<Box, "ssh">, shell: string, stdin?: string | Buffer): Promise<string> {
  const options = { ...(stdin === undefined ? {} : { stdin }), timeoutSeconds: 120 };
  const { code, stdout, stderr } = await box.ssh(shell, options);
  if (code !== 0) throw new Error(`${shell}: ${stdout}${stderr}`);
  return stdout;
}
