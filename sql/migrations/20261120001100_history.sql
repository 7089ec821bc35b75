-- History: what is kept of tests and runs when their results are gone, and what was given up.
--
--   performance_metrics   a day of a test in an environment
--   test_run_history      a row per finished run, which outlives the run
--   failure_analysis      failures of one kind of one test, and which tests share the cause
--   dead_letters          tests that no worker lived to finish

-- Metrics ------------------------------------------------------------------------------------------------------------------

create table orbit.performance_metrics (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  test_case_id uuid not null references orbit.test_cases (id) on delete cascade,
  environment_id uuid references orbit.environments (id) on delete cascade,
  date date not null,
  total_runs int not null default 0,
  successful_runs int not null default 0,
  average_response_time_ms numeric not null default 0,
  p95_response_time_ms numeric not null default 0,
  p99_response_time_ms numeric not null default 0,
  success_rate numeric(5,2) not null default 0,
  updated_at timestamptz not null default now(),
  constraint performance_metrics_successful_runs_check check (successful_runs between 0 and total_runs),
  constraint performance_metrics_success_rate_check check (success_rate between 0 and 100),
  constraint performance_metrics_response_times_check check (
    average_response_time_ms >= 0 and p95_response_time_ms >= 0 and p99_response_time_ms >= p95_response_time_ms)
) with (fillfactor = 50);
-- Unique, and what `on conflict (test_case_id, environment_id, date)` infers: a day's row is made once.
create unique index idx_performance_metrics_lookup on orbit.performance_metrics (test_case_id, environment_id, date desc) nulls not distinct;
create index idx_performance_metrics_test_case_id on orbit.performance_metrics (test_case_id, date desc);
create index idx_performance_metrics_date on orbit.performance_metrics (date desc);
create index idx_performance_metrics_project_id on orbit.performance_metrics (project_id, date desc);
create index idx_performance_metrics_environment_id on orbit.performance_metrics (environment_id);
comment on table orbit.performance_metrics is 'A test''s day in an environment: how often, how fast, how often with success. Filled by the roll-up of results.';
comment on column orbit.performance_metrics.id is 'Drawn at random; the row is found by test, environment and date.';
comment on column orbit.performance_metrics.project_id is 'The test''s project.';
comment on column orbit.performance_metrics.test_case_id is 'Which test.';
comment on column orbit.performance_metrics.environment_id is 'Where it ran; null: in runs without an environment.';
comment on column orbit.performance_metrics.date is 'The day in UTC on which the results became final.';
comment on column orbit.performance_metrics.total_runs is 'Results with a verdict or an error; skipped and cancelled ones do not count.';
comment on column orbit.performance_metrics.successful_runs is 'Of these, those that passed, on a retry or at once.';
comment on column orbit.performance_metrics.average_response_time_ms is 'Arithmetic mean of the last attempts, in milliseconds.';
comment on column orbit.performance_metrics.p95_response_time_ms is '95th percentile in milliseconds.';
comment on column orbit.performance_metrics.p99_response_time_ms is '99th percentile in milliseconds.';
comment on column orbit.performance_metrics.success_rate is 'successful_runs of total_runs in per cent: 95.50.';
comment on column orbit.performance_metrics.updated_at is 'When a result was last counted in.';

-- Runs -----------------------------------------------------------------------------------------------------------------------

