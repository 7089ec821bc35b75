-- Schedules: when runs start by themselves, and as whom.
--
--   schedules ── schedule_slots     when a suite is run; what became of each time
--   start_due ─► start_due_schedules ─► run_schedule ─► start_run_as      by any worker, one at a time
--
-- A slot is a moment at which a schedule is due. Each is started once or listed as missed or failed: the row of the slot, the run and the
-- schedule's next time are written in one transaction.
--
-- Clocks are put forward and back. A cron line means the clock of its place:
--   a time that the clock leaves out (spring) is the first moment after the gap, once, however many such times the line has;
--   a time that comes twice (autumn) is the first of the two;
--   a line for every hour means real time: every moment at which the clock there shows one of its minutes, twice where it shows it twice.

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

-- Cron lines -------------------------------------------------------------------------------------------------------------------

create type orbit_private.cron_line as (
  minutes int[], hours int[], days int[], months int[], weekdays int[], either boolean, problem text
);
comment on type orbit_private.cron_line is 'What a cron expression means, weekdays from Sunday = 0; either: a day needs to be one of days or of weekdays, else of both. problem: why it means nothing.';

create function orbit_private.cron_line(p_cron text)
returns orbit_private.cron_line language plpgsql immutable set search_path = '' as $$
-- Five fields of lists of *, a, a-b, each perhaps /step; months and days also by their English names, 7 is Sunday as well as 0.
declare
  v_fields text[] := regexp_split_to_array(trim(lower(p_cron)), '\s+');
  v_names text[] := array['minute', 'hour', 'day of month', 'month', 'day of week'];
  v_low int[] := array[0, 0, 1, 1, 0]; v_high int[] := array[59, 23, 31, 12, 7];
  v_numbers int[] := '{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59}';
  v_line orbit_private.cron_line; v_text text; v_part text; v_match text[]; v_from int; v_to int; v_set int[];
