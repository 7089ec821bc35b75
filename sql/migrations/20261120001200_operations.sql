-- Operations: who hears of runs, who may start them from outside, and who executes them.
--
--   notification_channels ── notification_outbox   who is told of what, and what has still to be told
--   trigger_tokens                          what a pipeline shows to start runs of a project
--   workers (view)                          who executes

-- Notifications ----------------------------------------------------------------------------------------------------------------

create table orbit.notification_channels (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  name text not null,
  kind text not null,
  recipients text[] not null default '{}',
  url text,
  secret_id uuid references orbit_private.secret (id) on delete set null,
  events text[] not null default '{run_completed}',
  only_failures boolean not null default true,
  enabled boolean not null default true,
  created_by uuid references orbit.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint notification_channels_project_id_name_key unique (project_id, name),
  constraint notification_channels_name_check check (length(name) between 1 and 200),
  constraint notification_channels_kind_check check (kind in ('slack', 'email', 'webhook')),
  constraint notification_channels_email_check check ((kind = 'email') = (cardinality(recipients) > 0) and cardinality(recipients) <= 50),
  constraint notification_channels_webhook_check check ((kind = 'webhook') = (url is not null) and url ~ '^https?://[^\s@/]+(/\S*)?$'),
  constraint notification_channels_email_has_no_secret_check check (kind <> 'email' or secret_id is null),
  constraint notification_channels_events_check check (cardinality(events) > 0 and events <@ array[
    'test_started', 'test_completed', 'test_failed', 'run_completed', 'flaky_test_detected', 'performance_degradation'])
);
create index idx_notification_channels_organization_id on orbit.notification_channels (organization_id);
create index idx_notification_channels_secret_id on orbit.notification_channels (secret_id);
create index idx_notification_channels_created_by on orbit.notification_channels (created_by);
comment on table orbit.notification_channels is 'Who is told of what happens in a project, and by which way.';
comment on column orbit.notification_channels.id is 'Drawn at random.';
comment on column orbit.notification_channels.organization_id is 'The project''s organisation.';
comment on column orbit.notification_channels.project_id is 'Whose events.';
comment on column orbit.notification_channels.name is 'What people call it; one of its name in a project.';
comment on column orbit.notification_channels.kind is 'slack, email or webhook.';
comment on column orbit.notification_channels.recipients is 'Addresses of e-mail, up to 50; empty for other kinds.';
comment on column orbit.notification_channels.url is 'Where a webhook is sent, without user or password; null for other kinds.';
comment on column orbit.notification_channels.secret_id is 'Sealed for channel:<project''s slug>:<name>: the address that Slack gave out, which is a secret as a whole, or the key with which a webhook is signed. Null: none.';
comment on column orbit.notification_channels.events is 'Of what it is told.';
comment on column orbit.notification_channels.only_failures is 'Of runs and tests only those that did not pass.';
comment on column orbit.notification_channels.enabled is 'False: nobody is told, and what waits stays.';
comment on column orbit.notification_channels.created_by is 'Who made it; null for administrative roles, or where the account is gone.';
comment on column orbit.notification_channels.created_at is 'When it was made.';
comment on column orbit.notification_channels.updated_at is 'When somebody last changed it.';
create trigger "500_drop_secret" after delete on orbit.notification_channels
  referencing old table as gone for each statement execute function orbit_private.tg_drop_secret();