create table orbit.test_run_history (
  run_id uuid primary key,
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  suite_id uuid not null,
  suite text not null,
  environment_id uuid,
  environment text,
  status text not null,
  reason text,
  triggered_by text not null,
  created_by uuid,
  total int not null,
  passed int not null,
  passed_on_retry int not null,
  failed int not null,
  errored int not null,
  timed_out int not null,
  skipped int not null,
  cancelled int not null,
  created_at timestamptz not null,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  duration_ms float8 not null generated always as (extract(epoch from finished_at - started_at) * 1000) stored,
  constraint test_run_history_status_check check (status in ('passed', 'failed', 'errored', 'cancelled', 'timed_out')),
  constraint test_run_history_sum_check check (total = passed + passed_on_retry + failed + errored + timed_out + skipped + cancelled),
  constraint test_run_history_order_check check (finished_at >= started_at)
);
create index idx_test_run_history_project_id on orbit.test_run_history (project_id, finished_at desc);
create index idx_test_run_history_organization_id on orbit.test_run_history (organization_id, finished_at desc);
comment on table orbit.test_run_history is 'A row per finished run, written in the transaction that finishes it. It stays when the run, its suite and its environment are gone, which is why it names them and refers to none.';
comment on column orbit.test_run_history.run_id is 'The run''s id.';
comment on column orbit.test_run_history.organization_id is 'Whose run it was.';
comment on column orbit.test_run_history.project_id is 'The project, with which its history goes.';
comment on column orbit.test_run_history.suite_id is 'The suite''s id; there may be none of that id any more.';
comment on column orbit.test_run_history.suite is 'The suite''s name when the run ended.';
comment on column orbit.test_run_history.environment_id is 'The environment''s id; there may be none of that id any more. Null: the run had none.';
comment on column orbit.test_run_history.environment is 'The environment''s name when the run ended.';
comment on column orbit.test_run_history.status is 'The verdict.';
comment on column orbit.test_run_history.reason is 'Why it was cancelled or timed out.';
comment on column orbit.test_run_history.triggered_by is 'What started it: cli, sdk, schedule, a token''s name.';
comment on column orbit.test_run_history.created_by is 'Who started it; null for administrative roles and schedules.';
comment on column orbit.test_run_history.total is 'Tests of the run; the sum of the seven that follow.';
comment on column orbit.test_run_history.passed is 'Tests that passed at the first attempt.';
comment on column orbit.test_run_history.passed_on_retry is 'Tests that passed at a later one.';
comment on column orbit.test_run_history.failed is 'Tests with the verdict that the system under test is wrong.';
comment on column orbit.test_run_history.errored is 'Tests that reached no verdict.';
comment on column orbit.test_run_history.timed_out is 'Tests that their deadline ended.';
comment on column orbit.test_run_history.skipped is 'Tests whose requirements were not met, or that are switched off.';
comment on column orbit.test_run_history.cancelled is 'Tests that the end of the run overtook.';
comment on column orbit.test_run_history.created_at is 'When it was asked for.';
comment on column orbit.test_run_history.started_at is 'When its first test was handed out; its end where none was.';
comment on column orbit.test_run_history.finished_at is 'When its last result became final.';
comment on column orbit.test_run_history.duration_ms is 'Milliseconds from start to finish.';

create function orbit_private.remember_run(p_queue_no bigint)
returns void language sql set search_path = '' as $$
  insert into orbit.test_run_history (run_id, organization_id, project_id, suite_id, suite, environment_id, environment, status, reason, triggered_by,
      created_by, total, passed, passed_on_retry, failed, errored, timed_out, skipped, cancelled, created_at, started_at, finished_at)
    select r.id, r.organization_id, r.project_id, r.suite_id, s.name, r.environment_id, e.name, r.status, r.reason, r.triggered_by,
        r.created_by, c.total, c.passed, c.passed_on_retry, c.failed, c.errored, c.timed_out, c.skipped, c.cancelled, r.created_at, r.started_at, r.finished_at
      from orbit.test_runs r join orbit.test_suites s on s.id = r.suite_id left join orbit.environments e on e.id = r.environment_id
      cross join lateral jsonb_to_record(r.counts) c (total int, passed int, passed_on_retry int, failed int, errored int, timed_out int, skipped int, cancelled int)
      where r.queue_no = p_queue_no
    on conflict (run_id) do nothing
$$;
comment on function orbit_private.remember_run is 'Writes the history row of a run that has just been finished; called by finish_run.';

-- Failures ---------------------------------------------------------------------------------------------------------------------