begin
  if p_cron is null or cardinality(v_fields) <> 5 then
    v_line.problem := 'a cron expression has five fields: minute, hour, day of month, month, day of week';
    return v_line;
  end if;
  for f in 1 .. 5 loop
    v_text := v_fields[f]; v_set := '{}';
    if f = 4 and v_text ~ '[a-z]' then
      for i in 1 .. 12 loop v_text := regexp_replace(v_text, '\m' || (array['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'])[i] || '\M', i::text, 'g'); end loop;
    elsif f = 5 and v_text ~ '[a-z]' then
      for i in 0 .. 6 loop v_text := regexp_replace(v_text, '\m' || (array['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'])[i + 1] || '\M', i::text, 'g'); end loop;
    end if;
    foreach v_part in array string_to_array(v_text, ',') loop
      v_match := regexp_match(v_part, '^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?$');
      if v_match is null then
        v_line.problem := format('%s cannot be %s', v_names[f], left(v_fields[f], 40));
        return v_line;
      end if;
      v_from := coalesce(v_match[1]::int, v_low[f]);
      v_to := coalesce(v_match[2]::int, case when v_match[1] is null or v_match[3] is not null then v_high[f] else v_from end);
      if v_from < v_low[f] or v_to > v_high[f] or v_from > v_to or v_match[3]::int < 1 then
        v_line.problem := format('%s cannot be %s: it goes from %s to %s', v_names[f], left(v_fields[f], 40), v_low[f], v_high[f]);
        return v_line;
      elsif f = 5 and v_match[2] is null and (v_match[1] is null or v_match[3] is not null) then
        v_to := 6;  -- of every day, or every so many, Sunday is counted once
      end if;
      if v_match[3] is null then
        v_set := v_set || v_numbers[v_from + 1 : v_to + 1];
      else
        v_set := v_set || array(select n from generate_series(v_from, v_to, v_match[3]::int) n);
      end if;
    end loop;
    -- Asked only where it matters: most lines are read once for each of their slots.
    if v_part <> v_text or v_set[cardinality(v_set)] = 7 then
      v_set := array(select distinct case when f = 5 then n % 7 else n end as n from unnest(v_set) n order by n);
    end if;
    case f when 1 then v_line.minutes := v_set; when 2 then v_line.hours := v_set; when 3 then v_line.days := v_set;
           when 4 then v_line.months := v_set; else v_line.weekdays := v_set; end case;
  end loop;
  -- As every cron has it: days said in both ways are days of either; a field that begins with * says nothing by itself.
  v_line.either := left(v_fields[3], 1) <> '*' and left(v_fields[5], 1) <> '*';
  -- 31 April never comes. A day of the week that suffices does.
  if not v_line.either and v_line.days[1] > 29 then
    if not exists (select from unnest(v_line.days) d cross join unnest(v_line.months) m where d <= (array[31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[m]) then
      v_line.problem := format('day %s of month %s never comes', left(v_fields[3], 40), left(v_fields[4], 40));
    end if;
  end if;
  return v_line;
end $$;
comment on function orbit_private.cron_line is 'Reads a cron expression.';

create function orbit_private.cron_problem(p_cron text)
returns text language sql immutable set search_path = '' as $$
  select (orbit_private.cron_line(p_cron)).problem
$$;
comment on function orbit_private.cron_problem is 'What is wrong with a cron expression, in a sentence; null where nothing is.';

create function orbit_private.zone_offset(p_at timestamptz, p_zone text)
returns interval language sql stable set search_path = '' as $$
  select (p_at at time zone p_zone) - (p_at at time zone 'UTC')
$$;
comment on function orbit_private.zone_offset is 'How far the clocks of a place are ahead of UTC at a moment.';

create function orbit_private.instant_of(p_local timestamp, p_zone text)
returns timestamptz language plpgsql stable set search_path = '' as $$
-- Right where the clock changes at most once in two days.
declare
  v_at timestamptz := p_local at time zone p_zone; v_earlier timestamptz;
  v_low timestamptz := v_at - interval '25 hours'; v_high timestamptz := v_at + interval '25 hours'; v_middle timestamptz;
  v_before interval := orbit_private.zone_offset(v_low, p_zone);
begin
  if v_at at time zone p_zone = p_local then
    v_earlier := (p_local - v_before) at time zone 'UTC';
    return case when v_earlier < v_at and v_earlier at time zone p_zone = p_local then v_earlier else v_at end;
  end if;
  while v_high - v_low > interval '1 second' loop
    v_middle := date_trunc('second', v_low + (v_high - v_low) / 2);
    if orbit_private.zone_offset(v_middle, p_zone) = v_before then v_low := v_middle; else v_high := v_middle; end if;
  end loop;
  return v_high;
end $$;
comment on function orbit_private.instant_of is 'When the clocks of a place show this: the first of two such moments; where they leave it out, the first moment after the gap.';

create function orbit_private.cron_day(p_line orbit_private.cron_line, p_day date)
returns boolean language sql immutable set search_path = '' as $$
  select extract(month from p_day)::int = any (p_line.months) and case when p_line.either
    then extract(day from p_day)::int = any (p_line.days) or extract(dow from p_day)::int = any (p_line.weekdays)
    else extract(day from p_day)::int = any (p_line.days) and extract(dow from p_day)::int = any (p_line.weekdays) end
$$;
comment on function orbit_private.cron_day is 'Whether the line means this day.';

create function orbit_private.even_offset(p_zone text, p_day date)
returns interval language plpgsql stable set search_path = '' as $$
declare v_midnight timestamp := p_day; v_before interval := ((v_midnight - interval '1 day') at time zone 'UTC' at time zone p_zone) - (v_midnight - interval '1 day');
begin
  return case when v_before = ((v_midnight + interval '2 days') at time zone 'UTC' at time zone p_zone) - (v_midnight + interval '2 days') then v_before end;
end $$;
comment on function orbit_private.even_offset is 'How far the clocks of a place are ahead of UTC all day; null where they are changed about that day.';

create function orbit_private.cron_slots(p_line orbit_private.cron_line, p_zone text, p_day date, p_after timestamptz default '-infinity', p_limit int default null)
returns setof timestamptz language plpgsql stable set search_path = '' as $$
declare v_midnight timestamptz := p_day::timestamp at time zone 'UTC'; v_offset interval := orbit_private.even_offset(p_zone, p_day);
begin
  if v_offset is not null then
    return query select s from unnest(p_line.hours) h cross join unnest(p_line.minutes) m
      cross join lateral (select v_midnight + make_interval(hours => h, mins => m) - v_offset as s) x where s > p_after order by s limit p_limit;
  elsif cardinality(p_line.hours) = 24 then
    -- A series of the select list is drawn only as far as the limit asks.
    return query select u from (select generate_series(greatest(v_midnight - interval '15 hours', date_trunc('minute', p_after, 'UTC') + interval '1 minute'),
                                                       v_midnight + interval '39 hours', interval '1 minute') as u) x
      where (u at time zone p_zone)::date = p_day and extract(minute from u at time zone p_zone)::int = any (p_line.minutes) limit p_limit;
  else
    return query select distinct s from unnest(p_line.hours) h cross join unnest(p_line.minutes) m
      cross join lateral (select orbit_private.instant_of(p_day + make_interval(hours => h, mins => m), p_zone) as s offset 0) x where s > p_after order by s limit p_limit;
  end if;
end $$;
comment on function orbit_private.cron_slots is 'The slots of a day of the place''s calendar after a moment, in their order, at most so many; only on days near a change of the clock is there more to it than a sum.';

create function orbit_private.next_slot(p_kind text, p_cron text, p_every interval, p_at timestamptz, p_time_zone text, p_anchor timestamptz, p_after timestamptz)
returns timestamptz language plpgsql stable set search_path = '' as $$
-- By days, never by minutes, and at most 41 years on: by then every day has been every day of the week.
declare
  v_line orbit_private.cron_line; v_step numeric; v_today date; v_first date; v_day date; v_month date; v_slot timestamptz; v_offset interval; v_passed int; v_hour int; v_minute int;
begin
  if p_kind = 'once' then
    return case when p_at > p_after then p_at end;
  elsif p_kind = 'interval' then
    v_step := extract(epoch from p_every);
    return p_anchor + make_interval(secs => (v_step * greatest(floor(extract(epoch from p_after - p_anchor) / v_step) + 1, 0))::float8);
  end if;
  v_line := orbit_private.cron_line(p_cron);
  if v_line.problem is not null then
    return null;
  end if;
  v_today := (p_after at time zone p_time_zone)::date;
  v_first := v_today - 1;  -- yesterday's are over, but where the clock has just changed
  v_month := date_trunc('month', v_first::timestamp);
  for n in 0 .. 493 loop
    if extract(month from v_month)::int = any (v_line.months) then
      for v_day in select d::date from generate_series(greatest(v_month, v_first)::timestamp, v_month + interval '1 month' - interval '1 day', interval '1 day') d loop
        continue when not orbit_private.cron_day(v_line, v_day);
        v_offset := orbit_private.even_offset(p_time_zone, v_day);
        if v_offset is null then
          v_slot := (select s from orbit_private.cron_slots(v_line, p_time_zone, v_day, p_after, 1) s);
          if v_slot is not null then
            return v_slot;
          end if;
          continue;
        end if;
        v_passed := case when v_day = v_today then floor(extract(epoch from (p_after at time zone 'UTC') + v_offset - v_day::timestamp) / 60)::int
                         when v_day > v_today then -1 else 1440 end;
        foreach v_hour in array v_line.hours loop
          continue when v_hour * 60 + 59 <= v_passed;
          foreach v_minute in array v_line.minutes loop
            if v_hour * 60 + v_minute > v_passed then
              return (v_day + make_interval(hours => v_hour, mins => v_minute) - v_offset) at time zone 'UTC';
            end if;
          end loop;
        end loop;
      end loop;
    end if;
    v_month := v_month + interval '1 month';
  end loop;
  return null;
end $$;
comment on function orbit_private.next_slot is 'The first slot after a moment; null where there is none. Intervals are counted from the anchor, so that they do not drift.';

create function orbit_private.slots_between(p_kind text, p_cron text, p_every interval, p_at timestamptz, p_time_zone text, p_anchor timestamptz,
  p_from timestamptz, p_until timestamptz, p_limit int)
returns timestamptz[] language plpgsql stable set search_path = '' as $$
-- From the end, so that a long outage costs no more than what is kept of it.
declare v_line orbit_private.cron_line; v_slots timestamptz[] := '{}'; v_more timestamptz[]; v_step numeric; v_last numeric; v_first numeric; v_day date;
begin
  if p_kind = 'once' then
    return case when p_at between p_from and p_until then array[p_at] else '{}' end;
  elsif p_kind = 'interval' then
    v_step := extract(epoch from p_every);
    v_last := floor(extract(epoch from p_until - p_anchor) / v_step);
    v_first := greatest(ceil(extract(epoch from p_from - p_anchor) / v_step), v_last - p_limit + 1, 0);
    return array(select p_anchor + make_interval(secs => (v_step * k)::float8) from generate_series(v_first, v_last) k order by k);
  end if;
  v_line := orbit_private.cron_line(p_cron);
  v_day := (p_until at time zone p_time_zone)::date + 1;
  while v_day >= (p_from at time zone p_time_zone)::date - 1 and cardinality(v_slots) < p_limit loop
    if orbit_private.cron_day(v_line, v_day) then
      v_more := array(select s from orbit_private.cron_slots(v_line, p_time_zone, v_day) s where s between p_from and p_until order by s);
      v_slots := v_more || v_slots;
    end if;
    v_day := v_day - 1;
  end loop;
  v_slots := array(select distinct s from unnest(v_slots) s order by s);
  return v_slots[greatest(cardinality(v_slots) - p_limit + 1, 1):];
end $$;
comment on function orbit_private.slots_between is 'The slots from one moment to another, both included, in their order: at most so many, the newest.';

create function orbit_private.near_zones(p_zone text)
returns text language sql stable set search_path = '' as $$
  -- Like in three letters in a row, of the place or of all of it: Paris, europe/paris, Europe/Pari and New York are found.
  with asked as (select lower(regexp_replace(left(p_zone, 60), '[^[:alpha:]]+', ' ', 'g')) as whole),
  named as (
    select z.name, lower(regexp_replace(z.name, '[^[:alpha:]]+', ' ', 'g')) as whole,
           lower(regexp_replace(split_part(z.name, '/', -1), '[^[:alpha:]]+', ' ', 'g')) as place
      from pg_catalog.pg_timezone_names z where z.name ~ '^[A-Z]' and z.name like '%/%' and z.name !~ '^(Etc|SystemV)/'),
  compared as (
    select n.name, max(c.common / greatest(c.all_of_it, 1)) as likeness from named n cross join asked a
      cross join lateral (values (n.whole, a.whole), (n.place, a.whole), (n.place, regexp_replace(a.whole, '^.* ', ''))) v (one, other)
      cross join lateral (
        select count(*) filter (where o.x is not null and t.x is not null)::float8 as common, count(*)::float8 as all_of_it
          from (select distinct substr('  ' || v.one || ' ', i, 3) as x from generate_series(1, length(v.one) + 1) i) o
          full join (select distinct substr('  ' || v.other || ' ', i, 3) as x from generate_series(1, length(v.other) + 1) i) t on t.x = o.x) c
      group by n.name)
  select string_agg(b.name, ', ' order by b.likeness desc, b.name) from (
    select c.name, c.likeness from compared c where c.likeness > greatest(0.35, (select max(m.likeness) from compared m) - 0.2) order by c.likeness desc, c.name limit 3) b
$$;
comment on function orbit_private.near_zones is 'Up to three names of time zones that are like a wrong one; null where none is.';

-- Tables -------------------------------------------------------------------------------------------------------------------

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
  anchor_at timestamptz not null default now(),
  next_run_at timestamptz,
  retry_at timestamptz,
  retries smallint not null default 0,
  last_run_at timestamptz,
  last_run_id uuid references orbit.test_runs (id) on delete set null,
  last_error text,
  administrative boolean not null,
  owner_id uuid references orbit.users (id) on delete set null,
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
  constraint schedules_paused_has_no_next_check check (not paused or next_run_at is null),
  constraint schedules_retry_check check (retries between 0 and 10000 and (retries > 0) = (retry_at is not null) and (retry_at is null or next_run_at is not null)),
  constraint schedules_owner_check check (not administrative or owner_id is null)
);
create index idx_schedules_due on orbit.schedules (coalesce(retry_at, next_run_at)) where not paused;
create index idx_schedules_suite_id on orbit.schedules (suite_id);
create index idx_schedules_environment_id on orbit.schedules (environment_id);
create index idx_schedules_last_run_id on orbit.schedules (last_run_id);
create index idx_schedules_owner_id on orbit.schedules (owner_id);
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
comment on column orbit.schedules.missed is 'What is made up for when nobody was there to start it: skip: nothing; once: all of it by one run; all: each slot, at most the newest 100.';
comment on column orbit.schedules.paused is 'It starts nothing until resumed.';
comment on column orbit.schedules.options is 'What else start_run takes: selection, variables, concurrency, fail_fast, timeout, priority, order, group. No secrets: those belong to the environment.';
comment on column orbit.schedules.next_run_at is 'The slot that is due next. Null while paused, and when it will not run any more.';
comment on column orbit.schedules.anchor_at is 'From where intervals are counted.';
comment on column orbit.schedules.retry_at is 'The start of that slot was refused for a while: it is tried again then.';
comment on column orbit.schedules.retries is 'How often that slot''s start was refused.';
comment on column orbit.schedules.last_run_at is 'When it last started a run; null: never.';
comment on column orbit.schedules.last_run_id is 'That run; null also where it is gone.';
comment on column orbit.schedules.last_error is 'Why the last start was refused; null where it was not.';
comment on column orbit.schedules.administrative is 'Its runs start with the rights of an administrative role: such a one saved it last.';
comment on column orbit.schedules.owner_id is 'As whom its runs start: who saved it last. Null where it is administrative; else the account is gone, and it starts none.';
comment on column orbit.schedules.created_by is 'Who made it; null for administrative roles, or where the account is gone.';
comment on column orbit.schedules.created_at is 'When it was made.';
comment on column orbit.schedules.updated_at is 'When somebody last changed it.';

create table orbit.schedule_slots (
  schedule_id uuid not null references orbit.schedules (id) on delete cascade,
  slot_at timestamptz not null,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  status text not null,
  reason text,
  run_id uuid references orbit.test_runs (id) on delete set null,
  until_at timestamptz,
  decided_at timestamptz not null default now(),
  primary key (schedule_id, slot_at),
  constraint schedule_slots_status_check check (status in ('started', 'missed', 'failed')),
  constraint schedule_slots_reason_check check ((status = 'started') = (reason is null)),
  constraint schedule_slots_run_check check (run_id is null or status = 'started'),
  constraint schedule_slots_until_check check (until_at is null or until_at > slot_at and status = 'missed')
);
create index idx_schedule_slots_project_id on orbit.schedule_slots (project_id);
create index idx_schedule_slots_run_id on orbit.schedule_slots (run_id);
comment on table orbit.schedule_slots is 'What became of each time at which a schedule was due: of each the newest 1,000 of the last 90 days. A slot is here once it is decided, and is decided once.';
comment on column orbit.schedule_slots.schedule_id is 'Whose.';
comment on column orbit.schedule_slots.slot_at is 'When it was due.';
comment on column orbit.schedule_slots.project_id is 'The schedule''s project.';
comment on column orbit.schedule_slots.status is 'started; missed: nobody was there and the schedule does not make up for it; failed: the start was refused.';
comment on column orbit.schedule_slots.reason is 'Why it did not start; null where it did.';
comment on column orbit.schedule_slots.run_id is 'The run that it started; null also where it is gone.';
comment on column orbit.schedule_slots.until_at is 'The row stands for all slots up to this one, after a long outage; null: for one.';
comment on column orbit.schedule_slots.decided_at is 'When a worker came by and decided it.';

-- RLS ----------------------------------------------------------------------------------------------------------------------

alter table orbit.schedules enable row level security;
alter table orbit.schedule_slots enable row level security;
grant select on orbit.schedules, orbit.schedule_slots to authenticated;
grant all on orbit.schedules, orbit.schedule_slots to service_role;
create policy schedules_select on orbit.schedules for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy schedule_slots_select on orbit.schedule_slots for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));

