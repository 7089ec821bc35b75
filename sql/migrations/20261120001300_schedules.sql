-- Schedules: when runs start by themselves, and as whom.

-- Acting as somebody -------------------------------------------------------------------------------------------------------

create function orbit_private.start_run_as(p_user uuid, p_request jsonb)
returns jsonb language plpgsql set search_path = '' as $$
-- Granted to nobody: functions that run as the owner call it. What a start refuses is raised after all is as it was: settings and the
-- row go with the statement's subtransaction, or the transaction.
declare
  v_names text[] := array['request.jwt.claims', 'request.jwt.claim.sub', 'request.method', 'orbit.acting'];
  v_before text[] := array(select coalesce(current_setting(n.name, true), '') from unnest(v_names) with ordinality n (name, i) order by n.i);
  v_answer jsonb;
begin
  insert into orbit_private.acting (xact, administrative) values (pg_current_xact_id(), p_user is null)
    on conflict (xact) do update set administrative = excluded.administrative;
  perform set_config('request.jwt.claims', case when p_user is null then '' else jsonb_build_object('sub', p_user, 'role', 'authenticated')::text end, true),
    set_config('request.jwt.claim.sub', '', true), set_config('request.method', '', true), set_config('orbit.acting', 'yes', true);
  v_answer := orbit_private.start_run(p_request);
  perform set_config(n.name, v_before[n.i], true) from unnest(v_names) with ordinality n (name, i);
  delete from orbit_private.acting a where a.xact = pg_current_xact_id();
  return v_answer;
end $$;
comment on function orbit_private.start_run_as is 'start_run() with the rights of this person, as one whom the database itself sent; null: of an administrative role. Whoever calls it knows that they asked for it.';

-- Schedules ----------------------------------------------------------------------------------------------------------------

create function orbit_private.cron_problem(p_cron text)
returns text language plpgsql immutable set search_path = '' as $$
-- Five fields of lists of *, a, a-b, each perhaps /step; months and days also by their English names, 7 is Sunday as well as 0.
declare
  v_fields text[] := regexp_split_to_array(trim(lower(p_cron)), '\s+');
  v_names text[] := array['minute', 'hour', 'day of month', 'month', 'day of week'];
  v_low int[] := array[0, 0, 1, 1, 0]; v_high int[] := array[59, 23, 31, 12, 7];
  v_text text; v_part text; v_match text[]; v_from int; v_to int; v_days int[] := '{}'; v_months int[] := '{}';
