-- Audit: who changed what, from where, in a chain that shows when somebody touched it afterwards.
--
--   audit()       called by functions for what is done (run.start, secret.read, …)
--   tg_audit      on every table of configuration, put there by audited(): what was created, changed, deleted
--        │
--        ▼
--   audit_pending   a transaction's own entries, while it works: nobody waits for anybody
--        │ at commit, under the lock of each organisation's audit_head, in one order
--        ▼
--   audit_log       numbered without gaps, each entry's hash over its text and the hash before it
--
-- Whoever owns the database can rewrite the whole chain. What they cannot do is to make it end in a hash that somebody else keeps:
-- verify_audit({head}) compares with that.

create table orbit.audit_log (
  organization_id uuid not null,
  number bigint not null,
  at timestamptz not null,
  user_id uuid,
  actor text not null,
  address text,
  agent text,
  action text not null,
  resource_type text not null,
  resource_id text,
  resource_name text,
  before jsonb,
  after jsonb,
  hash bytea not null,
  primary key (organization_id, number),
  constraint audit_log_number_check check (number > 0),
  constraint audit_log_hash_check check (length(hash) = 32)
);
create index idx_audit_log_organization_id_at on orbit.audit_log (organization_id, at);
comment on table orbit.audit_log is 'Who did what. Entries are only ever added; retention alone drops the oldest. No foreign keys: it outlives what it tells of, the organisation included.';
comment on column orbit.audit_log.organization_id is 'Whose chain; all zeros for what belongs to no organisation.';
comment on column orbit.audit_log.number is 'From 1, without gaps, in the order of commits.';
comment on column orbit.audit_log.at is 'When it was done; may differ from the order of numbers by the length of a transaction.';
comment on column orbit.audit_log.user_id is 'The signed-in person; null for a database role.';
comment on column orbit.audit_log.actor is 'The person''s e-mail address at that time, or the name of the database role.';
comment on column orbit.audit_log.address is 'X-Forwarded-For as the request carried it, which a client may have begun with a lie; else the address of the database connection.';
comment on column orbit.audit_log.agent is 'The request''s User-Agent, else the application_name of the database connection: a worker''s name, say.';
comment on column orbit.audit_log.action is 'thing.verb: environment.update, run.cancel, secret.read.';
comment on column orbit.audit_log.resource_type is 'The kind of what it was done to.';
comment on column orbit.audit_log.resource_id is 'Its id; where the key has several columns, joined by a slash.';
comment on column orbit.audit_log.resource_name is 'Its key, slug, name or address at that time.';
comment on column orbit.audit_log.before is 'What it was: of a change, the fields that changed. Secrets are masked, long values shortened to a digest.';
comment on column orbit.audit_log.after is 'What it became, likewise.';
comment on column orbit.audit_log.hash is 'sha256 over the hash of the entry before and audit_text() of this one.';

create table orbit_private.audit_head (
  organization_id uuid primary key,
  number bigint not null,
  hash bytea not null,
  anchor_number bigint not null default 0,
  anchor_hash bytea not null,
  anchored_at timestamptz,
  constraint audit_head_anchor_check check (anchor_number between 0 and number)
);
alter table orbit_private.audit_head enable row level security;
comment on table orbit_private.audit_head is 'Where each chain ends, and where it begins since the oldest entries were dropped. Its lock is what orders commits.';
comment on column orbit_private.audit_head.organization_id is 'Whose chain.';
comment on column orbit_private.audit_head.number is 'The newest entry''s number; 0 while there is none.';
comment on column orbit_private.audit_head.hash is 'The newest entry''s hash.';
comment on column orbit_private.audit_head.anchor_number is 'The newest entry that retention dropped; 0 while it dropped none.';
comment on column orbit_private.audit_head.anchor_hash is 'That entry''s hash: what the oldest entry kept builds on.';
comment on column orbit_private.audit_head.anchored_at is 'When retention last dropped entries.';