create table orbit.notification_outbox (
  id bigint primary key generated always as identity,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  channel_id uuid not null references orbit.notification_channels (id) on delete cascade,
  event text not null,
  run_id uuid references orbit.test_runs (id) on delete cascade,
  payload jsonb not null,
  status text not null default 'waiting',
  attempts smallint not null default 0,
  due_at timestamptz not null default now(),
  last_error text,
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  constraint notification_outbox_status_check check (status in ('waiting', 'sent', 'given_up')),
  constraint notification_outbox_ended_check check ((status = 'waiting') = (ended_at is null)),
  constraint notification_outbox_event_check check (event in (
    'test_started', 'test_completed', 'test_failed', 'run_completed', 'flaky_test_detected', 'performance_degradation')),
  constraint notification_outbox_attempts_check check (attempts >= 0)
);
create index idx_notification_outbox_due_at on orbit.notification_outbox (due_at) where status = 'waiting';
create index idx_notification_outbox_project_id on orbit.notification_outbox (project_id, created_at desc);
create index idx_notification_outbox_channel_id on orbit.notification_outbox (channel_id);
create index idx_notification_outbox_run_id on orbit.notification_outbox (run_id);
comment on table orbit.notification_outbox is 'What has to be told, and what was. Filled in the transaction of what happened; runners deliver it.';
comment on column orbit.notification_outbox.id is 'In the order of writing.';
comment on column orbit.notification_outbox.project_id is 'The channel''s project.';
comment on column orbit.notification_outbox.channel_id is 'By which way.';
comment on column orbit.notification_outbox.event is 'What happened.';
comment on column orbit.notification_outbox.run_id is 'In which run; null where it was in none.';
comment on column orbit.notification_outbox.payload is 'What is told, before it is worded for the channel; secrets are masked.';
comment on column orbit.notification_outbox.status is 'waiting, sent, or given_up after the last attempt.';
comment on column orbit.notification_outbox.attempts is 'How often it was tried.';
comment on column orbit.notification_outbox.due_at is 'Not to be tried before.';
comment on column orbit.notification_outbox.last_error is 'What the last attempt met; null: nothing yet.';
comment on column orbit.notification_outbox.created_at is 'When it happened.';
comment on column orbit.notification_outbox.ended_at is 'When it was sent or given up.';

-- Trigger tokens -----------------------------------------------------------------------------------------------------------------

create table orbit.trigger_tokens (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  name text not null,
  prefix text not null,
  hash bytea not null,
  created_by uuid references orbit.users (id) on delete set null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  revoked_by uuid references orbit.users (id) on delete set null,
  constraint trigger_tokens_hash_key unique (hash),
  constraint trigger_tokens_hash_check check (length(hash) = 32),
  constraint trigger_tokens_name_check check (length(name) between 1 and 200),
  constraint trigger_tokens_prefix_check check (prefix ~ '^orbit_[0-9a-f]{8}$'),
  constraint trigger_tokens_expires_after_creation_check check (expires_at > created_at),
  constraint trigger_tokens_revoked_check check (revoked_by is null or revoked_at is not null)
);
-- One living token of a name; what was revoked stays as history.
create unique index trigger_tokens_living_key on orbit.trigger_tokens (project_id, name) where revoked_at is null;
create index idx_trigger_tokens_project_id on orbit.trigger_tokens (project_id, created_at desc);
create index idx_trigger_tokens_organization_id on orbit.trigger_tokens (organization_id);
create index idx_trigger_tokens_created_by on orbit.trigger_tokens (created_by);
create index idx_trigger_tokens_revoked_by on orbit.trigger_tokens (revoked_by);
comment on table orbit.trigger_tokens is 'What a pipeline shows to start runs of a project. The token itself is answered once, when it is made, and kept nowhere.';
comment on column orbit.trigger_tokens.id is 'Drawn at random.';
comment on column orbit.trigger_tokens.organization_id is 'The project''s organisation.';
comment on column orbit.trigger_tokens.project_id is 'Of which project it starts runs.';
comment on column orbit.trigger_tokens.name is 'Where it is used: github-actions.';
comment on column orbit.trigger_tokens.prefix is 'Its first 14 characters, by which it is recognised.';
comment on column orbit.trigger_tokens.hash is 'SHA-256 of the token. It holds 224 random bits, which need no slower hash. Not readable by clients.';
comment on column orbit.trigger_tokens.created_by is 'Who made it; null for administrative roles, or where the account is gone.';
comment on column orbit.trigger_tokens.created_at is 'When it was made.';
comment on column orbit.trigger_tokens.expires_at is 'Until when it holds; null: until it is revoked.';
comment on column orbit.trigger_tokens.last_used_at is 'When it was last shown, to the minute; null: never.';
comment on column orbit.trigger_tokens.revoked_at is 'When it was taken back.';
comment on column orbit.trigger_tokens.revoked_by is 'Who took it back.';

