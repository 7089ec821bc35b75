-- Variables at execution: what a worker is given for the tests that it holds, when they begin.

create function orbit_private.place_of_run(p_run orbit.test_runs, p_test_case_id uuid default null)
returns orbit_private.variable_place language sql stable set search_path = '' as $$
  select row(p_run.organization_id, o.slug, p.business_unit_id, u.slug, p.id, p.slug, p_run.environment_id, e.name, p_run.suite_id, s.key,
             p_test_case_id, (select c.key from orbit.test_cases c where c.id = p_test_case_id))::orbit_private.variable_place
    from orbit.projects p join orbit.organizations o on o.id = p.organization_id left join orbit.business_units u on u.id = p.business_unit_id
    join orbit.test_suites s on s.id = p_run.suite_id left join orbit.environments e on e.id = p_run.environment_id
    where p.id = p_run.project_id
$$;
comment on function orbit_private.place_of_run is 'Where the variables of a run, or of one of its tests, are looked for.';

create function orbit_private.names_needed(p_run orbit.test_runs, p_tests uuid[])
returns text[] language plpgsql stable set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare v_place orbit_private.variable_place := orbit_private.place_of_run(p_run); v_names text[]; v_more text[];
begin
  if exists (select from orbit.test_cases c where c.id = any (p_tests) and c.uses is null) then
    return null;
  end if;
  v_names := array(select distinct u from orbit.test_cases c cross join unnest(c.uses) u where c.id = any (p_tests));
  loop
    v_more := array(
      select distinct x.n from (
        select unnest(v.uses) from orbit_private.variable_scopes(v_place) s join orbit_private.variable v on v.scope_id = s.scope_id and v.scope = s.scope
          where v.name = any (v_names)
        union all
        select unnest(d.uses) from orbit.variable_definitions d where d.scope = 'test' and d.scope_id = any (p_tests) and d.name = any (v_names)
        union all
        select unnest(orbit_private.names_in(t.value)) from jsonb_each(p_run.templates) t where t.key = any (v_names)) x (n)
      where x.n <> all (v_names));
    exit when v_more = '{}';
    v_names := v_names || v_more;
  end loop;
  return v_names;
end $$;
comment on function orbit_private.names_needed is 'The names that these tests of a run use, also through the values of variables; null: nobody knows, it may be any.';

-- Definer: it looks into definitions of every scope; told are names, to whoever started the run or works for it.
create function orbit_private.run_variables(p_run orbit.test_runs)
returns jsonb language plpgsql stable security definer set search_path = '' set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare v_version bigint; v_tests uuid[]; v_names text[];
begin
  select v.version into v_version from orbit_private.variables_version v where v.organization_id = p_run.organization_id;
  if v_version is null then
    return '{"variables_version": 0, "variable_names": []}';
  end if;
  select v.test_case_ids into v_tests from orbit.test_suite_versions v where v.id = p_run.version_id;
  v_names := orbit_private.names_needed(p_run, v_tests);
  return jsonb_build_object('variables_version', v_version, 'variable_names', (
    select coalesce(jsonb_agg(distinct x.name), '[]') from (
      select v.name from orbit_private.variable_scopes(orbit_private.place_of_run(p_run)) s
          join orbit_private.variable v on v.scope_id = s.scope_id and v.scope = s.scope where v_names is null or v.name = any (v_names)
      union all
      select d.name from orbit.variable_definitions d where d.suite_id = p_run.suite_id and d.scope = 'test' and d.scope_id = any (v_tests)
        and (v_names is null or d.name = any (v_names))) x));
end $$;
comment on function orbit_private.run_variables is 'Which variables of the database the tests of a run use, by name, and as of which version of the organisation''s variables.';

create function orbit_runner.resolve_variables(p_worker bigint, p_jobs bigint[], p_known bigint default -1, p_keys text[] default '{}', p_lease interval default '10 seconds')
returns jsonb language plpgsql security definer set search_path = '' set enable_seqscan = off as $$
-- Variables follow the lease, as secrets do: a worker is given what the tests use that it holds. All the jobs are of one run.
declare
  v_run orbit.test_runs; v_tests uuid[]; v_positions int[]; v_version bigint; v_names text[]; v_every text[]; v_all uuid[]; v_given text[];
  v_place orbit_private.variable_place; v_rows jsonb; v_secrets text[]; v_key text := array_to_string(p_keys, ' '); v_ids text[]; v_complete boolean; v_fresh boolean;
  v_worker bigint := (orbit_private.worker_of(p_worker)).id;