create table orbit_private.audit_pending (
  xact xid8 not null,
  seq bigint generated always as identity,
  first boolean not null,
  closing boolean not null default false,
  organization_id uuid not null,
  at timestamptz not null,
  user_id uuid,
  actor text not null,
  address text,
  agent text,
  action text not null,
  resource_type text not null,
  resource_id text,
  resource_name text,
  before jsonb,
  after jsonb,
  primary key (xact, seq)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
alter table orbit_private.audit_pending enable row level security;
comment on table orbit_private.audit_pending is 'Entries of transactions that have not committed yet; always empty to everybody else.';
comment on column orbit_private.audit_pending.xact is 'The transaction whose entry it is.';
comment on column orbit_private.audit_pending.seq is 'Their order.';
comment on column orbit_private.audit_pending.first is 'Whether it was the transaction''s first: that one brings all of them to the chain.';
comment on column orbit_private.audit_pending.closing is 'Set when the transaction commits, after what else was put off until then.';
comment on column orbit_private.audit_pending.organization_id is 'This and the rest as in audit_log.';
comment on column orbit_private.audit_pending.at is 'See audit_log.';
comment on column orbit_private.audit_pending.user_id is 'See audit_log.';
comment on column orbit_private.audit_pending.actor is 'See audit_log.';
comment on column orbit_private.audit_pending.address is 'See audit_log.';
comment on column orbit_private.audit_pending.agent is 'See audit_log.';
comment on column orbit_private.audit_pending.action is 'See audit_log.';
comment on column orbit_private.audit_pending.resource_type is 'See audit_log.';
comment on column orbit_private.audit_pending.resource_id is 'See audit_log.';
comment on column orbit_private.audit_pending.resource_name is 'See audit_log.';
comment on column orbit_private.audit_pending.before is 'See audit_log.';
comment on column orbit_private.audit_pending.after is 'See audit_log.';

-- Writing ----------------------------------------------------------------------------------------------------------------------

-- Not for clients: it believes what it is told. Functions that run as the owner call it.
create function orbit_private.audit(p_organization_id uuid, p_action text, p_resource_type text, p_resource_id text,
  p_before jsonb default null, p_after jsonb default null, p_resource_name text default null)
returns void language plpgsql set search_path = '' as $$
declare
  v_user uuid := auth.uid();
  v_headers jsonb := nullif(current_setting('request.headers', true), '');
  v_xact xid8 := pg_current_xact_id();
begin
  insert into orbit_private.audit_pending (xact, first, organization_id, at, user_id, actor, address, agent, action,
                                           resource_type, resource_id, resource_name, before, after)
    values (v_xact, not exists (select from orbit_private.audit_pending p where p.xact = v_xact),
            coalesce(p_organization_id, '00000000-0000-0000-0000-000000000000'), clock_timestamp(), v_user,
            coalesce(case when v_user is not null then coalesce((select u.email from orbit.users u where u.id = v_user), v_user::text) end,
                     nullif(current_setting('role', true), 'none'), session_user),
            left(coalesce(v_headers ->> 'x-forwarded-for', host(inet_client_addr())), 200),
            left(coalesce(v_headers ->> 'user-agent', nullif(current_setting('application_name', true), '')), 300),
            p_action, p_resource_type, p_resource_id, left(p_resource_name, 300),
            orbit_private.without_secrets(p_before), orbit_private.without_secrets(p_after));
end $$;
comment on function orbit_private.audit is 'Writes an entry, numbered and chained when the transaction commits. Without an organisation it goes into the system''s own chain. Sealed values are masked; other secrets the caller leaves out.';

create function orbit_private.without_secrets(p_value jsonb)
returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  if p_value is null or jsonb_typeof(p_value) = 'null' then
    return null;
  elsif p_value::text ~ 'orbit\.(seal|pgp)\.v1\.' then
    return regexp_replace(p_value::text, 'orbit\.(seal|pgp)\.v1\.[^"\\]*', '(masked)', 'g')::jsonb;
  end if;
  return p_value;
end $$;
comment on function orbit_private.without_secrets is 'A JSON value in which every sealed text is masked, wherever it stands.';

create function orbit_private.audit_text(p_entry orbit.audit_log)
returns text language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_array(p_entry.organization_id, p_entry.number, to_char(p_entry.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
    p_entry.user_id, p_entry.actor, p_entry.address, p_entry.agent, p_entry.action, p_entry.resource_type, p_entry.resource_id,
    p_entry.resource_name, p_entry.before, p_entry.after)::text;
end $$;
comment on function orbit_private.audit_text is 'What of an entry is hashed: all but the hash, in one JSON array, times in UTC. The same on every server, whatever its settings.';

create function orbit_private.audit_genesis(p_organization_id uuid)
returns bytea language sql immutable set search_path = '' as $$
  select sha256(convert_to('orbit.audit.v1 ' || p_organization_id, 'UTF8'))
$$;
comment on function orbit_private.audit_genesis is 'The hash that a chain''s first entry builds on.';

-- Definer: whoever commits writes the log, and nobody else may.
create function orbit_private.tg_close_audit()
returns trigger language plpgsql security definer set search_path = '' as $$
-- Two steps, for a deferred trigger runs among the other deferred ones: the first puts the second behind all of them, so that
-- nothing is done, and nothing waited for, between the lock of a head and the commit.
begin
  update orbit_private.audit_pending p set closing = true where p.xact = new.xact and p.seq = new.seq;
  return null;
end $$;
comment on function orbit_private.tg_close_audit is 'At commit: lets tg_chain_audit come last.';

-- Definer: as tg_close_audit.
create function orbit_private.tg_chain_audit()
returns trigger language plpgsql security definer set search_path = '' as $$
declare v_entry orbit_private.audit_pending; v_head orbit_private.audit_head; v_row orbit.audit_log;
begin
  -- The heads in one order, however the transaction came by them: two that write to the same organisations never wait for each other crosswise.
  for v_entry in
    with mine as (delete from orbit_private.audit_pending p where p.xact = new.xact returning p.*)
    select * from mine m order by m.organization_id, m.seq
  loop
    if v_head.organization_id is distinct from v_entry.organization_id then
      if v_head.organization_id is not null then
        update orbit_private.audit_head h set number = v_head.number, hash = v_head.hash where h.organization_id = v_head.organization_id;
      end if;
      select * into v_head from orbit_private.audit_head h where h.organization_id = v_entry.organization_id for update;
      if not found then
        insert into orbit_private.audit_head (organization_id, number, hash, anchor_hash)
          values (v_entry.organization_id, 0, orbit_private.audit_genesis(v_entry.organization_id), orbit_private.audit_genesis(v_entry.organization_id))
          on conflict do nothing;
        select * into v_head from orbit_private.audit_head h where h.organization_id = v_entry.organization_id for update;
      end if;
    end if;
    v_row := row(v_entry.organization_id, v_head.number + 1, v_entry.at, v_entry.user_id, v_entry.actor, v_entry.address, v_entry.agent,
                 v_entry.action, v_entry.resource_type, v_entry.resource_id, v_entry.resource_name, v_entry.before, v_entry.after, null);
    v_row.hash := sha256(v_head.hash || convert_to(orbit_private.audit_text(v_row), 'UTF8'));
    insert into orbit.audit_log values (v_row.*);
    v_head.number := v_row.number; v_head.hash := v_row.hash;
  end loop;
  update orbit_private.audit_head h set number = v_head.number, hash = v_head.hash where h.organization_id = v_head.organization_id;
  return null;
end $$;
comment on function orbit_private.tg_chain_audit is 'At commit: moves the transaction''s entries into the log, with numbers and hashes.';

create constraint trigger "100_close_audit" after insert on orbit_private.audit_pending
  deferrable initially deferred for each row when (new.first) execute function orbit_private.tg_close_audit();
create constraint trigger "200_chain_audit" after update on orbit_private.audit_pending
  deferrable initially deferred for each row execute function orbit_private.tg_chain_audit();

-- Append only ------------------------------------------------------------------------------------------------------------------

create function orbit_private.tg_refuse_audit_change()
returns trigger language plpgsql set search_path = '' as $$
begin
  perform orbit_private.refuse('OR003', format('%s.%s is written by orbit_private.audit alone', tg_table_schema, tg_table_name), format('refused: %s', lower(tg_op)),
    'Entries are never changed. The oldest are dropped by retention: orbit_private.drop_audit.');
end $$;
comment on function orbit_private.tg_refuse_audit_change is 'OR003 for whoever adds, changes or removes entries by hand, the owner included.';

create function orbit_private.tg_audit_anchored()
returns trigger language plpgsql set search_path = '' as $$
begin
  if exists (select from gone g left join orbit_private.audit_head h on h.organization_id = g.organization_id
               where g.number > coalesce(h.anchor_number, 0)) then
    perform orbit_private.refuse('OR003', 'entries of the audit log are not deleted', '', 'The oldest are dropped by retention: orbit_private.drop_audit.');
  end if;
  return null;
end $$;
comment on function orbit_private.tg_audit_anchored is 'OR003 unless all that was deleted lies before its chain''s anchor.';

create function orbit_private.tg_audit_head_forward()
returns trigger language plpgsql set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    perform orbit_private.refuse('OR003', 'the head of an audit chain only moves forward');
  end if;
  if new.organization_id <> old.organization_id or new.number < old.number or new.anchor_number < old.anchor_number
     or (new.number = old.number and new.hash <> old.hash) or (new.anchor_number = old.anchor_number and new.anchor_hash <> old.anchor_hash) then
    perform orbit_private.refuse('OR003', 'the head of an audit chain only moves forward');
  end if;
  return new;
end $$;
comment on function orbit_private.tg_audit_head_forward is 'OR003 for a head or an anchor that goes back.';

-- Conditions, not functions that look: they cost every commit next to nothing.
create trigger "100_by_audit_alone" before insert on orbit.audit_log for each row when (pg_trigger_depth() = 0) execute function orbit_private.tg_refuse_audit_change();
create trigger "100_never_changed" before update or truncate on orbit.audit_log for each statement execute function orbit_private.tg_refuse_audit_change();
create trigger "100_only_what_is_anchored" after delete on orbit.audit_log referencing old table as gone
  for each statement execute function orbit_private.tg_audit_anchored();
create trigger "100_forward" before update on orbit_private.audit_head for each row
  when (new.number <= old.number or new.anchor_number <> old.anchor_number or new.anchor_hash <> old.anchor_hash or new.organization_id <> old.organization_id)
  execute function orbit_private.tg_audit_head_forward();
create trigger "100_never_deleted" before delete on orbit_private.audit_head for each row execute function orbit_private.tg_audit_head_forward();
create trigger "100_never_emptied" before truncate on orbit_private.audit_head for each statement execute function orbit_private.tg_refuse_audit_change();

alter table orbit.audit_log enable row level security;
grant select on orbit.audit_log to authenticated, service_role;
create policy audit_log_select on orbit.audit_log for select to authenticated using (
  organization_id = any (array(select orbit_private.my_organization_ids('audit.read')))
  or (organization_id = '00000000-0000-0000-0000-000000000000' and (select orbit_private.may('audit.read', 'system', null))));

-- Reading and verifying --------------------------------------------------------------------------------------------------------

-- Definer: the chain of an organisation that was deleted is found by its id.
create function orbit_private.audit_chain_of(p_request jsonb)
returns uuid language plpgsql stable security definer set search_path = '' as $$
declare v_name text := p_request ->> 'organization'; v_id uuid;
begin
  if coalesce((p_request ->> 'system')::boolean, false) then
    perform orbit_private.require('audit.read', 'system', null);
    return '00000000-0000-0000-0000-000000000000';
  elsif v_name ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' and orbit_private.caller_is_trusted() then
    return v_name::uuid;
  end if;
  if orbit_private.nothing_saved(p_request) then
    return '00000000-0000-0000-0000-000000000000';  -- what there is of a database in which nothing was saved yet
  end if;
  v_id := orbit_private.organization_of(p_request);
  perform orbit_private.require('audit.read', 'organization', v_id);
  return v_id;
end $$;
comment on function orbit_private.audit_chain_of is 'The chain that a request means by {organization?} or {system: true}; administrative roles may give an id, also of what is gone. OR003 unless the caller may read it.';
grant execute on function orbit_private.audit_chain_of to authenticated, service_role;

create function orbit.list_audit(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare
  v_chain uuid; v_rows jsonb; v_next bigint; v_since timestamptz; v_until timestamptz;
  v_limit int := coalesce((p_request ->> 'limit')::int, 50); v_before bigint := coalesce((p_request ->> 'before')::bigint, 9223372036854775807);
  v_action text := p_request ->> 'action'; v_who text := p_request ->> 'who'; v_resource text := p_request ->> 'resource';
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'system', 'action', 'who', 'resource', 'since', 'until', 'before', 'limit']);
  v_chain := orbit_private.audit_chain_of(p_request);
  if v_limit not between 1 and 500 then
    perform orbit_private.refuse('OR001', format('limit %s is not between 1 and 500', v_limit), '', 'Ask for the rest with before: the answer''s next.');
  end if;
  v_since := (p_request ->> 'since')::timestamptz; v_until := (p_request ->> 'until')::timestamptz;
  select jsonb_agg(jsonb_build_object('number', r.number, 'at', r.at, 'user_id', r.user_id, 'actor', r.actor, 'address', r.address, 'agent', r.agent,
           'action', r.action, 'resource_type', r.resource_type, 'resource_id', r.resource_id, 'resource_name', r.resource_name,
           'before', r.before, 'after', r.after, 'hash', encode(r.hash, 'hex')) order by r.number desc) filter (where r.n <= v_limit),
         min(r.number) filter (where r.n <= v_limit and r.n = v_limit and r.further)
    into v_rows, v_next
    from (select l.*, row_number() over (order by l.number desc) as n, count(*) over () > v_limit as further from (
      select a.* from orbit.audit_log a
        where a.organization_id = v_chain and a.number < v_before
          and (v_action is null or a.action = v_action or split_part(a.action, '.', 1) = v_action)
          and (v_who is null or lower(a.actor) = lower(v_who) or a.user_id::text = v_who)
          and (v_resource is null or v_resource in (a.resource_type, a.resource_id, a.resource_name))
          and (v_since is null or a.at >= v_since) and (v_until is null or a.at < v_until)
        order by a.number desc limit v_limit + 1) l) r;
  return jsonb_build_object('entries', coalesce(v_rows, '[]'), 'next', v_next);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_audit is
  'Entries of the audit log, newest first: {organization? | system?: true, action? (environment.update, or environment for all of it), who? (address, role or user id), resource? (kind, id or name), since?, until?, limit? = 50 (at most 500), before? (number)}. Answers {entries, next: what to give as before for the rest, or null}. OR003 without audit.read.';

-- Definer: heads are nobody's to read.
create function orbit_private.verify_audit(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
-- Stable: all it reads is of one moment, whatever commits meanwhile.
declare
  v_chain uuid; v_head orbit_private.audit_head; v_from bigint; v_to bigint; v_start bytea; v_rows bigint; v_last bigint; v_last_hash bytea;
  v_bad bigint; v_why text; v_kept text := lower(p_request ->> 'head'); v_kept_number bigint; v_kept_hash bytea;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'system', 'from', 'to', 'head']);
  v_chain := orbit_private.audit_chain_of(p_request);
  if v_kept !~ '^([0-9]{1,18}:)?[0-9a-f]{64}$' then
    perform orbit_private.refuse('OR001', 'head is no head of an audit chain', left(v_kept, 100), 'It is <number>:<hash>, as `orbit audit verify` prints it, or the hash alone.');
  end if;
  if v_kept is not null and p_request ->> 'to' is not null then
    perform orbit_private.refuse('OR001', 'head and to exclude each other', '', 'A head stands for all that came before it: leave to out.');
  end if;
  v_kept_number := substring(v_kept from '^([0-9]+):'); v_kept_hash := decode(right(v_kept, 64), 'hex');

  select * into v_head from orbit_private.audit_head h where h.organization_id = v_chain;
  if not found then
    v_head := row(v_chain, 0, orbit_private.audit_genesis(v_chain), 0, orbit_private.audit_genesis(v_chain), null);
  end if;
  v_from := greatest(coalesce((p_request ->> 'from')::bigint, 1), v_head.anchor_number + 1);
  v_to := coalesce((p_request ->> 'to')::bigint, 9223372036854775807);
  if v_from = v_head.anchor_number + 1 then
    v_start := v_head.anchor_hash;
    select min(a.number), 'lies before the anchor: it was put there by hand' into v_bad, v_why
      from orbit.audit_log a where a.organization_id = v_chain and a.number < v_from having count(*) > 0;
  else
    select a.hash into v_start from orbit.audit_log a where a.organization_id = v_chain and a.number = v_from - 1;
    if not found then
      v_bad := v_from - 1; v_why := 'is missing';
    end if;
  end if;

  select count(*) into v_rows from orbit.audit_log a where a.organization_id = v_chain and a.number between v_from and v_to;
  select a.number, a.hash into v_last, v_last_hash
    from orbit.audit_log a where a.organization_id = v_chain and a.number between v_from and v_to order by a.number desc limit 1;
  if v_bad is null then
    select c.number, c.why into v_bad, v_why from (
      select case when a.number <> a.previous + 1 then a.previous + 1 else a.number end as number,
             case when a.number <> a.previous + 1 then format('is missing: %s comes after %s', a.number, a.previous)
                  when a.number > v_head.number then format('was put there by hand: the chain ends at %s', v_head.number)
                  when a.hash is distinct from a.expected then 'was changed, or is not where it was: its hash does not follow from what it says and from the entry before'
             end as why
        from (select e.number, e.hash, lag(e.number, 1, v_from - 1) over w as previous,
                     sha256(lag(e.hash, 1, v_start) over w || convert_to(orbit_private.audit_text(e), 'UTF8')) as expected
                from orbit.audit_log e where e.organization_id = v_chain and e.number between v_from and v_to window w as (order by e.number)) a) c
      where c.why is not null order by c.number limit 1;
  end if;
  if v_bad is null and v_to >= v_head.number and v_from <= v_head.number + 1 then
    v_last := coalesce(v_last, v_from - 1); v_last_hash := coalesce(v_last_hash, v_start);
    if v_last < v_head.number then
      v_bad := v_last + 1; v_why := format('is missing, with all up to %s', v_head.number);
    elsif v_last_hash <> v_head.hash then
      v_bad := v_last; v_why := 'is not the entry that was written last';
    end if;
  end if;

  -- What somebody kept outside: the one thing that whoever owns the database cannot write anew.
  if v_bad is null and v_kept is not null and not exists (
       select from orbit.audit_log a where a.organization_id = v_chain and a.hash = v_kept_hash and a.number = coalesce(v_kept_number, a.number))
     and not (v_kept_hash = v_head.anchor_hash and v_head.anchor_number = coalesce(v_kept_number, v_head.anchor_number)) then
    v_bad := v_kept_number;
    v_why := case when v_kept_number < v_head.anchor_number then format('was dropped by retention, with all up to %s: the head given is too old to compare with', v_head.anchor_number)
                  else 'does not have the hash of the head given: the chain was written anew, or cut, after that head was kept' end;
  end if;
  return jsonb_build_object('rows', v_rows, 'ok', v_why is null,
    'first_bad', case when v_why is not null then jsonb_build_object('number', v_bad, 'why', v_why) end,
    'anchor', case when v_head.anchor_number > 0 then jsonb_build_object('number', v_head.anchor_number, 'hash', encode(v_head.anchor_hash, 'hex'), 'at', v_head.anchored_at) end,
    'head', jsonb_build_object('number', v_head.number, 'hash', encode(v_head.hash, 'hex')));
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.verify_audit is 'See orbit.verify_audit.';