-- Functions ----------------------------------------------------------------------------------------------------------------

create function orbit_private.schedule_of(p orbit.schedules)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', p.id, 'project_id', p.project_id, 'name', p.name, 'suite_id', p.suite_id, 'suite', s.key, 'environment', e.name,
    'kind', p.kind, 'cron', p.cron, 'every', extract(epoch from p.every)::float8, 'anchor', case p.kind when 'interval' then p.anchor_at end, 'at', p.at,
    'time_zone', p.time_zone, 'missed', p.missed, 'paused', p.paused, 'options', p.options, 'owner_id', p.owner_id, 'administrative', p.administrative,
    'next_run_at', p.next_run_at, 'retry_at', p.retry_at, 'last_run_at', p.last_run_at, 'last_run_id', p.last_run_id, 'last_error', p.last_error)
  from orbit.test_suites s left join orbit.environments e on e.id = p.environment_id where s.id = p.suite_id
$$;
comment on function orbit_private.schedule_of is 'A schedule as callers see it; `every` in seconds.';

create function orbit_private.schedule_named(p_request jsonb)
returns orbit.schedules language plpgsql stable set search_path = '' as $$
declare v_name text := orbit_private.required(p_request, 'name'); v_project orbit.projects := orbit_private.project_of(p_request); v_schedule orbit.schedules;
begin
  select * into v_schedule from orbit.schedules c where c.project_id = v_project.id and c.name = v_name;
  if not found then
    perform orbit_private.refuse('OR002', format('no schedule %s in project %s', left(v_name, 200), v_project.slug), '', 'List them: orbit schedule list, or orbit.list_schedules.');
  end if;
  return v_schedule;
