-- Secrets: what is sealed, and nothing else. Variables and credentials point here; nobody reads it but the functions below.
--
--   orbit.seal.v1.<key id>.<base64url>   sealed by the client (AES-256-GCM): neither value nor key ever passes through SQL
--   orbit.pgp.v1.<key id>.<base64>       sealed here (pgcrypto), for callers that cannot seal: browsers, Edge Functions, SQL
--
-- The key of the second form is in the Vault, or comes with the request; in the tables it never is. Both forms are bound to their
-- place (`environment:staging:password`): what is copied to another place does not open.

create table orbit_private.secret (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  place text not null,
  sealed text not null,
  key_id text not null generated always as (split_part(sealed, '.', 4)) stored,
  version int not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  rotated_at timestamptz,
  constraint secret_place_check check (place <> ''),
  constraint secret_is_sealed_check check (
    sealed ~ '^orbit\.(seal\.v1\.[A-Za-z0-9_-]{8}\.[A-Za-z0-9_-]{38,}|pgp\.v1\.[A-Za-z0-9_-]{8}\.[A-Za-z0-9+/]{40,}={0,2})$'),
  constraint secret_version_check check (version > 0)
);
create index idx_secret_organization_id on orbit_private.secret (organization_id, id);
alter table orbit_private.secret enable row level security;
comment on table orbit_private.secret is 'Sealed values. No value is ever here in clear, nor any key.';
comment on column orbit_private.secret.id is 'What variables and credentials keep instead of the value.';
comment on column orbit_private.secret.organization_id is 'Whose it is.';
comment on column orbit_private.secret.place is 'What it is sealed for, as <scope>:<slug>:<name>: the additional data of AES-GCM, and the first half of what pgcrypto encrypts.';
comment on column orbit_private.secret.sealed is 'One of the two forms.';
comment on column orbit_private.secret.key_id is 'Which key opens it: the first 8 characters of base64url(SHA-256(key)).';
comment on column orbit_private.secret.version is 'From 1; one more with every new value. Sealing the same value with another key is no new version.';
comment on column orbit_private.secret.created_at is 'When it was first set.';
comment on column orbit_private.secret.updated_at is 'When its value was set.';
comment on column orbit_private.secret.rotated_at is 'When it was last sealed anew with another key; null: never.';

-- Keys -------------------------------------------------------------------------------------------------------------------------

create function orbit_private.secret_keys(p_key text default null)
returns table (n bigint, key_id text, phrase text) language plpgsql stable set search_path = '' as $$
-- The Vault's come first, then those of the request. It is looked up by name: there are databases without one.
declare v_vault text; v_key text; v_bytes bytea;
begin
  if to_regclass('vault.decrypted_secrets') is not null and has_table_privilege('vault.decrypted_secrets', 'select') then
    execute $q$ select string_agg(s.decrypted_secret, ' ' order by s.created_at desc) from vault.decrypted_secrets s where s.name = 'orbit_secret_key' $q$ into v_vault;
  end if;
  n := 0;
  foreach v_key in array regexp_split_to_array(concat_ws(' ', v_vault, p_key), '[\s,]+') loop
    continue when v_key = '';
    if v_key ~ '^[0-9A-Fa-f]{64}$' then
      v_bytes := decode(v_key, 'hex');
    elsif v_key ~ '^[A-Za-z0-9+/_-]{43}=?$' then
      v_bytes := decode(translate(left(v_key, 43), '-_', '+/') || '=', 'base64');
    else
      perform orbit_private.refuse('OR008', 'a secret key is 32 bytes in base64 (43 or 44 characters) or hexadecimal (64)',
        format('this one has %s characters', length(v_key)), 'Make one: orbit secret key');
    end if;
    n := n + 1;
    key_id := left(translate(encode(sha256(v_bytes), 'base64'), '+/', '-_'), 8);
    phrase := encode(v_bytes, 'hex');
    return next;
  end loop;
end $$;
comment on function orbit_private.secret_keys is 'The keys at hand, the one that seals first: of the Vault''s secret orbit_secret_key, and of the text given; each may hold several, separated by blanks or commas.';

