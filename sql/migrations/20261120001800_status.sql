-- Status: what stands where, why it waits, how it went, and whether all is well.
--
--   state_transitions   which changes there are of a run and of a test, and whose they are; a run takes no other
--   run_transition      who changed a run's status, when and why
--   queue_status, explain_waiting, health, stats
--
-- All of it reads: nothing here takes a lock that a worker waits for.

-- Which changes there are ------------------------------------------------------------------------------------------------------

create table orbit.state_transitions (
  subject text not null,
  from_state text not null,
  to_state text not null,
  by_whom text not null,
  description text not null,
  primary key (subject, from_state, to_state),
  constraint state_transitions_subject_check check (subject in ('run', 'test', 'result')),
  constraint state_transitions_by_whom_check check (by_whom in ('caller', 'worker', 'system', 'caller or system', 'worker or system', 'anybody'))
);
comment on table orbit.state_transitions is 'Every change of state there is. What a test does on its way (subject test) is told apart from what comes of it (subject result).';
comment on column orbit.state_transitions.subject is 'run: orbit.test_runs.status. test: where the test of a run stands in the queue. result: orbit.test_results.status.';
comment on column orbit.state_transitions.from_state is 'The state before; `new` where there was none.';
comment on column orbit.state_transitions.to_state is 'The state after.';
comment on column orbit.state_transitions.by_whom is 'Whose doing it is: caller (whoever starts or cancels the run), worker, or system (deadlines, back-offs, lost workers).';
comment on column orbit.state_transitions.description is 'When that happens, in a sentence.';

insert into orbit.state_transitions (subject, from_state, to_state, by_whom, description) values
  ('run', 'new', 'queued', 'caller or system', 'Somebody, or a schedule, starts it.'),
  ('run', 'queued', 'running', 'worker', 'Its first test is handed out.'),
  ('run', 'queued', 'passed', 'anybody', 'Nothing of it is to be run: every test is switched off.'),
  ('run', 'queued', 'cancelling', 'anybody', 'It is cancelled, its time is up, or its group cannot be set up, before a test was handed out.'),
  ('run', 'running', 'cancelling', 'anybody', 'It is cancelled, its time is up, or its group cannot be set up.'),
  ('run', 'running', 'passed', 'worker or system', 'Its last result became final, and nothing failed.'),
  ('run', 'running', 'failed', 'worker or system', 'Its last result became final; a test failed or timed out.'),
  ('run', 'running', 'errored', 'worker or system', 'Its last result became final; none failed, but one reached no verdict.'),
  ('run', 'cancelling', 'cancelled', 'anybody', 'What was under way when it was cancelled has ended.'),
  ('run', 'cancelling', 'timed_out', 'worker or system', 'What was under way when its time was up has ended.'),
  ('test', 'new', 'blocked', 'caller or system', 'It needs another test of the run.'),
  ('test', 'new', 'ready', 'caller or system', 'It needs nothing.'),
  ('test', 'new', 'parked', 'caller or system', 'It needs nothing, but the run has as many tests ready as may run at once.'),
  ('test', 'blocked', 'ready', 'anybody', 'The last of what it needs is final.'),
  ('test', 'blocked', 'finished', 'anybody', 'What it needs did not pass or is switched off, or the run is stopped: skipped or cancelled.'),
  ('test', 'ready', 'held', 'worker', 'A worker takes it.'),
  ('test', 'ready', 'parked', 'worker', 'A worker would take it, but as many run as may.'),
  ('test', 'ready', 'finished', 'anybody', 'It is switched off, or the run is stopped.'),
  ('test', 'parked', 'ready', 'anybody', 'One of those that filled the gate has ended, or the cap was raised.'),
  ('test', 'parked', 'put_off', 'worker or system', 'The rate allows the next one only in a while.'),
  ('test', 'parked', 'finished', 'anybody', 'The run is stopped.'),
  ('test', 'held', 'ready', 'worker or system', 'Its worker was lost or signed off: it is handed out anew.'),
  ('test', 'held', 'put_off', 'worker or system', 'The attempt did not pass and another one follows, after a back-off; or its worker was lost with several tests, which are tried apart.'),
  ('test', 'held', 'finished', 'worker or system', 'The worker reports its result; or it is given up, after the third lost worker.'),
  ('test', 'put_off', 'ready', 'worker', 'The back-off is over.'),
  ('test', 'put_off', 'finished', 'anybody', 'The run is stopped.'),
  ('result', 'new', 'passed', 'worker', 'Its first attempt passed.'),
  ('result', 'new', 'passed_on_retry', 'worker', 'A later attempt passed.'),
  ('result', 'new', 'failed', 'worker', 'The system under test is wrong.'),
  ('result', 'new', 'errored', 'worker or system', 'No verdict was reached; or three workers were lost over it.'),
  ('result', 'new', 'timed_out', 'worker', 'Its deadline ended it.'),
  ('result', 'new', 'skipped', 'anybody', 'What it needs did not pass, it is switched off, or the run ended at its first failure.'),
  ('result', 'new', 'cancelled', 'anybody', 'The end of the run overtook it.');

alter table orbit.state_transitions enable row level security;
grant select on orbit.state_transitions to authenticated;
grant all on orbit.state_transitions to service_role;
create policy state_transitions_select on orbit.state_transitions for select to authenticated using (true);