end $$;
comment on function orbit_private.schedule_named is 'The schedule that a request names; OR002 where there is none that the caller sees.';

create function orbit_private.times_of(p_request jsonb, p_now timestamptz,
  out kind text, out cron text, out every interval, out at timestamptz, out time_zone text, out anchor timestamptz)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
declare
  v_every float8 := (p_request ->> 'every')::float8; v_problem text; v_hint text;
  v_kind text := coalesce(p_request ->> 'kind', case when p_request ->> 'cron' is not null then 'cron' when p_request ->> 'every' is not null then 'interval' else 'once' end);
begin
  kind := v_kind; cron := p_request ->> 'cron'; at := (p_request ->> 'at')::timestamptz; time_zone := coalesce(p_request ->> 'time_zone', 'UTC');
  anchor := (p_request ->> 'anchor')::timestamptz;
  v_hint := 'kind: cron (cron: "0 6 * * mon-fri"), interval (every: seconds) or once (at: a time); time_zone: an IANA name.';
  v_problem := case
    when v_kind not in ('cron', 'interval', 'once') then format('a schedule is never %s', left(v_kind, 40))
    when (v_kind = 'cron') <> (cron is not null) or (v_kind = 'interval') <> (v_every is not null) or (v_kind = 'once') <> (at is not null)
      then format('a schedule of kind %s has %s, and no other time', v_kind, case v_kind when 'cron' then 'cron' when 'interval' then 'every' else 'at' end)
    when anchor is not null and v_kind <> 'interval' then 'anchor is for intervals'
    when not isfinite(at) or not isfinite(anchor) or abs(extract(epoch from coalesce(at, anchor) - p_now)) > 3e9 then 'at and anchor are times of this century'
    when v_kind = 'cron' then orbit_private.cron_problem(cron)
    when v_every not between 60 and 31622400 then 'every is from 60 seconds to 366 days'
    end;
  if v_problem is null and time_zone <> 'UTC' and not exists (
       select from pg_catalog.pg_timezone_names z where z.name = time_zone and z.name ~ '^[A-Z]' and z.name <> 'Factory') then
    v_problem := format('time_zone: there is no time zone %s', left(time_zone, 60));
    v_hint := coalesce(format('Perhaps %s.', orbit_private.near_zones(time_zone)), 'It is a name of the IANA database: Europe/Paris.');
  end if;
  if v_problem is not null then
    perform orbit_private.refuse('OR001', v_problem, '', v_hint);
  end if;
  every := make_interval(secs => v_every);
