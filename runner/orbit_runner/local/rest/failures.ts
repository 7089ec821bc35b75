// Errors as PostgREST sends them: {code, message, details, hint}, with the status that its documentation gives each SQLSTATE.

interface DatabaseError {
  code?: string;
  message: string;
  detail?: string | null;
  hint?: string | null;
  severity?: string;
}

const STATUS: [RegExp, number][] = [
  [/^(08|53)/, 503],
  [/^(0L|0P|28)/, 403],
  [/^(23503|23505)$/, 409],
  [/^25006$/, 405],
  [/^P0001$/, 400],
  [/^57P01$/, 503],
  [/^(09|25|2D|38|39|3B|40|54|55|57|58|F0|HV|P0|XX)/, 500],
];

/** lite answers these rightly by itself. */
const KNOWN = /^(PT|PGRST|42|22|21)/;

/** What the driver says where there is no server to talk to. */
const AWAY = /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|EPIPE|CONNECT_TIMEOUT|CONNECTION_(CLOSED|ENDED|DESTROYED))$/;

export const isAway = (error: unknown) => AWAY.test(String((error as DatabaseError | null)?.code));

/** lite makes a bare 500 of every SQLSTATE that it does not know. What `raise sqlstate 'PGRST'` may say, it sends as it is. */
export function likePostgrest(error: DatabaseError): DatabaseError {
  const code = error?.code;
  if (typeof code !== "string") return error;
  if (isAway(error)) return answer(503, "PGRST001", "Database client error. Retrying the connection.", null, null);
  if (code.length !== 5 || !error.severity || KNOWN.test(code)) return error;
  const status = STATUS.find(([states]) => states.test(code))?.[1] ?? 400;
  return answer(status, code, error.message, error.detail ?? null, error.hint ?? null);
}

function answer(status: number, code: string, message: string, details: string | null, hint: string | null): DatabaseError {
  return {
    code: "PGRST",
    message: JSON.stringify({ code, message, details, hint }),
    detail: JSON.stringify({ status, headers: {} }),
  };
}

/** lite prints every error whole; its values are nobody's business in a log. */
export function printNoValues(): void {
  console.error = (...words: unknown[]) => {
    const line = `${new Date().toISOString()} a request failed: ${codeOf(words[0])}\n`;
    Deno.stderr.writeSync(new TextEncoder().encode(line));
  };
  console.log =
    console.info =
    console.warn =
    console.debug =
      () => {};
}

function codeOf(error: unknown): string {
  const { code, message, name } = (error ?? {}) as { code?: string; message?: string; name?: string };
  if (code !== "PGRST") return String(code ?? name ?? "unknown");
  try {
    return String(JSON.parse(message ?? "").code);
  } catch {
    return code;
  }
}
