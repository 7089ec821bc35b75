-- What a runner calls. All SECURITY DEFINER: the role orbit_runner has no table privilege at all, only EXECUTE on these.
--
-- Whoever may log in as orbit_runner is trusted with what runs. While there are no worker tokens, a worker may load any run, and speak for
-- any worker, whose ids are no secrets; it is given secrets for what it holds, and can hold whatever is ready. Once there are, a worker
-- speaks by a key that it alone was told, and one with a token claims, loads and opens what is its organisation's: see 1700_agents.
-- What no worker can do is to read or write anything else, to set the clock, or to give up workers that are alive. p_lease protects from
-- a worker that fell behind, not from one that lies.

create function orbit_private.refuse_bad_worker(p_name text, p_slots int, p_capabilities text[])
returns void language plpgsql stable set search_path = '' as $$
declare v_bad text;
begin
  if coalesce(p_name, '') !~ '^[^[:cntrl:]]{1,200}$' then
    perform orbit_private.refuse('OR001', 'a worker''s name has 1 to 200 characters, none of them a control character', '', 'Leave --name out to have it called after its machine and process.');
  end if;
  if p_slots is null or p_slots not between 1 and 10000 then
    perform orbit_private.refuse('OR001', format('a worker has 1 to 10000 slots, not %s', p_slots), '', 'A slot is a test at work: --slots 20.');
  end if;
  v_bad := case when cardinality(p_capabilities) > 0 then orbit_private.capabilities_problem(p_capabilities) end;
  if v_bad is not null then
    perform orbit_private.refuse('OR001', v_bad, '', 'A capability is a word like docker, android or browser:firefox: lower-case letters, digits and _.:-, up to 63.');
  end if;
end $$;
comment on function orbit_private.refuse_bad_worker is 'OR001 where a worker describes itself in a way that cannot be.';

create function orbit_private.worker_of(p_key bigint)
returns orbit_private.worker language plpgsql stable set search_path = '' as $$
declare v_worker orbit_private.worker;
begin
  select * into v_worker from orbit_private.worker w where w.key = p_key;
  -- One that registered before there were tokens shows a number that anybody may know: it has to register anew.
  if v_worker.key = v_worker.id and exists (select from orbit.worker_tokens) then
    return null;
  end if;
  return v_worker;
end $$;
comment on function orbit_private.worker_of is 'The worker that shows this key; null where there is none (any more).';

create function orbit_runner.register_worker(p_name text, p_slots int, p_capabilities text[] default '{http}', p_version text default null, p_token text default null,
                                              p_instance uuid default null)
