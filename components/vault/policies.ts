/** Who may do what with the vault's bucket (CHR-11), as documents of AWS' policy language. */

export interface PolicyDocument {
  readonly Version: "2012-10-17";
  readonly Statement: readonly Statement[];
}

export interface Statement {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Principal?: "*" | { readonly AWS: readonly string[] };
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/**
 * What a system's writer may do: read and add below its own prefix, and take its own locks away, which only say that
 * restic runs. Neither a version of an object nor a setting of the bucket can be touched with it.
 */
export function writerPolicy({
  bucketArn,
  keyArn,
  system,
}: {
  bucketArn: string;
  keyArn: string;
  system: string;
}): PolicyDocument {
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "Find",
        Effect: "Allow",
        Action: ["s3:ListBucket", "s3:GetBucketLocation"],
        Resource: bucketArn,
      },
      {
        Sid: "ReadAndAdd",
        Effect: "Allow",
        Action: ["s3:GetObject", "s3:PutObject"],
        Resource: `${bucketArn}/${system}/*`,
      },
      {
        Sid: "Unlock",
        Effect: "Allow",
        Action: "s3:DeleteObject",
        Resource: `${bucketArn}/${system}/*/locks/*`,
      },
      {
        Sid: "Encrypt",
        Effect: "Allow",
        Action: ["kms:GenerateDataKey", "kms:Decrypt"],
        Resource: keyArn,
      },
    ],
  };
}

/**
 * What holds for everybody: TLS 1.2 and newer only. And for the writers: an upload that does not ask for there being
 * no object of that name is refused, so none of them can put anything over a backup.
 */
export function bucketPolicy({
  bucketArn,
  writerArns,
}: {
  bucketArn: string;
  writerArns: readonly string[];
}): PolicyDocument {
  const everything = [bucketArn, `${bucketArn}/*`];
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "OnlyTls",
        Effect: "Deny",
        Principal: "*",
        Action: "s3:*",
        Resource: everything,
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      },
      {
        Sid: "OnlyNewTls",
        Effect: "Deny",
        Principal: "*",
        Action: "s3:*",
        Resource: everything,
        Condition: { NumericLessThan: { "s3:TlsVersion": "1.2" } },
      },
      ...(writerArns.length === 0 ? [] : [addOnly(bucketArn, writerArns)]),
    ],
  };
}

function addOnly(bucketArn: string, writerArns: readonly string[]): Statement {
  return {
    Sid: "WritersOnlyAdd",
    Effect: "Deny",
    Principal: { AWS: writerArns },
    Action: "s3:PutObject",
    Resource: `${bucketArn}/*`,
    Condition: { Null: { "s3:if-none-match": "true" } },
  };
}