create table orbit.failure_analysis (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  test_case_id uuid not null references orbit.test_cases (id) on delete cascade,
  environment_id uuid references orbit.environments (id) on delete cascade,
  fingerprint text not null,
  category text not null,
  message text not null,
  root_cause_hint text,
  cluster text not null,
  occurrences int not null default 1,
  first_run_id uuid not null,
  first_seen_at timestamptz not null,
  last_run_id uuid not null,
  last_seen_at timestamptz not null,
  constraint failure_analysis_fingerprint_key unique nulls not distinct (test_case_id, environment_id, fingerprint),
  constraint failure_analysis_category_check check (category in (
    'assertion', 'schema', 'capture_missing', 'template', 'config', 'data', 'dns', 'connect', 'tls', 'timeout', 'reset', 'protocol', 'proxy',
    'body_too_large', 'too_many_redirects', 'status_4xx', 'status_5xx', 'auth', 'expression', 'dependency', 'runner_lost', 'cancelled', 'internal')),
  constraint failure_analysis_fingerprint_check check (fingerprint <> '' and cluster <> ''),
  constraint failure_analysis_occurrences_check check (occurrences > 0),
  constraint failure_analysis_order_check check (last_seen_at >= first_seen_at)
);
create index idx_failure_analysis_project_id on orbit.failure_analysis (project_id, last_seen_at desc);
create index idx_failure_analysis_cluster on orbit.failure_analysis (project_id, cluster);
create index idx_failure_analysis_environment_id on orbit.failure_analysis (environment_id);
comment on table orbit.failure_analysis is 'Failures of one kind of one test in one environment, with what they have in common. Filled by the analysis of results.';
comment on column orbit.failure_analysis.id is 'Drawn at random.';
comment on column orbit.failure_analysis.project_id is 'The test''s project.';
comment on column orbit.failure_analysis.test_case_id is 'Which test failed.';
comment on column orbit.failure_analysis.environment_id is 'Where; null: in runs without an environment.';
comment on column orbit.failure_analysis.fingerprint is 'What makes two failures of a test the same: a digest of category, place and message with everything that varies taken out.';
comment on column orbit.failure_analysis.category is 'Why it did not pass, in the words of results.';
comment on column orbit.failure_analysis.message is 'The message of the newest of them; secrets are masked.';
comment on column orbit.failure_analysis.root_cause_hint is 'What is worth looking at first, in a sentence; null where nothing is known.';
comment on column orbit.failure_analysis.cluster is 'The same for failures of different tests that probably have one cause.';
comment on column orbit.failure_analysis.occurrences is 'How many there were.';
comment on column orbit.failure_analysis.first_run_id is 'The run in which it was seen first; it may be gone.';
comment on column orbit.failure_analysis.first_seen_at is 'When that was.';
comment on column orbit.failure_analysis.last_run_id is 'The run in which it was seen last; it may be gone.';
comment on column orbit.failure_analysis.last_seen_at is 'When that was.';

-- Dead letters -------------------------------------------------------------------------------------------------------------------