-- Workers ----------------------------------------------------------------------------------------------------------------------------

-- Definer: workers and jobs are nobody's rows. Workers are shared by tenants, and their names tell of machines: who is not
-- trusted sees that a worker is there and what it can do, and its name and version only while it has a test of theirs.
create function orbit_private.visible_workers()
returns table (id bigint, name text, version text, capabilities text[], slots int, running int, draining boolean, organization text, group_key text,
               started_at timestamptz, seen_at timestamptz)
language plpgsql stable security definer set search_path = '' as $$
declare v_trusted boolean := orbit_private.caller_is_trusted();
begin
  return query
    with mine as materialized (
      select j.worker_id, count(*)::int as running
        from orbit.test_runs r join orbit_private.run_progress p on p.queue_no = r.queue_no and p.running > 0
        join orbit_private.job j on j.id >= r.queue_no << 20 and j.id < (r.queue_no + 1) << 20 and j.state = 2
        where v_trusted or r.project_id = any (array(select orbit_private.my_project_ids()))
        group by j.worker_id)
    select w.id, case when v_trusted or m.running > 0 then w.name end, case when v_trusted or m.running > 0 then w.version end,
           w.capabilities, w.slots, coalesce(m.running, 0), w.draining, o.slug, l.group_key, w.started_at, w.seen_at
      from orbit_private.worker w left join mine m on m.worker_id = w.id left join orbit.organizations o on o.id = w.organization_id
      left join orbit_private.group_holder h on h.worker_id = w.id
      left join orbit_private.lane l on l.id = h.lane and (v_trusted or l.project_id = any (array(select orbit_private.my_project_ids())))
      where v_trusted or exists (select orbit_private.my_project_ids())
        and (w.organization_id is null or w.organization_id = any (array(select orbit_private.my_organization_ids())));
end $$;
comment on function orbit_private.visible_workers is 'See orbit.workers.';
grant execute on function orbit_private.visible_workers to authenticated, service_role;

create view orbit.workers with (security_invoker = true) as
  select w.id, w.name, w.version, w.capabilities, w.slots, w.running, w.draining, w.organization, w.group_key as "group", w.started_at, w.seen_at
    from orbit_private.visible_workers() w;
comment on view orbit.workers is 'Workers that are alive, as far as the reader may know: they are shared by tenants.';
comment on column orbit.workers.id is 'As in results; a worker that comes back has another.';
comment on column orbit.workers.name is 'Null unless it has a test of the reader''s at this moment: names tell of machines.';
comment on column orbit.workers.version is 'Of Orbit; null as the name is.';
comment on column orbit.workers.capabilities is 'What it can execute.';
comment on column orbit.workers.slots is 'How many tests it runs at once.';
comment on column orbit.workers.running is 'How many it runs just now of projects that the reader sees.';
comment on column orbit.workers.draining is 'Whether it takes nothing more and goes when it is done.';
comment on column orbit.workers.organization is 'Whose tests alone it takes; null: everybody''s.';
comment on column orbit.workers."group" is 'The affinity group that it is set up for, of a project that the reader sees; null: none.';
comment on column orbit.workers.started_at is 'When it registered.';
comment on column orbit.workers.seen_at is 'When it was last heard of; after some seconds of silence it is given up for lost.';

-- RLS ----------------------------------------------------------------------------------------------------------------------------------

