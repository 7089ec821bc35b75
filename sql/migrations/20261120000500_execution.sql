-- Execution: runs, results (partitioned by time), their details, the context, the event log.

create table orbit.test_runs (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  suite_id uuid not null references orbit.test_suites (id) on delete cascade,
  version_id uuid not null references orbit.test_suite_versions (id) on delete cascade,
  environment_id uuid references orbit.environments (id) on delete set null,
  queue_no bigint generated always as identity,
  lane bigint not null default 0,
  affinity_group text,
  status text not null default 'queued',
  reason text,
  priority smallint not null default 0,
  concurrency int,
  fail_fast boolean not null default false,
  selection jsonb,
  variables jsonb not null default '{}',
  defaults text[] not null default '{}',
  templates jsonb not null default '{}',
  base_dir text,
  triggered_by text not null default 'sdk',
  idempotency_key text,
  batch_id uuid,
  secret_names text[] not null default '{}',
  rerun_of uuid references orbit.test_runs (id) on delete set null,
  counts jsonb,
  event_seq bigint not null default 0,
  created_by uuid,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  constraint test_runs_queue_no_key unique (queue_no),
  constraint test_runs_project_id_idempotency_key_key unique (project_id, idempotency_key),
  constraint test_runs_status_check check (
    status in ('queued', 'running', 'cancelling', 'passed', 'failed', 'errored', 'cancelled', 'timed_out')),
  constraint test_runs_finished_has_time_check check (
    (finished_at is not null and counts is not null) = (status in ('passed', 'failed', 'errored', 'cancelled', 'timed_out'))),
  constraint test_runs_priority_check check (priority between -100 and 100),
  constraint test_runs_concurrency_check check (concurrency between 1 and 10000)
);
create index idx_test_runs_lookup on orbit.test_runs (project_id, status, created_at desc);
create index idx_test_runs_project_id on orbit.test_runs (project_id, created_at desc);
create index idx_test_runs_organization_id on orbit.test_runs (organization_id, created_at desc);
create index idx_test_runs_suite_id on orbit.test_runs (suite_id, created_at desc);
create index idx_test_runs_version_id on orbit.test_runs (version_id);
create index idx_test_runs_environment_id on orbit.test_runs (environment_id);
create index idx_test_runs_batch_id on orbit.test_runs (batch_id) where batch_id is not null;
create index idx_test_runs_rerun_of on orbit.test_runs (rerun_of);
comment on table orbit.test_runs is 'One execution of a suite version.';
comment on column orbit.test_runs.id is 'Drawn at random, or chosen by who started it.';
comment on column orbit.test_runs.organization_id is 'The project''s organisation.';
comment on column orbit.test_runs.project_id is 'The suite''s project.';
comment on column orbit.test_runs.suite_id is 'Which suite.';
comment on column orbit.test_runs.version_id is 'Which version of it; it stays that one.';
comment on column orbit.test_runs.environment_id is 'Where; null: without one, or the environment is gone.';
comment on column orbit.test_runs.status is 'queued → running → passed, failed, errored, cancelled or timed_out; cancelling while workers are being told. Live: orbit.get_run.';
comment on column orbit.test_runs.reason is 'Why it was stopped; null where it was not.';
comment on column orbit.test_runs.priority is '-100 to 100: a step is worth a minute of waiting.';
comment on column orbit.test_runs.concurrency is 'How many of its tests run at once, at most; null: as many as there are slots.';
comment on column orbit.test_runs.fail_fast is 'Whether the first failure ends it; clean-up still runs.';
comment on column orbit.test_runs.selection is 'Which tests were asked for: {tests, tags}; null: all.';
comment on column orbit.test_runs.variables is 'Those given at the start, by name; they come before the environment''s.';
comment on column orbit.test_runs.triggered_by is 'What started it: cli, sdk, …';
comment on column orbit.test_runs.idempotency_key is 'A start with the same key answers this run; null: none was given.';
comment on column orbit.test_runs.batch_id is 'What it was started with: a batch (orbit.start_runs), or a pipeline''s run, whose id it then is; null: alone.';
comment on column orbit.test_runs.secret_names is 'Names of the secret variables that were given with the start, and credentials.x of the credentials; their values are gone 24 hours after the run.';
comment on column orbit.test_runs.rerun_of is 'Which run it runs again, in whole or in part; null: none, or that one is gone.';
comment on column orbit.test_runs.counts is '{total, waiting, running, passed, …} at its end; null until then.';
comment on column orbit.test_runs.event_seq is 'The number of its last event, when it is finished.';
comment on column orbit.test_runs.created_by is 'Who started it; null for administrative roles.';
comment on column orbit.test_runs.created_at is 'When it was asked for.';
comment on column orbit.test_runs.started_at is 'When its first test was handed out.';
comment on column orbit.test_runs.finished_at is 'When its last result became final.';
comment on column orbit.test_runs.queue_no is 'The run''s number in the queue: a job''s id is queue_no × 2^20 + the test''s position, so that a run''s jobs lie together.';
comment on column orbit.test_runs.lane is 'Where its jobs wait, if its tests do not ask for anything: 0 is shared by all workers; a run that brings its own worker has a lane to itself (its queue_no).';
comment on column orbit.test_runs.affinity_group is 'What its tests are executed together by: a worker that is set up for it takes them all. Null: by nothing.';
comment on column orbit.test_runs.defaults is 'Names in variables and secrets that the suite itself brought: the database''s variables go before them.';
comment on column orbit.test_runs.templates is 'Variables given with the run that refer to others: filled in where they are used.';
comment on column orbit.test_runs.base_dir is 'Where the suite file lies on the machine that started the run: bodies and schemas in files are looked for there.';

