-- Library: what a project keeps beside its suites, and what a person keeps.
--
--   project ─┬─ test_data_fixtures ── fixture_usage (which suite version, which run, which version of the data)
--            └─ report_templates
--   person  ─┬─ user_preferences
--            ├─ saved_searches (shared with a project, if they like)
--            └─ api_credentials (theirs alone)
--
-- Where nobody is signed in (an administrative role: a laptop's own database), preferences, searches and credentials are those
-- of the installation: user_id is null. No signed-in person ever sees them.

-- Fixtures -----------------------------------------------------------------------------------------------------------------

create table orbit.test_data_fixtures (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  name text not null,
  description text,
  tags text[] not null default '{}',
  columns text[] not null,
  rows jsonb not null,
  row_count int not null generated always as (jsonb_array_length(rows)) stored,
  bytes int not null generated always as (octet_length(rows::text)) stored,
  version int not null default 1,
  digest text not null,
  created_by uuid references orbit.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint test_data_fixtures_project_id_name_key unique (project_id, name),
  constraint test_data_fixtures_name_check check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
  constraint test_data_fixtures_description_check check (length(description) <= 2000),
  constraint test_data_fixtures_tags_check check (cardinality(tags) <= 50 and array_position(tags, null) is null and '' <> all (tags)),
  constraint test_data_fixtures_columns_check check (cardinality(columns) between 1 and 1000 and array_position(columns, null) is null),
  constraint test_data_fixtures_row_count_check check (row_count between 1 and 100000),
  constraint test_data_fixtures_rows_are_objects_check check (not jsonb_path_exists(rows, 'strict $[*] ? (@.type() != "object")')),
  constraint test_data_fixtures_bytes_check check (bytes <= 1048576),
  constraint test_data_fixtures_version_check check (version > 0)
);
create index idx_test_data_fixtures_tags on orbit.test_data_fixtures using gin (tags);
create index idx_test_data_fixtures_created_by on orbit.test_data_fixtures (created_by);
comment on table orbit.test_data_fixtures is 'Data sets of a project: rows for data-driven tests, which suites name in `data: {fixture: …}`. Only the present version is kept: a saved suite carries the rows it was saved with.';
comment on column orbit.test_data_fixtures.id is 'Drawn at random.';
comment on column orbit.test_data_fixtures.project_id is 'Whose suites may name it.';
comment on column orbit.test_data_fixtures.name is 'As suites name it: letters, digits, dots, underscores, hyphens; up to 100.';
comment on column orbit.test_data_fixtures.description is 'What the data are good for; up to 2,000 characters.';
comment on column orbit.test_data_fixtures.tags is 'To find it by; up to 50.';
comment on column orbit.test_data_fixtures.columns is 'The names of the rows'' fields, in the order of the file: jsonb keeps none.';
comment on column orbit.test_data_fixtures.rows is 'An array of objects. No secrets: everybody who sees the project reads them.';
comment on column orbit.test_data_fixtures.row_count is '1 to 100,000.';
comment on column orbit.test_data_fixtures.bytes is 'Of the rows as JSON text; up to 1 MiB.';
comment on column orbit.test_data_fixtures.version is 'From 1; one more whenever rows or columns change. A name that is used again after a deletion goes on counting.';
comment on column orbit.test_data_fixtures.digest is 'SHA-256 of columns and rows, in hexadecimal.';
comment on column orbit.test_data_fixtures.created_by is 'Who saved it first; null where an administrative role did, or the account is gone.';
comment on column orbit.test_data_fixtures.created_at is 'When it was first saved.';
comment on column orbit.test_data_fixtures.updated_at is 'When it was last changed.';

create table orbit.fixture_usage (
  id bigint generated always as identity primary key,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  fixture_id uuid references orbit.test_data_fixtures (id) on delete set null,
  fixture_name text not null,
  fixture_version int not null,
  rows_used int not null,
  suite_id uuid not null references orbit.test_suites (id) on delete cascade,
  version_id uuid not null references orbit.test_suite_versions (id) on delete cascade,
  run_id uuid references orbit.test_runs (id) on delete cascade,
  used_at timestamptz not null default now(),
  constraint fixture_usage_fixture_version_check check (fixture_version > 0),
  constraint fixture_usage_rows_used_check check (rows_used > 0)
);
create index idx_fixture_usage_project_id on orbit.fixture_usage (project_id, fixture_name, id);
create index idx_fixture_usage_fixture_id on orbit.fixture_usage (fixture_id);
create index idx_fixture_usage_suite_id on orbit.fixture_usage (suite_id);
create index idx_fixture_usage_version_id on orbit.fixture_usage (version_id);
create index idx_fixture_usage_run_id on orbit.fixture_usage (run_id);
comment on table orbit.fixture_usage is 'Which version of which data set a suite version was saved with (run_id is null), and which runs then used it. Outlives the data set.';
comment on column orbit.fixture_usage.id is 'In the order of use.';
comment on column orbit.fixture_usage.project_id is 'The project of both.';
comment on column orbit.fixture_usage.fixture_id is 'Null once the data set was deleted; name and version stay.';
comment on column orbit.fixture_usage.fixture_name is 'As it was called then.';
comment on column orbit.fixture_usage.fixture_version is 'Its version then.';
comment on column orbit.fixture_usage.rows_used is 'How many rows: one test each.';
comment on column orbit.fixture_usage.suite_id is 'The suite that names it.';
comment on column orbit.fixture_usage.version_id is 'The version of the suite that carries its rows.';
comment on column orbit.fixture_usage.run_id is 'The run that used it; null: the suite was saved with it.';
comment on column orbit.fixture_usage.used_at is 'When the run was started, or the suite saved.';

-- Report templates -----------------------------------------------------------------------------------------------------------

create table orbit.report_templates (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  name text not null,
  kind text not null,
  source text not null,
  is_default boolean not null default false,
  created_by uuid references orbit.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint report_templates_project_id_name_key unique (project_id, name),
  constraint report_templates_name_check check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$' and name <> 'default'),
  constraint report_templates_kind_check check (kind in ('html', 'md', 'text')),
  constraint report_templates_source_check check (octet_length(source) between 1 and 262144)
);
create unique index report_templates_default_key on orbit.report_templates (project_id) where is_default;
create index idx_report_templates_created_by on orbit.report_templates (created_by);
comment on table orbit.report_templates is 'A project''s own reports: Jinja templates over the document that `orbit show --json` writes.';
comment on column orbit.report_templates.id is 'Drawn at random.';
comment on column orbit.report_templates.project_id is 'Whose runs it shows.';
comment on column orbit.report_templates.name is 'Letters, digits, dots, underscores, hyphens; up to 100. `default` means the one that is_default.';
comment on column orbit.report_templates.kind is 'What it makes: html (values are escaped), md or text.';
comment on column orbit.report_templates.source is 'The Jinja text; up to 256 KiB. Rendered in a sandbox, never in the database.';
comment on column orbit.report_templates.is_default is 'At most one of a project.';
comment on column orbit.report_templates.created_by is 'Who saved it first; null where an administrative role did, or the account is gone.';
comment on column orbit.report_templates.created_at is 'When it was first saved.';
comment on column orbit.report_templates.updated_at is 'When it was last changed.';

-- Preferences ------------------------------------------------------------------------------------------------------------------

create table orbit.user_preferences (
  id uuid primary key default gen_random_uuid(),
  user_id uuid default auth.uid() references orbit.users (id) on delete cascade,
  preferences jsonb not null default '{}',
  updated_at timestamptz not null default now(),
  constraint user_preferences_user_id_key unique nulls not distinct (user_id),
  constraint user_preferences_preferences_check check (jsonb_typeof(preferences) = 'object' and octet_length(preferences::text) <= 16384)
);
comment on table orbit.user_preferences is 'What people like: one row a person, at most. People read and write their own, and nobody else''s.';
comment on column orbit.user_preferences.id is 'Drawn at random.';
comment on column orbit.user_preferences.user_id is 'Whose; null: of the installation, where nobody signs in.';
comment on column orbit.user_preferences.preferences is 'Known keys only, each of its type: see orbit.set_preferences.';
comment on column orbit.user_preferences.updated_at is 'When the last of them was set.';

create function orbit_private.preference_problem(p_key text, p_value jsonb)
returns text language sql stable set search_path = '' as $$
  select case p_key
    when 'organization' then case when p_value #>> '{}' ~ '^[a-z0-9][a-z0-9-]{0,62}$' and jsonb_typeof(p_value) = 'string' then null else 'the slug of an organisation' end
    when 'project' then case when p_value #>> '{}' ~ '^[a-z0-9][a-z0-9-]{0,62}$' and jsonb_typeof(p_value) = 'string' then null else 'the slug of a project' end
    when 'theme' then case when p_value in ('"system"', '"light"', '"dark"') then null else 'system, light or dark' end
    when 'colour' then case when p_value in ('"auto"', '"always"', '"never"') then null else 'auto, always or never' end
    when 'notify' then case when p_value in ('"never"', '"failure"', '"always"') then null else 'never, failure or always' end
    when 'rows' then case when jsonb_typeof(p_value) = 'number' and (p_value #>> '{}') ~ '^[0-9]{1,4}$' and (p_value #>> '{}')::int between 1 and 500
                          then null else 'a whole number, 1 to 500' end
    when 'time_zone' then case when exists (select from pg_catalog.pg_timezone_names z where z.name = p_value #>> '{}')
                               then null else 'a time zone by its name, as Europe/Berlin' end
    else 'unknown' end
$$;
comment on function orbit_private.preference_problem is 'What a preference must be, where it is something else; `unknown` for a key there is not; null where it is fine.';

create function orbit_private.tg_check_preferences()
returns trigger language plpgsql set search_path = '' as $$
declare v_key text; v_problem text;
begin
  if jsonb_typeof(new.preferences) is distinct from 'object' then
    perform orbit_private.refuse('OR001', 'preferences are no JSON object');
  end if;
  select k, orbit_private.preference_problem(k, new.preferences -> k) into v_key, v_problem
    from jsonb_object_keys(new.preferences) k where orbit_private.preference_problem(k, new.preferences -> k) is not null order by k limit 1;
  if v_problem = 'unknown' then
    perform orbit_private.refuse('OR001', format('there is no preference %s', left(v_key, 60)), 'there are: organization, project, theme, time_zone, colour, notify, rows');
  elsif v_problem is not null then
    perform orbit_private.refuse('OR001', format('the preference %s is %s', v_key, v_problem));
  end if;
  new.updated_at := now();
  return new;
end $$;
comment on function orbit_private.tg_check_preferences is 'OR001 for a preference that is none, or of another type.';
create trigger "100_check_preferences" before insert or update on orbit.user_preferences
  for each row execute function orbit_private.tg_check_preferences();

-- Definer: asked inside other functions; it tells callers nothing but what they said themselves.
create function orbit_private.preferred(p_key text)
returns text language sql stable security definer set search_path = '' as $$
  select u.preferences ->> p_key from orbit.user_preferences u where u.user_id is not distinct from (select auth.uid())
$$;
comment on function orbit_private.preferred is 'A preference of the caller''s; null where they have none.';

-- Saved searches -----------------------------------------------------------------------------------------------------------------

create table orbit.saved_searches (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  user_id uuid references orbit.users (id) on delete cascade,
  project_id uuid references orbit.projects (id) on delete cascade,
  name text not null,
  entity text not null,
  filter jsonb not null default '{}',
  shared boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint saved_searches_user_id_name_key unique nulls not distinct (user_id, organization_id, name),
  constraint saved_searches_name_check check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
  constraint saved_searches_entity_check check (entity in ('runs', 'results', 'suites', 'tests', 'fixtures')),
  constraint saved_searches_filter_check check (jsonb_typeof(filter) = 'object' and octet_length(filter::text) <= 16384),
  constraint saved_searches_shared_has_project_check check (not shared or project_id is not null)
);
create index idx_saved_searches_organization_id on orbit.saved_searches (organization_id, name);
create index idx_saved_searches_project_id on orbit.saved_searches (project_id, name);
comment on table orbit.saved_searches is 'Questions that people ask again: which runs, results, suites, tests or data sets, by which filter.';
comment on column orbit.saved_searches.id is 'Drawn at random.';
comment on column orbit.saved_searches.organization_id is 'Where it looks.';
comment on column orbit.saved_searches.user_id is 'Whose; null: of the installation, where nobody signs in.';
comment on column orbit.saved_searches.project_id is 'Where alone it looks; null: in every project that whoever runs it sees.';
comment on column orbit.saved_searches.name is 'Unique among one''s own in an organisation: letters, digits, dots, underscores, hyphens; up to 100.';
comment on column orbit.saved_searches.entity is 'What it finds.';
comment on column orbit.saved_searches.filter is 'The fields of orbit_private.search_fields() and what they must be; checked when it is saved, and again when it is run.';
comment on column orbit.saved_searches.shared is 'Whether everybody who sees the project may run it, each seeing what is theirs to see.';
comment on column orbit.saved_searches.created_at is 'When it was first saved.';
comment on column orbit.saved_searches.updated_at is 'When it was last changed.';

-- RLS ----------------------------------------------------------------------------------------------------------------------------

alter table orbit.test_data_fixtures enable row level security;
alter table orbit.fixture_usage enable row level security;
alter table orbit.report_templates enable row level security;
alter table orbit.user_preferences enable row level security;
alter table orbit.saved_searches enable row level security;

grant select on orbit.test_data_fixtures, orbit.fixture_usage, orbit.report_templates, orbit.user_preferences, orbit.saved_searches to authenticated;
grant insert (user_id, preferences), update (preferences), delete on orbit.user_preferences to authenticated;
grant all on orbit.test_data_fixtures, orbit.fixture_usage, orbit.report_templates, orbit.user_preferences, orbit.saved_searches to service_role;

create policy test_data_fixtures_select on orbit.test_data_fixtures for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy fixture_usage_select on orbit.fixture_usage for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy report_templates_select on orbit.report_templates for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy user_preferences_select on orbit.user_preferences for select to authenticated using (user_id = (select auth.uid()));
create policy user_preferences_insert on orbit.user_preferences for insert to authenticated with check (user_id = (select auth.uid()));
create policy user_preferences_update on orbit.user_preferences for update to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy user_preferences_delete on orbit.user_preferences for delete to authenticated using (user_id = (select auth.uid()));
create policy saved_searches_select on orbit.saved_searches for select to authenticated using (
  user_id = (select auth.uid()) or (shared and project_id = any (array(select orbit_private.my_project_ids()))));

-- What lists and searches share ----------------------------------------------------------------------------------------------------

create function orbit_private.projects_of(p_request jsonb)
returns uuid[] language plpgsql stable set search_path = '' as $$
begin
  if p_request ->> 'project' is not null then
    return array[(orbit_private.project_of(p_request)).id];
  end if;
  if p_request ->> 'organization' is null and orbit_private.caller_is_trusted() and not exists (select from orbit.organizations) then
    return '{}';  -- a database in which nothing was saved yet
  end if;
  return array(select p.id from orbit.projects p where p.organization_id = orbit_private.organization_of(p_request)
                 and (orbit_private.caller_is_trusted() or p.id in (select orbit_private.my_project_ids())));
end $$;
comment on function orbit_private.projects_of is 'The project that a request names, else all those of its organisation that the caller sees.';

create function orbit_private.texts_of(p_request jsonb, p_field text)
returns text[] language plpgsql immutable set search_path = '' as $$
begin
  if jsonb_typeof(p_request -> p_field) = 'string' then
    return array[p_request ->> p_field];
  elsif jsonb_typeof(p_request -> p_field) = 'array' and not jsonb_path_exists(p_request -> p_field, 'strict $[*] ? (@.type() != "string")') then
    return array(select jsonb_array_elements_text(p_request -> p_field));
  elsif coalesce(p_request -> p_field, 'null') <> 'null' then
    raise exception using errcode = 'OR001', message = format('%s is neither text nor a list of texts', p_field), detail = '', hint = '';
  end if;
  return null;
end $$;
comment on function orbit_private.texts_of is 'A field of a request that is a text or a list of them, as a list; null where it is not given.';

create function orbit_private.page_limit(p_request jsonb)
returns int language plpgsql immutable set search_path = '' as $$
begin
  if coalesce(p_request -> 'limit', 'null') = 'null' then
    return 50;
  end if;
  if (p_request ->> 'limit') !~ '^[0-9]{1,4}$' or (p_request ->> 'limit')::int not between 1 and 500 then
    raise exception using errcode = 'OR001', message = 'limit is not a whole number from 1 to 500', detail = '', hint = 'Read on with `after`: the `next` of the answer before.';
  end if;
  return (p_request ->> 'limit')::int;
end $$;
comment on function orbit_private.page_limit is 'How many rows a request asks for at most: its limit, else 50; OR001 beyond 1 to 500.';

create function orbit_private.moment_of(p_text text, p_now timestamptz)
returns timestamptz language plpgsql stable set search_path = '' as $$
begin
  if p_text ~ '^[0-9]{1,5}[mhdw]$' then
    return p_now - make_interval(mins => left(p_text, -1)::int * case right(p_text, 1) when 'm' then 1 when 'h' then 60 when 'd' then 1440 else 10080 end);
  end if;
  if p_text !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' then
    raise invalid_datetime_format;
  end if;
  return p_text::timestamptz;
exception when data_exception then
  raise exception using errcode = 'OR001', message = format('%s is no time', left(p_text, 60)), detail = '',
    hint = 'Write so long ago (90m, 24h, 7d, 2w) or a time (2026-11-21, 2026-11-21T08:00:00Z).';
end $$;
comment on function orbit_private.moment_of is 'A moment: so many minutes, hours, days or weeks before p_now, or an ISO 8601 time; OR001 for anything else.';

create function orbit_private.like_of(p_text text)
returns text language sql immutable set search_path = '' as $$
  select '%' || replace(replace(replace(p_text, '\', '\\'), '%', '\%'), '_', '\_') || '%'
$$;
comment on function orbit_private.like_of is 'A pattern for texts that hold this text, whatever characters it has.';

create function orbit_private.search_fields()
returns table (entity text, field text, kind text) language sql immutable set search_path = '' as $$
  values ('runs', 'status', 'texts'), ('runs', 'suite', 'text'), ('runs', 'environment', 'text'), ('runs', 'triggered_by', 'text'),
         ('runs', 'since', 'time'), ('runs', 'until', 'time'),
         ('results', 'status', 'texts'), ('results', 'category', 'texts'), ('results', 'suite', 'text'), ('results', 'test', 'text'),
         ('results', 'environment', 'text'), ('results', 'slower_than', 'number'), ('results', 'since', 'time'), ('results', 'until', 'time'),
         ('suites', 'text', 'text'), ('suites', 'tags', 'texts'),
         ('tests', 'text', 'text'), ('tests', 'tags', 'texts'), ('tests', 'suite', 'text'), ('tests', 'enabled', 'boolean'),
         ('fixtures', 'text', 'text'), ('fixtures', 'tags', 'texts')
$$;
comment on function orbit_private.search_fields is 'What a filter may have: texts is a text or a list of them, time as of orbit_private.moment_of, number seconds.';

create function orbit_private.check_filter(p_entity text, p_filter jsonb, p_now timestamptz default now())
returns void language plpgsql stable set search_path = '' as $$
declare v_field text; v_kind text; v_value jsonb;
begin
  if not exists (select from orbit_private.search_fields() f where f.entity = p_entity) then
    perform orbit_private.refuse('OR001', format('%s is nothing to search', left(p_entity, 60)), 'there are: runs, results, suites, tests, fixtures');
  end if;
  if jsonb_typeof(p_filter) is distinct from 'object' or octet_length(p_filter::text) > 16384 then
    perform orbit_private.refuse('OR001', 'a filter is a JSON object of at most 16 KiB');
  end if;
  for v_field, v_value in select * from jsonb_each(p_filter) order by key loop
    select f.kind into v_kind from orbit_private.search_fields() f where f.entity = p_entity and f.field = v_field;
    if not found then
      perform orbit_private.refuse('OR001', format('%s cannot be searched by %s', p_entity, left(v_field, 60)),
        format('by these: %s', (select string_agg(f.field, ', ') from orbit_private.search_fields() f where f.entity = p_entity)));
    elsif v_kind = 'texts' then
      perform orbit_private.texts_of(p_filter, v_field);
    elsif v_kind in ('text', 'time') and jsonb_typeof(v_value) <> 'string' then
      perform orbit_private.refuse('OR001', format('%s is not a text', v_field));
    elsif v_kind in ('boolean', 'number') and jsonb_typeof(v_value) <> v_kind then
      perform orbit_private.refuse('OR001', format('%s is not a %s', v_field, v_kind));
    end if;
    if v_kind = 'time' then
      perform orbit_private.moment_of(v_value #>> '{}', p_now);
    end if;
  end loop;
end $$;
comment on function orbit_private.check_filter is 'OR001, naming the field, unless the filter fits the entity.';

-- One function an entity, each with its own index; nothing of a filter ever becomes SQL. They ask as the caller: RLS holds.
-- Planned anew each time, so that what is not asked for costs nothing.

create function orbit_private.search_runs(p_projects uuid[], p_filter jsonb, p_after jsonb, p_limit int, p_now timestamptz)
returns jsonb language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan as $$
declare
  v_status text[] := coalesce(orbit_private.texts_of(p_filter, 'status'),
    array['queued', 'running', 'cancelling', 'passed', 'failed', 'errored', 'cancelled', 'timed_out']);
  v_since timestamptz := coalesce(orbit_private.moment_of(p_filter ->> 'since', p_now), '-infinity');
  v_until timestamptz := coalesce(orbit_private.moment_of(p_filter ->> 'until', p_now), 'infinity');
  v_at timestamptz := coalesce((p_after ->> 0)::timestamptz, 'infinity'); v_id uuid := coalesce((p_after ->> 1)::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  v_suites uuid[] := array(select s.id from orbit.test_suites s where s.project_id = any (p_projects) and s.key = p_filter ->> 'suite');
  v_environments uuid[] := array(select e.id from orbit.environments e where e.project_id = any (p_projects) and e.name = p_filter ->> 'environment');
  v_rows jsonb;
begin
  -- The newest of every project and status, each by one look at idx_test_runs_lookup; of a suite, by idx_test_runs_suite_id.
  with found as (
    select r.* from unnest(p_projects) p (id) cross join unnest(v_status) s (status) cross join lateral (
        select t.* from orbit.test_runs t where t.project_id = p.id and t.status = s.status
            and t.created_at between v_since and least(v_until, v_at) and (t.created_at, t.id) < (v_at, v_id)
            and (p_filter ->> 'environment' is null or t.environment_id = any (v_environments))
            and (p_filter ->> 'triggered_by' is null or t.triggered_by = p_filter ->> 'triggered_by')
          order by t.created_at desc, t.id desc limit p_limit) r
      where p_filter ->> 'suite' is null
    union all
    select r.* from unnest(v_suites) s (id) cross join lateral (
        select t.* from orbit.test_runs t where t.suite_id = s.id and t.status = any (v_status)
            and t.created_at between v_since and least(v_until, v_at) and (t.created_at, t.id) < (v_at, v_id)
            and (p_filter ->> 'environment' is null or t.environment_id = any (v_environments))
            and (p_filter ->> 'triggered_by' is null or t.triggered_by = p_filter ->> 'triggered_by')
          order by t.created_at desc, t.id desc limit p_limit) r),
  page as (select f.* from found f order by f.created_at desc, f.id desc limit p_limit)
  select jsonb_agg(jsonb_build_object('id', f.id, 'project', p.slug, 'suite', s.key, 'environment', e.name, 'status', f.status,
      'triggered_by', f.triggered_by, 'created_at', f.created_at, 'duration', extract(epoch from f.finished_at - f.started_at)::float8)
      order by f.created_at desc, f.id desc) into v_rows
    from page f join orbit.projects p on p.id = f.project_id join orbit.test_suites s on s.id = f.suite_id
    left join orbit.environments e on e.id = f.environment_id;
  return coalesce(v_rows, '[]');
end $$;
comment on function orbit_private.search_runs is 'Runs of these projects, the newest first, after [created_at, id].';

create function orbit_private.search_results(p_projects uuid[], p_filter jsonb, p_after jsonb, p_limit int, p_now timestamptz)
returns jsonb language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan as $$
declare
  v_status text[] := orbit_private.texts_of(p_filter, 'status'); v_category text[] := orbit_private.texts_of(p_filter, 'category');
  -- A month unless the filter says more: partitions that are not asked for are not opened.
  v_since timestamptz := coalesce(orbit_private.moment_of(p_filter ->> 'since', p_now), p_now - interval '30 days');
  v_until timestamptz := coalesce(orbit_private.moment_of(p_filter ->> 'until', p_now), p_now + interval '1 day');
  v_at timestamptz := coalesce((p_after ->> 0)::timestamptz, 'infinity'); v_run uuid := coalesce((p_after ->> 1)::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  v_position int := coalesce((p_after ->> 2)::int, 2147483647);
  v_tests uuid[]; v_environments uuid[]; v_rows jsonb;
begin
  if p_filter ?| array['suite', 'test'] then
    v_tests := array(select c.id from orbit.test_suites s join orbit.test_cases c on c.suite_id = s.id
      where s.project_id = any (p_projects) and (p_filter ->> 'suite' is null or s.key = p_filter ->> 'suite')
        and (p_filter ->> 'test' is null or c.key = p_filter ->> 'test'));
  end if;
  if p_filter ? 'environment' then
    v_environments := array(select e.id from orbit.environments e where e.project_id = any (p_projects) and e.name = p_filter ->> 'environment');
  end if;
  with page as (
    select r.* from unnest(p_projects) p (id) cross join lateral (
        select t.* from orbit.test_results t where t.project_id = p.id
            and t.created_at between v_since and least(v_until, v_at) and (t.created_at, t.run_id, t.position) < (v_at, v_run, v_position)
            and (v_status is null or t.status = any (v_status)) and (v_category is null or t.category = any (v_category))
            and (v_tests is null or t.test_case_id = any (v_tests)) and (v_environments is null or t.environment_id = any (v_environments))
            and (p_filter ->> 'slower_than' is null or t.duration_ms > (p_filter ->> 'slower_than')::float8 * 1000)
          order by t.created_at desc, t.run_id desc, t.position desc limit p_limit) r
      order by r.created_at desc, r.run_id desc, r.position desc limit p_limit)
  select jsonb_agg(jsonb_build_object('run_id', f.run_id, 'position', f.position, 'project', p.slug, 'suite', s.key, 'test', c.key, 'status', f.status,
      'category', f.category, 'reason', f.reason, 'duration', (f.duration_ms / 1000)::numeric::float8, 'attempts', f.attempts, 'created_at', f.created_at)
      order by f.created_at desc, f.run_id desc, f.position desc) into v_rows
    from page f join orbit.projects p on p.id = f.project_id join orbit.test_cases c on c.id = f.test_case_id join orbit.test_suites s on s.id = c.suite_id;
  return coalesce(v_rows, '[]');
end $$;
comment on function orbit_private.search_results is 'Results of these projects, the newest first, after [created_at, run_id, position]; of the last 30 days unless the filter has `since`.';

create function orbit_private.search_suites(p_projects uuid[], p_filter jsonb, p_after jsonb, p_limit int, p_now timestamptz)
returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('id', f.id, 'project', f.project, 'key', f.key, 'name', f.name, 'description', f.description, 'tags', f.tags,
      'version', f.latest_version, 'tests', (select cardinality(v.test_case_ids) from orbit.test_suite_versions v where v.suite_id = f.id and v.number = f.latest_version),
      'updated_at', f.updated_at) order by f.key, f.id), '[]')
    from (select s.*, p.slug as project from orbit.test_suites s join orbit.projects p on p.id = s.project_id
            where s.project_id = any (p_projects) and s.archived_at is null
              and (p_after is null or (s.key, s.id) > (p_after ->> 0, (p_after ->> 1)::uuid))
              and (p_filter -> 'tags' is null or s.tags @> orbit_private.texts_of(p_filter, 'tags'))
              and (p_filter -> 'text' is null or s.key ilike orbit_private.like_of(p_filter ->> 'text') or s.name ilike orbit_private.like_of(p_filter ->> 'text'))
            order by s.key, s.id limit p_limit) f
$$;
comment on function orbit_private.search_suites is 'Suites of these projects by key, after [key, id]; those with every tag of the filter.';

create function orbit_private.search_tests(p_projects uuid[], p_filter jsonb, p_after jsonb, p_limit int, p_now timestamptz)
returns jsonb language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan as $$
declare v_tags text[] := orbit_private.texts_of(p_filter, 'tags'); v_suites uuid[]; v_rows jsonb;
begin
  if p_filter ? 'suite' then
    v_suites := array(select s.id from orbit.test_suites s where s.project_id = any (p_projects) and s.key = p_filter ->> 'suite');
  end if;
  select jsonb_agg(jsonb_build_object('id', f.id, 'project', f.project, 'suite', f.suite, 'key', f.key, 'name', f.name, 'description', f.description, 'tags', f.tags,
      'enabled', f.enabled, 'method', e.method, 'path', e.path) order by f.key, f.id) into v_rows
    from (select c.*, s.key as suite, p.slug as project from orbit.test_cases c join orbit.test_suites s on s.id = c.suite_id
            join orbit.projects p on p.id = c.project_id
            where c.project_id = any (p_projects) and c.archived_at is null and (v_suites is null or c.suite_id = any (v_suites))
              and (p_after is null or (c.key, c.id) > (p_after ->> 0, (p_after ->> 1)::uuid))
              and (v_tags is null or (c.tags || s.tags) @> v_tags)
              and (p_filter -> 'enabled' is null or c.enabled = (p_filter ->> 'enabled')::boolean)
              and (p_filter -> 'text' is null or c.key ilike orbit_private.like_of(p_filter ->> 'text') or c.name ilike orbit_private.like_of(p_filter ->> 'text'))
            order by c.key, c.id limit p_limit) f
    left join orbit.test_request_configs q on q.test_case_id = f.id left join orbit.api_endpoints e on e.id = q.endpoint_id;
  return coalesce(v_rows, '[]');
end $$;
comment on function orbit_private.search_tests is 'Tests of these projects by key, after [key, id]; those that have every tag of the filter, or whose suite has.';

create function orbit_private.search_fixtures(p_projects uuid[], p_filter jsonb, p_after jsonb, p_limit int, p_now timestamptz)
returns jsonb language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan as $$
declare v_tags text[] := orbit_private.texts_of(p_filter, 'tags'); v_rows jsonb;
begin
  select jsonb_agg(jsonb_build_object('fixture_id', f.id, 'project', f.project, 'name', f.name, 'description', f.description, 'tags', f.tags, 'columns', f.columns,
      'row_count', f.row_count, 'bytes', f.bytes, 'version', f.version, 'updated_at', f.updated_at) order by f.name, f.id) into v_rows
    from (select t.id, t.name, t.description, t.tags, t.columns, t.row_count, t.bytes, t.version, t.updated_at, p.slug as project
            from orbit.test_data_fixtures t join orbit.projects p on p.id = t.project_id
            where t.project_id = any (p_projects) and (v_tags is null or t.tags @> v_tags)
              and (p_after is null or (t.name, t.id) > (p_after ->> 0, (p_after ->> 1)::uuid))
              and (p_filter -> 'text' is null or t.name ilike orbit_private.like_of(p_filter ->> 'text') or t.description ilike orbit_private.like_of(p_filter ->> 'text'))
            order by t.name, t.id limit p_limit) f;
  return coalesce(v_rows, '[]');
end $$;
comment on function orbit_private.search_fixtures is 'Data sets of these projects by name, without their rows, after [name, id]; those with every tag of the filter.';

create function orbit_private.found(p_entity text, p_projects uuid[], p_filter jsonb, p_after jsonb, p_limit int, p_now timestamptz)
returns jsonb language plpgsql stable set search_path = '' as $$
-- The rows, and where the next page begins: null where there is none.
declare v_rows jsonb; v_last jsonb; v_next jsonb;
begin
  if jsonb_typeof(p_after) = 'null' then
    p_after := null;
  elsif p_after is not null and (jsonb_typeof(p_after) <> 'array' or jsonb_array_length(p_after) <> case p_entity when 'results' then 3 else 2 end) then
    perform orbit_private.refuse('OR001', 'after is not the `next` of an answer', '', 'Give back what the page before answered as `next`.');
  end if;
  v_rows := case p_entity
    when 'runs' then orbit_private.search_runs(p_projects, p_filter, p_after, p_limit, p_now)
    when 'results' then orbit_private.search_results(p_projects, p_filter, p_after, p_limit, p_now)
    when 'suites' then orbit_private.search_suites(p_projects, p_filter, p_after, p_limit, p_now)
    when 'tests' then orbit_private.search_tests(p_projects, p_filter, p_after, p_limit, p_now)
    when 'fixtures' then orbit_private.search_fixtures(p_projects, p_filter, p_after, p_limit, p_now) end;
  if jsonb_array_length(v_rows) = p_limit then
    v_last := v_rows -> -1;
    v_next := case p_entity
      when 'runs' then jsonb_build_array(v_last -> 'created_at', v_last -> 'id')
      when 'results' then jsonb_build_array(v_last -> 'created_at', v_last -> 'run_id', v_last -> 'position')
      when 'fixtures' then jsonb_build_array(v_last -> 'name', v_last -> 'fixture_id')
      else jsonb_build_array(v_last -> 'key', v_last -> 'id') end;
  end if;
  return jsonb_build_object('entity', p_entity, 'rows', v_rows, 'next', v_next);
end $$;
comment on function orbit_private.found is 'A page of what a filter finds: {entity, rows, next}.';

grant execute on function orbit_private.preferred, orbit_private.projects_of, orbit_private.texts_of, orbit_private.page_limit, orbit_private.moment_of,
  orbit_private.like_of, orbit_private.search_fields, orbit_private.check_filter, orbit_private.search_runs, orbit_private.search_results,
  orbit_private.search_suites, orbit_private.search_tests, orbit_private.search_fixtures, orbit_private.found,
  orbit_private.preference_problem to authenticated, service_role;

-- Fixtures: functions ----------------------------------------------------------------------------------------------------------------

-- Definer: it writes tables that callers may only read, after ensure_project().
create function orbit_private.save_fixture(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_rows jsonb := p_request -> 'rows'; v_name text; v_columns text[]; v_stray text; v_digest text; v_project orbit.projects;
  v_old orbit.test_data_fixtures; v_new orbit.test_data_fixtures;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'description', 'tags', 'columns', 'rows']);
  v_name := orbit_private.required(p_request, 'name');
  if jsonb_typeof(v_rows) is distinct from 'array' or jsonb_path_exists(v_rows, 'strict $[*] ? (@.type() != "object")') then
    perform orbit_private.refuse('OR001', 'rows is not a list of objects');
  elsif jsonb_array_length(v_rows) not between 1 and 100000 then
    perform orbit_private.refuse('OR001', format('a data set has 1 to 100,000 rows, not %s', jsonb_array_length(v_rows)));
  elsif octet_length(v_rows::text) > 1048576 then
    perform orbit_private.refuse('OR001', format('a data set has at most 1,048,576 bytes as JSON, and this one %s', octet_length(v_rows::text)), '',
      'Keep large data in a file beside the suite: data: {file: …}.');
  elsif v_name !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$' then
    perform orbit_private.refuse('OR001', format('%s cannot be the name of a data set', left(v_name, 60)), '', 'Letters, digits, dots, underscores and hyphens; up to 100.');
  end if;
  v_columns := coalesce(orbit_private.texts_of(p_request, 'columns'),
    array(select k from jsonb_array_elements(v_rows) r cross join jsonb_object_keys(r) k group by k order by k));
  select k into v_stray from jsonb_array_elements(v_rows) r cross join jsonb_object_keys(r) k where k <> all (v_columns) limit 1;
  if found then
    perform orbit_private.refuse('OR001', format('a row has the field %s, which is no column', left(v_stray, 60)));
  end if;
  v_digest := encode(sha256(convert_to(jsonb_build_array(to_jsonb(v_columns), v_rows)::text, 'utf8')), 'hex');
  v_project := orbit_private.ensure_project(p_request, 'fixture.write');
  select * into v_old from orbit.test_data_fixtures f where f.project_id = v_project.id and f.name = v_name for update;
  insert into orbit.test_data_fixtures as f (project_id, name, description, tags, columns, rows, version, digest, created_by)
    values (v_project.id, v_name, p_request ->> 'description', coalesce(orbit_private.texts_of(p_request, 'tags'), '{}'), v_columns, v_rows,
            1 + coalesce((select max(u.fixture_version) from orbit.fixture_usage u where u.project_id = v_project.id and u.fixture_name = v_name), 0),
            v_digest, (select auth.uid()))
    on conflict (project_id, name) do update set
      description = case when p_request ? 'description' then excluded.description else f.description end,
      tags = case when p_request ? 'tags' then excluded.tags else f.tags end, columns = excluded.columns, rows = excluded.rows,
      version = f.version + (f.digest <> excluded.digest)::int, digest = excluded.digest, updated_at = now()
    returning * into v_new;
  if v_old.version is distinct from v_new.version then
    perform orbit_private.within_quota(v_project.organization_id, 'stored_bytes', pg_column_size(v_new.rows));
  end if;
  return jsonb_build_object('fixture_id', v_new.id, 'name', v_new.name, 'version', v_new.version, 'row_count', v_new.row_count, 'bytes', v_new.bytes,
    'columns', v_new.columns, 'changed', v_old.version is distinct from v_new.version);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.save_fixture is 'See orbit.save_fixture.';

create function orbit.save_fixture(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_fixture(p_request) $$;
comment on function orbit.save_fixture is
  'Saves a data set: {organization?, project?, name, description?, tags?: [..], columns?: [..] (the order of the fields), rows: [{..}, ..]}. Other rows make a new version; description and tags that are left out stay. Answers {fixture_id, name, version, row_count, bytes, columns, changed}. OR001 malformed, OR003 not an editor.';

create function orbit.list_fixtures(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'tags', 'text', 'limit', 'after']);
  return orbit_private.found('fixtures', orbit_private.projects_of(p_request), jsonb_strip_nulls(p_request - array['organization', 'project', 'limit', 'after']),
    p_request -> 'after', orbit_private.page_limit(p_request), now());
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_fixtures is 'Data sets without their rows: {organization?, project?, tags?: all of these, text?, limit? = 50, after?} → {entity, rows, next}. Without project, those of every project the caller sees.';

create function orbit.get_fixture(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_name text := orbit_private.required(p_request, 'name'); v_project orbit.projects; v_fixture orbit.test_data_fixtures;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name']);
  v_project := orbit_private.project_of(p_request);
  select * into v_fixture from orbit.test_data_fixtures f where f.project_id = v_project.id and f.name = v_name;
  if not found then
    perform orbit_private.refuse('OR002', format('no fixture %s in project %s', left(v_name, 100), v_project.slug),
      format('there are: %s', coalesce((select string_agg(n.name, ', ') from (
        select f.name from orbit.test_data_fixtures f where f.project_id = v_project.id order by f.name limit 20) n), 'none')),
      'Save it first: orbit fixture add FILE');
  end if;
  return jsonb_build_object('fixture_id', v_fixture.id, 'project', v_project.slug, 'name', v_fixture.name, 'description', v_fixture.description, 'tags', v_fixture.tags,
    'columns', v_fixture.columns, 'rows', v_fixture.rows, 'row_count', v_fixture.row_count, 'bytes', v_fixture.bytes, 'version', v_fixture.version,
    'digest', v_fixture.digest, 'updated_at', v_fixture.updated_at);
end $$;
comment on function orbit.get_fixture is 'A data set with its rows, by {organization?, project?, name}. OR002 lists what there is.';

create function orbit_private.suites_with_fixture(p_fixture_id uuid)
returns text[] language sql stable set search_path = '' as $$
  select coalesce(array_agg(distinct s.key order by s.key), '{}') from orbit.fixture_usage u
    join orbit.test_suites s on s.id = u.suite_id and s.archived_at is null
    join orbit.test_suite_versions v on v.id = u.version_id and v.number = s.latest_version
    where u.fixture_id = p_fixture_id and u.run_id is null
$$;
comment on function orbit_private.suites_with_fixture is 'Suites whose latest version was saved with that data set.';

-- Definer: as save_fixture.
create function orbit_private.delete_fixture(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_found jsonb; v_suites text[];
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'force']);
  v_found := orbit.get_fixture(p_request - 'force');
  perform orbit_private.require('fixture.write', 'project', (orbit_private.project_of(p_request)).id);
  v_suites := orbit_private.suites_with_fixture((v_found ->> 'fixture_id')::uuid);
  if v_suites <> '{}' and not coalesce((p_request ->> 'force')::boolean, false) then
    perform orbit_private.refuse('OR004', format('suites use the fixture %s', v_found ->> 'name'), format('these: %s', array_to_string(v_suites, ', ')),
      'Delete it all the same with force: what is saved goes on running with its rows, but the files cannot be loaded until there is one of that name.');
  end if;
  delete from orbit.test_data_fixtures f where f.id = (v_found ->> 'fixture_id')::uuid;
  return jsonb_build_object('name', v_found -> 'name', 'version', v_found -> 'version', 'suites', v_suites);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.delete_fixture is 'See orbit.delete_fixture.';

create function orbit.delete_fixture(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_fixture(p_request) $$;
comment on function orbit.delete_fixture is
  'Deletes a data set: {organization?, project?, name, force?: also where a suite''s latest version uses it}. What it was used for stays in the history by name and version; saved suites keep their rows. Answers {name, version, suites}. OR002, OR003, OR004 in use.';

create function orbit.list_fixture_usage(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_projects uuid[]; v_name text := orbit_private.required(p_request, 'name'); v_limit int := orbit_private.page_limit(p_request); v_rows jsonb; v_after bigint; v_last bigint;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'limit', 'after']);
  v_projects := orbit_private.projects_of(p_request);
  v_after := coalesce((p_request ->> 'after')::bigint, 9223372036854775807);
  select coalesce(jsonb_agg(jsonb_build_object('project', p.slug, 'name', u.fixture_name, 'version', u.fixture_version, 'rows_used', u.rows_used,
      'suite', s.key, 'run_id', u.run_id, 'used_at', u.used_at, 'deleted', u.fixture_id is null) order by u.id desc), '[]'), min(u.id) into v_rows, v_last
    from (select t.* from orbit.fixture_usage t where t.project_id = any (v_projects) and t.fixture_name = v_name and t.id < v_after order by t.id desc limit v_limit) u
    join orbit.projects p on p.id = u.project_id join orbit.test_suites s on s.id = u.suite_id;
  return jsonb_build_object('rows', v_rows, 'next', case when jsonb_array_length(v_rows) = v_limit then v_last end);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_fixture_usage is 'Where a data set was used, the newest first: {organization?, project?, name, limit? = 50, after?} → {rows: [{name, version, rows_used, suite, run_id (null: the suite was saved with it), used_at, deleted}], next}. Deleted ones too.';

create function orbit_private.use_fixtures(p_version orbit.test_suite_versions, p_fixtures jsonb)
returns void language plpgsql set search_path = '' as $$
-- Called by save_suite for a version that it has just made. That the data set is still there is asked here, once more.
declare v_name text;
begin
  select f ->> 'name' into v_name from jsonb_array_elements(p_fixtures) f
    where not exists (select from orbit.test_data_fixtures t where t.project_id = p_version.project_id and t.name = f ->> 'name'
                        and (f ->> 'version')::int between 1 and t.version) limit 1;
  if found then
    perform orbit_private.refuse('OR002', format('no such version of the fixture %s in the suite''s project', left(v_name, 100)), '', 'Load the suite again.');
  end if;
  insert into orbit.fixture_usage (project_id, fixture_id, fixture_name, fixture_version, rows_used, suite_id, version_id)
    select p_version.project_id, t.id, t.name, (f ->> 'version')::int, (f ->> 'rows')::int, p_version.suite_id, p_version.id
      from jsonb_array_elements(p_fixtures) f join orbit.test_data_fixtures t on t.project_id = p_version.project_id and t.name = f ->> 'name';
end $$;
comment on function orbit_private.use_fixtures is 'Notes the data sets that a suite version was saved with: [{name, version, rows}]. OR002 where there is no such data set.';

-- Definer: whoever may start a run writes nothing else here.
create function orbit_private.tg_fixture_usage()
returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into orbit.fixture_usage (project_id, fixture_id, fixture_name, fixture_version, rows_used, suite_id, version_id, run_id, used_at)
    select u.project_id, u.fixture_id, u.fixture_name, u.fixture_version, u.rows_used, u.suite_id, u.version_id, new.id, new.created_at
      from orbit.fixture_usage u where u.version_id = new.version_id and u.run_id is null;
  return null;
end $$;
comment on function orbit_private.tg_fixture_usage is 'A run uses the data sets that its suite version was saved with.';
create trigger "500_fixture_usage" after insert on orbit.test_runs for each row execute function orbit_private.tg_fixture_usage();

grant execute on function orbit_private.save_fixture, orbit_private.delete_fixture to authenticated, service_role;
grant execute on function orbit.save_fixture, orbit.list_fixtures, orbit.get_fixture, orbit.delete_fixture, orbit.list_fixture_usage to authenticated, service_role;

-- Report templates: functions ----------------------------------------------------------------------------------------------------------

-- Definer: it writes a table that callers may only read, after ensure_project().
create function orbit_private.save_report_template(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_name text; v_kind text; v_source text; v_project orbit.projects; v_new orbit.report_templates;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'kind', 'source', 'default']);
  v_name := orbit_private.required(p_request, 'name');
  v_kind := orbit_private.required(p_request, 'kind');
  v_source := orbit_private.required(p_request, 'source');
  if v_name !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$' or v_name = 'default' then
    perform orbit_private.refuse('OR001', format('%s cannot be the name of a template', left(v_name, 60)), '',
      'Letters, digits, dots, underscores and hyphens; up to 100. `default` means the one saved as default.');
  elsif v_kind not in ('html', 'md', 'text') then
    perform orbit_private.refuse('OR001', format('%s is no kind of template', left(v_kind, 60)), 'there are: html, md, text');
  elsif octet_length(v_source) > 262144 then
    perform orbit_private.refuse('OR001', format('a template has at most 262,144 bytes, and this one %s', octet_length(v_source)));
  end if;
  v_project := orbit_private.ensure_project(p_request, 'report_template.write');
  if coalesce((p_request ->> 'default')::boolean, false) then
    -- One after the other: two that save a default at once would meet in the unique index.
    perform from orbit.projects p where p.id = v_project.id for no key update;
    update orbit.report_templates t set is_default = false where t.project_id = v_project.id and t.is_default and t.name <> v_name;
  end if;
  insert into orbit.report_templates as t (project_id, name, kind, source, is_default, created_by)
    values (v_project.id, v_name, v_kind, v_source, coalesce((p_request ->> 'default')::boolean, false), (select auth.uid()))
    on conflict (project_id, name) do update set kind = excluded.kind, source = excluded.source, updated_at = now(),
      is_default = case when p_request ? 'default' then excluded.is_default else t.is_default end
    returning * into v_new;
  return jsonb_build_object('template_id', v_new.id, 'name', v_new.name, 'kind', v_new.kind, 'is_default', v_new.is_default);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.save_report_template is 'See orbit.save_report_template.';

create function orbit.save_report_template(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_report_template(p_request) $$;
comment on function orbit.save_report_template is
  'Saves a report template: {organization?, project?, name, kind: html | md | text, source, default?}. Whether the source is good Jinja is for whoever renders it. Answers {template_id, name, kind, is_default}. OR001, OR003 not an editor.';

create function orbit.list_report_templates(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project']);
  return (select coalesce(jsonb_agg(jsonb_build_object('template_id', t.id, 'project', p.slug, 'name', t.name, 'kind', t.kind, 'is_default', t.is_default,
      'bytes', octet_length(t.source), 'updated_at', t.updated_at) order by p.slug, t.name), '[]')
    from orbit.report_templates t join orbit.projects p on p.id = t.project_id where t.project_id = any (orbit_private.projects_of(p_request)));
end $$;
comment on function orbit.list_report_templates is 'Report templates without their sources: {organization?, project?}. Without project, those of every project the caller sees.';

create function orbit.get_report_template(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_name text := orbit_private.required(p_request, 'name'); v_project orbit.projects; v_template orbit.report_templates;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name']);
  v_project := orbit_private.project_of(p_request);
  select * into v_template from orbit.report_templates t where t.project_id = v_project.id and (t.name = v_name or (v_name = 'default' and t.is_default));
  if not found then
    perform orbit_private.refuse('OR002', format('no report template %s in project %s', left(v_name, 100), v_project.slug),
      format('there are: %s', coalesce((select string_agg(t.name, ', ' order by t.name) from orbit.report_templates t where t.project_id = v_project.id), 'none')),
      'Save it first: orbit template save FILE');
  end if;
  return jsonb_build_object('template_id', v_template.id, 'project', v_project.slug, 'name', v_template.name, 'kind', v_template.kind,
    'source', v_template.source, 'is_default', v_template.is_default, 'bytes', octet_length(v_template.source), 'updated_at', v_template.updated_at);
end $$;
comment on function orbit.get_report_template is 'A report template with its source, by {organization?, project?, name (default: the project''s default)}. OR002 lists what there is.';

-- Definer: as save_report_template.
create function orbit_private.delete_report_template(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_found jsonb;
begin
  v_found := orbit.get_report_template(p_request);
  perform orbit_private.require('report_template.write', 'project', (orbit_private.project_of(p_request)).id);
  delete from orbit.report_templates t where t.id = (v_found ->> 'template_id')::uuid;
  return v_found - 'source';
end $$;
comment on function orbit_private.delete_report_template is 'See orbit.delete_report_template.';

create function orbit.delete_report_template(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_report_template(p_request) $$;
comment on function orbit.delete_report_template is 'Deletes a report template: {organization?, project?, name}. Answers what it was. OR002, OR003.';

grant execute on function orbit_private.save_report_template, orbit_private.delete_report_template to authenticated, service_role;
grant execute on function orbit.save_report_template, orbit.list_report_templates, orbit.get_report_template, orbit.delete_report_template to authenticated, service_role;

-- Preferences: functions -----------------------------------------------------------------------------------------------------------------

create function orbit.get_preferences(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, '{}');
  return coalesce((select u.preferences from orbit.user_preferences u where u.user_id is not distinct from (select auth.uid())), '{}');
end $$;
comment on function orbit.get_preferences is 'The caller''s preferences: {} → {organization?, project?, theme?, time_zone?, colour?, notify?, rows?}. Where nobody is signed in, those of the installation.';

create function orbit.set_preferences(p_request jsonb)
returns jsonb language plpgsql set search_path = '' as $$
declare v_preferences jsonb := p_request -> 'preferences'; v_answer jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['preferences']);
  if jsonb_typeof(v_preferences) is distinct from 'object' then
    perform orbit_private.refuse('OR001', 'preferences is no JSON object', '', 'It is {key: value, …}; null takes one away.');
  end if;
  insert into orbit.user_preferences as u (user_id, preferences) values ((select auth.uid()), jsonb_strip_nulls(v_preferences))
    on conflict (user_id) do update set preferences = jsonb_strip_nulls(u.preferences || v_preferences)
    returning u.preferences into v_answer;
  return v_answer;
exception when data_exception or check_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.set_preferences is
  'Sets some of the caller''s preferences: {preferences: {organization?: slug, project?: slug, theme?: system | light | dark, time_zone?: name, colour?: auto | always | never, notify?: never | failure | always, rows?: 1..500}}; null takes one away. organization and project are what a request means that names none. Answers all. OR001 names the key.';
grant execute on function orbit.get_preferences, orbit.set_preferences to authenticated, service_role;

-- Searches: functions ----------------------------------------------------------------------------------------------------------------------

-- Definer: it writes a table that callers may only read; nobody writes but their own.
create function orbit_private.save_search(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_name text; v_entity text; v_filter jsonb := coalesce(p_request -> 'filter', '{}'); v_organization_id uuid; v_project_id uuid; v_id uuid;
        v_shared boolean := coalesce((p_request ->> 'shared')::boolean, false);
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'entity', 'filter', 'shared']);
  v_name := orbit_private.required(p_request, 'name');
  v_entity := orbit_private.required(p_request, 'entity');
  if v_name !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$' then
    perform orbit_private.refuse('OR001', format('%s cannot be the name of a search', left(v_name, 60)), '', 'Letters, digits, dots, underscores and hyphens; up to 100.');
  end if;
  perform orbit_private.check_filter(v_entity, v_filter);
  v_organization_id := orbit_private.organization_of(p_request);
  if p_request ->> 'project' is not null then
    v_project_id := (orbit_private.project_of(p_request)).id;
  elsif v_shared then
    perform orbit_private.refuse('OR001', 'a search is shared with a project, and none is named', '', 'Name the project.');
  end if;
  insert into orbit.saved_searches as s (organization_id, user_id, project_id, name, entity, filter, shared)
    values (v_organization_id, (select auth.uid()), v_project_id, v_name, v_entity, v_filter, v_shared)
    on conflict (user_id, organization_id, name) do update set project_id = excluded.project_id, entity = excluded.entity, filter = excluded.filter,
      shared = excluded.shared, updated_at = now()
    returning s.id into v_id;
  return jsonb_build_object('search_id', v_id, 'name', v_name, 'entity', v_entity, 'filter', v_filter, 'shared', v_shared);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.save_search is 'See orbit.save_search.';

create function orbit.save_search(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_search(p_request) $$;
comment on function orbit.save_search is
  'Saves a search of one''s own: {organization?, project? (else all that one sees), name, entity: runs | results | suites | tests | fixtures, filter: {field: value}, shared?: with the project}. Saved again under its name it is replaced. Answers {search_id, name, entity, filter, shared}. OR001 names the field.';

create function orbit.list_searches(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project']);
  return (select coalesce(jsonb_agg(jsonb_build_object('search_id', s.id, 'project', p.slug, 'name', s.name, 'entity', s.entity, 'filter', s.filter, 'shared', s.shared,
      'mine', s.user_id is not distinct from (select auth.uid()), 'owner', coalesce(u.email, u.name), 'updated_at', s.updated_at) order by s.name, s.id), '[]')
    from orbit.saved_searches s left join orbit.projects p on p.id = s.project_id left join orbit.users u on u.id = s.user_id
    where (s.user_id is not distinct from (select auth.uid()) or s.shared)
      and (p_request ->> 'organization' is null or s.organization_id = orbit_private.organization_of(p_request))
      and (p_request ->> 'project' is null or s.project_id = (orbit_private.project_of(p_request)).id));
end $$;
comment on function orbit.list_searches is 'One''s own searches, and those that are shared with a project one sees: {organization?, project?}.';

create function orbit_private.search_named(p_request jsonb)
returns orbit.saved_searches language plpgsql stable set search_path = '' as $$
-- One's own before others'; as the caller, under RLS.
declare v_name text := orbit_private.required(p_request, 'name'); v_searches orbit.saved_searches[];
begin
  v_searches := array(select s from orbit.saved_searches s where s.organization_id = orbit_private.organization_of(p_request) and s.name = v_name
    and (s.user_id is not distinct from (select auth.uid()) or s.shared)
    and (p_request ->> 'project' is null or s.project_id = (orbit_private.project_of(p_request)).id or not s.shared)
    order by s.user_id is not distinct from (select auth.uid()) desc limit 2);
  if coalesce(cardinality(v_searches), 0) = 0 then
    perform orbit_private.refuse('OR002', format('no search %s', left(v_name, 100)), '', 'List them: orbit search list, or orbit.list_searches.');
  elsif cardinality(v_searches) = 2 and (v_searches[1]).user_id is distinct from (select auth.uid()) then
    perform orbit_private.refuse('OR004', format('two people share a search %s', left(v_name, 100)), '', 'Name the project, or save one of your own under that name.');
  end if;
  return v_searches[1];
end $$;
comment on function orbit_private.search_named is 'The search that a request names: one''s own, else one that is shared with a project one sees. OR002, OR004 where two are.';

create function orbit.run_search(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_search orbit.saved_searches; v_entity text := p_request ->> 'entity'; v_filter jsonb := coalesce(p_request -> 'filter', '{}'); v_projects uuid[]; v_answer jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'entity', 'filter', 'limit', 'after']);
  if p_request ->> 'name' is not null then
    if p_request ?| array['entity', 'filter'] then
      perform orbit_private.refuse('OR001', 'a search has a name, or an entity and a filter');
    end if;
    v_search := orbit_private.search_named(p_request);
    v_entity := v_search.entity;
    v_filter := v_search.filter;
  end if;
  perform orbit_private.check_filter(orbit_private.required(jsonb_build_object('entity', v_entity), 'entity'), v_filter);
  v_projects := case when v_search.project_id is null then orbit_private.projects_of(p_request)
    else array(select p.id from orbit.projects p where p.id = v_search.project_id) end;  -- under RLS: none once it is not theirs any more
  v_answer := orbit_private.found(v_entity, v_projects, v_filter, p_request -> 'after', orbit_private.page_limit(p_request), now());
  return v_answer || jsonb_build_object('name', v_search.name);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.run_search is
  'What a search finds: {organization?, project?, name} for a saved one, or {organization?, project?, entity, filter}; limit? = 50, at most 500; after?: the `next` of the page before. Answers {name, entity, rows, next}, next null on the last page. Everybody finds only what they may see.';

-- Definer: as save_search.
create function orbit_private.delete_search(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_search orbit.saved_searches;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'name']);
  delete from orbit.saved_searches s where s.organization_id = orbit_private.organization_of(p_request) and s.name = orbit_private.required(p_request, 'name')
    and s.user_id is not distinct from (select auth.uid()) returning * into v_search;
  if not found then
    perform orbit_private.refuse('OR002', format('no search %s of your own', left(p_request ->> 'name', 100)), '', 'List them: orbit search list, or orbit.list_searches.');
  end if;
  return jsonb_build_object('search_id', v_search.id, 'name', v_search.name);
end $$;
comment on function orbit_private.delete_search is 'See orbit.delete_search.';

create function orbit.delete_search(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_search(p_request) $$;
comment on function orbit.delete_search is 'Deletes a search of one''s own: {organization?, name}. Answers {search_id, name}. OR002.';

grant execute on function orbit_private.save_search, orbit_private.search_named, orbit_private.delete_search to authenticated, service_role;
grant execute on function orbit.save_search, orbit.list_searches, orbit.run_search, orbit.delete_search to authenticated, service_role;

-- What there is ------------------------------------------------------------------------------------------------------------------------------

create function orbit.list_suites(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'tags', 'text', 'limit', 'after']);
  return orbit_private.found('suites', orbit_private.projects_of(p_request), jsonb_strip_nulls(p_request - array['organization', 'project', 'limit', 'after']),
    p_request -> 'after', orbit_private.page_limit(p_request), now());
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_suites is 'Suites by key: {organization?, project?, tags?: all of these, text?: in key or name, limit? = 50, after?} → {entity, rows: [{id, project, key, name, description, tags, version, tests, updated_at}], next}. Without project, those of every project the caller sees.';

create function orbit.list_tests(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'suite', 'tags', 'text', 'enabled', 'limit', 'after']);
  return orbit_private.found('tests', orbit_private.projects_of(p_request), jsonb_strip_nulls(p_request - array['organization', 'project', 'limit', 'after']),
    p_request -> 'after', orbit_private.page_limit(p_request), now());
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_tests is 'Tests by key: {organization?, project?, suite?: its key, tags?: all of these, the suite''s included, text?, enabled?, limit? = 50, after?} → {entity, rows: [{id, project, suite, key, name, description, tags, enabled, method, path}], next}.';

create function orbit.list_endpoints(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' set plan_cache_mode = force_custom_plan as $$
declare v_projects uuid[]; v_tags text[]; v_limit int := orbit_private.page_limit(p_request); v_after jsonb := nullif(p_request -> 'after', 'null'); v_rows jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'tags', 'limit', 'after']);
  v_projects := orbit_private.projects_of(p_request);
  v_tags := orbit_private.texts_of(p_request, 'tags');
  select coalesce(jsonb_agg(jsonb_build_object('id', f.id, 'project', p.slug, 'method', f.method, 'path', f.path, 'tags', f.tags,
      'tests', (select count(*) from orbit.test_request_configs q join orbit.test_cases c on c.id = q.test_case_id and c.archived_at is null where q.endpoint_id = f.id))
      order by f.path, f.method, f.id), '[]') into v_rows
    from (select e.* from orbit.api_endpoints e where e.project_id = any (v_projects) and (v_tags is null or e.tags @> v_tags)
            and (v_after is null or (e.path, e.method, e.id) > (v_after ->> 0, v_after ->> 1, (v_after ->> 2)::uuid))
            order by e.path, e.method, e.id limit v_limit) f
    join orbit.projects p on p.id = f.project_id;
  return jsonb_build_object('rows', v_rows, 'next', case when jsonb_array_length(v_rows) = v_limit
    then jsonb_build_array(v_rows #> '{-1,path}', v_rows #> '{-1,method}', v_rows #> '{-1,id}') end);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_endpoints is 'What the tests call, by path: {organization?, project?, tags?: all of these, limit? = 50, after?} → {rows: [{id, project, method, path, tags (of its tests and their suites), tests}], next}.';

grant execute on function orbit.list_suites, orbit.list_tests, orbit.list_endpoints to authenticated, service_role;

-- Credentials ------------------------------------------------------------------------------------------------------------------------------------

create table orbit.api_credentials (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  user_id uuid default auth.uid() references orbit.users (id) on delete cascade,
  name text not null,
  credential_type text not null,
  description text,
  username text,
  header_name text,
  token_url text,
  client_id text,
  scopes text[] not null default '{}',
  secret_id uuid references orbit_private.secret (id) on delete set null,
  expires_at timestamptz,
  last_used_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint api_credentials_organization_id_key unique nulls not distinct (organization_id, user_id, name),
  -- Whoever leaves the organisation leaves nothing of theirs behind.
  constraint api_credentials_member_fkey foreign key (organization_id, user_id)
    references orbit.organization_members (organization_id, user_id) on delete cascade,
  constraint api_credentials_name_check check (name ~ '^[A-Za-z_][A-Za-z0-9_-]{0,99}$'),
  constraint api_credentials_credential_type_check check (credential_type in ('bearer', 'basic', 'api_key', 'oauth2_client')),
  constraint api_credentials_description_check check (length(description) <= 2000),
  constraint api_credentials_basic_has_username_check check ((credential_type = 'basic') = (username is not null)),
  constraint api_credentials_api_key_has_header_check check ((credential_type = 'api_key') = (header_name is not null)),
  constraint api_credentials_header_name_check check (header_name ~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,100}$'),
  constraint api_credentials_client_has_url_check check (
    (credential_type = 'oauth2_client') = (token_url is not null) and (credential_type = 'oauth2_client') = (client_id is not null)),
  constraint api_credentials_token_url_check check (token_url ~ '^https?://[^@[:space:]]{1,2000}$'),
  constraint api_credentials_scopes_check check (cardinality(scopes) <= 100 and array_position(scopes, null) is null)
);
create index idx_api_credentials_user_id on orbit.api_credentials (user_id);
create index idx_api_credentials_secret_id on orbit.api_credentials (secret_id);
comment on table orbit.api_credentials is 'What people sign in with to the systems they test. Theirs alone: neither owners nor admins of the organisation see a row of somebody else''s.';
comment on column orbit.api_credentials.id is 'Drawn at random.';
comment on column orbit.api_credentials.organization_id is 'Where it is used.';
comment on column orbit.api_credentials.user_id is 'Whose; null: of the installation, where nobody signs in.';
comment on column orbit.api_credentials.name is 'Unique among one''s own in an organisation: a letter or underscore, then letters, digits, underscores, hyphens; up to 100.';
comment on column orbit.api_credentials.credential_type is 'bearer: a token; basic: a name and a password; api_key: a header and its value; oauth2_client: a client and its secret.';
comment on column orbit.api_credentials.description is 'What it opens; up to 2,000 characters.';
comment on column orbit.api_credentials.username is 'Of basic.';
comment on column orbit.api_credentials.header_name is 'Of api_key: the header that carries the key.';
comment on column orbit.api_credentials.token_url is 'Of oauth2_client: where a token is asked for; no user in it.';
comment on column orbit.api_credentials.client_id is 'Of oauth2_client.';
comment on column orbit.api_credentials.scopes is 'Of oauth2_client: what a token is asked for; up to 100.';
comment on column orbit.api_credentials.secret_id is 'The token, password, key or client secret, sealed for credential:<user_id or slug of the organisation>:<name>.';
comment on column orbit.api_credentials.expires_at is 'When it ends; null: not known to.';
comment on column orbit.api_credentials.last_used_at is 'When a run was last given it; null: never.';
comment on column orbit.api_credentials.created_at is 'When it was first saved.';
comment on column orbit.api_credentials.updated_at is 'When it was last changed.';

alter table orbit.api_credentials enable row level security;
grant select, delete on orbit.api_credentials to authenticated;
-- Not the name, for which the secret is sealed, nor the type, which says what the secret is: those are orbit.save_credential's.
grant insert (organization_id, user_id, name, credential_type, description, username, header_name, token_url, client_id, scopes, expires_at),
  update (description, username, header_name, token_url, client_id, scopes, expires_at) on orbit.api_credentials to authenticated;
grant all on orbit.api_credentials to service_role;
create policy api_credentials_select on orbit.api_credentials for select to authenticated using (user_id = (select auth.uid()));
create policy api_credentials_insert on orbit.api_credentials for insert to authenticated
  with check (user_id = (select auth.uid()) and organization_id = any (array(select orbit_private.my_organization_ids())));
create policy api_credentials_update on orbit.api_credentials for update to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy api_credentials_delete on orbit.api_credentials for delete to authenticated using (user_id = (select auth.uid()));

create function orbit_private.tg_credential_changed()
returns trigger language plpgsql set search_path = '' as $$
begin
  if new.last_used_at is not distinct from old.last_used_at then
    new.updated_at := now();
  end if;
  return new;
end $$;
comment on function orbit_private.tg_credential_changed is 'Keeps updated_at, whoever writes; to be used is no change.';
create trigger "100_changed" before update on orbit.api_credentials for each row execute function orbit_private.tg_credential_changed();
create trigger "900_drop_secret" after delete on orbit.api_credentials
  referencing old table as gone for each statement execute function orbit_private.tg_drop_secret();

-- Definer: it writes secrets, which are nobody's; nobody writes but their own.
create function orbit_private.save_credential(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_name text; v_type text; v_organization_id uuid; v_old orbit.api_credentials; v_new orbit.api_credentials; v_place text; v_secret_id uuid;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'name', 'type', 'secret', 'secret_key', 'description', 'username', 'header_name', 'token_url',
    'client_id', 'scopes', 'expires_at']);
  v_name := orbit_private.required(p_request, 'name');
  v_type := orbit_private.required(p_request, 'type');
  if p_request ->> 'organization' is null and orbit_private.caller_is_trusted() and not exists (select from orbit.organizations) then
    perform orbit_private.ensure_project('{}', 'project.read');  -- a database in which nothing was saved yet
  end if;
  v_organization_id := orbit_private.organization_of(p_request);
  v_place := format('credential:%s:%s', coalesce((select auth.uid())::text, (select o.slug from orbit.organizations o where o.id = v_organization_id)), v_name);
  select * into v_old from orbit.api_credentials c
    where c.organization_id = v_organization_id and c.user_id is not distinct from (select auth.uid()) and c.name = v_name for update;
  if coalesce(p_request -> 'secret', 'null') = 'null' then
    if v_old.secret_id is null or v_old.credential_type <> v_type then
      perform orbit_private.refuse('OR001', 'secret is missing', '', 'It is the token, password, key or client secret; only one that is there already may be left out.');
    end if;
    v_secret_id := v_old.secret_id;
  elsif jsonb_typeof(p_request -> 'secret') <> 'string' or p_request ->> 'secret' = '' then
    perform orbit_private.refuse('OR001', 'secret is no text');
  else
    v_secret_id := orbit_private.put_secret(v_organization_id, v_place, p_request -> 'secret', v_old.secret_id, p_request ->> 'secret_key');
  end if;
  insert into orbit.api_credentials as c (organization_id, user_id, name, credential_type, description, username, header_name, token_url, client_id, scopes, secret_id, expires_at)
    values (v_organization_id, (select auth.uid()), v_name, v_type, p_request ->> 'description', p_request ->> 'username', p_request ->> 'header_name',
            p_request ->> 'token_url', p_request ->> 'client_id', coalesce(orbit_private.texts_of(p_request, 'scopes'), '{}'), v_secret_id, (p_request ->> 'expires_at')::timestamptz)
    on conflict (organization_id, user_id, name) do update set credential_type = excluded.credential_type, description = excluded.description, username = excluded.username,
      header_name = excluded.header_name, token_url = excluded.token_url, client_id = excluded.client_id, scopes = excluded.scopes, secret_id = excluded.secret_id,
      expires_at = excluded.expires_at, updated_at = now()
    returning * into v_new;
  return jsonb_build_object('credential_id', v_new.id, 'name', v_new.name, 'credential_type', v_new.credential_type, 'place', v_place);
exception when data_exception or check_violation or not_null_violation or foreign_key_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.save_credential is 'See orbit.save_credential.';

create function orbit.save_credential(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_credential(p_request) $$;
comment on function orbit.save_credential is
  'Saves a credential of one''s own: {organization?, name, type: bearer | basic | api_key | oauth2_client, secret? (sealed for credential:<user id, else the organisation''s slug>:<name>, or in clear where the database has a key; may be left out where there is one already), secret_key?, description?, username? (basic), header_name? (api_key), token_url?, client_id?, scopes? (oauth2_client), expires_at?}. Answers {credential_id, name, credential_type, place}. OR001, OR008 no secret key.';

create function orbit_private.credential_fields(p_credential orbit.api_credentials)
returns jsonb language sql immutable set search_path = '' as $$
  select jsonb_strip_nulls(jsonb_build_object('username', p_credential.username, 'header', p_credential.header_name, 'token_url', p_credential.token_url,
      'client_id', p_credential.client_id, 'scopes', case p_credential.credential_type when 'oauth2_client' then to_jsonb(p_credential.scopes) end))
    || jsonb_build_object(case p_credential.credential_type when 'bearer' then 'token' when 'basic' then 'password' when 'api_key' then 'key' else 'client_secret' end, null)
$$;
comment on function orbit_private.credential_fields is 'What templates may say of a credential, {field: value}; null stands for the secret.';
grant execute on function orbit_private.credential_fields to authenticated, service_role;

create function orbit_private.give_credentials(p_run orbit.test_runs, p_names jsonb, p_now timestamptz)
returns void language plpgsql set search_path = '' as $$
-- Called by start_run; granted to nobody. What is copied stays sealed, and is the run's: to change or delete the credential does nothing to it.
declare v_name text; v_credential orbit.api_credentials; v_trusted boolean;
begin
  if exists (select from orbit_private.run_secret s where s.queue_no = p_run.queue_no and starts_with(s.name, 'credentials.')) then
    perform orbit_private.refuse('OR001', 'a secret variable is called credentials.…', '', 'Credentials are given by their names: credentials: ["github"].');
  end if;
  if coalesce(p_names, 'null') = 'null' then
    return;
  end if;
  if jsonb_typeof(p_names) <> 'array' or jsonb_path_exists(p_names, 'strict $[*] ? (@.type() != "string")') then
    perform orbit_private.refuse('OR001', 'credentials is no list of names', '', 'Write credentials: ["github"].');
  end if;
  v_trusted := orbit_private.caller_is_trusted();
  for v_name in select distinct n from jsonb_array_elements_text(p_names) n order by n loop
    update orbit.api_credentials c set last_used_at = p_now
      where c.organization_id = p_run.organization_id and c.name = v_name
        and (c.user_id = (select auth.uid()) or (c.user_id is null and (select auth.uid()) is null and v_trusted)) returning * into v_credential;
    if not found then
      perform orbit_private.refuse('OR002', format('no credential %s of your own', left(v_name, 100)), '', 'Save it first: orbit credential add. Those of other people are theirs alone.');
    elsif v_credential.expires_at <= p_now then
      perform orbit_private.refuse('OR004', format('the credential %s has expired', v_name),
        format('at %s', to_char(v_credential.expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), format('Save a new one in its place: orbit credential add %s', v_name));
    elsif v_credential.secret_id is null then
      perform orbit_private.refuse('OR004', format('the credential %s has no secret', v_name), '', format('Save one: orbit credential add %s', v_name));
    end if;
    insert into orbit_private.run_secret (queue_no, name, sealed, place, fields)
      select p_run.queue_no, 'credentials.' || v_name, s.sealed, s.place, orbit_private.credential_fields(v_credential)
        from orbit_private.secret s where s.id = v_credential.secret_id;
  end loop;
end $$;
comment on function orbit_private.give_credentials is 'Copies credentials of the caller''s own to a run, by their names: OR002 for what is not theirs, OR004 for what has expired or has no secret.';

create function orbit.list_credentials(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, array['organization']);
  return (select coalesce(jsonb_agg(jsonb_build_object('credential_id', c.id, 'name', c.name, 'credential_type', c.credential_type, 'description', c.description,
      'username', c.username, 'header_name', c.header_name, 'token_url', c.token_url, 'client_id', c.client_id, 'scopes', c.scopes, 'has_secret', c.secret_id is not null,
      'fields', array(select f from jsonb_object_keys(orbit_private.credential_fields(c)) f order by f),
      'expires_at', c.expires_at, 'is_expired', coalesce(c.expires_at <= now(), false), 'last_used_at', c.last_used_at, 'updated_at', c.updated_at) order by c.name, c.id), '[]')
    from orbit.api_credentials c where c.user_id is not distinct from (select auth.uid())
      and (p_request ->> 'organization' is null or c.organization_id = orbit_private.organization_of(p_request)));
end $$;
comment on function orbit.list_credentials is 'One''s own credentials, without their secrets: {organization?}; `fields` are what templates say after credentials.<name>. Where nobody is signed in, those of the installation.';

-- Definer: as save_credential.
create function orbit_private.delete_credential(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_gone orbit.api_credentials;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'name']);
  delete from orbit.api_credentials c where c.organization_id = orbit_private.organization_of(p_request) and c.name = orbit_private.required(p_request, 'name')
    and c.user_id is not distinct from (select auth.uid()) returning * into v_gone;
  if not found then
    perform orbit_private.refuse('OR002', format('no credential %s of your own', left(p_request ->> 'name', 100)));
  end if;
  return jsonb_build_object('credential_id', v_gone.id, 'name', v_gone.name);
end $$;
comment on function orbit_private.delete_credential is 'See orbit.delete_credential.';

create function orbit.delete_credential(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_credential(p_request) $$;
comment on function orbit.delete_credential is 'Deletes a credential of one''s own, its secret with it: {organization?, name}. OR002.';

grant execute on function orbit_private.save_credential, orbit_private.delete_credential to authenticated, service_role;
grant execute on function orbit.save_credential, orbit.list_credentials, orbit.delete_credential to authenticated, service_role;

-- Audit ----------------------------------------------------------------------------------------------------------------------------------------

select orbit_private.audited('orbit.test_data_fixtures', 'fixture', p_left_out => '{row_count, bytes}', p_shortened => '{rows}');
select orbit_private.audited('orbit.report_templates', 'report_template', p_shortened => '{source}');
select orbit_private.audited('orbit.saved_searches', 'search');
select orbit_private.audited('orbit.api_credentials', 'credential', p_left_out => '{last_used_at}');

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
