-- Runs as callers know them: start, read, watch, cancel; and the context.

create function orbit_private.select_tests(p_seed int[], p_always boolean[], p_dependents int[], p_required int[])
returns int[] language plpgsql immutable set search_path = '' as $$
-- Positions from 1; two walks over the dependencies, linear in both (as queries, a chain of 10,000 took 15 s, for nobody has
-- analysed a suite that was saved a moment ago).
declare
  v_count int := cardinality(p_always); v_edges int := coalesce(cardinality(p_dependents), 0);
  v_first int[] := array_fill(0, array[v_count]); v_next int[] := array_fill(0, array[greatest(v_edges, 1)]);
  v_needs boolean[] := array_fill(false, array[v_count]);
  v_chosen boolean[] := array_fill(false, array[v_count]); v_out boolean[] := array_fill(false, array[v_count]);
  v_stack int[] := array_fill(0, array[v_count + v_edges]); v_top int := 0; v_test int; v_edge int;
begin
  if coalesce(cardinality(p_seed), 0) = 0 then
    return '{}';
  end if;
  -- What is asked for, and all it needs.
  for e in 1 .. v_edges loop
    v_next[e] := v_first[p_dependents[e]]; v_first[p_dependents[e]] := e; v_needs[p_dependents[e]] := true;
  end loop;
  foreach v_test in array p_seed loop
    v_chosen[v_test] := true; v_top := v_top + 1; v_stack[v_top] := v_test;
  end loop;
  while v_top > 0 loop
    v_edge := v_first[v_stack[v_top]]; v_top := v_top - 1;
    while v_edge > 0 loop
      v_test := p_required[v_edge];
      if not v_chosen[v_test] then v_chosen[v_test] := true; v_top := v_top + 1; v_stack[v_top] := v_test; end if;
      v_edge := v_next[v_edge];
    end loop;
  end loop;
  -- Clean-up belongs to it if all it needs does: what is left over of the rest, and all that needs any of that, does not.
  v_first := array_fill(0, array[v_count]);
  for e in 1 .. v_edges loop
    v_next[e] := v_first[p_required[e]]; v_first[p_required[e]] := e;
  end loop;
  for t in 1 .. v_count loop
    if not v_chosen[t] and (not p_always[t] or not v_needs[t]) then v_out[t] := true; v_top := v_top + 1; v_stack[v_top] := t; end if;
  end loop;
  while v_top > 0 loop
    v_edge := v_first[v_stack[v_top]]; v_top := v_top - 1;
    while v_edge > 0 loop
      v_test := p_dependents[v_edge];
      if not v_out[v_test] then v_out[v_test] := true; v_top := v_top + 1; v_stack[v_top] := v_test; end if;
      v_edge := v_next[v_edge];
    end loop;
  end loop;
  return array(select t from generate_series(1, v_count) t where not v_out[t] order by t);
end $$;
comment on function orbit_private.select_tests is 'The tests of a run that asks for some: those, all they need, and the clean-up that belongs to them. Everything by position from 1.';

create function orbit_private.chosen_tests(p_tests uuid[], p_tags text[], p_keys text[], p_groups jsonb)
returns bigint[] language plpgsql set search_path = '' set plan_cache_mode = force_custom_plan as $$
-- p_tags: the suite's own. Planned anew each time, like enqueue.
declare v_seed int[]; v_always boolean[]; v_dependents int[]; v_required int[];
begin
  select array_agg(t.n::int order by t.n) filter (where (p_keys is null or c.key = any (p_keys))
           and (p_groups is null or (
             select bool_and(exists (select from jsonb_array_elements_text(g) tag where tag = any (c.tags || p_tags)))
               from jsonb_array_elements(p_groups) g))), array_agg(c.always order by t.n)
    into v_seed, v_always
    from unnest(p_tests) with ordinality t (id, n) join orbit.test_cases c on c.id = t.id;
  select array_agg(k.n::int), array_agg(r.n::int) into v_dependents, v_required
    from unnest(p_tests) with ordinality k (id, n) join orbit.test_dependencies d on d.dependent_test_id = k.id
    join unnest(p_tests) with ordinality r (id, n) on r.id = d.required_test_id;
  return array(select p - 1 from unnest(orbit_private.select_tests(v_seed, v_always, v_dependents, v_required)) p);
end $$;
comment on function orbit_private.chosen_tests is 'The positions, from 0, of the tests a selection means: named, or with a tag of every group; with all they need, and the clean-up that belongs to them.';

create function orbit_private.enqueue(p_run orbit.test_runs, p_rank float8, p_tests uuid[], p_chosen bigint[], p_order int[], p_group jsonb,
                                      out disabled bigint[], out lanes bigint[])
