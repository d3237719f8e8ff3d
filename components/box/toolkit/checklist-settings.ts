/** Settings that belong on a developer's machine (DEI-1, item 9), each as NAME=value; pure, the config asks it too. */
export function debugSettings(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings)
    .filter(([name, value]) => isDebug(name, value))
    .map(([name, value]) => `${name}=${value}`);
}

function isDebug(name: string, value: string): boolean {
  if (/(^|_)DEBUG(_MODE)?$/.test(name)) return !["", "0", "false", "no", "off"].includes(value.toLowerCase());
  if (/LOG_?LEVEL$/.test(name)) return ["debug", "trace", "silly", "all"].includes(value.toLowerCase());
  return name === "NODE_ENV" && value === "development";
}