create table orbit_private.run_transition (
  queue_no bigint not null references orbit.test_runs (queue_no) on delete cascade,
  to_state text not null,
  from_state text not null,
  at timestamptz not null,
  by_whom text not null,
  actor text,
  user_id uuid,
  reason text,
  primary key (queue_no, to_state),
  constraint run_transition_by_whom_check check (by_whom in ('caller', 'worker', 'system'))
);
alter table orbit_private.run_transition enable row level security;
comment on table orbit_private.run_transition is 'Each change of a run''s status; a run is in no state twice.';
comment on column orbit_private.run_transition.queue_no is 'Which run.';
comment on column orbit_private.run_transition.to_state is 'Its status from then on.';
comment on column orbit_private.run_transition.from_state is 'Its status until then; `new` at its start.';
comment on column orbit_private.run_transition.at is 'When.';
comment on column orbit_private.run_transition.by_whom is 'caller, worker or system, as in orbit.state_transitions.';
comment on column orbit_private.run_transition.actor is 'An e-mail address, a database role, or a worker''s name; null: nobody in particular.';
comment on column orbit_private.run_transition.user_id is 'Who was signed in; null: nobody.';
comment on column orbit_private.run_transition.reason is 'Why: what started it, or why it was stopped; null: its tests came to their end.';

-- Definer: whoever changes a run writes its history, which is nobody's.
create function orbit_private.tg_run_transition()
returns trigger language plpgsql security definer set search_path = '' as $$
-- Three times in a run's life. orbit.actor: the worker on whose call it happens, or `system`; set by what a runner calls.
declare
  v_from text := case tg_op when 'INSERT' then 'new' else old.status end;
  v_user uuid := (select auth.uid()); v_actor text := nullif(current_setting('orbit.actor', true), ''); v_by text; v_name text;
begin
  if tg_op = 'UPDATE' and not exists (
       select from orbit.state_transitions t where t.subject = 'run' and t.from_state = v_from and t.to_state = new.status) then
    perform orbit_private.refuse('OR004', format('a run that is %s does not become %s', v_from, new.status), '',
      'The changes there are stand in orbit.state_transitions.');
  end if;
  if v_user is not null then
    v_by := 'caller';
    v_name := coalesce((select u.email from orbit.users u where u.id = v_user), v_user::text);
  elsif v_actor ~ '^[0-9]+$' then
    v_name := (select w.name from orbit_private.worker w where w.id = v_actor::bigint);
    v_by := case when v_name is null then 'system' else 'worker' end;  -- a worker that is gone did nothing: it was given up
  elsif v_actor is not null then
    v_by := 'system';
  else
    v_by := 'caller';
    v_name := coalesce(nullif(current_setting('role', true), 'none'), session_user);
  end if;
  insert into orbit_private.run_transition (queue_no, to_state, from_state, at, by_whom, actor, user_id, reason)
    values (new.queue_no, new.status, v_from, clock_timestamp(), v_by, v_name, v_user,
            case when tg_op = 'INSERT' then new.triggered_by when new.status in ('cancelling', 'cancelled', 'timed_out') then new.reason end)
    on conflict (queue_no, to_state) do nothing;
  return null;
end $$;
comment on function orbit_private.tg_run_transition is 'Refuses a change of a run''s status that is not in orbit.state_transitions (OR004), and keeps those that are.';
create trigger "100_transition_new" after insert on orbit.test_runs for each row execute function orbit_private.tg_run_transition();
create trigger "100_transition" after update of status on orbit.test_runs for each row
  when (old.status is distinct from new.status) execute function orbit_private.tg_run_transition();