create function orbit_private.seal_pgp(p_value jsonb, p_place text, p_key text default null)
returns text language plpgsql set search_path = '' as $$
-- Key stretching (100 µs a value) would do nothing for 32 random bytes, and compression would tell something of the value: 12 µs.
declare v_key record;
begin
  select * into v_key from orbit_private.secret_keys(p_key) order by n limit 1;
  if not found then
    perform orbit_private.refuse('OR008', 'there is no secret key', 'the value came in clear, and the database has no key to seal it with',
      'Keep one in the Vault as orbit_secret_key, give ORBIT_SECRET_KEY to the function or runner that sends it, or send it sealed: orbit secret set');
  end if;
  return format('orbit.pgp.v1.%s.%s', v_key.key_id, translate(encode(extensions.pgp_sym_encrypt(jsonb_build_array(p_place, p_value)::text, v_key.phrase,
    'cipher-algo=aes256,compress-algo=0,s2k-mode=1'), 'base64'), E'\n', ''));
end $$;
comment on function orbit_private.seal_pgp is 'A value sealed by the database for a place, as orbit.pgp.v1.…; OR008 where there is no key.';

create function orbit_private.open_pgp(p_sealed text, p_place text, p_key text default null)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_phrase text; v_id text := split_part(p_sealed, '.', 4); v_pair jsonb;
begin
  select k.phrase into v_phrase from orbit_private.secret_keys(p_key) k where k.key_id = v_id limit 1;
  if not found then
    perform orbit_private.refuse('OR008', format('the value was sealed with a key that is not here (%s)', v_id),
      format('keys here: %s', coalesce((select string_agg(k.key_id, ', ' order by k.n) from orbit_private.secret_keys(p_key) k), 'none')),
      'Add that key after the present one, separated by a blank: in the Vault''s orbit_secret_key, or in ORBIT_SECRET_KEY.');
  end if;
  begin
    v_pair := extensions.pgp_sym_decrypt(decode(split_part(p_sealed, '.', 5), 'base64'), v_phrase)::jsonb;
  exception when external_routine_invocation_exception or data_exception then
    v_pair := null;  -- said below, without what was found
  end;
  if v_pair ->> 0 is distinct from p_place then
    perform orbit_private.refuse('OR008', 'the sealed value does not open here', '', 'It was changed, or sealed for another place.');
  end if;
  return v_pair -> 1;
end $$;
comment on function orbit_private.open_pgp is 'The value that seal_pgp sealed for that place; OR008 where the key is not at hand, or it was sealed for another place.';

-- Keeping and dropping ---------------------------------------------------------------------------------------------------------

create function orbit_private.put_secret(p_organization_id uuid, p_place text, p_value jsonb, p_old uuid default null, p_key text default null)
returns uuid language plpgsql set search_path = '' as $$
-- Called by functions that have asked whether the caller may; granted to nobody.
declare v_sealed text := p_value #>> '{}'; v_old orbit_private.secret; v_id uuid;
begin
  if p_value is null or p_value = 'null' then
    perform orbit_private.refuse('OR001', format('the secret %s has no value', left(p_place, 200)), '', 'Give its value, or delete it.');
  end if;
  if jsonb_typeof(p_value) <> 'string' or v_sealed !~ '^orbit\.(seal|pgp)\.v1\.' then
    v_sealed := orbit_private.seal_pgp(p_value, p_place, p_key);
  elsif v_sealed !~ '^orbit\.(seal\.v1\.[A-Za-z0-9_-]{8}\.[A-Za-z0-9_-]{38,}|pgp\.v1\.[A-Za-z0-9_-]{8}\.[A-Za-z0-9+/]{40,}={0,2})$' then
    perform orbit_private.refuse('OR001', format('the sealed value of %s is damaged', left(p_place, 200)), '', 'Was it cut short or changed?');
  end if;
  if p_old is not null then
    select * into v_old from orbit_private.secret s where s.id = p_old and s.organization_id = p_organization_id for update;
    if v_old.sealed = v_sealed and v_old.place = p_place then
      return v_old.id;
    end if;
    update orbit_private.secret s set sealed = v_sealed, place = p_place, version = s.version + 1, updated_at = now(), rotated_at = null
      where s.id = v_old.id returning s.id into v_id;
  end if;
  if v_id is null then
    insert into orbit_private.secret (organization_id, place, sealed) values (p_organization_id, p_place, v_sealed) returning id into v_id;
  end if;
  return v_id;
end $$;
comment on function orbit_private.put_secret is 'Keeps a value for a place and answers its id: sealed as it came, clear after sealing it with the Vault''s key or the one given (OR008 without). p_old: the id of the value that it replaces, which it then keeps.';

create function orbit_private.drop_secret(p_id uuid)
returns void language sql set search_path = '' as $$ delete from orbit_private.secret s where s.id = p_id $$;
comment on function orbit_private.drop_secret is 'Forgets a sealed value; null and unknown ids are nothing to forget.';

