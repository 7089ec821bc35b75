-- Batches and pipelines: runs that belong together.
--
--   batch      runs that were started by one request, or that somebody put together: one test_runs.batch_id
--   pipelines ── pipeline_runs ── pipeline_run_steps ── test_runs    suites as one plan, with order and conditions
--
-- A pipeline's run is moved by one transaction at a time, which holds its row: it looks at the steps whose runs are over, and starts those
-- that may start, as the person who started the pipeline. What such a transaction did not commit did not happen; the next one finds it
-- to do. Locks: the pipeline's run, then what starting or stopping a run takes; nobody who holds any of that waits for a pipeline's run.

-- Tables ----------------------------------------------------------------------------------------------------------------

create table orbit.pipelines (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  key text not null,
  name text,
  description text,
  version int not null default 1,
  steps jsonb not null,
  created_by uuid references orbit.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint pipelines_project_id_key_key unique (project_id, key),
  constraint pipelines_key_check check (key ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$'),
  constraint pipelines_name_check check (length(name) between 1 and 200),
  constraint pipelines_description_check check (length(description) <= 65536),
  constraint pipelines_version_check check (version > 0),
  constraint pipelines_steps_check check (jsonb_typeof(steps) = 'array')
);
create index idx_pipelines_organization_id on orbit.pipelines (organization_id);
create index idx_pipelines_created_by on orbit.pipelines (created_by);
comment on table orbit.pipelines is 'Suites as one plan: what is run after what, and under which condition. What was started keeps the steps it was started with.';
comment on column orbit.pipelines.id is 'Drawn at random.';
comment on column orbit.pipelines.organization_id is 'The project''s organisation.';
comment on column orbit.pipelines.project_id is 'Whose suites and environments it names.';
comment on column orbit.pipelines.key is 'Its name in requests; one of its name in a project.';
comment on column orbit.pipelines.name is 'As people read it; null: as its key.';
comment on column orbit.pipelines.description is 'What it is for.';
comment on column orbit.pipelines.version is 'Counts the changes of steps, from 1.';
comment on column orbit.pipelines.steps is '[{key, suite, environment?, needs?: [key], when?, variables?, selection?, concurrency?, fail_fast?, timeout? (seconds), priority?, allow_failure?, retries?}], as it was saved.';
comment on column orbit.pipelines.created_by is 'Who made it; null for administrative roles, or where the account is gone.';
comment on column orbit.pipelines.created_at is 'When it was made.';
comment on column orbit.pipelines.updated_at is 'When somebody last changed it.';

create table orbit.pipeline_runs (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  pipeline_id uuid references orbit.pipelines (id) on delete set null,
  key text not null,
  version int not null,
  status text not null default 'waiting',
  reason text,
  environment text,
  variables jsonb not null default '{}',
  triggered_by text not null default 'sdk',
  idempotency_key text,
  created_by uuid,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  constraint pipeline_runs_project_id_idempotency_key_key unique (project_id, idempotency_key),
  constraint pipeline_runs_status_check check (status in ('waiting', 'running', 'cancelling', 'passed', 'failed', 'errored', 'timed_out', 'cancelled')),
  constraint pipeline_runs_finished_has_time_check check ((finished_at is not null) = (status not in ('waiting', 'running', 'cancelling'))),
  constraint pipeline_runs_variables_check check (jsonb_typeof(variables) = 'object')
);
create index idx_pipeline_runs_project_id on orbit.pipeline_runs (project_id, created_at desc);
create index idx_pipeline_runs_organization_id on orbit.pipeline_runs (organization_id);
create index idx_pipeline_runs_pipeline_id on orbit.pipeline_runs (pipeline_id, created_at desc);
comment on table orbit.pipeline_runs is 'One execution of a pipeline. Its id is the batch_id of the runs of its steps.';
comment on column orbit.pipeline_runs.id is 'Drawn at random.';
comment on column orbit.pipeline_runs.organization_id is 'The project''s organisation.';
comment on column orbit.pipeline_runs.project_id is 'The pipeline''s project.';
comment on column orbit.pipeline_runs.pipeline_id is 'Which pipeline; null where it was deleted since.';
comment on column orbit.pipeline_runs.key is 'The pipeline''s key.';
comment on column orbit.pipeline_runs.version is 'Which version of it; the steps are those of that version.';
comment on column orbit.pipeline_runs.status is 'waiting (nothing of it has started) → running → passed, failed, errored, timed_out or cancelled; cancelling while the runs of its steps are being told. The verdict is the worst of the steps without allow_failure, skipped ones aside.';
comment on column orbit.pipeline_runs.reason is 'Why it was cancelled, or which steps did not pass; null where neither.';
comment on column orbit.pipeline_runs.environment is 'Of steps that name none; null: those run without.';
comment on column orbit.pipeline_runs.variables is 'Those given at the start, by name; they go before the steps'' own.';
comment on column orbit.pipeline_runs.triggered_by is 'What started it: cli, sdk, …';
comment on column orbit.pipeline_runs.idempotency_key is 'A start with the same key answers this one; null: none was given.';
comment on column orbit.pipeline_runs.created_by is 'Who started it, and with whose rights each of its steps is started; null for administrative roles. No foreign key: whose account is gone has no rights, and is not made an administrative role.';
comment on column orbit.pipeline_runs.created_at is 'When it was asked for.';
comment on column orbit.pipeline_runs.started_at is 'When the first step was started; null: none was.';
comment on column orbit.pipeline_runs.finished_at is 'When the last step ended.';

create table orbit.pipeline_run_steps (
  pipeline_run_id uuid not null references orbit.pipeline_runs (id) on delete cascade,
  number int not null,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  key text not null,
  request jsonb not null,
  needs text[] not null,
  condition text not null,
  allow_failure boolean not null,
  retries smallint not null,
  status text not null default 'waiting',
  reason text,
  caused_by text,
  attempt smallint not null default 0,
  run_id uuid references orbit.test_runs (id) on delete set null,
  previous_runs uuid[] not null default '{}',
  due_at timestamptz,
  refused_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  primary key (pipeline_run_id, number),
  constraint pipeline_run_steps_pipeline_run_id_key_key unique (pipeline_run_id, key),
  constraint pipeline_run_steps_condition_check check (condition in ('passed', 'failed', 'finished')),
  constraint pipeline_run_steps_status_check check (status in ('waiting', 'running', 'passed', 'failed', 'errored', 'timed_out', 'cancelled', 'skipped')),
  constraint pipeline_run_steps_finished_has_time_check check ((finished_at is not null) = (status not in ('waiting', 'running'))),
  constraint pipeline_run_steps_waiting_has_no_run_check check (status not in ('waiting', 'skipped') or run_id is null),
  constraint pipeline_run_steps_running_was_started_check check (status not in ('running', 'passed', 'failed', 'timed_out') or attempt > 0),
  constraint pipeline_run_steps_skipped_has_reason_check check (status <> 'skipped' or reason is not null),
  constraint pipeline_run_steps_caused_by_check check (caused_by is null or status = 'skipped'),
  constraint pipeline_run_steps_due_at_check check (due_at is null or status = 'waiting'),
  constraint pipeline_run_steps_attempt_check check (attempt between 0 and retries + 1)
);
create index idx_pipeline_run_steps_project_id on orbit.pipeline_run_steps (project_id);
create index idx_pipeline_run_steps_run_id on orbit.pipeline_run_steps (run_id);
create index idx_pipeline_run_steps_running on orbit.pipeline_run_steps (pipeline_run_id) where status = 'running';
create index idx_pipeline_run_steps_due_at on orbit.pipeline_run_steps (due_at) where status = 'waiting' and due_at is not null;
comment on table orbit.pipeline_run_steps is 'The steps of a pipeline''s run, as they were when it was started, and how far each is.';
comment on column orbit.pipeline_run_steps.pipeline_run_id is 'Of which run of the pipeline.';
comment on column orbit.pipeline_run_steps.number is 'Its place in the pipeline, from 1.';
comment on column orbit.pipeline_run_steps.project_id is 'The pipeline''s project: what the policy looks at.';
comment on column orbit.pipeline_run_steps.key is 'Its name in the pipeline.';
comment on column orbit.pipeline_run_steps.request is 'What is asked of start_run: {suite, environment?, variables?, selection?, concurrency?, fail_fast?, timeout?, priority?}.';
comment on column orbit.pipeline_run_steps.needs is 'Keys of the steps that it waits for.';
comment on column orbit.pipeline_run_steps.condition is 'When it runs: all it needs passed; one failed; or however they ended. A failure that is allowed counts as passed.';
comment on column orbit.pipeline_run_steps.allow_failure is 'Whether its failure leaves the pipeline''s verdict and what needs it alone.';
comment on column orbit.pipeline_run_steps.retries is 'How often its run is started anew where it did not pass, 0 to 10; a cancelled one is not.';
comment on column orbit.pipeline_run_steps.status is 'waiting → running → passed, failed, errored (no verdict, or it could not be started), timed_out or cancelled; or waiting → skipped. Running goes back to waiting where it is run again.';
comment on column orbit.pipeline_run_steps.reason is 'Why it is skipped, did not pass, or still waits.';
comment on column orbit.pipeline_run_steps.caused_by is 'The step whose failure it is skipped for, directly or through others; null: nothing failed, or it is not skipped.';
comment on column orbit.pipeline_run_steps.attempt is 'How many runs were started for it.';
comment on column orbit.pipeline_run_steps.run_id is 'Its run; null: not started, or deleted since.';
comment on column orbit.pipeline_run_steps.previous_runs is 'Its runs before that one, which did not pass.';
comment on column orbit.pipeline_run_steps.due_at is 'Not to be started before: a limit put it off. Null: nothing did.';
comment on column orbit.pipeline_run_steps.refused_at is 'When its start was first put off; null: it was not.';
comment on column orbit.pipeline_run_steps.started_at is 'When its first run was started.';
comment on column orbit.pipeline_run_steps.finished_at is 'When it ended, or was skipped.';

alter table orbit.pipelines enable row level security;
alter table orbit.pipeline_runs enable row level security;
alter table orbit.pipeline_run_steps enable row level security;
grant select on orbit.pipelines, orbit.pipeline_runs, orbit.pipeline_run_steps to authenticated;
grant all on orbit.pipelines, orbit.pipeline_runs, orbit.pipeline_run_steps to service_role;
create policy pipelines_select on orbit.pipelines for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy pipeline_runs_select on orbit.pipeline_runs for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy pipeline_run_steps_select on orbit.pipeline_run_steps for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));

