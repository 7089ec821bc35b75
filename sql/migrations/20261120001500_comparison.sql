-- Running again, and comparing with what was before.

create function orbit_private.results_of(p_run orbit.test_runs)
returns setof orbit.test_results language plpgsql stable set search_path = '' set enable_seqscan = off as $$
-- Granted to nobody: whoever calls it knows that the caller may read the run. When the run was bounds the partitions at planning
-- time; a day either way for clocks that were set meanwhile.
begin
  return query execute format('select r.* from orbit.test_results r where r.run_id = $1 and r.created_at between %L and %L',
    p_run.created_at - interval '1 day', coalesce(p_run.finished_at + interval '1 day', 'infinity')) using p_run.id;
end $$;
comment on function orbit_private.results_of is 'The results of a run, in no order.';

-- Running again ----------------------------------------------------------------------------------------------------------------

create function orbit_private.run_to_repeat(p_request jsonb, p_suite orbit.test_suites)
returns orbit.test_runs language plpgsql stable set search_path = '' as $$
-- Called by start_run, for its rerun_of and with_context.
declare v_run orbit.test_runs; v_with_context boolean := coalesce((p_request ->> 'with_context')::boolean, false);
begin
  if p_request ->> 'rerun_of' is null then
    if v_with_context then
      perform orbit_private.refuse('OR001', 'with_context needs the run whose context it is', '', 'Name it: rerun_of, or call orbit.rerun.');
    end if;
    return null;
  end if;
  v_run := orbit_private.visible_run(jsonb_build_object('run_id', p_request ->> 'rerun_of'));
  if v_run.suite_id <> p_suite.id then
    perform orbit_private.refuse('OR001', format('the run %s is not one of suite %s', v_run.id, p_suite.key), '', 'A run is run again with its own suite.');
  end if;
  if not v_with_context then
    return v_run;
  end if;
  if coalesce(jsonb_array_length(case jsonb_typeof(p_request #> '{selection,tests}') when 'array' then p_request #> '{selection,tests}' end), 0) = 0 then
    perform orbit_private.refuse('OR001', 'with_context needs tests', '', 'It runs the tests that are named, and not what they need: tests: [key, …].');
  end if;
  if v_run.finished_at is null then
    perform orbit_private.refuse('OR004', format('the run %s goes on', v_run.id), 'its context is not complete', 'Wait for its end, or cancel it.');
  end if;
  if v_run.finished_at < clock_timestamp() - interval '24 hours' then
    perform orbit_private.refuse('OR004', format('the context of the run %s is gone', v_run.id), 'a context is kept for 24 hours after its run',
      'Leave with_context out: the tests are then run with all that they need.');
  end if;
  return v_run;
end $$;
comment on function orbit_private.run_to_repeat is 'The run that a start names as rerun_of; null where it names none. OR001, OR002, OR004 its context is gone.';

create function orbit_private.tests_alone(p_version orbit.test_suite_versions, p_keys text[], p_original orbit.test_runs)
returns bigint[] language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan as $$
-- What is not run again must have passed: else there is nothing for these tests to go on with. What a run has no result of that was
-- itself run with the context of another had passed there.
declare v_chosen uuid[]; v_positions bigint[]; v_bad text;
begin
  select array_agg(c.id), array_agg(t.n - 1 order by t.n) into v_chosen, v_positions
    from unnest(p_version.test_case_ids) with ordinality t (id, n) join orbit.test_cases c on c.id = t.id where c.key = any (p_keys);
  with had as materialized (select r.test_case_id, r.status from orbit_private.results_of(p_original) r)
  select min(format('%s needs %s', c.key, n.key)) into v_bad
    from orbit.test_dependencies d left join had h on h.test_case_id = d.required_test_id join orbit.test_cases c on c.id = d.dependent_test_id join orbit.test_cases n on n.id = d.required_test_id
    where d.dependent_test_id = any (v_chosen) and d.required_test_id <> all (v_chosen) and (not c.always or d.dependency_type <> 'order')
      and coalesce(h.status not in ('passed', 'passed_on_retry'), p_original.rerun_of is null);
  if v_bad is not null then
    perform orbit_private.refuse('OR004', format('%s, which did not pass in the run %s', v_bad, p_original.id), '',
      'Name that test, too, or leave with_context out: the tests are then run with all that they need.');
  end if;
  return v_positions;
end $$;
comment on function orbit_private.tests_alone is 'The positions, from 0, of the tests named, without what they need. OR004 where something that they need did not pass in that run either.';

create function orbit_private.take_over(p_run orbit.test_runs, p_original orbit.test_runs, p_with_context boolean, p_chosen bigint[])
returns void language plpgsql set search_path = '' as $$
-- Called by start_run; granted to nobody. What is sealed stays sealed, for the place that it was sealed for, which goes with it.
declare
  v_given text[] := p_run.secret_names || array(select jsonb_object_keys(p_run.variables)) || array(select jsonb_object_keys(p_run.templates));
  v_names text[] := array(select n from unnest(p_original.secret_names) n where n <> all (v_given) and not starts_with(n, 'credentials.'));
  v_gone text;
begin
  -- Whoever changes the suite says where its tests send what they are given: not what somebody else alone was trusted with.
  if p_original.created_by is distinct from (select auth.uid()) and not orbit_private.may('secret.read', 'suite', p_run.suite_id)
     and (v_names <> '{}' or p_with_context and exists (select from orbit_private.context_entry e where e.queue_no = p_original.queue_no and e.secret)) then
    perform orbit_private.refuse('OR003', format('secrets of the run %s are somebody else''s', p_original.id),
      'they were given, or captured, in a run that another person started', 'Whoever started it may run it again, or who may do secret.read; or give them anew: secrets.');
  end if;
  select string_agg(n, ', ' order by n) into v_gone from unnest(v_names) n
    where not exists (select from orbit_private.run_secret s where s.queue_no = p_original.queue_no and s.name = n);
  if v_gone is not null then
    perform orbit_private.refuse('OR004', format('secrets that the run %s was started with are gone: %s', p_original.id, v_gone),
      'what is given with a start is kept for 24 hours after the run', format('Give them anew: orbit rerun %s --var NAME=VALUE, or secrets (sealed).', p_original.id));
  end if;
  insert into orbit_private.run_secret (queue_no, name, sealed, place, fields)
    select p_run.queue_no, s.name, s.sealed, s.place, s.fields from orbit_private.run_secret s where s.queue_no = p_original.queue_no and s.name = any (v_names);
  if v_names <> '{}' then
    update orbit.test_runs r set secret_names = r.secret_names || v_names where r.id = p_run.id;
  end if;
  if p_with_context then
    -- Captures by the key that their test has now; not those of tests that are run again.
    insert into orbit_private.context_entry (queue_no, kind, producer, name, value, secret, sealed_for, version)
      select p_run.queue_no, e.kind, coalesce(k.now, e.producer), e.name, e.value, e.secret,
             case when e.secret then coalesce(e.sealed_for, p_original.id) end, 0
        from orbit_private.context_entry e
        left join (
          select t.t ->> 'key' as was, c.key as now, c.id
            from orbit.test_suite_versions v cross join jsonb_array_elements(v.document -> 'tests') with ordinality t (t, n)
            join orbit.test_cases c on c.id = v.test_case_ids[t.n] where v.id = p_original.version_id) k on e.kind = 'captured' and k.was = e.producer
        where e.queue_no = p_original.queue_no
          and (k.id is null or k.id not in (select v.test_case_ids[p + 1] from orbit.test_suite_versions v cross join unnest(p_chosen) p where v.id = p_run.version_id));
  end if;
end $$;
comment on function orbit_private.take_over is 'Gives a run the secrets that another was started with, as far as it was not given others, and with_context what that one captured and shared. OR003, OR004 they are gone.';

-- Definer: it reads results and the names of secrets, after require().
create function orbit_private.rerun(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_run orbit.test_runs; v_tests jsonb := nullif(p_request -> 'tests', 'null'); v_failed boolean; v_keys text[]; v_count int; v_left_out text[];
  v_selection jsonb; v_given text[]; v_start jsonb; v_credentials text[]; v_latest uuid;
begin
  perform orbit_private.refuse_unknown(p_request, array['run_id', 'failed', 'tests', 'with_context', 'version', 'new_run_id', 'variables', 'secrets', 'credentials',
    'environment', 'environment_id', 'concurrency', 'fail_fast', 'timeout', 'priority', 'order', 'group', 'private', 'idempotency_key', 'triggered_by', 'batch_id']);
  v_run := orbit_private.visible_run(p_request);
  perform orbit_private.require('run.start', 'suite', v_run.suite_id);
  if v_tests is not null and (jsonb_typeof(v_tests) <> 'array' or v_tests = '[]' or jsonb_path_exists(v_tests, 'strict $[*] ? (@.type() != "string")')) then
    perform orbit_private.refuse('OR001', 'tests is no list of keys', left(v_tests::text, 200), 'Write tests: ["login", …], or leave it out.');
  end if;
  if exists (select from unnest(array['variables', 'secrets']) k where jsonb_typeof(p_request -> k) not in ('object', 'null')) then
    perform orbit_private.refuse('OR001', 'variables and secrets are objects', '', 'They are {name: value, …}.');
  end if;
  v_failed := coalesce((p_request ->> 'failed')::boolean, v_tests is null);
  if v_failed and v_tests is not null then
    perform orbit_private.refuse('OR001', 'failed and tests exclude each other', '', 'Name tests, or run again what did not pass.');
  end if;
  if coalesce(p_request ->> 'version', 'latest') not in ('latest', 'original') then
    perform orbit_private.refuse('OR001', 'version is neither latest nor original', left(p_request ->> 'version', 200),
      'latest: the suite as it is now; original: only if it is still what the run executed.');
  end if;
  if p_request ->> 'version' = 'original' then
    select v.id into v_latest from orbit.test_suites s join orbit.test_suite_versions v on v.suite_id = s.id and v.number = s.latest_version where s.id = v_run.suite_id;
    if v_latest <> v_run.version_id then
      perform orbit_private.refuse('OR004', format('the suite was changed since the run %s', v_run.id), '',
        'Leave version out to run it as it is now; or save it again as it was: orbit run FILE.');
    end if;
  end if;

  if v_tests is not null then
    v_selection := jsonb_build_object('tests', v_tests);
  elsif v_failed then
    if v_run.finished_at is null then
      perform orbit_private.refuse('OR004', format('the run %s goes on', v_run.id), 'what did not pass is not known yet', 'Wait for its end, or cancel it.');
    end if;
    -- All but what passed, and what the suite itself says to skip.
    select count(*), array_agg(c.key order by r.position) filter (where c.archived_at is null), array_agg(c.key order by r.position) filter (where c.archived_at is not null)
      into v_count, v_keys, v_left_out
      from orbit_private.results_of(v_run) r join orbit.test_cases c on c.id = r.test_case_id
      where r.status not in ('passed', 'passed_on_retry') and not (r.status = 'skipped' and r.category is null);
    if v_keys is null then
      perform orbit_private.refuse('OR005', case v_count when 0 then format('every test of the run %s passed', v_run.id)
                                                         else 'the tests that did not pass are not in the suite any more' end, '',
        'To run all of it again: failed: false, or orbit rerun --all.');
    end if;
    v_selection := jsonb_build_object('tests', v_keys);
  else
    v_selection := v_run.selection;
  end if;

  v_given := array(select jsonb_object_keys(coalesce(nullif(p_request -> 'variables', 'null'), '{}'))
                   union select jsonb_object_keys(coalesce(nullif(p_request -> 'secrets', 'null'), '{}')));
  v_credentials := array(select substr(n, length('credentials.') + 1) from unnest(v_run.secret_names) n where starts_with(n, 'credentials.'));
  v_start := jsonb_build_object('suite_id', v_run.suite_id, 'rerun_of', v_run.id, 'environment_id', v_run.environment_id, 'selection', v_selection,
      'concurrency', v_run.concurrency, 'fail_fast', v_run.fail_fast, 'priority', v_run.priority, 'base_dir', v_run.base_dir)
    || case when v_credentials <> '{}' then jsonb_build_object('credentials', v_credentials) else '{}' end
    || (select coalesce(jsonb_object_agg(k.key, k.value), '{}')
          from jsonb_each(p_request - array['run_id', 'failed', 'tests', 'version', 'new_run_id', 'variables']) k where k.value <> 'null')
    || jsonb_build_object('variables', (v_run.variables - v_given) || coalesce(nullif(p_request -> 'variables', 'null'), '{}'),
      'templates', v_run.templates - v_given, 'defaults', array(select d from unnest(v_run.defaults) d where d <> all (v_given)));
  if p_request ->> 'environment' is not null and p_request ->> 'environment_id' is null then
    v_start := v_start - 'environment_id';
  end if;
  if p_request ->> 'new_run_id' is not null then
    v_start := v_start || jsonb_build_object('run_id', p_request -> 'new_run_id');
  end if;
  v_start := (select jsonb_object_agg(k.key, k.value) from jsonb_each(v_start) k where k.value <> 'null');
  return orbit_private.start_run(v_start) || jsonb_build_object('left_out', coalesce(v_left_out, '{}'));
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.rerun is 'See orbit.rerun.';

create function orbit.rerun(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.rerun(p_request) $$;
comment on function orbit.rerun is
  'Runs a run again: {run_id, failed? (true unless tests are named: what did not pass, with what it needs; false: all that it ran), tests?: [key, …], with_context? (these tests alone: what they need is not run, its captures, tokens and variables are the run''s; for 24 hours after it), version?: latest | original (refused if the suite was changed since), new_run_id? (for which the secrets are sealed), variables?, secrets?, credentials?, environment? | environment_id?, concurrency?, fail_fast?, timeout?, priority?, order?, group?, private?, idempotency_key?, triggered_by?, batch_id?}. What is not said is as it was in the run, also its variables and, for 24 hours, its secrets; but not its timeout and its group. Answers the new run and left_out: tests that did not pass and are not in the suite any more. OR001, OR002, OR003, OR004 the run goes on, its context or secrets are gone, or the suite was changed, OR005 nothing to run.';

-- Comparing ----------------------------------------------------------------------------------------------------------------------

create function orbit_private.run_to_compare(p_run orbit.test_runs)
returns orbit.test_runs language plpgsql stable set search_path = '' as $$
declare v_base orbit.test_runs;
begin
  if p_run.rerun_of is not null then
    select r.* into v_base from orbit.test_runs r where r.id = p_run.rerun_of;
  else
    select r.* into v_base from orbit.test_runs r
      where r.suite_id = p_run.suite_id and r.created_at < p_run.created_at and r.environment_id is not distinct from p_run.environment_id
        and r.selection is not distinct from p_run.selection and r.status in ('passed', 'failed', 'errored')
      order by r.created_at desc limit 1;
  end if;
  if v_base.id is null then
    perform orbit_private.refuse('OR002', format('there is no run to compare %s with', p_run.id),
      'none of the same suite, environment and selection ended before it', 'Name one: orbit compare RUN BASE, or base.');
  end if;
  return v_base;
end $$;
comment on function orbit_private.run_to_compare is 'What a run is compared with unless said otherwise: the run that it runs again; else the last one before it of the same suite, environment and selection that came to its end. OR002 where there is none.';

create function orbit_private.change_of(p_status text, p_seconds float8, p_base_status text, p_base_seconds float8, p_ratio float8, p_floor float8)
returns text language sql immutable set search_path = '' as $$
  select case
    when p_status in ('failed', 'errored', 'timed_out') then
      case when p_base_status in ('failed', 'errored', 'timed_out') then 'still_failing' else 'new_failure' end
    when p_status is null then 'missing'
    when p_base_status is null then 'added'
    when p_status in ('passed', 'passed_on_retry') and p_base_status in ('failed', 'errored', 'timed_out') then 'fixed'
    when p_status <> p_base_status then 'changed'
    when p_status not in ('passed', 'passed_on_retry') then 'same'
    when p_seconds >= p_base_seconds * p_ratio and p_seconds >= p_base_seconds + p_floor then 'slower'
    when p_base_seconds >= p_seconds * p_ratio and p_base_seconds >= p_seconds + p_floor then 'faster'
    else 'same' end
$$;
comment on function orbit_private.change_of is 'What became of a test, in one word; null statuses: it has no result there.';

-- Definer: visible_run() asks once what the policies of three tables would each ask anew.
create function orbit_private.compare_runs(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare
  v_run orbit.test_runs; v_base orbit.test_runs; v_ratio float8; v_floor float8; v_tests jsonb; v_totals jsonb; v_side jsonb[];
  v_repeats boolean; v_one orbit.test_runs; v_ones int; v_others int;
begin
  perform orbit_private.refuse_unknown(p_request, array['run_id', 'base', 'ratio', 'floor']);
  v_run := orbit_private.visible_run(p_request);
  v_ratio := coalesce((p_request ->> 'ratio')::float8, 1.5);
  v_floor := coalesce((p_request ->> 'floor')::float8, 0.1);
  if not (v_ratio >= 1 and v_ratio < 'infinity') then
    perform orbit_private.refuse('OR001', 'ratio is not 1 or more', '', '1.5 is usual: slower is what takes half as long again.');
  end if;
  if not (v_floor >= 0 and v_floor < 'infinity') then
    perform orbit_private.refuse('OR001', 'floor is not 0 seconds or more', '', '0.1 is usual: what differs by less than a tenth of a second is the same.');
  end if;
  if p_request ->> 'base' is not null then
    v_base := orbit_private.visible_run(jsonb_build_object('run_id', p_request ->> 'base'));
  else
    v_base := orbit_private.run_to_compare(v_run);
  end if;
  if v_base.suite_id <> v_run.suite_id then
    perform orbit_private.refuse('OR001', 'the runs are of different suites', format('%s and %s', v_run.id, v_base.id), 'Only runs of one suite have tests in common.');
  end if;
  foreach v_one in array array[v_run, v_base] loop
    if v_one.finished_at is null then
      perform orbit_private.refuse('OR004', format('the run %s goes on', v_one.id), '', 'Wait for its end, or cancel it.');
    end if;
    v_side := v_side || (select jsonb_build_object('id', v_one.id, 'status', v_one.status, 'suite', s.name, 'version', v.number, 'environment', e.name,
        'created_at', v_one.created_at, 'duration', extract(epoch from v_one.finished_at - v_one.started_at)::float8, 'counts', v_one.counts)
      from orbit.test_suites s join orbit.test_suite_versions v on v.id = v_one.version_id left join orbit.environments e on e.id = v_one.environment_id
      where s.id = v_one.suite_id);
  end loop;
  -- A re-run leaves out what it was not asked for: that is not missing.
  v_repeats := v_run.rerun_of = v_base.id and v_run.selection is not null;
  with one as materialized (
    select r.test_case_id, r.position, r.status, r.category, r.reason, r.attempts, r.duration_ms / 1000.0::float8 as seconds from orbit_private.results_of(v_run) r),
  other as materialized (
    select r.test_case_id, r.position, r.status, r.category, r.reason, r.attempts, r.duration_ms / 1000.0::float8 as seconds from orbit_private.results_of(v_base) r),
  both_of as materialized (
    select coalesce(o.test_case_id, b.test_case_id) as id, coalesce(o.position, b.position) as position, o.status, b.status as base_status, o.seconds,
           b.seconds as base_seconds, o.category, o.reason, o.attempts,
           case when v_repeats and o.status is null then 'left_out'
                else orbit_private.change_of(o.status, o.seconds, b.status, b.seconds, v_ratio, v_floor) end as change
      from one o full join other b on b.test_case_id = o.test_case_id)
  select (select jsonb_object_agg(k.change, (select count(*) from both_of t where t.change = k.change))
            from unnest(array['new_failure', 'fixed', 'still_failing', 'slower', 'faster', 'missing', 'added', 'changed', 'left_out', 'same']) k (change)),
         coalesce(jsonb_agg(jsonb_build_object('test_case_id', t.id, 'key', c.key, 'name', c.name, 'change', t.change, 'status', t.status,
           'base_status', t.base_status, 'duration', t.seconds, 'base_duration', t.base_seconds, 'category', t.category, 'reason', t.reason, 'attempts', t.attempts)
           order by array_position(array['new_failure', 'still_failing', 'missing', 'changed', 'slower', 'fixed', 'faster', 'added'], t.change), t.position, t.id), '[]'),
         (select count(*) from one), (select count(*) from other)
    into v_totals, v_tests, v_ones, v_others from both_of t join orbit.test_cases c on c.id = t.id where t.change not in ('same', 'left_out');
  if v_ones <> (v_run.counts ->> 'total')::int or v_others <> (v_base.counts ->> 'total')::int then
    perform orbit_private.refuse('OR004', format('results of the run %s are kept no more', case when v_ones <> (v_run.counts ->> 'total')::int then v_run.id else v_base.id end),
      '', 'Compare with a newer run.');
  end if;
  return jsonb_build_object('run', v_side[1], 'base', v_side[2], 'ratio', v_ratio, 'floor', v_floor, 'totals', v_totals, 'tests', v_tests);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.compare_runs is 'See orbit.compare_runs.';

create function orbit.compare_runs(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.compare_runs(p_request) $$;
comment on function orbit.compare_runs is
  'Compares a finished run with another of its suite, test by test: {run_id, base? (a run; unless given the one that it runs again, else the last one before it of the same suite, environment and selection that passed, failed or errored), ratio? = 1.5, floor? = 0.1 (seconds)} → {run, base: {id, status, suite, version, environment, created_at, duration, counts}, ratio, floor, totals: {new_failure, fixed, still_failing, slower, faster, missing, added, changed, left_out, same}, tests: [{test_case_id, key, name, change, status, base_status, duration, base_duration, category, reason, attempts}]}: those that are not the same. new_failure: failed, errored or timed out, and did not in base; still_failing: in both; fixed: passed now; changed: of another status otherwise; slower, faster: passed in both, and by both the ratio and the floor; missing, added: has no result here, in base; left_out: a re-run was not asked for it. OR001, OR002, OR004 one of them goes on.';

grant execute on function orbit_private.rerun, orbit_private.compare_runs, orbit.rerun to authenticated, service_role;
grant execute on function orbit.compare_runs to authenticated, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