language plpgsql set search_path = '' set plan_cache_mode = force_custom_plan as $$
-- Planned anew each time: the plan that a session keeps after its fifth run is made for ten tests, and takes 12 s for chains of
-- 10,000 in all instead of 0.1 s. A place in the order is worth a hundredth of a second, so that runs take turns: a hundred of a
-- run's tests go before the first of one that was started a second later, and no more.
declare v_base bigint := p_run.queue_no << 20; v_lane bigint := nullif(p_run.lane, 0); v_gates bigint[]; v_gate bigint;
begin
  if p_group is not null and v_lane is null then
    -- A group is taken as a whole: by workers that can do whatever any of its tests asks for.
    v_lane := orbit_private.lane_for(p_run, orbit_private.capabilities_of(array(
      select r from unnest(p_chosen) p join orbit.test_cases c on c.id = p_tests[p + 1] cross join unnest(c.requires) r)), p_group ->> 'key', p_group);
  end if;
  if p_run.concurrency is not null then
    insert into orbit_private.gate (organization_id, kind, key, cap)
      values (p_run.organization_id, 'run', p_run.queue_no::text, p_run.concurrency) returning id into v_gate;
  end if;
  v_gates := orbit_private.gates_of_run(p_run);
  with chosen as materialized (
    select k.position, v_base + k.position as job_id, p_rank + coalesce(k.place, k.n - 1) * 0.01 as rank,
           c.id, c.enabled, c.always, c.max_attempts, c.backoff, c.requires
      from (select p as position, place, n, p_tests[p + 1] as id from unnest(p_chosen, p_order) with ordinality x (p, place, n)) k
      join orbit.test_cases c on c.id = k.id),
  lane as materialized (
    select d.requires, coalesce(v_lane, orbit_private.lane_for(p_run, d.requires)) as id from (select distinct k.requires from chosen k order by k.requires) d),
  edges as materialized (
    select r.job_id as parent, k.job_id as child, not k.always or d.dependency_type <> 'order' as strict
      from chosen k join orbit.test_dependencies d on d.dependent_test_id = k.id join chosen r on r.id = d.required_test_id),
  below as (
    select e.parent, array_agg(e.child) filter (where e.strict) as strict, array_agg(e.child) filter (where not e.strict) as loose
      from edges e group by e.parent),
  above as (select e.child, count(*)::int as n from edges e group by e.child),
  made as (
    insert into orbit_private.job (id, lane, rank, test_case_id, pending, state, max_attempts, always, backoff, strict_children, loose_children, gates)
      select k.job_id, l.id, k.rank, k.id, coalesce(a.n, 0), case when a.n is null then 1 else 0 end,
             k.max_attempts, k.always, k.backoff, coalesce(b.strict, '{}'), coalesce(b.loose, '{}'), coalesce(v_gates, '{}')
        from chosen k join lane l on l.requires = k.requires left join above a on a.child = k.job_id left join below b on b.parent = k.job_id order by k.job_id
      returning id, lane, rank, state),
  placed as (
    -- What its own cap cannot let through at first need not be come across to be parked.
    select m.lane, m.rank, m.id, v_gate is not null and row_number() over (partition by m.lane order by m.rank) > p_run.concurrency as waits from made m where m.state = 1),
  listed as (
    insert into orbit_private.ready (lane, rank, job_id) select p.lane, p.rank, p.id from placed p where not p.waits order by p.rank),
  parked as (
    insert into orbit_private.parked (gate_id, lane, rank, job_id) select v_gate, p.lane, p.rank, p.id from placed p where p.waits)
  select (select array_agg(k.job_id) from chosen k where not k.enabled), (select array_agg(distinct l.id) from lane l) into disabled, lanes;
  if exists (select from orbit_private.gate g where g.organization_id = p_run.organization_id and g.kind = 'host') then
    perform orbit_private.add_host_gates(p_run);
  end if;
end $$;
comment on function orbit_private.enqueue is 'Makes the jobs of a run: the tests at the positions chosen, each with what waits for it. p_order: for each its place in the order in which they are handed out, from 0; null: as they are chosen. p_group: {key, wait?, size?, spread?}. Returns those that the suite says to skip, and the lanes in which they wait.';