end $$;
comment on function orbit_private.times_of is 'When a request says that something is to happen; OR001, naming the field, where it cannot.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.save_schedule(p_request jsonb, p_now timestamptz default now())
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_project orbit.projects; v_name text := orbit_private.required(p_request, 'name'); v_suite text := orbit_private.required(p_request, 'suite');
  v_options jsonb := coalesce(nullif(p_request -> 'options', 'null'), '{}'); v_paused boolean := coalesce((p_request ->> 'paused')::boolean, false);
  v_missed text := coalesce(p_request ->> 'missed', 'once'); v_user uuid := (select u.id from orbit.users u where u.id = (select auth.uid()));
  v_problem text; v_suite_id uuid; v_environment_id uuid; v_old orbit.schedules; v_schedule orbit.schedules; v_times record; v_next timestamptz;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'suite', 'environment', 'kind', 'cron', 'every', 'anchor', 'at', 'time_zone',
    'missed', 'paused', 'options']);
  perform orbit_private.required(p_request, 'kind');
  v_project := orbit_private.project_of(p_request);
  select s.id into v_suite_id from orbit.test_suites s where s.project_id = v_project.id and s.key = v_suite and s.archived_at is null;
  if not found then
    perform orbit_private.refuse('OR002', format('no suite %s in project %s', left(v_suite, 200), v_project.slug), '', 'Save the suite before its schedule.');
  end if;
  perform orbit_private.require('schedule.write', 'suite', v_suite_id);
  perform orbit_private.require('run.start', 'suite', v_suite_id);  -- as whom its runs start
  if p_request ->> 'environment' is not null then
    select e.id into v_environment_id from orbit.environments e where e.project_id = v_project.id and e.name = p_request ->> 'environment';
    if not found then
      perform orbit_private.refuse('OR002', format('no environment %s in project %s', left(p_request ->> 'environment', 200), v_project.slug), '', 'Save the environment before the schedule.');
    end if;
  end if;
  v_times := orbit_private.times_of(p_request, p_now);
  select format('options cannot have %s', left(min(k), 60)) into v_problem from jsonb_object_keys(v_options) k
    where k not in ('selection', 'variables', 'concurrency', 'fail_fast', 'timeout', 'priority', 'order', 'group') having count(*) > 0;
  if v_problem is not null then
    perform orbit_private.refuse('OR001', v_problem, '', 'They are what start_run takes: selection, variables, concurrency, fail_fast, timeout, priority, order, group.');
  elsif v_missed not in ('skip', 'once', 'all') then
    perform orbit_private.refuse('OR001', format('missed is never %s', left(v_missed, 40)), '', 'missed is one of skip, once, all.');
  end if;

  perform orbit_private.group_given(v_options -> 'group');

  select * into v_old from orbit.schedules c where c.project_id = v_project.id and c.name = v_name for no key update;
  if found then
    perform orbit_private.require('schedule.write', 'suite', v_old.suite_id);
  end if;
  -- Saved again as it was, an interval goes on in its step.
  v_times.anchor := coalesce(v_times.anchor, case when v_old.every = v_times.every then v_old.anchor_at end, p_now);
  if not v_paused then
    v_next := orbit_private.next_slot(v_times.kind, v_times.cron, v_times.every, v_times.at, v_times.time_zone, v_times.anchor, p_now);
    if v_next is null then
      perform orbit_private.refuse('OR001', case v_times.kind when 'once' then format('at is over: %s', v_times.at) else 'cron: this never comes' end, '',
        'Paused, it may stay as a record of when it was.');
    end if;
  end if;
  insert into orbit.schedules as c (project_id, suite_id, environment_id, name, kind, cron, every, at, time_zone, missed, paused, options, anchor_at, next_run_at,
                                    administrative, owner_id, created_by)
    values (v_project.id, v_suite_id, v_environment_id, v_name, v_times.kind, v_times.cron, v_times.every, v_times.at, v_times.time_zone,
            v_missed, v_paused, v_options, v_times.anchor, v_next, orbit_private.caller_is_trusted() and v_user is null, v_user, v_user)
    on conflict (project_id, name) do update set suite_id = excluded.suite_id, environment_id = excluded.environment_id, kind = excluded.kind,
      cron = excluded.cron, every = excluded.every, at = excluded.at, time_zone = excluded.time_zone, missed = excluded.missed, paused = excluded.paused,
      options = excluded.options, anchor_at = excluded.anchor_at, administrative = excluded.administrative, owner_id = excluded.owner_id, updated_at = p_now,
      -- A slot that is due just now is not lost by saving the same times again.
      next_run_at = case when not excluded.paused and not c.paused and (c.kind, c.cron, c.every, c.at, c.time_zone, c.anchor_at) is not distinct from
                           (excluded.kind, excluded.cron, excluded.every, excluded.at, excluded.time_zone, excluded.anchor_at)
                         then coalesce(c.next_run_at, excluded.next_run_at) else excluded.next_run_at end,
      retry_at = null, retries = 0, last_error = null
    returning * into v_schedule;
  perform pg_notify('orbit_due', '');  -- a worker that sleeps until the next slot reckons anew
  return orbit_private.schedule_of(v_schedule);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.save_schedule is 'See orbit.save_schedule.';

