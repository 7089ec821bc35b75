-- Catalog: suites and their versions, test cases, endpoints, requests, expectations, dependencies.
-- save_suite() is the one way in: idempotent, versioned, cycles refused.

create table orbit.test_suites (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  key text not null,
  name text not null,
  description text,
  tags text[] not null default '{}',
  latest_version int not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  archived_at timestamptz,
  constraint test_suites_project_id_key_key unique (project_id, key)
);
create index idx_test_suites_organization_id on orbit.test_suites (organization_id);
comment on table orbit.test_suites is 'A named set of tests that depend on each other.';
comment on column orbit.test_suites.id is 'Drawn at random.';
comment on column orbit.test_suites.organization_id is 'The project''s organisation.';
comment on column orbit.test_suites.project_id is 'The project it tests.';
comment on column orbit.test_suites.name is 'Its title, as people read it.';
comment on column orbit.test_suites.description is 'What it is about; null: not said.';
comment on column orbit.test_suites.tags is 'Words by which suites are found.';
comment on column orbit.test_suites.latest_version is 'The number of the version that a run takes; 0 only while the first is being saved.';
comment on column orbit.test_suites.created_at is 'When it was first saved.';
comment on column orbit.test_suites.updated_at is 'When a version was last saved.';
comment on column orbit.test_suites.archived_at is 'When it was taken out of lists; null: it is in them.';
comment on column orbit.test_suites.key is 'Stable name: keeps the history when the suite''s title changes.';

create table orbit.test_suite_versions (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  suite_id uuid not null references orbit.test_suites (id) on delete cascade,
  number int not null,
  digest text not null,
  document jsonb not null,
  test_case_ids uuid[] not null,
  created_at timestamptz not null default now(),
  constraint test_suite_versions_suite_id_number_key unique (suite_id, number)
);
create index idx_test_suite_versions_project_id on orbit.test_suite_versions (project_id);
comment on table orbit.test_suite_versions is 'What a suite said at a time; a run executes exactly one version.';
comment on column orbit.test_suite_versions.id is 'Drawn at random.';
comment on column orbit.test_suite_versions.project_id is 'The suite''s project.';
comment on column orbit.test_suite_versions.suite_id is 'Of which suite.';
comment on column orbit.test_suite_versions.number is 'From 1, without gaps.';
comment on column orbit.test_suite_versions.digest is 'SHA-256 of the request that saved it, in hexadecimal: the same again makes no new version.';
comment on column orbit.test_suite_versions.document is 'The suite as pydantic wrote it, templates unresolved.';
comment on column orbit.test_suite_versions.created_at is 'When it was saved.';
comment on column orbit.test_suite_versions.test_case_ids is 'In the order of the document: a job''s position is an index into it.';