begin
  if p_cron is null or cardinality(v_fields) <> 5 then
    return 'a cron expression has five fields: minute, hour, day of month, month, day of week';
  end if;
  for f in 1 .. 5 loop
    v_text := v_fields[f];
    if f = 4 then
      for i in 1 .. 12 loop v_text := regexp_replace(v_text, '\m' || (array['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'])[i] || '\M', i::text, 'g'); end loop;
    elsif f = 5 then
      for i in 0 .. 6 loop v_text := regexp_replace(v_text, '\m' || (array['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'])[i + 1] || '\M', i::text, 'g'); end loop;
    end if;
    foreach v_part in array string_to_array(v_text, ',') loop
      v_match := regexp_match(v_part, '^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?$');
      if v_match is null then
        return format('%s cannot be %s', v_names[f], left(v_fields[f], 40));
      end if;
      v_from := coalesce(v_match[1]::int, v_low[f]);
      v_to := coalesce(v_match[2]::int, case when v_match[1] is null or v_match[3] is not null then v_high[f] else v_from end);
      if v_from < v_low[f] or v_to > v_high[f] or v_from > v_to or v_match[3]::int < 1 then
        return format('%s cannot be %s: it goes from %s to %s', v_names[f], left(v_fields[f], 40), v_low[f], v_high[f]);
      end if;
      if f = 3 then v_days := v_days || v_from; elsif f = 4 then v_months := v_months || array(select generate_series(v_from, v_to, coalesce(v_match[3]::int, 1))); end if;
    end loop;
  end loop;
  -- 31 April never comes. A day of the week beside it does: either of the two then suffices.
  if left(v_fields[5], 1) = '*' and not exists (
       select from unnest(v_days) d cross join unnest(v_months) m where d <= (array[31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[m]) then
    return format('day %s of month %s never comes', left(v_fields[3], 40), left(v_fields[4], 40));
  end if;
  return null;
end $$;
comment on function orbit_private.cron_problem is 'What is wrong with a cron expression, in a sentence; null where nothing is.';

create table orbit.schedules (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  suite_id uuid not null references orbit.test_suites (id) on delete cascade,
  environment_id uuid references orbit.environments (id) on delete cascade,
  name text not null,
  kind text not null,
  cron text,
  every interval,
  at timestamptz,
  time_zone text not null default 'UTC',
  missed text not null default 'once',
  paused boolean not null default false,
  options jsonb not null default '{}',
  next_run_at timestamptz,
  last_run_at timestamptz,
  last_run_id uuid references orbit.test_runs (id) on delete set null,
  created_by uuid references orbit.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint schedules_project_id_name_key unique (project_id, name),
  constraint schedules_name_check check (length(name) between 1 and 200),
  constraint schedules_kind_check check (kind in ('cron', 'interval', 'once')),
  constraint schedules_kind_has_its_time_check check (
    (kind = 'cron') = (cron is not null) and (kind = 'interval') = (every is not null) and (kind = 'once') = (at is not null)),
  constraint schedules_cron_check check (cron is null or orbit_private.cron_problem(cron) is null),
  constraint schedules_every_check check (every between interval '1 minute' and interval '366 days'),
  constraint schedules_time_zone_check check (time_zone ~ '^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$'),
  constraint schedules_missed_check check (missed in ('skip', 'once', 'all')),
  constraint schedules_options_check check (jsonb_typeof(options) = 'object'),
  constraint schedules_paused_has_no_next_check check (not paused or next_run_at is null)
);
create index idx_schedules_next_run_at on orbit.schedules (next_run_at) where not paused;
create index idx_schedules_suite_id on orbit.schedules (suite_id);
create index idx_schedules_environment_id on orbit.schedules (environment_id);
create index idx_schedules_last_run_id on orbit.schedules (last_run_id);
create index idx_schedules_created_by on orbit.schedules (created_by);
comment on table orbit.schedules is 'When a suite is run by itself. Saved by people; next_run_at and last_run_at are the engine''s, which starts the runs.';
comment on column orbit.schedules.id is 'Drawn at random.';
comment on column orbit.schedules.project_id is 'The suite''s project.';
comment on column orbit.schedules.suite_id is 'What is run: its latest version at the time.';
comment on column orbit.schedules.environment_id is 'Where; null: without an environment. With the environment goes the schedule: it must not run against something else.';
comment on column orbit.schedules.name is 'What people call it; one of its name in a project.';
comment on column orbit.schedules.kind is 'cron, interval or once; it says which of the next three is set.';
comment on column orbit.schedules.cron is 'Five fields, read in time_zone: minute, hour, day of month, month, day of week.';
comment on column orbit.schedules.every is 'From one start to the next, a minute to 366 days.';
comment on column orbit.schedules.at is 'The one time at which it runs.';
comment on column orbit.schedules.time_zone is 'A name of the IANA database: Europe/Paris. A cron expression means that place''s clocks, summer time included.';
comment on column orbit.schedules.missed is 'What is made up for when nobody was there to start it: skip nothing of it, once for all of it, or all of it.';
comment on column orbit.schedules.paused is 'It starts nothing until resumed.';
comment on column orbit.schedules.options is 'What else start_run takes: selection, variables, concurrency, fail_fast, timeout, priority. No secrets: those belong to the environment.';
comment on column orbit.schedules.next_run_at is 'When it is due next. Null until the engine has reckoned it after a change, while paused, and when it will not run any more.';
comment on column orbit.schedules.last_run_at is 'When it last started a run; null: never.';
comment on column orbit.schedules.last_run_id is 'That run; null also where it is gone.';
comment on column orbit.schedules.created_by is 'Who made it; null for administrative roles, or where the account is gone.';
comment on column orbit.schedules.created_at is 'When it was made.';
comment on column orbit.schedules.updated_at is 'When somebody last changed it.';

-- RLS ----------------------------------------------------------------------------------------------------------------------

alter table orbit.schedules enable row level security;
grant select on orbit.schedules to authenticated;
grant all on orbit.schedules to service_role;
create policy schedules_select on orbit.schedules for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));

-- Schedules: functions -----------------------------------------------------------------------------------------------------------------

create function orbit_private.schedule_of(p orbit.schedules)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', p.id, 'project_id', p.project_id, 'name', p.name, 'suite_id', p.suite_id, 'suite', s.key, 'environment', e.name,
    'kind', p.kind, 'cron', p.cron, 'every', extract(epoch from p.every)::float8, 'at', p.at, 'time_zone', p.time_zone, 'missed', p.missed,
    'paused', p.paused, 'options', p.options, 'next_run_at', p.next_run_at, 'last_run_at', p.last_run_at, 'last_run_id', p.last_run_id)
  from orbit.test_suites s left join orbit.environments e on e.id = p.environment_id where s.id = p.suite_id