create table orbit.dead_letters (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  run_id uuid not null references orbit.test_runs (id) on delete cascade,
  test_case_id uuid not null references orbit.test_cases (id) on delete cascade,
  position int not null,
  attempts int not null,
  reason text,
  previous_attempts jsonb not null default '[]',
  created_at timestamptz not null default now(),
  replayed_at timestamptz,
  replay_run_id uuid references orbit.test_runs (id) on delete set null,
  dropped_at timestamptz,
  closed_by uuid references orbit.users (id) on delete set null,
  note text,
  constraint dead_letters_run_id_position_key unique (run_id, position),
  constraint dead_letters_position_check check (position >= 0),
  constraint dead_letters_attempts_check check (attempts > 0),
  constraint dead_letters_closed_once_check check (
    num_nonnulls(replayed_at, dropped_at) <= 1
    and (replay_run_id is null or replayed_at is not null)
    and (closed_by is null or num_nonnulls(replayed_at, dropped_at) = 1)),
  constraint dead_letters_note_check check (length(note) between 1 and 1000)
);
create index idx_dead_letters_project_id on orbit.dead_letters (project_id, created_at desc);
create index idx_dead_letters_test_case_id on orbit.dead_letters (test_case_id);
create index idx_dead_letters_replay_run_id on orbit.dead_letters (replay_run_id);
create index idx_dead_letters_closed_by on orbit.dead_letters (closed_by);
comment on table orbit.dead_letters is 'Tests that were given up because three workers were lost over them, whose fault it may well be. Written where the queue gives up. Open until replayed or dropped.';
comment on column orbit.dead_letters.id is 'Drawn at random.';
comment on column orbit.dead_letters.project_id is 'The run''s project.';
comment on column orbit.dead_letters.run_id is 'The run it belonged to, with which it goes.';
comment on column orbit.dead_letters.test_case_id is 'Which test.';
comment on column orbit.dead_letters.position is 'Of the test in the run''s suite, from 0.';
comment on column orbit.dead_letters.attempts is 'How often it was handed out.';
comment on column orbit.dead_letters.reason is 'What is known of the last loss.';
comment on column orbit.dead_letters.previous_attempts is 'The attempts before the last, as in the result''s details: [{number, status, reason, worker, …}].';
comment on column orbit.dead_letters.created_at is 'When it was given up.';
comment on column orbit.dead_letters.replayed_at is 'When it was tried anew; null: not yet.';
comment on column orbit.dead_letters.replay_run_id is 'The run that tries it anew; null also where that run is gone.';
comment on column orbit.dead_letters.dropped_at is 'When somebody decided to leave it at that; null: not yet.';
comment on column orbit.dead_letters.closed_by is 'Who replayed or dropped it; null for administrative roles.';
comment on column orbit.dead_letters.note is 'What they said when they did; null: nothing.';

-- RLS ------------------------------------------------------------------------------------------------------------------------