create table orbit.test_cases (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  suite_id uuid not null references orbit.test_suites (id) on delete cascade,
  key text not null,
  stable_key text not null,
  name text not null,
  description text,
  tags text[] not null default '{}',
  enabled boolean not null default true,
  skip_reason text,
  always boolean not null default false,
  max_attempts smallint not null default 1,
  backoff real[] not null default '{0.2,10,2}',
  uses text[],
  requires text[] not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  archived_at timestamptz,
  constraint test_cases_suite_id_stable_key_key unique (suite_id, stable_key),
  constraint test_cases_max_attempts_check check (max_attempts between 1 and 21),
  constraint test_cases_backoff_check check (cardinality(backoff) = 3),
  constraint test_cases_skip_reason_check check (enabled or skip_reason is not null)
);
create index idx_test_cases_suite_id on orbit.test_cases (suite_id);
create index idx_test_cases_enabled on orbit.test_cases (suite_id, enabled) where archived_at is null;
create index idx_test_cases_project_id on orbit.test_cases (project_id, key);
comment on table orbit.test_cases is 'One test of a suite; its history hangs on this row''s id.';
comment on column orbit.test_cases.id is 'Drawn at random; results, metrics and failures refer to it.';
comment on column orbit.test_cases.project_id is 'The suite''s project.';
comment on column orbit.test_cases.suite_id is 'Of which suite.';
comment on column orbit.test_cases.key is 'Its name in the suite, by which dependencies and captures mean it.';
comment on column orbit.test_cases.name is 'Its title, as people read it.';
comment on column orbit.test_cases.description is 'What it shows; null: not said.';
comment on column orbit.test_cases.tags is 'Words by which a run selects tests.';
comment on column orbit.test_cases.enabled is 'False: every run skips it.';
comment on column orbit.test_cases.skip_reason is 'Why it is switched off; null while it is not.';
comment on column orbit.test_cases.always is 'Clean-up: it waits for what it needs and runs however that ended.';
comment on column orbit.test_cases.max_attempts is '1 and its retries, at most 21.';
comment on column orbit.test_cases.created_at is 'When it was first saved.';
comment on column orbit.test_cases.updated_at is 'When a version last changed it.';
comment on column orbit.test_cases.archived_at is 'When a version of the suite left it out; null: it is in the latest.';
comment on column orbit.test_cases.stable_key is 'The document''s id, or the key: what is matched when a suite is saved again.';
comment on column orbit.test_cases.requires is 'What a worker must be able to do to take it, in alphabetical order: docker, android, …; http is a matter of course.';
comment on column orbit.test_cases.uses is 'Names of the variables that it refers to, also through others: what a worker that holds it is given of the secrets. Null: nobody said, it may be any.';
comment on column orbit.test_cases.backoff is 'Seconds before the next attempt: initial, maximum, and the factor between attempts.';

create table orbit.api_endpoints (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  method text not null,
  path text not null,
  tags text[] not null default '{}',
  created_at timestamptz not null default now(),
  constraint api_endpoints_project_id_method_path_key unique (project_id, method, path)
);
create index idx_api_endpoints_tags on orbit.api_endpoints using gin (tags);
comment on table orbit.api_endpoints is 'What the project''s tests call: a method and a path, templates unresolved.';
comment on column orbit.api_endpoints.id is 'Drawn at random.';
comment on column orbit.api_endpoints.project_id is 'The project whose tests call it.';
comment on column orbit.api_endpoints.method is 'In capitals.';
comment on column orbit.api_endpoints.path is 'As the tests write it: a path or a whole address, templates unresolved.';
comment on column orbit.api_endpoints.tags is 'Tags of the tests that call it, each once.';
comment on column orbit.api_endpoints.created_at is 'When a test first named it.';

create table orbit.test_request_configs (
  test_case_id uuid primary key references orbit.test_cases (id) on delete cascade,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  endpoint_id uuid references orbit.api_endpoints (id) on delete set null,
  request jsonb not null
);
create index idx_test_request_configs_project_id on orbit.test_request_configs (project_id);
create index idx_test_request_configs_endpoint_id on orbit.test_request_configs (endpoint_id);
comment on table orbit.test_request_configs is 'The request of a test, as its suite writes it.';
comment on column orbit.test_request_configs.test_case_id is 'Which test.';
comment on column orbit.test_request_configs.project_id is 'The test''s project.';
comment on column orbit.test_request_configs.endpoint_id is 'What it calls; null where its address has gone.';
comment on column orbit.test_request_configs.request is 'Method, url, headers, body and the rest, templates unresolved.';

create table orbit.test_response_specs (
  test_case_id uuid primary key references orbit.test_cases (id) on delete cascade,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  expectations jsonb not null default '[]',
  captures jsonb not null default '{}',
  poll jsonb
);
create index idx_test_response_specs_project_id on orbit.test_response_specs (project_id);
comment on table orbit.test_response_specs is 'What a test expects of the answer and takes from it.';
comment on column orbit.test_response_specs.test_case_id is 'Which test.';
comment on column orbit.test_response_specs.project_id is 'The test''s project.';
comment on column orbit.test_response_specs.expectations is 'What must hold, in order: [{…}].';
comment on column orbit.test_response_specs.captures is 'What is taken from the answer, by name: {name: {…}}.';
comment on column orbit.test_response_specs.poll is 'Until when the request is repeated, and how often; null: it is sent once.';