$$;
comment on function orbit_private.schedule_of is 'A schedule as callers see it; `every` in seconds.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.save_schedule(p_request jsonb, p_now timestamptz default now())
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_project orbit.projects; v_name text := orbit_private.required(p_request, 'name'); v_suite text := orbit_private.required(p_request, 'suite');
  v_kind text := orbit_private.required(p_request, 'kind'); v_zone text := coalesce(p_request ->> 'time_zone', 'UTC');
  v_options jsonb := coalesce(nullif(p_request -> 'options', 'null'), '{}'); v_paused boolean := coalesce((p_request ->> 'paused')::boolean, false);
  v_every float8 := (p_request ->> 'every')::float8; v_at timestamptz := (p_request ->> 'at')::timestamptz;
  v_problem text; v_suite_id uuid; v_environment_id uuid; v_old orbit.schedules; v_schedule orbit.schedules;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'suite', 'environment', 'kind', 'cron', 'every', 'at', 'time_zone',
    'missed', 'paused', 'options']);
  v_project := orbit_private.project_of(p_request);
  select s.id into v_suite_id from orbit.test_suites s where s.project_id = v_project.id and s.key = v_suite and s.archived_at is null;
  if not found then
    perform orbit_private.refuse('OR002', format('no suite %s in project %s', left(v_suite, 200), v_project.slug), '', 'Save the suite before its schedule.');
  end if;
  perform orbit_private.require('schedule.write', 'suite', v_suite_id);
  if p_request ->> 'environment' is not null then
    select e.id into v_environment_id from orbit.environments e where e.project_id = v_project.id and e.name = p_request ->> 'environment';
    if not found then
      perform orbit_private.refuse('OR002', format('no environment %s in project %s', left(p_request ->> 'environment', 200), v_project.slug), '', 'Save the environment before the schedule.');
    end if;
  end if;
  v_problem := case
    when v_kind not in ('cron', 'interval', 'once') then format('a schedule is never %s', left(v_kind, 40))
    when (v_kind = 'cron') <> (p_request ->> 'cron' is not null) or (v_kind = 'interval') <> (v_every is not null) or (v_kind = 'once') <> (v_at is not null)
      then format('a schedule of kind %s has %s, and no other time', v_kind, case v_kind when 'cron' then 'cron' when 'interval' then 'every' else 'at' end)
    when v_kind = 'cron' then orbit_private.cron_problem(p_request ->> 'cron')
    when v_every not between 60 and 31622400 then 'every is from 60 seconds to 366 days'
    -- Paused, it may stay as a record of when it was.
    when v_at <= p_now and not v_paused then format('at is over: %s', v_at)
    end;
  if v_problem is null and not exists (
       select from pg_catalog.pg_timezone_names z where z.name = v_zone and z.name ~ '^[A-Z]' and z.name not in ('Factory')) then
    v_problem := format('there is no time zone %s', left(v_zone, 60));
  end if;
  if v_problem is null then
    select format('options cannot have %s', left(min(k), 60)) into v_problem from jsonb_object_keys(v_options) k
      where k not in ('selection', 'variables', 'concurrency', 'fail_fast', 'timeout', 'priority') having count(*) > 0;
  end if;
  if v_problem is not null then
    perform orbit_private.refuse('OR001', v_problem, '', 'kind: cron (cron: "0 6 * * mon-fri"), interval (every: seconds) or once (at: a time); time_zone: an IANA name.');
  end if;
  if coalesce(p_request ->> 'missed', 'once') not in ('skip', 'once', 'all') then
    perform orbit_private.refuse('OR001', format('missed is never %s', left(p_request ->> 'missed', 40)), '', 'missed is one of skip, once, all.');
  end if;

  select * into v_old from orbit.schedules c where c.project_id = v_project.id and c.name = v_name for no key update;
  if found then
    perform orbit_private.require('schedule.write', 'suite', v_old.suite_id);
  end if;
  insert into orbit.schedules as c (project_id, suite_id, environment_id, name, kind, cron, every, at, time_zone, missed, paused, options, created_by)
    values (v_project.id, v_suite_id, v_environment_id, v_name, v_kind, p_request ->> 'cron', make_interval(secs => v_every), v_at, v_zone,
            coalesce(p_request ->> 'missed', 'once'), v_paused, v_options, (select u.id from orbit.users u where u.id = (select auth.uid())))
    on conflict (project_id, name) do update set suite_id = excluded.suite_id, environment_id = excluded.environment_id, kind = excluded.kind,
      cron = excluded.cron, every = excluded.every, at = excluded.at, time_zone = excluded.time_zone, missed = excluded.missed, paused = excluded.paused,
      options = excluded.options, updated_at = p_now,
      -- To be reckoned anew where the times changed, and after a pause.
      next_run_at = case when not excluded.paused and (c.kind, c.cron, c.every, c.at, c.time_zone) is not distinct from
                           (excluded.kind, excluded.cron, excluded.every, excluded.at, excluded.time_zone) then c.next_run_at end
    returning * into v_schedule;
  return orbit_private.schedule_of(v_schedule);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.save_schedule is 'See orbit.save_schedule.';