-- Results: one row per test of a run, inserted once, when final. Exactly-once is held by the job's row in the queue, which is
-- deleted in the statement that inserts the result; a partitioned table could not carry a unique key over (run_id, position).
create table orbit.test_results (
  run_id uuid not null,
  position int not null,
  created_at timestamptz not null,
  status text not null,
  project_id uuid not null,
  test_case_id uuid not null,
  environment_id uuid,
  category text,
  reason text,
  duration_ms real not null default 0,
  attempts smallint not null default 1,
  started_at timestamptz,
  worker_id bigint,
  constraint test_results_status_check check (
    status in ('passed', 'passed_on_retry', 'failed', 'errored', 'timed_out', 'skipped', 'cancelled')),
  constraint test_results_attempts_check check ((attempts = 0) = (started_at is null) or status in ('cancelled', 'skipped')),
  constraint idx_test_results_run_id primary key (run_id, position, created_at, status)
) partition by range (created_at);
-- Ascending, although read backwards: what is new goes to the right-hand edge, which is where a B-tree takes it cheaply. None on
-- test_case_id: its entries fall all over the index, which with a million results there doubles the WAL of a result (1,819 bytes for
-- 883); a test's history is read by its suite's runs and its position in them.
create index idx_test_results_created_at on orbit.test_results (created_at);
create index idx_test_results_project_id on orbit.test_results (project_id, created_at);
comment on table orbit.test_results is 'The final result of each test of each run.';
comment on column orbit.test_results.run_id is 'Which run. No foreign key: between partitioned tables one would cost ten times the insert.';
comment on column orbit.test_results.position is 'Of the test in the run''s suite, from 0.';
comment on column orbit.test_results.created_at is 'When it became final; says in which partition it lies.';
comment on column orbit.test_results.status is 'The verdict; it never changes.';
comment on column orbit.test_results.project_id is 'The run''s project: what policies look at.';
comment on column orbit.test_results.test_case_id is 'Which test.';
comment on column orbit.test_results.environment_id is 'The run''s environment; null: none.';
comment on column orbit.test_results.category is 'Why it did not pass, in one word; null where it did.';
comment on column orbit.test_results.reason is 'Why it did not pass, in a sentence; secrets are masked.';
comment on column orbit.test_results.started_at is 'When the last attempt began; null where none was made.';
comment on column orbit.test_results.worker_id is 'Who made the last attempt; null where none was made.';
comment on column orbit.test_results.duration_ms is 'Milliseconds of the last attempt, polling included.';
comment on column orbit.test_results.attempts is 'How many were made; 0 where the test was never sent.';

create function orbit.id(p_result orbit.test_results)
returns uuid language sql immutable set search_path = '' as $$
  select overlay(p_result.run_id::text placing lpad(to_hex(p_result.position), 5, '0') from 32 for 5)::uuid
