-- Agents: what a worker shows to register, and what it may do with that.
--
--   worker_tokens   shown by a worker on any machine; says for which organisation it works, and what it may say it can
--   worker_policy   whether a worker of the role orbit_runner must show one
--
-- A token bounds a worker, not the database role it comes by: see the head of 0800_runner.

create table orbit.worker_tokens (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid references orbit.organizations (id) on delete cascade,
  name text not null,
  prefix text not null,
  hash bytea not null,
  capabilities text[] not null default '{http}',
  created_by uuid references orbit.users (id) on delete set null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  revoked_by uuid references orbit.users (id) on delete set null,
  constraint worker_tokens_hash_key unique (hash),
  constraint worker_tokens_hash_check check (length(hash) = 32),
  constraint worker_tokens_name_check check (length(name) between 1 and 200),
  constraint worker_tokens_prefix_check check (prefix ~ '^orbit_worker_[0-9a-f]{8}$'),
  constraint worker_tokens_capabilities_check check (cardinality(capabilities) between 1 and 50),
  constraint worker_tokens_expires_after_creation_check check (expires_at > created_at),
  constraint worker_tokens_revoked_check check (revoked_by is null or revoked_at is not null)
);
-- One living token of a name; what was revoked stays as history.
create unique index worker_tokens_living_key on orbit.worker_tokens (organization_id, name) nulls not distinct where revoked_at is null;
create index idx_worker_tokens_organization_id on orbit.worker_tokens (organization_id, created_at desc);
create index idx_worker_tokens_created_by on orbit.worker_tokens (created_by);
create index idx_worker_tokens_revoked_by on orbit.worker_tokens (revoked_by);
comment on table orbit.worker_tokens is 'What a worker shows to register. The token itself is answered once, when it is made, and kept nowhere.';
comment on column orbit.worker_tokens.id is 'Drawn at random.';
comment on column orbit.worker_tokens.organization_id is 'Whose tests its workers run; null: everybody''s, which administrative roles alone make.';
comment on column orbit.worker_tokens.name is 'Where it is used: lab-berlin.';
comment on column orbit.worker_tokens.prefix is 'Its first 21 characters, by which it is recognised.';
comment on column orbit.worker_tokens.hash is 'SHA-256 of the token. It holds 244 random bits, which need no slower hash. Not readable by clients.';
comment on column orbit.worker_tokens.capabilities is 'The most that its workers may say they can.';
comment on column orbit.worker_tokens.created_by is 'Who made it; null for administrative roles, or where the account is gone.';
comment on column orbit.worker_tokens.created_at is 'When it was made.';
comment on column orbit.worker_tokens.expires_at is 'Until when it holds; null: until it is revoked.';
comment on column orbit.worker_tokens.last_used_at is 'When a worker last registered with it, to the minute; null: never.';
comment on column orbit.worker_tokens.revoked_at is 'When it was taken back.';
comment on column orbit.worker_tokens.revoked_by is 'Who took it back.';

create table orbit_private.worker_policy (
  single boolean primary key default true,
  tokens_required boolean not null default false,
  changed_at timestamptz not null default now(),
  constraint worker_policy_single_check check (single)
);
alter table orbit_private.worker_policy enable row level security;
comment on table orbit_private.worker_policy is 'What the installation asks of its workers: one row.';
comment on column orbit_private.worker_policy.single is 'True: there is no second row.';
comment on column orbit_private.worker_policy.tokens_required is 'Whether a worker registers only with a token, unless an administrative role runs it.';
comment on column orbit_private.worker_policy.changed_at is 'When that was last said.';
insert into orbit_private.worker_policy (single) values (true);

alter table orbit.worker_tokens enable row level security;
grant select (id, organization_id, name, prefix, capabilities, created_by, created_at, expires_at, last_used_at, revoked_at, revoked_by) on orbit.worker_tokens to authenticated;
grant all on orbit.worker_tokens to service_role;
create policy worker_tokens_select on orbit.worker_tokens for select to authenticated
  using (organization_id = any (array(select orbit_private.my_organization_ids('worker.token'))));