create function orbit.save_schedule(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_schedule(p_request) $$;
comment on function orbit.save_schedule is 'Makes the schedule of that name, or puts this in its place: {organization?, project?, name, suite (key), environment?, kind: cron | interval | once, cron? ("0 6 * * mon-fri"), every? (seconds), at?, time_zone? = UTC, missed? = once (skip | once | all), paused? = false, options?: {selection?, variables?, concurrency?, fail_fast?, timeout?, priority?}}. Answers the schedule; next_run_at is null until the engine has reckoned it. OR001 malformed, OR002, OR003 without schedule.write.';

create function orbit.list_schedules(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_scope uuid[] := orbit_private.scope_of(p_request); v_rows jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'limit']);
  select coalesce(jsonb_agg(orbit_private.schedule_of(c) order by c.name, c.id), '[]') into v_rows from (
    select s.* from orbit.schedules s where v_scope is null or s.project_id = any (v_scope) order by s.name, s.id limit orbit_private.limit_of(p_request)) c;
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_schedules is 'Schedules by name: {organization?, project?, limit? = 50, at most 1000} → [{id, project_id, name, suite_id, suite, environment, kind, cron, every, at, time_zone, missed, paused, options, next_run_at, last_run_at, last_run_id}].';

-- Definer: as save_schedule.
create function orbit_private.delete_schedule(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_name text := orbit_private.required(p_request, 'name'); v_project orbit.projects; v_schedule orbit.schedules;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name']);
  v_project := orbit_private.project_of(p_request);
  select * into v_schedule from orbit.schedules c where c.project_id = v_project.id and c.name = v_name for update;
  if not found then
    perform orbit_private.refuse('OR002', format('no schedule %s in project %s', left(v_name, 200), v_project.slug), '', 'List them: orbit.list_schedules.');
  end if;
  perform orbit_private.require('schedule.write', 'suite', v_schedule.suite_id);
  delete from orbit.schedules c where c.id = v_schedule.id;
  return jsonb_build_object('deleted', v_schedule.id);
end $$;
comment on function orbit_private.delete_schedule is 'See orbit.delete_schedule.';

create function orbit.delete_schedule(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_schedule(p_request) $$;
comment on function orbit.delete_schedule is 'Deletes a schedule: {organization?, project?, name} → {deleted: id}. Runs that it started stay. OR002, OR003 without schedule.write.';

-- Starting what is due -----------------------------------------------------------------------------------------------------

create function orbit_runner.start_due(p_limit int default 10)
returns jsonb language plpgsql security definer set search_path = '' as $$
-- Called by any worker every other second; one at a time does it.
declare v_now timestamptz := clock_timestamp(); v_moved int := 0;
begin
  if not pg_try_advisory_xact_lock(hashtext('orbit_runner.start_due')) then
    return jsonb_build_object('busy', true);
  end if;
  if to_regprocedure('orbit_private.move_pipelines(timestamptz,int)') is not null then
    execute 'select orbit_private.move_pipelines($1, $2)' into v_moved using v_now, p_limit;
  end if;
  return jsonb_build_object('started', 0, 'more', v_moved >= p_limit);
end $$;
comment on function orbit_runner.start_due is 'Starts what is due, by whoever comes by: {started, more}; `more` asks to be called again at once; {busy} where another is at it.';

grant execute on function orbit_private.schedule_of to authenticated, service_role;
grant execute on function orbit_private.save_schedule, orbit_private.delete_schedule to authenticated, service_role;
grant execute on function orbit.save_schedule, orbit.list_schedules, orbit.delete_schedule to authenticated, service_role;
grant execute on function orbit_runner.start_due to orbit_runner, service_role;

-- The engine's columns are none of what people change.
select orbit_private.audited('orbit.schedules', 'schedule', p_left_out => '{next_run_at,last_run_at,last_run_id}');

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