alter table orbit.notification_channels enable row level security;
alter table orbit.notification_outbox enable row level security;
alter table orbit.trigger_tokens enable row level security;
grant select on orbit.notification_outbox, orbit.workers to authenticated;
-- Where messages go (url, recipients) is told by orbit.list_channels to those alone who may say it.
grant select (id, organization_id, project_id, name, kind, secret_id, events, only_failures, enabled, created_by, created_at, updated_at)
  on orbit.notification_channels to authenticated;
grant select (id, organization_id, project_id, name, prefix, created_by, created_at, expires_at, last_used_at, revoked_at, revoked_by) on orbit.trigger_tokens to authenticated;
grant all on orbit.notification_channels, orbit.notification_outbox, orbit.trigger_tokens to service_role;
grant select on orbit.workers to service_role;
create policy notification_channels_select on orbit.notification_channels for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy notification_outbox_select on orbit.notification_outbox for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy trigger_tokens_select on orbit.trigger_tokens for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));

-- Channels: functions --------------------------------------------------------------------------------------------------------------------

create function orbit_private.channel_of(p orbit.notification_channels)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', p.id, 'project_id', p.project_id, 'name', p.name, 'kind', p.kind, 'recipients', p.recipients, 'url', p.url,
    'has_secret', p.secret_id is not null, 'events', p.events, 'only_failures', p.only_failures, 'enabled', p.enabled)
$$;
comment on function orbit_private.channel_of is 'A channel as callers see it: without its secret.';

-- Definer: it writes tables that callers may only read, and secrets, after require().
create function orbit_private.save_channel(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_name text := orbit_private.required(p_request, 'name'); v_kind text := orbit_private.required(p_request, 'kind'); v_project orbit.projects;
  v_old orbit.notification_channels; v_channel orbit.notification_channels; v_secret_id uuid; v_problem text;
  v_recipients text[] := array(select jsonb_array_elements_text(coalesce(nullif(p_request -> 'recipients', 'null'), '[]')));
  v_events text[] := array(select jsonb_array_elements_text(coalesce(nullif(p_request -> 'events', 'null'), '["run_completed"]')));
  v_known text[] := array['test_started', 'test_completed', 'test_failed', 'run_completed', 'flaky_test_detected', 'performance_degradation'];
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'kind', 'recipients', 'url', 'secret', 'secret_key', 'events', 'only_failures', 'enabled']);
  v_project := orbit_private.project_of(p_request);
  perform orbit_private.require('channel.write', 'project', v_project.id);
  select * into v_old from orbit.notification_channels c where c.project_id = v_project.id and c.name = v_name for no key update;
  v_problem := case
    when v_kind not in ('slack', 'email', 'webhook') then format('a channel is never %s', left(v_kind, 40))
    when (v_kind = 'email') <> (cardinality(v_recipients) > 0) then 'recipients are given for e-mail, and for nothing else'
    when cardinality(v_recipients) > 50 then 'there are at most 50 recipients'
    when exists (select from unnest(v_recipients) r where r !~ '^[^\s@,;<>]+@[^\s@,;<>]+$') then 'a recipient is no address of e-mail'
    when (v_kind = 'webhook') <> (p_request ->> 'url' is not null) then 'url is given for webhooks, and for nothing else'
    when p_request ->> 'url' !~ '^https?://[^\s@/]+(/\S*)?$' then 'url is no address of a webhook: https://…, without user and password'
    when v_kind = 'email' and p_request ->> 'secret' is not null then 'e-mail takes no secret'
    when v_kind = 'slack' and p_request ->> 'secret' is null and (v_old.secret_id is null or v_old.kind <> 'slack') then 'secret is missing: the address that Slack gave out for this channel'
    when not v_events <@ v_known or cardinality(v_events) = 0 then format('events are of %s', array_to_string(v_known, ', '))
    end;
  if v_problem is not null then
    perform orbit_private.refuse('OR001', v_problem, '', 'kind: slack (secret: its address), email (recipients) or webhook (url, and perhaps secret: the key that signs).');
  end if;
  -- Not mentioned, the secret stays; of another kind it would mean something else.
  v_secret_id := case when v_old.kind = v_kind then v_old.secret_id end;
  if p_request ->> 'secret' is not null then
    v_secret_id := orbit_private.put_secret(v_project.organization_id, format('channel:%s:%s', v_project.slug, v_name), p_request -> 'secret', v_old.secret_id,
                                            p_request ->> 'secret_key');
  elsif v_secret_id is null then
    perform orbit_private.drop_secret(v_old.secret_id);
  end if;
  insert into orbit.notification_channels as c (organization_id, project_id, name, kind, recipients, url, secret_id, events, only_failures, enabled, created_by)
    values (v_project.organization_id, v_project.id, v_name, v_kind, v_recipients, p_request ->> 'url', v_secret_id, v_events,
            coalesce((p_request ->> 'only_failures')::boolean, true), coalesce((p_request ->> 'enabled')::boolean, true),
            (select u.id from orbit.users u where u.id = (select auth.uid())))
    on conflict (project_id, name) do update set kind = excluded.kind, recipients = excluded.recipients, url = excluded.url, secret_id = excluded.secret_id,
      events = excluded.events, only_failures = excluded.only_failures, enabled = excluded.enabled, updated_at = now()
    returning * into v_channel;
  return orbit_private.channel_of(v_channel);