do $$
declare v_table text;
begin
  foreach v_table in array array['performance_metrics', 'test_run_history', 'failure_analysis', 'dead_letters'] loop
    execute format('alter table orbit.%I enable row level security', v_table);
    execute format('grant select on orbit.%I to authenticated', v_table);
    execute format('grant all on orbit.%I to service_role', v_table);
    execute format('create policy %I on orbit.%I for select to authenticated
                      using (project_id = any (array(select orbit_private.my_project_ids())))', v_table || '_select', v_table);
  end loop;
end $$;

-- Reading ------------------------------------------------------------------------------------------------------------------------

create function orbit_private.scope_of(p_request jsonb)
returns uuid[] language plpgsql stable set search_path = '' as $$
begin
  if p_request ->> 'project' is not null then
    return array[(orbit_private.project_of(p_request)).id];
  elsif p_request ->> 'organization' is not null then
    return array(select p.id from orbit.projects p where p.organization_id = orbit_private.organization_of(p_request));
  end if;
  return null;
end $$;
comment on function orbit_private.scope_of is 'The projects that a list is about: the one named, else those of the organisation named, else null for all that the caller sees. OR002 where they are not the caller''s.';

create function orbit_private.limit_of(p_request jsonb)
returns int language plpgsql immutable set search_path = '' as $$
declare v_limit numeric := coalesce((p_request ->> 'limit')::numeric, 50);
begin
  if v_limit not between 1 and 1000 or v_limit <> trunc(v_limit) then
    perform orbit_private.refuse('OR001', 'limit is a whole number from 1 to 1000', format('this one is %s', left(p_request ->> 'limit', 40)));
  end if;
  return v_limit;
end $$;
comment on function orbit_private.limit_of is 'How many rows a list is to have: `limit`, else 50; OR001 below 1 and above 1000.';

create function orbit.list_metrics(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
-- Put together from what was asked for, so that each way of asking is planned for its own index.
declare
  v_scope uuid[] := orbit_private.scope_of(p_request); v_rows jsonb;
  v_test uuid := orbit_private.to_uuid(p_request ->> 'test_case_id', 'test_case_id');
  v_environment uuid := orbit_private.to_uuid(p_request ->> 'environment_id', 'environment_id');
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'test_case_id', 'environment_id', 'from', 'to', 'limit']);
  execute $q$ select coalesce(jsonb_agg(to_jsonb(m) - 'id' - 'project_id' order by m.date desc, m.test_case_id, m.environment_id), '[]') from (
      select m.* from orbit.performance_metrics m where m.date between $1 and $2 $q$
    || case when v_test is not null then ' and m.test_case_id = $3' else '' end
    || case when v_environment is not null then ' and m.environment_id = $4' else '' end
    || case when v_scope is not null then ' and m.project_id = any ($5)' else '' end
    || ' order by m.date desc limit $6) m'
    into v_rows using coalesce((p_request ->> 'from')::date, '-infinity'), coalesce((p_request ->> 'to')::date, 'infinity'),
      v_test, v_environment, v_scope, orbit_private.limit_of(p_request);
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_metrics is 'Daily metrics, the newest day first: {organization?, project?, test_case_id?, environment_id?, from?, to? (dates), limit? = 50, at most 1000} → [{test_case_id, environment_id, date, total_runs, successful_runs, average_response_time_ms, p95_response_time_ms, p99_response_time_ms, success_rate, updated_at}].';

create function orbit.list_run_history(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_scope uuid[] := orbit_private.scope_of(p_request); v_rows jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'suite', 'status', 'before', 'limit']);
  execute $q$ select coalesce(jsonb_agg(to_jsonb(h) - 'organization_id' order by h.finished_at desc, h.run_id), '[]') from (
      select h.* from orbit.test_run_history h where ($1::text is null or h.suite = $1) and ($2::text is null or h.status = $2)
         and ($3::timestamptz is null or h.finished_at < $3) $q$
    || case when v_scope is not null then ' and h.project_id = any ($4)' else '' end
    || ' order by h.finished_at desc limit $5) h'
    into v_rows using p_request ->> 'suite', p_request ->> 'status', (p_request ->> 'before')::timestamptz, v_scope, orbit_private.limit_of(p_request);
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_run_history is 'Finished runs, the newest first, also those whose results are no longer kept: {organization?, project?, suite?, status?, before? (time of finish), limit? = 50, at most 1000} → [{run_id, project_id, suite_id, suite, environment_id, environment, status, reason, triggered_by, created_by, total, passed, passed_on_retry, failed, errored, timed_out, skipped, cancelled, created_at, started_at, finished_at, duration_ms}].';

create function orbit.list_failures(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_scope uuid[] := orbit_private.scope_of(p_request); v_rows jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'test_case_id', 'category', 'cluster', 'limit']);
  select coalesce(jsonb_agg(to_jsonb(f) order by f.last_seen_at desc, f.id), '[]') into v_rows from (
    select a.* from orbit.failure_analysis a
      where (v_scope is null or a.project_id = any (v_scope))
        and (p_request ->> 'test_case_id' is null or a.test_case_id = orbit_private.to_uuid(p_request ->> 'test_case_id', 'test_case_id'))
        and (p_request ->> 'category' is null or a.category = p_request ->> 'category')
        and (p_request ->> 'cluster' is null or a.cluster = p_request ->> 'cluster')
      order by a.last_seen_at desc limit orbit_private.limit_of(p_request)) f;
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_failures is 'Kinds of failures, the one seen last first: {organization?, project?, test_case_id?, category?, cluster?, limit? = 50, at most 1000} → [{id, project_id, test_case_id, environment_id, fingerprint, category, message, root_cause_hint, cluster, occurrences, first_run_id, first_seen_at, last_run_id, last_seen_at}].';

create function orbit_private.letter_of(p orbit.dead_letters)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', p.id, 'project_id', p.project_id, 'run_id', p.run_id, 'test_case_id', p.test_case_id, 'suite', s.name, 'key', c.key,
      'position', p.position, 'attempts', p.attempts, 'reason', p.reason, 'previous_attempts', p.previous_attempts,
      'state', case when p.replayed_at is not null then 'replayed' when p.dropped_at is not null then 'dropped' else 'open' end,
      'created_at', p.created_at, 'replayed_at', p.replayed_at, 'replay_run_id', p.replay_run_id, 'dropped_at', p.dropped_at,
      'closed_by', p.closed_by, 'note', p.note)
    from orbit.test_cases c join orbit.test_suites s on s.id = c.suite_id where c.id = p.test_case_id
