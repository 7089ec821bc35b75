-- Limits: how much of what an organisation may do in a time, and use at all. None is set until somebody sets it.
--
--   rates    start_run, save_suite, invite, read_secret, token, create_organization    look() without a lock, take() at the end: OR006, with when to ask again
--   quotas   concurrent_runs, stored_results, stored_bytes        within_quota() at the end: OR007, with what is used and allowed
--
-- A rate is kept as one moment in one row (GCRA): when the bucket would be full again. In any stretch of time never more is taken
-- than the burst and what the rate gives in it, and whoever waits as told is let in.

create table orbit.limits (
  name text primary key,
  kind text not null,
  description text not null,
  constraint limits_kind_check check (kind in ('rate', 'quota'))
);
comment on table orbit.limits is 'What can be limited.';
comment on column orbit.limits.name is 'As requests and errors name it.';
comment on column orbit.limits.kind is 'rate: so many in a time, with a burst. quota: so many at all.';
comment on column orbit.limits.description is 'In a sentence.';
insert into orbit.limits (name, kind, description) values
  ('start_run', 'rate', 'Runs started.'),
  ('save_suite', 'rate', 'Suites saved; saving what is there already is free.'),
  ('invite', 'rate', 'People invited.'),
  ('read_secret', 'rate', 'Secrets looked at.'),
  ('create_organization', 'rate', 'Organisations made by one person; each has a bucket of their own. Set for all alone.'),
  ('token', 'rate', 'Calls with one trigger token or API key; each has a bucket of its own.'),
  ('concurrent_runs', 'quota', 'Runs that are not finished.'),
  ('stored_results', 'quota', 'Results kept, in all projects.'),
  ('stored_bytes', 'quota', 'Bytes of suites, all versions, and of data sets kept.');

create table orbit.organization_limits (
  id bigint generated always as identity primary key,
  organization_id uuid references orbit.organizations (id) on delete cascade,
  name text not null references orbit.limits (name) on delete cascade,
  amount bigint,
  per double precision,
  burst int,
  constraint organization_limits_organization_id_name_key unique nulls not distinct (organization_id, name),
  constraint organization_limits_amount_check check (amount >= 0 and amount <= 1000000000000000),
  constraint organization_limits_rate_check check (
    (per is null) = (burst is null) and (per is null or amount > 0) and per > 0 and per <= 31536000 and burst between 1 and 1000000000)
);
create index idx_organization_limits_name on orbit.organization_limits (name);
comment on table orbit.organization_limits is 'The limits that are set: for one organisation, or as default for those that have none of their own.';
comment on column orbit.organization_limits.id is 'In the order in which they were set.';
comment on column orbit.organization_limits.organization_id is 'Whose; null: the default of all.';
comment on column orbit.organization_limits.name is 'Which.';
comment on column orbit.organization_limits.amount is 'How many; null: as many as one likes, whatever the default says.';
comment on column orbit.organization_limits.per is 'A rate: in how many seconds.';
comment on column orbit.organization_limits.burst is 'A rate: how many at once after a pause.';

create table orbit_private.limit_bucket (
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  bucket text not null,
  full_at double precision not null default 0,
  primary key (organization_id, bucket)
) with (fillfactor = 50);
alter table orbit_private.limit_bucket enable row level security;
comment on table orbit_private.limit_bucket is 'What was taken of each rate. The row of a quota carries nothing: its lock lets one ask at a time.';
comment on column orbit_private.limit_bucket.organization_id is 'Whose.';
comment on column orbit_private.limit_bucket.bucket is 'The limit''s name; of a token, token:<id>.';
comment on column orbit_private.limit_bucket.full_at is 'When it is full again if nobody takes anything, in seconds since 1970.';

