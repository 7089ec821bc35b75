-- The order of a run's tests: within what dependencies allow, what failed lately and what is slow goes first, so that a run's bad
-- news and its end come early. What is known of each test is kept here, a row a test, and brought up to date by every finished run.

create table orbit_private.test_pace (
  test_case_id uuid primary key references orbit.test_cases (id) on delete cascade,
  failing real not null,
  duration_ms real not null,
  runs int not null default 1,
  last_failed_at timestamptz,
  constraint test_pace_failing_check check (failing between 0 and 1),
  constraint test_pace_duration_ms_check check (duration_ms >= 0),
  constraint test_pace_runs_check check (runs > 0)
) with (fillfactor = 50);
alter table orbit_private.test_pace enable row level security;
comment on table orbit_private.test_pace is 'How a test did lately, in whatever environment: averages in which each run weighs 0.3 and what was known before 0.7.';
comment on column orbit_private.test_pace.test_case_id is 'Which test.';
comment on column orbit_private.test_pace.failing is 'From 0 to 1: 1 after a failure, 0.5 after a test that passed on a retry; less with every pass, and 0 after a dozen of them.';
comment on column orbit_private.test_pace.duration_ms is 'Milliseconds of its last attempts.';
comment on column orbit_private.test_pace.runs is 'How many runs are in it: those that told something new.';
comment on column orbit_private.test_pace.last_failed_at is 'When it last failed, or passed on a retry; null: never.';

create function orbit_private.note_pace(p_run orbit.test_runs)
returns void language plpgsql set search_path = '' as $$
-- What did not run says nothing of a test, nor does what failed because of the runner or of how the run was set up.
-- Nothing that a worker may report fails here: durations are bounded, and a score is nothing before it is too small a number.
begin
  -- When the run was bounds the partitions at planning time; a day either way for clocks that were set meanwhile.
  execute format($q$
    insert into orbit_private.test_pace as p (test_case_id, failing, duration_ms, last_failed_at)
      select distinct on (r.test_case_id) r.test_case_id, f.failing, least(greatest(r.duration_ms, 0), 1e8), case when f.failing > 0 then r.created_at end
        from orbit.test_results r join orbit.test_cases c on c.id = r.test_case_id left join orbit_private.test_pace k on k.test_case_id = r.test_case_id
        cross join lateral (select case r.status when 'passed' then 0 when 'passed_on_retry' then 0.5 else 1 end) f (failing)
        where r.run_id = $1 and r.created_at between %L and %L
          and (r.status in ('passed', 'passed_on_retry', 'failed', 'timed_out')
               or r.status = 'errored' and coalesce(r.category, '') not in ('runner_lost', 'internal', 'config'))
          -- What goes on as before needs no row: most tests of most runs.
          and (k.test_case_id is null or f.failing > 0 or k.failing > 0 or abs(r.duration_ms - k.duration_ms) > greatest(20, k.duration_ms / 4))
        order by r.test_case_id
    on conflict (test_case_id) do update set
      failing = case when p.failing * 0.7 + excluded.failing * 0.3 < 0.01 then 0 else p.failing * 0.7 + excluded.failing * 0.3 end,
      duration_ms = p.duration_ms * 0.7 + excluded.duration_ms * 0.3, runs = p.runs + 1,
      last_failed_at = greatest(p.last_failed_at, excluded.last_failed_at)$q$,
    p_run.created_at - interval '1 day', p_run.finished_at + interval '1 day') using p_run.id;
end $$;
comment on function orbit_private.note_pace is 'Adds a finished run to what is known of its tests.';

-- Definer: whoever commits the end of a run writes it.
create function orbit_private.tg_note_pace()
returns trigger language plpgsql security definer set search_path = '' set enable_seqscan = off as $$
declare v_run orbit.test_runs;
begin
  select * into v_run from orbit.test_runs r where r.id = new.run_id;
  if found then
    -- One transaction may end runs of several suites, in any order, and two such must not wait for each other crosswise.
    perform pg_advisory_xact_lock(hashtext('orbit.note_pace'));
    perform orbit_private.note_pace(v_run);
  end if;
  return null;