-- Definer: whoever may delete the row need not be allowed to see its secret.
create function orbit_private.tg_drop_secret()
returns trigger language plpgsql security definer set search_path = '' as $$
begin
  delete from orbit_private.secret s using gone g where s.id = g.secret_id;
  return null;
end $$;
comment on function orbit_private.tg_drop_secret is 'After a statement that deleted rows of a table with secret_id (referencing old table as gone): their values go with them.';

-- What callers ask -----------------------------------------------------------------------------------------------------------------

-- Whose a secret is, is said by what points to it: a variable of some scope (0400); else it is the organisation's.

create function orbit_private.secret_owner(p_secret orbit_private.secret,
  out name text, out scope text, out resource_type text, out resource_id uuid, out is_seen boolean)
language plpgsql stable set search_path = '' as $$
declare v_scope_id uuid;
begin
  select v.name, v.scope, v.scope_id into name, scope, v_scope_id from orbit_private.variable v where v.secret_id = p_secret.id;
  resource_type := case coalesce(scope, 'global') when 'global' then 'organization' when 'test' then 'suite' else scope end;
  resource_id := case coalesce(scope, 'global') when 'global' then p_secret.organization_id
    when 'test' then (select c.suite_id from orbit.test_cases c where c.id = v_scope_id) else v_scope_id end;
  is_seen := orbit_private.may(case resource_type when 'organization' then 'organization.read' when 'business_unit' then 'business_unit.read'
    else 'project.read' end, resource_type, resource_id);
end $$;
comment on function orbit_private.secret_owner is 'The variable that a secret is the value of (name and scope null: none), the resource to ask permissions of, and whether the caller sees that.';

-- Definer: the table is nobody's; what is answered are places and key ids, of what the caller sees.
create function orbit_private.list_secrets(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare v_organization_id uuid; v_project_id uuid; v_all boolean; v_after orbit_private.secret; v_limit int; v_rows jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'after', 'limit']);
  if orbit_private.nothing_saved(p_request) then
    return '[]';
  end if;
  v_organization_id := orbit_private.organization_of(p_request);
  if p_request ->> 'project' is not null then
    select p.id into v_project_id from orbit_private.project_of(p_request) p;
  end if;
  v_all := orbit_private.may('secret.read', 'organization', v_organization_id);
  v_limit := least(greatest(coalesce((p_request ->> 'limit')::int, 100), 1), 1000);
  if p_request ->> 'after' is not null then
    select * into v_after from orbit_private.secret s
      where s.organization_id = v_organization_id and s.id = orbit_private.to_uuid(p_request ->> 'after', 'after');
    if not found then
      perform orbit_private.refuse('OR002', format('no secret %s', left(p_request ->> 'after', 60)), '', 'It was deleted meanwhile: begin anew.');
    end if;
  end if;
  with named as (
    select d.secret_id, d.scope, d.name, d.project_id, d.business_unit_id from orbit.variable_definitions d
      where d.organization_id = v_organization_id and d.secret_id is not null
    union all
    select e.secret_id, 'environment', e.name, e.project_id, null from orbit.environment_variables e join orbit.projects p on p.id = e.project_id
      where p.organization_id = v_organization_id and e.secret_id is not null),
  page as (
    select s.*, n.scope, n.name, j.slug as project
      from orbit_private.secret s left join named n on n.secret_id = s.id left join orbit.projects j on j.id = n.project_id
      where s.organization_id = v_organization_id and (v_project_id is null or n.project_id = v_project_id) and s.place not like 'credential:%'
        and (v_after.id is null or (s.place, s.id) > (v_after.place, v_after.id))
        and (v_all or n.scope = 'global' or n.project_id = any (array(select orbit_private.my_project_ids()))
             or n.business_unit_id = any (array(select orbit_private.my_business_unit_ids())))
      order by s.place, s.id limit v_limit)
  select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'name', g.name, 'scope', g.scope, 'project', g.project, 'place', g.place,
      'form', split_part(g.sealed, '.', 2), 'key_id', g.key_id, 'version', g.version, 'created_at', g.created_at, 'updated_at', g.updated_at,
      'rotated_at', g.rotated_at) order by g.place, g.id), '[]') into v_rows from page g;
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, 'limit is no whole number');
end $$;
comment on function orbit_private.list_secrets is 'See orbit.list_secrets.';