begin
  select array_agg(j.test_case_id order by j.id), array_agg((j.id & 1048575)::int order by j.id), bool_and(w.seen_at > clock_timestamp() - p_lease)
    into v_tests, v_positions, v_fresh
    from orbit_private.job j join orbit_private.worker w on w.id = j.worker_id
    where j.id = any (p_jobs) and j.state = 2 and j.worker_id = v_worker and j.id >> 20 = p_jobs[1] >> 20;
  if v_tests is null then
    return null;
  end if;
  select * into v_run from orbit.test_runs r where r.queue_no = p_jobs[1] >> 20;
  v_version := coalesce((select v.version from orbit_private.variables_version v where v.organization_id = v_run.organization_id), 0);
  if v_version = p_known then
    return jsonb_build_object('version', v_version);
  end if;
  v_place := orbit_private.place_of_run(v_run);
  v_given := array(select k from (select jsonb_object_keys(v_run.variables) union select jsonb_object_keys(v_run.templates)
                                  union select s.name from orbit_private.run_secret s where s.queue_no = v_run.queue_no) g (k) where k <> all (v_run.defaults));
  v_names := orbit_private.names_needed(v_run, v_tests);
  select v.test_case_ids into v_all from orbit.test_suite_versions v where v.id = v_run.version_id;
  v_every := orbit_private.names_needed(v_run, v_all);
  -- Whether this is all that any test of the run can need: the worker then asks no more until something changes.
  v_complete := not exists (select from orbit.variable_definitions d where d.suite_id = v_run.suite_id and d.scope = 'test')
    and (v_names is null or not exists (
      select from orbit_private.variable_scopes(v_place) s join orbit_private.variable v on v.scope_id = s.scope_id and v.scope = s.scope
        where (v_every is null or v.name = any (v_every)) and v.name <> all (v_names)));
  v_ids := array(select k.key_id from orbit_private.secret_keys(v_key) k);
  with base as (
    select r.name, r.value, r.secret_id, r.scope, null::int as position, r.scope = 'environment' as own from orbit_private.resolved_variables(v_place, v_names) r where r.place = 1),
  chosen as (
    select * from base b where b.name <> all (v_given) or b.own
    union all  -- the environment's own, said as env.x, where something else goes before it
    select e.name, e.value, e.secret_id, null, null, true from orbit.environment_variables e
      where e.environment_id = v_run.environment_id and (v_names is null or e.name = any (v_names)) and not exists (select from base b where b.name = e.name and b.own)
    union all  -- where a test has variables of its own
    select r.name, r.value, r.secret_id, r.scope, t.position, false
      from unnest(v_tests, v_positions) t (id, position)
      cross join lateral (select array_agg(d.name) as names from orbit.variable_definitions d
        where d.scope = 'test' and d.scope_id = t.id and d.name <> all (v_given) and (v_names is null or d.name = any (v_names))) d
      cross join lateral orbit_private.resolved_variables(orbit_private.place_of_run(v_run, t.id), d.names) r
      where d.names is not null and r.place = 1)
  select coalesce(jsonb_agg(jsonb_build_object('name', c.name, 'value', case when o.here then orbit_private.open_pgp(s.sealed, s.place, v_key) else c.value end,
           'secret', c.secret_id is not null, 'sealed', case when not o.here then s.sealed end, 'place', s.place, 'hidden', c.scope is null or c.name = any (v_given),
           'own', c.own, 'position', c.position)), '[]'),
         array_agg(distinct c.name) filter (where c.secret_id is not null) into v_rows, v_secrets
    from chosen c left join orbit_private.secret s on s.id = c.secret_id
    cross join lateral (select coalesce(s.sealed like 'orbit.pgp.%' and split_part(s.sealed, '.', 4) = any (v_ids), false) as here) o;
  if v_secrets is not null then
    if not v_fresh then
      return null;  -- after an outage, say: values that are no secret may be told, for what is not held any more cannot be reported
    end if;
    perform orbit_private.audit(v_run.organization_id, 'secret.release', 'run', v_run.id::text, null, jsonb_build_object('worker', v_worker, 'names', v_secrets));
  end if;
  return jsonb_build_object('version', v_version, 'complete', v_complete, 'positions', to_jsonb(v_positions), 'variables', v_rows);
end $$;
comment on function orbit_runner.resolve_variables is 'The variables of the database that the tests of these jobs (of one run) use, if the worker holds them: {version} alone where that is p_known, else {version, complete, positions, variables: [{name, value, secret, sealed?, place?, hidden, own, position?}]}. own: the environment''s; hidden: only said as env.x; position: for that test alone; complete: no test of the run uses another. p_keys, p_lease: as of open_secrets. Null where it holds none of them, or there are secrets and it was silent for longer than the lease.';
grant execute on function orbit_runner.resolve_variables to orbit_runner, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