create table orbit_private.person_bucket (
  user_id uuid not null references orbit.users (id) on delete cascade,
  bucket text not null,
  full_at double precision not null default 0,
  primary key (user_id, bucket)
) with (fillfactor = 50);
alter table orbit_private.person_bucket enable row level security;
comment on table orbit_private.person_bucket is 'What somebody took of a rate that is of no organisation.';
comment on column orbit_private.person_bucket.user_id is 'Who.';
comment on column orbit_private.person_bucket.bucket is 'The limit''s name.';
comment on column orbit_private.person_bucket.full_at is 'When it is full again if they take nothing, in seconds since 1970.';

create table orbit_private.stored_usage (
  organization_id uuid primary key references orbit.organizations (id) on delete cascade,
  results bigint not null,
  bytes bigint not null,
  counted_at timestamptz not null,
  took double precision not null
);
alter table orbit_private.stored_usage enable row level security;
comment on table orbit_private.stored_usage is 'What an organisation keeps, as last counted: counting costs too much to be done at each start.';
comment on column orbit_private.stored_usage.organization_id is 'Whose.';
comment on column orbit_private.stored_usage.results is 'Results of tests.';
comment on column orbit_private.stored_usage.bytes is 'Of suites'' versions and data sets, as stored.';
comment on column orbit_private.stored_usage.counted_at is 'When.';
comment on column orbit_private.stored_usage.took is 'Seconds it took to count; it is counted anew after a hundred times as long, and after a minute at the earliest.';

alter table orbit.limits enable row level security;
alter table orbit.organization_limits enable row level security;
grant select on orbit.limits, orbit.organization_limits to authenticated;
grant all on orbit.limits, orbit.organization_limits to service_role;
create policy limits_select on orbit.limits for select to authenticated using (true);
create policy organization_limits_select on orbit.organization_limits for select to authenticated
  using (organization_id is null or organization_id = any (array(select orbit_private.my_organization_ids('limit.read'))));
select orbit_private.audited('orbit.organization_limits', 'limit');

-- Rates ------------------------------------------------------------------------------------------------------------------------

create function orbit_private.limit_for(p_organization_id uuid, p_name text)
returns orbit.organization_limits language plpgsql stable set search_path = '' as $$
declare v_limit orbit.organization_limits;
begin
  select * into v_limit from orbit.organization_limits l
    where l.name = p_name and (l.organization_id = p_organization_id or l.organization_id is null)
    order by l.organization_id nulls last limit 1;
  return v_limit;
end $$;
comment on function orbit_private.limit_for is 'The limit that holds for an organisation: its own, else the default; null where there is none.';

create function orbit_private.refuse_too_many(p_message text, p_seconds double precision, p_hint text)
returns void language plpgsql stable set search_path = '' as $$
declare v_detail text := format('retry after %s s', round(ceil((p_seconds - 5e-6)::numeric * 10) / 10, 1));
begin
  if coalesce(current_setting('request.method', true), '') <> '' then
    -- The form in which PostgREST takes a status and headers.
    raise sqlstate 'PGRST' using
      message = json_build_object('code', 'OR006', 'message', p_message, 'details', v_detail, 'hint', p_hint)::text,
      detail = json_build_object('status', 429, 'headers', json_build_object('Retry-After', ceil(p_seconds - 5e-6)::bigint::text))::text;
  end if;
  perform orbit_private.refuse('OR006', p_message, v_detail, p_hint);
end $$;
comment on function orbit_private.refuse_too_many is 'OR006 with the seconds to wait; over HTTP a response 429 with Retry-After.';

create function orbit_private.bucket_after(p_limit orbit.organization_limits, p_bucket text, p_full_at double precision, p_cost int, p_now timestamptz)
returns double precision language plpgsql stable set search_path = '' as $$
declare
  v_now double precision := extract(epoch from p_now); v_each double precision := p_limit.per / p_limit.amount;
  v_after double precision := greatest(coalesce(p_full_at, 0), v_now) + p_cost * v_each;
  v_wait double precision := v_after - v_now - p_limit.burst * v_each;
