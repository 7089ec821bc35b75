-- Gates: how many tests of a run, an organisation, an environment or against a host run at once, and how many begin in a second.
--
--   ready ──claim──▸ held              with a use of each of its gates, given back when the attempt ends
--     │    gate full      │
--     ▼                   │ a use comes back
--   parked ◂──────────────┘            in the order of rank, back into ready
--
-- A job passes the claim only with a use of every gate it has; what finds one full leaves the ready table, so that nobody comes across it
-- again before there is room: what is capped costs those who are not nothing. Uses are rows, not a counter: whoever ends an attempt
-- deletes them without waiting for anybody. Only a claim takes a gate's lock: after jobs, before progress, several in order of id.

create table orbit_private.gate (
  id bigint generated always as identity primary key,
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  kind text not null,
  key text not null,
  cap int,
  per_second double precision,
  burst int,
  full_at double precision not null default 0,
  wakes_at double precision not null default 0,
  constraint gate_is_one_key unique (organization_id, kind, key),
  constraint gate_kind_check check (kind in ('run', 'organization', 'environment', 'host')),
  constraint gate_cap_check check (cap between 0 and 100000),
  constraint gate_rate_check check ((per_second is null) = (burst is null) and per_second > 0 and per_second <= 100000 and burst between 1 and 100000)
) with (fillfactor = 50);
alter table orbit_private.gate enable row level security;
comment on table orbit_private.gate is 'What caps tests at work, or how fast they begin. A run''s is made with the run; the others are settings.';
comment on column orbit_private.gate.id is 'Gates are locked in its order.';
comment on column orbit_private.gate.organization_id is 'Whose tests it holds for.';
comment on column orbit_private.gate.kind is 'run, organization, environment or host.';
comment on column orbit_private.gate.key is 'A run''s queue_no, an environment''s id, a host in lower case without port; empty for an organisation.';
comment on column orbit_private.gate.cap is 'How many at once; 0: none for now. Null: as many as one likes.';
comment on column orbit_private.gate.per_second is 'How many begin in a second, in the long run; null: as many as one likes.';
comment on column orbit_private.gate.burst is 'How many begin at once after a pause; null where there is no rate.';
comment on column orbit_private.gate.full_at is 'When the whole burst may be taken again if nobody takes any, in seconds since 1970.';
comment on column orbit_private.gate.wakes_at is 'Until when one job that the rate put off stands for all that are parked, in seconds since 1970.';