returns bigint language plpgsql security definer set search_path = '' as $$
declare v_token record; v_worker orbit_private.worker; v_beyond text; v_capabilities text[] := orbit_private.capabilities_of(p_capabilities);
begin
  perform orbit_private.refuse_bad_worker(p_name, p_slots, p_capabilities);
  select * into v_token from orbit_private.worker_token_of(p_token);
  if v_token.id is not null then
    select c into v_beyond from unnest(v_capabilities) c where c <> all (v_token.capabilities) limit 1;
    if found then
      perform orbit_private.refuse('OR003', format('the worker token does not go as far as %s', v_beyond), '', 'A token says what its workers may be able to do: orbit agent-token list.');
    end if;
  end if;
  -- A name is one worker's: what it tells in lists, reasons and logs would mean two.
  perform pg_advisory_xact_lock(hashtextextended('orbit.worker:' || p_name, 0));
  select * into v_worker from orbit_private.worker w where w.name = p_name and w.organization_id is not distinct from v_token.organization_id
      and w.seen_at > clock_timestamp() - interval '10 seconds'
      and (orbit_private.worker_of(w.key)).id is not null  -- one that has to register anew is not in its own way
    order by w.id desc limit 1;
  if v_worker.instance = p_instance then
    return v_worker.key;  -- said again, because the answer was lost
  elsif v_worker.id is not null then
    perform orbit_private.refuse('OR004', format('there is a worker %s already', p_name), '',
      'Give it another name, or none; one that was killed gives its name back ten seconds after it was last heard of.');
  end if;
  insert into orbit_private.worker (name, slots, capabilities, version, organization_id, token_id, instance, key)
    values (p_name, p_slots, v_capabilities, p_version, v_token.organization_id, v_token.id, p_instance, -1 - (random() * 1e15)::bigint) returning * into v_worker;
  update orbit_private.worker w set key = case when exists (select from orbit.worker_tokens)
        then ('x' || right(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint & 9223372036854775807 else w.id end
    where w.id = v_worker.id returning w.* into v_worker;
  return v_worker.key;
end $$;
comment on function orbit_runner.register_worker is 'A new worker; what it answers is shown with every call and fences everything it reports. p_token: a worker token; where there is one, the worker serves its organisation alone. p_instance: drawn by whoever registers; saying it again with the same one makes no second worker. OR001, OR003, OR004 a living worker has that name.';

create function orbit_runner.drain_worker(p_worker bigint)
returns void language sql security definer set search_path = '' as $$
  update orbit_private.worker w set draining = true where w.id = (orbit_private.worker_of(p_worker)).id;
  delete from orbit_private.group_holder h where h.worker_id = (orbit_private.worker_of(p_worker)).id
$$;
comment on function orbit_runner.drain_worker is 'Says that the worker takes nothing more: for lists, and so that no group is kept for it.';

create function orbit_runner.heartbeat(p_worker bigint, p_runs bigint[] default '{}')
returns table (alive boolean, stopping bigint[]) language plpgsql security definer set search_path = '' as $$
-- Says that the worker lives, and hears which of the runs (queue_no) it works for are being stopped.
declare v_worker orbit_private.worker := orbit_private.worker_of(p_worker); v_now timestamptz := clock_timestamp();
begin
  if v_worker.token_id is not null and not orbit_private.worker_token_holds(v_worker.token_id, v_now) then
    -- Given up for lost at the next tick: what it holds is another's.
    update orbit_private.worker w set seen_at = '-infinity' where w.id = v_worker.id;
    alive := false;
    return next;
    return;
  end if;
  update orbit_private.worker w set seen_at = v_now where w.id = v_worker.id and w.seen_at > '-infinity';
  alive := found;
  -- A run that is no longer in progress has nothing left that this worker could hold.
  select array_agg(q) into stopping from unnest(p_runs) q
    where not exists (select from orbit_private.run_progress p where p.queue_no = q and coalesce(p.stop_status, 'fail_fast') = 'fail_fast');
  return next;
end $$;
comment on function orbit_runner.heartbeat is 'Renews the lease of all that the worker holds. alive is false where it was given up for lost, or its token holds no more: it must register anew, and what it held is another''s.';

create function orbit_runner.group_ready(p_worker bigint, p_lane bigint, p_ok boolean, p_reason text default null)
returns boolean language plpgsql security definer set search_path = '' as $$
-- A group whose set-up fails goes to another worker, or in a while to this one again; at the third time in a row its runs are stopped and
-- say why.
declare v_worker orbit_private.worker := orbit_private.worker_of(p_worker); v_lane orbit_private.lane; v_run bigint; v_now timestamptz := clock_timestamp();
begin
  perform 1 from orbit_private.worker w where w.id = v_worker.id for key share;  -- before all else, as in advance
  perform 1 from orbit_private.group_holder h where h.lane = p_lane and h.worker_id = v_worker.id for update;
  if not found then
    return false;
  end if;
  select * into v_lane from orbit_private.lane l where l.id = p_lane for no key update;
  if p_ok then
    update orbit_private.group_holder h set state = 'ready' where h.lane = p_lane and h.worker_id = v_worker.id;
    update orbit_private.lane l set set_ups = l.set_ups + 1, failed_set_ups = 0 where l.id = p_lane;
    return true;
  end if;
  delete from orbit_private.group_holder h where h.lane = p_lane and h.worker_id = v_worker.id;
  update orbit_private.lane l set failed_set_ups = (l.failed_set_ups + 1) % 3, failed_by = v_worker.id, failed_at = v_now where l.id = p_lane;
  if v_lane.failed_set_ups >= 2 then
    perform set_config('orbit.actor', v_worker.id::text, true);
    for v_run in select p.queue_no from orbit_private.run_progress p where p_lane = any (p.lanes) order by p.queue_no loop
      perform orbit_private.stop_run(v_run, 'cancelled', left(format('setting up group %s failed three times: %s', v_lane.group_key, coalesce(p_reason, 'no reason was given')), 1000), v_now);
    end loop;
  end if;
  return true;
end $$;
comment on function orbit_runner.group_ready is 'Says how setting up a group that advance handed out ended. False where the group is not this worker''s (any more).';

create function orbit_runner.load_run(p_queue_no bigint, p_worker bigint default null)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
-- What each test uses is asked for only where there are secrets: most runs have none, and need not wait for the plan.
declare v_run orbit.test_runs; v_names jsonb; v_uses jsonb; v_worker orbit_private.worker;
begin
  select * into v_run from orbit.test_runs r where r.queue_no = p_queue_no;
  if not found then
    return null;
  end if;
  if not orbit_private.caller_is_trusted() and exists (select from orbit.worker_tokens) then
    v_worker := orbit_private.worker_of(p_worker);
    if v_worker.id is null or v_worker.organization_id <> v_run.organization_id then
      return null;
    end if;
  end if;
  select jsonb_agg(n.name order by n.name) into v_names from orbit_private.run_secret n where n.queue_no = p_queue_no;
  if v_names is not null then
    select jsonb_agg(to_jsonb(c.uses) order by t.n) into v_uses from orbit.test_suite_versions v
      cross join unnest(v.test_case_ids) with ordinality t (id, n) join orbit.test_cases c on c.id = t.id where v.id = v_run.version_id;
  end if;
  return (
    select jsonb_build_object('run_id', v_run.id, 'queue_no', v_run.queue_no, 'created_at', v_run.created_at, 'version_id', v_run.version_id, 'base_dir', v_run.base_dir,
      'suite', s.name, 'project', p.slug, 'environment', e.name, 'document', v.document, 'variables', v_run.variables, 'defaults', to_jsonb(v_run.defaults),
      'templates', v_run.templates, 'secrets', coalesce(v_names, '[]'), 'uses', v_uses,
      'context_version', coalesce((select g.context_version from orbit_private.run_progress g where g.queue_no = p_queue_no), 0),
      'context', coalesce((select jsonb_agg(jsonb_build_array(c.kind, c.producer, c.name, c.value, c.secret, c.sealed_for))
                             from orbit_private.context_entry c where c.queue_no = p_queue_no), '[]'))
    from orbit.test_suites s join orbit.projects p on p.id = v_run.project_id join orbit.test_suite_versions v on v.id = v_run.version_id
      left join orbit.environments e on e.id = v_run.environment_id
    where s.id = v_run.suite_id) || orbit_private.run_variables(v_run);
end $$;
comment on function orbit_runner.load_run is 'All that a worker needs to know of a run, once (null: there is none, or not for this worker; where there are worker tokens, p_worker says which it is): its document, variables, and the context so far. Of secrets the names, and what each test uses (by position; null where there are no secrets): see open_secrets.';

create function orbit_runner.open_secrets(p_worker bigint, p_jobs bigint[], p_keys text[] default '{}', p_lease interval default '10 seconds')
returns table (queue_no bigint, name text, sealed text, place text, value jsonb, fields jsonb)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
-- Secrets follow the lease: whoever does not hold the tests is given none, and of those it holds, what they use. What the database sealed
-- itself it opens here, with the Vault's key or one of p_keys (left sealed where it has neither); the rest is opened by the worker alone.
declare v_run record; v_new text[]; v_key text := array_to_string(p_keys, ' '); v_ids text[]; v_worker bigint := (orbit_private.worker_of(p_worker)).id;
begin
  for v_run in
    select r.queue_no, r.id, r.organization_id, bool_or(c.uses is null) as anything,
           array_agg(distinct regexp_replace(u, '^env\.', '')) filter (where u is not null) as uses
      from orbit_private.job j join orbit_private.worker w on w.id = j.worker_id and w.seen_at > clock_timestamp() - p_lease
      join orbit.test_cases c on c.id = j.test_case_id join orbit.test_runs r on r.queue_no = j.id >> 20 left join unnest(c.uses) u on true
      where j.id = any (p_jobs) and j.state = 2 and j.worker_id = v_worker
      group by r.queue_no, r.id, r.organization_id order by r.queue_no
  loop
    continue when not v_run.anything and v_run.uses is null;
    perform 1 from orbit_private.run_secret s where s.queue_no = v_run.queue_no order by s.name for update;
    with released as (
      update orbit_private.run_secret s set released_to = s.released_to || v_worker
        where s.queue_no = v_run.queue_no and (v_run.anything or regexp_replace(s.name, '^env\.', '') = any (v_run.uses)) and v_worker <> all (s.released_to)
        returning s.name)
    select array_agg(r.name order by r.name) into v_new from released r;
    if v_new is not null then  -- once for a worker, not once for a test: the log grows by neither
      perform orbit_private.audit(v_run.organization_id, 'secret.release', 'run', v_run.id::text, null,
        jsonb_build_object('worker', v_worker, 'names', v_new));
    end if;
    v_ids := coalesce(v_ids, array(select k.key_id from orbit_private.secret_keys(v_key) k));
    return query select s.queue_no, s.name, case when o.here then null else s.sealed end, s.place,
        case when o.here then orbit_private.open_pgp(s.sealed, s.place, v_key) end, s.fields
      from orbit_private.run_secret s cross join lateral (select s.sealed like 'orbit.pgp.%' and split_part(s.sealed, '.', 4) = any (v_ids) as here) o
      where s.queue_no = v_run.queue_no and (v_run.anything or regexp_replace(s.name, '^env\.', '') = any (v_run.uses)) order by s.name;
  end loop;
end $$;
comment on function orbit_runner.open_secrets is 'The secrets that the tests of these jobs use, if this worker holds them: sealed, with the place that opens them, or (what the database sealed and can open) the value; of a credential with its fields, in which null stands for that. p_keys: keys for that, beside the Vault''s. p_lease: how long the worker may have been silent.';

create function orbit_runner.held_jobs(p_worker bigint)
returns table (job_id bigint, attempt smallint) language sql stable security definer set search_path = '' as $$
  select j.id, j.attempt from orbit_private.job j where j.state = 2 and j.worker_id = (select w.id from orbit_private.worker_of(p_worker) w)
$$;
comment on function orbit_runner.held_jobs is 'What the worker holds: asked after a reply was lost, so that nothing claimed in it is forgotten.';

create function orbit_runner.advance(
  p_worker bigint, p_lane bigint, p_want int,
  p_jobs bigint[] default '{}', p_attempts smallint[] default '{}', p_statuses text[] default '{}', p_durations real[] default '{}',
  p_extras jsonb[] default '{}',
  p_low float8 default '-infinity', p_known_runs bigint[] default '{}', p_known_versions bigint[] default '{}')
returns table (kind text, job_id bigint, attempt smallint, rank float8, payload jsonb)
language plpgsql security definer set search_path = '' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
-- One round trip of a worker: records what ended, unlocks or skips what depended on it, shares what was captured, moves the run on,
-- and hands out up to p_want ready jobs: of the run's own lane (p_lane, its queue_no), or of all lanes that the worker can serve (0).
--
-- Reported: parallel arrays. A status is passed, failed, errored, timed_out, cancelled, or lost (its worker died). An extra is null or
-- {category, reason, retryable, failures, exchange, captures: [{name, value, share, secret}], started_at}; none at all where all are null.
-- Durations in seconds.
--
-- Rows of the answer, by kind:
--   job      job_id, attempt, rank         to be run
--   stale    job_id, attempt               was reported, but is no longer this worker's: ignored
--   context  job_id = queue_no, payload    {version, entries: [[kind, producer, name, value, secret], …]} newer than was known
--   stop     job_id = queue_no             this run is being stopped
--   done     job_id = queue_no, payload    {status}: this run has just been finished
--   next     rank                          seconds until the next job is due
--   group    job_id = lane, payload        {key, project, requires}: this group is the worker's; it is handed its tests after group_ready()
--   unknown                                the worker is not registered (any more): nothing was handed out
declare
  v_now timestamptz := clock_timestamp();
  v_epoch float8 := extract(epoch from v_now);
  v_count int := coalesce(cardinality(p_jobs), 0);
  v_passed boolean := 'passed' = all (p_statuses);  -- all of them, as nearly always: spares several looks at each
  v_more boolean := cardinality(array_remove(p_extras, null)) > 0;
  v_self orbit_private.worker := orbit_private.worker_of(p_worker); v_worker bigint := v_self.id;
  v_known boolean := true; v_ended bigint[]; v_statuses text[]; v_tried smallint[]; v_durations real[]; v_extras jsonb[];
  v_previous jsonb[]; v_repeated boolean;
  v_again bigint[]; v_retried jsonb[]; v_release bigint[]; v_touched bigint[]; v_below bigint[]; v_blockers bigint[]; v_blocked bigint[];
  v_skipped bigint[]; v_claimed bigint[]; v_ranks float8[]; v_tries smallint[];
  v_runs bigint[]; v_run bigint; v_root record; v_gone record; v_progress orbit_private.run_progress; v_stop boolean;
  v_event orbit_private.run_event; v_sums record; v_skips int; v_starts int;
  v_freed bigint[]; v_open int := 0; v_low float8 := p_low; v_lanes bigint[]; v_late bigint[]; v_gated bigint[]; v_passed_gates record;
  v_group bigint; v_head float8; v_taken jsonb; v_released bigint[];
begin
  if p_want > 0 or v_count > 0 then
    -- The worker before any job: whoever gives a worker up for lost takes its row first, and then its jobs. From here on what it
    -- holds stays its own, and what waits for that goes on waiting.
    perform 1 from orbit_private.worker w where w.id = v_worker for key share;
    v_known := found;
  end if;

  if v_count > 0 then
    -- 1. Lock, in one ordered pass, all that may be written: what is reported, its children, and below what did not pass everything.
    select array_agg(c) into v_touched
      from orbit_private.job j cross join lateral unnest(j.strict_children || j.loose_children) c where j.id = any (p_jobs)
        and j.state = 2 and j.worker_id = v_worker and (j.strict_children <> '{}' or j.loose_children <> '{}');
    if not v_passed then
      with recursive below (id) as (
        select unnest(j.strict_children) from unnest(p_jobs, p_statuses) r (id, status) join orbit_private.job j on j.id = r.id
          where r.status <> 'passed' and j.state = 2 and j.worker_id = v_worker
        union
        select unnest(j.strict_children) from below b
          cross join lateral (select o.strict_children from orbit_private.job o where o.id = b.id offset 0) j)  -- one job by its key, never all of them
      select array_agg(x.id) into v_below from (
        select b.id from below b
        union all
        select unnest(j.loose_children) from below b
          cross join lateral (select o.loose_children from orbit_private.job o where o.id = b.id offset 0) j) x;
    end if;
    -- What is ready, or another's, and what waits for that, is left alone: a late report must stand in nobody's way. (A lock stays
    -- on a row that changed while it was waited for and is then passed over; whoever claims it next would wait for us, and we for them.)
    perform 1 from orbit_private.job j where j.id = any (p_jobs || v_touched || v_below)
      and (j.state = 0 or j.state = 2 and j.worker_id = v_worker) order by j.id for update;

    -- 2. Another attempt for what may have one. A lost worker's job goes back at once, twice; it uses up no retry of the test's.
    if not v_passed and exists (select from unnest(p_statuses, p_extras) r (status, extra) where r.status = 'lost' or (r.extra ->> 'retryable')::boolean) then
      with lost as materialized (
        -- Tests that are lost together are tried apart, so that it shows which of them their worker does not survive.
        select j.id, l.n, row_number() over (order by l.n desc, j.rank) - 1 as place, count(*) over (order by l.n desc) as as_often
          from unnest(p_jobs, p_statuses) r (id, status) join orbit_private.job j on j.id = r.id
          cross join lateral (select count(*) from jsonb_array_elements(coalesce(j.previous_attempts, '[]')) p where p ->> 'status' = 'lost') l (n)
          where r.status = 'lost'),
      again as (
        update orbit_private.job j set state = 1, worker_id = null, losses = j.losses + (r.status = 'lost')::int,
            previous_attempts = coalesce(j.previous_attempts, '[]') || jsonb_build_object('number', j.attempt, 'status', r.status,
              'reason', r.extra ->> 'reason', 'category', r.extra ->> 'category', 'duration', r.duration,
              'failures', coalesce(r.extra -> 'failures', '[]'), 'worker', v_worker::text)
          from unnest(p_jobs, p_attempts, p_statuses, p_durations, p_extras) r (id, attempt, status, duration, extra) left join lost l on l.id = r.id
          where j.id = r.id and j.state = 2 and j.worker_id = v_worker and j.attempt = r.attempt
            and case when r.status = 'lost' then l.n < 2 or l.as_often > 1 and l.n < 5
                     else r.status <> 'passed' and (r.extra ->> 'retryable')::boolean and j.attempt - j.losses < j.max_attempts end
          returning j.id, j.lane, j.rank, jsonb_build_array(j.id & 1048575, r.status, r.duration, r.attempt, left(r.extra ->> 'reason', 300)) as event,
            case when r.status = 'lost' then case when l.n > 0 and l.place > 0 then v_epoch + l.place * 2 end else v_epoch
              + least(j.backoff[2], j.backoff[1] * j.backoff[3] ^ (j.attempt - j.losses - 1)) * (0.75 + random() / 2) end as due),
      listed as (
        insert into orbit_private.ready (lane, rank, job_id)
          select case when a.due is null then a.lane else ~a.lane end, coalesce(a.due, a.rank), a.id from again a)
      select array_agg(a.id), array_agg(a.event) into v_again, v_retried from again a;
    end if;

    -- 3. The rest is final: the job leaves the queue and its result enters the history in one statement, so there is exactly one.
    --    What the runs say of their results is read once a run, not once a result (1.5 µs each).
    with reported as (
      select * from unnest(p_jobs, p_attempts, p_statuses, p_durations, p_extras) r (id, attempt, status, duration, extra)),
    gone as (
      delete from orbit_private.job j using reported r
        where j.id = r.id and j.state = 2 and j.worker_id = v_worker and j.attempt = r.attempt
        returning j.id, j.test_case_id, j.attempt, j.strict_children, j.loose_children, j.previous_attempts, r.duration, r.extra,
          case when r.status = 'lost' then 'errored'
               when r.status = 'passed' and j.attempt - j.losses > 1 then 'passed_on_retry' else r.status end as status),
    runs as materialized (
      select t.queue_no, t.id, t.project_id, t.environment_id from orbit.test_runs t
        where t.queue_no = any (array(select distinct i >> 20 from unnest(p_jobs) i))),
    written as (
      insert into orbit.test_results (run_id, position, created_at, status, project_id, test_case_id, environment_id,
                                      category, reason, duration_ms, attempts, started_at, worker_id)
        select r.id, (g.id & 1048575)::int, v_now, g.status, r.project_id, g.test_case_id, r.environment_id,
               g.extra ->> 'category', g.extra ->> 'reason', g.duration * 1000, g.attempt, v_now - make_interval(secs => g.duration), v_worker
          from gone g join runs r on r.queue_no = g.id >> 20)
    select array_agg(g.id), array_agg(g.status), array_agg(g.attempt), array_agg(g.duration), case when v_more then array_agg(g.extra) end,
           array_agg(g.previous_attempts), count(g.previous_attempts) > 0,
           case when v_touched is not null then (
             select array_agg(c) from gone h cross join lateral unnest(
               case when h.status in ('passed', 'passed_on_retry') then h.strict_children || h.loose_children else h.loose_children end) c) end,
           case when not v_passed then (select array_agg(h.id order by h.id, c) from gone h cross join lateral unnest(h.strict_children) c
                                          where h.status not in ('passed', 'passed_on_retry')) end,
           case when not v_passed then (select array_agg(c order by h.id, c) from gone h cross join lateral unnest(h.strict_children) c
                                          where h.status not in ('passed', 'passed_on_retry')) end
      into v_ended, v_statuses, v_tried, v_durations, v_extras, v_previous, v_repeated, v_release, v_blockers, v_blocked from gone g;
    if v_more or v_repeated then
      insert into orbit.test_result_details (run_id, position, created_at, status, project_id, failures, exchange, previous_attempts)
        select t.id, (e.id & 1048575)::int, v_now, e.status, t.project_id, e.extra -> 'failures', e.extra -> 'exchange', e.previous
          from unnest(v_ended, v_statuses, v_extras, v_previous) e (id, status, extra, previous) join orbit.test_runs t on t.queue_no = e.id >> 20
          where e.extra ? 'failures' or e.extra ? 'exchange' or e.previous is not null;
    end if;

    if 'lost' = any (p_statuses) then
      -- Given up: it has its result, and stays to be looked at and tried anew.
      insert into orbit.dead_letters (project_id, run_id, test_case_id, position, attempts, reason, previous_attempts)
        select t.project_id, t.id, v.test_case_ids[(e.id & 1048575) + 1], (e.id & 1048575)::int, e.attempt, e.extra ->> 'reason', coalesce(e.previous, '[]')
          from unnest(v_ended, v_tried, v_extras, v_previous) e (id, attempt, extra, previous)
          join unnest(p_jobs, p_statuses) r (id, status) on r.id = e.id and r.status = 'lost'
          join orbit.test_runs t on t.queue_no = e.id >> 20 join orbit.test_suite_versions v on v.id = t.version_id;
    end if;

    if cardinality(coalesce(v_ended, '{}')) + cardinality(coalesce(v_again, '{}')) < v_count then
      return query select 'stale', r.id, r.attempt, null::float8, null::jsonb from unnest(p_jobs, p_attempts) r (id, attempt)
        where r.id <> all (coalesce(v_again, '{}')) and not exists (
          select from unnest(v_ended, v_tried) e (id, attempt) where e.id = r.id and e.attempt = r.attempt);
      update orbit_private.tally t set count = t.count + v_count - cardinality(coalesce(v_ended, '{}')) - cardinality(coalesce(v_again, '{}'))
        where t.name = 'fenced_reports';
    end if;
    if exists (select from orbit_private.gate_use) then  -- where nothing is capped, nothing is looked for
      v_freed := orbit_private.leave_gates(v_ended || v_again);
    end if;

    -- 4. What strictly needed a test that did not pass is skipped, and says because of which.
    if v_blocked is not null then
      for v_root in
        select b.id, c.key, (array_agg(e.status))[1] as status, array_agg(b.child) as children
          from unnest(v_blockers, v_blocked) b (id, child) join unnest(v_ended, v_statuses) e (id, status) on e.id = b.id
          join orbit.test_runs r on r.queue_no = b.id >> 20 join orbit.test_suite_versions v on v.id = r.version_id
          join orbit.test_cases c on c.id = v.test_case_ids[(b.id & 1048575) + 1]
          group by b.id, c.key order by b.id
      loop
        v_gone := orbit_private.skip_below(v_root.children, 'skipped', 'dependency',
          format('%s %s', v_root.key, case v_root.status when 'timed_out' then 'timed out' when 'cancelled' then 'was cancelled'
                                                         when 'errored' then 'reached no verdict' else v_root.status end), v_now);
        v_skipped := v_skipped || v_gone.ids;
        v_release := v_release || v_gone.loose;
      end loop;
    end if;

    -- 5. What has nothing left to wait for becomes ready; this very call may hand it out.
    if v_release is not null then
      v_released := orbit_private.release(v_release);
    end if;
    if v_freed is not null then
      v_open := orbit_private.open_gates(v_freed, v_now);
      v_low := case when v_open > 0 then '-infinity' else v_low end;  -- what comes back has its old place
    end if;
  end if;

  -- 6. Claim, after what was put off and is due by now has come back to its old place. The bounds are variables, not function calls,
  --    so that an index can serve them; p_low lets a worker pass over entries that are dead but not yet vacuumed (it starts again
  --    from the beginning several times a second).
  if p_want > 0 then
    if not v_known then
      return query select 'unknown', null::bigint, null::smallint, null::float8, null::jsonb;
    else
      if p_lane <> 0 then
        v_lanes := case when v_self.organization_id is null or exists (
          select from orbit.test_runs r where r.queue_no = p_lane and r.organization_id = v_self.organization_id) then array[p_lane] end;
      else
        v_lanes := array(select l.id from orbit_private.lane l
          where (v_self.organization_id is null or l.organization_id = v_self.organization_id) and l.requires <@ v_self.capabilities
            and (l.group_key is null or exists (select from orbit_private.group_holder h where h.lane = l.id and h.worker_id = v_worker and h.state = 'ready')));
        if exists (select from orbit_private.lane l where l.group_key is not null) then
          select g.lane, g.head, array_remove(v_lanes, g.left_alone) into v_group, v_head, v_lanes from orbit_private.group_for(v_self, p_want, v_now) g;
        end if;
      end if;
      v_late := array(select ~l from unnest(v_lanes) l);
      with due as (
        delete from orbit_private.ready y where y.ctid = any (array(
            select x.ctid from orbit_private.ready x where x.lane = any (v_late) and x.rank <= v_epoch
              limit 1000 for update skip locked))
          returning y.job_id)
      insert into orbit_private.ready (lane, rank, job_id)
        select j.lane, j.rank, j.id from due d join orbit_private.job j on j.id = d.job_id;
      for i in 1 .. 20 loop  -- once, but where gates take what was found away
        v_gated := null;
        if cardinality(v_lanes) = 1 then
          -- Its job's row is not waited for either: in a run that is being stopped somebody may have it locked who waits for us.
          -- (`is true`: looked up by hash. As a join it is a nested loop, by a plan that does not know how many are wanted.)
          with due as materialized (
            select x.ctid as place, x.job_id from orbit_private.ready x where x.lane = v_lanes[1] and x.rank >= v_low
              order by x.rank limit p_want - coalesce(cardinality(v_claimed), 0) for update skip locked),
          free as materialized (
            select j.id, j.gates from orbit_private.job j where j.id = any (array(select d.job_id from due d)) for update skip locked),
          unlisted as (
            delete from orbit_private.ready y where y.ctid = any (array(
              select d.place from due d where (d.job_id in (select f.id from free f where f.gates = '{}')) is true))),
          taken as (
            update orbit_private.job j set state = 2, worker_id = v_worker, attempt = j.attempt + 1
              where j.id = any (array(select f.id from free f where f.gates = '{}')) returning j.id, j.attempt, j.rank)
          select v_claimed || array_agg(t.id order by t.rank), v_tries || array_agg(t.attempt order by t.rank), v_ranks || array_agg(t.rank order by t.rank),
                 (select array_agg(f.id) from free f where f.gates <> '{}')
            into v_claimed, v_tries, v_ranks, v_gated from taken t;
        else
          -- The heads of all lanes, merged; more than wanted, because others may have some of them.
          with seen as materialized (
            select h.place, h.rank from unnest(v_lanes) l (id) cross join lateral (
                select x.ctid as place, x.rank from orbit_private.ready x where x.lane = l.id and x.rank >= v_low order by x.rank limit p_want * 4) h
              order by h.rank limit p_want * 4),
          due as materialized (
            select x.ctid as place, x.job_id from orbit_private.ready x where x.ctid = any (array(select s.place from seen s))
              order by x.rank limit p_want - coalesce(cardinality(v_claimed), 0) for update skip locked),
          free as materialized (
            select j.id, j.gates from orbit_private.job j where j.id = any (array(select d.job_id from due d)) for update skip locked),
          unlisted as (
            delete from orbit_private.ready y where y.ctid = any (array(
              select d.place from due d where (d.job_id in (select f.id from free f where f.gates = '{}')) is true))),
          taken as (
            update orbit_private.job j set state = 2, worker_id = v_worker, attempt = j.attempt + 1
              where j.id = any (array(select f.id from free f where f.gates = '{}')) returning j.id, j.attempt, j.rank)
          select v_claimed || array_agg(t.id order by t.rank), v_tries || array_agg(t.attempt order by t.rank), v_ranks || array_agg(t.rank order by t.rank),
                 (select array_agg(f.id) from free f where f.gates <> '{}')
            into v_claimed, v_tries, v_ranks, v_gated from taken t;
        end if;
        exit when v_gated is null;
        v_passed_gates := orbit_private.pass_gates(v_worker, v_gated, v_freed, v_now);
        if v_passed_gates.claimed is not null then
          with taken as (
            update orbit_private.job j set state = 2, worker_id = v_worker, attempt = j.attempt + 1
              where j.id = any (v_passed_gates.claimed) returning j.id, j.attempt, j.rank)
          select v_claimed || array_agg(t.id order by t.rank), v_tries || array_agg(t.attempt order by t.rank), v_ranks || array_agg(t.rank order by t.rank)
            into v_claimed, v_tries, v_ranks from taken t;
        end if;
        select array_agg(c.id order by c.rank), array_agg(c.attempt order by c.rank), array_agg(c.rank order by c.rank) into v_claimed, v_tries, v_ranks
          from unnest(v_claimed, v_tries, v_ranks) c (id, attempt, rank);
        v_freed := coalesce(v_freed, '{0}');  -- gates are locked from now on: others are not waited for
        exit when not v_passed_gates.parked or coalesce(cardinality(v_claimed), 0) >= p_want;
      end loop;
      if v_group is not null and (coalesce(cardinality(v_claimed), 0) < p_want or v_head < (select max(r) from unnest(v_ranks) r)) then
        v_taken := orbit_private.take_group(v_worker, v_group, v_now);
        if v_taken is not null then
          return query select 'group', v_group, null::smallint, null::float8, v_taken;
        end if;
      end if;
    end if;
  end if;
  if coalesce(cardinality(v_released), 0) + v_open > coalesce(cardinality(v_claimed), 0) then
    perform pg_notify('orbit_ready', l.lane::text) from (
      select j.lane from orbit_private.job j where j.id = any (v_released) union select 0 where v_open > 0) l;  -- 0: of whichever lane
  end if;

  -- 7. Each run touched: counters, events, context, and whether that was the last of it. Progress is locked last, in order.
  select array_agg(q order by q) into v_runs from (select distinct i >> 20 as q from unnest(v_ended || v_again || v_skipped || v_claimed) i) d;
  foreach v_run in array coalesce(v_runs, '{}') loop
    v_event := null;
    if cardinality(v_runs) = 1 then  -- as nearly always
      v_event.ended := v_ended; v_event.ended_statuses := v_statuses; v_event.ended_durations := v_durations; v_event.ended_attempts := v_tried;
      v_event.started := v_claimed; v_event.started_attempts := v_tries;
      v_skips := coalesce(cardinality(v_skipped), 0);
    else
      select array_agg(e.id), array_agg(e.status), array_agg(e.duration), array_agg(e.attempt)
        into v_event.ended, v_event.ended_statuses, v_event.ended_durations, v_event.ended_attempts
        from unnest(v_ended, v_statuses, v_durations, v_tried) e (id, status, duration, attempt) where e.id >> 20 = v_run;
      select array_agg(c.id), array_agg(c.attempt) into v_event.started, v_event.started_attempts
        from unnest(v_claimed, v_tries) c (id, attempt) where c.id >> 20 = v_run;
      v_skips := (select count(*) from unnest(v_skipped) i where i >> 20 = v_run);
    end if;
    v_starts := coalesce(cardinality(v_event.started), 0);
    select count(*)::int as ended, count(*) filter (where e = 'passed')::int as passed,
           count(*) filter (where e = 'passed_on_retry')::int as passed_on_retry, count(*) filter (where e = 'failed')::int as failed,
           count(*) filter (where e = 'errored')::int as errored, count(*) filter (where e = 'timed_out')::int as timed_out,
           count(*) filter (where e = 'cancelled')::int as cancelled,
           (select count(*)::int from unnest(v_again) i where i >> 20 = v_run) as again
      into v_sums from unnest(v_event.ended_statuses) e;
    update orbit_private.run_progress p set
        remaining = p.remaining - v_sums.ended - v_skips, running = p.running - v_sums.ended - v_sums.again + v_starts,
        passed = p.passed + v_sums.passed, passed_on_retry = p.passed_on_retry + v_sums.passed_on_retry, failed = p.failed + v_sums.failed,
        errored = p.errored + v_sums.errored, timed_out = p.timed_out + v_sums.timed_out, cancelled = p.cancelled + v_sums.cancelled,
        skipped = p.skipped + v_skips, event_seq = p.event_seq + 1,
        stop_status = case when p.fail_fast and p.stop_status is null and v_sums.failed + v_sums.errored + v_sums.timed_out > 0
                           then 'fail_fast' else p.stop_status end,
        stop_reason = case when p.fail_fast and p.stop_status is null and v_sums.failed + v_sums.errored + v_sums.timed_out > 0
                           then 'the run ends at its first failure' else p.stop_reason end
      where p.queue_no = v_run returning p.* into v_progress;

    if v_progress.remaining = 0 or v_progress.stop_status is not null or v_starts > 0 and not v_progress.started then
      -- Its status may change now: the history says on whose call. A worker that is given up for lost did not make it.
      perform set_config('orbit.actor', case when v_self.key = -v_self.id then 'system' else v_worker::text end, true);
    end if;
    if v_starts > 0 and not v_progress.started then
      update orbit_private.run_progress p set started = true where p.queue_no = v_run;
      update orbit.test_runs r set status = case r.status when 'queued' then 'running' else r.status end, started_at = coalesce(r.started_at, v_now)
        where r.queue_no = v_run;
      v_event.payload := '{"began": true}';
    end if;
    if v_sums.again > 0 then
      v_event.payload := coalesce(v_event.payload, '{}') || jsonb_build_object('retried', (
        select jsonb_agg(a.event) from unnest(v_again, v_retried) a (id, event) where a.id >> 20 = v_run));
    end if;
    if v_more and v_event.ended is not null then
      select array_agg(left(e.extra ->> 'reason', 300)) into v_event.ended_reasons from unnest(v_ended, v_extras) e (id, extra) where e.id >> 20 = v_run;
      with given as (
        select (e.id & 1048575)::int as position, c as capture, n
          from unnest(v_ended, v_extras) e (id, extra)
          cross join jsonb_array_elements(case when jsonb_typeof(e.extra -> 'captures') = 'array' then e.extra -> 'captures' end) with ordinality x (c, n)
          where e.extra ? 'captures' and e.id >> 20 = v_run),
      named as (
        select 'captured' as kind, k.key as producer, g.capture, g.position, g.n
          from given g join orbit.test_runs t on t.queue_no = v_run join orbit.test_suite_versions v on v.id = t.version_id
          join orbit.test_cases k on k.id = v.test_case_ids[g.position + 1]
        union all
        select g.capture ->> 'share', '', g.capture, g.position, g.n from given g where g.capture ->> 'share' is not null)
      insert into orbit_private.context_entry (queue_no, kind, producer, name, value, secret, version, worker_id)
        select distinct on (n.kind, n.producer, n.capture ->> 'name') v_run, n.kind, n.producer, n.capture ->> 'name', coalesce(n.capture -> 'value', 'null'),
               coalesce((n.capture ->> 'secret')::boolean, false), v_progress.event_seq, v_worker
          from named n order by n.kind, n.producer, n.capture ->> 'name', n.position desc, n.n desc
        on conflict (queue_no, kind, producer, name) do update set value = excluded.value, secret = excluded.secret, sealed_for = null,
          version = excluded.version, worker_id = excluded.worker_id, updated_at = excluded.updated_at, expires_at = excluded.expires_at;
      if found then
        update orbit_private.run_progress p set context_version = p.event_seq where p.queue_no = v_run returning p.* into v_progress;
      end if;
    end if;
    if v_skips > 0 then
      select v_event.ended || array_agg(i), v_event.ended_statuses || array_agg('skipped'::text), v_event.ended_durations || array_agg(0::real),
             v_event.ended_attempts || array_agg(0::smallint)
        into v_event.ended, v_event.ended_statuses, v_event.ended_durations, v_event.ended_attempts
        from unnest(v_skipped) i where i >> 20 = v_run;
    end if;
    insert into orbit_private.run_event (queue_no, seq, at, payload, started, started_attempts, ended, ended_statuses, ended_durations, ended_attempts, ended_reasons)
      values (v_run, v_progress.event_seq, v_now, v_event.payload, v_event.started,
        case when 1 <> any (v_event.started_attempts) then v_event.started_attempts end, v_event.ended,
        case when 'passed' <> any (v_event.ended_statuses) then v_event.ended_statuses end, v_event.ended_durations,
        case when 1 <> any (v_event.ended_attempts) then v_event.ended_attempts end, v_event.ended_reasons);

    v_stop := v_progress.stop_status is not null;
    if v_progress.remaining = 0 then
      return query select 'done', v_run, null::smallint, null::float8, jsonb_build_object('status', orbit_private.finish_run(v_progress, v_now));
      continue;
    elsif v_stop then
      declare
        v_keep boolean := v_progress.stop_status = 'fail_fast';
        v_given_up bigint[] := (select array_agg(c) from unnest(v_claimed) c where c >> 20 = v_run
            and (not v_keep or exists (select from orbit_private.job j where j.id = c and not j.always)));
        v_status text := orbit_private.sweep(v_run, v_now, coalesce(v_given_up, '{}'));
      begin
        select array_agg(c.id order by c.n), array_agg(c.attempt order by c.n), array_agg(c.rank order by c.n) into v_claimed, v_tries, v_ranks
          from unnest(v_claimed, v_tries, v_ranks) with ordinality c (id, attempt, rank, n) where c.id <> all (coalesce(v_given_up, '{}'));
        if v_status is not null then
          return query select 'done', v_run, null::smallint, null::float8, jsonb_build_object('status', v_status);
          continue;
        elsif not v_keep then
          return query select 'stop', v_run, null::smallint, null::float8, null::jsonb;
        end if;
      end;
    end if;

    -- The context that the worker does not have yet, for the runs it is given work of. What it wrote itself it knows.
    if v_claimed is not null and v_progress.context_version > coalesce(
         (select k.version from unnest(p_known_runs, p_known_versions) k (run, version) where k.run = v_run), 0)
       and exists (select from unnest(v_claimed) c where c >> 20 = v_run) then
      return query select 'context', v_run, null::smallint, null::float8, jsonb_build_object('version', v_progress.context_version, 'entries', coalesce((
          select jsonb_agg(jsonb_build_array(c.kind, c.producer, c.name, c.value, c.secret)) from orbit_private.context_entry c
            where c.queue_no = v_run and c.worker_id is distinct from v_worker
              and c.version > coalesce((select k.version from unnest(p_known_runs, p_known_versions) k (run, version) where k.run = v_run), 0)), '[]'));
    end if;
  end loop;

  if v_claimed is not null then
    return query select 'job', c.id, c.attempt, c.rank, null::jsonb from unnest(v_claimed, v_tries, v_ranks) c (id, attempt, rank);
  end if;
  if p_want > coalesce(cardinality(v_claimed), 0) then
    return query select 'next', null::bigint, null::smallint, n.seconds, null::jsonb from (select least(
        (select 0::float8 from orbit_private.ready x where x.lane = any (v_lanes) limit 1),
        (select min(greatest(n.rank - v_epoch, 0)) from unnest(v_late) l (id) cross join lateral (
           select x.rank from orbit_private.ready x where x.lane = l.id order by x.rank limit 1) n))) n (seconds)
      where n.seconds is not null;
  end if;
end $$;
comment on function orbit_runner.advance is 'One round trip of a worker: outcomes in, jobs out. See its body for the rows of the answer.';

create function orbit_runner.tick(p_lease interval default '10 seconds', p_now timestamptz default null)
returns jsonb language plpgsql security definer set search_path = '' as $$
-- Housekeeping, called by any worker every second or so; one at a time does it. One lost worker a call, so that locks are taken in the
-- order jobs → progress once; `more` asks to be called again at once.
declare v_now timestamptz := coalesce(p_now, clock_timestamp()); v_dead record; v_jobs bigint[]; v_attempts smallint[]; v_late int := 0; v_run record;
  -- A runner's account must not give up what is alive: every worker that is another's beats more often than this.
  v_lease interval := case when orbit_private.caller_is_trusted() then p_lease else greatest(p_lease, interval '10 seconds') end;
begin
  if (p_now is not null or p_lease < interval '1 second') and not orbit_private.caller_is_trusted() then
    perform orbit_private.refuse('OR003', 'administrative roles alone set the clock of tick, or a lease of less than a second', '', 'Leave p_now out.');
  end if;
  if not pg_try_advisory_xact_lock(hashtext('orbit_runner.tick')) then
    return jsonb_build_object('busy', true);
  end if;
  perform set_config('orbit.actor', 'system', true);
  select o.id, o.name into v_dead from orbit_private.worker o where o.seen_at < v_now - v_lease
      -- after the server was away, everybody gets a lease's time to come back
      and (pg_postmaster_start_time() < v_now - v_lease or o.seen_at = '-infinity')
    order by o.id limit 1 for update skip locked;
  if v_dead.id is not null then
    select array_agg(j.id), array_agg(j.attempt) into v_jobs, v_attempts from orbit_private.job j where j.state = 2 and j.worker_id = v_dead.id;
    if v_jobs is not null then
      update orbit_private.worker w set key = -w.id where w.id = v_dead.id;  -- what it shows itself is worth nothing any more
      perform orbit_runner.advance(-v_dead.id, 0, 0, v_jobs, v_attempts, array_fill('lost'::text, array[cardinality(v_jobs)]),
        array_fill(0::real, array[cardinality(v_jobs)]),
        array_fill(jsonb_build_object('category', 'runner_lost', 'reason', format('its worker %s was lost', v_dead.name)), array[cardinality(v_jobs)]));
      perform pg_notify('orbit_ready', l.lane::text) from (
        select distinct j.lane from orbit_private.job j where j.id = any (v_jobs) and j.state = 1) l;
    end if;
    delete from orbit_private.worker w where w.id = v_dead.id;
    return jsonb_build_object('lost_worker', v_dead.name, 'lost', coalesce(cardinality(v_jobs), 0), 'more', true);
  end if;
  for v_run in select p.queue_no from orbit_private.run_progress p where p.deadline_at < v_now order by p.queue_no loop
    v_late := v_late + orbit_private.stop_run(v_run.queue_no, 'timed_out', 'the run took longer than it was given', v_now)::int;
  end loop;
  -- What a gate parked comes back when a use is given back; this is for what was given back under a run's progress, or overlooked.
  -- Gates before progress: not in a transaction that has stopped a run.
  if v_late = 0 then
    perform orbit_private.open_gates(orbit_private.parked_at(), v_now);
  end if;
  perform orbit_private.tidy_lanes(v_now);
  perform orbit_private.ensure_partitions(v_now);  -- a run may outlast the weeks that its start provided for
  return jsonb_build_object('late', v_late, 'expired', orbit_private.cleanup_expired_contexts(v_now));
end $$;
comment on function orbit_runner.tick is 'Housekeeping by whoever comes by: hands back what a silent worker held ({lost_worker, lost, more}), else stops runs past their deadline and deletes expired contexts ({late, expired}); {busy} where another is at it. p_lease: how long a worker may be silent; of who is not administrative at least 10 seconds.';

create function orbit_runner.retire_worker(p_worker bigint)
returns void language plpgsql security definer set search_path = '' as $$
-- A worker that goes in good order: what it still holds is handed back at once, and uses up none of the three losses.
declare
  v_now timestamptz := clock_timestamp(); v_worker bigint := (orbit_private.worker_of(p_worker)).id; v_name text; v_jobs bigint[]; v_retried jsonb[];
  v_run bigint; v_progress orbit_private.run_progress;
begin
  perform set_config('orbit.actor', 'system', true);
  delete from orbit_private.worker w where w.id = v_worker returning w.name into v_name;
  perform 1 from orbit_private.job j where j.state = 2 and j.worker_id = v_worker order by j.id for update;
  with back as (
    update orbit_private.job j set state = 1, worker_id = null, losses = j.losses + 1,
        previous_attempts = coalesce(j.previous_attempts, '[]') || jsonb_build_object('number', j.attempt, 'status', 'returned',
          'reason', format('its worker %s signed off', v_name), 'worker', v_worker::text)
      where j.state = 2 and j.worker_id = v_worker returning j.id, j.lane, j.rank, j.attempt),
  listed as (insert into orbit_private.ready (lane, rank, job_id) select b.lane, b.rank, b.id from back b)
  select array_agg(b.id), array_agg(jsonb_build_array(b.id & 1048575, 'returned', 0, b.attempt, format('its worker %s signed off', v_name)))
    into v_jobs, v_retried from back b;
  perform orbit_private.open_gates(orbit_private.leave_gates(v_jobs), v_now);
  for v_run in select distinct i >> 20 from unnest(v_jobs) i order by 1 loop
    update orbit_private.run_progress p set event_seq = p.event_seq + 1,
        running = p.running - (select count(*) from unnest(v_jobs) i where i >> 20 = p.queue_no)
      where p.queue_no = v_run returning p.* into v_progress;
    insert into orbit_private.run_event (queue_no, seq, at, payload)
      select v_run, v_progress.event_seq, v_now, jsonb_build_object('counts', orbit_private.counts_of(v_progress), 'retried', jsonb_agg(r.event))
        from unnest(v_jobs, v_retried) r (id, event) where r.id >> 20 = v_run;
    if v_progress.stop_status is not null then
      perform orbit_private.sweep(v_run, v_now);  -- nobody else would, for it was held when the run was stopped
    end if;
  end loop;
  perform pg_notify('orbit_ready', l.lane::text) from (
    select distinct j.lane from orbit_private.job j where j.id = any (v_jobs) and j.state = 1) l;
end $$;
comment on function orbit_runner.retire_worker is 'Takes a worker off the list and hands back what it held.';

grant execute on all functions in schema orbit_runner to orbit_runner, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