create function orbit.list_secrets(p_request jsonb default '{}')
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.list_secrets(p_request) $$;
comment on function orbit.list_secrets is
  'Secrets without their values: {organization?, project?, after? (an id), limit?: 100, at most 1000} → [{id, name, scope, project, place, form: seal | pgp, key_id, version, created_at, updated_at, rotated_at}], by place. name and scope are null for what is no variable.';

-- Definer: it calls what is granted to nobody; set_variables asks whether the caller may.
create function orbit_private.set_secret(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_scope text; v_set jsonb; v_place text;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'business_unit', 'project', 'environment', 'suite', 'test', 'scope', 'name', 'value',
    'key', 'description', 'uses']);
  perform orbit_private.required(p_request, 'name');
  v_scope := coalesce(p_request ->> 'scope', case when p_request ->> 'environment' is not null then 'environment' when p_request ->> 'test' is not null then 'test'
    when p_request ->> 'suite' is not null then 'suite' when p_request ->> 'business_unit' is not null then 'business_unit' else 'project' end);
  if coalesce(jsonb_typeof(p_request -> 'value'), 'null') = 'null' then
    perform orbit_private.refuse('OR001', 'value is missing', '', 'It is any JSON but null: sealed, or in clear where the database or `key` has a key.');
  end if;
  v_set := orbit_private.set_variables(p_request - array['name', 'value', 'key', 'description', 'uses'] || jsonb_build_object('scope', v_scope,
    'secret_key', p_request -> 'key', 'variables', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('name', p_request -> 'name', 'secret', true,
      'description', p_request -> 'description', 'uses', p_request -> 'uses')) || jsonb_build_object('value', p_request -> 'value'))));
  v_place := format('%s:%s:%s', v_scope, v_set ->> 'of', p_request ->> 'name');
  return jsonb_build_object('scope', v_scope, 'of', v_set -> 'of', 'name', p_request -> 'name', 'place', v_place);
end $$;
comment on function orbit_private.set_secret is 'See orbit.set_secret.';

create function orbit.set_secret(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.set_secret(p_request) $$;
comment on function orbit.set_secret is
  'Sets a secret variable, new or not: {organization?, scope?, business_unit | project? | environment | suite | test, name, value, key?, description?, uses?} → {scope, of, name, place}. value: sealed for <scope>:<of>:<name>, or in clear: then the database seals it, with its Vault''s key or `key` (OR008 without). scope: the narrowest that is named, else project.';

create function orbit_private.secret_of(p_request jsonb)
returns orbit_private.secret language plpgsql set search_path = '' as $$
declare v_secret orbit_private.secret; v_scope text := p_request ->> 'scope'; v_name text; v_seen boolean;
begin
  if p_request ->> 'id' is not null then
    select * into v_secret from orbit_private.secret s where s.id = orbit_private.to_uuid(p_request ->> 'id', 'id');
    if v_secret.id is not null then
      select o.is_seen into v_seen from orbit_private.secret_owner(v_secret) o;
    end if;
    if v_seen is not true then
      perform orbit_private.refuse('OR002', format('no secret %s', p_request ->> 'id'), '', 'List them: orbit secret list, or orbit.list_secrets.');
    end if;
    return v_secret;
  end if;
  v_name := orbit_private.required(p_request, 'name');
  v_scope := coalesce(v_scope, case when p_request ->> 'environment' is not null then 'environment' when p_request ->> 'test' is not null then 'test'
    when p_request ->> 'suite' is not null then 'suite' when p_request ->> 'business_unit' is not null then 'business_unit' else 'project' end);
  select s.* into v_secret from orbit_private.variable_scopes(orbit_private.variable_place_of(p_request - array['id', 'name', 'scope', 'key'], v_scope)) p
    join orbit_private.variable v on v.scope_id = p.scope_id and v.scope = p.scope and v.name = v_name
    join orbit_private.secret s on s.id = v.secret_id where p.scope = v_scope;
  if v_secret.id is null then
    perform orbit_private.refuse('OR002', format('no secret %s of the %s', left(v_name, 200), replace(v_scope, '_', ' ')), '', 'List them: orbit secret list, or orbit.list_secrets.');
  end if;
  return v_secret;
end $$;
comment on function orbit_private.secret_of is 'The secret that a request names, by id or as the variable it is; OR002 where the caller does not see it.';

-- Definer: the table is nobody's. Asks for secret.read where the secret is, and writes each look down.
create function orbit_private.read_secret(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_secret orbit_private.secret; v_owner record; v_value jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'business_unit', 'project', 'environment', 'suite', 'test', 'scope', 'name', 'id', 'key']);
  v_secret := orbit_private.secret_of(p_request);
  if v_secret.place like 'credential:%' then
    perform orbit_private.refuse('OR002', format('no secret %s', p_request ->> 'id'), '', 'What belongs to a credential is told to nobody.');
  end if;
  v_owner := orbit_private.secret_owner(v_secret);
  perform orbit_private.require('secret.read', v_owner.resource_type, v_owner.resource_id);
  if v_secret.sealed like 'orbit.pgp.%' then
    v_value := orbit_private.open_pgp(v_secret.sealed, v_secret.place, p_request ->> 'key');
  end if;
  perform orbit_private.take(v_secret.organization_id, 'read_secret');
  perform orbit_private.audit(v_secret.organization_id, 'secret.read', 'secret', v_secret.id::text, null,
    jsonb_build_object('place', v_secret.place, 'version', v_secret.version));
  return jsonb_build_object('id', v_secret.id, 'place', v_secret.place, 'key_id', v_secret.key_id, 'version', v_secret.version)
    || case when v_value is null then jsonb_build_object('sealed', v_secret.sealed) else jsonb_build_object('value', v_value) end;
