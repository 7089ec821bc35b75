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

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