$$;
comment on function orbit_private.letter_of is 'A dead letter as callers see it.';

create function orbit.list_dead_letters(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_scope uuid[] := orbit_private.scope_of(p_request); v_rows jsonb; v_state text := coalesce(p_request ->> 'state', 'open');
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'state', 'limit']);
  if v_state not in ('open', 'replayed', 'dropped', 'all') then
    perform orbit_private.refuse('OR001', format('a dead letter is never %s', left(v_state, 40)), '', 'state is one of open, replayed, dropped, all.');
  end if;
  select coalesce(jsonb_agg(orbit_private.letter_of(d) order by d.created_at desc, d.id), '[]') into v_rows
    from (select l.* from orbit.dead_letters l
            where (v_scope is null or l.project_id = any (v_scope))
              and case v_state when 'all' then true when 'replayed' then l.replayed_at is not null when 'dropped' then l.dropped_at is not null
                  else l.replayed_at is null and l.dropped_at is null end
            order by l.created_at desc limit orbit_private.limit_of(p_request)) d;
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_dead_letters is 'Tests that were given up, the newest first: {organization?, project?, state? = open | replayed | dropped | all, limit? = 50, at most 1000} → [{id, project_id, run_id, test_case_id, suite, key, position, attempts, reason, previous_attempts, state, created_at, replayed_at, replay_run_id, dropped_at, closed_by, note}].';

-- Definer: it answers "not found" alike for what is not there and for what is not the caller's.
create function orbit_private.visible_letter(p_id text)
returns orbit.dead_letters language plpgsql stable security definer set search_path = '' as $$
declare v_letter orbit.dead_letters; v_ids uuid[];
begin
  if p_id ~ '^[0-9a-f][0-9a-f-]{3,34}$' then
    v_ids := array(select d.id from orbit.dead_letters d where d.id::text like p_id || '%'
        and (orbit_private.caller_is_trusted() or d.project_id = any (array(select orbit_private.my_project_ids()))) limit 2);
    if cardinality(v_ids) > 1 then
      perform orbit_private.refuse('OR001', format('more than one dead letter''s id begins with %s', p_id), '', 'Give more of it.');
    end if;
  else
    v_ids := array[orbit_private.to_uuid(p_id, 'id')];
  end if;
  select d.* into v_letter from orbit.dead_letters d where d.id = v_ids[1]
    and (orbit_private.caller_is_trusted() or d.project_id = any (array(select orbit_private.my_project_ids())));
  if v_letter.id is null then
    perform orbit_private.refuse('OR002', format('no dead letter %s', left(p_id, 60)), '', 'List them: orbit dead-letters list --state all');
  end if;
  return v_letter;
end $$;
comment on function orbit_private.visible_letter is 'The dead letter of that id, or of which the id begins so (four characters or more); OR002 unless the caller may read it.';

create function orbit.get_dead_letter(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, array['id']);
  return orbit_private.letter_of(orbit_private.visible_letter(orbit_private.required(p_request, 'id')));
end $$;
comment on function orbit.get_dead_letter is 'A test that was given up, by {id} or the beginning of it: one row of orbit.list_dead_letters. OR002.';

