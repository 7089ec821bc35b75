-- The queue: jobs, what is ready, workers; and the state machine of a run.
--
-- The forms used here are the ones that were measured to lose nothing and to stay fast (side by side, docs/queue.md):
--   · a narrow ready table, insert and delete only: SKIP LOCKED never waits on an update chain, and nothing deadlocks
--   · the lease is the worker's, not the job's: one small write per heartbeat, and no index on running jobs
--   · one ordered lock pass over every job that may be touched, before any write; then statements with a fresh snapshot,
--     because UPDATE … FROM a set loses concurrent changes on PostgreSQL 18.0 and 18.1, and deadlocks everywhere without order
--   · a job leaves the queue when it is done, so that the queue is as small as what is left to do
--   · the graph lies in the job's row (arrays of ids), so that it is read with the row and leaves with it
-- Locks are always taken in the order worker → jobs (by id) → progress (by queue_no); whoever stops a run takes progress first
-- and every job with SKIP LOCKED, and whatever it could not take is finished by the one who held it, who must pass by progress.

create table orbit_private.worker (
  id bigint generated always as identity primary key,
  name text not null,
  capabilities text[] not null default '{http}',
  slots int not null,
  version text,
  key bigint not null,
  organization_id uuid references orbit.organizations (id) on delete cascade,
  token_id uuid,
  instance uuid,
  draining boolean not null default false,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  constraint worker_key_key unique (key),
  constraint worker_slots_check check (slots between 1 and 10000)
) with (fillfactor = 50);
create index idx_worker_organization_id on orbit_private.worker (organization_id);
create index idx_worker_token_id on orbit_private.worker (token_id);
alter table orbit_private.worker enable row level security;
comment on table orbit_private.worker is 'Workers that are alive. seen_at is the lease of every job that a worker holds.';
comment on column orbit_private.worker.id is 'Fences what it reports: a worker that was given up for lost registers anew, with another.';
comment on column orbit_private.worker.name is 'How it is called in lists: host and process unless given.';
comment on column orbit_private.worker.capabilities is 'What it can execute.';
comment on column orbit_private.worker.slots is 'How many tests it runs at once.';
comment on column orbit_private.worker.version is 'Of Orbit; null: not said.';
comment on column orbit_private.worker.key is 'What it shows with every call. The same as its id while there are no worker tokens: whoever may log in as a runner is trusted then. Drawn at random where there are.';
comment on column orbit_private.worker.organization_id is 'Whose tests alone it is given; null: everybody''s.';
comment on column orbit_private.worker.token_id is 'The worker token that it registered with; null: none.';
comment on column orbit_private.worker.instance is 'Drawn by the process that registered, so that a registration whose answer was lost can be said again; null: none was given.';
comment on column orbit_private.worker.draining is 'It takes nothing more, and goes when what it holds is done.';
comment on column orbit_private.worker.started_at is 'When it registered.';
comment on column orbit_private.worker.seen_at is 'When it was last heard of.';

