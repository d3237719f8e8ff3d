import { Transform, type TransformCallback } from "node:stream";

/**
 * Takes the body out of the chunks that S3 clients send over plain HTTP ("aws-chunked"):
 * `<length in hex>;chunk-signature=<64 hex digits>\r\n<bytes>\r\n`, ended by a chunk of length 0; newer clients leave
 * the signature out and let checksums follow. Neither is looked at: the sender is on this machine, and what is sent on
 * has its Content-MD5.
 */
export class ChunkReader extends Transform {
  private left: Buffer = Buffer.alloc(0);
  /** Bytes of the running chunk that are still to come. */
  private missing = 0;
  private ended = false;

  override _transform(piece: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.left = this.left.length === 0 ? piece : Buffer.concat([this.left, piece]);
    try {
      while (this.takeOne());
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    done(this.ended ? null : new Error("the upload ended inside a chunk"));
  }

  /** @returns whether there may be more in what has arrived */
  private takeOne(): boolean {
    if (this.ended) return false;
    if (this.missing > 0) {
      const bytes = this.left.subarray(0, this.missing);
      this.left = this.left.subarray(bytes.length);
      this.missing -= bytes.length;
      if (bytes.length > 0) this.push(bytes);
      return this.missing === 0 && this.left.length > 0;
    }
    // The line break that ends the chunk before.
    if (this.left.subarray(0, 2).toString("latin1") === "\r\n") this.left = this.left.subarray(2);
    const end = this.left.indexOf("\r\n");
    if (end === -1 && this.left.length > 200) throw new Error("the upload is not made of chunks");
    if (end === -1) return false;
    const header = this.left.subarray(0, end).toString("latin1");
    const [, digits] = /^([0-9a-f]{1,8})(?:;.*)?$/i.exec(header) ?? [];
    if (digits === undefined) throw new Error("the upload has a chunk without a length");
    this.missing = Number.parseInt(digits, 16);
    this.ended = this.missing === 0;
    this.left = this.left.subarray(end + 2);
    return true;
  }
}
