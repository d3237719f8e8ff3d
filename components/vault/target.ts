import type * as pulumi from "@pulumi/pulumi";

/** Where a system's backups go. Of a bucket the key may be an output: the vault of the same update. */
export type VaultTargetArgs =
  | { readonly kind: "folder"; readonly path: string }
  | {
      readonly kind: "s3";
      readonly bucket: pulumi.Input<string>;
      readonly region: string;
      /** An S3 server that is not AWS. */
      readonly endpoint?: string;
      readonly accessKeyId: pulumi.Input<string>;
      readonly secretAccessKey: pulumi.Input<string>;
    };