-- What a registration asks -----------------------------------------------------------------------------------------------------------

create function orbit_private.capabilities_problem(p_capabilities text[])
returns text language sql immutable set search_path = '' as $$
  select case
    when coalesce(cardinality(p_capabilities), 0) = 0 then 'there is no capability'
    when cardinality(p_capabilities) > 50 then format('%s capabilities are more than 50', cardinality(p_capabilities))
    else (select format('%s is no capability', coalesce(left(to_jsonb(c)::text, 80), 'null'))
            from unnest(p_capabilities) with ordinality x (c, n)
            where c is null or c !~ '^[a-z0-9][a-z0-9._:-]{0,62}$' order by n limit 1) end
$$;
comment on function orbit_private.capabilities_problem is 'What is wrong with a list of capabilities, in a few words; null where nothing is. Each is 1 to 63 of a-z, 0-9 and ._:- and begins with a letter or digit.';
grant execute on function orbit_private.capabilities_problem to authenticated, service_role;

create function orbit_private.worker_token_holds(p_id uuid, p_now timestamptz default clock_timestamp())
returns boolean language sql stable set search_path = '' as $$
  select exists (select from orbit.worker_tokens t where t.id = p_id and t.revoked_at is null and (t.expires_at is null or t.expires_at > p_now))
$$;
comment on function orbit_private.worker_token_holds is 'Whether that token is neither revoked nor over.';

create function orbit_private.worker_token_of(p_token text, p_now timestamptz default clock_timestamp())
returns orbit.worker_tokens language plpgsql set search_path = '' as $$
declare v_row orbit.worker_tokens;
begin
  if p_token is null then
    if (select p.tokens_required from orbit_private.worker_policy p) and not orbit_private.caller_is_trusted() then
      perform orbit_private.refuse('OR003', 'this installation takes no worker without a token', '',
        'An admin of the organisation makes one: orbit agent-token create NAME. The worker is given it in ORBIT_WORKER_TOKEN.');
    end if;
    return v_row;
  end if;
  select * into v_row from orbit.worker_tokens t where t.hash = sha256(convert_to(p_token, 'utf8'));
  if v_row.id is null or not orbit_private.worker_token_holds(v_row.id, p_now) then
    -- Whoever shows a wrong one is not told why it is wrong.
    perform orbit_private.refuse('OR003', 'the worker token is not valid', '', 'It may be revoked or over: orbit agent-token list says which hold.');
  end if;
  -- To the minute: a fleet that comes back at once must not wait for itself.
  update orbit.worker_tokens t set last_used_at = p_now
    where t.id = v_row.id and (t.last_used_at is null or t.last_used_at < p_now - interval '1 minute');
  return v_row;
end $$;
comment on function orbit_private.worker_token_of is 'The token that a worker shows; OR003 unless it holds. Of no token (null) the row is all null, and OR003 where the installation requires one.';

-- What people call -------------------------------------------------------------------------------------------------------------------

create function orbit_private.agent_token_row(p orbit.worker_tokens)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', p.id, 'organization_id', p.organization_id, 'organization', (select o.slug from orbit.organizations o where o.id = p.organization_id),
    'name', p.name, 'prefix', p.prefix, 'capabilities', p.capabilities, 'created_by', p.created_by, 'created_at', p.created_at, 'expires_at', p.expires_at,
    'last_used_at', p.last_used_at, 'revoked_at', p.revoked_at)
$$;
comment on function orbit_private.agent_token_row is 'A worker token as callers see it: without its hash.';

