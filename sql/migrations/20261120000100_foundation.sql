-- Foundation: schemas, the runner's role, what callers are, and how a rule refuses.
--
--   orbit          tables people see and functions they call; exposed through PostgREST; RLS on every table
--   orbit_runner   functions a runner calls, and nothing else
--   orbit_private  queue, helpers, partitions; exposed to nobody
--
-- SECURITY DEFINER functions live in orbit_private (or orbit_runner, which is not exposed either), set search_path = '',
-- and say at their head why they need the owner's rights.

-- Default privileges that hold for every schema would hand Orbit's tables and functions to others, past what these files grant.
do $$
declare v_found text;
begin
  select string_agg(distinct format('%s on %s to %s', lower(x.privilege_type),
      case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' else 'schemas' end,
      coalesce(g.rolname, 'public')), ', ') into v_found
    from pg_catalog.pg_default_acl d cross join aclexplode(d.defaclacl) x left join pg_catalog.pg_roles g on g.oid = x.grantee
    where d.defaclnamespace = 0 and d.defaclrole = (select r.oid from pg_catalog.pg_roles r where r.rolname = current_user)
      and d.defaclobjtype in ('r', 'S', 'f', 'n') and x.grantee <> d.defaclrole and not (x.grantee = 0 and d.defaclobjtype = 'f');
  if v_found is not null then
    raise exception using errcode = 'OR004', message = format('default privileges of the role %I hold for every schema', current_user),
      detail = v_found,
      hint = 'Limit them to the schemas they are meant for: alter default privileges revoke …; alter default privileges in schema … grant …';
  end if;
end $$;

create schema if not exists orbit;
create schema if not exists orbit_private;
create schema if not exists orbit_runner;

comment on schema orbit is 'Orbit: tables people see and functions they call.';
comment on schema orbit_private is 'Orbit: queue, helpers and partitions. Not exposed.';
comment on schema orbit_runner is 'Orbit: what a runner calls.';

do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'orbit_runner') then
    create role orbit_runner nologin;
  end if;
exception when duplicate_object or unique_violation then
  null;  -- another database of this server made it at this very moment
end $$;

