-- What hosted Supabase brings and a bare Postgres lacks. Applied before the migrations, again and again: every object is made
-- only where it is missing, or replaced where an earlier Orbit made it (its comment begins with "Orbit platform"). A database
-- that has the role supabase_admin is Supabase itself and is left alone. All files are one transaction.

create or replace function pg_temp.may_define(p_signature text)
returns boolean language sql stable set search_path = '' as $$
  select to_regprocedure(p_signature) is null
      or coalesce(obj_description(to_regprocedure(p_signature), 'pg_proc') like 'Orbit platform%', false)
$$;