-- Batches ------------------------------------------------------------------------------------------------------------------

-- Definer: whose a batch is says its runs, also to those who do not see them.
create function orbit_private.batch_of(p_request jsonb, p_organization_id uuid)
returns uuid language plpgsql stable security definer set search_path = '' as $$
declare v_id uuid := orbit_private.to_uuid(p_request ->> 'batch_id', 'batch_id');
begin
  if exists (select from orbit.test_runs r where r.batch_id = v_id and r.organization_id <> p_organization_id)
     or exists (select from orbit.pipeline_runs p where p.id = v_id and p.organization_id <> p_organization_id) then
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

create function orbit_private.worst_of(p_statuses text[])
returns text language sql immutable set search_path = '' as $$
  select coalesce((select v from unnest(array['failed', 'timed_out', 'errored', 'cancelled']) with ordinality x (v, n) where v = any (p_statuses) order by n limit 1), 'passed')
$$;
comment on function orbit_private.worst_of is 'The verdict over several: the worst of them; passed where all passed, or there is none.';

-- Definer: live counters are in the queue. Of runs that the caller may not read nothing is counted.
create function orbit_private.get_batch(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare
  v_id uuid := orbit_private.to_uuid(orbit_private.required(p_request, 'batch_id'), 'batch_id'); v_batch jsonb;
  v_mine uuid[] := case when not orbit_private.caller_is_trusted() then array(select orbit_private.my_project_ids()) end;
begin
  perform orbit_private.refuse_unknown(p_request, array['batch_id']);
  with mine as materialized (
    select r.id, r.status, r.created_at, r.started_at, r.finished_at, coalesce(r.counts, orbit_private.counts_of(p)) as counts
      from orbit.test_runs r left join orbit_private.run_progress p on p.queue_no = r.queue_no
      where r.batch_id = v_id and (v_mine is null or r.project_id = any (v_mine))),
  tests as (select c.key, sum(c.value::int) as n from mine m cross join jsonb_each_text(m.counts) c group by c.key)
  select jsonb_build_object('batch_id', v_id,
      'status', case when bool_and(m.finished_at is not null) then orbit_private.worst_of(array_agg(m.status))
                     when bool_or(m.status = 'cancelling') then 'cancelling' when bool_and(m.status = 'queued') then 'queued' else 'running' end,
      'runs', (select jsonb_object_agg(s.status, s.n) from (select o.status, count(*) as n from mine o group by o.status) s),
      'total', count(*), 'counts', (select jsonb_object_agg(t.key, t.n) from tests t),
      'created_at', min(m.created_at), 'started_at', min(m.started_at),
      'finished_at', case when bool_and(m.finished_at is not null) then max(m.finished_at) end,
      'duration', case when bool_and(m.finished_at is not null) then extract(epoch from max(m.finished_at) - min(m.started_at))::float8 end)
    into v_batch from mine m having count(*) > 0;
  if v_batch is null then
    perform orbit_private.refuse('OR002', format('no batch %s', v_id), '', 'A batch is what its runs say: orbit.list_runs shows each run''s batch_id.');
  end if;
  return v_batch;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.get_batch is 'See orbit.get_batch.';

create function orbit.get_batch(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.get_batch(p_request) $$;
comment on function orbit.get_batch is 'A batch as a whole: {batch_id} → {batch_id, status (queued, running, cancelling; then the worst verdict of its runs), total (runs), runs: {status: number}, counts (of tests, over all its runs), created_at, started_at, finished_at, duration}. Its runs: orbit.list_runs. OR002.';

-- Definer: as get_batch. Granted to nobody: its callers ask what may be done to each run.
create function orbit_private.runs_meant(p_request jsonb, p_now timestamptz)
returns uuid[] language plpgsql stable security definer set search_path = '' as $$
declare
  v_batch uuid := orbit_private.to_uuid(p_request ->> 'batch_id', 'batch_id'); v_given jsonb := p_request -> 'run_ids'; v_ids uuid[]; v_project orbit.projects;
  v_mine uuid[] := case when not orbit_private.caller_is_trusted() then array(select orbit_private.my_project_ids()) end;
begin
  if num_nonnulls(p_request ->> 'batch_id', v_given, p_request ->> 'project') <> 1 then
    perform orbit_private.refuse('OR001', 'say which runs: one of batch_id, run_ids and project', '', 'See the function''s comment.');
  end if;
  if v_batch is not null then
    v_ids := array(select r.id from orbit.test_runs r where r.batch_id = v_batch and (v_mine is null or r.project_id = any (v_mine)) order by r.queue_no);
    if v_ids = '{}' and not exists (select from orbit.pipeline_runs p where p.id = v_batch and (v_mine is null or p.project_id = any (v_mine))) then
      perform orbit_private.refuse('OR002', format('no batch %s', v_batch), '', 'A batch is what its runs say: orbit.list_runs shows each run''s batch_id.');
    end if;
  elsif v_given is not null then
    if jsonb_typeof(v_given) <> 'array' or jsonb_array_length(v_given) not between 1 and 1000
       or exists (select from jsonb_array_elements(v_given) e where jsonb_typeof(e) <> 'string') then
      perform orbit_private.refuse('OR001', 'run_ids is no array of 1 to 1000 ids', '', 'An id may be the beginning of one, or `last`.');
    end if;
    v_ids := array(select (orbit_private.visible_run(jsonb_build_object('run_id', e))).id from jsonb_array_elements_text(v_given) e);
  else
    v_project := orbit_private.project_of(p_request);
    v_ids := array(select r.id from orbit.test_runs r
      where r.project_id = v_project.id and r.finished_at is null
        and (p_request ->> 'status' is null or r.status = p_request ->> 'status')
        and r.created_at <= coalesce((p_request ->> 'before')::timestamptz, p_now)
      order by r.queue_no limit 1000);
  end if;
  return v_ids;
end $$;
comment on function orbit_private.runs_meant is 'The runs that a request of many means: {batch_id | run_ids | project, organization?, status?, before?}. OR002 for what the caller does not see.';

-- Definer: it writes the queue, after require().
create function orbit_private.cancel_runs(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp(); v_run orbit.test_runs; v_changed uuid[] := '{}'; v_suite uuid; v_ids uuid[]; v_open uuid[]; v_pipeline orbit.pipeline_runs;
  v_reason text := coalesce(p_request ->> 'reason', 'cancelled');
begin
  perform orbit_private.refuse_unknown(p_request, array['batch_id', 'run_ids', 'organization', 'project', 'status', 'before', 'reason']);
  if length(v_reason) > 1000 then
    perform orbit_private.refuse('OR001', 'reason is longer than 1,000 characters', format('it has %s', length(v_reason)));
  end if;
  if p_request ->> 'status' not in ('queued', 'running') then
    perform orbit_private.refuse('OR001', 'status is neither queued nor running', '', 'What is finished cannot be cancelled.');
  end if;
  v_ids := orbit_private.runs_meant(p_request, v_now);
  for v_suite in select distinct r.suite_id from orbit.test_runs r where r.id = any (v_ids) and r.finished_at is null loop
    perform orbit_private.require('run.control', 'suite', v_suite);
  end loop;
  v_open := array(select r.id from orbit.test_runs r where r.id = any (v_ids) and r.status in ('queued', 'running') order by r.queue_no);
  -- A pipeline's run first: no step of it is to start any more.
  select * into v_pipeline from orbit.pipeline_runs p where p.id = orbit_private.to_uuid(p_request ->> 'batch_id', 'batch_id') for update;
  if found then
    perform orbit_private.require('run.control', 'project', v_pipeline.project_id);
    perform orbit_private.stop_pipeline(v_pipeline, v_reason, v_now);
  end if;
  -- In the order in which workers lock the runs' progress.
  for v_run in select * from orbit.test_runs r where r.id = any (v_open) order by r.queue_no loop
    if orbit_private.stop_run(v_run.queue_no, 'cancelled', v_reason, v_now) then
      perform orbit_private.audit(v_run.organization_id, 'run.cancel', 'run', v_run.id::text, null, jsonb_build_object('reason', p_request ->> 'reason'));
      v_changed := v_changed || v_run.id;
    elsif v_run.status in ('cancelling', 'cancelled') then  -- with its pipeline, just now
      v_changed := v_changed || v_run.id;
    end if;
  end loop;
  return jsonb_build_object('changed', cardinality(v_changed), 'runs', to_jsonb(v_changed), 'more', cardinality(v_ids) = 1000 and p_request ? 'project');
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.cancel_runs is 'See orbit.cancel_runs.';

create function orbit.cancel_runs(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.cancel_runs(p_request) $$;
comment on function orbit.cancel_runs is 'Cancels many runs, each as orbit.cancel_run does: {batch_id | run_ids: [up to 1000] | project, organization?, status? (queued or running), before? (asked for until then), reason?}. All or none: OR003 where one of them is not the caller''s to cancel. What is finished stays as it is. The batch of a pipeline''s run cancels the pipeline''s run. Answers {changed: number, runs: [id], more: whether a project has further ones}.';

-- Definer: orbit_private.rerun asks what the caller may do.
create function orbit_private.rerun_runs(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp(); v_batch uuid := gen_random_uuid(); v_failed boolean := coalesce((p_request ->> 'only_failed')::boolean, false);
  v_run orbit.test_runs; v_one jsonb; v_runs jsonb[] := '{}'; v_state text; v_message text; v_detail text; v_hint text;
begin
  perform orbit_private.refuse_unknown(p_request, array['batch_id', 'run_ids', 'only_failed']);
  begin
    for v_run in select r.* from unnest(orbit_private.runs_meant(p_request - 'only_failed', v_now)) with ordinality i (id, n) join orbit.test_runs r on r.id = i.id order by i.n limit 200 loop
      if v_run.finished_at is null then
        perform orbit_private.refuse('OR004', 'it is not finished', format('it is %s', v_run.status), 'Wait for its end, or cancel it.');
      end if;
      continue when v_failed and v_run.status = 'passed';
      execute 'select orbit_private.rerun($1)' into v_one  -- a later migration's
        using jsonb_build_object('run_id', v_run.id, 'batch_id', v_batch, 'failed', v_failed);
      v_runs := v_runs || v_one;
    end loop;
  exception when others then
    get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail, v_hint = pg_exception_hint;
    if v_state not like 'OR%' or v_run.id is null then
      raise;
    end if;
    perform orbit_private.refuse(v_state, format('run %s: %s', v_run.id, v_message), v_detail, v_hint);
  end;
  if v_runs = '{}' then
    perform orbit_private.refuse('OR005', 'none of these runs failed', '', 'Leave only_failed out to run them again all the same.');
  end if;
  return jsonb_build_object('batch_id', v_batch, 'runs', to_jsonb(v_runs));
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.rerun_runs is 'See orbit.rerun_runs.';

create function orbit.rerun_runs(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.rerun_runs(p_request) $$;
comment on function orbit.rerun_runs is 'Runs many runs again, all or none, as a batch of their own: {batch_id | run_ids (up to 200), only_failed? (of runs that did not pass what did not, as orbit.rerun does)}. Answers {batch_id, runs: [run, …]}. OR002, OR003, OR004 one is not finished, OR005 none failed; an error names the run.';

-- Saving ---------------------------------------------------------------------------------------------------------------------

create function orbit_private.cycle_of_steps(p_steps jsonb)
returns text[] language plpgsql immutable set search_path = '' as $$
-- Takes away what needs nothing that is left, until nothing can be; whoever walks along the needs of the rest comes round.
declare v_left jsonb := (select coalesce(jsonb_object_agg(s ->> 'key', coalesce(nullif(s -> 'needs', 'null'), '[]')), '{}') from jsonb_array_elements(p_steps) s);
  v_free text[]; v_path text[]; v_at text;
begin
  loop
    v_free := array(select l.key from jsonb_each(v_left) l where not exists (select from jsonb_array_elements_text(l.value) n where v_left ? n));
    exit when v_free = '{}';
    v_left := v_left - v_free;
  end loop;
  select min(k) into v_at from jsonb_object_keys(v_left) k;
  while v_at is not null and (v_path is null or v_at <> all (v_path)) loop
    v_path := v_path || v_at;
    select min(n) into v_at from jsonb_array_elements_text(v_left -> v_at) n where v_left ? n;
  end loop;
  return case when v_at is not null then v_path[array_position(v_path, v_at):] || v_at end;
end $$;
comment on function orbit_private.cycle_of_steps is 'Steps that need each other, from one of them back to it; null where there are none.';

create function orbit_private.check_steps(p_steps jsonb)
returns void language plpgsql stable set search_path = '' as $$
-- What a step is by itself. Raises OR001 naming step and field, OR010 naming the cycle.
declare
  v_fields text[] := array['key', 'suite', 'environment', 'needs', 'when', 'variables', 'selection', 'concurrency', 'fail_fast', 'timeout', 'priority', 'allow_failure', 'retries'];
  v_step jsonb; v_n int; v_where text; v_problem text; v_keys text[]; v_cycle text[];
begin
  if jsonb_typeof(p_steps) is distinct from 'array' or jsonb_array_length(p_steps) not between 1 and 100 then
    perform orbit_private.refuse('OR001', 'steps is no array of 1 to 100 steps', '', 'A step is {key, suite, needs?: [key, …], …}.');
  end if;
  v_keys := array(select s ->> 'key' from jsonb_array_elements(p_steps) s where jsonb_typeof(s) = 'object');
  for v_step, v_n in select s, n - 1 from jsonb_array_elements(p_steps) with ordinality x (s, n) order by n loop
    v_where := case when jsonb_typeof(v_step -> 'key') = 'string' then format('step %s', left(v_step ->> 'key', 100)) else format('steps[%s]', v_n) end;
    v_problem := case
      when jsonb_typeof(v_step) <> 'object' then 'it is no object'
      when exists (select from jsonb_object_keys(v_step) k where k <> all (v_fields))
        then format('unknown field %s', (select left(min(k), 60) from jsonb_object_keys(v_step) k where k <> all (v_fields)))
      when jsonb_typeof(v_step -> 'key') is distinct from 'string' then 'key is missing'
      when v_step ->> 'key' !~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$' then 'key is of letters, digits and _ . -, up to 100, and begins with a letter or digit'
      when (select count(*) from unnest(v_keys) k where k = v_step ->> 'key') > 1 then 'another step has this key'
      when jsonb_typeof(v_step -> 'suite') is distinct from 'string' or v_step ->> 'suite' = '' then 'suite is missing'
      when jsonb_typeof(v_step -> 'environment') not in ('string', 'null') then 'environment is no name'
      when jsonb_typeof(v_step -> 'needs') not in ('array', 'null') then 'needs is no array of keys'
      end;
    v_problem := coalesce(v_problem, case
      when exists (select from jsonb_array_elements(coalesce(nullif(v_step -> 'needs', 'null'), '[]')) k where jsonb_typeof(k) <> 'string') then 'needs is no array of keys'
      when exists (select from jsonb_array_elements_text(coalesce(nullif(v_step -> 'needs', 'null'), '[]')) k where k <> all (v_keys))
        then format('needs %s, which is no step', (select left(min(k), 100) from jsonb_array_elements_text(v_step -> 'needs') k where k <> all (v_keys)))
      when v_step ->> 'when' not in ('passed', 'failed', 'finished') then 'when is passed, failed or finished'
      when v_step ->> 'when' in ('failed', 'finished') and jsonb_array_length(coalesce(nullif(v_step -> 'needs', 'null'), '[]')) = 0
        then format('when is %s, and there is nothing that it needs', v_step ->> 'when')
      when jsonb_typeof(v_step -> 'variables') not in ('object', 'null') then 'variables is no object'
      when jsonb_typeof(v_step -> 'selection') not in ('object', 'null') then 'selection is no object'
      when exists (select from unnest(array['fail_fast', 'allow_failure']) f where jsonb_typeof(v_step -> f) not in ('boolean', 'null')) then 'fail_fast and allow_failure are true or false'
      when exists (select from unnest(array['concurrency', 'timeout', 'priority', 'retries']) f where jsonb_typeof(v_step -> f) not in ('number', 'null'))
        then 'concurrency, timeout, priority and retries are numbers'
      end);
    v_problem := coalesce(v_problem, case
      when (v_step ->> 'timeout')::numeric <= 0 then 'timeout is not more than zero seconds'
      when (v_step ->> 'priority')::numeric not between -100 and 100 or (v_step ->> 'priority')::numeric % 1 <> 0 then 'priority is a whole number between -100 and 100'
      when (v_step ->> 'concurrency')::numeric not between 1 and 10000 or (v_step ->> 'concurrency')::numeric % 1 <> 0 then 'concurrency is a whole number between 1 and 10000'
      when (v_step ->> 'retries')::numeric not between 0 and 10 or (v_step ->> 'retries')::numeric % 1 <> 0 then 'retries is a whole number between 0 and 10'
      end);
    if v_problem is not null then
      perform orbit_private.refuse('OR001', format('%s: %s', v_where, v_problem), format('a step has: %s', array_to_string(v_fields, ', ')), 'See the comment of orbit.save_pipeline.');
    end if;
  end loop;
  v_cycle := orbit_private.cycle_of_steps(p_steps);
  if v_cycle is not null then
    perform orbit_private.refuse('OR010', format('the steps need each other: %s', array_to_string(v_cycle, ' → ')), '', 'Take one of these needs out.');
  end if;
end $$;
comment on function orbit_private.check_steps is 'Refuses steps that are wrong by themselves.';

-- Definer: what is there is said to whoever may save or start a pipeline of that project.
create function orbit_private.check_places(p_steps jsonb, p_project orbit.projects)
returns void language plpgsql stable security definer set search_path = '' as $$
declare v_step jsonb;
begin
  for v_step in select s from jsonb_array_elements(p_steps) s loop
    if not exists (select from orbit.test_suites s where s.project_id = p_project.id and s.key = v_step ->> 'suite' and s.archived_at is null) then
      perform orbit_private.refuse('OR002', format('step %s: no suite %s in project %s', v_step ->> 'key', left(v_step ->> 'suite', 200), p_project.slug), '',
        'Save the suite first: orbit.save_suite, or `orbit run FILE`.');
    elsif v_step ->> 'environment' is not null
       and not exists (select from orbit.environments e where e.project_id = p_project.id and e.name = v_step ->> 'environment') then
      perform orbit_private.refuse('OR002', format('step %s: no environment %s in project %s', v_step ->> 'key', left(v_step ->> 'environment', 200), p_project.slug), '',
        'Save the environment first: orbit.save_environment.');
    end if;
  end loop;
end $$;
comment on function orbit_private.check_places is 'OR002, naming the step, for a suite or environment that is not in the project.';

create function orbit_private.pipeline_of(p orbit.pipelines)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', p.id, 'project_id', p.project_id, 'project', j.slug, 'key', p.key, 'name', coalesce(p.name, p.key), 'description', p.description,
    'version', p.version, 'steps', p.steps, 'created_by', p.created_by, 'created_at', p.created_at, 'updated_at', p.updated_at)
  from orbit.projects j where j.id = p.project_id
$$;
comment on function orbit_private.pipeline_of is 'A pipeline as callers see it.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.save_pipeline(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_key text := orbit_private.required(p_request, 'key'); v_project orbit.projects; v_steps jsonb := p_request -> 'steps'; v_old orbit.pipelines; v_new orbit.pipelines;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'key', 'name', 'description', 'steps']);
  if v_key !~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$' then
    perform orbit_private.refuse('OR001', 'key is of letters, digits and _ . -, up to 100, and begins with a letter or digit', left(v_key, 200));
  end if;
  perform orbit_private.check_steps(v_steps);
  v_project := orbit_private.project_of(p_request);
  perform orbit_private.require('suite.write', 'project', v_project.id);
  perform orbit_private.check_places(v_steps, v_project);
  insert into orbit.pipelines as p (organization_id, project_id, key, name, description, steps, created_by)
    values (v_project.organization_id, v_project.id, v_key, p_request ->> 'name', p_request ->> 'description', v_steps,
            (select u.id from orbit.users u where u.id = (select auth.uid())))
    on conflict (project_id, key) do nothing returning * into v_new;
  if v_new.id is not null then
    return orbit_private.pipeline_of(v_new) || '{"changed": true}';
  end if;
  select * into v_old from orbit.pipelines p where p.project_id = v_project.id and p.key = v_key for update;
  if (v_old.steps, v_old.name, v_old.description) is not distinct from (v_steps, p_request ->> 'name', p_request ->> 'description') then
    return orbit_private.pipeline_of(v_old) || '{"changed": false}';
  end if;
  update orbit.pipelines p set steps = v_steps, name = p_request ->> 'name', description = p_request ->> 'description', updated_at = now(),
      version = p.version + (p.steps <> v_steps)::int
    where p.id = v_old.id returning * into v_new;
  return orbit_private.pipeline_of(v_new) || '{"changed": true}';
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.save_pipeline is 'See orbit.save_pipeline.';

create function orbit.save_pipeline(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_pipeline(p_request) $$;
comment on function orbit.save_pipeline is 'Makes the pipeline of that key, or puts this in its place: {organization?, project?, key, name?, description?, steps: [{key, suite, environment?, needs?: [key of a step], when?: passed (default) | failed | finished (of what it needs), variables?, selection?, concurrency?, fail_fast?, timeout? (seconds), priority?, allow_failure?, retries? (0 to 10)}] (1 to 100)}. Answers the pipeline with `changed`; `version` counts changes of steps. What was started keeps its steps. OR001 naming step and field, OR002 naming the step whose suite or environment is missing, OR003 without suite.write, OR010 naming the cycle.';

-- Definer: as project_of.
create function orbit_private.visible_pipeline(p_request jsonb, p_field text)
returns orbit.pipelines language plpgsql stable security definer set search_path = '' as $$
declare v_key text := orbit_private.required(p_request, p_field); v_project orbit.projects := orbit_private.project_of(p_request); v_pipeline orbit.pipelines;
begin
  select * into v_pipeline from orbit.pipelines p where p.project_id = v_project.id and p.key = v_key;
  if not found then
    perform orbit_private.refuse('OR002', format('no pipeline %s in project %s', left(v_key, 200), v_project.slug), '', 'List them: orbit pipeline list, or orbit.list_pipelines.');
  end if;
  return v_pipeline;
end $$;
comment on function orbit_private.visible_pipeline is 'The pipeline whose key a field of a request has; OR002 unless the caller sees it.';

create function orbit.get_pipeline(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'key']);
  return orbit_private.pipeline_of(orbit_private.visible_pipeline(p_request, 'key'));
end $$;
comment on function orbit.get_pipeline is 'A pipeline: {organization?, project?, key} → {id, project_id, project, key, name, description, version, steps, created_by, created_at, updated_at}. OR002.';

create function orbit.list_pipelines(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_scope uuid[] := orbit_private.scope_of(p_request); v_rows jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'limit']);
  select coalesce(jsonb_agg(orbit_private.pipeline_of(p) order by p.key, p.id), '[]') into v_rows from (
    select n.* from orbit.pipelines n where v_scope is null or n.project_id = any (v_scope) order by n.key, n.id limit orbit_private.limit_of(p_request)) p;
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_pipelines is 'Pipelines by key, each as of orbit.get_pipeline: {organization?, project?, limit? = 50, at most 1000}.';

-- Definer: as save_pipeline.
create function orbit_private.delete_pipeline(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_pipeline orbit.pipelines;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'key']);
  v_pipeline := orbit_private.visible_pipeline(p_request, 'key');
  perform orbit_private.require('suite.write', 'project', v_pipeline.project_id);
  delete from orbit.pipelines p where p.id = v_pipeline.id;
  return jsonb_build_object('deleted', v_pipeline.id);
end $$;
comment on function orbit_private.delete_pipeline is 'See orbit.delete_pipeline.';

create function orbit.delete_pipeline(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_pipeline(p_request) $$;
comment on function orbit.delete_pipeline is 'Deletes a pipeline: {organization?, project?, key} → {deleted: id}. What was started goes on, and is kept. OR002, OR003 without suite.write.';

-- Moving -----------------------------------------------------------------------------------------------------------------------

create function orbit_private.start_step(p_run orbit.pipeline_runs, p_step orbit.pipeline_run_steps, p_now timestamptz)
returns void language plpgsql set search_path = '' as $$
-- In a subtransaction of its own: what refuses the start is the step's end, or puts it off, and nothing else.
declare v_answer jsonb; v_state text; v_message text; v_detail text; v_wait float8; v_slugs record;
begin
  select o.slug as organization, j.slug as project into v_slugs from orbit.projects j join orbit.organizations o on o.id = j.organization_id where j.id = p_run.project_id;
  begin
    v_answer := orbit_private.start_run_as(p_run.created_by, p_step.request
      || jsonb_build_object('organization', v_slugs.organization, 'project', v_slugs.project, 'batch_id', p_run.id, 'triggered_by', 'pipeline'));
    update orbit.pipeline_run_steps s set status = 'running', run_id = (v_answer ->> 'id')::uuid, attempt = s.attempt + 1, reason = null, due_at = null, refused_at = null,
        started_at = coalesce(s.started_at, p_now)
      where s.pipeline_run_id = p_run.id and s.number = p_step.number;
    return;
  exception when others then
    get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail;
  end;
  -- A limit, or a lock that somebody else has: it is tried again, for an hour.
  v_wait := case when v_state = 'OR006' then least(greatest(coalesce((regexp_match(v_detail, 'retry after ([0-9.]+) s'))[1]::float8, 1), 0.1), 600)
                 when v_state = 'OR007' then 10 when left(v_state, 2) in ('40', '53', '55') then 1 end;
  if v_wait is not null and p_now < coalesce(p_step.refused_at, p_now) + interval '1 hour' then
    update orbit.pipeline_run_steps s set due_at = p_now + make_interval(secs => v_wait), refused_at = coalesce(s.refused_at, p_now), reason = left(format('put off: %s', v_message), 1000)
      where s.pipeline_run_id = p_run.id and s.number = p_step.number;
  else
    update orbit.pipeline_run_steps s set status = 'errored', reason = left(format('it could not be started: %s', v_message), 1000), due_at = null, finished_at = p_now
      where s.pipeline_run_id = p_run.id and s.number = p_step.number;
  end if;
end $$;
comment on function orbit_private.start_step is 'Starts the run of a step, as who started the pipeline; the step ends as errored where it is refused, and waits on where a limit refuses it.';

create function orbit_private.move_pipeline(p_run orbit.pipeline_runs, p_now timestamptz)
returns boolean language plpgsql set search_path = '' as $$
-- The caller has locked the pipeline's run. True where something changed.
declare v_step orbit.pipeline_run_steps; v_over record; v_need record; v_moved boolean := false; v_again boolean := true; v_status text; v_bad text;
begin
  while v_again loop
    v_again := false;
    -- What is over.
    for v_over in
      select s.number, s.attempt, s.retries, s.run_id, r.status, r.reason, r.counts, r.finished_at, r.id is null as gone
        from orbit.pipeline_run_steps s left join orbit.test_runs r on r.id = s.run_id
        where s.pipeline_run_id = p_run.id and s.status = 'running' and (r.id is null or r.finished_at is not null) order by s.number
    loop
      v_again := true;
      if v_over.status in ('failed', 'errored', 'timed_out') and v_over.attempt <= v_over.retries and p_run.status <> 'cancelling' then
        update orbit.pipeline_run_steps s set status = 'waiting', run_id = null, previous_runs = s.previous_runs || v_over.run_id,
            reason = format('attempt %s: %s', v_over.attempt, replace(v_over.status, '_', ' '))
          where s.pipeline_run_id = p_run.id and s.number = v_over.number;
      else
        update orbit.pipeline_run_steps s set status = coalesce(v_over.status, 'errored'), finished_at = coalesce(v_over.finished_at, p_now),
            reason = case when v_over.gone then 'its run was deleted' when v_over.status = 'passed' then null
                          else coalesce(v_over.reason, format('%s of %s tests did not pass',
                            (v_over.counts ->> 'total')::int - (v_over.counts ->> 'passed')::int - (v_over.counts ->> 'passed_on_retry')::int, v_over.counts ->> 'total')) end
          where s.pipeline_run_id = p_run.id and s.number = v_over.number;
      end if;
    end loop;
    if p_run.status = 'cancelling' then
      update orbit.pipeline_run_steps s set status = 'cancelled', reason = p_run.reason, due_at = null, finished_at = p_now
        where s.pipeline_run_id = p_run.id and s.status = 'waiting';
      v_moved := v_moved or v_again or found;
      exit;
    end if;
    -- What waits: it goes, is skipped, or waits on.
    for v_step in select * from orbit.pipeline_run_steps s where s.pipeline_run_id = p_run.id and s.status = 'waiting' and (s.due_at is null or s.due_at <= p_now) order by s.number loop
      select bool_or(n.status in ('waiting', 'running')) as open,
             (array_agg(n.key order by n.number) filter (where n.failed))[1] as failed, (array_agg(coalesce(n.caused_by, n.key) order by n.number) filter (where n.failed))[1] as cause,
             (array_agg(n.status order by n.number) filter (where n.failed))[1] as failed_as,
             (array_agg(n.key order by n.number) filter (where n.status = 'skipped' and not n.failed))[1] as skipped
        into v_need
        from (select o.*, o.status in ('failed', 'errored', 'timed_out', 'cancelled') and not o.allow_failure or o.caused_by is not null as failed
                from orbit.pipeline_run_steps o where o.pipeline_run_id = p_run.id and o.key = any (v_step.needs)) n;
      if v_step.condition = 'passed' and (v_need.failed is not null or v_need.skipped is not null) then
        update orbit.pipeline_run_steps s set status = 'skipped', caused_by = v_need.cause, finished_at = p_now,
            reason = case when v_need.failed is null then format('%s was skipped', v_need.skipped)
                          when v_need.failed_as = 'skipped' then format('%s was skipped, because %s did not pass', v_need.failed, v_need.cause)
                          else format('%s %s', v_need.failed, case v_need.failed_as when 'errored' then 'reached no verdict' when 'timed_out' then 'timed out' when 'cancelled' then 'was cancelled' else 'failed' end) end
          where s.pipeline_run_id = p_run.id and s.number = v_step.number;
        v_again := true;
      elsif coalesce(v_need.open, false) then
        continue;
      elsif v_step.condition = 'failed' and v_need.failed is null then
        update orbit.pipeline_run_steps s set status = 'skipped', finished_at = p_now, reason = 'nothing that it needs failed'
          where s.pipeline_run_id = p_run.id and s.number = v_step.number;
        v_again := true;
      else
        perform orbit_private.start_step(p_run, v_step, p_now);
        v_again := true;
      end if;
    end loop;
    v_moved := v_moved or v_again;
  end loop;

  if not exists (select from orbit.pipeline_run_steps s where s.pipeline_run_id = p_run.id and s.status in ('waiting', 'running')) then
    select case p_run.status when 'cancelling' then 'cancelled' else orbit_private.worst_of(array_agg(s.status)) end, string_agg(s.key, ', ' order by s.number) filter (where s.status <> 'passed')
      into v_status, v_bad from orbit.pipeline_run_steps s where s.pipeline_run_id = p_run.id and s.status <> 'skipped' and not s.allow_failure;
    update orbit.pipeline_runs p set status = coalesce(v_status, 'passed'), finished_at = greatest(p_now, clock_timestamp()),
        reason = case when p.status = 'cancelling' then p.reason when v_bad is not null then left(format('did not pass: %s', v_bad), 1000) end,
        started_at = coalesce(p.started_at, (select min(s.started_at) from orbit.pipeline_run_steps s where s.pipeline_run_id = p.id))
      where p.id = p_run.id;
    v_moved := true;
  elsif p_run.status = 'waiting' and exists (select from orbit.pipeline_run_steps s where s.pipeline_run_id = p_run.id and s.attempt > 0) then
    update orbit.pipeline_runs p set status = 'running', started_at = coalesce(p.started_at, p_now) where p.id = p_run.id;
    v_moved := true;
  end if;
  return v_moved;
end $$;
comment on function orbit_private.move_pipeline is 'Brings the steps of a pipeline''s run as far as they can be now; ends it where none is left.';

create function orbit_private.move_pipelines(p_now timestamptz default clock_timestamp(), p_limit int default 10)
returns int language plpgsql set search_path = '' as $$
-- Granted to nobody. Whoever comes second passes over what the first one has; what it could not look at is looked at next time.
declare v_run orbit.pipeline_runs; v_moved int := 0; v_state text; v_message text;
begin
  for v_run in
    select p.* from orbit.pipeline_runs p
      where p.finished_at is null and p.id in (
        select s.pipeline_run_id from orbit.pipeline_run_steps s left join orbit.test_runs r on r.id = s.run_id
          where s.status = 'running' and (r.id is null or r.finished_at is not null)
        union all
        select s.pipeline_run_id from orbit.pipeline_run_steps s where s.status = 'waiting' and s.due_at <= p_now)
      order by p.id limit p_limit for update of p skip locked
  loop
    begin
      v_moved := v_moved + orbit_private.move_pipeline(v_run, p_now)::int;
    exception when others then
      get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
      if left(v_state, 2) in ('40', '53', '55', '57') then
        raise;  -- of the moment: the next call tries again
      end if;
      -- One pipeline that cannot be moved does not hold up the others.
      update orbit.pipeline_run_steps s set status = 'errored', reason = 'the pipeline could not go on', due_at = null, finished_at = p_now
        where s.pipeline_run_id = v_run.id and s.status in ('waiting', 'running');
      update orbit.pipeline_runs p set status = 'errored', reason = left(format('it could not go on: %s', v_message), 1000), finished_at = p_now where p.id = v_run.id;
      v_moved := v_moved + 1;
    end;
  end loop;
  return v_moved;
end $$;
comment on function orbit_private.move_pipelines is 'Starts the steps of pipelines that may start, and ends the pipelines that are over; returns how many pipelines it moved, at most p_limit.';

create function orbit_private.stop_pipeline(p_run orbit.pipeline_runs, p_reason text, p_now timestamptz)
returns boolean language plpgsql set search_path = '' as $$
-- The caller has locked the pipeline's run, and may do this.
declare v_run orbit.pipeline_runs := p_run; v_queue_no bigint;
begin
  if p_run.finished_at is not null or p_run.status = 'cancelling' then
    return false;
  end if;
  update orbit.pipeline_runs p set status = 'cancelling', reason = p_reason where p.id = p_run.id returning * into v_run;
  for v_queue_no in
    select r.queue_no from orbit.pipeline_run_steps s join orbit.test_runs r on r.id = s.run_id
      where s.pipeline_run_id = p_run.id and s.status = 'running' and r.finished_at is null order by r.queue_no
  loop
    perform orbit_private.stop_run(v_queue_no, 'cancelled', p_reason, p_now);
  end loop;
  perform orbit_private.move_pipeline(v_run, p_now);
  perform orbit_private.audit(p_run.organization_id, 'pipeline_run.cancel', 'pipeline_run', p_run.id::text, null, jsonb_build_object('reason', p_reason), p_run.key);
  return true;
end $$;
comment on function orbit_private.stop_pipeline is 'Cancels a pipeline''s run: what waits at once, the runs of its steps as orbit.cancel_run does. False where it is over or being cancelled already.';

-- Starting, reading, cancelling ------------------------------------------------------------------------------------------------

create function orbit_private.pipeline_run_of(p orbit.pipeline_runs, p_steps boolean default true)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', p.id, 'pipeline', p.key, 'pipeline_id', p.pipeline_id, 'version', p.version, 'project_id', p.project_id, 'project', j.slug,
      'status', p.status, 'reason', p.reason, 'environment', p.environment, 'variables', p.variables, 'triggered_by', p.triggered_by, 'created_by', p.created_by,
      'created_at', p.created_at, 'started_at', p.started_at, 'finished_at', p.finished_at, 'duration', extract(epoch from p.finished_at - p.started_at)::float8,
      'counts', (select jsonb_object_agg(c.status, c.n) from (
        select s.status, count(*) as n from orbit.pipeline_run_steps s where s.pipeline_run_id = p.id group by s.status) c))
    || case when p_steps then jsonb_build_object('steps', (
      select jsonb_agg(jsonb_build_object('number', s.number, 'key', s.key, 'suite', s.request ->> 'suite', 'environment', s.request ->> 'environment', 'needs', to_jsonb(s.needs),
          'when', s.condition, 'allow_failure', s.allow_failure, 'retries', s.retries, 'status', s.status, 'reason', s.reason, 'caused_by', s.caused_by, 'attempt', s.attempt,
          'run_id', s.run_id, 'previous_runs', to_jsonb(s.previous_runs), 'counts', coalesce(r.counts, case when g.queue_no is not null then orbit_private.counts_of(g) end), 'due_at', s.due_at,
          'started_at', s.started_at, 'finished_at', s.finished_at, 'duration', extract(epoch from s.finished_at - s.started_at)::float8) order by s.number)
        from orbit.pipeline_run_steps s left join orbit.test_runs r on r.id = s.run_id left join orbit_private.run_progress g on g.queue_no = r.queue_no
        where s.pipeline_run_id = p.id)) else '{}' end
  from orbit.projects j where j.id = p.project_id
$$;
comment on function orbit_private.pipeline_run_of is 'A pipeline''s run as callers see it, with its steps or without. Granted to nobody: its callers know that it may be read.';

-- Definer: as visible_run.
create function orbit_private.visible_pipeline_run(p_request jsonb)
returns orbit.pipeline_runs language plpgsql stable security definer set search_path = '' as $$
declare v_text text := orbit_private.required(p_request, 'pipeline_run_id'); v_ids uuid[]; v_run orbit.pipeline_runs; v_trusted boolean := orbit_private.caller_is_trusted();
begin
  if v_text ~ '^[0-9a-f][0-9a-f-]{3,34}$' or v_text = 'last' then
    v_ids := array(
      select r.id from orbit.pipeline_runs r
        where (v_text = 'last' or r.id::text like v_text || '%') and (v_trusted or r.project_id = any (array(select orbit_private.my_project_ids())))
        order by r.created_at desc limit case v_text when 'last' then 1 else 2 end);
    if cardinality(v_ids) > 1 then
      perform orbit_private.refuse('OR001', format('more than one pipeline run id begins with %s', v_text), '', 'Give more of it.');
    end if;
    select r.* into v_run from orbit.pipeline_runs r where r.id = v_ids[1];
  else
    select r.* into v_run from orbit.pipeline_runs r where r.id = orbit_private.to_uuid(v_text, 'pipeline_run_id')
      and (v_trusted or r.project_id = any (array(select orbit_private.my_project_ids())));
  end if;
  if v_run.id is null then
    perform orbit_private.refuse('OR002', case v_text when 'last' then 'no pipeline has run yet' else format('no pipeline run %s', left(v_text, 60)) end, '',
      'List them: orbit pipeline list --runs, or orbit.list_pipeline_runs.');
  end if;
  return v_run;
end $$;
comment on function orbit_private.visible_pipeline_run is 'What a request''s pipeline_run_id names: an id, the beginning of one, or `last`; OR002 unless the caller may read it.';

-- Definer: it writes tables that callers may only read, after require().
create function orbit_private.start_pipeline(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_now timestamptz := clock_timestamp(); v_pipeline orbit.pipelines; v_project orbit.projects; v_run orbit.pipeline_runs; v_steps jsonb; v_suite uuid; v_environment text := p_request ->> 'environment';
  v_variables jsonb := coalesce(nullif(p_request -> 'variables', 'null'), '{}');
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'pipeline', 'variables', 'environment', 'idempotency_key', 'triggered_by']);
  if jsonb_typeof(v_variables) <> 'object' then
    perform orbit_private.refuse('OR001', 'variables is no object', '', 'It is {name: value, …}.');
  end if;
  v_pipeline := orbit_private.visible_pipeline(p_request, 'pipeline');
  select * into v_project from orbit.projects j where j.id = v_pipeline.project_id;
  -- The step's own place goes before that of the start; the start's variables go before the step's, as those of a command line do.
  v_steps := (select jsonb_agg(s || case when s ->> 'environment' is null and v_environment is not null then jsonb_build_object('environment', v_environment) else '{}' end
                || case when v_variables <> '{}' then jsonb_build_object('variables', coalesce(nullif(s -> 'variables', 'null'), '{}') || v_variables) else '{}' end order by n)
                from jsonb_array_elements(v_pipeline.steps) with ordinality x (s, n));
  perform orbit_private.check_places(v_steps, v_project);
  for v_suite in select s.id from orbit.test_suites s where s.project_id = v_project.id and s.key in (select t ->> 'suite' from jsonb_array_elements(v_steps) t) loop
    perform orbit_private.require('run.start', 'suite', v_suite);
  end loop;
  insert into orbit.pipeline_runs (organization_id, project_id, pipeline_id, key, version, environment, variables, triggered_by, idempotency_key, created_by, created_at)
    values (v_project.organization_id, v_project.id, v_pipeline.id, v_pipeline.key, v_pipeline.version, v_environment, v_variables,
            coalesce(p_request ->> 'triggered_by', 'sdk'), p_request ->> 'idempotency_key', (select auth.uid()), v_now)
    on conflict (project_id, idempotency_key) do nothing returning * into v_run;
  if v_run.id is null then
    select * into v_run from orbit.pipeline_runs r where r.project_id = v_project.id and r.idempotency_key = p_request ->> 'idempotency_key';
    return orbit_private.pipeline_run_of(v_run) || '{"repeated": true}';
  end if;
  insert into orbit.pipeline_run_steps (pipeline_run_id, number, project_id, key, request, needs, condition, allow_failure, retries)
    select v_run.id, n, v_project.id, s ->> 'key', jsonb_strip_nulls(s - array['key', 'needs', 'when', 'allow_failure', 'retries', 'variables', 'selection'])
             || case when s ->> 'variables' is not null then jsonb_build_object('variables', s -> 'variables') else '{}' end
             || case when s ->> 'selection' is not null then jsonb_build_object('selection', s -> 'selection') else '{}' end,
           array(select jsonb_array_elements_text(coalesce(nullif(s -> 'needs', 'null'), '[]'))), coalesce(s ->> 'when', 'passed'),
           coalesce((s ->> 'allow_failure')::boolean, false), coalesce((s ->> 'retries')::smallint, 0::smallint)
      from jsonb_array_elements(v_steps) with ordinality x (s, n);
  perform orbit_private.audit(v_run.organization_id, 'pipeline_run.start', 'pipeline_run', v_run.id::text, null,
    jsonb_build_object('pipeline', v_run.key, 'version', v_run.version, 'steps', jsonb_array_length(v_steps), 'triggered_by', v_run.triggered_by), v_run.key);
  perform orbit_private.move_pipeline(v_run, v_now);
  select * into v_run from orbit.pipeline_runs r where r.id = v_run.id;
  return orbit_private.pipeline_run_of(v_run);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.start_pipeline is 'See orbit.start_pipeline.';

create function orbit.start_pipeline(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.start_pipeline(p_request) $$;
comment on function orbit.start_pipeline is 'Starts a pipeline as it is now, and with it the steps that need nothing: {organization?, project?, pipeline (its key), variables? (they go before the steps'' own), environment? (of steps that name none), idempotency_key?, triggered_by?}. The steps that follow are started by workers, with the caller''s rights as they are then. Answers the pipeline''s run as orbit.get_pipeline_run does. OR002, also naming a step whose suite or environment has gone; OR003 without run.start for one of its suites.';

-- Definer: live counters of the steps' runs are in the queue.
create function orbit_private.get_pipeline_run(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, array['pipeline_run_id']);
  return orbit_private.pipeline_run_of(orbit_private.visible_pipeline_run(p_request));
end $$;
comment on function orbit_private.get_pipeline_run is 'See orbit.get_pipeline_run.';

create function orbit.get_pipeline_run(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.get_pipeline_run(p_request) $$;
comment on function orbit.get_pipeline_run is 'A pipeline''s run by {pipeline_run_id}: its id, the beginning of it, or `last` → {id (the batch_id of its runs), pipeline, pipeline_id, version, project_id, project, status, reason, environment, variables, triggered_by, created_by, created_at, started_at, finished_at, duration (seconds), counts: {status: number of steps}, steps: [{number, key, suite, environment, needs, when, allow_failure, retries, status, reason, caused_by, attempt, run_id, previous_runs, counts (of tests), due_at, started_at, finished_at, duration}]}. OR002.';

-- Definer: as get_pipeline_run; what may be read is asked once.
create function orbit_private.list_pipeline_runs(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare v_scope uuid[] := orbit_private.scope_of(p_request); v_rows jsonb;
  v_mine uuid[] := case when not orbit_private.caller_is_trusted() then array(select orbit_private.my_project_ids()) end;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'pipeline', 'status', 'before', 'limit']);
  select coalesce(jsonb_agg(orbit_private.pipeline_run_of(p, false) order by p.created_at desc, p.id), '[]') into v_rows from (
    select r.* from orbit.pipeline_runs r
      where (v_scope is null or r.project_id = any (v_scope)) and (v_mine is null or r.project_id = any (v_mine))
        and (p_request ->> 'pipeline' is null or r.key = p_request ->> 'pipeline') and (p_request ->> 'status' is null or r.status = p_request ->> 'status')
        and (p_request ->> 'before' is null or r.created_at < (p_request ->> 'before')::timestamptz)
      order by r.created_at desc, r.id limit orbit_private.limit_of(p_request)) p;
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.list_pipeline_runs is 'See orbit.list_pipeline_runs.';

create function orbit.list_pipeline_runs(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.list_pipeline_runs(p_request) $$;
comment on function orbit.list_pipeline_runs is 'Runs of pipelines, the newest first, each as of orbit.get_pipeline_run without steps: {organization?, project?, pipeline?, status?, before?, limit? = 50, at most 1000}.';

-- Definer: it writes the queue, after require().
create function orbit_private.cancel_pipeline_run(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_now timestamptz := clock_timestamp(); v_run orbit.pipeline_runs; v_done boolean; v_reason text := coalesce(p_request ->> 'reason', 'cancelled');
begin
  perform orbit_private.refuse_unknown(p_request, array['pipeline_run_id', 'reason']);
  v_run := orbit_private.visible_pipeline_run(p_request);
  perform orbit_private.require('run.control', 'project', v_run.project_id);
  if length(v_reason) > 1000 then
    perform orbit_private.refuse('OR001', 'reason is longer than 1,000 characters', format('it has %s', length(v_reason)));
  end if;
  select * into v_run from orbit.pipeline_runs r where r.id = v_run.id for update;
  v_done := orbit_private.stop_pipeline(v_run, v_reason, v_now);
  select * into v_run from orbit.pipeline_runs r where r.id = v_run.id;
  return orbit_private.pipeline_run_of(v_run) || jsonb_build_object('changed', v_done);
end $$;
comment on function orbit_private.cancel_pipeline_run is 'See orbit.cancel_pipeline_run.';

create function orbit.cancel_pipeline_run(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.cancel_pipeline_run(p_request) $$;
comment on function orbit.cancel_pipeline_run is 'Cancels a pipeline''s run: {pipeline_run_id, reason? (up to 1,000 characters)}. Steps that wait are cancelled at once, clean-up too; runs of steps as orbit.cancel_run does. Answers it with `changed`. OR002, OR003 without run.control.';

grant execute on function orbit_private.start_runs, orbit_private.get_batch, orbit_private.cancel_runs, orbit_private.rerun_runs, orbit_private.pipeline_of,
  orbit_private.save_pipeline, orbit_private.visible_pipeline, orbit_private.delete_pipeline, orbit_private.start_pipeline, orbit_private.get_pipeline_run,
  orbit_private.list_pipeline_runs, orbit_private.cancel_pipeline_run to authenticated, service_role;
grant execute on function orbit.start_runs, orbit.get_batch, orbit.cancel_runs, orbit.rerun_runs, orbit.save_pipeline, orbit.get_pipeline, orbit.list_pipelines,
  orbit.delete_pipeline, orbit.start_pipeline, orbit.get_pipeline_run, orbit.list_pipeline_runs, orbit.cancel_pipeline_run to authenticated, service_role;

select orbit_private.audited('orbit.pipelines', 'pipeline', p_left_out => '{version}');

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
