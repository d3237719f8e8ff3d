import type { Model } from "./model.ts";

/** Only the one that is asked for is loaded. */
export async function modelNamed(name: string): Promise<Model> {
  switch (name) {
    case "kubernetes":
      return (await import("./kubernetes.ts")).kubernetes();
    case "aws":
      return (await import("./aws.ts")).aws();
    case "cloudflare":
      return (await import("./cloudflare.ts")).cloudflare();
    default:
      throw new Error(`the recorder answers for kubernetes, aws and cloudflare, not for "${name}"`);
  }
}