-- Definer: it asks require() in the name of functions that write.
create function orbit_private.agent_token_place(p_request jsonb)
returns uuid language plpgsql stable security definer set search_path = '' as $$
declare v_organization_id uuid;
begin
  if coalesce((p_request ->> 'any_organization')::boolean, false) then
    if p_request ->> 'organization' is not null then
      perform orbit_private.refuse('OR001', 'organization and any_organization exclude each other', '', 'Leave one of them out.');
    elsif not orbit_private.caller_is_trusted() then
      perform orbit_private.refuse('OR003', 'administrative roles alone have workers for every organisation', '', 'Name your organisation instead.');
    end if;
    return null;
  end if;
  v_organization_id := orbit_private.organization_of(p_request);
  perform orbit_private.require('worker.token', 'organization', v_organization_id);
  return v_organization_id;
end $$;
comment on function orbit_private.agent_token_place is 'The organisation whose worker tokens a request is about, after require(); null with any_organization, which only administrative roles may say.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.create_agent_token(p_request jsonb, p_now timestamptz default now())
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_name text := orbit_private.required(p_request, 'name'); v_organization_id uuid; v_row orbit.worker_tokens; v_problem text;
  v_expires timestamptz := (p_request ->> 'expires_at')::timestamptz; v_capabilities text[] := '{http}'; v_token text := orbit_private.draw_token('orbit_worker_');
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'any_organization', 'name', 'capabilities', 'expires_at']);
  v_organization_id := orbit_private.agent_token_place(p_request);
  if jsonb_typeof(p_request -> 'capabilities') = 'array' then
    v_problem := orbit_private.capabilities_problem(array(select jsonb_array_elements_text(p_request -> 'capabilities')));
    select array_agg(distinct c order by c) into v_capabilities from (
      select 'http' as c union all select jsonb_array_elements_text(p_request -> 'capabilities')) x;
  elsif p_request ->> 'capabilities' is not null then
    v_problem := 'capabilities is not a list';
  end if;
  v_problem := coalesce(v_problem, case
    when length(v_name) > 200 or v_name ~ '[[:cntrl:]]' then 'a token''s name has 1 to 200 characters, none of them a control character'
    when v_expires <= p_now then format('expires_at is over: %s', v_expires) end);
  if v_problem is not null then
    perform orbit_private.refuse('OR001', v_problem, '', 'A capability is a word like docker, android or browser:firefox: up to 63 lower-case letters, digits and ._:-');
  end if;
  insert into orbit.worker_tokens (organization_id, name, prefix, hash, capabilities, created_by, created_at, expires_at)
    values (v_organization_id, v_name, left(v_token, 21), sha256(convert_to(v_token, 'utf8')), v_capabilities,
            (select u.id from orbit.users u where u.id = (select auth.uid())), p_now, v_expires)
    on conflict (organization_id, name) where revoked_at is null do nothing returning * into v_row;
  if v_row.id is null then
    perform orbit_private.refuse('OR004', format('there is a worker token %s already', v_name), '', 'Revoke it first, or choose another name.');
  end if;
  return orbit_private.agent_token_row(v_row) || jsonb_build_object('token', v_token);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.create_agent_token is 'See orbit.create_agent_token.';

create function orbit.create_agent_token(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.create_agent_token(p_request) $$;
comment on function orbit.create_agent_token is 'Makes a token that workers register with: {organization? | any_organization? = false, name, capabilities? = ["http"], expires_at?}. capabilities: the most that its workers may say they can; http is always among them. Answers it with `token`, this once. OR003 without worker.token, OR004 where a living one has the name.';

create function orbit.list_agent_tokens(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_organization_id uuid; v_rows jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'limit']);
  if p_request ->> 'organization' is not null or not orbit_private.caller_is_trusted() then
    v_organization_id := orbit_private.organization_of(p_request);
    perform orbit_private.require('worker.token', 'organization', v_organization_id);
  end if;
  select coalesce(jsonb_agg(to_jsonb(t) order by t.created_at desc, t.id), '[]') into v_rows from (
    select k.id, k.organization_id, o.slug as organization, k.name, k.prefix, k.capabilities, k.created_by, k.created_at, k.expires_at, k.last_used_at, k.revoked_at
      from orbit.worker_tokens k left join orbit.organizations o on o.id = k.organization_id
      where v_organization_id is null or k.organization_id = v_organization_id order by k.created_at desc limit orbit_private.limit_of(p_request)) t;
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_agent_tokens is 'Worker tokens, the newest first, revoked ones included: {organization?, limit? = 50, at most 1000} → [{id, organization_id, organization, name, prefix, capabilities, created_by, created_at, expires_at, last_used_at, revoked_at}]. Administrative roles that name no organisation see all. OR003 without worker.token.';