create function orbit.save_schedule(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_schedule(p_request) $$;
comment on function orbit.save_schedule is 'Makes the schedule of that name, or puts this in its place: {organization?, project?, name, suite (key), environment?, kind: cron | interval | once, cron? ("0 6 * * mon-fri"), every? (seconds), anchor? (from where intervals are counted; now), at?, time_zone? = UTC, missed? = once (skip | once | all, at most 100), paused? = false, options?: {selection?, variables?, concurrency?, fail_fast?, timeout?, priority?, order?, group?}}. Its runs start as who saved it last. Answers the schedule with next_run_at. OR001 malformed, or never due; OR002, OR003 without schedule.write and run.start.';

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
comment on function orbit.list_schedules is 'Schedules by name: {organization?, project?, limit? = 50, at most 1000} → [{id, project_id, name, suite_id, suite, environment, kind, cron, every, anchor, at, time_zone, missed, paused, options, owner_id, administrative, next_run_at, retry_at, last_run_at, last_run_id, last_error}].';

create function orbit_private.slot_of(p_at timestamptz, p_time_zone text)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('at', p_at, 'local', to_char(p_at at time zone p_time_zone, 'YYYY-MM-DD"T"HH24:MI:SS'))
$$;
comment on function orbit_private.slot_of is 'A slot as callers see it: the moment, and what the clocks of the place show then.';

create function orbit_private.following_slots(p_kind text, p_cron text, p_every interval, p_at timestamptz, p_time_zone text, p_anchor timestamptz,
  p_after timestamptz, p_count int)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_at timestamptz := p_after; v_slots jsonb := '[]';
begin
  for i in 1 .. p_count loop
    v_at := orbit_private.next_slot(p_kind, p_cron, p_every, p_at, p_time_zone, p_anchor, v_at);
    exit when v_at is null;
    v_slots := v_slots || orbit_private.slot_of(v_at, p_time_zone);
  end loop;
  return v_slots;
end $$;
comment on function orbit_private.following_slots is 'The next slots after a moment: [{at, local}].';

create function orbit.get_schedule(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_schedule orbit.schedules; v_count int := coalesce((p_request ->> 'slots')::int, 10);
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'slots']);
  if v_count not between 0 and 1000 then
    perform orbit_private.refuse('OR001', 'slots is from 0 to 1000');
  end if;
  v_schedule := orbit_private.schedule_named(p_request);
  return orbit_private.schedule_of(v_schedule) || jsonb_build_object(
    'next', case when v_schedule.next_run_at is null then '[]' else
      jsonb_build_array(orbit_private.slot_of(v_schedule.next_run_at, v_schedule.time_zone))
      || orbit_private.following_slots(v_schedule.kind, v_schedule.cron, v_schedule.every, v_schedule.at, v_schedule.time_zone, v_schedule.anchor_at, v_schedule.next_run_at, 4) end,
    'slots', (select coalesce(jsonb_agg(jsonb_build_object('at', s.slot_at, 'until', s.until_at, 'status', s.status, 'reason', s.reason, 'run_id', s.run_id,
                'decided_at', s.decided_at) order by s.slot_at desc), '[]')
                from (select * from orbit.schedule_slots x where x.schedule_id = v_schedule.id order by x.slot_at desc limit v_count) s));
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.get_schedule is 'A schedule with its next five slots and what became of the last: {organization?, project?, name, slots? = 10, at most 1000} → {…, next: [{at, local}], slots: [{at, until, status: started | missed | failed, reason, run_id, decided_at}], the newest first}. OR002.';

create function orbit_private.next_slots(p_request jsonb, p_now timestamptz default now())
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_times record; v_schedule orbit.schedules; v_count int := coalesce((p_request ->> 'count')::int, 5); v_after timestamptz := coalesce((p_request ->> 'after')::timestamptz, p_now);
begin
  if p_request ->> 'name' is not null then
    perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'after', 'count']);
    v_schedule := orbit_private.schedule_named(p_request);
    select v_schedule.kind, v_schedule.cron, v_schedule.every, v_schedule.at, v_schedule.time_zone, v_schedule.anchor_at as anchor into v_times;
  else
    perform orbit_private.refuse_unknown(p_request, array['kind', 'cron', 'every', 'anchor', 'at', 'time_zone', 'after', 'count']);
    v_times := orbit_private.times_of(p_request, p_now);
  end if;
  if v_count not between 1 and 100 then
    perform orbit_private.refuse('OR001', 'count is from 1 to 100');
  elsif not isfinite(v_after) or abs(extract(epoch from v_after - p_now)) > 3e9 then
    perform orbit_private.refuse('OR001', 'after is a time of this century');
  end if;
  return jsonb_build_object('kind', v_times.kind, 'time_zone', v_times.time_zone, 'slots', orbit_private.following_slots(v_times.kind, v_times.cron, v_times.every,
    v_times.at, v_times.time_zone, coalesce(v_times.anchor, v_after), v_after, v_count));
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.next_slots is 'See orbit.next_slots.';