$$;
comment on function orbit.id is 'A result''s id: its run''s, the last 20 bits replaced by the position. Computed where it is asked for (PostgREST: a computed field): drawing and storing one cost 6 % of a result.';
grant execute on function orbit.id to authenticated, service_role;

create table orbit.test_result_details (
  run_id uuid not null,
  position int not null,
  created_at timestamptz not null,
  status text not null,
  project_id uuid not null,
  failures jsonb,
  exchange jsonb,
  previous_attempts jsonb,
  primary key (run_id, position, created_at, status)
) partition by range (created_at);
comment on table orbit.test_result_details is 'What was sent, answered and missed; secrets are masked before they get here. Partitioned like test_results, so that both are dropped together.';
comment on column orbit.test_result_details.run_id is 'As in test_results.';
comment on column orbit.test_result_details.position is 'As in test_results.';
comment on column orbit.test_result_details.created_at is 'As in test_results.';
comment on column orbit.test_result_details.status is 'As in test_results.';
comment on column orbit.test_result_details.project_id is 'As in test_results.';
comment on column orbit.test_result_details.failures is 'What did not hold: [{message, where, expected, actual, category, hint}].';
comment on column orbit.test_result_details.exchange is 'What was sent and answered in the last attempt, cut where it is long; null where it was not kept.';
comment on column orbit.test_result_details.previous_attempts is 'The attempts before the last: [{number, status, reason, category, duration, failures, worker}].';

alter table orbit.test_runs enable row level security;
alter table orbit.test_results enable row level security;
alter table orbit.test_result_details enable row level security;
grant select on orbit.test_runs, orbit.test_results, orbit.test_result_details to authenticated;
grant all on orbit.test_runs, orbit.test_results, orbit.test_result_details to service_role;
create policy test_runs_select on orbit.test_runs for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy test_results_select on orbit.test_results for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy test_result_details_select on orbit.test_result_details for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));

-- Definer: partitions are made by whoever starts a run or keeps house.
create function orbit_private.ensure_partitions(p_now timestamptz default now())
returns int language plpgsql security definer set search_path = '' as $$
-- RANGE by week × LIST by verdict: what passed can be dropped earlier than what did not. Leaves do not inherit RLS, so they live
-- in a schema that is not exposed and have it switched on themselves. This week and the two after it exist at all times.
declare v_week timestamptz; v_end timestamptz; v_table text; v_name text; v_made int := 0;
begin
  for i in 0 .. 2 loop
    -- Reckoned in UTC throughout: in a zone with summer time a week has now and then an hour more or less.
    v_week := (date_trunc('week', p_now at time zone 'utc') + make_interval(weeks => i)) at time zone 'utc';
    v_end := (date_trunc('week', p_now at time zone 'utc') + make_interval(weeks => i + 1)) at time zone 'utc';
    foreach v_table in array array['test_results', 'test_result_details'] loop
      v_name := format('%s_%s', v_table, to_char(v_week at time zone 'utc', 'IYYY"w"IW'));
      continue when to_regclass('orbit_private.' || v_name) is not null;
      perform pg_advisory_xact_lock(hashtext('orbit.ensure_partitions'));
      continue when to_regclass('orbit_private.' || v_name) is not null;
      -- Made apart and attached: a long report or a dump that reads the table must not hold up those who write to it.
      execute format('create table orbit_private.%I (like orbit.%I including defaults including constraints) partition by list (status)', v_name, v_table);
      execute format('create table orbit_private.%I partition of orbit_private.%I for values in (''passed'', ''passed_on_retry'')', v_name || '_ok', v_name);
      execute format('create table orbit_private.%I partition of orbit_private.%I for values in (''failed'', ''errored'', ''timed_out'', ''skipped'', ''cancelled'')',
        v_name || '_nok', v_name);
      execute format('alter table orbit_private.%I enable row level security', v_name);
      execute format('alter table orbit_private.%I enable row level security', v_name || '_ok');
      execute format('alter table orbit_private.%I enable row level security', v_name || '_nok');
      execute format('comment on table orbit_private.%I is %L', v_name, format('%s of the week from %s.', v_table, v_week::date));
      execute format('alter table orbit.%I attach partition orbit_private.%I for values from (%L) to (%L)', v_table, v_name, v_week, v_end);
      v_made := v_made + 1;
    end loop;
  end loop;
  return v_made;