create function orbit_private.letters_meant(p_request jsonb)
returns uuid[] language plpgsql stable set search_path = '' as $$
-- Granted to nobody: called by what asks for run.control.
declare v_projects uuid[]; v_ids uuid[];
begin
  perform orbit_private.refuse_unknown(p_request, array['ids', 'organization', 'project', 'all', 'note']);
  if length(p_request ->> 'note') > 1000 then
    perform orbit_private.refuse('OR001', 'note is longer than 1,000 characters', format('it has %s', length(p_request ->> 'note')));
  end if;
  if num_nonnulls(p_request ->> 'ids', p_request ->> 'project', nullif((p_request ->> 'all')::boolean, false)) <> 1 then
    perform orbit_private.refuse('OR001', 'which dead letters is not said', '', 'Say one of ids: [id, …], project, and all: true.');
  end if;
  if p_request ->> 'ids' is not null then
    if jsonb_typeof(p_request -> 'ids') <> 'array' or jsonb_array_length(p_request -> 'ids') not between 1 and 200 then
      perform orbit_private.refuse('OR001', 'ids is an array of 1 to 200 ids');
    end if;
    for n in 0 .. jsonb_array_length(p_request -> 'ids') - 1 loop
      v_ids := v_ids || (orbit_private.visible_letter(coalesce(p_request -> 'ids' ->> n, ''))).id;
    end loop;
  else
    v_projects := orbit_private.projects_in_scope(p_request);
    v_ids := array(select d.id from orbit.dead_letters d where d.replayed_at is null and d.dropped_at is null
        and (v_projects is null or d.project_id = any (v_projects))
        and (orbit_private.caller_is_trusted() or d.project_id = any (array(select orbit_private.my_project_ids('run.control'))))
      order by d.created_at, d.id limit 200);
  end if;
  return array(select distinct i from unnest(v_ids) i order by i);  -- locked in this order
end $$;
comment on function orbit_private.letters_meant is 'The dead letters that a request means: its ids, else the open ones of the project, or of all, in which the caller may control runs; at most 200.';