-- Nothing is callable because somebody forgot to forbid it: every file ends by taking EXECUTE from PUBLIC (default privileges cannot
-- do that for one schema only, and another schema's defaults are not ours to change).
grant usage on schema orbit to authenticated, service_role;
grant usage on schema orbit_private to authenticated, service_role;
grant usage on schema orbit_runner to orbit_runner, service_role;

-- Errors -------------------------------------------------------------------------------------------------------------

create function orbit_private.refuse(p_sqlstate text, p_message text, p_detail text default '', p_hint text default '')
returns void language plpgsql stable set search_path = '' as $$
begin
  raise exception using errcode = p_sqlstate, message = p_message, detail = coalesce(p_detail, ''), hint = coalesce(p_hint, '');
end $$;
create function orbit_private.malformed(p_sqlstate text, p_message text)
returns void language plpgsql stable set search_path = '' as $$
begin
  raise exception using errcode = 'OR001', message = format('the request is malformed: %s', p_message),
    detail = format('SQLSTATE %s', p_sqlstate), hint = 'The function''s comment says which fields there are, and of which type.';
end $$;
comment on function orbit_private.malformed is 'OR001 for what a cast or a constraint refused: called by the handlers of functions that take a request.';
grant execute on function orbit_private.malformed to authenticated, service_role;

comment on function orbit_private.refuse is 'Raises an error of Orbit''s own: OR001 malformed, OR002 not found, OR003 not allowed, OR004 conflict, OR005 nothing selected, OR006 too many requests, OR007 quota used up, OR008 no secret key, OR010 cycle.';
grant execute on function orbit_private.refuse to authenticated, service_role;

create function orbit_private.required(p_request jsonb, p_field text)
returns text language plpgsql stable set search_path = '' as $$
declare v_value text := p_request ->> p_field;
begin
  if jsonb_typeof(p_request) is distinct from 'object' then
    perform orbit_private.refuse('OR001', 'the request is not a JSON object', '', 'The function''s comment says which fields there are.');
  end if;
  if v_value is null or v_value = '' then
    perform orbit_private.refuse('OR001', format('%s is missing', p_field), format('the request has: %s',
      (select string_agg(k, ', ' order by k) from pg_catalog.jsonb_object_keys(p_request) k)));
  end if;
  return v_value;
end $$;
comment on function orbit_private.required is 'The text of a field of a request; OR001 where it is missing or empty.';

create function orbit_private.refuse_unknown(p_request jsonb, p_fields text[])
returns void language plpgsql stable set search_path = '' as $$
declare v_field text;
begin
  if jsonb_typeof(p_request) is distinct from 'object' then
    perform orbit_private.refuse('OR001', 'the request is not a JSON object', '', 'The function''s comment says which fields there are.');
  end if;
  select min(k) into v_field from pg_catalog.jsonb_object_keys(p_request) k where k <> all (p_fields);
  if v_field is not null then
    perform orbit_private.refuse('OR001', format('unknown field %s', left(v_field, 60)), format('there are: %s', array_to_string(p_fields, ', ')));
  end if;
end $$;
comment on function orbit_private.refuse_unknown is 'OR001, naming the first field of a request that is none of these.';

create function orbit_private.to_uuid(p_text text, p_what text)
returns uuid language plpgsql immutable set search_path = '' as $$
begin
  return p_text::uuid;
exception when invalid_text_representation then
  raise exception using errcode = 'OR001', message = format('%s is not an id: %s', p_what, left(p_text, 60)),
    hint = 'An id is a UUID, as `orbit run` prints it.';
end $$;
comment on function orbit_private.to_uuid is 'A UUID from text; OR001 where it is none.';

-- Callers --------------------------------------------------------------------------------------------------------------

create table orbit_private.acting (
  xact xid8 primary key,
  administrative boolean not null
);
alter table orbit_private.acting enable row level security;
comment on table orbit_private.acting is 'Transactions that act as somebody else just now: see start_run_as. A row is gone before its transaction ends, so that nobody else ever sees it.';
comment on column orbit_private.acting.xact is 'Which transaction.';
comment on column orbit_private.acting.administrative is 'As an administrative role; else as whom request.jwt.claims names.';

-- Definer: it reads what callers must not write.
create function orbit_private.acts_administratively()
returns boolean language plpgsql stable security definer set search_path = '' as $$
begin
  return coalesce((select a.administrative from orbit_private.acting a where a.xact = pg_current_xact_id_if_assigned()), false);
end $$;
comment on function orbit_private.acts_administratively is 'Whether this transaction was told to act as an administrative role; asked where orbit.acting is set, which anybody can do.';
grant execute on function orbit_private.acts_administratively to authenticated, service_role;

create function orbit_private.caller_is_trusted()
returns boolean language plpgsql stable set search_path = '' as $$
-- Inside a SECURITY DEFINER function current_user is the owner; the role setting still names the caller. Whoever is not known
-- to stand above RLS is under it. (plpgsql: keeps its plan, which as a SQL function was made anew at each of five calls a start.)
begin
  if current_setting('orbit.acting', true) <> '' then
    return orbit_private.acts_administratively();
  end if;
  return exists (
    select from pg_catalog.pg_roles r
      where r.rolname = coalesce(nullif(current_setting('role', true), 'none'), session_user)
        and (r.rolsuper or r.rolbypassrls
          or r.oid = (select n.nspowner from pg_catalog.pg_namespace n where n.nspname = 'orbit_private')));
end $$;
comment on function orbit_private.caller_is_trusted is 'Whether RLS does not apply to the caller: the owner, service_role, or another role that bypasses it.';
grant execute on function orbit_private.caller_is_trusted to authenticated, service_role;

grant execute on function orbit_private.required, orbit_private.refuse_unknown, orbit_private.to_uuid to authenticated, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
