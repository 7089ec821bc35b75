// What lite's Auth leaves out: the claims that Supabase's tokens carry, and /auth/v1/admin/users for service_role.

import type { Connection } from "./connection.ts";
import { CORS, type Keys, refuse } from "./keys.ts";

/** The columns that Auth needs of a table that the platform's shim made with fewer. */
export const COLUMNS = `
  alter table if exists auth.users
    add column if not exists aud varchar(255) default 'authenticated',
    add column if not exists role varchar(255) default 'authenticated',
    add column if not exists encrypted_password varchar(255),
    add column if not exists phone text unique,
    add column if not exists email_confirmed_at timestamptz,
    add column if not exists phone_confirmed_at timestamptz,
    add column if not exists confirmed_at timestamptz
      generated always as (least(email_confirmed_at, phone_confirmed_at)) stored,
    add column if not exists invited_at timestamptz,
    add column if not exists confirmation_token varchar(255),
    add column if not exists confirmation_sent_at timestamptz,
    add column if not exists recovery_token varchar(255),
    add column if not exists recovery_sent_at timestamptz,
    add column if not exists email_change varchar(255),
    add column if not exists email_change_token_new varchar(255),
    add column if not exists email_change_token_current varchar(255),
    add column if not exists email_change_sent_at timestamptz,
    add column if not exists email_change_confirm_status smallint default 0,
    add column if not exists phone_change text,
    add column if not exists phone_change_token varchar(255),
    add column if not exists phone_change_sent_at timestamptz,
    add column if not exists reauthentication_token varchar(255),
    add column if not exists reauthentication_sent_at timestamptz,
    add column if not exists banned_until timestamptz,
    add column if not exists deleted_at timestamptz,
    add column if not exists is_sso_user boolean not null default false,
    add column if not exists is_anonymous boolean not null default false,
    add column if not exists last_sign_in_at timestamptz`;

export const DEFAULTS = `alter table auth.users alter column id set default gen_random_uuid()`;

/** The answer of a sign-in or refresh with a token that says as much as Supabase's does. */
export async function withClaims(response: Response, keys: Keys, issuer: string): Promise<Response> {
  if (!response.ok || !response.headers.get("content-type")?.includes("json")) return response;
  const body = await response.json();
  if (body?.access_token && body.user) {
    const claims = await keys.claims(body.access_token);
    body.access_token = await keys.sign({
      iss: issuer,
      phone: "",
      aal: "aal1",
      is_anonymous: false,
      ...claims,
      app_metadata: body.user.app_metadata ?? {},
      user_metadata: body.user.user_metadata ?? {},
      amr: [{ method: "password", timestamp: claims.iat }],
    });
  }
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  return new Response(JSON.stringify(body), { status: response.status, headers });
}

const USER = `select to_jsonb(u) - 'encrypted_password' || jsonb_build_object(
    'app_metadata', raw_app_meta_data, 'user_metadata', raw_user_meta_data, 'identities', '[]'::jsonb) as user from auth.users u`;

const CREATE = `
  with made as (
    insert into auth.users (id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data)
    values (coalesce($1::uuid, gen_random_uuid()), 'authenticated', 'authenticated', lower($2),
            case when $3::text is not null then extensions.crypt($3, extensions.gen_salt('bf', 10)) end,
            case when $4::boolean then now() end,
            '{"provider": "email", "providers": ["email"]}'::jsonb || $5::text::jsonb, $6::text::jsonb)
    returning id, email),
  known as (
    insert into auth.identities (id, provider, provider_id, user_id, identity_data, last_sign_in_at)
    select gen_random_uuid(), 'email', id::text, id, jsonb_build_object('sub', id, 'email', email), now() from made)
  select id from made`;

const UPDATE = `
  update auth.users set raw_app_meta_data = raw_app_meta_data || $2::text::jsonb,
    raw_user_meta_data = raw_user_meta_data || $3::text::jsonb, email = coalesce(lower($5), email),
    encrypted_password = case when $4::text is null then encrypted_password
      else extensions.crypt($4, extensions.gen_salt('bf', 10)) end, updated_at = now()
  where id = $1`;

/** `database(sql, parameters)` answers rows. */
export async function administer(request: Request, url: URL, keys: Keys, database: Connection): Promise<Response> {
  const token = keys.token(request);
  const role = token ? await keys.claims(token).then((claims) => claims.role, () => null) : keys.role(keys.of(request, url));
  if (role !== "service_role") return refuse(403, { code: 403, error_code: "not_admin", msg: "User not allowed" });
  const id = url.pathname.split("/")[5];
  const find = async (which: string) => (await database(`${USER} where id = $1`, [which]))[0]?.user;
  const answer = (body: unknown) => Response.json(body, { headers: CORS });

  if (!id && request.method === "GET") {
    const rows = await database(`${USER} order by created_at desc limit 1000`, []);
    return answer({ users: rows.map((row: Connection) => row.user), aud: "authenticated" });
  }
  const body = /^(POST|PUT)$/.test(request.method) ? await request.json() : {};
  const metadata = [JSON.stringify(body.app_metadata ?? {}), JSON.stringify(body.user_metadata ?? {})];
  if (!id && request.method === "POST") {
    const given = [body.id ?? null, body.email ?? null, body.password ?? null, !!body.email_confirm, ...metadata];
    try {
      const [made] = await database(CREATE, given);
      return answer(await find(made.id));
    } catch (error) {
      if ((error as { code?: string }).code !== "23505") throw error;
      const msg = "A user with this email address has already been registered";
      return refuse(422, { code: 422, error_code: "email_exists", msg });
    }
  }
  const found = id && /^[0-9a-f-]{36}$/.test(id) ? await find(id) : null;
  if (!found) return refuse(404, { code: 404, error_code: "user_not_found", msg: "User not found" });
  if (request.method === "PUT") {
    await database(UPDATE, [id, ...metadata, body.password ?? null, body.email ?? null]);
    return answer(await find(id));
  }
  if (request.method === "DELETE") {
    await database("delete from auth.users where id = $1", [id]);
    return answer({});
  }
  return answer(found);
}