begin
  if p_cost > p_limit.burst then
    perform orbit_private.refuse('OR007', format('%s takes %s of %s at once', p_bucket, p_cost, p_limit.name), format('allowed at once: %s', p_limit.burst),
      'Do it in smaller parts, or ask who runs this database for a greater burst.');
  elsif v_wait > 1e-5 then  -- more than what is lost in reckoning with seconds since 1970
    perform orbit_private.refuse_too_many(format('too many at once: %s', p_bucket), v_wait,
      format('Allowed: %s in %s s, %s at once. Wait, or ask who runs this database for more.', p_limit.amount, p_limit.per, p_limit.burst));
  end if;
  return v_after;
end $$;
comment on function orbit_private.bucket_after is 'When a bucket is full again after taking so many; OR006 with the time to wait where they are not in it.';

create function orbit_private.look(p_organization_id uuid, p_bucket text, p_cost int default 1, p_now timestamptz default clock_timestamp())
returns void language plpgsql stable set search_path = '' as $$
declare v_limit orbit.organization_limits := orbit_private.limit_for(p_organization_id, split_part(p_bucket, ':', 1));
begin
  if v_limit.amount is not null and v_limit.per is not null then
    perform orbit_private.bucket_after(v_limit, p_bucket,
      (select b.full_at from orbit_private.limit_bucket b where b.organization_id = p_organization_id and b.bucket = p_bucket), p_cost, p_now);
  end if;
end $$;
comment on function orbit_private.look is 'OR006 where take() would refuse just now; takes nothing and waits for nobody. For the beginning of what takes at its end.';

create function orbit_private.take(p_organization_id uuid, p_bucket text, p_cost int default 1, p_now timestamptz default clock_timestamp())
returns void language plpgsql set search_path = '' as $$
-- The bucket stays locked until the commit: to be called last.
declare v_limit orbit.organization_limits := orbit_private.limit_for(p_organization_id, split_part(p_bucket, ':', 1)); v_full_at double precision;
begin
  if v_limit.amount is null or v_limit.per is null then
    return;
  end if;
  insert into orbit_private.limit_bucket as b (organization_id, bucket) values (p_organization_id, p_bucket)
    on conflict (organization_id, bucket) do update set bucket = b.bucket returning b.full_at into v_full_at;
  v_full_at := orbit_private.bucket_after(v_limit, p_bucket, v_full_at, p_cost, p_now);
  update orbit_private.limit_bucket b set full_at = v_full_at where b.organization_id = p_organization_id and b.bucket = p_bucket;
end $$;
comment on function orbit_private.take is 'Takes from a bucket: the name of a rate, or token:<id>. OR006 where it does not hold as many, with the seconds to wait; nothing where no limit is set.';

create function orbit_private.take_as_person(p_user_id uuid, p_bucket text, p_now timestamptz default clock_timestamp())
returns void language plpgsql set search_path = '' as $$
-- As take(): to be called last.
declare v_limit orbit.organization_limits := orbit_private.limit_for(null, p_bucket); v_full_at double precision;
begin
  if p_user_id is null or v_limit.amount is null or v_limit.per is null then
    return;
  end if;
  insert into orbit_private.person_bucket as b (user_id, bucket) values (p_user_id, p_bucket)
    on conflict (user_id, bucket) do update set bucket = b.bucket returning b.full_at into v_full_at;
  v_full_at := orbit_private.bucket_after(v_limit, p_bucket, v_full_at, 1, p_now);
  update orbit_private.person_bucket b set full_at = v_full_at where b.user_id = p_user_id and b.bucket = p_bucket;
end $$;
comment on function orbit_private.take_as_person is 'Takes from somebody''s own bucket of a rate that is set for all. OR006 where it is empty; nothing where no limit is set, or nobody is signed in.';

-- Quotas -----------------------------------------------------------------------------------------------------------------------