end $$;
comment on function orbit_private.ensure_partitions is 'Makes the partitions of this week and the next two; returns how many were missing.';
select orbit_private.ensure_partitions();

-- The context ----------------------------------------------------------------------------------------------------------

-- Entries, not one growing JSONB row: with eight writers 60 times as fast, for 1/400 of the WAL.
create table orbit_private.context_entry (
  queue_no bigint not null,
  kind text not null,
  producer text not null,
  name text not null,
  value jsonb not null,
  secret boolean not null default false,
  sealed_for uuid,
  version bigint not null,
  worker_id bigint,
  updated_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '24 hours',
  constraint idx_test_execution_context_run_id primary key (queue_no, kind, producer, name),
  constraint context_entry_kind_check check (kind in ('token', 'variable', 'captured')),
  constraint context_entry_producer_check check ((kind = 'captured') = (producer <> '')),
  constraint context_entry_secret_is_sealed_check check (not secret or (value #>> '{}') like 'orbit.seal.v1.%')
);
create index idx_context_entry_expires_at on orbit_private.context_entry (expires_at);
alter table orbit_private.context_entry enable row level security;
comment on table orbit_private.context_entry is 'What tests of a run share: tokens, variables, and what each captured.';
comment on column orbit_private.context_entry.queue_no is 'Which run.';
comment on column orbit_private.context_entry.kind is 'token and variable are shared by name; captured ones belong to a test.';
comment on column orbit_private.context_entry.producer is 'The key of the test that captured it; empty for the other kinds.';
comment on column orbit_private.context_entry.name is 'Its name in templates.';
comment on column orbit_private.context_entry.value is 'Any JSON; a secret''s is sealed text.';
comment on column orbit_private.context_entry.secret is 'Whether the value is sealed.';
comment on column orbit_private.context_entry.sealed_for is 'Which run a secret value is sealed for, where that is another: it came from there with a re-run. Null: this run.';
comment on column orbit_private.context_entry.worker_id is 'Whose report it came with, who need not be told; null: a caller''s.';
comment on column orbit_private.context_entry.updated_at is 'When it was last written.';
comment on column orbit_private.context_entry.expires_at is 'When it may be deleted, once its run is over.';
comment on column orbit_private.context_entry.version is 'The run''s event number at which it was written: a worker asks for what is newer than it has.';

create table orbit_private.run_secret (
  queue_no bigint not null references orbit.test_runs (queue_no) on delete cascade,
  name text not null,
  sealed text not null,
  place text not null,
  fields jsonb,
  released_to bigint[] not null default '{}',
  expires_at timestamptz not null default now() + interval '24 hours',
  primary key (queue_no, name),
  constraint run_secret_is_sealed_check check (sealed ~ '^orbit\.(seal|pgp)\.v1\.')
);
create index idx_run_secret_expires_at on orbit_private.run_secret (expires_at);
alter table orbit_private.run_secret enable row level security;
comment on table orbit_private.run_secret is 'Secret variables and credentials of runs, as they were when each was started. Nobody reads them but workers that hold tests which use them.';
comment on column orbit_private.run_secret.queue_no is 'The run''s number in the queue.';
comment on column orbit_private.run_secret.name is 'The variable; `env.x` is the environment''s own value where another one overrides it; `credentials.x` is a credential.';
comment on column orbit_private.run_secret.sealed is 'One of the two sealed forms.';
comment on column orbit_private.run_secret.place is 'What it is sealed for: run:<id>:<name>, or the place of the variable or credential it was taken from.';
comment on column orbit_private.run_secret.fields is 'Of a credential: what templates may say of it, {field: value}; null stands for the sealed value. Null for variables.';
comment on column orbit_private.run_secret.released_to is 'Workers that were given it, by id: each is in the audit log once.';
comment on column orbit_private.run_secret.expires_at is 'When it goes, if the run is over by then.';

-- Definer: the one question that the definers below ask of whoever calls them.
create function orbit_private.may_read_run(p_queue_no bigint)
returns boolean language sql stable security definer set search_path = '' as $$
  select orbit_private.caller_is_trusted() or exists (
    select from orbit.test_runs r where r.queue_no = p_queue_no and r.project_id = any (array(select orbit_private.my_project_ids())))
$$;
comment on function orbit_private.may_read_run is 'Whether the caller may read the run of that queue_no.';

-- Definer: entries are not readable directly; the run is, under its own policy.
create function orbit_private.context_of(p_queue_no bigint, p_kind text)
returns jsonb language sql stable security definer set search_path = '' as $$
  select case when not orbit_private.may_read_run(p_queue_no) then null
    when p_kind = 'captured' then
      (select coalesce(jsonb_object_agg(c.producer, c.names), '{}')
         from (select e.producer, jsonb_object_agg(e.name, e.value) as names from orbit_private.context_entry e
                where e.queue_no = p_queue_no and e.kind = 'captured' group by e.producer) c)
    else (select coalesce(jsonb_object_agg(e.name, e.value), '{}') from orbit_private.context_entry e
            where e.queue_no = p_queue_no and e.kind = p_kind) end
$$;

comment on function orbit_private.context_of is 'A run''s context of one kind as one document; null unless the caller may read the run.';

-- Definer: as context_of.
create function orbit_private.sealed_elsewhere(p_queue_no bigint)
returns jsonb language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_array(e.kind, e.producer, e.name, e.sealed_for) order by e.kind, e.producer, e.name), '[]')
    from orbit_private.context_entry e where e.queue_no = p_queue_no and e.sealed_for is not null and orbit_private.may_read_run(p_queue_no)