create function orbit_private.add_host_gates(p_run orbit.test_runs)
returns void language plpgsql set search_path = '' as $$
-- The host as far as it is known before anything is sent: written out, or in a variable at the URL's beginning.
declare v_document jsonb := (select v.document from orbit.test_suite_versions v where v.id = p_run.version_id);
begin
  with named as (
    select j.id, coalesce(c.request ->> 'url', '') as url from orbit_private.job j join orbit.test_request_configs c on c.test_case_id = j.test_case_id
      where j.id >= p_run.queue_no << 20 and j.id < (p_run.queue_no + 1) << 20),
  whole as (
    select n.id, case when n.url ~ '^(https?://|\{\{)' then n.url else coalesce(v_document #>> '{defaults,base_url}', '') end as url from named n),
  variable as materialized (
    select d.name, coalesce(p_run.variables ->> d.name, (select e.value #>> '{}' from orbit.environment_variables e where e.environment_id = p_run.environment_id and e.name = d.name),
        v_document #>> array['variables', d.name, 'value'], v_document #>> array['variables', d.name]) as value
      from (select distinct (regexp_match(w.url, '^\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}'))[1] as name from whole w) d where d.name is not null),
  hosted as (
    select w.id, orbit_private.host_of_url(coalesce(v.value, w.url)) as host
      from whole w left join variable v on v.name = (regexp_match(w.url, '^\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}'))[1])
  update orbit_private.job j set gates = array(select g2 from unnest(j.gates || g.id) g2 order by g2)
    from hosted h join orbit_private.gate g on g.organization_id = p_run.organization_id and g.kind = 'host' and g.key = h.host where j.id = h.id;
end $$;
comment on function orbit_private.add_host_gates is 'Gives the jobs of a run, which has just been made, the gates of the hosts that they are sent to.';

-- Definer: it writes the queue, which is nobody's, after require().
create function orbit_private.start_run(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' set enable_seqscan = off as $$
declare
  v_now timestamptz := clock_timestamp();
  v_project orbit.projects; v_suite orbit.test_suites; v_version orbit.test_suite_versions; v_run orbit.test_runs; v_progress orbit_private.run_progress;
  v_environment_id uuid; v_base bigint; v_chosen bigint[]; v_total int; v_unknown text; v_root record; v_below record; v_itself record;
  v_keys text[] := case when jsonb_typeof(p_request #> '{selection,tests}') = 'array'
                     then array(select jsonb_array_elements_text(p_request #> '{selection,tests}')) end;
  v_tags jsonb := p_request #> '{selection,tags}';
  v_rank float8; v_bad text; v_id uuid; v_made record; v_disabled bigint[]; v_group jsonb; v_original orbit.test_runs;
  -- A folder of the worker's machine: whoever names one has the files there sent to wherever their tests say.
  v_base_dir text := case when orbit_private.caller_is_trusted() then p_request ->> 'base_dir' end;
begin
  -- The suite: by id, or by project and key.
  if p_request ? 'suite_id' then
    select * into v_suite from orbit.test_suites s where s.id = orbit_private.to_uuid(p_request ->> 'suite_id', 'suite_id')
      and orbit_private.may('project.read', 'project', s.project_id);
  else
    v_project := orbit_private.project_of(p_request);
    select s.* into v_suite from orbit.test_suites s where s.project_id = v_project.id and s.key = orbit_private.required(p_request, 'suite');
  end if;
  if v_suite.id is null then
    perform orbit_private.refuse('OR002', format('no suite %s', coalesce(p_request ->> 'suite_id', p_request ->> 'suite')), '',
      'Save it first: orbit.save_suite, or `orbit run FILE`.');
  end if;
  perform orbit_private.require('run.start', 'suite', v_suite.id);
  perform orbit_private.look_before_start(v_suite.organization_id, v_now);
  -- Shared with other starts, but not with a save: dependencies are the suite's, and must be those of the version.
  select * into v_suite from orbit.test_suites s where s.id = v_suite.id for share;
  if not found then
    perform orbit_private.refuse('OR002', 'the suite was deleted at this moment');
  end if;
  select * into v_version from orbit.test_suite_versions v where v.suite_id = v_suite.id and v.number = v_suite.latest_version;

  select k into v_bad from jsonb_object_keys(p_request) k where k not in ('run_id', 'suite_id', 'suite', 'organization', 'project', 'environment', 'environment_id',
    'variables', 'defaults', 'templates', 'secrets', 'credentials', 'selection', 'concurrency', 'fail_fast', 'timeout', 'priority', 'order', 'group', 'private', 'idempotency_key', 'triggered_by', 'rerun_of', 'with_context', 'base_dir', 'batch_id') limit 1;
  if found then
    perform orbit_private.refuse('OR001', format('unknown field %s', left(v_bad, 60)), '', 'See the comment of orbit.start_run.');
  end if;
  -- Workers take these as they are: what is none would fail in each of them, and only there.
  select k into v_bad from unnest(array['variables', 'templates', 'secrets']) k where jsonb_typeof(p_request -> k) not in ('object', 'null') limit 1;
  if found then
    perform orbit_private.refuse('OR001', format('%s is no object', v_bad), '', 'It is {name: value, …}.');
  end if;
  if coalesce((p_request ->> 'timeout')::float8, 1) <= 0 then
    perform orbit_private.refuse('OR001', 'timeout is not more than zero seconds', '', 'Leave it out where the run may take as long as it takes.');
  end if;
  if coalesce((p_request ->> 'priority')::int, 0) not between -100 and 100 then
    perform orbit_private.refuse('OR001', format('priority %s is not between -100 and 100', p_request ->> 'priority'), '',
      'A step is worth a minute of waiting; 0 is usual.');
  end if;
  v_group := orbit_private.group_given(p_request -> 'group');
  if coalesce(p_request ->> 'order', 'impact') not in ('impact', 'suite') then
    perform orbit_private.refuse('OR001', 'order is neither impact nor suite', left(p_request ->> 'order', 200),
      'impact: what failed lately and what is slow goes first, within what dependencies allow; suite: as the suite has them.');
  end if;
  if coalesce((p_request ->> 'concurrency')::int, 1) not between 1 and 10000 then
    perform orbit_private.refuse('OR001', format('concurrency %s is not between 1 and 10000', p_request ->> 'concurrency'), '',
      'Leave it out where only the workers'' slots count.');
  end if;
  select min(s.key) into v_bad from jsonb_each_text(coalesce(nullif(p_request -> 'secrets', 'null'), '{}')) s where s.value not like 'orbit.seal.v1.%';
  if v_bad is not null then
    perform orbit_private.refuse('OR001', format('the secret %s is not sealed', v_bad), '', 'Seal it with the project''s key before it is sent.');
  end if;
  if p_request ->> 'environment_id' is not null then
    select e.id into v_environment_id from orbit.environments e
      where e.project_id = v_suite.project_id and e.id = orbit_private.to_uuid(p_request ->> 'environment_id', 'environment_id');
    if not found then
      perform orbit_private.refuse('OR002', format('no environment %s in the suite''s project', p_request ->> 'environment_id'), '',
        'Save it first: orbit.save_environment.');
    end if;
  elsif p_request ->> 'environment' is not null then
    select e.id into v_environment_id from orbit.environments e where e.project_id = v_suite.project_id and e.name = p_request ->> 'environment';
    if not found then
      perform orbit_private.refuse('OR002', format('no environment %s in the suite''s project', p_request ->> 'environment'), '',
        'Save it first: orbit.save_environment.');
    end if;
  end if;

  p_request := orbit_private.with_settings(p_request, v_suite.organization_id, v_suite.project_id, v_environment_id);
  v_group := orbit_private.group_settings(v_suite.organization_id, v_suite.project_id) || v_group;

  if p_request -> 'selection' is not null and (
       jsonb_typeof(p_request -> 'selection') not in ('object', 'null') or jsonb_typeof(p_request #> '{selection,tests}') not in ('array', 'null')
       or jsonb_typeof(v_tags) not in ('array', 'null')
       or exists (select from jsonb_array_elements(case jsonb_typeof(v_tags) when 'array' then v_tags else '[]' end) g where jsonb_typeof(g) <> 'array')) then
    perform orbit_private.refuse('OR001', 'selection is malformed', left((p_request -> 'selection')::text, 200),
      'It is {tests?: [key, …], tags?: [[tag, …], …]}: a test is chosen that carries a tag of every group.');
  end if;
  v_tags := nullif(nullif(v_tags, 'null'), '[]');

  if p_request ->> 'rerun_of' is not null or p_request ->> 'with_context' is not null then
    v_original := orbit_private.run_to_repeat(p_request, v_suite);
  end if;

  -- The selection: tests named, tests that carry one tag of every group given; with all they need, and the clean-up that belongs to them.
  if v_keys is not null then
    select min(k) into v_unknown from unnest(v_keys) k
      where not exists (select from orbit.test_cases c where c.suite_id = v_suite.id and c.key = k and c.archived_at is null);
    if v_unknown is not null then
      perform orbit_private.refuse('OR002', format('no test %s in suite %s', v_unknown, v_suite.key), '', 'Look at the names: orbit validate --list FILE.');
    end if;
  end if;
  if coalesce((p_request ->> 'with_context')::boolean, false) then
    v_chosen := orbit_private.tests_alone(v_version, v_keys, v_original);
  elsif v_keys is null and v_tags is null then
    v_chosen := array(select generate_series(0, cardinality(v_version.test_case_ids) - 1));
  else
    v_chosen := orbit_private.chosen_tests(v_version.test_case_ids, v_suite.tags, v_keys, v_tags);
  end if;
  v_total := coalesce(cardinality(v_chosen), 0);
  if v_total = 0 then
    perform orbit_private.refuse('OR005', 'the selection matches no test', format('suite %s has %s tests', v_suite.key, cardinality(v_version.test_case_ids)),
      'Look at the names and tags: orbit validate --list FILE.');
  end if;

  perform orbit_private.ensure_partitions(v_now);
  v_id := case when p_request ? 'run_id' then orbit_private.to_uuid(p_request ->> 'run_id', 'run_id') else gen_random_uuid() end;
  insert into orbit.test_runs (id, organization_id, project_id, suite_id, version_id, environment_id, priority, concurrency, fail_fast,
                               selection, variables, defaults, templates, triggered_by, idempotency_key, base_dir, batch_id, affinity_group, secret_names, rerun_of, created_by, created_at)
    values (v_id, v_suite.organization_id, v_suite.project_id, v_suite.id, v_version.id, v_environment_id,
            coalesce((p_request ->> 'priority')::smallint, 0::smallint), (p_request ->> 'concurrency')::int,
            coalesce((p_request ->> 'fail_fast')::boolean, false), p_request -> 'selection', coalesce(nullif(p_request -> 'variables', 'null'), '{}'),
            array(select jsonb_array_elements_text(coalesce(nullif(p_request -> 'defaults', 'null'), '[]'))), coalesce(nullif(p_request -> 'templates', 'null'), '{}'),
            coalesce(p_request ->> 'triggered_by', 'sdk'), p_request ->> 'idempotency_key', v_base_dir, orbit_private.batch_of(p_request, v_suite.organization_id), v_group ->> 'key',
            array(select s from jsonb_object_keys(coalesce(nullif(p_request -> 'secrets', 'null'), '{}')) s
                  union select 'credentials.' || (c #>> '{}') from jsonb_path_query(p_request, 'lax $.credentials[*] ? (@.type() == "string")') c order by 1), v_original.id,
            (select auth.uid()), v_now)
    on conflict do nothing returning * into v_run;
  if v_run.id is null then
    select * into v_run from orbit.test_runs r where r.project_id = v_suite.project_id and r.idempotency_key = p_request ->> 'idempotency_key';
    if not found then
      perform orbit_private.refuse('OR004', format('there is a run %s already', v_id), '', 'Choose another run_id, or leave it out.');
    end if;
    return orbit_private.run_of(v_run) || jsonb_build_object('repeated', true);
  end if;
  if coalesce((p_request ->> 'private')::boolean, false) then
    update orbit.test_runs r set lane = r.queue_no where r.id = v_run.id returning * into v_run;
  end if;
  v_base := v_run.queue_no << 20;
  v_rank := extract(epoch from v_now) - v_run.priority * 60;  -- a priority is worth a minute a step: linear ageing, no updates

  insert into orbit_private.run_progress (queue_no, run_id, total, remaining, fail_fast, deadline_at)
    values (v_run.queue_no, v_run.id, v_total, v_total, v_run.fail_fast,
            v_now + make_interval(secs => (p_request ->> 'timeout')::float8)) returning * into v_progress;

  if p_request ->> 'secrets' is not null then
    insert into orbit_private.run_secret (queue_no, name, sealed, place)
      select v_run.queue_no, s.key, s.value, format('run:%s:%s', v_run.id, s.key) from jsonb_each_text(p_request -> 'secrets') s;
  end if;
  if v_original.id is not null then
    perform orbit_private.take_over(v_run, v_original, coalesce((p_request ->> 'with_context')::boolean, false), v_chosen);
  end if;
  if p_request ?| array['credentials', 'secrets'] then  -- secrets must not be called as they are
    perform orbit_private.give_credentials(v_run, p_request -> 'credentials', v_now);
  end if;

  v_made := orbit_private.enqueue(v_run, v_rank, v_version.test_case_ids, v_chosen,
    case when coalesce(p_request ->> 'order', 'impact') = 'impact' then orbit_private.order_of_tests(v_version, v_chosen) end, v_group);
  v_disabled := v_made.disabled;

  -- Tests that the suite says to skip end now, and with them what needs them.
  for v_root in
    select j.id, j.lane, j.rank, c.key, c.skip_reason, j.strict_children from orbit_private.job j join orbit.test_cases c on c.id = j.test_case_id
      where j.id = any (v_disabled) order by j.id
  loop
    v_below := orbit_private.skip_below(v_root.strict_children, 'skipped', 'dependency',
                                        format('%s is skipped: %s', v_root.key, v_root.skip_reason), v_now);
    v_itself := orbit_private.skip_below(array[v_root.id], 'skipped', null, v_root.skip_reason, v_now);
    delete from orbit_private.ready y where y.lane = v_root.lane and y.rank = v_root.rank and y.job_id = v_root.id;
    delete from orbit_private.parked y where y.job_id = v_root.id;
    perform orbit_private.release(v_below.loose || v_itself.loose);
  end loop;
  if v_disabled is not null then
    select count(*) into v_total from orbit_private.job j where j.id >= v_base and j.id < v_base + 1048576;
    -- The run's own alone: nothing was given back to the others, and whoever claims would wait for them until this start commits.
    perform orbit_private.open_gates(array(select g.id from orbit_private.gate g
      where g.organization_id = v_run.organization_id and g.kind = 'run' and g.key = v_run.queue_no::text), v_now);
  end if;
  update orbit_private.run_progress p set skipped = p.total - v_total, remaining = v_total, event_seq = 1, lanes = v_made.lanes
    where p.queue_no = v_run.queue_no returning * into v_progress;
  insert into orbit_private.run_event (queue_no, seq, at, payload)
    values (v_run.queue_no, 1, v_now, jsonb_build_object('run', 'queued', 'counts', orbit_private.counts_of(v_progress)));
  if v_progress.remaining = 0 then
    perform orbit_private.finish_run(v_progress, v_now);
    select * into v_run from orbit.test_runs r where r.id = v_run.id;
  end if;
  perform orbit_private.take_for_start(v_run.organization_id, v_now);
  perform orbit_private.audit(v_run.organization_id, 'run.start', 'run', v_run.id::text, null,
    jsonb_build_object('suite', v_suite.key, 'version', v_version.number, 'tests', v_progress.total, 'triggered_by', v_run.triggered_by), v_suite.key);
  perform pg_notify('orbit_ready', v_run.lane::text);
  return orbit_private.run_of(v_run) || orbit_private.run_variables(v_run);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.start_run is 'See orbit.start_run.';

create function orbit.start_run(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.start_run(p_request) $$;
comment on function orbit.start_run is
  'Starts a run of a suite''s latest version and returns at once: {run_id? (chosen by the caller, who sealed the secrets for it), suite_id | suite, project?, environment? | environment_id?, variables?, defaults? (names among them that are the suite''s own: the database''s variables go before them), templates? (given, but referring to others), secrets? (sealed), credentials?: [name of one''s own, …], selection?: {tests?: [key], tags?: [[tag, …], …]}, concurrency?, fail_fast?, timeout? (seconds), priority? (-100..100), order?: impact (what failed lately and what is slow first) | suite, group?: its key, or {key, wait? (seconds for others to join), size? (jobs that suffice), spread?} (a worker that is set up for it takes its tests), private?, idempotency_key?, triggered_by?, rerun_of? (a run of the suite, whose secrets it takes over), with_context? (of that run, with what it captured and shared: see orbit.rerun), base_dir? (kept from administrative roles alone: a folder of the worker''s machine), batch_id? (what it belongs to: see orbit.start_runs)}. Answers the run. OR001, OR002, OR003, OR004 a credential has expired, OR005 nothing selected.';

-- Reading ----------------------------------------------------------------------------------------------------------------

create function orbit_private.runs_of(p_ids uuid[])
returns setof jsonb language plpgsql stable set search_path = '' as $$
-- Granted to nobody: whoever calls it knows that the caller may read these runs.
begin
  return query select jsonb_build_object('id', t.id, 'suite', s.name, 'suite_id', s.id, 'project', j.slug, 'environment', e.name,
    'status', case when p.queue_no is null then t.status when p.stop_status in ('cancelled', 'timed_out') then 'cancelling'
                   when p.started then 'running' else 'queued' end,
    'reason', coalesce(t.reason, p.stop_reason), 'counts', coalesce(t.counts, orbit_private.counts_of(p)),
    'created_at', t.created_at, 'started_at', t.started_at, 'finished_at', t.finished_at,
    'duration', extract(epoch from t.finished_at - t.started_at)::float8,
    'expected_duration', (select avg(extract(epoch from o.finished_at - o.started_at))::float8 from (
        select r.finished_at, r.started_at from orbit.test_runs r
          where r.suite_id = t.suite_id and r.status in ('passed', 'failed') and r.selection is not distinct from t.selection
          order by r.created_at desc limit 5) o),
    'event_seq', coalesce(p.event_seq, t.event_seq), 'queue_no', t.queue_no, 'lane', t.lane, 'version_id', t.version_id, 'batch_id', t.batch_id, 'rerun_of', t.rerun_of, 'group', t.affinity_group)
  from unnest(p_ids) with ordinality i (id, n)
    join orbit.test_runs t on t.id = i.id join orbit.test_suites s on s.id = t.suite_id join orbit.projects j on j.id = s.project_id
    left join orbit.environments e on e.id = t.environment_id
    left join orbit_private.run_progress p on p.queue_no = t.queue_no
  order by i.n;
end $$;
comment on function orbit_private.runs_of is 'Runs as callers see them, in the order of the ids.';

-- Definer: a run's live counters are in the queue. The row given names the run and is not believed any further.
create function orbit_private.run_of(p_run orbit.test_runs)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
begin
  if not exists (select from orbit.test_runs t where t.id = p_run.id and orbit_private.may_read_run(t.queue_no)) then
    return null;
  end if;
  return (select r from orbit_private.runs_of(array[p_run.id]) r);
end $$;
comment on function orbit_private.run_of is 'A run as callers see it; null unless the caller may read it, whatever row is given.';

-- Definer: it answers "not found" alike for what is not there and for what is not the caller's.
create function orbit_private.visible_run(p_request jsonb)
returns orbit.test_runs language plpgsql stable security definer set search_path = '' as $$
declare v_text text := orbit_private.required(p_request, 'run_id'); v_run orbit.test_runs; v_ids uuid[];
begin
  if v_text ~ '^[0-9a-f][0-9a-f-]{3,34}$' or v_text = 'last' then
    -- Short ids, as git has them: the beginning of one; `last` is the newest.
    v_ids := array(
      select r.id from orbit.test_runs r
        where (v_text = 'last' or r.id::text like v_text || '%')
          and (orbit_private.caller_is_trusted() or r.project_id = any (array(select orbit_private.my_project_ids())))
        order by r.created_at desc limit case v_text when 'last' then 1 else 2 end);
    if cardinality(v_ids) > 1 then
      perform orbit_private.refuse('OR001', format('more than one run id begins with %s', v_text), '', 'Give more of it.');
    end if;
    select r.* into v_run from orbit.test_runs r where r.id = v_ids[1];
  else
    select r.* into v_run from orbit.test_runs r where r.id = orbit_private.to_uuid(v_text, 'run_id')
      and (orbit_private.caller_is_trusted() or r.project_id = any (array(select orbit_private.my_project_ids())));
  end if;
  if v_run.id is null then
    perform orbit_private.refuse('OR002', case v_text when 'last' then 'there is no run yet' else format('no run %s', left(v_text, 60)) end, '',
      'List the runs: orbit list');
  end if;
  return v_run;
end $$;
comment on function orbit_private.visible_run is 'The run that a request''s run_id names: an id, the beginning of one, or `last`; OR002 unless the caller may read it.';

create function orbit.get_run(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.run_of(orbit_private.visible_run(p_request)) $$;
comment on function orbit.get_run is 'A run by {run_id}: its id, the beginning of it, or `last`. OR002 where there is none.';

-- Definer: live counters are in the queue; what the caller may read is asked once, not once a run and table.
create function orbit_private.list_runs(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
-- Put together from what was asked for, so that each way of asking is planned for its own index.
declare
  v_mine uuid[] := case when not orbit_private.caller_is_trusted() then array(select orbit_private.my_project_ids()) end;
  v_organization_id uuid := case when p_request ->> 'organization' is not null then orbit_private.organization_of(p_request) end;
  v_projects uuid[]; v_ids uuid[]; v_suites uuid[]; v_environments uuid[]; v_bad text;
  v_statuses text[] := case jsonb_typeof(p_request -> 'status') when 'array' then array(select jsonb_array_elements_text(p_request -> 'status'))
                         when 'string' then array[p_request ->> 'status'] end;
begin
  select min(s) into v_bad from unnest(v_statuses) s
    where s not in ('queued', 'running', 'cancelling', 'passed', 'failed', 'errored', 'cancelled', 'timed_out');
  if v_bad is not null then
    perform orbit_private.refuse('OR001', format('a run is never %s', left(v_bad, 40)), '',
      'status is one or several of queued, running, cancelling, passed, failed, errored, cancelled, timed_out.');
  end if;
  if p_request ->> 'suite' is not null then
    v_suites := array(select s.id from orbit.test_suites s where s.key = p_request ->> 'suite');
  end if;
  if p_request ->> 'environment' is not null then
    v_environments := array(select e.id from orbit.environments e where e.name = p_request ->> 'environment');
  end if;
  if p_request ->> 'project' is not null then
    v_projects := array(select p.id from orbit.projects p where p.slug = orbit_private.slug(p_request ->> 'project')
                          and (v_organization_id is null or p.organization_id = v_organization_id) and (v_mine is null or p.id = any (v_mine)));
  end if;
  execute 'select array(select r.id from orbit.test_runs r where true'
    || case when cardinality(v_projects) = 1 then ' and r.project_id = $1[1]' when v_projects is not null then ' and r.project_id = any ($1)'
            else case when v_organization_id is not null then ' and r.organization_id = $2' else '' end
              || case when v_mine is not null then ' and r.project_id = any ((select $3)::uuid[])' else '' end end
    || case when cardinality(v_statuses) = 1 then ' and r.status = $4[1]' when v_statuses is not null then ' and r.status = any ($4)' else '' end
    || case when v_suites is not null then ' and r.suite_id = any ($7)' else '' end
    || case when v_environments is not null then ' and r.environment_id = any ($8)' else '' end
    || case when p_request ->> 'since' is not null then ' and r.created_at >= $9' else '' end
    || case when p_request ->> 'batch_id' is not null then ' and r.batch_id = $10' else '' end
    || case when (p_request ->> 'mine')::boolean then ' and r.created_by is not distinct from $11' else '' end
    || case when p_request ->> 'before' is not null then ' and r.created_at < $5' else '' end
    || ' order by r.created_at desc limit $6)'
    into v_ids using v_projects, v_organization_id, v_mine, v_statuses, (p_request ->> 'before')::timestamptz,
      least(coalesce((p_request ->> 'limit')::int, 20), 200), v_suites, v_environments, (p_request ->> 'since')::timestamptz,
      orbit_private.to_uuid(p_request ->> 'batch_id', 'batch_id'), (select auth.uid());
  return (select coalesce(jsonb_agg(r), '[]') from orbit_private.runs_of(v_ids) r);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.list_runs is 'See orbit.list_runs.';

create function orbit.list_runs(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.list_runs(p_request) $$;
comment on function orbit.list_runs is 'The newest runs: {organization?, project?, status? (one or several), suite? (key), environment? (name), since?, before?, batch_id?, mine? (started by the caller), limit? = 20, at most 200}.';

-- Definer: visible_run() asks once what the policies of three tables would each ask anew.
create function orbit_private.list_results(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare
  v_run orbit.test_runs := orbit_private.visible_run(p_request);
  v_details boolean := coalesce((p_request ->> 'details')::boolean, false); v_rows jsonb;
  -- A day either way, for a server whose clock was set while the run went on.
  v_from timestamptz := v_run.created_at - interval '1 day'; v_to timestamptz := v_run.finished_at + interval '1 day';
begin
  -- When the run was bounds the partitions at planning time; an hour for clocks that were set meanwhile.
  execute format($q$
    select coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'run_id', r.run_id, 'position', r.position, 'key', c.key, 'name', c.name,
        'test_case_id', r.test_case_id, 'status', r.status, 'category', r.category, 'reason', r.reason, 'duration', r.duration_ms / 1000.0,
        'started_at', r.started_at, 'finished_at', r.created_at, 'attempts', r.attempts, 'worker', r.worker_id::text,
        'failures', coalesce(d.failures, '[]'), 'previous_attempts', coalesce(d.previous_attempts, '[]'))
        || case when $3 then jsonb_build_object('exchange', d.exchange) else '{}' end order by r.position), '[]')
      from (select r.*, orbit.id(r) as id from orbit.test_results r where r.run_id = $1 and r.created_at between %1$L and %2$L and r.position > $2
              and ($5 is null or r.status = any ($5)) order by r.position limit $4) r
      join orbit.test_cases c on c.id = r.test_case_id
      left join orbit.test_result_details d on d.run_id = r.run_id and d.position = r.position and d.created_at between %1$L and %2$L
        and d.created_at = r.created_at and d.status = r.status$q$, v_from, coalesce(v_to, 'infinity'))
    into v_rows using v_run.id, coalesce((p_request ->> 'after')::int, -1), v_details, least(coalesce((p_request ->> 'limit')::int, 1000), 10000),
      case when jsonb_typeof(p_request -> 'status') = 'array' then array(select jsonb_array_elements_text(p_request -> 'status')) end;
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.list_results is 'See orbit.list_results.';

create function orbit.list_results(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.list_results(p_request) $$;
comment on function orbit.list_results is 'Final results of a run in the suite''s order: {run_id, after? (position), limit? = 1000, status?: [..], details? (with exchange)}.';

-- Definer: the event log is not readable directly; the run is.
create function orbit_private.events_of(p_run orbit.test_runs, p_after bigint, p_limit int)
returns jsonb language sql stable security definer set search_path = '' as $$
  with mine as materialized (
    select t.* from orbit.test_runs t where t.id = p_run.id and orbit_private.may_read_run(t.queue_no)),
  rows as (
    select * from orbit_private.run_event e where e.queue_no = (select t.queue_no from mine t) and e.seq > p_after order by e.seq limit p_limit),
  tests as materialized (
    select t.n - 1 as position, t.id from orbit.test_suite_versions v cross join unnest(v.test_case_ids) with ordinality t (id, n)
      where v.id = (select m.version_id from mine m)),
  spread as (
    select r.seq, r.at, 1 as part, 0 as n, 'run_started' as kind, null::int as position, null::text as status, null::text as reason,
           null::float8 as duration, null::int as attempt, null::jsonb as counts from rows r where r.payload ? 'began'
    union all
    select r.seq, r.at, 2, f.n, 'test_finished', (f.job & 1048575)::int, coalesce(f.status, 'passed'), coalesce(f.reason, r.payload ->> 'reason'),
           f.duration::numeric::float8, coalesce(f.attempt, case when r.ended_durations is not null then 1 end), null
      from rows r cross join unnest(r.ended, r.ended_statuses, r.ended_reasons, r.ended_durations, r.ended_attempts)
        with ordinality f (job, status, reason, duration, attempt, n)
    union all
    select r.seq, r.at, 3, f.n, 'test_retried', (f.t ->> 0)::int, f.t ->> 1, f.t ->> 4, (f.t ->> 2)::float8, (f.t ->> 3)::int, null
      from rows r cross join jsonb_array_elements(r.payload -> 'retried') with ordinality f (t, n) where r.payload ? 'retried'
    union all
    select r.seq, r.at, 4, f.n, 'test_started', (f.job & 1048575)::int, null, null, null, coalesce(f.attempt, 1), null
      from rows r cross join unnest(r.started, r.started_attempts) with ordinality f (job, attempt, n)
    union all
    select r.seq, r.at, 0, 0, 'context_changed', null, null, null, null, null, null from rows r where r.payload ? 'context'
    union all
    select r.seq, r.at, 5, 0, case r.payload ->> 'run' when 'queued' then 'run_queued' when 'cancelling' then 'run_cancelling' else 'run_finished' end,
           null, r.payload ->> 'run', r.payload ->> 'reason', null, null, r.payload -> 'counts' from rows r where r.payload ? 'run')
  select coalesce(jsonb_agg(jsonb_build_object('seq', s.seq, 'kind', s.kind, 'at', s.at, 'run_id', p_run.id, 'key', c.key, 'position', s.position,
      'status', s.status, 'reason', s.reason, 'duration', s.duration, 'attempt', s.attempt, 'counts', s.counts) order by s.seq, s.part, s.n), '[]')
    from spread s left join tests t on t.position = s.position left join orbit.test_cases c on c.id = t.id
$$;
comment on function orbit_private.events_of is 'Events of a run; none unless the caller may read it, whatever row is given.';

create function orbit.read_events(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return orbit_private.events_of(orbit_private.visible_run(p_request), coalesce((p_request ->> 'after')::bigint, 0),
                                 least(coalesce((p_request ->> 'limit')::int, 500), 5000));
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.read_events is 'Events of a run after a number: {run_id, after? = 0, limit? = 500 statements}. What one statement made happen shares a seq; none is missing between two seqs.';

-- Stopping -----------------------------------------------------------------------------------------------------------------

-- Definer: it writes the queue. Also the way in for deadlines (tick).
create function orbit_private.stop_run(p_queue_no bigint, p_status text, p_reason text, p_now timestamptz)
returns boolean language plpgsql security definer set search_path = '' as $$
declare v_progress orbit_private.run_progress;
begin
  update orbit_private.run_progress p set stop_status = p_status, stop_reason = p_reason, event_seq = p.event_seq + 1
    where p.queue_no = p_queue_no and coalesce(p.stop_status, 'fail_fast') = 'fail_fast' returning * into v_progress;
  if not found then return false; end if;
  insert into orbit_private.run_event (queue_no, seq, at, payload)
    values (p_queue_no, v_progress.event_seq, p_now, jsonb_build_object('run', 'cancelling', 'reason', p_reason));
  update orbit.test_runs r set status = 'cancelling', reason = p_reason where r.queue_no = p_queue_no;
  perform orbit_private.sweep(p_queue_no, p_now);
  perform pg_notify('orbit_run', p_queue_no::text);
  return true;
end $$;
comment on function orbit_private.stop_run is 'Stops a run: what waits ends now, what runs is told. False where it is finished or being stopped already.';

create function orbit_private.cancel_run(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_run orbit.test_runs := orbit_private.visible_run(p_request); v_done boolean;
begin
  perform orbit_private.require('run.control', 'suite', v_run.suite_id);
  if length(p_request ->> 'reason') > 1000 then  -- every test that does not run gets it as its own
    perform orbit_private.refuse('OR001', 'reason is longer than 1,000 characters', format('it has %s', length(p_request ->> 'reason')));
  end if;
  v_done := orbit_private.stop_run(v_run.queue_no, 'cancelled', coalesce(p_request ->> 'reason', 'cancelled'), clock_timestamp());
  if v_done then
    perform orbit_private.audit(v_run.organization_id, 'run.cancel', 'run', v_run.id::text, null, jsonb_build_object('reason', p_request ->> 'reason'));
  end if;
  return orbit_private.run_of(orbit_private.visible_run(jsonb_build_object('run_id', v_run.id))) || jsonb_build_object('changed', v_done);
end $$;
comment on function orbit_private.cancel_run is 'See orbit.cancel_run.';

create function orbit.cancel_run(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.cancel_run(p_request) $$;
comment on function orbit.cancel_run is 'Cancels a run: {run_id, reason? (up to 1,000 characters)}. What waits is cancelled at once, what runs as soon as its worker hears of it. Answers the run and `changed`; cancelling a finished run changes nothing.';

-- The context --------------------------------------------------------------------------------------------------------------

-- Definer: the names only, and of runs that the caller may read.
create function orbit_private.run_secret_names(p_queue_no bigint)
returns jsonb language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(n.name order by n.name), '[]') from (
      select s.name from orbit_private.run_secret s where s.queue_no = p_queue_no
      union select unnest(r.secret_names) from orbit.test_runs r where r.queue_no = p_queue_no) n
    where orbit_private.may_read_run(p_queue_no)
$$;
comment on function orbit_private.run_secret_names is 'The names of a run''s secret variables, as an array; empty unless the caller may read the run.';
grant execute on function orbit_private.run_secret_names to authenticated, service_role;

create function orbit.get_context(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('run_id', r.id, 'shared_auth_tokens', orbit_private.context_of(r.queue_no, 'token'),
      'shared_variables', orbit_private.context_of(r.queue_no, 'variable') , 'captured_data', orbit_private.context_of(r.queue_no, 'captured'),
      'test_order', orbit_private.test_order_of(r.version_id), 'variables', r.variables, 'secrets', orbit_private.run_secret_names(r.queue_no),
      'sealed_for', orbit_private.sealed_elsewhere(r.queue_no),
      'expires_at', coalesce(r.finished_at, clock_timestamp()) + interval '24 hours')
    from orbit_private.visible_run(p_request) r
$$;
comment on function orbit.get_context is 'The context of a run by {run_id}: shared_auth_tokens, shared_variables, captured_data by test, test_order, the run''s variables, the names of its secrets, and sealed_for: [[kind, producer, name, run], …] of what another run sealed; secret values are sealed.';

-- Definer: it writes the context, after require().
create function orbit_private.put_context(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_run orbit.test_runs := orbit_private.visible_run(p_request); v_version bigint; v_bad text; v_count int;
begin
  perform orbit_private.require('run.control', 'suite', v_run.suite_id);
  select min(format('%s %s', e ->> 'kind', e ->> 'name')) into v_bad from jsonb_array_elements(coalesce(p_request -> 'entries', '[]')) e
    where coalesce(e ->> 'kind', '') not in ('token', 'variable', 'captured') or coalesce(e ->> 'name', '') = ''
       or ((e ->> 'kind') = 'captured') <> (coalesce(e ->> 'producer', '') <> '')
       or (coalesce((e ->> 'secret')::boolean, false) and coalesce(e ->> 'value', '') not like 'orbit.seal.v1.%');
  if v_bad is not null then
    perform orbit_private.refuse('OR001', format('the entry %s is malformed', v_bad), '',
      'An entry is {kind: token | variable | captured, producer: the test''s key if captured, name, value, secret?}; a secret''s value is sealed.');
  end if;
  update orbit_private.run_progress p set event_seq = p.event_seq + 1, context_version = p.event_seq + 1
    where p.queue_no = v_run.queue_no returning p.context_version into v_version;
  if not found then
    perform orbit_private.refuse('OR004', 'the run is finished', '', 'A context takes values while its run goes on.');
  end if;
  insert into orbit_private.run_event (queue_no, seq, at, payload) values (v_run.queue_no, v_version, clock_timestamp(), '{"context": true}');
  insert into orbit_private.context_entry as o (queue_no, kind, producer, name, value, secret, version)
    select distinct on (e ->> 'kind', coalesce(e ->> 'producer', ''), e ->> 'name')
           v_run.queue_no, e ->> 'kind', coalesce(e ->> 'producer', ''), e ->> 'name', coalesce(e -> 'value', 'null'),
           coalesce((e ->> 'secret')::boolean, false), v_version
      from jsonb_array_elements(coalesce(p_request -> 'entries', '[]')) with ordinality x (e, n)
      order by e ->> 'kind', coalesce(e ->> 'producer', ''), e ->> 'name', n desc
    on conflict (queue_no, kind, producer, name) do update set value = excluded.value, secret = excluded.secret, sealed_for = null, version = excluded.version,
      worker_id = null, updated_at = now(), expires_at = excluded.expires_at;
  get diagnostics v_count = row_count;
  -- The names: values are captured data of the system under test, or secrets.
  perform orbit_private.audit(v_run.organization_id, 'context.write', 'run', v_run.id::text, null, jsonb_build_object('entries',
    (select jsonb_agg(concat_ws(' ', e ->> 'kind', e ->> 'producer', e ->> 'name') order by n)
       from jsonb_array_elements(p_request -> 'entries') with ordinality x (e, n) where n <= 100)));
  return jsonb_build_object('version', v_version, 'entries', v_count);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.put_context is 'See orbit.put_context.';

create function orbit.put_context(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.put_context(p_request) $$;
comment on function orbit.put_context is 'Writes entries of a run''s context: {run_id, entries: [{kind: token|variable|captured, producer?, name, value, secret?}]}. The last mention of a name counts. OR004 once the run is finished.';

-- Definer: which requirements are met is in the queue and in the results.
create function orbit_private.resolve_dependencies(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare v_run orbit.test_runs := orbit_private.visible_run(p_request); v_test orbit.test_cases; v_needs jsonb;
begin
  select c.* into v_test from orbit.test_cases c
    where c.suite_id = v_run.suite_id and c.key = orbit_private.required(p_request, 'test') and c.archived_at is null;
  if not found then
    perform orbit_private.refuse('OR002', format('no test %s in the run''s suite', p_request ->> 'test'));
  end if;
  select coalesce(jsonb_agg(jsonb_build_object('test', c.key, 'kind', d.dependency_type, 'status', coalesce(r.status, 'waiting'),
           'captured', (select jsonb_object_agg(e.name, e.value) from orbit_private.context_entry e
                          where e.queue_no = v_run.queue_no and e.kind = 'captured' and e.producer = c.key)) order by c.key), '[]')
    into v_needs
    from orbit.test_dependencies d join orbit.test_cases c on c.id = d.required_test_id
    left join lateral (select t.status from orbit.test_results t where t.run_id = v_run.id and t.test_case_id = c.id
                         and t.created_at >= v_run.created_at limit 1) r on true
    where d.dependent_test_id = v_test.id;
  return jsonb_build_object('test', v_test.key, 'needs', v_needs,
    'is_ready', not exists (select from jsonb_array_elements(v_needs) n where n ->> 'status' not in ('passed', 'passed_on_retry')),
    'is_impossible', exists (select from jsonb_array_elements(v_needs) n where n ->> 'status' not in ('passed', 'passed_on_retry', 'waiting')));
end $$;
comment on function orbit_private.resolve_dependencies is 'See orbit.resolve_dependencies.';

create function orbit.resolve_dependencies(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.resolve_dependencies(p_request) $$;
comment on function orbit.resolve_dependencies is 'What a test of a run waits for: {run_id, test} → {test, needs: [{test, kind, status, captured}], is_ready, is_impossible}.';

-- Definer: contexts are nobody's rows; cleaning them up is allowed to administrative roles and to orbit_runner.tick().
create function orbit_private.cleanup_expired_contexts(p_now timestamptz default now())
returns int language plpgsql security definer set search_path = '' as $$
declare v_count int; v_secrets int;
begin
  delete from orbit_private.context_entry e where e.expires_at < p_now
    and not exists (select from orbit_private.run_progress p where p.queue_no = e.queue_no)
    and not exists (select from orbit.test_runs r where r.queue_no = e.queue_no and r.finished_at > p_now - interval '24 hours');
  get diagnostics v_count = row_count;
  delete from orbit_private.run_secret e where e.expires_at < p_now
    and not exists (select from orbit_private.run_progress p where p.queue_no = e.queue_no)
    and not exists (select from orbit.test_runs r where r.queue_no = e.queue_no and r.finished_at > p_now - interval '24 hours');
  get diagnostics v_secrets = row_count;
  return v_count + v_secrets;
end $$;
comment on function orbit_private.cleanup_expired_contexts is 'Deletes context entries and secrets of runs that ended more than 24 hours ago; returns how many.';

create function orbit.cleanup_expired_contexts(p_request jsonb default '{}')
returns jsonb language sql set search_path = '' as $$ select jsonb_build_object('deleted', orbit_private.cleanup_expired_contexts()) $$;
comment on function orbit.cleanup_expired_contexts is 'Deletes expired context entries now: {} → {deleted}. Administrative roles only; workers do it on their own.';

grant execute on function orbit_private.start_run, orbit_private.run_of, orbit_private.list_runs, orbit_private.list_results, orbit_private.visible_run, orbit_private.events_of, orbit_private.cancel_run,
  orbit_private.put_context, orbit_private.resolve_dependencies to authenticated, service_role;
grant execute on function orbit.start_run, orbit.get_run, orbit.list_runs, orbit.list_results, orbit.read_events, orbit.cancel_run,
  orbit.get_context, orbit.put_context, orbit.resolve_dependencies to authenticated, service_role;
grant execute on function orbit_private.cleanup_expired_contexts, orbit.cleanup_expired_contexts to service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
