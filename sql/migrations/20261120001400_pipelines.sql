-- Batches and pipelines: runs that belong together.
--
--   batch      runs that were started by one request, or that somebody put together: one test_runs.batch_id
--   pipelines ── pipeline_runs ── pipeline_run_steps ── test_runs    suites as one plan, with order and conditions

-- Batches ------------------------------------------------------------------------------------------------------------------

-- Definer: whose a batch is says its runs, also to those who do not see them.
create function orbit_private.batch_of(p_request jsonb, p_organization_id uuid)
returns uuid language plpgsql stable security definer set search_path = '' as $$
declare v_id uuid := orbit_private.to_uuid(p_request ->> 'batch_id', 'batch_id');
begin
  if exists (select from orbit.test_runs r where r.batch_id = v_id and r.organization_id <> p_organization_id) then
    perform orbit_private.refuse('OR004', format('there is a batch %s already', v_id), '', 'Choose another batch_id, or leave it out.');
  end if;
  return v_id;
end $$;
comment on function orbit_private.batch_of is 'The batch that a start names, null where it names none. OR004 where another organisation''s runs have it.';

-- Definer: it locks suites, which callers may only read.
create function orbit_private.start_runs(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_trusted boolean := orbit_private.caller_is_trusted();
  v_batch uuid := coalesce(orbit_private.to_uuid(p_request ->> 'batch_id', 'batch_id'), gen_random_uuid()); v_key text := p_request ->> 'idempotency_key';
  v_common jsonb := p_request - array['runs', 'batch_id', 'idempotency_key']; v_each jsonb := p_request -> 'runs'; v_requests jsonb[] := '{}'; v_suites uuid[] := '{}';
  v_at int := 0; v_one jsonb; v_runs jsonb[] := '{}'; v_run jsonb; v_state text; v_message text; v_detail text; v_hint text;
begin
  if jsonb_typeof(p_request) is distinct from 'object' then
    perform orbit_private.refuse('OR001', 'the request is not a JSON object', '', 'The function''s comment says which fields there are.');
  end if;
  if jsonb_typeof(v_each) is distinct from 'array' then
    perform orbit_private.refuse('OR001', 'runs is missing', '', 'It is the array of what is started: [{suite, …}, …].');
  end if;
  if jsonb_array_length(v_each) not between 1 and 200 then
    perform orbit_private.refuse('OR001', format('a batch has 1 to 200 runs; this one has %s', jsonb_array_length(v_each)), '', 'Give the same batch_id to several.');
  end if;
  if v_common ?| array['run_id', 'secrets'] then
    perform orbit_private.refuse('OR001', 'run_id and secrets are each run''s own', '', 'Give them with the run: secrets are sealed for its id.');
  end if;
  begin
    for v_index in 0 .. jsonb_array_length(v_each) - 1 loop
      v_at := v_index; v_one := v_each -> v_at;
      if jsonb_typeof(v_one) <> 'object' then
        perform orbit_private.refuse('OR001', 'it is no object', '', 'It is what orbit.start_run takes: {suite, …}.');
      elsif v_key is not null and v_one ? 'idempotency_key' then
        perform orbit_private.refuse('OR001', 'the batch has an idempotency_key, which is for all of it', '', 'Give it to the batch or to its runs.');
      elsif v_one ? 'batch_id' then
        perform orbit_private.refuse('OR001', 'batch_id belongs beside runs', '', 'A batch is one: {batch_id, runs: […]}.');
      end if;
      v_requests := v_requests || (v_common || v_one || jsonb_build_object('batch_id', v_batch)
        || case when v_key is not null then jsonb_build_object('idempotency_key', format('%s:%s', v_key, v_at)) else '{}' end
        || case when jsonb_typeof(v_common -> 'variables') = 'object' and jsonb_typeof(v_one -> 'variables') = 'object'
             then jsonb_build_object('variables', (v_common -> 'variables') || (v_one -> 'variables')) else '{}' end);
      v_one := v_requests[v_at + 1];
      -- start_run takes each suite's lock after what limits the run before it took; a save takes its one suite's first.
      v_suites := v_suites || case when v_one ? 'suite_id' then orbit_private.to_uuid(v_one ->> 'suite_id', 'suite_id')
        else (select s.id from orbit_private.project_of(v_one) p join orbit.test_suites s on s.project_id = p.id and s.key = v_one ->> 'suite') end;
    end loop;
    perform 1 from orbit.test_suites s
      where s.id = any (v_suites) and (v_trusted or s.project_id = any (array(select orbit_private.my_project_ids()))) order by s.id for share;
    for v_index in 0 .. jsonb_array_length(v_each) - 1 loop
      v_at := v_index;
      v_run := orbit_private.start_run(v_requests[v_at + 1]);
      if v_at = 0 and v_key is not null and v_run ? 'repeated' then
        -- All of a batch is started or nothing: where its first run is, the others are.
        return orbit_private.batch_started((select r.batch_id from orbit.test_runs r where r.id = (v_run ->> 'id')::uuid), v_key) || '{"repeated": true}';
      end if;
      v_runs := v_runs || v_run;
    end loop;
  exception when others then
    get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail, v_hint = pg_exception_hint;
    if v_state not like 'OR%' then
      raise;
    end if;
    perform orbit_private.refuse(v_state, format('runs[%s]: %s', v_at, v_message), v_detail, v_hint);
  end;
  return jsonb_build_object('batch_id', v_batch, 'runs', to_jsonb(v_runs));
end $$;
comment on function orbit_private.start_runs is 'See orbit.start_runs.';

create function orbit_private.batch_started(p_batch_id uuid, p_key text)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('batch_id', p_batch_id, 'runs', (
    select coalesce(jsonb_agg(x), '[]') from orbit_private.runs_of(array(
      select r.id from orbit.test_runs r where r.batch_id = p_batch_id and left(r.idempotency_key, length(p_key) + 1) = p_key || ':'
        order by substr(r.idempotency_key, length(p_key) + 2)::int)) x))
$$;
comment on function orbit_private.batch_started is 'What a start of a batch answered, from what it started; the caller knows that the runs may be read.';

create function orbit.start_runs(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.start_runs(p_request) $$;
comment on function orbit.start_runs is 'Starts many runs, all or none: {runs: [what orbit.start_run takes, …] (1 to 200), batch_id? (of one''s own choice, or of a batch that gets more), idempotency_key?, and whatever of start_run is common to all; a run''s own goes before it, variables by name}. Answers {batch_id, runs: [run, …]}. An error names the run: runs[3]: …';

-- Pipelines ----------------------------------------------------------------------------------------------------------------

create function orbit_private.move_pipelines(p_now timestamptz default clock_timestamp(), p_limit int default 10)
returns int language sql set search_path = '' as $$ select 0 $$;
comment on function orbit_private.move_pipelines is 'Starts the steps of pipelines that may start, and ends the pipelines that are over; returns how many pipelines it moved, at most p_limit.';

grant execute on function orbit_private.start_runs, orbit.start_runs to authenticated, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
