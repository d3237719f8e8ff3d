import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { redactAll, redactor } from "../../components/box/toolkit/redact.ts";

const key = [
  "-----BEGIN PRIVATE KEY-----",
  "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
  "MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu",
  "-----END PRIVATE KEY-----",
  "",
].join("\n");

describe("a secret in a text", () => {
  it.each([
    ["as it is", "hunter2-hunter2", "login with hunter2-hunter2 failed"],
    [
      "with a quote and a backslash, inside JSON",
      'pa"ss\\word',
      JSON.stringify({ error: 'no: pa"ss\\word' }),
    ],
    ["inside JSON within JSON", 'pa"ss\\word', JSON.stringify(JSON.stringify({ error: 'pa"ss\\word' }))],
    ["in a URL", "p@ss/w:rd", `https://user:${encodeURIComponent("p@ss/w:rd")}@git.example`],
    ["in base64", "hunter2-hunter2", Buffer.from("hunter2-hunter2").toString("base64")],
    ["in a shell's quotes", "it's-a-secret", "sh -c 'echo it'\\''s-a-secret'"],
    ["as the password of a URL", "postgres://chrono:hunter2@db/chrono", "password hunter2 was refused"],
    ["decoded from a URL", "postgres://chrono:hun%2Fter2@db/chrono", "password hun/ter2 was refused"],
    ["not in ASCII", "пароль-ключ", "wrong: пароль-ключ"],
    ["a part of JSON", '{"client_id":"switchyard","private":"abcdefgh12345678"}', "key abcdefgh12345678"],
  ])("%s is taken out", (_, secret, text) => {
    const shown = redactor([secret])(text);
    expect(shown).toContain("[secret]");
    for (const part of [secret, 'pa\\"ss', "hunter2", "hun/ter2", "abcdefgh12345678"])
      expect(shown).not.toContain(part);
  });

  it("of several lines is taken out of a log that prints it line by line", () => {
    const redact = redactor([key]);
    for (const line of key.trim().split("\n")) expect(redact(`key: ${line}`)).toBe("key: [secret]");
  });

  it("leaves everything else as it is, and no value of three characters", () => {
    expect(redactor(["hunter2-hunter2", "abc", ""])("abc: nothing here\n")).toBe("abc: nothing here\n");
  });

  it("never comes through, in whatever form and depth it was written", () => {
    const forms: ((text: string) => string)[] = [
      (text) => text,
      (text) => JSON.stringify({ text }),
      (text) => JSON.stringify({ text: JSON.stringify([text]) }),
      (text) => encodeURIComponent(text),
    ];
    const secret = fc
      .string({ unit: "grapheme", minLength: 6, maxLength: 40 })
      .filter((one) => one.trim().length >= 6);
    fc.assert(
      fc.property(secret, fc.constantFrom(...forms), (value, form) => {
        const text = form(`<<${value}>>`);
        const shown = redactor([value])(text);
        expect(shown).not.toContain(form(value).replace(/^.*?<<|>>.*$/gs, ""));
        expect(shown).toContain("[secret]");
      }),
    );
  });
});

describe("a secret in a value", () => {
  it("is taken out of every text and key before it is written", () => {
    const redact = redactor(['pa"ss\\word', key]);
    const value = { 'pa"ss\\word': [{ detail: key, at: 3, none: null }], ok: true };
    const written = JSON.stringify(redactAll(redact, value));
    expect(JSON.parse(written)).toEqual({
      "[secret]": [{ detail: "[secret]", at: 3, none: null }],
      ok: true,
    });
  });
});