exception when data_exception or check_violation or not_null_violation then
  -- The message of a failed cast may hold the secret.
  perform orbit_private.malformed(sqlstate, 'a field is of another type');
end $$;
comment on function orbit_private.save_channel is 'See orbit.save_channel.';

create function orbit.save_channel(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_channel(p_request) $$;
comment on function orbit.save_channel is 'Makes the channel of that name, or puts this in its place: {organization?, project?, name, kind: slack | email | webhook, recipients? (e-mail), url? (webhook), secret? (Slack''s address, or the key that signs a webhook; sealed for channel:<project>:<name>, or in clear where the database has a key; not mentioned, it stays), secret_key?, events? = [run_completed], only_failures? = true, enabled? = true}. Answers the channel with has_secret. OR001, OR003 without channel.write, OR008 no key.';

-- Definer: where messages go is told to those alone who may say it; whose channels are listed is asked first.
create function orbit_private.list_channels(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare v_scope uuid[]; v_rows jsonb; v_trusted boolean := orbit_private.caller_is_trusted(); v_mine uuid[]; v_written uuid[];
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'limit']);
  v_scope := orbit_private.scope_of(p_request);
  v_mine := array(select orbit_private.my_project_ids());
  v_written := array(select orbit_private.my_project_ids('channel.write'));
  select coalesce(jsonb_agg(orbit_private.channel_of(c)
           || case when v_trusted or c.project_id = any (v_written) then '{}' else '{"recipients": null, "url": null}'::jsonb end order by c.name, c.id), '[]') into v_rows from (
    select n.* from orbit.notification_channels n where (v_scope is null or n.project_id = any (v_scope)) and (v_trusted or n.project_id = any (v_mine))
      order by n.name, n.id limit orbit_private.limit_of(p_request)) c;
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.list_channels is 'See orbit.list_channels.';