create table orbit.test_dependencies (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  dependent_test_id uuid not null references orbit.test_cases (id) on delete cascade,
  required_test_id uuid not null references orbit.test_cases (id) on delete cascade,
  dependency_type text not null,
  constraint idx_test_dependencies_dependent_test_id unique (dependent_test_id, required_test_id),
  constraint test_dependencies_dependency_type_check check (dependency_type in ('order', 'data', 'token')),
  constraint test_dependencies_not_itself_check check (dependent_test_id <> required_test_id)
);
create index idx_test_dependencies_required_test_id on orbit.test_dependencies (required_test_id);
create index idx_test_dependencies_project_id on orbit.test_dependencies (project_id);
comment on table orbit.test_dependencies is 'Which test needs which: in order, for captured data, or for a token.';
comment on column orbit.test_dependencies.id is 'Drawn at random.';
comment on column orbit.test_dependencies.project_id is 'The project of both tests.';
comment on column orbit.test_dependencies.dependent_test_id is 'The test that waits.';
comment on column orbit.test_dependencies.required_test_id is 'The test that it waits for.';
comment on column orbit.test_dependencies.dependency_type is 'order: it comes after; data: it uses what was captured; token: it uses a token. Of several the last in this list.';

-- RLS --------------------------------------------------------------------------------------------------------------------

