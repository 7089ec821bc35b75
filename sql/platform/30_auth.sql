-- Who is asking. PostgREST hands the token's claims over as one JSON setting (request.jwt.claims); older versions and some
-- compatible servers as one setting per claim (request.jwt.claim.sub). Both are read; the single claim wins.

create schema if not exists auth;
grant usage on schema auth to anon, authenticated, service_role;

create table if not exists auth.users (
  id uuid primary key default gen_random_uuid(),
  email text unique,
  raw_app_meta_data jsonb not null default '{}',
  raw_user_meta_data jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

do $platform$
begin
  if pg_temp.may_define('auth.jwt()') then
    create or replace function auth.jwt()
    returns jsonb language sql stable set search_path = '' as $$
      select coalesce(nullif(current_setting('request.jwt.claim', true), ''), nullif(current_setting('request.jwt.claims', true), ''))::jsonb
    $$;
    comment on function auth.jwt() is 'Orbit platform: the claims of the caller''s token; null without one.';
  end if;

  if pg_temp.may_define('auth.uid()') then
    -- As Supabase has it, without a search_path of its own: only so it is inlined where it is asked.
    create or replace function auth.uid()
    returns uuid language sql stable as $$
      select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
      )::uuid
    $$;
    comment on function auth.uid() is 'Orbit platform: the id of the user who asks; null without a token.';
  end if;

  if pg_temp.may_define('auth.role()') then
    create or replace function auth.role()
    returns text language sql stable set search_path = '' as $$
      select coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
      )
    $$;
    comment on function auth.role() is 'Orbit platform: the role that the token names.';
  end if;

  if pg_temp.may_define('auth.email()') then
    create or replace function auth.email()
    returns text language sql stable set search_path = '' as $$
      select coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
      )
    $$;
    comment on function auth.email() is 'Orbit platform: the e-mail address that the token names.';
  end if;
end $platform$;

grant execute on all functions in schema auth to public;
