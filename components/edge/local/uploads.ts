import { randomUUID } from "node:crypto";
import { Refused } from "./edge.ts";

interface Session {
  readonly manifest: Readonly<Record<string, { readonly hash: string }>>;
  readonly files: Map<string, Buffer>;
}

/** Static files on their way up: a manifest of hashes, then the files that are missing, then a token for all of them. */
export class UploadSessions {
  private readonly sessions = new Map<string, Session>();

  begin(manifest: Session["manifest"]): { jwt: string; buckets: string[][] } {
    const jwt = randomUUID();
    this.sessions.set(jwt, { manifest, files: new Map() });
    const hashes = [...new Set(Object.values(manifest).map(({ hash }) => hash))];
    return { jwt, buckets: hashes.length > 0 ? [hashes] : [] };
  }

  async take(token: string, body: Buffer, type: string): Promise<{ jwt: string }> {
    const { files } = this.find(token);
    const form = await new Response(new Uint8Array(body), { headers: { "content-type": type } }).formData();
    for (const [hash, part] of form) {
      if (typeof part === "string") throw new Refused(400, 10300, `${hash} is no file`);
      files.set(hash, Buffer.from(await part.text(), "base64"));
    }
    return { jwt: token };
  }

  /** The files by their paths. A token serves once. */
  finished(token: string): Map<string, Buffer> {
    const { manifest, files } = this.find(token);
    this.sessions.delete(token);
    return new Map(
      Object.entries(manifest).map(([path, { hash }]) => {
        const bytes = files.get(hash);
        if (!bytes) throw new Refused(400, 10301, `${path} was not uploaded`);
        return [path, bytes];
      }),
    );
  }

  private find(token: string): Session {
    const found = this.sessions.get(token);
    if (!found) throw new Refused(401, 10302, "this upload session has ended");
    return found;
  }
}