create function orbit.verify_audit(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.verify_audit(p_request) $$;
comment on function orbit.verify_audit is
  'Walks an audit chain: {organization? | system?: true, from?, to? (numbers), head? (<number>:<hash> or a hash that somebody kept)}. Answers {rows, ok, first_bad: {number, why} or null, anchor: {number, hash, at} or null, head: {number, hash}}. From a number on, the entry before is believed. OR003 without audit.read.';
grant execute on function orbit.list_audit, orbit.verify_audit, orbit_private.verify_audit to authenticated, service_role;

-- Retention --------------------------------------------------------------------------------------------------------------------

create function orbit_private.drop_audit(p_organization_id uuid, p_before timestamptz, p_limit int default 10000)
returns bigint language plpgsql set search_path = '' as $$
declare v_head orbit_private.audit_head; v_through bigint; v_hash bytea; v_at timestamptz;
begin
  select * into v_head from orbit_private.audit_head h where h.organization_id = p_organization_id;
  if not found then
    return 0;
  end if;
  -- Up to the first entry that stays; never the newest, which shows where the chain has got to.
  select coalesce(min(a.number), v_head.number) - 1 into v_through from (
    select a.number, a.at from orbit.audit_log a where a.organization_id = p_organization_id order by a.number limit p_limit + 1) a where a.at >= p_before;
  v_through := least(v_through, v_head.number - 1, v_head.anchor_number + p_limit);
  select a.hash, a.at into v_hash, v_at from orbit.audit_log a where a.organization_id = p_organization_id and a.number = v_through;
  if not found or v_through <= v_head.anchor_number then
    return 0;
  end if;
  update orbit_private.audit_head h set anchor_number = v_through, anchor_hash = v_hash, anchored_at = clock_timestamp()
    where h.organization_id = p_organization_id and h.anchor_number = v_head.anchor_number;
  if not found then
    return 0;  -- somebody else does it at this moment
  end if;
  delete from orbit.audit_log a where a.organization_id = p_organization_id and a.number <= v_through;
  perform orbit_private.audit(p_organization_id, 'audit.drop', 'audit_log', null, null,
    jsonb_build_object('from', v_head.anchor_number + 1, 'through', v_through, 'hash', encode(v_hash, 'hex'), 'newest', v_at));
  return v_through - v_head.anchor_number;
end $$;
comment on function orbit_private.drop_audit is 'Retention: drops a chain''s oldest entries, up to the first that is not older, at most so many at once; their number. The anchor signs them off, so that the rest can still be verified, and the drop is itself an entry.';

-- Tables of configuration ------------------------------------------------------------------------------------------------------

create function orbit_private.audit_value(p_value jsonb, p_shorten boolean)
returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  if jsonb_typeof(p_value) not in ('object', 'array', 'string') or not p_shorten and length(p_value::text) <= 2000 then
    return p_value;
  end if;
  return jsonb_strip_nulls(jsonb_build_object('sha256', encode(sha256(convert_to(p_value::text, 'UTF8')), 'hex'), 'bytes', octet_length(p_value::text),
    'items', case when jsonb_typeof(p_value) = 'array' then jsonb_array_length(p_value) end));
end $$;
comment on function orbit_private.audit_value is 'A value as the audit log keeps it: whole up to 2,000 characters, else {sha256, bytes, items} of its JSON text.';

create function orbit_private.audit_organization(p_table text, p_row jsonb)
returns uuid language plpgsql stable set search_path = '' as $$
declare v_id uuid := p_row ->> case p_table when 'organizations' then 'id' else 'organization_id' end; v_project uuid := p_row ->> 'project_id';
begin
  if v_id is null and v_project is not null then
    select p.organization_id into v_id from orbit.projects p where p.id = v_project;
    if not found then  -- deleted, and this row with it: its own entry has just been written
      select a.organization_id into v_id from orbit_private.audit_pending a
        where a.xact = pg_current_xact_id_if_assigned() and a.resource_type = 'project' and a.resource_id = v_project::text limit 1;
    end if;
  end if;
  return v_id;
end $$;
comment on function orbit_private.audit_organization is 'The organisation of a table''s row; null for what belongs to none.';

-- Definer: whoever changes the table writes the log, and nobody else may.
create function orbit_private.tg_audit()
returns trigger language plpgsql security definer set search_path = '' as $$
-- Arguments: the kind of resource; then as comma-separated columns: key, masked, left out, shortened. See audited().
declare
  v_key text[] := string_to_array(tg_argv[1], ','); v_masked text[] := string_to_array(tg_argv[2], ',');
  v_out text[] := string_to_array(tg_argv[3], ','); v_short text[] := string_to_array(tg_argv[4], ',');
  v_old jsonb; v_new jsonb; v_row jsonb; v_before jsonb; v_after jsonb; v_organization uuid; v_id text; v_name text;
  v_action text := tg_argv[0] || case tg_op when 'INSERT' then '.create' when 'UPDATE' then '.update' else '.delete' end;
begin
  if tg_op <> 'INSERT' then v_old := to_jsonb(old) - v_out; end if;
  if tg_op <> 'DELETE' then v_new := to_jsonb(new) - v_out; end if;
  if v_old = v_new then
    return null;
  end if;
  v_row := coalesce(v_new, v_old);
  -- What is a secret now, or was one, is in neither.
  if coalesce(v_old ->> 'secret_id', v_new ->> 'secret_id') is not null then
    v_masked := v_masked || array['value'];
  end if;
  select jsonb_object_agg(k.key, case when k.key = any (v_masked) and k.was <> 'null' then '"(masked)"' else orbit_private.audit_value(k.was, k.key = any (v_short)) end)
           filter (where v_new is not null or k.was <> 'null'),
         jsonb_object_agg(k.key, case when k.key = any (v_masked) and k.is <> 'null' then '"(masked)"' else orbit_private.audit_value(k.is, k.key = any (v_short)) end)
           filter (where v_old is not null or k.is <> 'null')
    into v_before, v_after
    from (select c as key, v_old -> c as was, v_new -> c as is from jsonb_object_keys(v_row) c) k where k.was is distinct from k.is;
  v_organization := orbit_private.audit_organization(tg_table_name, v_row);
  v_id := (select string_agg(v_row ->> k, '/' order by n) from unnest(v_key) with ordinality x (k, n));
  v_name := coalesce(v_row ->> 'key', v_row ->> 'slug', v_row ->> 'name', v_row ->> 'email');
  perform orbit_private.audit(v_organization, v_action, tg_argv[0], v_id, case when v_old is not null then v_before end,
                              case when v_new is not null then v_after end, v_name);
  if tg_table_name = 'organizations' and tg_op <> 'UPDATE' then
    -- Also in the system's chain, which does not go quiet with the organisation.
    perform orbit_private.audit(null, v_action, tg_argv[0], v_id, case when v_old is not null then v_before end, case when v_new is not null then v_after end, v_name);
  end if;
  return null;
end $$;
comment on function orbit_private.tg_audit is 'Writes to the audit log what a row was and what it became; nothing where only columns changed that are left out.';

create function orbit_private.audited(p_table regclass, p_resource_type text, p_masked text[] default '{}', p_left_out text[] default '{}',
  p_shortened text[] default '{}')
returns void language plpgsql set search_path = '' as $$
declare v_key text[]; v_unknown text;
begin
  -- What identifies a row: its primary key, without the organisation that the entry names anyway.
  select array_agg(a.attname::text order by k.n) into v_key
    from pg_catalog.pg_index i cross join unnest(i.indkey::int2[]) with ordinality k (attnum, n)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = p_table and i.indisprimary and (a.attname <> 'organization_id' or i.indnkeyatts = 1);
  select min(c) into v_unknown from unnest(p_masked || p_left_out || p_shortened) c
    where not exists (select from pg_catalog.pg_attribute a where a.attrelid = p_table and a.attname = c and not a.attisdropped);
  if v_unknown is not null then
    raise exception '% has no column %', p_table, v_unknown;
  end if;
  execute format('drop trigger if exists "800_audit" on %s', p_table);
  execute format('create trigger "800_audit" after insert or update or delete on %s for each row execute function orbit_private.tg_audit(%L, %L, %L, %L, %L)',
    p_table, p_resource_type, array_to_string(v_key, ','), array_to_string(p_masked, ','),
    array_to_string(p_left_out || array['updated_at'], ','), array_to_string(p_shortened, ','));
end $$;
comment on function orbit_private.audited is 'Has every change of a table written to the audit log as <resource type>.create, .update or .delete. Masked columns show only that they changed; a change of columns left out (and of updated_at) is none; shortened ones show a digest and the number of items.';

select orbit_private.audited('orbit.organizations', 'organization');
select orbit_private.audited('orbit.organization_members', 'member');
select orbit_private.audited('orbit.organization_invitations', 'invitation', p_masked => '{token_hash}');
select orbit_private.audited('orbit.business_units', 'business_unit');
select orbit_private.audited('orbit.business_unit_members', 'business_unit_member');
select orbit_private.audited('orbit.projects', 'project');
select orbit_private.audited('orbit.permission_assignments', 'permission');
select orbit_private.audited('orbit.test_suites', 'suite', p_left_out => '{latest_version}');
select orbit_private.audited('orbit.test_suite_versions', 'suite_version', p_left_out => '{document}', p_shortened => '{test_case_ids}');
select orbit_private.audited('orbit.environments', 'environment');
select orbit_private.audited('orbit.environment_variables', 'environment_variable', p_left_out => '{uses}');
select orbit_private.audited('orbit.variable_definitions', 'variable', p_left_out => '{uses}');

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