create table orbit_private.gate_use (
  job_id bigint not null,
  gate_id bigint not null,
  primary key (job_id, gate_id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
create index idx_gate_use_gate_id on orbit_private.gate_use (gate_id);
alter table orbit_private.gate_use enable row level security;
comment on table orbit_private.gate_use is 'What held jobs have of their gates. Insert and delete only.';
comment on column orbit_private.gate_use.job_id is 'Which job.';
comment on column orbit_private.gate_use.gate_id is 'Which gate.';

create table orbit_private.parked (
  gate_id bigint not null,
  lane bigint not null,
  rank float8 not null,
  job_id bigint primary key,
  since timestamptz not null default now()
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
create index idx_parked_gate_id_lane_rank on orbit_private.parked (gate_id, lane, rank);
alter table orbit_private.parked enable row level security;
comment on table orbit_private.parked is 'Ready jobs that found a gate full, in the order in which they come back. Insert and delete only.';
comment on column orbit_private.parked.gate_id is 'Which gate it was.';
comment on column orbit_private.parked.lane is 'The job''s lane.';
comment on column orbit_private.parked.rank is 'The job''s rank.';
comment on column orbit_private.parked.job_id is 'Which job.';
comment on column orbit_private.parked.since is 'Since when.';

create function orbit_private.host_of_url(p_url text)
returns text language sql immutable set search_path = '' as $$
  select lower((regexp_match(p_url, '^https?://(?:[^/?#@]*@)?(\[[0-9a-fA-F:.]+\]|[^/?#:@\s$]+)', 'i'))[1])
$$;
comment on function orbit_private.host_of_url is 'The host of a URL in lower case, without port; null where it has none, or one that is not known yet.';

create function orbit_private.set_gate(p_organization_id uuid, p_kind text, p_key text, p_cap int, p_per_second float8, p_burst int)
returns void language plpgsql set search_path = '' as $$
-- Whoever calls it has asked whether that is allowed. What is under way keeps its use: a cap that was lowered is met as they end.
declare v_gate bigint;
begin
  select g.id into v_gate from orbit_private.gate g where g.organization_id = p_organization_id and g.kind = p_kind and g.key = p_key for update;
  if p_cap is null and p_per_second is null then
    perform orbit_private.wake_parked(v_gate, clock_timestamp(), true);
    delete from orbit_private.gate_use u where u.gate_id = v_gate;
    delete from orbit_private.gate g where g.id = v_gate;
    return;
  end if;
  insert into orbit_private.gate (organization_id, kind, key, cap, per_second, burst)
    values (p_organization_id, p_kind, p_key, p_cap, p_per_second, p_burst)
    on conflict on constraint gate_is_one_key do update set cap = excluded.cap, per_second = excluded.per_second, burst = excluded.burst, full_at = 0, wakes_at = 0
    returning id into v_gate;
  perform orbit_private.wake_parked(v_gate, clock_timestamp());
end $$;
comment on function orbit_private.set_gate is 'Makes or changes a gate, or removes it (cap and rate null), and lets through what that makes room for. It holds for tests of runs that are started once it is there; changes hold at once.';

create function orbit_private.wake_parked(p_gate bigint, p_now timestamptz, p_all boolean default false)
returns int language plpgsql set search_path = '' set enable_seqscan = off as $$
-- The caller holds the gate's lock. Brings back as many as there is room for; of those that wait for the rate one stands for all. So
-- many of each lane: those of a lane that nobody serves must not keep the others out, and what comes in vain is parked again.
declare
  v_gate orbit_private.gate; v_epoch float8 := extract(epoch from p_now); v_room int; v_next float8; v_due float8; v_lane bigint; v_count int; v_sum int := 0;
begin
  if not exists (select from orbit_private.parked p where p.gate_id = p_gate) then return 0; end if;
  select * into v_gate from orbit_private.gate g where g.id = p_gate;
  v_room := case when p_all or v_gate.cap is null then 1000000  -- also where the gate is gone
                 else greatest(v_gate.cap - (select count(*) from orbit_private.gate_use u where u.gate_id = p_gate), 0) end;
  if v_gate.per_second is not null and not p_all and v_room > 0 then
    v_next := greatest(v_gate.full_at, v_epoch) - (v_gate.burst - 1) / v_gate.per_second;  -- when the next one may begin
    if v_next > v_epoch then
      if v_gate.wakes_at > v_epoch then return 0; end if;
      update orbit_private.gate g set wakes_at = v_next where g.id = p_gate;
      v_due := v_next; v_room := 1;
    else
      v_room := least(v_room, 1 + floor((v_epoch - v_next) * v_gate.per_second)::int);
    end if;
  end if;
  if v_room = 0 then return 0; end if;
  for v_lane in
    with recursive l (lane) as (
      select (select p.lane from orbit_private.parked p where p.gate_id = p_gate order by p.lane limit 1)
      union all
      select (select p.lane from orbit_private.parked p where p.gate_id = p_gate and p.lane > l.lane order by p.lane limit 1) from l where l.lane is not null)
    select l.lane from l where l.lane is not null
  loop
    with back as (
      delete from orbit_private.parked d where d.ctid = any (array(
          select p.ctid from orbit_private.parked p where p.gate_id = p_gate and p.lane = v_lane order by p.rank limit v_room for update skip locked))
        returning d.job_id)
    insert into orbit_private.ready (lane, rank, job_id)
      select case when v_due is null then j.lane else ~j.lane end, coalesce(v_due, j.rank), j.id from back b join orbit_private.job j on j.id = b.job_id;
    get diagnostics v_count = row_count;
    v_sum := v_sum + v_count;
  end loop;
  return case when v_due is null then v_sum else 0 end;
end $$;
comment on function orbit_private.wake_parked is 'Brings back into the ready table what a gate has room for (all, where it is gone); returns how many may be taken at once.';

create function orbit_private.gates_of_run(p_run orbit.test_runs)
returns bigint[] language sql stable set search_path = '' as $$
  select array_agg(g.id order by g.id) from orbit_private.gate g
    where g.organization_id = p_run.organization_id
      and (g.kind = 'organization' or g.kind = 'environment' and g.key = p_run.environment_id::text or g.kind = 'run' and g.key = p_run.queue_no::text)
$$;
comment on function orbit_private.gates_of_run is 'The gates of all tests of a run; null where it has none.';

create function orbit_private.pass_gates(p_worker bigint, p_jobs bigint[], p_locked bigint[], p_now timestamptz, out claimed bigint[], out parked boolean)
language plpgsql set search_path = '' set enable_seqscan = off as $$
-- The caller holds these ready jobs and their places in the ready table. Takes those that all their gates let through, in order of
-- rank; parks the others at the first gate that does not. p_locked: gates that the caller has locked already; where there are any, no
-- other one is waited for, because gates are locked in order: its jobs stay where they are for the next to come.
declare
  v_epoch float8 := extract(epoch from p_now); v_ids bigint[]; v_room float8[]; v_next float8[]; v_pace float8[]; v_rated boolean[];
  v_job record; v_gate bigint; v_place int; v_full bigint; v_missing boolean; v_parked bigint[]; v_at bigint[];
begin
  v_ids := array(select distinct g from orbit_private.job j cross join unnest(j.gates) g where j.id = any (p_jobs));
  if coalesce(cardinality(p_locked), 0) = 0 then
    perform 1 from orbit_private.gate g where g.id = any (v_ids) order by g.id for no key update;
  else
    perform 1 from orbit_private.gate g where g.id = any (v_ids) order by g.id for no key update skip locked;
    v_ids := array(select g.id from orbit_private.gate g where g.id = any (v_ids) for no key update skip locked);
  end if;
  select array_agg(g.id), array_agg(coalesce((g.cap - (select count(*) from orbit_private.gate_use u where u.gate_id = g.id))::float8, 'infinity')),
         array_agg(greatest(g.full_at, v_epoch)), array_agg(1 / g.per_second), array_agg(g.per_second is not null)
    into v_ids, v_room, v_next, v_pace, v_rated from orbit_private.gate g where g.id = any (v_ids);
  for v_job in select j.id, j.gates from orbit_private.job j where j.id = any (p_jobs) order by j.rank, j.id loop
    v_full := null; v_missing := false;
    foreach v_gate in array v_job.gates loop
      v_place := array_position(v_ids, v_gate);
      if v_place is null then
        -- Locked by somebody else, or removed since: a gate that is gone holds nobody up.
        v_missing := v_missing or exists (select from orbit_private.gate g where g.id = v_gate);
      elsif v_room[v_place] < 1 or v_rated[v_place] and v_next[v_place] - v_epoch > (
              select (g.burst - 1) * v_pace[v_place] + 1e-6 from orbit_private.gate g where g.id = v_gate) then
        v_full := coalesce(v_full, v_gate);
      end if;
    end loop;
    if v_full is not null then
      v_parked := v_parked || v_job.id; v_at := v_at || v_full;
    elsif not v_missing then
      claimed := claimed || v_job.id;
      foreach v_gate in array v_job.gates loop
        v_place := array_position(v_ids, v_gate);
        continue when v_place is null;
        v_room[v_place] := v_room[v_place] - 1;
        if v_rated[v_place] then v_next[v_place] := v_next[v_place] + v_pace[v_place]; end if;
      end loop;
    end if;
  end loop;
  parked := v_parked is not null;
  if claimed is null and not parked then return; end if;
  delete from orbit_private.ready y using orbit_private.job j
    where j.id = any (claimed || v_parked) and y.lane = j.lane and y.rank = j.rank and y.job_id = j.id;
  insert into orbit_private.gate_use (job_id, gate_id)
    select j.id, g from orbit_private.job j cross join unnest(j.gates) g where j.id = any (claimed) and g = any (v_ids);
  insert into orbit_private.parked (gate_id, lane, rank, job_id, since)
    select p.gate, j.lane, j.rank, j.id, p_now from unnest(v_parked, v_at) p (id, gate) join orbit_private.job j on j.id = p.id;
  if true = any (v_rated) then
    update orbit_private.gate g set full_at = n.at from unnest(v_ids, v_next, v_rated) n (id, at, rated)
      where g.id = n.id and n.rated and g.id = any (v_ids);
    perform orbit_private.wake_parked(n.id, p_now) from unnest(v_ids, v_rated) n (id, rated) where n.rated;
  end if;
end $$;
comment on function orbit_private.pass_gates is 'Which of these jobs their gates let through: they hold a use of each from then on. The rest is parked.';

create function orbit_private.leave_gates(p_jobs bigint[])
returns bigint[] language sql set search_path = '' set enable_seqscan = off as $$
  with back as (delete from orbit_private.gate_use u where u.job_id = any (p_jobs) returning u.gate_id)
  select array_agg(distinct b.gate_id order by b.gate_id) from back b
$$;
comment on function orbit_private.leave_gates is 'Gives back what these jobs had of their gates; returns those gates.';

create function orbit_private.open_gates(p_gates bigint[], p_now timestamptz)
returns int language plpgsql set search_path = '' as $$
-- After leave_gates(): locks them, in order, and only then looks who is parked there, so that nobody is parked unseen in between.
declare v_gate bigint; v_count int := 0;
begin
  perform 1 from orbit_private.gate g where g.id = any (p_gates) order by g.id for no key update;
  foreach v_gate in array coalesce(p_gates, '{}') loop
    v_count := v_count + orbit_private.wake_parked(v_gate, p_now);
  end loop;
  return v_count;
end $$;
comment on function orbit_private.open_gates is 'Brings back what is parked at these gates as far as there is room; returns how many.';

create function orbit_private.parked_at()
returns bigint[] language sql stable set search_path = '' set enable_seqscan = off as $$
  with recursive g (id) as (
    select (select p.gate_id from orbit_private.parked p order by p.gate_id limit 1)
    union all
    select (select p.gate_id from orbit_private.parked p where p.gate_id > g.id order by p.gate_id limit 1) from g where g.id is not null)
  select array_agg(g.id order by g.id) from g where g.id is not null
$$;
comment on function orbit_private.parked_at is 'The gates at which anything is parked, looked up one by one: there may be many jobs, but few gates.';

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
