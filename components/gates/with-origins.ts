/** Fills `{name}` at the beginning of every text of a value with that origin. @throws for a name without one */
export function withOrigins<T>(value: T, origins: Readonly<Record<string, string>>): T {
  if (typeof value === "string") {
    return value.replace(leading, (_, name: string) => {
      const origin = origins[name];
      if (origin !== undefined) return origin;
      throw new Error(
        `{${name}}: there is no such origin; there are: ${Object.keys(origins).join(", ") || "none"}`,
      );
    }) as T;
  }
  if (Array.isArray(value)) return value.map((one) => withOrigins(one, origins)) as T;
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, withOrigins(member as unknown, origins)]),
  ) as T;
}

/** Name of the origin that an address begins with; null of one that is whole. @example "{api}/health" is of "api" */
export function originNamed(url: string): string | null {
  return leading.exec(url)?.[1] ?? null;
}

const leading = /^\{([a-z][a-zA-Z0-9-]*)\}(?=\/)/;