-- Definer: the history of runs is nobody's rows; visible_run() asks.
create function orbit_private.list_transitions(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare v_run orbit.test_runs;
begin
  perform orbit_private.refuse_unknown(p_request, array['run_id']);
  v_run := orbit_private.visible_run(p_request);
  return (select coalesce(jsonb_agg(jsonb_build_object('from', t.from_state, 'to', t.to_state, 'at', t.at, 'by', t.by_whom, 'actor', t.actor,
      'user_id', t.user_id, 'reason', t.reason) order by t.at, t.from_state <> 'new'), '[]')
    from orbit_private.run_transition t where t.queue_no = v_run.queue_no);
end $$;
comment on function orbit_private.list_transitions is 'See orbit.list_transitions.';

create function orbit.list_transitions(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.list_transitions(p_request) $$;
comment on function orbit.list_transitions is 'Who changed a run''s status, when and why: {run_id} → [{from, to, at, by: caller | worker | system, actor, user_id, reason}], the first first. Which changes there are: orbit.state_transitions.';

-- Why a test waits -----------------------------------------------------------------------------------------------------------------

create function orbit_private.waiting_reasons()
returns table (reason text, description text) language sql immutable set search_path = '' as $$
  values
    ('requirements', 'for tests that they need'),
    ('retry', 'for the back-off before their next attempt'),
    ('run_cap', 'because as many of the run''s tests run as may at once'),
    ('organization_cap', 'because as many of the organisation''s tests run as may at once'),
    ('environment_cap', 'because as many tests run in the environment as may at once'),
    ('host_cap', 'because as many tests run against the host as may at once'),
    ('rate', 'because no more may begin in this second'),
    ('group', 'for their group to be set up'),
    ('capability', 'for a worker that can run them'),
    ('no_worker', 'for a worker: none is alive that serves them'),
    ('own_worker', 'for the runner that the run brings itself'),
    ('lost', 'to be handed out anew, for their worker was lost'),
    ('slot', 'for a free slot')
$$;
comment on function orbit_private.waiting_reasons is 'Every reason for which a test waits.';

create function orbit_private.in_words(p_names text[], p_most int default 3)
returns text language sql immutable set search_path = '' as $$
  select array_to_string(p_names[1:p_most], ', ') || case when cardinality(p_names) > p_most then format(' and %s more', cardinality(p_names) - p_most) else '' end
$$;
comment on function orbit_private.in_words is 'The first few names, and how many more there are.';

create function orbit_private.waiting_of(p_jobs bigint[], p_now timestamptz)
returns table (job_id bigint, reason text, sentence text, details jsonb)
language plpgsql stable set search_path = '' set enable_seqscan = off set plan_cache_mode = force_custom_plan as $$
-- Granted to nobody: whoever calls it knows that the caller may read these runs. For some tests, not for all of a queue: whatever is
-- asked is asked once for all of them. Names of workers are told only where the test's own attempts tell them.
declare v_epoch float8 := extract(epoch from p_now);
begin
  return query
  with waiting as materialized (
    select j.id, j.lane, j.state, j.attempt, j.gates, j.previous_attempts from orbit_private.job j where j.id = any (p_jobs) and j.state < 2),
  parked as materialized (
    select p.job_id, p.gate_id from waiting w join orbit_private.parked p on p.job_id = w.id where w.state = 1),
  put_off as materialized (
    select x.job_id, min(x.rank) as due from orbit_private.ready x where x.lane < 0 and exists (select from waiting w where w.id = x.job_id) group by x.job_id),
  needs as materialized (
    select c.id, array_agg(coalesce(k.key, s.id::text) order by s.id) as keys
      from (select distinct w.id >> 20 as q from waiting w where w.state = 0) r
      cross join lateral (
        select o.id, o.test_case_id, o.strict_children || o.loose_children as children from orbit_private.job o
          where o.id >= r.q << 20 and o.id < (r.q + 1) << 20 and (o.strict_children <> '{}' or o.loose_children <> '{}') offset 0) s
      cross join lateral unnest(s.children) c (id)
      left join orbit.test_cases k on k.id = s.test_case_id
      where exists (select from waiting w where w.id = c.id and w.state = 0)
      group by c.id),
  alive as materialized (
    select w.id, w.slots, array_append(w.capabilities, 'http') as capabilities, w.organization_id
      from orbit_private.worker w where w.seen_at > p_now - interval '10 seconds' and not w.draining),
  lanes as materialized (
    select d.lane, l.id is null and d.lane <> 0 as own, l.requires, l.group_key, l.open_at, l.group_size,
           a.workers, a.slots, a.able, a.able_slots,
           array(select c from unnest(l.requires) c where not exists (
             select from alive v where c = any (v.capabilities) and (v.organization_id is null or v.organization_id = l.organization_id))) as missing,
           (select h.state from orbit_private.group_holder h where h.lane = d.lane order by h.state limit 1) as held
      from (select distinct w.lane from waiting w where w.state = 1) d
      left join orbit_private.lane l on l.id = d.lane
      cross join lateral (
        select count(*) as workers, coalesce(sum(v.slots), 0) as slots, count(*) filter (where coalesce(l.requires, '{}') <@ v.capabilities) as able,
               coalesce(sum(v.slots) filter (where coalesce(l.requires, '{}') <@ v.capabilities), 0) as able_slots
          from alive v where v.organization_id is null or v.organization_id = l.organization_id) a)
  select w.id, c.reason,
      case c.reason
        when 'requirements' then 'needs ' || coalesce(orbit_private.in_words(n.keys), 'tests that are just ending')
        when 'retry' then format('attempt %s is due in %s s', w.attempt + 1, c.seconds)
        when 'rate' then case when o.due is not null then format('may begin in %s s: %s', c.seconds, coalesce(g.rate, 'a rate is used up'))
                              else g.rate end
        when 'run_cap' then format('the run''s concurrency of %s is used up', g.cap)
        when 'organization_cap' then format('the organisation''s %s tests at once are used up', g.cap)
        when 'environment_cap' then format('the %s tests at once in %s are used up', g.cap, coalesce(g.place, 'its environment'))
        when 'host_cap' then format('the %s tests at once against %s are used up', g.cap, g.place)
        when 'group' then
          case when l.held is not null then format('its group %s is being set up', l.group_key)
               when l.open_at > p_now then format('its group %s is taken in %s s%s', l.group_key, round(extract(epoch from l.open_at - p_now)::numeric, 1),
                      case when l.group_size is not null then format(', or with %s tests', l.group_size) else '' end)
               else format('its group %s is taken by the next worker that can', l.group_key) end
        when 'capability' then
          case when cardinality(l.missing) > 0 then 'no living worker that serves it has ' || orbit_private.in_words(l.missing)
               else 'no living worker that serves it has all of ' || orbit_private.in_words(l.requires, 10) end
        when 'no_worker' then 'no worker is alive that serves it'
        when 'own_worker' then 'waits for the runner that the run brings itself'
        when 'lost' then coalesce(w.previous_attempts -> -1 ->> 'reason', 'its worker was lost')
          || case when o.due is null then '; it is handed out anew' else format('; it is tried anew in %s s, apart from the others', c.seconds) end
        else case when l.own then 'waits for a free slot of the runner that the run brings itself'
                  else format('waits for a free slot: %s has %s', case l.able when 1 then 'the worker' else format('%s workers have together', l.able) end, l.able_slots) end
      end,
      jsonb_strip_nulls(jsonb_build_object('needs', to_jsonb(n.keys), 'due_in', c.seconds, 'cap', g.cap, 'host', case g.kind when 'host' then g.place end,
        'requires', case when cardinality(l.requires) > 0 then to_jsonb(l.requires) end,
        'missing', case when c.reason = 'capability' then to_jsonb(l.missing) end, 'group', l.group_key))
    from waiting w
    left join needs n on n.id = w.id
    left join put_off o on o.job_id = w.id
    left join lanes l on l.lane = w.lane and w.state = 1
    left join lateral (
      select t.kind, t.cap, case t.kind when 'host' then t.key when 'environment' then (select e.name from orbit.environments e where e.id::text = t.key) end as place,
             t.cap is not null and (select count(*) from orbit_private.gate_use u where u.gate_id = t.id) >= t.cap as full,
             format('%s a second%s are used up', t.per_second, case t.kind when 'host' then ' against ' || t.key else '' end) as rate
        from orbit_private.gate t
        where t.id = (select p.gate_id from parked p where p.job_id = w.id)
           or o.due is not null and w.attempt = 0 and t.id = any (w.gates) and t.per_second is not null
        order by t.id limit 1) g on true
    cross join lateral (select
      case when w.state = 0 then 'requirements'
           when o.due is not null and w.previous_attempts -> -1 ->> 'status' = 'lost' then 'lost'
           when o.due is not null and (w.attempt > 0 or g.kind is null) then 'retry'
           when o.due is not null then 'rate'
           when g.kind is not null then case when g.full or g.cap is not null and g.rate is null then g.kind || '_cap' else 'rate' end
           when l.own then case when w.attempt = 0 and not exists (
                                  select from orbit_private.run_progress p where p.queue_no = w.id >> 20 and p.running > 0) then 'own_worker'
                                when w.previous_attempts -> -1 ->> 'status' = 'lost' then 'own_worker' else 'slot' end
           when l.workers = 0 then 'no_worker'
           when l.able = 0 then 'capability'
           when l.group_key is not null and l.held is distinct from 'ready' then 'group'
           when w.previous_attempts -> -1 ->> 'status' in ('lost', 'returned') then 'lost'
           else 'slot' end as reason,
      case when o.due is not null then round(greatest(o.due - v_epoch, 0)::numeric, 1) end as seconds) c;
end $$;
comment on function orbit_private.waiting_of is 'Why each of these jobs waits: one of waiting_reasons(), a sentence, and what it names. Jobs that do not wait are left out.';

create function orbit_private.waiting_tests(p_jobs bigint[], p_now timestamptz)
returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('run_id', r.id, 'suite', s.name, 'project', k.slug, 'key', c.key, 'position', (j.id & 1048575)::int,
      'priority', r.priority, 'since', r.created_at, 'reason', w.reason, 'sentence', w.sentence) || w.details order by i.n), '[]')
    from unnest(p_jobs) with ordinality i (id, n)
    join orbit_private.waiting_of(p_jobs, p_now) w on w.job_id = i.id
    join orbit_private.job j on j.id = i.id
    join orbit.test_runs r on r.queue_no = i.id >> 20
    join orbit.test_suites s on s.id = r.suite_id join orbit.projects k on k.id = r.project_id
    join orbit.test_cases c on c.id = j.test_case_id
