/**
 * What a process gets of the supervisor's own environment: what it needs to find programs and a home, and nothing
 * that somebody happened to have set (a passphrase, a token) when the supervisor was started.
 */
export function inheritedEnvironment(from: NodeJS.ProcessEnv = process.env): Record<string, string> {
  const names = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR", "TZ"];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = from[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
