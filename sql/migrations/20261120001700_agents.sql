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
    else (select format('a capability is never %s', coalesce(left(to_jsonb(c)::text, 70), 'null'))
            from unnest(p_capabilities) with ordinality x (c, n)
            where c is null or c !~ '^[a-z0-9][a-z0-9._:-]{0,59}$' order by n limit 1) end
$$;
comment on function orbit_private.capabilities_problem is 'What is wrong with a list of capabilities, in a few words; null where nothing is. Each is 1 to 60 of a-z, 0-9 and ._:- and begins with a letter or digit.';
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

select orbit_private.audited('orbit.worker_tokens', 'worker_token', p_masked => '{hash}', p_left_out => '{last_used_at}');

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