$$;
comment on function orbit_private.sealed_elsewhere is 'Entries of a run''s context that are sealed for another run: [[kind, producer, name, that run''s id], …]; none unless the caller may read the run.';

create function orbit_private.test_order_of(p_version_id uuid)
returns text[] language sql stable set search_path = '' as $$
  select array_agg(c.key order by t.n) from orbit.test_suite_versions v
    cross join unnest(v.test_case_ids) with ordinality t (id, n) join orbit.test_cases c on c.id = t.id where v.id = p_version_id
$$;
comment on function orbit_private.test_order_of is 'The keys of a suite version''s tests, in its order.';
grant execute on function orbit_private.context_of, orbit_private.sealed_elsewhere, orbit_private.test_order_of to authenticated, service_role;

create view orbit.test_execution_context with (security_invoker = true) as
  select r.id as run_id, r.project_id,
         orbit_private.context_of(r.queue_no, 'token') as shared_auth_tokens,
         orbit_private.context_of(r.queue_no, 'variable') as shared_variables,
         orbit_private.context_of(r.queue_no, 'captured') as captured_data,
         orbit_private.test_order_of(r.version_id) as test_order,
         coalesce(r.finished_at, r.started_at, r.created_at) as updated_at
    from orbit.test_runs r;
comment on view orbit.test_execution_context is 'The context of each run as one document; secret values are sealed. Empty 24 hours after the run.';
comment on column orbit.test_execution_context.run_id is 'Which run.';
comment on column orbit.test_execution_context.project_id is 'The run''s project.';
comment on column orbit.test_execution_context.shared_auth_tokens is '{name: token}.';
comment on column orbit.test_execution_context.shared_variables is '{name: value}.';
comment on column orbit.test_execution_context.captured_data is '{test: {name: value}}.';
comment on column orbit.test_execution_context.test_order is 'The keys of the suite''s tests, in its order.';
comment on column orbit.test_execution_context.updated_at is 'When the run last moved: finished, started or asked for.';
grant select on orbit.test_execution_context to authenticated, service_role;

-- The event log ----------------------------------------------------------------------------------------------------------

create table orbit_private.run_event (
  queue_no bigint not null,
  seq bigint not null,
  at timestamptz not null,
  payload jsonb,
  started bigint[],
  started_attempts smallint[],
  ended bigint[],
  ended_statuses text[],
  ended_durations real[],
  ended_attempts smallint[],
  ended_reasons text[],
  primary key (queue_no, seq)
) with (toast_tuple_target = 8160);
-- A statement's tests as arrays, side by side, left in the row as they are: one JSON array per test cost 6 µs, compressing it 1 more.
alter table orbit_private.run_event alter started set storage external, alter ended set storage external,
  alter ended_statuses set storage external, alter ended_durations set storage external;