do $$
declare v_table text;
begin
  foreach v_table in array array['test_suites', 'test_suite_versions', 'test_cases', 'api_endpoints',
                                 'test_request_configs', 'test_response_specs', 'test_dependencies'] loop
    execute format('alter table orbit.%I enable row level security', v_table);
    execute format('grant select on orbit.%I to authenticated', v_table);
    execute format('grant all on orbit.%I to service_role', v_table);
    execute format('create policy %I on orbit.%I for select to authenticated
                      using (project_id = any (array(select orbit_private.my_project_ids())))', v_table || '_select', v_table);
  end loop;
end $$;

-- Helpers ----------------------------------------------------------------------------------------------------------------

-- Definer: it makes organisations and projects, after require(); whoever finds the project there needs the right to what they do in it.
create function orbit_private.ensure_project(p_request jsonb, p_action text)
returns orbit.projects language plpgsql security definer set search_path = '' as $$
declare
  v_organization_id uuid; v_project orbit.projects; v_name text := coalesce(p_request ->> 'project', 'default');
  v_organization text := coalesce(p_request ->> 'organization', 'default');
begin
  -- Looked for before it is made, and never written when it is there: every row that refers to it locks it against a change of
  -- its key, and would wait for this, or this for them.
  if orbit_private.caller_is_trusted() and not exists (select from orbit.organizations o where o.slug = v_organization) then
    insert into orbit.organizations (slug, name) values (v_organization, initcap(v_organization)) on conflict (slug) do nothing;
  end if;
  v_organization_id := orbit_private.organization_of(p_request);
  if p_request ->> 'project' is null then
    v_name := coalesce((orbit_private.preferred_project(v_organization_id)).slug, v_name);
  end if;
  select * into v_project from orbit.projects p where p.organization_id = v_organization_id and p.slug = orbit_private.slug(v_name);
  if not found or not orbit_private.sees('project', v_project.id) then  -- hidden, it is to the caller as if it were not there
    perform orbit_private.require('project.create', 'organization', v_organization_id);
    insert into orbit.projects (organization_id, slug, name) values (v_organization_id, orbit_private.slug(v_name), v_name)
      on conflict (organization_id, slug) do nothing;
    select * into v_project from orbit.projects p where p.organization_id = v_organization_id and p.slug = orbit_private.slug(v_name);
  end if;
  perform orbit_private.require(p_action, 'project', v_project.id);
  return v_project;
end $$;
comment on function orbit_private.ensure_project is 'The project that a request names, as project_of finds it, made if need be; OR003 unless the caller may do this in it.';

create function orbit_private.refuse_cycle(p_keys text[], p_dependents int[], p_required int[])
returns void language plpgsql set search_path = '' as $$
-- Kahn's algorithm over positions: linear in tests and dependencies. What is left has a cycle; one is named.
declare
  v_count int := cardinality(p_keys);
  v_pending int[] := array_fill(0, array[greatest(v_count, 1)]);
  v_first int[] := array_fill(0, array[greatest(v_count, 1)]);  -- per test: its first edge, then along v_next
  v_next int[] := array_fill(0, array[greatest(cardinality(p_dependents), 1)]);
  v_queue int[] := array_fill(0, array[greatest(v_count, 1)]);
  v_head int := 1; v_tail int := 0; v_edge int; v_test int; v_path text; v_seen boolean[]; v_start int;
begin
  for e in 1 .. coalesce(cardinality(p_dependents), 0) loop
    v_pending[p_dependents[e]] := v_pending[p_dependents[e]] + 1;
    v_next[e] := v_first[p_required[e]];
    v_first[p_required[e]] := e;
  end loop;
  for t in 1 .. v_count loop
    if v_pending[t] = 0 then v_tail := v_tail + 1; v_queue[v_tail] := t; end if;
  end loop;
  while v_head <= v_tail loop
    v_edge := v_first[v_queue[v_head]];
    v_head := v_head + 1;
    while v_edge > 0 loop
      v_test := p_dependents[v_edge];
      v_pending[v_test] := v_pending[v_test] - 1;
      if v_pending[v_test] = 0 then v_tail := v_tail + 1; v_queue[v_tail] := v_test; end if;
      v_edge := v_next[v_edge];
    end loop;
  end loop;
  if v_tail = v_count then
    return;
  end if;
  -- Every test that is left has a requirement that is left: walking up must come round.
  for e in 1 .. cardinality(p_dependents) loop
    if v_pending[p_dependents[e]] > 0 and v_pending[p_required[e]] > 0 then v_first[p_dependents[e]] := p_required[e]; end if;
  end loop;
  v_seen := array_fill(false, array[v_count]);
  select t into v_test from generate_series(1, v_count) t where v_pending[t] > 0 order by t limit 1;
  while not v_seen[v_test] loop
    v_seen[v_test] := true;
    v_test := v_first[v_test];
  end loop;
  v_start := v_test; v_path := p_keys[v_test]; v_edge := 0;
  loop
    v_test := v_first[v_test];
    v_edge := v_edge + 1;
    if v_edge <= 20 or v_test = v_start then v_path := p_keys[v_test] || ' → ' || case when v_edge > 21 then '… → ' else '' end || v_path; end if;
    exit when v_test = v_start;
  end loop;
  perform orbit_private.refuse('OR010', format('tests wait for each other: %s', v_path),
    format('the cycle has %s tests', v_edge), 'Take away one of these dependencies.');
end $$;
comment on function orbit_private.refuse_cycle is 'OR010, naming one cycle, where tests wait for each other.';

create function orbit_private.endpoint_tags(p_endpoints uuid[])
returns table (id uuid, tags text[]) language sql volatile set search_path = '' as $$
  select k.id, coalesce((select array_agg(distinct g.tag order by g.tag)
      from orbit.test_request_configs r join orbit.test_cases c on c.id = r.test_case_id and c.archived_at is null
      join orbit.test_suites s on s.id = c.suite_id cross join unnest(c.tags || s.tags) g (tag) where r.endpoint_id = k.id), '{}')
    from (select distinct u from unnest(p_endpoints) u) k (id)
$$;
comment on function orbit_private.endpoint_tags is 'The tags that endpoints should have.';

create function orbit_private.tag_endpoints(p_endpoints uuid[])
returns void language plpgsql set search_path = '' set plan_cache_mode = force_custom_plan as $$
-- Only what changes is written, and in one order: suites that share endpoints may be saved at once. What the other saver wrote is
-- read after waiting for it.
declare v_stale uuid[];
begin
  v_stale := array(select t.id from orbit_private.endpoint_tags(p_endpoints) t join orbit.api_endpoints e on e.id = t.id where e.tags is distinct from t.tags);
  if v_stale = '{}' then
    return;
  end if;
  perform from orbit.api_endpoints e where e.id = any (v_stale) order by e.id for no key update;
  update orbit.api_endpoints e set tags = t.tags from orbit_private.endpoint_tags(v_stale) t where e.id = t.id and e.tags is distinct from t.tags;
end $$;
comment on function orbit_private.tag_endpoints is 'Gives endpoints the tags of the tests that call them, their suites'' included.';

-- save_suite ---------------------------------------------------------------------------------------------------------------

-- Definer: it writes tables that callers may only read, after ensure_project().
create function orbit_private.save_suite(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_document jsonb := p_request -> 'document';
  v_key text := orbit_private.required(p_request, 'key');
  v_digest text := encode(sha256(convert_to((p_request - 'organization')::text, 'utf8')), 'hex');
  v_project orbit.projects;
  v_suite orbit.test_suites;
  v_version orbit.test_suite_versions;
  v_keys text[]; v_names text[]; v_ids uuid[]; v_bad text; v_common text[]; v_reach jsonb; v_busy boolean; v_dependents int[]; v_required int[]; v_endpoints uuid[];
begin
  if jsonb_typeof(v_document -> 'tests') is distinct from 'array' or jsonb_array_length(v_document -> 'tests') = 0 then
    perform orbit_private.refuse('OR001', 'a suite has at least one test', '', 'document.tests is an array of tests, each with a key.');
  end if;
  if jsonb_array_length(v_document -> 'tests') > 1048576 then
    perform orbit_private.refuse('OR001', 'a suite has at most 1,048,576 tests');
  end if;
  v_project := orbit_private.ensure_project(p_request, 'suite.write');

  -- The suite's row is the lock: two savers of one suite go one after the other.
  insert into orbit.test_suites (organization_id, project_id, key, name)
    values (v_project.organization_id, v_project.id, v_key, coalesce(p_request ->> 'name', v_key))
    on conflict (project_id, key) do nothing;
  select * into v_suite from orbit.test_suites s where s.project_id = v_project.id and s.key = v_key for no key update;
  select * into v_version from orbit.test_suite_versions v where v.suite_id = v_suite.id and v.number = v_suite.latest_version;
  if v_version.digest = v_digest then
    return jsonb_build_object('suite_id', v_suite.id, 'version_id', v_version.id, 'version', v_version.number,
      'tests', cardinality(v_version.test_case_ids), 'changed', false);
  end if;
  perform orbit_private.look(v_project.organization_id, 'save_suite');

  select array_agg(t ->> 'key' order by n), array_agg(coalesce(t ->> 'id', t ->> 'key') order by n) into v_keys, v_names
    from jsonb_array_elements(v_document -> 'tests') with ordinality x (t, n);
  select k into v_bad from unnest(v_keys) k group by k having count(*) > 1 or k is null limit 1;
  if found then
    perform orbit_private.refuse('OR001', coalesce(format('two tests have the key %s', v_bad), 'a test has no key'), '', 'A key names one test of the suite.');
  end if;
  select k into v_bad from unnest(v_names) k group by k having count(*) > 1 limit 1;
  if found then
    perform orbit_private.refuse('OR001', format('two tests have the same id %s', v_bad), '', 'An id names one test of the suite; without one, its key does.');
  end if;

  -- A test that was renamed, or given an id, keeps its row, and with it its history.
  update orbit.test_cases c set stable_key = coalesce(t ->> 'id', t ->> 'key')
    from jsonb_array_elements(v_document -> 'tests') t
    where c.suite_id = v_suite.id and c.stable_key = coalesce(t ->> 'renamed_from', case when t ? 'id' then t ->> 'key' end)
      and c.stable_key <> all (v_names)
      and not exists (select from orbit.test_cases o where o.suite_id = v_suite.id and o.stable_key = coalesce(t ->> 'id', t ->> 'key'));

  -- What every test says through the defaults, and what the suite's variables say of each other. A run that is under way executes an
  -- older version, whose tests must not lose what they use.
  v_common := orbit_private.names_in(v_document -> 'defaults');
  v_reach := orbit_private.names_reached(v_document -> 'variables');
  v_busy := exists (select from orbit_private.run_progress p join orbit.test_runs r on r.queue_no = p.queue_no where r.suite_id = v_suite.id);
  insert into orbit.test_cases as c (project_id, suite_id, key, stable_key, name, description, tags, enabled, skip_reason,
                                     always, max_attempts, backoff, uses, requires)
    select v_project.id, v_suite.id, t ->> 'key', coalesce(t ->> 'id', t ->> 'key'), coalesce(t ->> 'name', t ->> 'key'),
           t ->> 'description', array(select jsonb_array_elements_text(coalesce(t -> 'tags', '[]'))),
           t ->> 'skip' is null, t ->> 'skip', coalesce((t ->> 'always')::boolean, false),
           1 + coalesce((r.retry ->> 'max')::smallint, 0::smallint),
           array[coalesce((r.retry #>> '{backoff,initial}')::real, 0.2), coalesce((r.retry #>> '{backoff,max}')::real, 10),
                 coalesce((r.retry #>> '{backoff,factor}')::real, 2)],
           orbit_private.names_beyond(orbit_private.names_in(t) || v_common, v_reach),
           orbit_private.capabilities_of(array(select jsonb_array_elements_text(coalesce(t -> 'requires', v_document -> 'requires', '[]'))))
      from jsonb_array_elements(v_document -> 'tests') t,
           lateral (select coalesce(t -> 'retry', v_document #> '{defaults,retry}')) r (retry)
    on conflict (suite_id, stable_key) do update set
      key = excluded.key, name = excluded.name, description = excluded.description, tags = excluded.tags, enabled = excluded.enabled,
      skip_reason = excluded.skip_reason, always = excluded.always, max_attempts = excluded.max_attempts,
      backoff = excluded.backoff, uses = case when v_busy then array(select distinct u from unnest(c.uses || excluded.uses) u order by u) else excluded.uses end,
      requires = excluded.requires,
      updated_at = now(), archived_at = null
      where (c.key, c.name, c.description, c.tags, c.enabled, c.skip_reason, c.always, c.max_attempts, c.backoff, c.uses, c.requires, c.archived_at)
        is distinct from (excluded.key, excluded.name, excluded.description, excluded.tags, excluded.enabled, excluded.skip_reason,
                          excluded.always, excluded.max_attempts, excluded.backoff, excluded.uses, excluded.requires, null);

  select array_agg(c.id order by k.n) into v_ids
    from unnest(v_names) with ordinality k (name, n)
    join orbit.test_cases c on c.suite_id = v_suite.id and c.stable_key = k.name;
  update orbit.test_cases c set archived_at = now()
    where c.suite_id = v_suite.id and c.archived_at is null and c.id <> all (v_ids);

  v_endpoints := array(select distinct r.endpoint_id from orbit.test_cases c join orbit.test_request_configs r on r.test_case_id = c.id
                         where c.suite_id = v_suite.id and r.endpoint_id is not null);  -- before: what is called no more loses its tags
  insert into orbit.api_endpoints (project_id, method, path)
    select distinct v_project.id, upper(coalesce(t #>> '{request,method}', 'GET')), t #>> '{request,url}'
      from jsonb_array_elements(v_document -> 'tests') t where t #>> '{request,url}' is not null
      order by 2, 3  -- two savers of suites that share endpoints take them in the same order
    on conflict (project_id, method, path) do nothing;

  insert into orbit.test_request_configs as c (test_case_id, project_id, endpoint_id, request)
    select v_ids[n], v_project.id, e.id, t -> 'request'
      from jsonb_array_elements(v_document -> 'tests') with ordinality x (t, n)
      left join orbit.api_endpoints e on e.project_id = v_project.id and e.path = t #>> '{request,url}'
                                     and e.method = upper(coalesce(t #>> '{request,method}', 'GET'))
      where t ? 'request'
    on conflict (test_case_id) do update set request = excluded.request, endpoint_id = excluded.endpoint_id
      where c.request is distinct from excluded.request;
  insert into orbit.test_response_specs as s (test_case_id, project_id, expectations, captures, poll)
    select v_ids[n], v_project.id, coalesce(t -> 'expect', '[]'), coalesce(t -> 'capture', '{}'), t -> 'poll'
      from jsonb_array_elements(v_document -> 'tests') with ordinality x (t, n)
    on conflict (test_case_id) do update set expectations = excluded.expectations, captures = excluded.captures, poll = excluded.poll
      where (s.expectations, s.captures, s.poll) is distinct from (excluded.expectations, excluded.captures, excluded.poll);

  -- Dependencies, by position; the strongest kind of a pair counts.
  with named as (
    select d ->> 'test' as test, d ->> 'needs' as needs, coalesce(d ->> 'kind', 'order') as kind
      from jsonb_array_elements(coalesce(p_request -> 'dependencies', '[]')) d),
  placed as (
    select k.n as dependent, r.n as required, named.*
      from named left join unnest(v_keys) with ordinality k (key, n) on k.key = named.test
                 left join unnest(v_keys) with ordinality r (key, n) on r.key = named.needs)
  select array_agg(dependent::int), array_agg(required::int),
         min(format('%s needs %s, which is not in the suite', test, needs)) filter (where dependent is null or required is null)
    into v_dependents, v_required, v_bad from placed;
  if v_bad is not null then
    perform orbit_private.refuse('OR001', v_bad, '', 'Dependencies name tests by their keys.');
  end if;
  perform orbit_private.refuse_cycle(v_keys, v_dependents, v_required);

  delete from orbit.test_dependencies d using orbit.test_cases c where c.suite_id = v_suite.id and d.dependent_test_id = c.id;
  insert into orbit.test_dependencies (project_id, dependent_test_id, required_test_id, dependency_type)
    select v_project.id, v_ids[k.n], v_ids[r.n],
           (array['order', 'data', 'token'])[max(array_position(array['order', 'data', 'token'], coalesce(d ->> 'kind', 'order')))]
      from jsonb_array_elements(coalesce(p_request -> 'dependencies', '[]')) d
      join unnest(v_keys) with ordinality k (key, n) on k.key = d ->> 'test'
      join unnest(v_keys) with ordinality r (key, n) on r.key = d ->> 'needs'
      group by k.n, r.n;

  insert into orbit.test_suite_versions (project_id, suite_id, number, digest, document, test_case_ids)
    values (v_project.id, v_suite.id, v_suite.latest_version + 1, v_digest, v_document, v_ids) returning * into v_version;
  if p_request ? 'fixtures' then
    perform orbit_private.use_fixtures(v_version, p_request -> 'fixtures');
  end if;
  update orbit.test_suites s set
      name = coalesce(p_request ->> 'name', s.key), description = p_request ->> 'description', latest_version = v_version.number,
      tags = array(select jsonb_array_elements_text(coalesce(v_document -> 'tags', '[]'))), updated_at = now(), archived_at = null
    where s.id = v_suite.id;
  perform orbit_private.tag_endpoints(v_endpoints || array(
    select distinct r.endpoint_id from orbit.test_request_configs r where r.test_case_id = any (v_ids) and r.endpoint_id is not null));
  perform orbit_private.within_quota(v_project.organization_id, 'stored_bytes', pg_column_size(v_document));
  perform orbit_private.take(v_project.organization_id, 'save_suite');
  return jsonb_build_object('suite_id', v_suite.id, 'version_id', v_version.id, 'version', v_version.number,
    'tests', cardinality(v_ids), 'changed', true);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.save_suite is 'See orbit.save_suite.';

create function orbit.save_suite(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_suite(p_request) $$;
comment on function orbit.save_suite is
  'Saves a suite: {organization?, project?, key, name?, description?, document: {tests: [{key, request, …}], …}, dependencies: [{test, needs, kind}], fixtures?: [{name, version, rows}] (the data sets its rows are from)}. Saving the same again changes nothing. Answers {suite_id, version_id, version, tests, changed}. OR001 malformed, OR003 not an editor, OR010 cycle.';
grant execute on function orbit_private.save_suite to authenticated, service_role;
grant execute on function orbit.save_suite to authenticated, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
