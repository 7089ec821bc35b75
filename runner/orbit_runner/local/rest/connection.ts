// lite's connection to Postgres, made to behave as PostgREST's does.

import { createPostgresConnection } from "@supabase/lite/postgres";
import { sql } from "kysely";
import type { Config } from "./config.ts";
import { isAway, likePostgrest } from "./failures.ts";

// lite hands timestamps out in Postgres' own notation, which clients do not read ("2026-01-01 10:00:00+00"), and numeric as text.
const iso = (text: string) => text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00");
const number = (text: string) => Number.isFinite(Number(text)) ? Number(text) : text;

// Auth makes JSON of objects itself, before the driver does so again. (A bare string that holds a JSON object is taken for one.)
const once = (value: unknown) => typeof value === "string" && isMade(value) ? value : JSON.stringify(value);

function isMade(text: string): boolean {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const TYPES = {
  json: { to: 114, from: [114], serialize: once, parse: JSON.parse },
  jsonb: { to: 3802, from: [3802], serialize: once, parse: JSON.parse },
  numeric: { to: 1700, from: [1700], serialize: String, parse: number },
  timestamp: { to: 1114, from: [1114], serialize: (value: unknown) => value, parse: iso },
  timestamptz: { to: 1184, from: [1184], serialize: (value: unknown) => value, parse: iso },
};

/** The driver's own pause between attempts grows to 20 s; the database is on this machine, mostly. */
export const pause = () => 0.2;

// deno-lint-ignore no-explicit-any
export type Connection = any;

export function connect(config: Config): Connection {
  const connection: Connection = createPostgresConnection({
    url: config.dsn,
    translation: { schemas: { defaultSchema: config.schemas[0] } },
    postgresOptions: {
      max: 10,
      backoff: pause,
      onnotice: () => {},
      types: TYPES,
      connection: { application_name: "orbit rest" },
    },
    // deno-lint-ignore no-explicit-any
  } as any);

  // lite would replace auth.uid() and its siblings by functions that read fewer settings. The platform's win.
  connection.config.baseSchema = "";

  // lite would grant everything on every table that has row security to everybody who has a key, for good, and would run
  // requests as the account of the DSN while there is no such table. Here: always the caller's role, and nothing is granted.
  connection.ensureRlsContext = () => Promise.resolve(true);

  // One round trip each instead of seven and five.
  connection.applyJwtSessionContext = async (db: Connection, variables: Connection) => {
    const { role = "anon", uid, jwt } = variables?.auth ?? {};
    const claims = jwt && typeof jwt === "object" ? JSON.stringify(jwt) : "";
    await sql`select set_config('role', ${role || "anon"}, true), set_config('request.jwt.claim.sub', ${String(uid ?? "")}, true),
      set_config('request.jwt.claim.role', ${role || "anon"}, true), set_config('request.jwt.claims', ${claims}, true)`.execute(
      db,
    );
  };
  connection.applyRpcRequestGucs = async (db: Connection, request: Connection) => {
    await sql`select set_config('response.status', '', true), set_config('response.headers', '', true),
      set_config('request.method', ${request.method}, true), set_config('request.path', ${request.path}, true),
      set_config('request.headers', ${JSON.stringify(request.requestHeaders ?? {})}, true)`.execute(db);
  };

  // Arguments of functions it makes JSON of too, unless their type is written as it does not know it: left to the driver then.
  const introspect = connection.introspect.bind(connection);
  const seen = new WeakSet();
  connection.introspect = async (options: unknown) => {
    const found = await introspect(options);
    if (seen.has(found)) return found;
    seen.add(found);
    for (const called of found.functions ?? []) {
      called.arg_types = called.arg_types.map((type: string) => /^jsonb?$/.test(type) ? `pg_catalog.${type}` : type);
    }
    return found;
  };

  const normalize = connection.normalizeDbError.bind(connection);
  connection.normalizeDbError = (error: unknown) => likePostgrest(normalize(error));
  return connection;
}

/** Lost connections fail queries that nobody waits for any more, too (lite's rollbacks); those must not end the server. */
export function outliveLostConnections(): void {
  addEventListener("unhandledrejection", (event) => {
    if (!isAway(event.reason)) return;
    event.preventDefault();
    console.error(event.reason);
  });
}

/** `notify pgrst, 'reload schema'`, as PostgREST hears it: lite looks at the schema once and keeps what it saw. */
export async function reloadOnNotify(connection: Connection, listen: Connection): Promise<void> {
  await listen("pgrst", async () => {
    await connection.clearSchemaCache();
    connection.introspection = undefined;
  });
}