end $$;
comment on function orbit_private.read_secret is 'See orbit.read_secret.';

create function orbit.read_secret(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.read_secret(p_request) $$;
comment on function orbit.read_secret is
  'A secret''s value, for who may do secret.read there; each look is in the audit log: {id} or {organization?, scope?, business_unit | project? | environment | suite | test, name}, key? → {id, place, key_id, version} with `sealed`, to be opened by the client, or with `value` where the database sealed it (OR008 where neither its Vault nor `key` has the key).';

-- Rotation -------------------------------------------------------------------------------------------------------------------------

-- Definer: the table is nobody's. Asks for secret.write in the whole organisation.
create function orbit_private.rotate_secrets(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
-- One page a call, by id. What is done is not looked at again, so that whoever was interrupted begins anew; each page is whole or was
-- never there. What the database sealed it seals anew; what clients sealed is listed, for them to replace; but not
-- people's own credentials, which are told to nobody but administrative roles: whoever saved one saves it anew.
declare
  v_organization_id uuid; v_limit int; v_target text; v_client text := p_request ->> 'key_id'; v_at uuid; v_done int := 0; v_seen int := 0;
  v_secret orbit_private.secret; v_sealed jsonb := '[]'; v_locked jsonb := '[]'; v_known text[]; v_next uuid;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'key', 'key_id', 'after', 'limit']);
  v_organization_id := orbit_private.organization_of(p_request);
  perform orbit_private.require('secret.write', 'organization', v_organization_id);
  if v_client !~ '^[A-Za-z0-9_-]{8}$' then
    perform orbit_private.refuse('OR001', 'key_id is no name of a key', '', 'It is the first 8 characters of base64url(SHA-256(key)); leave it out to list nothing.');
  end if;
  v_limit := least(greatest(coalesce((p_request ->> 'limit')::int, 100), 1), 1000);
  v_at := orbit_private.to_uuid(p_request ->> 'after', 'after');
  v_known := array(select k.key_id from orbit_private.secret_keys(p_request ->> 'key') k order by k.n);
  v_target := v_known[1];
  for v_secret in
    select * from orbit_private.secret s where s.organization_id = v_organization_id and (v_at is null or s.id > v_at)
        and case when s.sealed like 'orbit.pgp.%' then s.key_id is distinct from v_target else s.key_id <> v_client end
      order by s.id limit v_limit for update
  loop
    v_seen := v_seen + 1;
    v_next := v_secret.id;
    if v_secret.sealed not like 'orbit.pgp.%' and (v_secret.place not like 'credential:%' or orbit_private.caller_is_trusted()) then
      v_sealed := v_sealed || jsonb_build_object('id', v_secret.id, 'place', v_secret.place, 'key_id', v_secret.key_id, 'version', v_secret.version, 'sealed', v_secret.sealed);
    elsif v_secret.sealed like 'orbit.pgp.%' and v_secret.key_id = any (v_known) then
      update orbit_private.secret s set rotated_at = clock_timestamp(),
          sealed = orbit_private.seal_pgp(orbit_private.open_pgp(s.sealed, s.place, p_request ->> 'key'), s.place, p_request ->> 'key')
        where s.id = v_secret.id;
      v_done := v_done + 1;
    else
      v_locked := v_locked || jsonb_build_object('id', v_secret.id, 'place', v_secret.place, 'key_id', v_secret.key_id);
    end if;
  end loop;
  if v_done > 0 then
    perform orbit_private.audit(v_organization_id, 'secret.rotate', 'organization', v_organization_id::text, null, jsonb_build_object('key_id', v_target, 'secrets', v_done));
  end if;
  if v_sealed <> '[]' then
    perform orbit_private.audit(v_organization_id, 'secret.read', 'organization', v_organization_id::text, null,
      jsonb_build_object('to_rotate', jsonb_array_length(v_sealed)));
  end if;
  return jsonb_build_object('key_id', v_target, 'rotated', v_done, 'sealed', v_sealed, 'locked', v_locked, 'next', case when v_seen = v_limit then v_next end);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, 'limit is no whole number');
