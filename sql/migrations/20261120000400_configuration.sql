-- Configuration: environments, and variables by scope.
--
--   global (the organisation) < business_unit < project < environment < suite < test
--
-- A name may be defined in each of them. What a test gets is the definition of highest priority; among equals, the one of the narrowest
-- scope. Variables of an environment have a table of their own, which its admins may write directly; all others are variable_definitions.
-- A secret's value is in neither: both point to where it lies sealed.

create table orbit.environments (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  name text not null,
  description text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint environments_project_id_name_key unique (project_id, name),
  constraint environments_name_check check (length(name) between 1 and 200)
);
create index idx_environments_organization_id on orbit.environments (organization_id);
comment on table orbit.environments is 'Where a project''s tests run: local, staging, production.';
comment on column orbit.environments.id is 'Drawn at random.';
comment on column orbit.environments.organization_id is 'The project''s.';
comment on column orbit.environments.project_id is 'Whose it is.';
comment on column orbit.environments.name is 'As `--env` and requests say it; up to 200 characters.';
comment on column orbit.environments.description is 'What is there, in a sentence.';
comment on column orbit.environments.created_at is 'When it was made.';
comment on column orbit.environments.updated_at is 'When it was last saved.';

create function orbit_private.names_in(p_value jsonb)
returns text[] language plpgsql immutable set search_path = '' as $$
-- The template language itself is the SDK's; here only names are looked for, so that none is missed: between {{ and }} (texts in quotes
-- may hold braces) every word that is no function, filter, keyword or literal, and what stands after vars and env; after credentials, that with the word before it.
-- A word is anything but blanks and ASCII punctuation, whatever the locale of the database says of letters.
declare v_text text := p_value::text; v_names text[];
begin
  if position('{{' in v_text) = 0 then
    return '{}';
  end if;
  -- As JSON writes it, so that one look finds all; what JSON escapes is put back (a backslash last, and \x01 is never there as it is).
  v_text := translate(replace(replace(replace(replace(replace(v_text, '\\', E'\x01'), '\"', '"'), '\n', ' '), '\r', ' '), '\t', ' '), E'\x01', '\');
  with expression as (
    select m[1] as e from regexp_matches(v_text, '\{\{((?:[^''"}]|''(?:[^''\\]|\\.)*''|"(?:[^"\\]|\\.)*"|\}(?!\}))*)\}\}', 'g') m),
  plain as (
    select regexp_replace(regexp_replace(regexp_replace(x.e, '''(?:[^''\\]|\\.)*''|"(?:[^"\\]|\\.)*"', '""', 'g'),
        '\|\s*[^][[:space:]!-,./:-@\\^`{-~]+', '|', 'g'), '[^][[:space:]!-,./:-@\\^`{-~]+\s*=', ' ', 'g') as e
      from expression x),
  word as (
    select m[1] as root, nullif(substr(m[2], 2), '') as member, m[3] is not null as is_call from plain x cross join lateral regexp_matches(x.e,
        '(?<![^][[:space:]!-,/:-@\\^`{-~])([^][[:space:]!-/0-9:-@\\^`{-~][^][[:space:]!-,./:-@\\^`{-~]*)(\.[^][[:space:]!-,./:-@\\^`{-~]+)?(\s*\()?', 'g') m),
  said as (
    select case when w.root in ('vars', 'env') then w.member
                when w.root = 'credentials' then 'credentials.' || w.member
                when not w.is_call and w.root not in ('captured_data', 'shared_auth_tokens', 'shared_variables', 'row', 'run', 'test', 'true', 'false', 'null')
                then w.root end as name from word w
    union
    select coalesce(m[1], m[2]) from expression x cross join lateral regexp_matches(x.e, '(?:vars|env)\s*\[\s*(?:"([^"\\]*)"|''([^''\\]*)'')', 'g') m
    union
    select 'credentials.' || coalesce(m[1], m[2]) from expression x cross join lateral regexp_matches(x.e, 'credentials\s*\[\s*(?:"([^"\\]*)"|''([^''\\]*)'')', 'g') m)
  select array_agg(s.name order by s.name) into v_names from said s where s.name is not null;
  return coalesce(v_names, '{}');
end $$;
comment on function orbit_private.names_in is 'The names that the templates in a JSON value say, captures and row fields among them: whatever may be a variable; and credentials, as credentials.<name>.';

create function orbit_private.names_reached(p_variables jsonb)
returns jsonb language sql immutable set search_path = '' as $$
  with recursive direct (name, said) as (
    select v.key, n from jsonb_each(case when jsonb_typeof(p_variables) = 'object' then p_variables else '{}' end) v cross join unnest(orbit_private.names_in(v.value)) n),
  reached (name, said) as (
    select * from direct union select r.name, d.said from reached r join direct d on d.name = r.said)
  select coalesce(jsonb_object_agg(g.name, g.said), '{}') from (select r.name, jsonb_agg(r.said) as said from reached r group by r.name) g
$$;
comment on function orbit_private.names_reached is 'Of variables {name: value}: which names each of them says, also through others.';

create function orbit_private.names_beyond(p_names text[], p_reach jsonb)
returns text[] language sql immutable set search_path = '' as $$
  select coalesce(array_agg(distinct x.n order by x.n), '{}') from (
    select n from unnest(p_names) n union all select jsonb_array_elements_text(p_reach -> n) from unnest(p_names) n) x (n)
$$;
comment on function orbit_private.names_beyond is 'These names, and what they reach (names_reached).';

create function orbit_private.fits_type(p_value jsonb, p_type text)
returns boolean language sql immutable set search_path = '' as $$ select p_type = 'any' or jsonb_typeof(p_value) = p_type $$;
comment on function orbit_private.fits_type is 'Whether a variable declared with that type may have that value.';

create table orbit.environment_variables (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  environment_id uuid not null references orbit.environments (id) on delete cascade,
  name text not null,
  value jsonb,
  value_type text not null default 'any',
  priority smallint not null default 0,
  description text,
  secret_id uuid references orbit_private.secret (id) on delete cascade,
  uses text[] not null default '{}',
  updated_at timestamptz not null default now(),
  constraint environment_variables_environment_id_name_key unique (environment_id, name),
  constraint environment_variables_secret_id_key unique (secret_id),
  constraint environment_variables_name_check check (length(name) <= 200 and name ~ '^[^\s{}\[\]"''|.][^{}\[\]"''|.\r\n\t]*$'),
  constraint environment_variables_value_or_secret_check check ((value is null) <> (secret_id is null)),
  constraint environment_variables_value_type_check check (value_type in ('string', 'number', 'boolean', 'object', 'array', 'any')),
  constraint environment_variables_value_fits_type_check check (value is null or orbit_private.fits_type(value, value_type)),
  constraint environment_variables_value_size_check check (octet_length(value::text) <= 65536),
  constraint environment_variables_priority_check check (priority between -1000 and 1000)
);
create index idx_environment_variables_project_id on orbit.environment_variables (project_id);
comment on table orbit.environment_variables is 'Variables of an environment. Admins may write those that are no secrets directly.';
comment on column orbit.environment_variables.id is 'Drawn at random.';
comment on column orbit.environment_variables.project_id is 'The environment''s.';
comment on column orbit.environment_variables.environment_id is 'Where it holds.';
comment on column orbit.environment_variables.name is 'As an environment file has it: no dots, brackets, braces, quotes or bars; {{name}}, or {{vars["a name"]}} where it is no single word.';
comment on column orbit.environment_variables.value is 'JSON, up to 64 KiB as text, perhaps with templates; null for a secret.';
comment on column orbit.environment_variables.value_type is 'The JSON type that the value keeps, or any. A secret''s is what was declared.';
comment on column orbit.environment_variables.priority is 'Higher comes first, whatever the scope; 0 unless said.';
comment on column orbit.environment_variables.description is 'What it is for, in a sentence.';
comment on column orbit.environment_variables.secret_id is 'Where the value of a secret lies sealed.';
comment on column orbit.environment_variables.uses is 'Names inside {{ … }} of the value, other variables perhaps; of a secret, as whoever sealed it told.';
comment on column orbit.environment_variables.updated_at is 'When it was last changed.';

create table orbit.variable_definitions (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  business_unit_id uuid,
  project_id uuid references orbit.projects (id) on delete cascade,
  suite_id uuid references orbit.test_suites (id) on delete cascade,
  test_case_id uuid references orbit.test_cases (id) on delete cascade,
  scope text not null generated always as (case
      when test_case_id is not null then 'test' when suite_id is not null then 'suite' when project_id is not null then 'project'
      when business_unit_id is not null then 'business_unit' else 'global' end) stored,
  scope_id uuid not null generated always as (coalesce(test_case_id, suite_id, project_id, business_unit_id, organization_id)) stored,
  name text not null,
  value jsonb,
  value_type text not null default 'any',
  priority smallint not null default 0,
  description text,
  secret_id uuid references orbit_private.secret (id) on delete cascade,
  uses text[] not null default '{}',
  updated_at timestamptz not null default now(),
  constraint variable_definitions_scope_id_scope_name_key unique (scope_id, scope, name),
  constraint variable_definitions_secret_id_key unique (secret_id),
  constraint variable_definitions_business_unit_id_fkey foreign key (business_unit_id, organization_id)
    references orbit.business_units (id, organization_id) on delete cascade,
  constraint variable_definitions_scope_check check (
    (project_id is null or business_unit_id is null) and (suite_id is null or project_id is not null)
    and (test_case_id is null or suite_id is not null)),
  constraint variable_definitions_name_check check (length(name) <= 200 and name ~ '^[^][[:space:]!-/0-9:-@\\^`{-~][^][[:space:]!-,./:-@\\^`{-~]*$'),
  constraint variable_definitions_value_or_secret_check check ((value is null) <> (secret_id is null)),
  constraint variable_definitions_value_type_check check (value_type in ('string', 'number', 'boolean', 'object', 'array', 'any')),
  constraint variable_definitions_value_fits_type_check check (value is null or orbit_private.fits_type(value, value_type)),
  constraint variable_definitions_value_size_check check (octet_length(value::text) <= 65536),
  constraint variable_definitions_priority_check check (priority between -1000 and 1000)
);
create index idx_variable_definitions_organization_id on orbit.variable_definitions (organization_id);
create index idx_variable_definitions_business_unit_id on orbit.variable_definitions (business_unit_id, organization_id);
create index idx_variable_definitions_project_id on orbit.variable_definitions (project_id);
create index idx_variable_definitions_suite_id on orbit.variable_definitions (suite_id);
create index idx_variable_definitions_test_case_id on orbit.variable_definitions (test_case_id);
comment on table orbit.variable_definitions is 'Variables of an organisation (global), a business unit, a project, a suite or a test; they go with what they belong to.';
comment on column orbit.variable_definitions.id is 'Drawn at random.';
comment on column orbit.variable_definitions.organization_id is 'Whose it is, whatever the scope.';
comment on column orbit.variable_definitions.business_unit_id is 'The unit, for that scope only.';
comment on column orbit.variable_definitions.project_id is 'The project, for the scopes project, suite and test.';
comment on column orbit.variable_definitions.suite_id is 'The suite, for the scopes suite and test.';
comment on column orbit.variable_definitions.test_case_id is 'The test, for that scope only.';
comment on column orbit.variable_definitions.scope is 'global | business_unit | project | suite | test: the narrowest of the columns before that is set.';
comment on column orbit.variable_definitions.scope_id is 'The id of what the scope names.';
comment on column orbit.variable_definitions.name is 'One word, as templates say it: a letter or _, then letters, digits, _ and -.';
comment on column orbit.variable_definitions.value is 'JSON, up to 64 KiB as text, perhaps with templates; null for a secret.';
comment on column orbit.variable_definitions.value_type is 'The JSON type that the value keeps, or any. A secret''s is what was declared.';
comment on column orbit.variable_definitions.priority is 'Higher comes first, whatever the scope; 0 unless said.';
comment on column orbit.variable_definitions.description is 'What it is for, in a sentence.';
comment on column orbit.variable_definitions.secret_id is 'Where the value of a secret lies sealed.';
comment on column orbit.variable_definitions.uses is 'Names inside {{ … }} of the value, other variables perhaps; of a secret, as whoever sealed it told.';
comment on column orbit.variable_definitions.updated_at is 'When it was last changed.';

create table orbit_private.variables_version (
  organization_id uuid primary key references orbit.organizations (id) on delete cascade,
  version bigint not null default 0
);
alter table orbit_private.variables_version enable row level security;
comment on table orbit_private.variables_version is 'How often the variables of an organisation changed: what was resolved holds as long as this stays. Its row is the lock of whoever changes them.';
comment on column orbit_private.variables_version.organization_id is 'Whose variables.';
comment on column orbit_private.variables_version.version is 'One more with each statement that changed something.';

create view orbit_private.variable with (security_invoker = true) as
  select d.scope_id, d.scope, d.name, d.value, d.value_type, d.priority, d.description, d.secret_id, d.uses, d.updated_at
    from orbit.variable_definitions d
  union all
  select e.environment_id, 'environment', e.name, e.value, e.value_type, e.priority, e.description, e.secret_id, e.uses, e.updated_at
    from orbit.environment_variables e;
comment on view orbit_private.variable is 'Every definition of every scope.';

-- RLS --------------------------------------------------------------------------------------------------------------------------

alter table orbit.environments enable row level security;
alter table orbit.environment_variables enable row level security;
alter table orbit.variable_definitions enable row level security;
grant select on orbit.environments, orbit.environment_variables, orbit.variable_definitions to authenticated;
grant insert (project_id, name, description), update (name, description), delete on orbit.environments to authenticated;
grant insert (environment_id, name, value, value_type, priority, description), update (name, value, value_type, priority, description), delete
  on orbit.environment_variables to authenticated;
grant all on orbit.environments, orbit.environment_variables, orbit.variable_definitions to service_role;
create policy environments_select on orbit.environments for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy environments_insert on orbit.environments for insert to authenticated
  with check (project_id = any (array(select orbit_private.my_project_ids('environment.write'))));
create policy environments_update on orbit.environments for update to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids('environment.write'))))
  with check (project_id = any (array(select orbit_private.my_project_ids('environment.write'))));
create policy environments_delete on orbit.environments for delete to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids('environment.write'))));
create policy environment_variables_select on orbit.environment_variables for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
-- Secrets are written by functions alone, which seal them and ask for secret.write.
create policy environment_variables_insert on orbit.environment_variables for insert to authenticated
  with check (secret_id is null and project_id = any (array(select orbit_private.my_project_ids('environment.write'))));
create policy environment_variables_update on orbit.environment_variables for update to authenticated
  using (secret_id is null and project_id = any (array(select orbit_private.my_project_ids('environment.write'))))
  with check (secret_id is null and project_id = any (array(select orbit_private.my_project_ids('environment.write'))));
create policy environment_variables_delete on orbit.environment_variables for delete to authenticated
  using (secret_id is null and project_id = any (array(select orbit_private.my_project_ids('environment.write'))));
create policy variable_definitions_select on orbit.variable_definitions for select to authenticated using (
  project_id = any (array(select orbit_private.my_project_ids()))
  or scope = 'business_unit' and business_unit_id = any (array(select orbit_private.my_business_unit_ids()))
  or scope = 'global' and organization_id = any (array(select orbit_private.my_organization_ids())));

-- Whatever writes -----------------------------------------------------------------------------------------------------------------

-- Definer: clients may not look where a project or an environment belongs, nor need they say it.
create function orbit_private.tg_environment_defaults()
returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_table_name = 'environments' then
    new.organization_id := (select p.organization_id from orbit.projects p where p.id = new.project_id);
  else
    new.project_id := (select e.project_id from orbit.environments e where e.id = new.environment_id);
  end if;
  if tg_op = 'UPDATE' then
    new.updated_at := now();
  end if;
  return new;
end $$;
comment on function orbit_private.tg_environment_defaults is 'Fills what a row of an environment inherits.';
create trigger "100_defaults" before insert or update on orbit.environments for each row execute function orbit_private.tg_environment_defaults();
create trigger "100_defaults" before insert or update on orbit.environment_variables for each row execute function orbit_private.tg_environment_defaults();

create function orbit_private.tg_variable_uses()
returns trigger language plpgsql set search_path = '' as $$
begin
  if new.value is not null then
    new.uses := orbit_private.names_in(new.value);
  end if;
  return new;
end $$;
comment on function orbit_private.tg_variable_uses is 'Keeps beside a value the names that its templates say.';
create trigger "200_uses" before insert or update on orbit.environment_variables for each row execute function orbit_private.tg_variable_uses();
create trigger "200_uses" before insert or update on orbit.variable_definitions for each row execute function orbit_private.tg_variable_uses();

-- Definer: it counts and writes what callers cannot see.
create function orbit_private.note_variables(p_organizations uuid[], p_scope_ids uuid[])
returns void language plpgsql security definer set search_path = '' as $$
declare v_full text; v_id uuid;
begin
  -- Of organisations that are still there, in one order.
  for v_id in select o.id from orbit.organizations o where o.id = any (p_organizations) order by o.id loop
    insert into orbit_private.variables_version as v (organization_id, version) values (v_id, 1)
      on conflict (organization_id) do update set version = v.version + 1;
    perform pg_notify('orbit_variables', v_id::text);
  end loop;
  select v.scope into v_full from orbit_private.variable v where v.scope_id = any (p_scope_ids) group by v.scope_id, v.scope having count(*) > 10000 limit 1;
  if found then
    perform orbit_private.refuse('OR001', format('a scope holds at most 10,000 variables, and this %s would hold more', v_full), '',
      'Delete what nobody uses, or put what belongs together into one variable that is an object.');
  end if;
end $$;
comment on function orbit_private.note_variables is 'After a change: a new version of each organisation''s variables, told by NOTIFY orbit_variables; OR001 where one of the scopes is over full.';

-- Definer: as note_variables.
create function orbit_private.tg_note_variables()
returns trigger language plpgsql security definer set search_path = '' as $$
declare v_organizations uuid[]; v_scopes uuid[];
begin
  if tg_table_name = 'environment_variables' then
    if tg_op = 'DELETE' then
      select array_agg(distinct p.organization_id) into v_organizations from gone g join orbit.projects p on p.id = g.project_id;
    else
      select array_agg(distinct p.organization_id), array_agg(distinct m.environment_id) into v_organizations, v_scopes
        from made m join orbit.projects p on p.id = m.project_id;
    end if;
  elsif tg_op = 'DELETE' then
    select array_agg(distinct g.organization_id) into v_organizations from gone g;
  else
    select array_agg(distinct m.organization_id), array_agg(distinct m.scope_id) into v_organizations, v_scopes from made m;
  end if;
  if v_organizations is not null then
    perform orbit_private.note_variables(v_organizations, case when tg_op = 'INSERT' then v_scopes end);
  end if;
  return null;
end $$;
comment on function orbit_private.tg_note_variables is 'After a statement that changed variables.';
create trigger "900_note_insert" after insert on orbit.environment_variables referencing new table as made for each statement execute function orbit_private.tg_note_variables();
create trigger "900_note_update" after update on orbit.environment_variables referencing new table as made for each statement execute function orbit_private.tg_note_variables();
create trigger "900_note_delete" after delete on orbit.environment_variables referencing old table as gone for each statement execute function orbit_private.tg_note_variables();
create trigger "900_note_insert" after insert on orbit.variable_definitions referencing new table as made for each statement execute function orbit_private.tg_note_variables();
create trigger "900_note_update" after update on orbit.variable_definitions referencing new table as made for each statement execute function orbit_private.tg_note_variables();
create trigger "900_note_delete" after delete on orbit.variable_definitions referencing old table as gone for each statement execute function orbit_private.tg_note_variables();
create trigger "950_secrets" after delete on orbit.environment_variables referencing old table as gone for each statement execute function orbit_private.tg_drop_secret();
create trigger "950_secrets" after delete on orbit.variable_definitions referencing old table as gone for each statement execute function orbit_private.tg_drop_secret();

-- Definer: as note_variables. A project that changes its unit changes what its tests get.
create function orbit_private.tg_project_moved()
returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform orbit_private.note_variables(array[new.organization_id], null);
  return null;
end $$;
comment on function orbit_private.tg_project_moved is 'After a project went to another business unit.';
create trigger "900_variables" after update of business_unit_id on orbit.projects for each row
  when (old.business_unit_id is distinct from new.business_unit_id) execute function orbit_private.tg_project_moved();

-- Scopes --------------------------------------------------------------------------------------------------------------------------

create type orbit_private.variable_place as (
  organization_id uuid, organization text, business_unit_id uuid, business_unit text, project_id uuid, project text,
  environment_id uuid, environment text, suite_id uuid, suite text, test_case_id uuid, test text);
comment on type orbit_private.variable_place is 'Where variables are looked for: ids and names of everything a request names, and of what that lies in.';

create function orbit_private.refuse_scope(p_scope text)
returns void language plpgsql immutable set search_path = '' as $$
begin
  if p_scope is null or p_scope not in ('global', 'business_unit', 'project', 'environment', 'suite', 'test') then
    raise exception using errcode = 'OR001', message = case when coalesce(p_scope, '') = '' then 'scope is missing' else format('scope %s is none', left(p_scope, 60)) end,
      hint = 'There are: global, business_unit, project, environment, suite, test.';
  end if;
end $$;
comment on function orbit_private.refuse_scope is 'OR001 for a word that names no scope.';

-- Definer: it finds by name what callers may not list; whose project, unit or organisation it is, is asked first.
create function orbit_private.variable_place_of(p_request jsonb, p_scope text, p_action text default null)
returns orbit_private.variable_place language plpgsql security definer set search_path = '' as $$
-- p_scope: what must be named, and nothing narrower; null: whatever the request names. p_action: what the caller wants to do there; the
-- organisation or project is then made where it is missing and the caller may make it, as for everything else that is saved.
declare v orbit_private.variable_place; v_project orbit.projects; v_field text; v_there text;
begin
  if p_scope is not null then
    perform orbit_private.refuse_scope(p_scope);
    select k into v_field from unnest(array['business_unit', 'project', 'environment', 'suite', 'test']) with ordinality x (k, n)
      where p_request ->> k is not null and not k = any (case p_scope when 'business_unit' then array['business_unit'] when 'project' then array['project']
          when 'environment' then array['project', 'environment'] when 'suite' then array['project', 'suite']
          when 'test' then array['project', 'suite', 'test'] else '{}' end) order by n limit 1;
    if found then
      perform orbit_private.refuse('OR001', format('%s is no part of the scope %s', v_field, p_scope), '', 'Leave it out, or name another scope.');
    end if;
  elsif p_request ->> 'test' is not null and p_request ->> 'suite' is null then
    perform orbit_private.refuse('OR001', 'suite is missing', 'test is given', 'A test is named by its key and its suite''s.');
  end if;

  if p_scope in ('global', 'business_unit') then
    if p_action is not null and orbit_private.caller_is_trusted() then
      insert into orbit.organizations (slug, name) select o, initcap(o) from coalesce(p_request ->> 'organization', 'default') o
        where not exists (select from orbit.organizations x where x.slug = o)
          and (p_request ->> 'organization' is not null or not exists (select from orbit.organizations)) on conflict (slug) do nothing;
    end if;
    v.organization_id := orbit_private.organization_of(p_request);
  elsif p_scope = 'project' and p_action is not null then
    v_project := orbit_private.ensure_project(p_request, p_action);
  elsif p_scope is not null or p_request ->> 'project' is not null or p_request ->> 'environment' is not null or p_request ->> 'suite' is not null then
    v_project := orbit_private.project_of(p_request);
  else
    -- Nothing named: the project that is preferred, or `default`, where there is one, else what the organisation has.
    v.organization_id := orbit_private.organization_of(p_request);
    v_project := orbit_private.preferred_project(v.organization_id);
    if v_project.id is null then
      select * into v_project from orbit.projects p where p.organization_id = v.organization_id and p.slug = 'default'
        and (orbit_private.caller_is_trusted() or p.id in (select orbit_private.my_project_ids()));
    end if;
  end if;
  if v_project.id is not null then
    v.organization_id := v_project.organization_id;
    v.project_id := v_project.id;
    v.project := v_project.slug;
    v.business_unit_id := v_project.business_unit_id;
  end if;
  select o.slug into v.organization from orbit.organizations o where o.id = v.organization_id;

  if p_scope = 'business_unit' then
    select u.id into v.business_unit_id from orbit.business_units u
      where u.organization_id = v.organization_id and u.slug = orbit_private.required(p_request, 'business_unit')
        and (orbit_private.caller_is_trusted() or u.id in (select orbit_private.my_business_unit_ids()));
    if v.business_unit_id is null then
      perform orbit_private.refuse('OR002', format('no business unit %s', p_request ->> 'business_unit'), '', 'List them: orbit unit list, or orbit.list_business_units.');
    end if;
  end if;
  select u.slug into v.business_unit from orbit.business_units u where u.id = v.business_unit_id;
  if p_scope = 'environment' or p_request ->> 'environment' is not null then
    v.environment := orbit_private.required(p_request, 'environment');
    select e.id into v.environment_id from orbit.environments e where e.project_id = v.project_id and e.name = v.environment;
    if not found then
      select string_agg(e.name, ', ' order by e.name) into v_there from orbit.environments e where e.project_id = v.project_id;
      perform orbit_private.refuse('OR002', format('no environment %s in project %s', v.environment, v.project), format('there are: %s', coalesce(v_there, 'none')),
        'Save it first: orbit.save_environment, or orbit env save FILE.');
    end if;
  end if;
  if p_scope in ('suite', 'test') or p_request ->> 'suite' is not null then
    v.suite := orbit_private.required(p_request, 'suite');
    select s.id into v.suite_id from orbit.test_suites s where s.project_id = v.project_id and s.key = v.suite;
    if not found then
      perform orbit_private.refuse('OR002', format('no suite %s in project %s', v.suite, v.project), '', 'Save it first: orbit.save_suite, or `orbit run FILE`.');
    end if;
  end if;
  if p_scope = 'test' or p_request ->> 'test' is not null then
    v.test := orbit_private.required(p_request, 'test');
    select c.id into v.test_case_id from orbit.test_cases c where c.suite_id = v.suite_id and c.key = v.test order by c.archived_at nulls first limit 1;
    if not found then
      perform orbit_private.refuse('OR002', format('no test %s in suite %s', v.test, v.suite), '', 'Look at the names: orbit validate --list FILE.');
    end if;
  end if;
  return v;
end $$;
comment on function orbit_private.variable_place_of is 'Finds what a request names; OR001 for a field that is no part of the scope, OR002 for what is not there or not the caller''s.';

create function orbit_private.require_variable(p_place orbit_private.variable_place, p_scope text, p_secret boolean)
returns void language plpgsql stable set search_path = '' as $$
declare
  v_type text := case p_scope when 'global' then 'organization' when 'test' then 'suite' else p_scope end;
  v_id uuid := case p_scope when 'global' then p_place.organization_id when 'business_unit' then p_place.business_unit_id when 'project' then p_place.project_id
                 when 'environment' then p_place.environment_id else p_place.suite_id end;
begin
  perform orbit_private.require(case p_scope when 'environment' then 'environment.write' else 'variable.write' end, v_type, v_id);
  if p_secret then
    perform orbit_private.require('secret.write', v_type, v_id);
  end if;
end $$;
comment on function orbit_private.require_variable is 'OR003 unless the caller may write variables of that scope there, and secrets if it is about one.';

create function orbit_private.variable_scopes(p_place orbit_private.variable_place)
returns table (scope_id uuid, scope text, rank int, of text) language sql immutable set search_path = '' as $$
  select * from unnest(
      array[p_place.organization_id, p_place.business_unit_id, p_place.project_id, p_place.environment_id, p_place.suite_id, p_place.test_case_id],
      array['global', 'business_unit', 'project', 'environment', 'suite', 'test'], array[1, 2, 3, 4, 5, 6],
      array[p_place.organization, p_place.business_unit, p_place.project, p_place.environment, p_place.suite, p_place.test]) s (scope_id, scope, rank, of)
    where s.scope_id is not null
$$;
comment on function orbit_private.variable_scopes is 'The scopes that hold there, widest first; `of` is the name of the scope''s thing.';

-- Writing ----------------------------------------------------------------------------------------------------------------------------

-- Definer: it writes tables that callers may only read, after require_variable().
create function orbit_private.set_variables(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_scope text; v_place orbit_private.variable_place; v_scope_id uuid; v_of text; v_entry jsonb; v_at text; v_name text; v_secret boolean; v_field text;
  v_old record; v_value jsonb; v_type text; v_priority int; v_secret_id uuid; v_uses text[]; v_sealed boolean; v_rows jsonb[] := '{}'; v_changed int := 0; v_deleted int := 0; v_names text[] := '{}';
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'business_unit', 'project', 'environment', 'suite', 'test', 'scope', 'variables', 'replace', 'secret_key']);
  v_scope := p_request ->> 'scope';
  if jsonb_typeof(p_request -> 'variables') is distinct from 'array' then
    perform orbit_private.refuse('OR001', 'variables is no list', '', 'It is [{name, value?, type?, secret?, priority?, description?, uses?}, …].');
  end if;
  v_place := orbit_private.variable_place_of(p_request, coalesce(v_scope, ''), case v_scope when 'environment' then 'environment.write' else 'variable.write' end);
  perform orbit_private.require_variable(v_place, v_scope, false);
  select s.scope_id, s.of into v_scope_id, v_of from orbit_private.variable_scopes(v_place) s where s.scope = v_scope;
  -- One writer of an organisation at a time: nobody else adds to the scope, or takes its rows in another order.
  insert into orbit_private.variables_version (organization_id) values (v_place.organization_id) on conflict (organization_id) do nothing;
  perform 1 from orbit_private.variables_version v where v.organization_id = v_place.organization_id for no key update;

  for v_entry, v_at in select e, format('variables[%s]', n - 1) from jsonb_array_elements(p_request -> 'variables') with ordinality x (e, n) loop
    if jsonb_typeof(v_entry) <> 'object' then
      perform orbit_private.refuse('OR001', format('%s is no object', v_at), '', 'It is {name, value?, type?, secret?, priority?, description?, uses?}.');
    end if;
    select min(k) into v_field from jsonb_object_keys(v_entry) k where k not in ('name', 'value', 'type', 'secret', 'priority', 'description', 'uses');
    if v_field is not null then
      perform orbit_private.refuse('OR001', format('unknown field %s.%s', v_at, left(v_field, 60)), 'there are: name, value, type, secret, priority, description, uses');
    end if;
    v_name := v_entry ->> 'name';
    if jsonb_typeof(v_entry -> 'name') is distinct from 'string' or v_name = '' then
      perform orbit_private.refuse('OR001', format('%s.name is missing', v_at), '', 'A variable has a name: a letter or _, then letters, digits, _ and -.');
    elsif length(v_name) > 200 or v_scope <> 'environment' and v_name !~ '^[^][[:space:]!-/0-9:-@\\^`{-~][^][[:space:]!-,./:-@\\^`{-~]*$'
       or v_name !~ '^[^\s{}\[\]"''|.][^{}\[\]"''|.\r\n\t]*$' then
      perform orbit_private.refuse('OR001', format('%s.name %s is no name', v_at, left(to_json(left(v_name, 80))::text, 200)), '',
        'A letter or _, then letters, digits, _ and -; up to 200.');
    end if;
    v_names := v_names || v_name;
    v_at := format('%s (%s)', v_at, v_name);
    if jsonb_typeof(v_entry -> 'secret') not in ('boolean', 'null') then
      perform orbit_private.refuse('OR001', format('secret of %s is neither true nor false', v_at));
    end if;
    if jsonb_typeof(v_entry -> 'priority') not in ('number', 'null') or (v_entry ->> 'priority')::numeric not between -1000 and 1000
       or (v_entry ->> 'priority')::numeric % 1 <> 0 then
      perform orbit_private.refuse('OR001', format('priority of %s is no whole number between -1000 and 1000', v_at), '', 'Higher comes first, whatever the scope; 0 is usual.');
    end if;
    if v_entry ->> 'type' is not null and v_entry ->> 'type' not in ('string', 'number', 'boolean', 'object', 'array', 'any') then
      perform orbit_private.refuse('OR001', format('type %s of %s is none', left(v_entry ->> 'type', 60), v_at), '', 'There are: string, number, boolean, object, array, any.');
    end if;
    if jsonb_typeof(v_entry -> 'uses') not in ('array', 'null') then
      perform orbit_private.refuse('OR001', format('uses of %s is no list of names', v_at));
    end if;
    if octet_length((v_entry -> 'value')::text) > 65536 and not coalesce((v_entry ->> 'secret')::boolean, false) then
      perform orbit_private.refuse('OR001', format('value of %s is larger than 64 KiB', v_at), format('it has %s bytes', octet_length((v_entry -> 'value')::text)),
        'Keep large data in a data set or a file beside the suite.');
    end if;

    select * into v_old from orbit_private.variable v where v.scope_id = v_scope_id and v.scope = v_scope and v.name = v_name;
    v_secret := coalesce((v_entry ->> 'secret')::boolean, v_old.secret_id is not null, false);
    v_type := coalesce(v_entry ->> 'type', v_old.value_type, 'any');
    v_priority := coalesce((v_entry ->> 'priority')::int, v_old.priority, 0);
    v_value := coalesce(v_entry -> 'value', case when not v_secret then v_old.value end);
    v_secret_id := v_old.secret_id;
    v_uses := coalesce(v_old.uses, '{}');
    if v_value is null and (not v_secret or v_secret_id is null) then
      perform orbit_private.refuse('OR001', format('value of %s is missing', v_at), '', 'A new variable has a value; null is one.');
    end if;
    if v_secret or v_secret_id is not null then
      perform orbit_private.require_variable(v_place, v_scope, true);
    end if;
    v_sealed := v_secret and jsonb_typeof(v_value) = 'string' and v_value #>> '{}' ~ '^orbit\.(seal|pgp)\.v1\.';
    if v_value is not null and not v_sealed and not orbit_private.fits_type(v_value, v_type) then
      perform orbit_private.refuse('OR001', format('value of %s is no %s', v_at, v_type), format('it is of the type %s', jsonb_typeof(v_value)),
        'Give a value of the declared type, or another type with it.');
    end if;
    if v_secret and v_value is not null then
      if octet_length(v_value #>> '{}') > 131072 then
        perform orbit_private.refuse('OR001', format('value of %s is larger than 64 KiB', v_at), '', 'Keep large data in a file beside the suite.');
      end if;
      v_uses := case when jsonb_typeof(v_entry -> 'uses') = 'array' then array(select jsonb_array_elements_text(v_entry -> 'uses'))
                     when v_sealed then '{}' else orbit_private.names_in(v_value) end;
      v_secret_id := orbit_private.put_secret(v_place.organization_id, format('%s:%s:%s', v_scope, v_of, v_name), v_value, v_secret_id, p_request ->> 'secret_key');
    elsif not v_secret then
      v_secret_id := null;
    end if;
    v_rows := v_rows || jsonb_build_object('name', v_name, 'value', case when not v_secret then v_value end, 'plain', not v_secret, 'type', v_type, 'priority', v_priority,
      'description', coalesce(v_entry ->> 'description', v_old.description), 'secret_id', v_secret_id, 'uses', v_uses,
      'dropped', case when not v_secret then v_old.secret_id end, 'touched', v_sealed);
  end loop;
  select n into v_name from unnest(v_names) n group by n having count(*) > 1 limit 1;
  if found then
    perform orbit_private.refuse('OR001', format('variables has %s twice', v_name), '', 'A name has one value in a scope.');
  end if;
  if coalesce((p_request ->> 'replace')::boolean, false) and exists (
       select from orbit_private.variable v where v.scope_id = v_scope_id and v.scope = v_scope and v.secret_id is not null and v.name <> all (v_names)) then
    perform orbit_private.require_variable(v_place, v_scope, true);  -- what is not named is deleted, secrets among it
  end if;

  if v_scope = 'environment' then
    insert into orbit.environment_variables as o (project_id, environment_id, name, value, value_type, priority, description, secret_id, uses)
      select v_place.project_id, v_scope_id, r ->> 'name', case when (r ->> 'plain')::boolean then r -> 'value' end, r ->> 'type', (r ->> 'priority')::smallint,
             r ->> 'description', (r ->> 'secret_id')::uuid, array(select jsonb_array_elements_text(r -> 'uses')) from unnest(v_rows) r
      on conflict (environment_id, name) do update set value = excluded.value, value_type = excluded.value_type, priority = excluded.priority,
        description = excluded.description, secret_id = excluded.secret_id, uses = excluded.uses, updated_at = now()
        where excluded.secret_id is not null or (o.value, o.value_type, o.priority, o.description, o.secret_id)
          is distinct from (excluded.value, excluded.value_type, excluded.priority, excluded.description, excluded.secret_id);
    get diagnostics v_changed = row_count;
    if coalesce((p_request ->> 'replace')::boolean, false) then
      delete from orbit.environment_variables o where o.environment_id = v_scope_id and o.name <> all (v_names);
      get diagnostics v_deleted = row_count;
    end if;
  else
    insert into orbit.variable_definitions as o (organization_id, business_unit_id, project_id, suite_id, test_case_id,
                                                 name, value, value_type, priority, description, secret_id, uses)
      select v_place.organization_id, case when v_scope = 'business_unit' then v_place.business_unit_id end, v_place.project_id, v_place.suite_id, v_place.test_case_id,
             r ->> 'name', case when (r ->> 'plain')::boolean then r -> 'value' end, r ->> 'type', (r ->> 'priority')::smallint,
             r ->> 'description', (r ->> 'secret_id')::uuid, array(select jsonb_array_elements_text(r -> 'uses')) from unnest(v_rows) r
      on conflict (scope_id, scope, name) do update set value = excluded.value, value_type = excluded.value_type, priority = excluded.priority,
        description = excluded.description, secret_id = excluded.secret_id, uses = excluded.uses, updated_at = now()
        where excluded.secret_id is not null or (o.value, o.value_type, o.priority, o.description, o.secret_id)
          is distinct from (excluded.value, excluded.value_type, excluded.priority, excluded.description, excluded.secret_id);
    get diagnostics v_changed = row_count;
    if coalesce((p_request ->> 'replace')::boolean, false) then
      delete from orbit.variable_definitions o where o.scope_id = v_scope_id and o.scope = v_scope and o.name <> all (v_names);
      get diagnostics v_deleted = row_count;
    end if;
  end if;
  -- What is no secret any more: after its row has let go of it.
  perform orbit_private.drop_secret((r ->> 'dropped')::uuid) from unnest(v_rows) r where r ->> 'dropped' is not null;
  return jsonb_build_object('scope', v_scope, 'of', v_of, 'changed', v_changed, 'deleted', v_deleted, 'version',
    (select v.version from orbit_private.variables_version v where v.organization_id = v_place.organization_id));
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, 'a field has the wrong type');
end $$;
comment on function orbit_private.set_variables is 'See orbit.set_variables.';

create function orbit.set_variables(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.set_variables(p_request) $$;
comment on function orbit.set_variables is
  'Defines variables of one scope, all or none: {organization?, scope, business_unit | project? | environment | suite | test (what the scope is of), variables: [{name, value, type?: string|number|boolean|object|array|any, secret?, priority?, description?, uses?}], replace?: false, secret_key?}. What is left out of a variable that is there stays as it is; replace deletes those not named. A secret''s value arrives sealed for <scope>:<name of its thing>:<name>, or in clear where the database or secret_key has a key. Answers {scope, of, changed, deleted, version}.';

-- Definer: as set_variables.
create function orbit_private.delete_variable(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_scope text; v_place orbit_private.variable_place; v_scope_id uuid; v_of text; v_name text; v_old record;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'business_unit', 'project', 'environment', 'suite', 'test', 'scope', 'name']);
  v_scope := p_request ->> 'scope';
  v_name := orbit_private.required(p_request, 'name');
  v_place := orbit_private.variable_place_of(p_request, coalesce(v_scope, ''));
  select s.scope_id, s.of into v_scope_id, v_of from orbit_private.variable_scopes(v_place) s where s.scope = v_scope;
  select * into v_old from orbit_private.variable v where v.scope_id = v_scope_id and v.scope = v_scope and v.name = v_name;
  perform orbit_private.require_variable(v_place, v_scope, v_old.secret_id is not null);
  delete from orbit.environment_variables e where v_scope = 'environment' and e.environment_id = v_scope_id and e.name = v_name;
  delete from orbit.variable_definitions d where v_scope <> 'environment' and d.scope_id = v_scope_id and d.scope = v_scope and d.name = v_name;
  if v_old.name is null then
    perform orbit_private.refuse('OR002', format('no variable %s of %s %s', left(v_name, 200), replace(v_scope, '_', ' '), v_of), '', 'List them: orbit var list, or orbit.list_variables.');
  end if;
  return jsonb_build_object('deleted', true);
end $$;
comment on function orbit_private.delete_variable is 'See orbit.delete_variable.';

create function orbit.delete_variable(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_variable(p_request) $$;
comment on function orbit.delete_variable is 'Deletes a variable of one scope, a secret with its value: {organization?, scope, business_unit | project? | environment | suite | test, name} → {deleted}. OR002 where there is none.';

-- Reading ----------------------------------------------------------------------------------------------------------------------------

-- Definer: whoever sees a project sees what its tests are given, of wider scopes too. Secrets are not told.
create function orbit_private.list_variables(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' set enable_seqscan = off as $$
declare v_place orbit_private.variable_place; v_rows jsonb; v_scope text; v_names text[];
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'business_unit', 'project', 'environment', 'suite', 'test', 'scope', 'names', 'after', 'limit']);
  v_scope := p_request ->> 'scope';
  v_names := orbit_private.names_of(p_request);
  if orbit_private.nothing_saved(p_request) and coalesce(v_scope, p_request ->> 'environment', p_request ->> 'suite', p_request ->> 'business_unit') is null then
    return '[]';
  end if;
  v_place := orbit_private.variable_place_of(p_request, v_scope);
  with here as materialized (
    select v.*, s.rank, s.of from orbit_private.variable_scopes(v_place) s
      cross join lateral (select * from orbit_private.variable o where o.scope_id = s.scope_id and o.scope = s.scope offset 0) v
      where (v_scope is null or s.scope = v_scope) and (v_names is null or v.name = any (v_names)) and v.name > coalesce(p_request ->> 'after', '')),
  page as (
    select distinct h.name from here h order by h.name limit least(greatest(coalesce((p_request ->> 'limit')::int, 1000), 1), 10000))
  select coalesce(jsonb_agg(jsonb_build_object('name', h.name, 'value', h.value, 'type', h.value_type, 'secret', h.secret_id is not null, 'scope', h.scope, 'of', h.of,
      'priority', h.priority, 'description', h.description, 'updated_at', h.updated_at) order by h.name, h.priority desc, h.rank desc), '[]')
    into v_rows from here h join page p on p.name = h.name;
  return v_rows;
exception when data_exception then
  perform orbit_private.malformed(sqlstate, 'limit is no whole number');
end $$;
comment on function orbit_private.list_variables is 'See orbit.list_variables.';

create function orbit_private.names_of(p_request jsonb)
returns text[] language plpgsql immutable set search_path = '' as $$
begin
  if coalesce(jsonb_typeof(p_request -> 'names'), 'null') = 'null' then
    return null;
  elsif jsonb_typeof(p_request -> 'names') <> 'array' or exists (select from jsonb_array_elements(p_request -> 'names') n where jsonb_typeof(n) <> 'string') then
    raise exception using errcode = 'OR001', message = 'names is no list of names';
  end if;
  return array(select jsonb_array_elements_text(p_request -> 'names'));
end $$;
comment on function orbit_private.names_of is 'The field `names` of a request; null where there is none. OR001 unless it is a list of texts.';

create function orbit.list_variables(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.list_variables(p_request) $$;
comment on function orbit.list_variables is 'Definitions: {organization?, project?, environment?, suite?, test?, business_unit?, scope?, names?, after?, limit?: 1000}: of one scope, or without `scope` of every scope that holds for what is named; by name, the one that comes first before those it hides. [{name, value, type, secret, scope, of, priority, description, updated_at}]; the value of a secret is null. after: a name; limit counts names.';

create function orbit_private.resolved_variables(p_place orbit_private.variable_place, p_names text[])
returns table (name text, value jsonb, value_type text, secret_id uuid, scope text, of text, priority smallint, uses text[], place bigint)
language plpgsql stable set search_path = '' set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
  -- By the keys of the scopes, whatever the planner thinks of six of them: beside 100,000 others it read them all. All or those of
  -- these names are two branches, for what is said with `or` is no key of the index. Names are compared as bytes: no locale is asked.
  return query
    select v.name, v.value, v.value_type, v.secret_id, v.scope, s.of, v.priority, v.uses,
           row_number() over (partition by v.name collate "C" order by v.priority desc, s.rank desc)
      from orbit_private.variable_scopes(p_place) s cross join lateral (
          select * from orbit_private.variable o where p_names is null and o.scope_id = s.scope_id and o.scope = s.scope
          union all
          select * from orbit_private.variable o where o.scope_id = s.scope_id and o.scope = s.scope and o.name = any (p_names)) v;
end $$;
comment on function orbit_private.resolved_variables is 'The one rule of precedence: of each name at place 1 the definition of highest priority, among equals that of the narrowest scope; after it, in order, what it hides. p_names: only these; null: all.';

-- Definer: as list_variables.
create function orbit_private.resolve_variables(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare v_place orbit_private.variable_place; v_names text[];
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'environment', 'suite', 'test', 'names']);
  v_names := orbit_private.names_of(p_request);
  if orbit_private.nothing_saved(p_request) and coalesce(p_request ->> 'environment', p_request ->> 'suite') is null then
    return '{"variables": [], "version": 0}';
  end if;
  v_place := orbit_private.variable_place_of(p_request, null);
  -- Rows become jsonb in one go: objects that are built first and gathered then are copied at each level.
  return (
    with found as (
      select * from orbit_private.resolved_variables(v_place, v_names)),
    hidden as (
      select f.name collate "C" as name, to_jsonb(array_agg(s order by f.place)) as shadows
        from found f cross join lateral (select f.scope, f.priority, f.value) s where f.place > 1 group by f.name collate "C"),
    chosen as (
      select f.name, f.value, f.value_type as type, f.secret_id is not null as secret, f.scope, f.of, f.priority, coalesce(h.shadows, '[]') as shadows
        from found f left join hidden h on h.name = f.name collate "C" where f.place = 1 order by f.name collate "C")
    select jsonb_build_object('variables', coalesce(array_agg(c), '{}'), 'version',
      coalesce((select v.version from orbit_private.variables_version v where v.organization_id = v_place.organization_id), 0)) from chosen c);
end $$;
comment on function orbit_private.resolve_variables is 'See orbit.resolve_variables.';

create function orbit.resolve_variables(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.resolve_variables(p_request) $$;
comment on function orbit.resolve_variables is
  'What a test would get: {organization?, project?, environment?, suite?, test?, names?} → {variables: [{name, value, type, secret, scope, of, priority, shadows: [{scope, priority, value}]}], version}. Highest priority first, then the narrowest scope: global < business_unit < project < environment < suite < test. The value of a secret is null. Templates in values are not filled in: that is done where they are used.';

-- Environments -----------------------------------------------------------------------------------------------------------------------

-- Definer: it writes tables that callers may only read, after ensure_project().
create function orbit_private.save_environment(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_name text := orbit_private.required(p_request, 'name');
  v_replace boolean := coalesce((p_request ->> 'replace')::boolean, true);
  v_project orbit.projects; v_id uuid; v_organization text;
begin
  v_project := orbit_private.ensure_project(p_request, 'environment.write');
  insert into orbit.environments as e (organization_id, project_id, name, description)
    values (v_project.organization_id, v_project.id, v_name, p_request ->> 'description')
    on conflict (project_id, name) do update set description = coalesce(excluded.description, e.description)
    returning id into v_id;
  if coalesce(jsonb_typeof(p_request -> 'variables'), 'null') not in ('array', 'null') then
    perform orbit_private.refuse('OR001', 'variables is no list', '', 'It is [{name, value, secret?, description?}, …].');
  end if;
  if v_replace or jsonb_array_length(coalesce(nullif(p_request -> 'variables', 'null'), '[]')) > 0 then
    select o.slug into v_organization from orbit.organizations o where o.id = v_project.organization_id;
    perform orbit_private.set_variables(jsonb_build_object('organization', v_organization, 'project', v_project.slug, 'scope', 'environment', 'environment', v_name,
      'replace', v_replace, 'secret_key', p_request -> 'secret_key', 'variables', coalesce((
        select jsonb_agg(case when jsonb_typeof(v) <> 'object' then v else '{"value": null, "secret": false}' || v end order by n)
          from jsonb_array_elements(nullif(p_request -> 'variables', 'null')) with ordinality x (v, n)), '[]')));
  end if;
  return jsonb_build_object('environment_id', v_id, 'project_id', v_project.id);
exception when data_exception or check_violation or not_null_violation or cardinality_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.save_environment is 'See orbit.save_environment.';

create function orbit.save_environment(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_environment(p_request) $$;
comment on function orbit.save_environment is
  'Saves an environment: {organization?, project?, name, description?, variables: [{name, value, secret?, type?, priority?, description?, uses?}], replace?: true, secret_key?}. A secret''s value arrives sealed for environment:<name>:<variable>, or in clear where the database or secret_key has a key. Answers {environment_id, project_id}.';

create function orbit.get_environment(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_name text := orbit_private.required(p_request, 'name'); v_project orbit.projects; v_environment orbit.environments;
begin
  v_project := orbit_private.project_of(p_request);
  select e.* into v_environment from orbit.environments e where e.project_id = v_project.id and e.name = v_name;
  if not found then
    perform orbit_private.refuse('OR002', format('no environment %s in project %s', v_name, v_project.slug),
      format('there are: %s', coalesce((select string_agg(e.name, ', ' order by e.name) from orbit.environments e where e.project_id = v_project.id), 'none')),
      'Give the path of an environment file instead, or save it first.');
  end if;
  return jsonb_build_object('environment_id', v_environment.id, 'name', v_environment.name, 'description', v_environment.description,
    'variables', coalesce((select jsonb_agg(jsonb_build_object('name', v.name, 'type', v.value_type, 'priority', v.priority, 'description', v.description, 'secret', v.secret_id is not null,
        'value', v.value) order by v.name)
      from orbit.environment_variables v where v.environment_id = v_environment.id), '[]'));
end $$;
comment on function orbit.get_environment is 'An environment by {organization?, project?, name}: {environment_id, name, description, variables: [{name, value, type, secret, priority, description}]}; the value of a secret is null: orbit.read_secret tells it, and writes that down. OR002 lists what there is.';

create function orbit.list_environments(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_project orbit.projects;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project']);
  if orbit_private.nothing_saved(p_request, true) then
    return '[]';
  end if;
  v_project := orbit_private.project_of(p_request);
  return (
    select coalesce(jsonb_agg(jsonb_build_object('environment_id', e.id, 'name', e.name, 'description', e.description, 'variables', v.plain, 'secrets', v.secret,
        'updated_at', greatest(e.updated_at, v.updated_at)) order by e.name), '[]')
      from orbit.environments e
      cross join lateral (select count(*) filter (where o.secret_id is null) as plain, count(o.secret_id) as secret, max(o.updated_at) as updated_at
                            from orbit.environment_variables o where o.environment_id = e.id) v
      where e.project_id = v_project.id);
end $$;
comment on function orbit.list_environments is 'The environments of a project: {organization?, project?} → [{environment_id, name, description, variables, secrets, updated_at}], the two as numbers.';

-- Definer: it deletes secrets along with the environment, after require().
create function orbit_private.delete_environment(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_place orbit_private.variable_place; v_count int;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name']);
  v_place := orbit_private.variable_place_of(p_request - 'name' || jsonb_build_object('environment', orbit_private.required(p_request, 'name')), 'environment');
  perform orbit_private.require('environment.write', 'environment', v_place.environment_id);
  select count(*) into v_count from orbit.environment_variables v where v.environment_id = v_place.environment_id;
  delete from orbit.environments e where e.id = v_place.environment_id;
  return jsonb_build_object('deleted', true, 'variables', v_count);
end $$;
comment on function orbit_private.delete_environment is 'See orbit.delete_environment.';

create function orbit.delete_environment(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_environment(p_request) $$;
comment on function orbit.delete_environment is 'Deletes an environment with its variables: {organization?, project?, name} → {deleted, variables}. Its runs stay, and name no environment any more. OR002 lists what there is.';

grant execute on function orbit_private.fits_type, orbit_private.save_environment, orbit_private.delete_environment,
  orbit_private.set_variables, orbit_private.delete_variable, orbit_private.list_variables, orbit_private.resolve_variables, orbit_private.names_in to authenticated, service_role;
grant execute on function orbit.save_environment, orbit.get_environment, orbit.list_environments, orbit.delete_environment,
  orbit.set_variables, orbit.delete_variable, orbit.list_variables, orbit.resolve_variables to authenticated, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