end $$;
comment on function orbit_private.tg_note_pace is 'When a transaction commits that ended a run: remembers how its tests did.';
-- Deferred: a call that ends one run goes on to the progress of others, and whoever holds one of those may be about to end a run of
-- the same suite. At commit there is nothing left to wait for.
create constraint trigger "500_note_pace" after insert on orbit.test_run_history
  deferrable initially deferred for each row execute function orbit_private.tg_note_pace();

create function orbit_private.order_of_tests(p_version orbit.test_suite_versions, p_chosen bigint[])
returns int[] language plpgsql stable set search_path = '' set enable_seqscan = off set plan_cache_mode = force_custom_plan as $$
-- First by how badly the test, or anything that it unlocks, did lately (in tenths, so that what is nearly forgotten does not push
-- aside what is slow); then by the time from its start to the end of the longest chain below it; then as in the suite. One walk
-- from the tests that nothing waits for up to those that need nothing: linear in tests and dependencies.
declare
  v_tests uuid[] := p_version.test_case_ids; v_count int := cardinality(p_chosen); v_edges int; v_sorted int[]; v_places int[];
  v_heat float8[]; v_path float8[]; v_dependents int[]; v_required int[]; v_first int[]; v_next int[]; v_left int[]; v_longest float8[];
  v_stack int[]; v_top int := 0; v_test int; v_edge int; v_above int;
begin
  v_tests := array(select v_tests[p + 1] from unnest(p_chosen) p);
  if not exists (select from orbit_private.test_pace k where k.test_case_id = any (v_tests)) then
    return null;
  end if;
  -- One of which nothing is known yet is taken to be as slow as the others.
  select array_agg(t.heat order by t.n), array_agg(coalesce(t.duration_ms, t.usual) order by t.n) into v_heat, v_path
    from (select i.n, coalesce(round(k.failing * 10), 0) as heat, k.duration_ms, avg(k.duration_ms) over () as usual
            from unnest(v_tests) with ordinality i (id, n) left join orbit_private.test_pace k on k.test_case_id = i.id) t;
  select array_agg(k.n::int), array_agg(r.n::int) into v_dependents, v_required
    from unnest(v_tests) with ordinality k (id, n) join orbit.test_dependencies d on d.dependent_test_id = k.id
    join unnest(v_tests) with ordinality r (id, n) on r.id = d.required_test_id;
  v_edges := coalesce(cardinality(v_dependents), 0);
  if v_edges > 0 then
    v_first := array_fill(0, array[v_count]); v_next := array_fill(0, array[v_edges]); v_left := v_first; v_stack := v_first;
    v_longest := array_fill(0::float8, array[v_count]);
    for e in 1 .. v_edges loop
      v_next[e] := v_first[v_dependents[e]]; v_first[v_dependents[e]] := e; v_left[v_required[e]] := v_left[v_required[e]] + 1;
    end loop;
    for t in 1 .. v_count loop
      if v_left[t] = 0 then v_top := v_top + 1; v_stack[v_top] := t; end if;
    end loop;
    while v_top > 0 loop
      v_test := v_stack[v_top]; v_top := v_top - 1;
      v_path[v_test] := v_path[v_test] + v_longest[v_test];
      v_edge := v_first[v_test];
      while v_edge > 0 loop
        v_above := v_required[v_edge];
        if v_longest[v_above] < v_path[v_test] then v_longest[v_above] := v_path[v_test]; end if;
        if v_heat[v_above] < v_heat[v_test] then v_heat[v_above] := v_heat[v_test]; end if;
        v_left[v_above] := v_left[v_above] - 1;
        if v_left[v_above] = 0 then v_top := v_top + 1; v_stack[v_top] := v_above; end if;
        v_edge := v_next[v_edge];
      end loop;
    end loop;
  end if;
  -- As one number: tenths of failing, then milliseconds.
  v_sorted := array(select t.n::int from unnest(v_heat, v_path) with ordinality t (heat, path, n) order by t.heat * 1e12 + least(t.path, 1e12 - 1) desc, t.n);
  v_places := v_sorted;
  for i in 1 .. v_count loop
    v_places[v_sorted[i]] := i - 1;
  end loop;
  return v_places;
end $$;
comment on function orbit_private.order_of_tests is 'For each of the positions chosen its place, from 0, in the order in which a run hands its tests out; null where nothing is known of them, which means the suite''s own order.';

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