create function orbit.list_channels(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.list_channels(p_request) $$;
comment on function orbit.list_channels is 'Channels by name: {organization?, project?, limit? = 50, at most 1000} → [{id, project_id, name, kind, recipients, url, has_secret, events, only_failures, enabled}]; recipients and url are null to those who may not write channels there (channel.write).';

-- Definer: as save_channel.
create function orbit_private.delete_channel(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_name text := orbit_private.required(p_request, 'name'); v_project orbit.projects; v_id uuid;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name']);
  v_project := orbit_private.project_of(p_request);
  perform orbit_private.require('channel.write', 'project', v_project.id);
  delete from orbit.notification_channels c where c.project_id = v_project.id and c.name = v_name returning c.id into v_id;
  if not found then
    perform orbit_private.refuse('OR002', format('no channel %s in project %s', left(v_name, 200), v_project.slug), '', 'List them: orbit.list_channels.');
  end if;
  return jsonb_build_object('deleted', v_id);
end $$;
comment on function orbit_private.delete_channel is 'See orbit.delete_channel.';

create function orbit.delete_channel(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_channel(p_request) $$;
comment on function orbit.delete_channel is 'Deletes a channel with its secret and what still waits for it: {organization?, project?, name} → {deleted: id}. OR002, OR003 without channel.write.';

-- Trigger tokens: functions ----------------------------------------------------------------------------------------------------------------

create function orbit_private.token_row(p orbit.trigger_tokens)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', p.id, 'project_id', p.project_id, 'name', p.name, 'prefix', p.prefix, 'created_by', p.created_by,
    'created_at', p.created_at, 'expires_at', p.expires_at, 'last_used_at', p.last_used_at, 'revoked_at', p.revoked_at)
$$;
comment on function orbit_private.token_row is 'A trigger token as callers see it: without its hash.';

create function orbit_private.draw_token(p_head text)
returns text language sql volatile set search_path = '' as $$
  select p_head || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex')
$$;
comment on function orbit_private.draw_token is 'A new token that begins with p_head: 244 random bits of the server''s strong generator, of which a prefix of 8 digits shows 32.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.create_trigger_token(p_request jsonb, p_now timestamptz default now())
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_name text := orbit_private.required(p_request, 'name'); v_project orbit.projects; v_row orbit.trigger_tokens;
  v_token text := orbit_private.draw_token('orbit_');
  v_expires timestamptz := (p_request ->> 'expires_at')::timestamptz;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'expires_at']);
  v_project := orbit_private.project_of(p_request);
  perform orbit_private.require('token.write', 'project', v_project.id);
  if v_expires <= p_now then
    perform orbit_private.refuse('OR001', format('expires_at is over: %s', v_expires));
  end if;
  insert into orbit.trigger_tokens (organization_id, project_id, name, prefix, hash, created_by, created_at, expires_at)
    values (v_project.organization_id, v_project.id, v_name, left(v_token, 14), sha256(convert_to(v_token, 'utf8')),
            (select u.id from orbit.users u where u.id = (select auth.uid())), p_now, v_expires)
    on conflict (project_id, name) where revoked_at is null do nothing returning * into v_row;
  if v_row.id is null then
    perform orbit_private.refuse('OR004', format('there is a token %s already', left(v_name, 200)), '', 'Revoke it first, or choose another name.');
  end if;
  return orbit_private.token_row(v_row) || jsonb_build_object('token', v_token);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.create_trigger_token is 'See orbit.create_trigger_token.';

create function orbit.create_trigger_token(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.create_trigger_token(p_request) $$;
comment on function orbit.create_trigger_token is 'Makes a token that starts runs of a project: {organization?, project?, name, expires_at?}. Answers it with `token`, this once. OR003 without token.write, OR004 where a living one has the name.';

create function orbit.list_trigger_tokens(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_scope uuid[] := orbit_private.scope_of(p_request); v_rows jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'limit']);
  select coalesce(jsonb_agg(to_jsonb(t) order by t.created_at desc, t.id), '[]') into v_rows from (
    select k.id, k.project_id, k.name, k.prefix, k.created_by, k.created_at, k.expires_at, k.last_used_at, k.revoked_at
      from orbit.trigger_tokens k where v_scope is null or k.project_id = any (v_scope) order by k.created_at desc limit orbit_private.limit_of(p_request)) t;
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_trigger_tokens is 'Trigger tokens, the newest first, revoked ones included: {organization?, project?, limit? = 50, at most 1000} → [{id, project_id, name, prefix, created_by, created_at, expires_at, last_used_at, revoked_at}].';