create function orbit.next_slots(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.next_slots(p_request) $$;
comment on function orbit.next_slots is 'When something would be due, saved or not: {cron | every, anchor? | at, time_zone? = UTC} or {organization?, project?, name}, and {after? = now, count? = 5, at most 100} → {kind, time_zone, slots: [{at, local: what the clocks there show}]}, fewer where there are no more. OR001 where it cannot be, OR002.';

-- Definer: as save_schedule.
create function orbit_private.set_paused(p_request jsonb, p_paused boolean, p_now timestamptz default now())
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_schedule orbit.schedules; v_next timestamptz; v_changed boolean;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name']);
  v_schedule := orbit_private.schedule_named(p_request);
  perform orbit_private.require('schedule.write', 'suite', v_schedule.suite_id);
  select * into v_schedule from orbit.schedules c where c.id = v_schedule.id for no key update;
  v_changed := v_schedule.paused <> p_paused;
  if v_changed then
    if not p_paused then
      -- From now on: what was due during the pause was not missed.
      v_next := orbit_private.next_slot(v_schedule.kind, v_schedule.cron, v_schedule.every, v_schedule.at, v_schedule.time_zone, v_schedule.anchor_at, p_now);
      if v_next is null then
        perform orbit_private.refuse('OR004', format('the time of %s is over: %s', v_schedule.name, v_schedule.at), '', 'Save it with another.');
      end if;
    end if;
    update orbit.schedules c set paused = p_paused, next_run_at = v_next, retry_at = null, retries = 0, updated_at = p_now
      where c.id = v_schedule.id returning * into v_schedule;
    perform pg_notify('orbit_due', '');
  end if;
  return orbit_private.schedule_of(v_schedule) || jsonb_build_object('changed', v_changed);
end $$;
comment on function orbit_private.set_paused is 'See orbit.pause_schedule and orbit.resume_schedule.';

create function orbit.pause_schedule(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.set_paused(p_request, true) $$;
comment on function orbit.pause_schedule is 'Has a schedule start nothing until it is resumed: {organization?, project?, name}. Answers the schedule and `changed`. OR002, OR003 without schedule.write.';

create function orbit.resume_schedule(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.set_paused(p_request, false) $$;
comment on function orbit.resume_schedule is 'Ends a pause: {organization?, project?, name}. What was due in the meantime is not made up for. Answers the schedule and `changed`. OR002, OR003 without schedule.write, OR004 where its one time is over.';

-- Definer: as save_schedule.
create function orbit_private.delete_schedule(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_schedule orbit.schedules;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name']);
  v_schedule := orbit_private.schedule_named(p_request);
  perform orbit_private.require('schedule.write', 'suite', v_schedule.suite_id);
  delete from orbit.schedules c where c.id = v_schedule.id;
  return jsonb_build_object('deleted', v_schedule.id);
end $$;
comment on function orbit_private.delete_schedule is 'See orbit.delete_schedule.';

create function orbit.delete_schedule(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_schedule(p_request) $$;
comment on function orbit.delete_schedule is 'Deletes a schedule with what is known of its slots: {organization?, project?, name} → {deleted: id}. Runs that it started stay. OR002, OR003 without schedule.write.';

-- Starting what is due -----------------------------------------------------------------------------------------------------

create function orbit_private.run_schedule(p orbit.schedules, p_now timestamptz)
returns boolean language plpgsql set search_path = '' as $$
-- Decides what is due of one schedule, whose row the caller has locked, and starts at most one run. What a start refuses is written to
-- the slot, or, where it may pass, tried again: at the latest at the next slot, and for a day at most.
declare
  v_next timestamptz := orbit_private.next_slot(p.kind, p.cron, p.every, p.at, p.time_zone, p.anchor_at, p.next_run_at);
  v_due timestamptz[]; v_until timestamptz; v_count int; v_place int; v_slot timestamptz; v_answer jsonb; v_state text; v_error text; v_detail text; v_wait float8;
begin
  -- Nearly always one is due. It is taken as it was announced, even if the rules of the place's clock were changed since.
  v_due := array[p.next_run_at];
  if v_next <= p_now then
    v_due := v_due || orbit_private.slots_between(p.kind, p.cron, p.every, p.at, p.time_zone, p.anchor_at, v_next, p_now, 1001);
    if cardinality(v_due) > 1001 then
      v_until := v_due[cardinality(v_due) - 1000]; v_due := v_due[cardinality(v_due) - 999:];
    elsif cardinality(v_due) = 1001 then
      v_until := v_due[1]; v_due := v_due[2:];
    end if;
  end if;
  v_count := cardinality(v_due);
  v_place := case p.missed when 'all' then greatest(v_count - 99, 1) when 'once' then v_count
    else case when v_due[v_count] >= p_now - interval '1 minute' or (p.retries > 0 and v_due[v_count] = p.next_run_at) then v_count else v_count + 1 end end;
  if p.retries > 0 and v_due[v_place] = p.next_run_at and p_now > p.next_run_at + interval '1 day' then
    v_place := v_place + 1;
  end if;
  insert into orbit.schedule_slots (schedule_id, slot_at, project_id, status, reason, until_at, decided_at)
    select p.id, m.slot, p.project_id, case when m.refused then 'failed' else 'missed' end,
           case when m.refused then p.last_error when p.missed = 'skip' then 'nobody was there to start it'
             else format('nobody was there to start it; %s', case when p.missed = 'all' then 'of what is made up for these are not the newest 100'
                                                                 else 'the next that started makes up for it' end) end, m.until_at, p_now
      from (select s as slot, null::timestamptz as until_at, p.retries > 0 and s = p.next_run_at as refused from unnest(v_due[:v_place - 1]) s
            union all select p.next_run_at, nullif(v_until, p.next_run_at), p.retries > 0 and v_until = p.next_run_at where v_until is not null) m
    on conflict (schedule_id, slot_at) do nothing;
  v_slot := v_due[v_place];
  if v_count > 1 then
    v_next := orbit_private.next_slot(p.kind, p.cron, p.every, p.at, p.time_zone, p.anchor_at, coalesce(v_slot, v_due[v_count]));
  end if;
  if v_slot is null or exists (select from orbit.schedule_slots s where s.schedule_id = p.id and s.slot_at = v_slot) then
    -- Nothing to start, or decided already.
    update orbit.schedules c set next_run_at = v_next, retry_at = null, retries = 0 where c.id = p.id;
    perform orbit_private.forget_slots(p.id, p_now);
    return false;
  end if;

  begin
    if not p.administrative and p.owner_id is null then
      perform orbit_private.refuse('OR003', 'the account of who saved the schedule is gone', '', 'Somebody else may save it anew.');
    elsif exists (select from orbit.test_suites s where s.id = p.suite_id and s.archived_at is not null) then
      perform orbit_private.refuse('OR002', 'the suite is archived', '', 'Save it again, or delete the schedule.');
    end if;
    -- No idempotency key: slot and run are one transaction, and a caller could have used the key before.
    v_answer := orbit_private.start_run_as(p.owner_id, p.options || jsonb_build_object('suite_id', p.suite_id, 'triggered_by', 'schedule')
      || case when p.environment_id is null then '{}' else jsonb_build_object('environment_id', p.environment_id) end);
  exception when others then
    get stacked diagnostics v_state = returned_sqlstate, v_error = message_text, v_detail = pg_exception_detail;
  end;
  if v_state is null then
    insert into orbit.schedule_slots (schedule_id, slot_at, project_id, status, run_id, decided_at)
      values (p.id, v_slot, p.project_id, 'started', (v_answer ->> 'id')::uuid, p_now);
    update orbit.schedules c set next_run_at = v_next, retry_at = null, retries = 0, last_run_at = p_now, last_run_id = (v_answer ->> 'id')::uuid, last_error = null
      where c.id = p.id;
  else
    v_error := left(format('%s: %s%s', v_state, v_error, coalesce(' (' || nullif(v_detail, '') || ')', '')), 1000);
    -- Too many at once, a quota, a lock, a lack: these pass. A right or a thing that is gone does not by waiting.
    if v_state in ('OR006', 'OR007', '40001', '40P01', '55P03') or v_state like '53%' then
      v_wait := coalesce(case when v_state = 'OR006' then substring(v_detail from 'retry after ([0-9.]+) s')::float8 end,
                         least(case when v_state like 'OR%' then 30 else 1 end * 2 ^ least(p.retries, 10), 900));
      update orbit.schedules c set next_run_at = v_slot, retries = case when v_slot = p.next_run_at then least(p.retries + 1, 10000) else 1 end,
          retry_at = least(p_now + make_interval(secs => greatest(v_wait, 1)), greatest(v_next, p_now + interval '1 second')), last_error = v_error
        where c.id = p.id;
    else
      insert into orbit.schedule_slots (schedule_id, slot_at, project_id, status, reason, decided_at) values (p.id, v_slot, p.project_id, 'failed', v_error, p_now);
      update orbit.schedules c set next_run_at = v_next, retry_at = null, retries = 0, last_error = v_error where c.id = p.id;
    end if;
  end if;
  perform orbit_private.forget_slots(p.id, p_now);
  return v_state is null;
end $$;
comment on function orbit_private.run_schedule is 'Decides what is due of a schedule; whether that started a run.';

create function orbit_private.forget_slots(p_schedule_id uuid, p_now timestamptz)
returns void language sql set search_path = '' as $$
  delete from orbit.schedule_slots s where s.schedule_id = p_schedule_id and s.slot_at < greatest(p_now - interval '90 days',
    (select o.slot_at from orbit.schedule_slots o where o.schedule_id = p_schedule_id order by o.slot_at desc offset 999 limit 1))
$$;
comment on function orbit_private.forget_slots is 'Keeps of a schedule''s slots the newest 1,000 of the last 90 days.';

create function orbit_private.start_due_schedules(p_limit int, p_now timestamptz, out started int, out more boolean)
language plpgsql set search_path = '' as $$
declare v_schedule orbit.schedules; v_seen int := 0;
begin
  started := 0;
  for v_schedule in
    select * from orbit.schedules c where not c.paused and coalesce(c.retry_at, c.next_run_at) <= p_now
      order by coalesce(c.retry_at, c.next_run_at), c.id limit p_limit for no key update skip locked
  loop
    v_seen := v_seen + 1;
    started := started + orbit_private.run_schedule(v_schedule, p_now)::int;
  end loop;
  -- Seen none: what is due is being changed by somebody, and will be there next time.
  more := v_seen > 0 and exists (select from orbit.schedules c where not c.paused and coalesce(c.retry_at, c.next_run_at) <= p_now);
end $$;
comment on function orbit_private.start_due_schedules is 'Decides the slots of up to so many schedules that are due, and starts their runs; more: some are due still.';

create function orbit_runner.start_due(p_limit int default 10, p_now timestamptz default null)
returns jsonb language plpgsql security definer set search_path = '' set lock_timeout = '250ms' as $$
-- It waits for nobody: what somebody else has locked is tried again. A worker beats on the same thread, and would be taken for lost.
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp()); v_started int; v_more boolean; v_moved int := 0; v_problem text; v_next float8;
begin
  if p_now is not null and not orbit_private.caller_is_trusted() then
    perform orbit_private.refuse('OR003', 'administrative roles alone set the clock of start_due', '', 'Leave p_now out.');
  elsif p_limit not between 1 and 1000 then
    perform orbit_private.refuse('OR001', format('p_limit is from 1 to 1000, not %s', p_limit));
  elsif not pg_try_advisory_xact_lock(hashtext('orbit_runner.start_due')) then
    return jsonb_build_object('busy', true);
  end if;
  select d.started, d.more into v_started, v_more from orbit_private.start_due_schedules(p_limit, v_now) d;
  begin
    if to_regprocedure('orbit_private.move_pipelines(timestamptz,int)') is not null then
      execute 'select orbit_private.move_pipelines($1, $2)' into v_moved using v_now, p_limit;
    end if;
  exception when others then
    v_problem := format('pipelines do not move: %s: %s', sqlstate, sqlerrm);  -- schedules do not wait for that; whoever called says so
  end;
  v_next := extract(epoch from (select min(coalesce(c.retry_at, c.next_run_at)) from orbit.schedules c where not c.paused and coalesce(c.retry_at, c.next_run_at) > v_now)
                               - coalesce(p_now, clock_timestamp()));
  return jsonb_strip_nulls(jsonb_build_object('started', v_started, 'moved', v_moved, 'more', v_more or v_moved >= p_limit, 'next_in', case when v_next > 0 then v_next when v_next is not null then 0 end,
    'problems', case when v_problem is not null then jsonb_build_array(v_problem) end));
end $$;
comment on function orbit_runner.start_due is 'Starts the runs that are due by their schedules, and moves pipelines, by whoever comes by, one at a time: {started, moved, more, next_in, problems}; `more` asks to be called again at once, next_in are the seconds until the next slot; {busy} where another is at it.';

grant execute on function orbit_private.cron_line, orbit_private.cron_problem, orbit_private.zone_offset, orbit_private.instant_of, orbit_private.even_offset, orbit_private.cron_day, orbit_private.cron_slots,
  orbit_private.next_slot, orbit_private.near_zones, orbit_private.times_of, orbit_private.slot_of, orbit_private.following_slots, orbit_private.schedule_of,
  orbit_private.schedule_named, orbit_private.next_slots to authenticated, service_role;
grant execute on function orbit_private.save_schedule, orbit_private.set_paused, orbit_private.delete_schedule to authenticated, service_role;
grant execute on function orbit.save_schedule, orbit.list_schedules, orbit.get_schedule, orbit.next_slots, orbit.pause_schedule, orbit.resume_schedule, orbit.delete_schedule
  to authenticated, service_role;
grant execute on function orbit_runner.start_due to orbit_runner, service_role;

-- The engine's columns are none of what people change.
select orbit_private.audited('orbit.schedules', 'schedule', p_left_out => '{next_run_at,retry_at,retries,last_run_at,last_run_id,last_error}');

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