create function orbit_private.used_of(p_organization_id uuid, p_name text)
returns bigint language plpgsql stable set search_path = '' as $$
begin
  return case p_name
    when 'concurrent_runs' then (
      select count(*) from orbit_private.run_progress p join orbit.test_runs r on r.queue_no = p.queue_no where r.organization_id = p_organization_id)
    when 'stored_results' then (
      select count(*) from orbit.projects p join orbit.test_results r on r.project_id = p.id where p.organization_id = p_organization_id)
    when 'stored_bytes' then (
      select coalesce(sum(k.bytes), 0) from orbit.projects p cross join lateral (
          select pg_column_size(v.document) from orbit.test_suite_versions v where v.project_id = p.id
          union all
          select pg_column_size(f.rows) from orbit.test_data_fixtures f where f.project_id = p.id) k (bytes)
        where p.organization_id = p_organization_id)
  end;
end $$;
comment on function orbit_private.used_of is 'How much of a quota is used, counted now.';

create function orbit_private.stored_of(p_organization_id uuid, p_now timestamptz default clock_timestamp())
returns orbit_private.stored_usage language plpgsql set search_path = '' as $$
declare v_usage orbit_private.stored_usage; v_begun timestamptz;
begin
  select * into v_usage from orbit_private.stored_usage u where u.organization_id = p_organization_id;
  if found and p_now < v_usage.counted_at + make_interval(secs => greatest(60, 100 * v_usage.took)) then
    return v_usage;
  end if;
  v_begun := clock_timestamp();
  v_usage := row(p_organization_id, orbit_private.used_of(p_organization_id, 'stored_results'), orbit_private.used_of(p_organization_id, 'stored_bytes'),
                 p_now, extract(epoch from clock_timestamp() - v_begun));
  insert into orbit_private.stored_usage as u values (v_usage.*)
    on conflict (organization_id) do update set results = excluded.results, bytes = excluded.bytes, counted_at = excluded.counted_at, took = excluded.took;
  return v_usage;
end $$;
comment on function orbit_private.stored_of is 'What an organisation keeps, counted anew where the last count is old.';

create function orbit_private.within_quota(p_organization_id uuid, p_name text, p_more bigint default 0, p_now timestamptz default clock_timestamp())
returns void language plpgsql set search_path = '' as $$
-- Runs are counted exactly, one start after the other; to be called last, with the new run in its table. What is kept is known as
-- of the last count.
declare v_limit orbit.organization_limits := orbit_private.limit_for(p_organization_id, p_name); v_used bigint; v_what text;
begin
  if v_limit.amount is null then
    return;
  end if;
  if p_name = 'concurrent_runs' then
    insert into orbit_private.limit_bucket as b (organization_id, bucket) values (p_organization_id, p_name)
      on conflict (organization_id, bucket) do update set bucket = b.bucket;
    v_used := orbit_private.used_of(p_organization_id, p_name);  -- as of now, after the wait: this function is volatile
    v_what := 'Wait until a run ends, or cancel one.';
  elsif p_name = 'stored_results' then
    v_used := (orbit_private.stored_of(p_organization_id, p_now)).results;
    v_what := 'Delete runs or projects that are no longer needed, or have results dropped earlier.';
  else
    v_used := (orbit_private.stored_of(p_organization_id, p_now)).bytes;
    v_what := 'Delete suites or data sets that are no longer needed.';
  end if;
  if v_used + p_more > v_limit.amount then
    perform orbit_private.refuse('OR007', format('the organisation''s %s are used up', replace(p_name, '_', ' ')),
      format('used: %s, allowed: %s', case p_name when 'concurrent_runs' then v_used - 1 else v_used end, v_limit.amount),
      v_what || ' Whoever runs this database can allow more: orbit limits set.');
  end if;
end $$;
comment on function orbit_private.within_quota is 'OR007, with what is used, what is allowed and what to do, where a quota does not hold so much more; of runs the one just started is counted already.';