-- Definer: as create_trigger_token.
create function orbit_private.revoke_trigger_token(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_name text := orbit_private.required(p_request, 'name'); v_project orbit.projects; v_row orbit.trigger_tokens;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name']);
  v_project := orbit_private.project_of(p_request);
  perform orbit_private.require('token.write', 'project', v_project.id);
  update orbit.trigger_tokens k set revoked_at = now(), revoked_by = (select u.id from orbit.users u where u.id = (select auth.uid()))
    where k.project_id = v_project.id and k.name = v_name and k.revoked_at is null returning * into v_row;
  if not found then
    perform orbit_private.refuse('OR002', format('no living token %s in project %s', left(v_name, 200), v_project.slug), '', 'List them: orbit token list, or orbit.list_trigger_tokens.');
  end if;
  return orbit_private.token_row(v_row);
end $$;
comment on function orbit_private.revoke_trigger_token is 'See orbit.revoke_trigger_token.';

create function orbit.revoke_trigger_token(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.revoke_trigger_token(p_request) $$;
comment on function orbit.revoke_trigger_token is 'Takes a trigger token back, for good: {organization?, project?, name}. Answers it. OR002, OR003 without token.write.';

-- Definer: a token is looked up by whoever shows it. Called by the Edge Functions as service_role.
create function orbit_private.trigger_token_of(p_token text, p_now timestamptz default clock_timestamp())
returns orbit.trigger_tokens language plpgsql security definer set search_path = '' as $$
declare v_row orbit.trigger_tokens;
begin
  select * into v_row from orbit.trigger_tokens k where k.hash = sha256(convert_to(p_token, 'utf8'));
  if v_row.id is null or v_row.revoked_at is not null or v_row.expires_at <= p_now then
    -- Whoever shows a wrong one is not told why it is wrong.
    perform orbit_private.refuse('OR003', 'the trigger token is not valid', '', 'It may be revoked or over: orbit token list says which hold.');
  end if;
  perform orbit_private.take(v_row.organization_id, 'token:' || v_row.id, 1, p_now);
  -- To the minute: a pipeline that starts a hundred runs must not wait for itself.
  update orbit.trigger_tokens k set last_used_at = p_now
    where k.id = v_row.id and (k.last_used_at is null or k.last_used_at < p_now - interval '1 minute');
  return v_row;
end $$;
comment on function orbit_private.trigger_token_of is 'The token that somebody shows; OR003 unless it holds, OR006 where it is shown too often.';

-- Workers: function ---------------------------------------------------------------------------------------------------------------------------

create function orbit.list_workers(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, array[]::text[]);
  return (select coalesce(jsonb_agg(to_jsonb(w) order by w.id), '[]') from orbit.workers w);
end $$;
comment on function orbit.list_workers is 'Workers that are alive: {} → [{id, name, version, capabilities, slots, running, draining, organization, group, started_at, seen_at}]. Workers are shared: name and version are null unless the worker has a test of yours, and running counts yours.';

grant execute on function orbit_private.save_channel, orbit_private.list_channels, orbit_private.delete_channel,
  orbit_private.create_trigger_token, orbit_private.revoke_trigger_token to authenticated, service_role;
grant execute on function orbit.save_channel, orbit.list_channels, orbit.delete_channel,
  orbit.create_trigger_token, orbit.list_trigger_tokens, orbit.revoke_trigger_token, orbit.list_workers to authenticated, service_role;
grant execute on function orbit_private.trigger_token_of to service_role;

select orbit_private.audited('orbit.notification_channels', 'channel');
select orbit_private.audited('orbit.trigger_tokens', 'trigger_token', p_masked => '{hash}', p_left_out => '{last_used_at}');

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