-- Definer: it starts runs as the caller, and writes what nobody writes.
create function orbit_private.replay_dead_letters(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
-- One that somebody else is just replaying is waited for, and is then replayed already: there is one new run, whoever comes.
declare
  v_letter orbit.dead_letters; v_run orbit.test_runs; v_key text; v_id uuid; v_new jsonb; v_replayed jsonb := '[]'; v_skipped jsonb := '[]'; v_said text;
begin
  foreach v_id in array orbit_private.letters_meant(p_request) loop
    select * into v_letter from orbit.dead_letters d where d.id = v_id for update;
    continue when not found;
    select * into v_run from orbit.test_runs r where r.id = v_letter.run_id;
    perform orbit_private.require('run.control', 'suite', v_run.suite_id);
    if v_letter.replayed_at is not null or v_letter.dropped_at is not null then
      v_skipped := v_skipped || jsonb_build_object('id', v_id, 'reason', case when v_letter.dropped_at is not null then 'it was dropped'
        else 'it was replayed' || coalesce(' in the run ' || v_letter.replay_run_id, '') end);
      continue;
    end if;
    -- As with a run that is run again: whoever changes the suite says where its tests send what somebody else alone was trusted with.
    if v_run.created_by is distinct from (select auth.uid()) and not orbit_private.may('secret.read', 'suite', v_run.suite_id)
       and exists (select from orbit_private.run_secret s where s.queue_no = v_run.queue_no and s.name not like 'credentials.%') then
      perform orbit_private.refuse('OR003', format('secrets of the run %s are somebody else''s', v_run.id), 'they were given with a run that another person started',
        'Whoever started it may replay it, or who may do secret.read; or run the test anew: orbit rerun.');
    end if;
    v_key := (select c.key from orbit.test_cases c where c.id = v_letter.test_case_id);
    begin
      v_new := orbit_private.start_run(jsonb_strip_nulls(jsonb_build_object('suite_id', v_run.suite_id, 'environment_id', v_run.environment_id,
          'selection', jsonb_build_object('tests', jsonb_build_array(v_key)), 'variables', v_run.variables, 'templates', v_run.templates,
          'priority', v_run.priority, 'base_dir', v_run.base_dir, 'triggered_by', 'replay'))
        || jsonb_build_object('defaults', to_jsonb(v_run.defaults)));
    exception when sqlstate 'OR002' or sqlstate 'OR004' or sqlstate 'OR005' then  -- the test is gone, say; the others are replayed all the same
      get stacked diagnostics v_said = message_text;
      v_skipped := v_skipped || jsonb_build_object('id', v_id, 'reason', v_said);
      continue;
    end;
    -- What the run was given in secret, as long as it is kept; another person's credentials stay that person's.
    insert into orbit_private.run_secret (queue_no, name, sealed, place, fields)
      select (v_new ->> 'queue_no')::bigint, s.name, s.sealed, s.place, s.fields from orbit_private.run_secret s
        where s.queue_no = v_run.queue_no and (s.name not like 'credentials.%' or v_run.created_by is not distinct from (select auth.uid()))
      on conflict do nothing;
    update orbit.dead_letters d set replayed_at = clock_timestamp(), replay_run_id = (v_new ->> 'id')::uuid, note = nullif(p_request ->> 'note', ''),
        closed_by = (select u.id from orbit.users u where u.id = (select auth.uid())) where d.id = v_id;
    v_replayed := v_replayed || jsonb_build_object('id', v_id, 'key', v_key, 'run_id', v_new ->> 'id');
  end loop;
  return jsonb_build_object('replayed', v_replayed, 'skipped', v_skipped);
exception when data_exception or check_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.replay_dead_letters is 'See orbit.replay_dead_letters.';

create function orbit.replay_dead_letters(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.replay_dead_letters(p_request) $$;
comment on function orbit.replay_dead_letters is 'Tries tests anew that were given up, each in a run of its own with what it needs, by the shared workers: {ids: [id, …] | project, organization? | all: true, note? (up to 1,000 characters)} → {replayed: [{id, key, run_id}], skipped: [{id, reason}]}. With project or all: the 200 oldest open ones. Each is replayed once. OR002, OR003 without run.control and run.start.';

-- Definer: it writes what nobody writes, after require().
create function orbit_private.drop_dead_letters(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_letter orbit.dead_letters; v_id uuid; v_dropped jsonb := '[]'; v_skipped jsonb := '[]';
begin
  foreach v_id in array orbit_private.letters_meant(p_request) loop
    select * into v_letter from orbit.dead_letters d where d.id = v_id for update;
    continue when not found;
    perform orbit_private.require('run.control', 'suite', (select r.suite_id from orbit.test_runs r where r.id = v_letter.run_id));
    if v_letter.replayed_at is not null or v_letter.dropped_at is not null then
      v_skipped := v_skipped || jsonb_build_object('id', v_id, 'reason', case when v_letter.dropped_at is not null then 'it was dropped'
        else 'it was replayed' || coalesce(' in the run ' || v_letter.replay_run_id, '') end);
      continue;
    end if;
    update orbit.dead_letters d set dropped_at = clock_timestamp(), note = nullif(p_request ->> 'note', ''),
        closed_by = (select u.id from orbit.users u where u.id = (select auth.uid())) where d.id = v_id;
    v_dropped := v_dropped || to_jsonb(v_id);
  end loop;
  return jsonb_build_object('dropped', v_dropped, 'skipped', v_skipped);
exception when data_exception or check_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.drop_dead_letters is 'See orbit.drop_dead_letters.';

create function orbit.drop_dead_letters(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.drop_dead_letters(p_request) $$;
comment on function orbit.drop_dead_letters is 'Leaves tests that were given up at that: {ids: [id, …] | project, organization? | all: true, note? (up to 1,000 characters)} → {dropped: [id], skipped: [{id, reason}]}. They stay to be read. OR002, OR003 without run.control.';

grant execute on function orbit_private.scope_of, orbit_private.limit_of, orbit_private.letter_of, orbit_private.visible_letter,
  orbit_private.replay_dead_letters, orbit_private.drop_dead_letters to authenticated, service_role;
grant execute on function orbit.list_metrics, orbit.list_run_history, orbit.list_failures, orbit.list_dead_letters, orbit.get_dead_letter,
  orbit.replay_dead_letters, orbit.drop_dead_letters to authenticated, service_role;

select orbit_private.audited('orbit.dead_letters', 'dead_letter');

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
