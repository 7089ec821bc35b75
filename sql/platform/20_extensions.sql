-- Extensions live in a schema of their own, as on Supabase, so that `extensions.crypt(…)` means the same everywhere.

create schema if not exists extensions;
grant usage on schema extensions to anon, authenticated, service_role;

create extension if not exists pgcrypto with schema extensions;