end $$;
comment on function orbit_private.rotate_secrets is 'See orbit.rotate_secrets.';

create function orbit.rotate_secrets(p_request jsonb default '{}')
returns jsonb language sql set search_path = '' as $$ select orbit_private.rotate_secrets(p_request) $$;
comment on function orbit.rotate_secrets is
  'Moves secrets to the first key, a page a call: {organization?, key? (keys for what the database sealed, the new one first; the Vault''s come before), key_id? (of the key that clients seal with now), after?, limit?: 100} → {key_id, rotated, sealed: [{id, place, key_id, version, sealed}] (for replace_secret), locked: [{id, place, key_id}] (no key at hand, or a credential that a client sealed, for its owner to save anew), next}. Call it again with after = next until that is null.';

-- Definer: as rotate_secrets.
create function orbit_private.replace_secret(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_secret orbit_private.secret; v_owner record; v_sealed text;
begin
  perform orbit_private.refuse_unknown(p_request, array['id', 'expected_key_id', 'expected_version', 'sealed']);
  perform orbit_private.required(p_request, 'id');
  v_sealed := orbit_private.required(p_request, 'sealed');
  v_secret := orbit_private.secret_of(p_request);
  if v_secret.place like 'credential:%' and not orbit_private.caller_is_trusted() then
    perform orbit_private.refuse('OR002', format('no secret %s', p_request ->> 'id'), '', 'What belongs to a credential is changed by whoever saved it: orbit credential add.');
  end if;
  v_owner := orbit_private.secret_owner(v_secret);
  perform orbit_private.require('secret.write', v_owner.resource_type, v_owner.resource_id);
  if v_sealed !~ '^orbit\.seal\.v1\.[A-Za-z0-9_-]{8}\.[A-Za-z0-9_-]{38,}$' then
    perform orbit_private.refuse('OR001', 'sealed is no value that a client sealed', '', 'It begins with orbit.seal.v1. and was sealed for the secret''s place.');
  end if;
  update orbit_private.secret s set sealed = v_sealed, rotated_at = now()
    where s.id = v_secret.id and s.key_id = orbit_private.required(p_request, 'expected_key_id')
      and s.version = orbit_private.required(p_request, 'expected_version')::int returning * into v_secret;
  if not found then
    perform orbit_private.refuse('OR004', format('the secret %s is not what it was', v_secret.place),
      'it was set or rotated by somebody else meanwhile', 'Nothing was changed. Ask rotate_secrets again.');
  end if;
  perform orbit_private.audit(v_secret.organization_id, 'secret.rotate', 'secret', v_secret.id::text, null,
    jsonb_build_object('place', v_secret.place, 'key_id', v_secret.key_id, 'version', v_secret.version));
  return jsonb_build_object('id', v_secret.id, 'key_id', v_secret.key_id, 'version', v_secret.version);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, 'expected_version is no whole number');
end $$;
comment on function orbit_private.replace_secret is 'See orbit.replace_secret.';

create function orbit.replace_secret(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.replace_secret(p_request) $$;
comment on function orbit.replace_secret is
  'Puts the same value, sealed with another key, in the place of a secret, if nobody changed it meanwhile (else OR004): {id, expected_key_id, expected_version, sealed} → {id, key_id, version}.';

grant execute on function orbit_private.list_secrets, orbit_private.set_secret, orbit_private.read_secret, orbit_private.rotate_secrets,
  orbit_private.replace_secret to authenticated, service_role;
grant execute on function orbit.list_secrets, orbit.set_secret, orbit.read_secret, orbit.rotate_secrets, orbit.replace_secret to authenticated, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