$$;
comment on function orbit_private.waiting_tests is 'Jobs that wait as callers see them, in the order given, each with why.';

-- Definer: queue, lanes and gates are nobody's rows; visible_run() asks.
create function orbit_private.explain_waiting(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' set enable_seqscan = off set plan_cache_mode = force_custom_plan as $$
-- One test stands for all that wait alike: what is asked of lanes and gates is asked once a kind, however many tests the run has.
declare v_now timestamptz := clock_timestamp(); v_run orbit.test_runs; v_limit int; v_base bigint; v_first bigint[]; v_tests int[];
begin
  perform orbit_private.refuse_unknown(p_request, array['run_id', 'limit']);
  v_limit := orbit_private.limit_of(p_request);
  v_run := orbit_private.visible_run(p_request);
  v_base := v_run.queue_no << 20;
  with put_off as materialized (
    select x.job_id from orbit_private.ready x where x.lane < 0 and x.job_id >= v_base and x.job_id < v_base + 1048576),
  kinds as (
    select min(j.id) as id, count(*)::int as tests from orbit_private.job j
      left join orbit_private.parked p on p.job_id = j.id and j.state = 1
      left join put_off o on o.job_id = j.id and j.state = 1
      where j.id >= v_base and j.id < v_base + 1048576 and j.state < 2
      group by j.state, case when j.state = 1 then j.lane end, p.gate_id, o.job_id is null,
        j.state = 1 and j.attempt > 0, j.state = 1 and j.previous_attempts -> -1 ->> 'status' in ('lost', 'returned'))
  select array_agg(k.id), array_agg(k.tests) into v_first, v_tests from kinds k;
  return (
    with why as (
      select w.reason, w.sentence, n.tests from orbit_private.waiting_of(v_first, v_now) w join unnest(v_first, v_tests) n (id, tests) on n.id = w.job_id)
    select jsonb_build_object('run_id', v_run.id, 'waiting', coalesce((select sum(n) from unnest(v_tests) n), 0),
      'reasons', coalesce((select jsonb_agg(jsonb_build_object('reason', g.reason, 'tests', g.tests, 'sentence',
            case when g.tests = 1 or g.least = g.most and g.reason not in ('requirements', 'retry', 'lost') then g.least
                 else 'they wait ' || d.description end) order by g.tests desc, g.reason)
          from (select y.reason, sum(y.tests) as tests, min(y.sentence) as least, max(y.sentence) as most from why y group by y.reason) g
          join orbit_private.waiting_reasons() d on d.reason = g.reason), '[]'),
      'tests', orbit_private.waiting_tests(array(
        select j.id from orbit_private.job j where j.id >= v_base and j.id < v_base + 1048576 and j.state < 2 order by j.id limit v_limit), v_now)));
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.explain_waiting is 'See orbit.explain_waiting.';

create function orbit.explain_waiting(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.explain_waiting(p_request) $$;
comment on function orbit.explain_waiting is 'Why the tests of a run wait: {run_id, limit? = 50, at most 1000} → {run_id, waiting (how many), reasons: [{reason, tests, sentence}], tests: [{run_id, suite, project, key, position, priority, since, reason, sentence, needs?, due_in?, cap?, host?, requires?, missing?, group?}], the suite''s first first}. Reasons: requirements, retry, run_cap, organization_cap, environment_cap, host_cap, rate, group, capability, no_worker, own_worker, lost, slot.';

-- The queue ------------------------------------------------------------------------------------------------------------------------

-- Definer: it asks what the caller may see, of projects that are not readable yet.
create function orbit_private.projects_in_scope(p_request jsonb)
returns uuid[] language plpgsql stable security definer set search_path = '' as $$
declare v_scope uuid[] := orbit_private.scope_of(p_request);
begin
  if orbit_private.caller_is_trusted() then
    return v_scope;
  end if;
  return array(select m from orbit_private.my_project_ids() m where v_scope is null or m = any (v_scope));
end $$;
comment on function orbit_private.projects_in_scope is 'The projects that a question is about, as far as the caller sees them; null: all there are.';

create function orbit_private.finished_lately(p_projects uuid[], p_now timestamptz, p_most int default 20000)
returns jsonb language plpgsql stable set search_path = '' as $$
-- The newest by index, up to so many; where there are more, the rate of those stands for the rest.
declare v_times timestamptz[]; v_from timestamptz := p_now - interval '15 minutes'; v_since timestamptz; v_full boolean;
begin
  if p_projects is null then
    v_times := array(select r.created_at from orbit.test_results r where r.created_at > v_from order by r.created_at desc limit p_most);
  else
    v_times := array(select t.created_at from unnest(p_projects) p cross join lateral (
        select r.created_at from orbit.test_results r where r.project_id = p and r.created_at > v_from order by r.created_at desc limit p_most) t
      order by t.created_at desc limit p_most);
  end if;
  v_full := cardinality(v_times) = p_most;
  v_since := case when v_full then v_times[p_most] else v_from end;
  return (select jsonb_object_agg(case m when 1 then 'last_minute' else format('last_%s_minutes', m) end, case when v_since <= p_now - make_interval(mins => m)
        then (select count(*) from unnest(v_times) t where t > p_now - make_interval(mins => m))
        else round(p_most / greatest(extract(epoch from p_now - v_since), 0.001) * m * 60) end) || jsonb_build_object('is_estimate', v_full)
      || jsonb_build_object('per_second', round((select count(*) from unnest(v_times) t where t > greatest(v_since, p_now - interval '1 minute'))::numeric
           / greatest(extract(epoch from p_now - greatest(v_since, p_now - interval '1 minute')), 0.001), 2))
    from unnest(array[1, 5, 15]) m);
end $$;
comment on function orbit_private.finished_lately is 'How many results became final in the last 1, 5 and 15 minutes; from the newest p_most, however many there are.';

-- Definer: queue, lanes, gates and workers are nobody's rows.
create function orbit_private.queue_status(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp(); v_projects uuid[]; v_runs bigint[]; v_limit int; v_jobs bigint[]; v_queue record; v_runs_in record; v_parked bigint; v_workers record; v_oldest timestamptz;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'limit']);
  v_limit := orbit_private.limit_of(jsonb_build_object('limit', coalesce(p_request -> 'limit', '20')));
  v_projects := orbit_private.projects_in_scope(p_request);
  if v_projects is not null then
    v_runs := array(select p.queue_no from orbit_private.run_progress p join orbit.test_runs r on r.queue_no = p.queue_no
                      where r.project_id = any (v_projects) order by p.queue_no);
  end if;
  if v_runs is null then
    select coalesce(sum(p.running), 0) as running, coalesce(sum(p.remaining - p.running), 0) as waiting, count(*) as runs
      into v_runs_in from orbit_private.run_progress p;
    select count(*) filter (where x.lane >= 0) as ready, count(*) filter (where x.lane < 0) as put_off, min(x.job_id) filter (where x.lane >= 0) as oldest
      into v_queue from orbit_private.ready x;
    select count(*) into v_parked from orbit_private.parked p;
    v_jobs := array(select j.id from orbit_private.job j where j.state < 2 order by j.id limit v_limit);
  else
    select coalesce(sum(p.running), 0) as running, coalesce(sum(p.remaining - p.running), 0) as waiting, count(*) as runs
      into v_runs_in from unnest(v_runs) q join orbit_private.run_progress p on p.queue_no = q;
    select count(*) filter (where x.lane >= 0) as ready, count(*) filter (where x.lane < 0) as put_off, min(x.job_id) filter (where x.lane >= 0) as oldest
      into v_queue from orbit_private.ready x join unnest(v_runs) q on q = x.job_id >> 20;
    select count(*) into v_parked from orbit_private.parked p join unnest(v_runs) q on q = p.job_id >> 20;
    v_jobs := array(select t.id from unnest(v_runs) with ordinality r (q, n) cross join lateral (
        select j.id from orbit_private.job j where j.id >= r.q << 20 and j.id < (r.q + 1) << 20 and j.state < 2 order by j.id limit v_limit) t
      limit v_limit);
  end if;
  -- A run's number grows with its start: the lowest job is of the run that was started first.
  v_oldest := (select r.created_at from orbit.test_runs r where r.queue_no = v_queue.oldest >> 20);
  select count(*) as alive, coalesce(sum(w.slots), 0) as slots, count(*) filter (where w.draining) as draining into v_workers
    from orbit_private.worker w
    where w.seen_at > v_now - interval '10 seconds'
      and (v_projects is null or w.organization_id is null or w.organization_id in (select p.organization_id from orbit.projects p where p.id = any (v_projects)));
  return jsonb_build_object(
    'depth', jsonb_build_object('ready', v_queue.ready, 'put_off', v_queue.put_off, 'parked', v_parked,
      'blocked', greatest(v_runs_in.waiting - v_queue.ready - v_queue.put_off - v_parked, 0), 'running', v_runs_in.running, 'runs', v_runs_in.runs),
    'oldest_waiting', case when v_oldest is not null then round(greatest(extract(epoch from v_now - v_oldest), 0)::numeric, 3) end,
    'finished', orbit_private.finished_lately(v_projects, v_now),
    'workers', jsonb_build_object('alive', v_workers.alive, 'draining', v_workers.draining, 'slots', v_workers.slots,
      'free', greatest(v_workers.slots - (select coalesce(sum(p.running), 0) from orbit_private.run_progress p where p.running > 0), 0)),
    'waiting', orbit_private.waiting_tests(v_jobs, v_now));
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.queue_status is 'See orbit.queue_status.';

create function orbit.queue_status(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.queue_status(p_request) $$;
comment on function orbit.queue_status is 'What waits, of the projects that the caller sees: {organization?, project?, limit? = 20, at most 1000} → {depth: {ready, put_off, parked, blocked, running, runs}, oldest_waiting (seconds since the start of the oldest run that has a ready test), finished: {last_minute, last_5_minutes, last_15_minutes, per_second, is_estimate}, workers: {alive, draining, slots, free}, waiting: [as the tests of orbit.explain_waiting], the oldest first}.';

-- How it went ------------------------------------------------------------------------------------------------------------------------

-- Definer: one question of what the caller sees, not one a row.
create function orbit_private.stats(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' set work_mem = '32MB' set jit = off as $$
declare v_now timestamptz := clock_timestamp(); v_days int := coalesce((p_request ->> 'days')::int, 7); v_projects uuid[]; v_from timestamptz; v_answer jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'days']);
  if v_days not between 1 and 366 then
    perform orbit_private.refuse('OR001', format('days is a whole number from 1 to 366, and not %s', v_days));
  end if;
  v_projects := coalesce(orbit_private.projects_in_scope(p_request), array(select p.id from orbit.projects p));
  v_from := (date_trunc('day', v_now at time zone 'utc') - make_interval(days => v_days - 1)) at time zone 'utc';
  -- Counted once by day and suite, which is little; only percentiles go over the runs again.
  with kept as not materialized (
    select (h.finished_at at time zone 'utc')::date as day, h.status, h.duration_ms / 1000 as duration, h.project_id, h.suite_id
      from orbit.test_run_history h where h.project_id = any (v_projects) and h.finished_at >= v_from and h.status in ('passed', 'failed', 'errored')),
  counted as materialized (
    select (h.finished_at at time zone 'utc')::date as day, h.project_id, h.suite_id, max(h.suite) as suite, count(*) as runs,
           count(*) filter (where h.status = 'passed') as passed, count(*) filter (where h.status = 'failed') as failed,
           count(*) filter (where h.status = 'errored') as errored, count(*) filter (where h.status = 'cancelled') as cancelled,
           count(*) filter (where h.status = 'timed_out') as timed_out,
           sum(h.duration_ms) filter (where h.status in ('passed', 'failed', 'errored')) / 1000 as lasted,
           sum(h.total) as tests, sum(h.passed) as tests_passed, sum(h.passed_on_retry) as tests_passed_on_retry, sum(h.failed) as tests_failed,
           sum(h.errored) as tests_errored, sum(h.timed_out) as tests_timed_out, sum(h.skipped) as tests_skipped, sum(h.cancelled) as tests_cancelled
      from orbit.test_run_history h where h.project_id = any (v_projects) and h.finished_at >= v_from group by 1, 2, 3),
  summed as (
    select c.day, c.project_id, c.suite_id, grouping(c.day) as all_days, grouping(c.suite_id) as all_suites, max(c.suite) as suite, sum(c.runs) as runs,
           sum(c.passed) as passed, sum(c.failed) as failed, sum(c.errored) as errored, sum(c.cancelled) as cancelled, sum(c.timed_out) as timed_out,
           sum(c.lasted) as lasted, sum(c.tests) as tests, sum(c.tests_passed) as tests_passed, sum(c.tests_passed_on_retry) as tests_passed_on_retry,
           sum(c.tests_failed) as tests_failed, sum(c.tests_errored) as tests_errored, sum(c.tests_timed_out) as tests_timed_out,
           sum(c.tests_skipped) as tests_skipped, sum(c.tests_cancelled) as tests_cancelled
      from counted c group by grouping sets ((), (c.day), (c.project_id, c.suite_id))),
  chosen as materialized (
    (select s.* from summed s where s.all_suites = 1)
    union all
    (select s.* from summed s where s.all_suites = 0 order by s.runs desc, s.tests desc, s.suite_id limit 10)),
  slow_days as (
    select k.day, percentile_cont(0.95) within group (order by k.duration) as p95 from kept k group by grouping sets ((), (k.day))),
  slow_suites as (
    select k.project_id, k.suite_id, percentile_cont(0.95) within group (order by k.duration) as p95 from kept k
      where (k.project_id, k.suite_id) in (select c.project_id, c.suite_id from chosen c where c.all_suites = 0) group by k.project_id, k.suite_id),
  told as (
    select s.day, s.project_id, s.suite_id, s.suite, s.all_days, s.all_suites, s.runs, s.tests, jsonb_build_object(
        'runs', jsonb_build_object('total', coalesce(s.runs, 0), 'passed', coalesce(s.passed, 0), 'failed', coalesce(s.failed, 0),
          'errored', coalesce(s.errored, 0), 'cancelled', coalesce(s.cancelled, 0), 'timed_out', coalesce(s.timed_out, 0)),
        'tests', jsonb_build_object('total', coalesce(s.tests, 0), 'passed', coalesce(s.tests_passed, 0), 'passed_on_retry', coalesce(s.tests_passed_on_retry, 0),
          'failed', coalesce(s.tests_failed, 0), 'errored', coalesce(s.tests_errored, 0), 'timed_out', coalesce(s.tests_timed_out, 0),
          'skipped', coalesce(s.tests_skipped, 0), 'cancelled', coalesce(s.tests_cancelled, 0)),
        'pass_rate', round(100.0 * s.passed / nullif(s.runs - s.cancelled, 0), 2),
        'test_pass_rate', round(100.0 * (s.tests_passed + s.tests_passed_on_retry) / nullif(s.tests - s.tests_skipped - s.tests_cancelled, 0), 2),
        'average_duration', round((s.lasted / nullif(s.passed + s.failed + s.errored, 0)::float8)::numeric, 3),
        'p95_duration', round(coalesce(d.p95, u.p95)::numeric, 3)) as figures
      from chosen s
      left join slow_days d on s.all_suites = 1 and d.day is not distinct from s.day
      left join slow_suites u on s.all_suites = 0 and u.suite_id = s.suite_id and u.project_id = s.project_id)
  select jsonb_build_object('since', v_from, 'until', v_now,
      'total', (select t.figures from told t where t.all_days = 1 and t.all_suites = 1),
      'days', coalesce((select jsonb_agg(jsonb_build_object('date', t.day) || t.figures order by t.day) from told t where t.all_days = 0), '[]'),
      'suites', coalesce((select jsonb_agg(jsonb_build_object('suite_id', b.suite_id, 'project', p.slug, 'suite', b.suite) || b.figures
            order by b.runs desc, b.tests desc, b.suite_id)
          from told b join orbit.projects p on p.id = b.project_id where b.all_suites = 0), '[]'))
    into v_answer;
  return v_answer;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.stats is 'See orbit.stats.';

create function orbit.stats(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.stats(p_request) $$;
comment on function orbit.stats is 'How the runs went that were finished lately, of the projects that the caller sees: {organization?, project?, days? = 7, at most 366, today among them} → {since, until, total, days: [{date (UTC), …}], suites: [{suite_id, project, suite, …}], the ten busiest}. Each with {runs: {total, passed, failed, errored, cancelled, timed_out}, tests: {total, passed, …}, pass_rate, test_pass_rate (per cent; null: nothing ran), average_duration, p95_duration (seconds, of runs with a verdict)}.';

-- Whether all is well ------------------------------------------------------------------------------------------------------------------

-- Definer: the queue, workers and the list of migrations are nobody's rows; what is told of them are numbers.
create function orbit_private.health(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp(); v_projects uuid[]; v_version text; v_workers record; v_ready bigint; v_shared bigint; v_oldest float8; v_first bigint; v_late int; v_overdue int; v_letters int;
  v_recovering boolean := pg_catalog.pg_is_in_recovery(); v_checks jsonb; v_queue jsonb; v_partition boolean;
begin
  perform orbit_private.refuse_unknown(p_request, array[]::text[]);
  v_projects := orbit_private.projects_in_scope('{}');
  if to_regclass('supabase_migrations.schema_migrations') is not null then
    execute 'select max(version) from supabase_migrations.schema_migrations where version like ''20261120%''' into v_version;
  end if;
  select count(*) filter (where w.seen_at > v_now - interval '10 seconds') as alive, count(*) filter (where w.seen_at <= v_now - interval '10 seconds') as silent,
         count(*) filter (where w.seen_at <= v_now - interval '30 seconds') as dead,
         coalesce(sum(w.slots) filter (where w.seen_at > v_now - interval '10 seconds'), 0) as slots, max(w.seen_at) as last_seen
    into v_workers from orbit_private.worker w
    where v_projects is null or w.organization_id is null or w.organization_id in (select p.organization_id from orbit.projects p where p.id = any (v_projects));
  if v_projects is null then
    select count(*), count(*) filter (where x.lane = 0 or x.lane >= 1099511627776), min(x.job_id) into v_ready, v_shared, v_first
      from orbit_private.ready x where x.lane >= 0;
  else
    select count(*), count(*) filter (where x.lane = 0 or x.lane >= 1099511627776), min(x.job_id) into v_ready, v_shared, v_first
      from orbit_private.ready x
      join (select p.queue_no from orbit_private.run_progress p join orbit.test_runs r on r.queue_no = p.queue_no where r.project_id = any (v_projects)) q
        on q.queue_no = x.job_id >> 20
      where x.lane >= 0;
  end if;
  v_oldest := (select extract(epoch from v_now - r.created_at) from orbit.test_runs r where r.queue_no = v_first >> 20);
  v_late := (select count(*) from orbit_private.run_progress p where p.deadline_at < v_now - interval '30 seconds'
    and (v_projects is null or exists (select from orbit.test_runs r where r.queue_no = p.queue_no and r.project_id = any (v_projects))));
  v_overdue := (select count(*) from (select from orbit.schedules s where s.next_run_at < v_now - interval '1 minute' and not s.paused
                                        and (v_projects is null or s.project_id = any (v_projects)) limit 1000) o);
  v_letters := (select count(*) from (select from orbit.dead_letters d where d.created_at > v_now - interval '1 day' and d.replayed_at is null and d.dropped_at is null
                                        and (v_projects is null or d.project_id = any (v_projects)) limit 1000) o);
  v_partition := to_regclass('orbit_private.test_results_' || to_char(v_now at time zone 'utc', 'IYYY"w"IW')) is not null;
  v_queue := jsonb_build_object('ready', v_ready, 'oldest_waiting', round(v_oldest::numeric, 3));
  v_checks := jsonb_build_array(
    jsonb_build_object('name', 'database', 'status', case when v_recovering then 'down' else 'ok' end,
      'detail', 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1) || case when v_recovering then ', a standby that takes no writes' else '' end,
      'hint', case when v_recovering then 'Connect to the primary.' end),
    jsonb_build_object('name', 'partitions', 'status', case when v_partition then 'ok' else 'degraded' end,
      'detail', case when v_partition then 'this week''s are there' else 'this week''s are missing' end,
      'hint', case when not v_partition then 'The next start of a run, or the next worker, makes them.' end),
    jsonb_build_object('name', 'workers',
      'status', case when v_workers.alive = 0 and v_shared > 0 then 'down' when v_workers.silent > 0 then 'degraded' else 'ok' end,
      'detail', case v_workers.alive when 0 then 'none is alive' when 1 then '1 is alive' else v_workers.alive || ' are alive' end
        || case when v_workers.alive > 0 then format(', with %s slots', v_workers.slots) else '' end
        || case when v_workers.silent > 0 then format(', %s silent', v_workers.silent) else '' end
        || case when v_workers.alive = 0 and v_shared > 0 then format('; %s %s for one', v_shared, case v_shared when 1 then 'test waits' else 'tests wait' end) else '' end,
      'hint', case when v_workers.alive = 0 and v_shared > 0 then 'Start one: orbit worker'
                   when v_workers.silent > 0 then 'What they hold is given to others ten seconds after they were last heard of.' end),
    jsonb_build_object('name', 'queue', 'status', case when v_oldest > 300 then 'degraded' else 'ok' end,
      'detail', case when v_ready = 0 then 'nothing is ready to run' else format('%s ready, the oldest for %s s', v_ready, round(v_oldest::numeric)) end,
      'hint', case when v_oldest > 300 then 'See why: orbit queue' end),
    jsonb_build_object('name', 'housekeeping', 'status', case when v_workers.dead > 0 or v_late > 0 then 'degraded' else 'ok' end,
      'detail', case when v_workers.dead > 0 or v_late > 0
        then concat_ws(', ', case when v_workers.dead > 0 then format('%s lost workers not given up', v_workers.dead) end, case when v_late > 0 then format('%s runs past their time', v_late) end)
        else 'nothing is left to do' end,
      'hint', case when v_workers.dead > 0 or v_late > 0 then 'Any living worker does it within seconds: orbit worker' end),
    jsonb_build_object('name', 'schedules', 'status', case when v_overdue > 0 then 'degraded' else 'ok' end,
      'detail', case when v_overdue = 0 then 'none is overdue' else format('%s overdue by more than a minute', v_overdue) end,
      'hint', case when v_overdue > 0 then 'Workers start them: orbit worker' end),
    jsonb_build_object('name', 'dead_letters', 'status', case when v_letters > 0 then 'degraded' else 'ok' end,
      'detail', case when v_letters = 0 then 'none since yesterday' else format('%s since yesterday', v_letters) end,
      'hint', case when v_letters > 0 then 'Look into them: orbit dead-letters list' end));
  return jsonb_build_object(
    'status', case when v_checks @> '[{"status": "down"}]' then 'down' when v_checks @> '[{"status": "degraded"}]' then 'degraded' else 'ok' end,
    'now', v_now,
    'database', jsonb_build_object('version', split_part(current_setting('server_version'), ' ', 1), 'migration', v_version, 'started_at', pg_catalog.pg_postmaster_start_time()),
    'workers', jsonb_build_object('alive', v_workers.alive, 'silent', v_workers.silent, 'slots', v_workers.slots, 'last_seen', v_workers.last_seen),
    'queue', v_queue, 'schedules_overdue', v_overdue, 'checks', v_checks);
end $$;
comment on function orbit_private.health is 'See orbit.health.';

create function orbit.health(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.health(p_request) $$;
comment on function orbit.health is 'Whether all is well: {} → {status: ok | degraded | down, now, database: {version, migration (the newest of Orbit''s), started_at}, workers: {alive, silent, slots, last_seen}, queue: {ready, oldest_waiting (seconds)}, schedules_overdue, checks: [{name, status, detail, hint}]}. down: what waits is not run. Of queue, schedules and dead letters: those that the caller sees; of workers: those that may work for them.';

grant execute on function orbit_private.list_transitions, orbit_private.explain_waiting, orbit_private.queue_status, orbit_private.stats, orbit_private.health
  to authenticated, service_role;
grant execute on function orbit.list_transitions, orbit.explain_waiting, orbit.queue_status, orbit.stats, orbit.health to authenticated, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