-- fillfactor: a call hands out a page's jobs together, and each needs room for its new version beside the old one; with 70 half of
-- the updates went to another page and into the index again (7 % of the whole drain).
create table orbit_private.job (
  id bigint primary key,
  lane bigint not null,
  rank float8 not null,
  test_case_id uuid not null,
  worker_id bigint,
  pending int not null,
  state smallint not null,
  attempt smallint not null default 0,
  losses smallint not null default 0,
  max_attempts smallint not null default 1,
  always boolean not null default false,
  backoff real[] not null,
  strict_children bigint[] not null default '{}',
  loose_children bigint[] not null default '{}',
  previous_attempts jsonb,
  gates bigint[] not null default '{}',
  constraint job_state_check check (
    (state = 0 and pending > 0 and worker_id is null)
    or (state = 1 and pending <= 0 and worker_id is null)
    or (state = 2 and worker_id is not null and attempt > 0))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
alter table orbit_private.job enable row level security;
comment on table orbit_private.job is 'A test that still has to be run. state: 0 blocked by requirements, 1 ready (has a row in ready, or in parked), 2 held by a worker.';
comment on column orbit_private.job.id is 'queue_no × 2^20 + position.';
comment on column orbit_private.job.lane is 'Where it waits: says who may take it.';
comment on column orbit_private.job.test_case_id is 'Which test.';
comment on column orbit_private.job.worker_id is 'Who holds it; null: nobody.';
comment on column orbit_private.job.pending is 'How many of its requirements are not final yet.';
comment on column orbit_private.job.state is '0 blocked, 1 ready, 2 held.';
comment on column orbit_private.job.max_attempts is 'The test''s, when the run was started.';
comment on column orbit_private.job.always is 'Clean-up: a run that ends at its first failure still runs it.';
comment on column orbit_private.job.backoff is 'The test''s: seconds before the next attempt (initial, maximum) and the factor between.';
comment on column orbit_private.job.previous_attempts is 'Attempts made, as they go into the result''s details; null: none.';
comment on column orbit_private.job.gates is 'What must let it through to be handed out: caps of its run, organisation, environment and host, as they were when the run was started.';
comment on column orbit_private.job.attempt is 'Counts every handing out; with worker_id it is the fence that a late report does not pass.';
comment on column orbit_private.job.losses is 'How many of the attempts ended because their worker went; they do not use up the test''s own retries.';
comment on column orbit_private.job.rank is 'Its place in the order of its lane: seconds since the epoch of its run''s start, less a minute for each step of priority, and a hundredth more for each test of the run that goes before it. It keeps it, however often it is handed out.';
comment on column orbit_private.job.strict_children is 'Jobs that are skipped if this one does not pass.';
comment on column orbit_private.job.loose_children is 'Jobs that wait for this one however it ends (clean-up).';

create table orbit_private.ready (
  lane bigint not null,
  rank float8 not null,
  job_id bigint not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
create index idx_ready_lane_rank on orbit_private.ready (lane, rank);
alter table orbit_private.ready enable row level security;
comment on table orbit_private.ready is 'What may be claimed, in order of rank (the job''s). What a back-off puts off waits in lane ~lane, in order of when it is due. Insert and delete only.';
comment on column orbit_private.ready.lane is 'The job''s lane; ~lane while it is put off.';
comment on column orbit_private.ready.rank is 'The job''s rank; while it is put off, seconds since the epoch at which it is due.';
comment on column orbit_private.ready.job_id is 'Which job.';

create table orbit_private.tally (
  name text primary key,
  count bigint not null default 0
);
alter table orbit_private.tally enable row level security;
comment on table orbit_private.tally is 'What is counted over all runs and workers, because it is rare.';
comment on column orbit_private.tally.name is 'fenced_reports: reports of workers that came too late, or twice, and were ignored.';
comment on column orbit_private.tally.count is 'How many since the database was made.';
insert into orbit_private.tally (name) values ('fenced_reports');

-- Reading a run ------------------------------------------------------------------------------------------------------------

create function orbit_private.counts_of(p orbit_private.run_progress)
returns jsonb language sql immutable set search_path = '' as $$
  select jsonb_build_object('total', p.total, 'waiting', p.remaining - p.running, 'running', p.running, 'passed', p.passed,
    'passed_on_retry', p.passed_on_retry, 'failed', p.failed, 'errored', p.errored, 'timed_out', p.timed_out,
    'skipped', p.skipped, 'cancelled', p.cancelled)
$$;
comment on function orbit_private.counts_of is 'The counters of a run as callers see them; waiting is what nobody holds yet.';

-- The end of a run -----------------------------------------------------------------------------------------------------------

create function orbit_private.finish_run(p orbit_private.run_progress, p_now timestamptz)
returns text language plpgsql set search_path = '' as $$
declare v_status text := case
    when p.stop_status in ('cancelled', 'timed_out') then p.stop_status
    when p.failed + p.timed_out > 0 then 'failed'
    when p.errored > 0 then 'errored'
    else 'passed' end;
  v_end timestamptz := greatest(p_now, clock_timestamp());  -- after every result, also of workers that began later and were faster
begin
  insert into orbit_private.run_event (queue_no, seq, at, payload)
    values (p.queue_no, p.event_seq + 1, v_end, jsonb_build_object('run', v_status, 'reason', p.stop_reason, 'counts', orbit_private.counts_of(p)));
  update orbit.test_runs r set status = v_status, reason = p.stop_reason, counts = orbit_private.counts_of(p),
      event_seq = p.event_seq + 1, started_at = coalesce(r.started_at, v_end), finished_at = v_end where r.queue_no = p.queue_no;
  delete from orbit_private.run_progress o where o.queue_no = p.queue_no;
  delete from orbit_private.gate g using orbit.test_runs r
    where r.queue_no = p.queue_no and r.concurrency is not null and g.organization_id = r.organization_id and g.kind = 'run' and g.key = p.queue_no::text;
  perform orbit_private.remember_run(p.queue_no);
  perform pg_notify('orbit_run', p.queue_no::text);
  -- A step of a pipeline may wait for it.
  perform pg_notify('orbit_due', '') from orbit.test_runs r where r.queue_no = p.queue_no and r.batch_id is not null;
  return v_status;
end $$;
comment on function orbit_private.finish_run is 'Writes the verdict of a run of which nothing is left. The caller holds its progress.';

create function orbit_private.skip_below(p_ids bigint[], p_status text, p_category text, p_reason text, p_now timestamptz,
                                         out ids bigint[], out loose bigint[])
language plpgsql set search_path = '' set enable_seqscan = off as $$
-- The caller holds the locks of everything below.
begin
  with recursive below (id) as (
    select unnest(p_ids)
    union
    select unnest(j.strict_children) from below b
      cross join lateral (select o.strict_children from orbit_private.job o where o.id = b.id and o.state < 2 offset 0) j),
  gone as (
    delete from orbit_private.job j where j.id = any (array(select b.id from below b)) and j.state < 2
      returning j.id, j.test_case_id, j.loose_children),
  written as (
    insert into orbit.test_results (run_id, position, created_at, status, project_id, test_case_id, environment_id,
                                    category, reason, attempts)
      select r.id, (g.id & 1048575)::int, p_now, p_status, r.project_id, g.test_case_id, r.environment_id,
             p_category, p_reason, 0
        from gone g join orbit.test_runs r on r.queue_no = g.id >> 20)
  select array_agg(g.id), (select array_agg(c) from gone h cross join unnest(h.loose_children) c) into ids, loose from gone g;
end $$;
comment on function orbit_private.skip_below is 'Ends the waiting jobs given and all that strictly need them; returns them, and the jobs that were merely waiting for them.';

create function orbit_private.release(p_ids bigint[], out ready bigint[])
language plpgsql set search_path = '' set enable_seqscan = off as $$
-- One unit per mention. The caller holds the locks, so this statement's snapshot is fresh and its arithmetic exact.
begin
  with given as (select c as id, count(*)::int as n from unnest(p_ids) c group by c),
  freed as (
    update orbit_private.job j set pending = j.pending - g.n, state = case when j.pending - g.n <= 0 then 1 else 0 end
      from given g where j.id = g.id and j.state = 0
      returning j.id, j.lane, j.rank, j.state),
  listed as (insert into orbit_private.ready (lane, rank, job_id) select f.lane, f.rank, f.id from freed f where f.state = 1)
  select array_agg(f.id) into ready from freed f where f.state = 1;
end $$;
comment on function orbit_private.release is 'Takes one requirement off each job named; those that have none left become ready.';

-- Stopping ---------------------------------------------------------------------------------------------------------------------

create function orbit_private.sweep(p_queue_no bigint, p_now timestamptz, p_claimed bigint[] default '{}')
returns text language plpgsql set search_path = '' set enable_seqscan = off as $$
-- Locks the run's progress; from then on nobody else can commit a change of its jobs. Takes what nobody holds; whoever holds
-- something passes by progress, sees that the run is being stopped, and calls this again. p_claimed: jobs that the caller has
-- just claimed and now gives up. Returns the run's final status if nothing is left of it.
declare
  v_progress orbit_private.run_progress; v_base bigint := p_queue_no << 20; v_status text; v_category text;
  v_keep boolean; v_doomed bigint[]; v_taken bigint[]; v_count int;
begin
  select * into v_progress from orbit_private.run_progress p where p.queue_no = p_queue_no for no key update;
  if not found then return null; end if;
  v_keep := v_progress.stop_status = 'fail_fast';  -- clean-up still runs after a failure that ends the run early
  v_status := case when v_keep then 'skipped' else 'cancelled' end;
  v_category := case v_progress.stop_status when 'fail_fast' then 'dependency' when 'timed_out' then 'timeout' else 'cancelled' end;
  if v_keep then
    -- With the tests that will not run goes all clean-up that strictly needs one of them, or needs such clean-up.
    with recursive doomed (id) as ((
      select j.id from orbit_private.job j where j.id >= v_base and j.id < v_base + 1048576
        and not j.always and (j.state < 2 or j.id = any (p_claimed))
      union
      select unnest(v_progress.doomed))
      union
      select c from doomed d join orbit_private.job j on j.id = d.id cross join unnest(j.strict_children) c)
    select array_agg(d.id) into v_doomed from doomed d;
  end if;
  loop
    -- The job before its place in the list: one whose place is gone and that stays, because somebody has it locked, is lost for ever.
    with free as materialized (
      select j.id, j.state from orbit_private.job j where j.id >= v_base and j.id < v_base + 1048576
          and (j.id = any (p_claimed) or j.state < 2 and (not v_keep or j.id = any (v_doomed)))
        order by j.id for update skip locked),
    listed as materialized (
      select x.ctid as place, x.job_id from orbit_private.ready x where x.job_id >= v_base and x.job_id < v_base + 1048576
          and x.job_id = any (array(select f.id from free f where f.state = 1))
        for update skip locked),
    unlisted as (
      delete from orbit_private.ready y where y.ctid = any (array(select l.place from listed l))),
    parked as (
      delete from orbit_private.parked y where y.job_id = any (array(
          select x.job_id from orbit_private.parked x where x.job_id = any (array(select f.id from free f where f.state = 1)) for update skip locked))
        returning y.job_id),
    gone as (
      delete from orbit_private.job d where d.id = any (array(
          select f.id from free f where f.state <> 1 or f.id in (select l.job_id from listed l union all select y.job_id from parked y)))
        returning d.id, d.test_case_id, d.previous_attempts),
    written as (
      insert into orbit.test_results (run_id, position, created_at, status, project_id, test_case_id, environment_id,
                                      category, reason, attempts)
        select r.id, (g.id - v_base)::int, p_now, v_status, r.project_id, g.test_case_id, r.environment_id,
               v_category, v_progress.stop_reason, coalesce(jsonb_array_length(g.previous_attempts), 0)
          from gone g join orbit.test_runs r on r.queue_no = p_queue_no),
    detailed as (
      insert into orbit.test_result_details (run_id, position, created_at, status, project_id, previous_attempts)
        select r.id, (g.id - v_base)::int, p_now, v_status, r.project_id, g.previous_attempts
          from gone g join orbit.test_runs r on r.queue_no = p_queue_no where g.previous_attempts is not null)
    select array_agg(g.id) into v_taken from gone g;
    v_count := coalesce(cardinality(v_taken), 0);
    exit when v_count = 0;
    if p_claimed <> '{}' then
      perform orbit_private.leave_gates(v_taken);  -- progress is locked: whoever is parked there is woken by the next tick
    end if;
    update orbit_private.run_progress p set
        remaining = p.remaining - v_count, event_seq = p.event_seq + 1,
        skipped = p.skipped + case when v_keep then v_count else 0 end,
        cancelled = p.cancelled + case when v_keep then 0 else v_count end,
        running = p.running - (select count(*) from unnest(p_claimed) c where c = any (v_taken))
      where p.queue_no = p_queue_no returning * into v_progress;
    insert into orbit_private.run_event (queue_no, seq, at, payload, ended, ended_statuses)
      values (p_queue_no, v_progress.event_seq, p_now, jsonb_build_object('reason', v_progress.stop_reason), v_taken, array_fill(v_status, array[v_count]));
    p_claimed := '{}';
  end loop;
  if v_progress.remaining = 0 then
    return orbit_private.finish_run(v_progress, p_now);
  end if;
  if v_keep then
    -- Whoever has something of it locked comes by here next, when what doomed it is no longer to be seen.
    update orbit_private.run_progress p set doomed = array(select j.id from orbit_private.job j where j.id = any (v_doomed) and j.state = 0)
      where p.queue_no = p_queue_no and v_doomed is not null;
    -- What clean-up waited for may just have gone: count anew what is left above it.
    with above as (
      select c as id, count(*)::int as n from orbit_private.job s cross join unnest(s.strict_children || s.loose_children) c
        where s.id >= v_base and s.id < v_base + 1048576 group by c),
    free as (
      select j.id from orbit_private.job j where j.id >= v_base and j.id < v_base + 1048576 and j.state = 0
        order by j.id for update skip locked),
    freed as (
      update orbit_private.job j set pending = 0, state = 1
        where j.id = any (array(select f.id from free f where not exists (select from above a where a.id = f.id)
                                                          and not f.id = any (coalesce(v_doomed, '{}'))))
        returning j.id, j.lane, j.rank)
    insert into orbit_private.ready (lane, rank, job_id) select f.lane, f.rank, f.id from freed f;
    with above as (
      select c as id, count(*)::int as n from orbit_private.job s cross join unnest(s.strict_children || s.loose_children) c
        where s.id >= v_base and s.id < v_base + 1048576 group by c),
    free as (
      select j.id from orbit_private.job j where j.id >= v_base and j.id < v_base + 1048576 and j.state = 0
        order by j.id for update skip locked)
    update orbit_private.job j set pending = a.n from above a
      where j.id = a.id and j.id = any (array(select f.id from free f)) and j.pending <> a.n;
  end if;
  return null;
end $$;
comment on function orbit_private.sweep is 'Ends what is left of a run that is being stopped, as far as no worker holds it.';

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
