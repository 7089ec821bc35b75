// Who may ask at all: whoever shows one of the project's keys. Who they are is in the token beside it.

import { jwtVerify, SignJWT } from "jose";
import type { Config } from "./config.ts";

export const CORS = { "access-control-allow-origin": "*", "access-control-expose-headers": "*" };

export function refuse(status: number, body: unknown): Response {
  return Response.json(body, { status, headers: CORS });
}

export class Keys {
  #secret: Uint8Array;
  #roles: Map<string, "anon" | "service_role">;

  constructor(config: Config) {
    this.#secret = new TextEncoder().encode(config.jwtSecret);
    this.#roles = new Map(Object.entries(config.keys));
  }

  /** The role of a key; undefined where it is none of ours. */
  role(key: string | null): "anon" | "service_role" | undefined {
    return key ? this.#roles.get(key) : undefined;
  }

  /** lite's question: what an API key stands for. */
  resolve = (key: string) => {
    const role = this.role(key);
    return Promise.resolve(role ? { type: role === "service_role" ? "secret" : "publishable", claims: { role } } : null);
  };

  /** The key of a request, in the header or in the address. */
  of(request: Request, url: URL): string | null {
    return request.headers.get("apikey") ?? url.searchParams.get("apikey");
  }

  /** The refusal of a request without a key of ours, in the words of Supabase's gateway. */
  check(request: Request, url: URL): Response | null {
    const key = this.of(request, url);
    if (!key) {
      return refuse(401, {
        message: "No API key found in request",
        hint: "No `apikey` request header or url param was found.",
      });
    }
    if (!this.role(key)) {
      return refuse(401, {
        message: "Invalid API key",
        hint: "Double check your Supabase `anon` or `service_role` API key.",
      });
    }
    return null;
  }

  /** The token of a request; null where it has none, or only shows its key again, as clients without a session do. */
  token(request: Request): string | null {
    const token = request.headers.get("authorization")?.match(/^Bearer\s+(.*)$/i)?.[1].trim() ?? null;
    return token && this.role(token) ? null : token;
  }

  async claims(token: string): Promise<Record<string, unknown>> {
    return (await jwtVerify(token, this.#secret, { algorithms: ["HS256"] })).payload;
  }

  async sign(claims: Record<string, unknown>): Promise<string> {
    return await new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: "JWT" }).sign(this.#secret);
  }
}

/** What PostgREST says to a token that is none; lite would take its bearer for nobody. */
export function checkShape(token: string): Response | null {
  const parts = token.split(".");
  if (parts.length === 3 && parts.every((part) => part.length > 0)) return null;
  return refuse(401, {
    code: "PGRST301",
    message: `Expected 3 parts in JWT; got ${Math.max(1, parts.filter((part) => part.length > 0).length)}`,
    details: null,
    hint: null,
  });
}