-- Definer: as create_agent_token.
create function orbit_private.revoke_agent_token(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_name text := orbit_private.required(p_request, 'name'); v_organization_id uuid; v_row orbit.worker_tokens;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'any_organization', 'name']);
  v_organization_id := orbit_private.agent_token_place(p_request);
  update orbit.worker_tokens k set revoked_at = now(), revoked_by = (select u.id from orbit.users u where u.id = (select auth.uid()))
    where k.organization_id is not distinct from v_organization_id and k.name = v_name and k.revoked_at is null returning * into v_row;
  if not found then
    perform orbit_private.refuse('OR002', format('no living worker token %s', left(v_name, 200)), '', 'List them: orbit agent-token list, or orbit.list_agent_tokens.');
  end if;
  return orbit_private.agent_token_row(v_row);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.revoke_agent_token is 'See orbit.revoke_agent_token.';

create function orbit.revoke_agent_token(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.revoke_agent_token(p_request) $$;
comment on function orbit.revoke_agent_token is 'Takes a worker token back, for good: {organization? | any_organization? = false, name}. Answers it. Workers that registered with it end at their next heartbeat, and what they held goes to others. OR002, OR003 without worker.token.';

-- Definer: the policy is nobody's table.
create function orbit_private.set_worker_policy(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_row orbit_private.worker_policy;
begin
  perform orbit_private.refuse_unknown(p_request, array['tokens_required']);
  if not orbit_private.caller_is_trusted() then
    perform orbit_private.refuse('OR003', 'administrative roles alone say what the installation asks of its workers', '', 'Ask whoever runs the database.');
  end if;
  if coalesce(jsonb_typeof(p_request -> 'tokens_required'), 'boolean') not in ('boolean', 'null') then
    perform orbit_private.refuse('OR001', 'tokens_required is true or false');
  end if;
  update orbit_private.worker_policy p set tokens_required = (p_request ->> 'tokens_required')::boolean, changed_at = clock_timestamp()
    where p.tokens_required is distinct from (p_request ->> 'tokens_required')::boolean and p_request ->> 'tokens_required' is not null;
  select * into v_row from orbit_private.worker_policy p;
  return jsonb_build_object('tokens_required', v_row.tokens_required, 'changed_at', v_row.changed_at);
end $$;
comment on function orbit_private.set_worker_policy is 'See orbit.set_worker_policy.';

create function orbit.set_worker_policy(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.set_worker_policy(p_request) $$;
comment on function orbit.set_worker_policy is 'What the installation asks of its workers: {tokens_required?}; what is not said stays → {tokens_required, changed_at}. With tokens_required, a worker whose database role is not administrative registers only with a token; who is registered stays until it registers anew. For administrative roles: OR003.';

grant execute on function orbit_private.create_agent_token, orbit_private.revoke_agent_token, orbit_private.set_worker_policy to authenticated, service_role;
grant execute on function orbit.create_agent_token, orbit.list_agent_tokens, orbit.revoke_agent_token, orbit.set_worker_policy to authenticated, service_role;

select orbit_private.audited('orbit.worker_tokens', 'worker_token', p_masked => '{hash}', p_left_out => '{last_used_at}');
select orbit_private.audited('orbit_private.worker_policy', 'worker_policy', p_left_out => '{changed_at}');

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
