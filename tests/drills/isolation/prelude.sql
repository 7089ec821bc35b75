-- The queue in words that always print the same: tests are letters, workers names; no id and no time.

create schema drill;
create table drill.run (queue_no bigint not null, id uuid not null);
create table drill.worker (name text primary key, key bigint not null);

create function drill.begin(p_tests text, p_concurrency int default null) returns void language plpgsql as $$
-- A run of these tests: `a b c:ab` has c need the other two; workers one and two.
declare v_run jsonb; v_tests text[] := string_to_array(p_tests, ' ');
begin
  perform orbit.save_suite(jsonb_build_object('key', 'drill', 'dependencies', coalesce((
      select jsonb_agg(jsonb_build_object('test', left(t, 1), 'needs', n, 'kind', 'order')) from unnest(v_tests) t
        cross join regexp_split_to_table(nullif(split_part(t, ':', 2), ''), '') n), '[]'),
    'document', jsonb_build_object('tests', (
      select jsonb_agg(jsonb_build_object('key', left(t, 1), 'request', jsonb_build_object('method', 'GET', 'url', '/' || left(t, 1)))) from unnest(v_tests) t))));
  v_run := orbit.start_run(jsonb_strip_nulls(jsonb_build_object('suite', 'drill', 'order', 'suite', 'concurrency', p_concurrency)));
  insert into drill.run values ((v_run ->> 'queue_no')::bigint, (v_run ->> 'id')::uuid);
  insert into drill.worker select n, orbit_runner.register_worker(n, 10) from unnest(array['one', 'two']) n;
  update orbit_private.worker w set seen_at = now() + interval '1 hour' where w.name = 'two';  -- whom nobody gives up for lost
end $$;

create function drill.says(p_worker text, p_want int, p_ended text default '', p_status text default 'passed', p_attempt int default 1)
returns table (heard text) language sql as $$
-- A round trip of a worker: it reports these tests (letters) and asks for so many.
  select a.kind || coalesce(' ' || chr(97 + (a.job_id & 1048575)::int) || ', attempt ' || a.attempt, ' ' || (a.payload ->> 'status'), '')
    from drill.worker w cross join drill.run r cross join lateral orbit_runner.advance(w.key, 0, p_want,
      array(select (r.queue_no << 20) + ascii(t) - 97 from regexp_split_to_table(nullif(p_ended, ''), '') t),
      array_fill(p_attempt::smallint, array[length(p_ended)]), array_fill(p_status, array[length(p_ended)]),
      array_fill(0::real, array[length(p_ended)])) a
    where w.name = p_worker and a.kind not in ('next', 'context') order by 1
$$;

create function drill.give_up_the_silent() returns text language sql as $$
-- The housekeeper, a minute later than it is for everybody else.
  select coalesce('gives up ' || (t ->> 'lost_worker') || ', who held ' || (t ->> 'lost'), 'gives up nobody')
    from orbit_runner.tick('10 seconds', clock_timestamp() + interval '1 minute') t
$$;

create function drill.hand_over(p_test text, p_worker text) returns void language sql as $$
-- As if this worker had been handed the test.
  update orbit_private.job j set worker_id = w.id from drill.run r, orbit_private.worker w
    where j.id = (r.queue_no << 20) + ascii(p_test) - 97 and w.name = p_worker
$$;

create function drill.cancel() returns text language sql as $$
  select orbit.cancel_run(jsonb_build_object('run_id', r.id)) ->> 'status' from drill.run r
$$;

create view drill.state as
  select chr(97 + n) as test, coalesce(t.status, case j.state when 0 then 'waits for ' || j.pending when 1 then 'ready' when 2 then 'held' end, 'GONE') as state,
         case when t.status is not null and j.id is not null then 'TWICE' when j.state = 1 and l.places <> 1 then 'LISTED ' || l.places else '' end as wrong,
         coalesce(t.attempts, j.attempt) as attempt, coalesce(j.losses, 0) as losses
    from drill.run r join orbit.test_runs o on o.queue_no = r.queue_no join orbit.test_suite_versions v on v.id = o.version_id
    cross join generate_series(0, cardinality(v.test_case_ids) - 1) n
    left join orbit_private.job j on j.id = (r.queue_no << 20) + n
    left join orbit.test_results t on t.run_id = r.id and t.position = n
    cross join lateral (select (select count(*) from orbit_private.ready y where y.job_id = (r.queue_no << 20) + n)
      + (select count(*) from orbit_private.parked p where p.job_id = (r.queue_no << 20) + n) as places) l
    order by n;

create view drill.recount as
  select o.status, p.remaining = (select count(*) from orbit_private.job j where j.id >> 20 = r.queue_no) as remaining_is_right,
         p.running = (select count(*) from orbit_private.job j where j.id >> 20 = r.queue_no and j.state = 2) as running_is_right
    from drill.run r join orbit.test_runs o on o.queue_no = r.queue_no left join orbit_private.run_progress p on p.queue_no = r.queue_no;

create function drill.clear() returns void language plpgsql as $$
begin
  perform orbit.cancel_run(jsonb_build_object('run_id', r.id)) from drill.run r;
  perform orbit_runner.retire_worker(w.key) from drill.worker w;
  if exists (select from orbit_private.job) or exists (select from orbit_private.ready) or exists (select from orbit_private.run_progress)
     or exists (select from orbit_private.parked) or exists (select from orbit_private.gate_use) then
    raise exception 'something is left in the queue';
  end if;
  delete from drill.run;
  delete from drill.worker;
end $$;

create function drill.widen(p_cap int) returns void language sql as $$
-- The cap of the run.
  select orbit_private.set_gate(g.organization_id, g.kind, g.key, p_cap, null, null) from orbit_private.gate g join drill.run r on g.key = r.queue_no::text where g.kind = 'run'
$$;

create view drill.gates as
  select g.kind, g.cap, (select count(*) from orbit_private.gate_use u where u.gate_id = g.id) as uses,
         (select string_agg(chr(97 + (p.job_id & 1048575)::int), ' ' order by p.rank) from orbit_private.parked p where p.gate_id = g.id) as parked
    from orbit_private.gate g;
