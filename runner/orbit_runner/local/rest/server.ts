// The REST and Auth API of Supabase over one Postgres: @supabase/lite inside, PostgREST's and GoTrue's manners outside.
//
// config.ts      what it is told, and for how long it is wanted
// keys.ts        who may ask
// connection.ts  lite's database connection, corrected
// failures.ts    errors as PostgREST sends them
// accounts.ts    claims of tokens, administration of users
//
// It listens on 127.0.0.1 and prints {"port": …} once it answers.

import { App } from "@supabase/lite";
import postgres from "postgres";
import { administer, COLUMNS, DEFAULTS, withClaims } from "./accounts.ts";
import { readConfig, untilUnwanted } from "./config.ts";
import { connect, outliveLostConnections, pause, reloadOnNotify } from "./connection.ts";
import { printNoValues } from "./failures.ts";
import { checkShape, CORS, Keys, refuse } from "./keys.ts";

const config = await readConfig();
printNoValues();
const keys = new Keys(config);
const connection = connect(config);
const app = new App({
  connection,
  api: { schemas: config.schemas, max_rows: 1000 },
  auth: {
    enabled: true,
    jwt_secret: config.jwtSecret,
    jwt_expiry: config.tokenSeconds,
    email: { enable_confirmations: false, enable_signup: true },
  },
  studio: { enabled: false },
  options: {
    server: { admin: false, disableStudio: true, apiKeys: { resolver: keys.resolve } },
    system: { schemaReconciliation: "additive" },
  },
  // deno-lint-ignore no-explicit-any
} as any);

const own = postgres(config.dsn, { max: 2, backoff: pause, onnotice: () => {}, connection: { application_name: "orbit rest" } });
// deno-lint-ignore no-explicit-any
const database = (text: string, parameters: unknown[]) => own.unsafe(text, parameters as any);
await database(COLUMNS, []);
await app.init();
// deno-lint-ignore no-explicit-any
await (app as any).ensureSystemSchema();
await database(DEFAULTS, []);
await reloadOnNotify(connection, own.listen.bind(own));
await connection.introspect({ useCache: true });
outliveLostConnections();

async function handle(request: Request, peerAddress: string): Promise<Response> {
  const url = new URL(request.url);
  if (url.pathname === "/health") return Response.json({ ok: true });
  // lite looks for the table before it answers, in the default schema.
  if (request.method === "OPTIONS" && request.headers.has("access-control-request-method")) return preflight(request);
  const refused = keys.check(request, url);
  if (refused) return refused;
  if (/^\/auth\/v1\/admin\/users(\/|$)/.test(url.pathname)) return await administer(request, url, keys, database);
  if (url.pathname.startsWith("/rest/v1")) {
    const token = keys.token(request);
    const malformed = token ? checkShape(token) : null;
    if (malformed) return malformed;
    if (config.dataApi) return await forward(request, url, token);
    if (!token && request.headers.has("authorization")) {
      const headers = new Headers(request.headers);
      headers.delete("authorization");
      request = new Request(request, { headers });
    }
  }
  // deno-lint-ignore no-explicit-any
  const answer: Response = await app.fetch(request, { peerAddress } as any);
  const signsIn = request.method === "POST" && /^\/auth\/v1\/(token|signup|verify)$/.test(url.pathname);
  return signsIn ? await withClaims(answer, keys, `${url.origin}/auth/v1`) : answer;
}

function preflight(request: Request): Response {
  const headers = {
    ...CORS,
    "access-control-allow-headers": request.headers.get("access-control-request-headers") ?? "*",
    "access-control-allow-methods": "GET,POST,PATCH,PUT,DELETE,OPTIONS,HEAD",
    "access-control-max-age": "3600",
  };
  return new Response(null, { status: 204, headers });
}

/** To another server for the data API, which knows tokens and no keys: the key becomes a token of its role. */
async function forward(request: Request, url: URL, token: string | null): Promise<Response> {
  const headers = new Headers(request.headers);
  const now = Math.floor(Date.now() / 1000);
  const claims = { role: keys.role(keys.of(request, url)), iat: now, exp: now + 60 };
  headers.set("authorization", `Bearer ${token ?? await keys.sign(claims)}`);
  headers.delete("apikey");
  headers.delete("host");
  url.searchParams.delete("apikey");
  const target = config.dataApi + url.pathname.slice("/rest/v1".length) + url.search;
  const body = request.body ? await request.arrayBuffer() : null;
  try {
    const answer = await fetch(target, { method: request.method, headers, body });
    const kept = new Headers(answer.headers);
    for (const [name, value] of Object.entries(CORS)) kept.set(name, value);
    kept.delete("content-encoding");
    return new Response(answer.body, { status: answer.status, headers: kept });
  } catch {
    return refuse(503, { message: "name resolution failed" });
  }
}

const server = Deno.serve(
  {
    hostname: "127.0.0.1",
    port: config.port,
    onListen: ({ port }) => Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify({ port }) + "\n")),
    onError: (error) => {
      console.error(error);
      return refuse(500, { code: "500", message: "the server failed", details: null, hint: null });
    },
  },
  (request, info) => handle(request, (info.remoteAddr as Deno.NetAddr).hostname),
);
await untilUnwanted();
await server.shutdown();
Deno.exit(0);