-- What a start takes -----------------------------------------------------------------------------------------------------------

create function orbit_private.look_before_start(p_organization_id uuid, p_now timestamptz)
returns void language plpgsql stable set search_path = '' as $$
begin
  if not exists (select from orbit.organization_limits l where l.organization_id = p_organization_id or l.organization_id is null) then
    return;
  end if;
  perform orbit_private.look(p_organization_id, 'start_run', 1, p_now);
end $$;
comment on function orbit_private.look_before_start is 'OR006 at the beginning of a start that would be refused at its end anyway.';

create function orbit_private.take_for_start(p_organization_id uuid, p_now timestamptz)
returns void language plpgsql set search_path = '' as $$
begin
  if not exists (select from orbit.organization_limits l where l.organization_id = p_organization_id or l.organization_id is null) then
    return;
  end if;
  perform orbit_private.within_quota(p_organization_id, 'stored_results', 1, p_now);
  perform orbit_private.within_quota(p_organization_id, 'concurrent_runs', 0, p_now);
  perform orbit_private.take(p_organization_id, 'start_run', 1, p_now);
end $$;
comment on function orbit_private.take_for_start is 'All that a start may exceed; at its end, with the run in its table.';

-- Reading and setting ----------------------------------------------------------------------------------------------------------

create function orbit.get_limits(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_id uuid;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'all']);
  if not coalesce((p_request ->> 'all')::boolean, false) and not orbit_private.nothing_saved(p_request) then
    v_id := orbit_private.organization_of(p_request);
    perform orbit_private.require('limit.read', 'organization', v_id);
  end if;
  return jsonb_build_object('organization', (select o.slug from orbit.organizations o where o.id = v_id), 'limits', (
    select jsonb_agg(jsonb_build_object('name', n.name, 'kind', n.kind, 'description', n.description, 'amount', l.amount, 'per', l.per, 'burst', l.burst,
             'origin', case when l.id is null then 'none' when l.organization_id is null then 'default' else 'organization' end) order by n.kind desc, n.name)
      from orbit.limits n left join lateral (
        select * from orbit.organization_limits l where l.name = n.name and (l.organization_id = v_id or l.organization_id is null)
          order by l.organization_id nulls last limit 1) l on true));
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.get_limits is 'The limits that hold for an organisation: {organization? | all?: true (the defaults)}. Answers {organization, limits: [{name, kind: rate | quota, description, amount (null: no limit), per (seconds), burst, origin: organization | default | none}]}.';

-- Definer: buckets, the queue and other projects' rows are not the caller's to read; sums of them are.
create function orbit_private.get_usage(p_request jsonb, p_now timestamptz default clock_timestamp())
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare v_id uuid;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization']);
  if not orbit_private.nothing_saved(p_request) then
    v_id := orbit_private.organization_of(p_request);
    perform orbit_private.require('limit.read', 'organization', v_id);
  end if;
  return jsonb_build_object('organization', (select o.slug from orbit.organizations o where o.id = v_id), 'usage', (
    select jsonb_agg(jsonb_build_object('name', n.name, 'kind', n.kind, 'allowed', case n.kind when 'rate' then (l.l).burst else (l.l).amount end, 'used',
             case when n.kind = 'quota' then orbit_private.used_of(v_id, n.name)
                  when (l.l).per is null then null
                  else greatest(0, ceil((coalesce(b.full_at, 0) - extract(epoch from p_now)) * (l.l).amount / (l.l).per - 1e-6))::bigint end) order by n.kind desc, n.name)
      from orbit.limits n cross join lateral (select orbit_private.limit_for(v_id, n.name) as l offset 0) l
        left join orbit_private.limit_bucket b on b.organization_id = v_id and b.bucket = n.name
      where n.name not in ('token', 'create_organization')));
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.get_usage is 'See orbit.get_usage.';