comment on column orbit_private.run_event.payload is 'What is rare: run (its new status), reason, counts, began, context, retried.';
comment on column orbit_private.run_event.started is 'Jobs handed out, with their attempts (null: the first, all of them).';
comment on column orbit_private.run_event.ended is 'Jobs that are final, with statuses (null: all passed), durations in seconds, attempts (null: one each) and reasons.';
alter table orbit_private.run_event enable row level security;
comment on table orbit_private.run_event is 'What happened to a run, one row per statement that made it happen; seq has no gaps and follows the order of commits, because it is drawn under the lock of the run''s progress.';
comment on column orbit_private.run_event.queue_no is 'Which run.';
comment on column orbit_private.run_event.seq is 'From 1.';
comment on column orbit_private.run_event.at is 'When the statement ran.';
comment on column orbit_private.run_event.started_attempts is 'Of `started`; null: the first, all of them.';
comment on column orbit_private.run_event.ended_statuses is 'Of `ended`; null: all passed.';
comment on column orbit_private.run_event.ended_durations is 'Of `ended`, in seconds.';
comment on column orbit_private.run_event.ended_attempts is 'Of `ended`; null: one each.';
comment on column orbit_private.run_event.ended_reasons is 'Of `ended`, up to 300 characters each; null: none has one.';

create table orbit_private.run_progress (
  queue_no bigint primary key,
  run_id uuid not null,
  total int not null,
  remaining int not null,
  running int not null default 0,
  passed int not null default 0,
  passed_on_retry int not null default 0,
  failed int not null default 0,
  errored int not null default 0,
  timed_out int not null default 0,
  skipped int not null default 0,
  cancelled int not null default 0,
  event_seq bigint not null default 0,
  context_version bigint not null default 0,
  started boolean not null default false,
  fail_fast boolean not null default false,
  stop_status text,
  stop_reason text,
  doomed bigint[] not null default '{}',
  lanes bigint[] not null default '{0}',
  deadline_at timestamptz,
  constraint run_progress_stop_status_check check (stop_status in ('cancelled', 'timed_out', 'fail_fast')),
  constraint run_progress_sum_check check (
    remaining = total - passed - passed_on_retry - failed - errored - timed_out - skipped - cancelled and remaining >= running)
) with (fillfactor = 50);
alter table orbit_private.run_progress enable row level security;
comment on table orbit_private.run_progress is 'Live counters of the runs that are not finished. Every advance ends by updating its runs here, in order of queue_no: the row''s lock is what orders a run''s events.';
comment on column orbit_private.run_progress.queue_no is 'Which run.';
comment on column orbit_private.run_progress.run_id is 'The same run.';
comment on column orbit_private.run_progress.total is 'Tests of the run.';
comment on column orbit_private.run_progress.remaining is 'Tests that have no result yet.';
comment on column orbit_private.run_progress.running is 'Of these, those that a worker holds.';
comment on column orbit_private.run_progress.passed is 'Results so far, by verdict: passed at once.';
comment on column orbit_private.run_progress.passed_on_retry is 'Passed at a later attempt.';
comment on column orbit_private.run_progress.failed is 'The system under test is wrong.';
comment on column orbit_private.run_progress.errored is 'No verdict was reached.';
comment on column orbit_private.run_progress.timed_out is 'The deadline ended it.';
comment on column orbit_private.run_progress.skipped is 'Requirements were not met, or it is switched off.';
comment on column orbit_private.run_progress.cancelled is 'The end of the run overtook it.';
comment on column orbit_private.run_progress.event_seq is 'The number of the last event.';
comment on column orbit_private.run_progress.context_version is 'The number of the event that last changed the context.';
comment on column orbit_private.run_progress.started is 'Whether a test was handed out yet.';
comment on column orbit_private.run_progress.fail_fast is 'Whether the first failure ends it.';
comment on column orbit_private.run_progress.stop_status is 'How it is being stopped; null: it is not.';
comment on column orbit_private.run_progress.stop_reason is 'Why.';
comment on column orbit_private.run_progress.deadline_at is 'When it is stopped as timed out; null: never.';
comment on column orbit_private.run_progress.lanes is 'Where its jobs wait.';
comment on column orbit_private.run_progress.doomed is 'Clean-up that will not be run any more because what it strictly needs was skipped, and that somebody had locked at that moment.';

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
