import { execFile } from "node:child_process";

/** The command of the config that looks at an image (signature, vulnerabilities, licences): it decides, not we (TRD-11). */
export interface VerifyInput {
  /** Words; `{image}` stands for the image, @example ["cosign", "verify", "--key", "cosign.pub", "{image}"] */
  readonly command: readonly string[];
  readonly images: readonly string[];
  /** Bound of each. */
  readonly seconds: number;
}

/** @throws with what the command said of the first image that it refused */
export async function verifyImages({
  command,
  images,
  seconds,
}: VerifyInput): Promise<{ verified: readonly string[] }> {
  for (const image of images) {
    const [program = "", ...words] = command.map((word) => word.replaceAll("{image}", image));
    await new Promise<void>((resolve, reject) => {
      execFile(program, words, { timeout: seconds * 1000 }, (error, _, stderr) => {
        if (!error) return resolve();
        const said = stderr.trim().split("\n").slice(-5).join("\n") || error.message;
        reject(new Error(`${program} does not accept ${image}: ${said}. Nothing of the release was placed.`));
      });
    });
  }
  return { verified: images };
}