create function orbit.get_usage(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.get_usage(p_request) $$;
comment on function orbit.get_usage is 'What an organisation uses of its limits: {organization?}. Answers {organization, usage: [{name, kind, used, allowed}]}: of a quota counted now; of a rate what is taken of its burst at this moment (null where no limit is set).';

-- Definer: limits are set by those who run the database, and by nobody else.
create function orbit_private.set_limits(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_id uuid; v_name text; v_value jsonb; v_kind text; v_rate boolean;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'all', 'limits']);
  if not orbit_private.caller_is_trusted() then
    perform orbit_private.refuse('OR003', 'limits are set by those who run the database', '', 'It takes the service role, or the owner of the schema.');
  end if;
  if not coalesce((p_request ->> 'all')::boolean, false) then
    v_id := orbit_private.organization_of(p_request);
  end if;
  if jsonb_typeof(p_request -> 'limits') is distinct from 'object' then
    perform orbit_private.refuse('OR001', 'limits is missing, or no object', '', 'As in {"limits": {"concurrent_runs": 10, "start_run": {"amount": 60, "per": 60, "burst": 20}}}.');
  end if;
  for v_name, v_value in select e.key, e.value from jsonb_each(p_request -> 'limits') e order by e.key loop
    select n.kind into v_kind from orbit.limits n where n.name = v_name;
    if not found then
      perform orbit_private.refuse('OR001', format('there is no limit %s', left(v_name, 60)),
        format('there are: %s', (select string_agg(n.name, ', ' order by n.name) from orbit.limits n)));
    end if;
    if v_name = 'create_organization' and v_id is not null then
      perform orbit_private.refuse('OR001', 'create_organization is set for all, not for one organisation', '', 'Say all: true; orbit limits set --all.');
    end if;
    if v_value = 'null' then
      delete from orbit.organization_limits l where l.organization_id is not distinct from v_id and l.name = v_name;
      continue;
    end if;
    v_rate := v_kind = 'rate' and v_value <> '"unlimited"';
    if v_value <> '"unlimited"' and jsonb_typeof(v_value) <> (case v_kind when 'rate' then 'object' else 'number' end) then
      perform orbit_private.refuse('OR001', format('the limit %s is malformed', v_name), left(v_value::text, 100),
        'A quota is a number, a rate {amount, per: seconds, burst?}; "unlimited" lifts the default, null goes back to it.');
    end if;
    if v_rate then
      perform orbit_private.refuse_unknown(v_value, array['amount', 'per', 'burst']);
      perform orbit_private.required(v_value, 'amount'), orbit_private.required(v_value, 'per');
    end if;
    insert into orbit.organization_limits as l (organization_id, name, amount, per, burst)
      select v_id, v_name, a.amount, case when v_rate then (v_value ->> 'per')::float8 end,
             case when v_rate then coalesce((v_value ->> 'burst')::int, a.amount) end
        from (select case when v_rate then (v_value ->> 'amount')::bigint when v_value <> '"unlimited"' then (v_value #>> '{}')::bigint end as amount) a
      on conflict (organization_id, name) do update set amount = excluded.amount, per = excluded.per, burst = excluded.burst
        where (l.amount, l.per, l.burst) is distinct from (excluded.amount, excluded.per, excluded.burst);
  end loop;
  return orbit.get_limits(p_request - 'limits');
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.set_limits is 'See orbit.set_limits.';

create function orbit.set_limits(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.set_limits(p_request) $$;
comment on function orbit.set_limits is
  'Sets limits: {organization? | all?: true (the defaults), limits: {<name>: number (a quota) | {amount, per (seconds), burst? = amount} (a rate) | "unlimited" | null (back to the default)}}. Answers as get_limits. OR003 unless the caller is an administrative role.';

grant execute on function orbit.get_limits, orbit.get_usage, orbit.set_limits, orbit_private.get_usage, orbit_private.set_limits to authenticated, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
