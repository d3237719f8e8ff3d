/** Takes the text of a migration apart as PostgreSQL does: quotes, dollar quotes, comments, bodies of functions. */

export interface Statement {
  readonly text: string;
  /** Line of the file it begins on, from 1. */
  readonly line: number;
  /** Its first words in capitals, comments left out; @example ["CREATE", "INDEX", "CONCURRENTLY"] */
  readonly words: readonly string[];
}

const token =
  /(--[^\n]*)|(\/\*)|((?<![\w$])[eE]'(?:[^'\\]|\\[\s\S]|'')*')|('(?:[^']|'')*')|("(?:[^"]|"")*")|((?<![\w$])\$((?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?)\$)|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)|([();])/g;

/** The statements of a text, each without its semicolon; nothing for one that holds only comments. */
export function splitStatements(sql: string): Statement[] {
  const statements: Statement[] = [];
  let start = 0;
  let words: string[] = [];
  let first = -1;
  let parentheses = 0;
  let blocks = 0;
  const finish = (end: number) => {
    if (first >= 0) {
      const line = sql.slice(0, first).split("\n").length;
      statements.push({ text: sql.slice(first, end).trim(), line, words });
    }
    start = end + 1;
    [words, first, parentheses, blocks] = [[], -1, 0, 0];
  };
  token.lastIndex = 0;
  let end = 0;
  for (let match = token.exec(sql); match; match = token.exec(sql)) {
    const [text, lineComment, blockComment, , , , dollar, tag, word, mark] = match;
    first = firstSolid(sql, first, Math.max(start, end), match.index);
    end = token.lastIndex;
    if (lineComment !== undefined) continue;
    if (blockComment !== undefined) {
      end = afterComment(sql, match.index);
      token.lastIndex = end;
      continue;
    }
    if (mark === ";" && parentheses === 0 && blocks === 0) {
      finish(match.index);
      continue;
    }
    if (first < 0) first = match.index;
    if (dollar !== undefined) {
      const close = sql.indexOf(`$${tag}$`, end);
      end = close < 0 ? sql.length : close + text.length;
      token.lastIndex = end;
    }
    if (mark === "(") parentheses += 1;
    if (mark === ")") parentheses = Math.max(0, parentheses - 1);
    if (word !== undefined) {
      const capital = word.toUpperCase();
      if (words.length < 8) words.push(capital);
      blocks += blockChange(capital, words, blocks);
    }
  }
  first = firstSolid(sql, first, Math.max(start, end), sql.length);
  finish(sql.length);
  return statements;
}

/** The first statement that begins or ends a transaction by itself, if any. */
export function transactionControl(sql: string): Statement | undefined {
  return splitStatements(sql).find(({ words: [first, second, third] }) => {
    if (first === "START" || first === "PREPARE") return second === "TRANSACTION";
    if (first === "ROLLBACK") return second !== "TO" && third !== "TO";
    return first === "BEGIN" || first === "COMMIT" || first === "END" || first === "ABORT";
  });
}

/** A character between two tokens that is not white space begins a statement too. */
function firstSolid(sql: string, first: number, from: number, to: number): number {
  if (first >= 0) return first;
  const offset = sql.slice(from, to).search(/\S/);
  return offset < 0 ? -1 : from + offset;
}

/** `CREATE FUNCTION … BEGIN ATOMIC …; …; END`: its semicolons do not end the statement. */
function blockChange(word: string, words: readonly string[], blocks: number): number {
  const routine = words[0] === "CREATE" && words.some((one) => one === "FUNCTION" || one === "PROCEDURE");
  if (!routine) return 0;
  if (word === "BEGIN" || (word === "CASE" && blocks > 0)) return 1;
  return word === "END" && blocks > 0 ? -1 : 0;
}

/** Block comments nest. */
function afterComment(sql: string, from: number): number {
  let depth = 0;
  const edge = /\/\*|\*\//g;
  edge.lastIndex = from;
  for (let match = edge.exec(sql); match; match = edge.exec(sql)) {
    depth += match[0] === "/*" ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return sql.length;
}
