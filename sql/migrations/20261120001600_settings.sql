-- Settings: what holds where nobody says otherwise, and how much may run at once.
--
--   installation < organization < project < environment      the narrowest that says something counts; else the definition's default
--
-- setting_definitions says what can be set, where, and within which bounds; settings holds what was. Defaults of a start (run.*) are
-- looked up when a run is started that is silent about them. Caps and rates (concurrency.*, rate.*) are written through to the
-- queue's gates whenever they change, and when an organisation or environment is made: a claim looks at gates alone.
-- Rates and quotas of what people call (orbit.limits) are another matter, and stay where they are.

create table orbit.setting_definitions (
  name text primary key,
  value_type text not null,
  minimum double precision,
  maximum double precision,
  default_value jsonb,
  levels text[] not null,
  takes_host boolean not null default false,
  unit text,
  description text not null,
  constraint setting_definitions_value_type_check check (value_type in ('integer', 'number', 'boolean', 'rate')),
  constraint setting_definitions_range_check check ((value_type = 'boolean') = (minimum is null) and (minimum is null) = (maximum is null) and minimum <= maximum),
  constraint setting_definitions_levels_check check (
    cardinality(levels) > 0 and levels <@ array['installation', 'organization', 'project', 'environment'])
);
comment on table orbit.setting_definitions is 'What can be set.';
comment on column orbit.setting_definitions.name is 'As requests and `orbit config` say it; of a host, followed by a colon and the host.';
comment on column orbit.setting_definitions.value_type is 'integer, number, boolean, or rate: {per_second, burst}.';
comment on column orbit.setting_definitions.minimum is 'The least value; of a rate, of per_second. Null for a boolean.';
comment on column orbit.setting_definitions.maximum is 'The greatest value, likewise.';
comment on column orbit.setting_definitions.default_value is 'What holds where nothing is set; null: none, and then "none" may be set as well.';
comment on column orbit.setting_definitions.levels is 'Where it may be set: installation (for all organisations), organization, project, environment.';
comment on column orbit.setting_definitions.takes_host is 'Whether it is set for one target host each.';
comment on column orbit.setting_definitions.unit is 'Of what its value is a number; null: of nothing.';
comment on column orbit.setting_definitions.description is 'In a sentence.';
insert into orbit.setting_definitions (name, value_type, minimum, maximum, default_value, levels, takes_host, unit, description) values
  ('run.timeout', 'number', 0.1, 2592000, null, '{installation,organization,project,environment}', false, 'seconds',
   'After so long a run ends that was given no time of its own.'),
  ('run.priority', 'integer', -100, 100, '0', '{installation,organization,project,environment}', false, 'minutes of waiting', 'Of runs that were given none.'),
  ('run.concurrency', 'integer', 1, 10000, null, '{installation,organization,project,environment}', false, 'tests', 'How many tests of one run go on at once.'),
  ('run.fail_fast', 'boolean', null, null, 'false', '{installation,organization,project,environment}', false, null, 'Whether the first failure ends a run.'),
  ('concurrency.organization', 'integer', 0, 100000, null, '{installation,organization}', false, 'tests', 'How many tests of an organisation go on at once.'),
  ('concurrency.environment', 'integer', 0, 100000, null, '{installation,organization,project,environment}', false, 'tests',
   'How many tests go on at once in each environment.'),
  ('concurrency.host', 'integer', 0, 100000, null, '{installation,organization}', true, 'tests', 'How many tests of an organisation go on at once against this host.'),
  ('rate.host', 'rate', 0.001, 100000, null, '{installation,organization}', true, 'tests', 'How many tests of an organisation begin in a time against this host.'),
  ('group.wait', 'number', 0, 3600, '0', '{installation,organization,project}', false, 'seconds', 'How long an affinity group waits for more jobs before a worker sets it up.'),
  ('group.size', 'integer', 1, 1000000, '1', '{installation,organization,project}', false, 'jobs', 'So many jobs suffice to set a group up at once.'),
  ('group.spread', 'integer', 1, 1000000, '20', '{installation,organization,project}', false, 'jobs',
   'With more ready jobs than this for each worker that has set a group up, another one may.');

create table orbit.settings (
  id bigint generated always as identity primary key,
  organization_id uuid references orbit.organizations (id) on delete cascade,
  project_id uuid references orbit.projects (id) on delete cascade,
  environment_id uuid references orbit.environments (id) on delete cascade,
  level text not null generated always as (case when environment_id is not null then 'environment' when project_id is not null then 'project'
      when organization_id is not null then 'organization' else 'installation' end) stored,
  name text not null references orbit.setting_definitions (name) on delete cascade,
  host text,
  value jsonb not null,
  updated_by uuid references orbit.users (id) on delete set null,
  updated_at timestamptz not null default now(),
  constraint settings_place_name_key unique nulls not distinct (organization_id, project_id, environment_id, name, host),
  constraint settings_place_check check ((project_id is null or organization_id is not null) and (environment_id is null or project_id is not null))
);
create index idx_settings_project_id on orbit.settings (project_id);
create index idx_settings_environment_id on orbit.settings (environment_id);
create index idx_settings_name on orbit.settings (name);
create index idx_settings_updated_by on orbit.settings (updated_by);
comment on table orbit.settings is 'What was set, and where.';
comment on column orbit.settings.id is 'In the order in which they were first set.';
comment on column orbit.settings.organization_id is 'Whose; null: of the installation, for all organisations.';
comment on column orbit.settings.project_id is 'Of which project; null: of the organisation as a whole.';
comment on column orbit.settings.environment_id is 'Of which environment of it; null: of the project as a whole.';
comment on column orbit.settings.level is 'installation | organization | project | environment: the narrowest of the columns before that is set.';
comment on column orbit.settings.name is 'What is set.';
comment on column orbit.settings.host is 'Of which target host, in lower case and without a port; null unless the definition takes one.';
comment on column orbit.settings.value is 'Of the definition''s type and in its range; JSON''s null: none, whatever wider levels say.';
comment on column orbit.settings.updated_by is 'Who set it last; null for administrative roles, or where the account is gone.';
comment on column orbit.settings.updated_at is 'When it was last set.';

alter table orbit.setting_definitions enable row level security;
alter table orbit.settings enable row level security;
grant select on orbit.setting_definitions, orbit.settings to authenticated;
grant all on orbit.setting_definitions, orbit.settings to service_role;
create policy setting_definitions_select on orbit.setting_definitions for select to authenticated using (true);
create policy settings_select on orbit.settings for select to authenticated using (
  organization_id is null
  or project_id is null and organization_id = any (array(select orbit_private.my_organization_ids('setting.read')))
  or project_id = any (array(select orbit_private.my_project_ids('setting.read'))));
select orbit_private.audited('orbit.settings', 'setting');

-- What holds -----------------------------------------------------------------------------------------------------------------------

create function orbit_private.settings_at(p_organization_id uuid, p_project_id uuid, p_environment_id uuid)
returns table (name text, host text, value jsonb, level text, updated_at timestamptz, place bigint)
language plpgsql stable set search_path = '' as $$
begin
  return query select s.name, s.host, s.value, s.level, s.updated_at,
      row_number() over (partition by s.name, s.host order by array_position(array['environment', 'project', 'organization', 'installation'], s.level))
    from orbit.settings s
    where (s.organization_id is null or s.organization_id = p_organization_id) and (s.project_id is null or s.project_id = p_project_id)
      and (s.environment_id is null or s.environment_id = p_environment_id);
end $$;
comment on function orbit_private.settings_at is 'The one rule of precedence: of each setting at place 1 what holds there, after it, in order, what it hides.';
grant execute on function orbit_private.settings_at to authenticated, service_role;

create function orbit_private.setting_of(p_name text, p_organization_id uuid, p_project_id uuid default null, p_environment_id uuid default null, p_host text default null)
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return nullif(coalesce(
    (select s.value from orbit_private.settings_at(p_organization_id, p_project_id, p_environment_id) s
       where s.name = p_name and s.host is not distinct from p_host and s.place = 1),
    (select d.default_value from orbit.setting_definitions d where d.name = p_name)), 'null');
end $$;
comment on function orbit_private.setting_of is 'What one setting is there, its default included; null: none.';

create function orbit_private.settings_for_start(p_organization_id uuid, p_environment_id uuid, p_project_id uuid default null)
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  if not exists (select from orbit.settings) then
    return '{}';
  end if;
  return (
    select coalesce(jsonb_object_agg(split_part(s.name, '.', 2), s.value), '{}')
      from orbit_private.settings_at(p_organization_id, coalesce(p_project_id, (select e.project_id from orbit.environments e where e.id = p_environment_id)), p_environment_id) s
      where s.place = 1 and s.name like 'run.%' and s.value <> 'null');
end $$;
comment on function orbit_private.settings_for_start is 'What was set of run.*, as fields of orbit.start_run: {timeout?, priority?, concurrency?, fail_fast?}.';

create function orbit_private.with_settings(p_request jsonb, p_organization_id uuid, p_project_id uuid, p_environment_id uuid)
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return p_request || (
    select coalesce(jsonb_object_agg(s.key, s.value), '{}') from jsonb_each(orbit_private.settings_for_start(p_organization_id, p_environment_id, p_project_id)) s
      where coalesce(p_request -> s.key, 'null') = 'null');
end $$;
comment on function orbit_private.with_settings is 'A request to start a run, with what was set where it is silent.';

create function orbit_private.group_settings(p_organization_id uuid, p_project_id uuid)
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_object_agg(split_part(s.name, '.', 2), s.value), '{}')
      from orbit_private.settings_at(p_organization_id, p_project_id, null) s where s.place = 1 and s.name like 'group.%');
end $$;
comment on function orbit_private.group_settings is 'What was set of group.*, as fields of a start''s group: {wait?, size?, spread?}.';

-- What may be set ------------------------------------------------------------------------------------------------------------------

create function orbit_private.setting_range(p_definition orbit.setting_definitions)
returns text language plpgsql immutable set search_path = '' as $$
begin
  return case p_definition.value_type
      when 'boolean' then 'true or false'
      when 'rate' then format('{per_second, burst?}: a number between %s and %s, and a whole number between 1 and 100000', p_definition.minimum, p_definition.maximum)
      else format('a %s between %s and %s', case p_definition.value_type when 'integer' then 'whole number' else 'number' end, p_definition.minimum, p_definition.maximum) end
    || coalesce(' ' || case when p_definition.value_type <> 'rate' then format('(%s)', p_definition.unit) end, '')
    || case when p_definition.default_value is null then ', or none' else '' end;
end $$;
comment on function orbit_private.setting_range is 'In words, which values a setting takes.';

create function orbit_private.tg_check_setting()
returns trigger language plpgsql set search_path = '' as $$
declare v_definition orbit.setting_definitions; v_level text; v_fits boolean; v_full text;
begin
  select * into v_definition from orbit.setting_definitions d where d.name = new.name;
  if not found or v_definition.takes_host <> (new.host is not null) then
    perform orbit_private.refuse('OR001', format('there is no setting %s', left(new.name || coalesce(':' || new.host, ''), 100)),
      format('there are: %s', (select string_agg(d.name || case when d.takes_host then ':<host>' else '' end, ', ' order by d.name) from orbit.setting_definitions d)));
  end if;
  v_full := new.name || coalesce(':' || new.host, '');
  if new.host is not null and not (length(new.host) <= 253 and (new.host ~ '^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$'
       or new.host ~ '^\[[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*\]$')) then
    perform orbit_private.refuse('OR001', format('%s is no host', left(new.host, 100)), format('of the setting %s', new.name),
      'The host alone, in lower case: no scheme, port, path or pattern; other letters in the form xn--….');
  end if;
  v_level := case when new.environment_id is not null then 'environment' when new.project_id is not null then 'project'
               when new.organization_id is not null then 'organization' else 'installation' end;
  if not v_level = any (v_definition.levels) then
    perform orbit_private.refuse('OR001', format('%s is not set for %s', v_full, case v_level when 'installation' then 'the installation' when 'project' then 'a project'
      else 'an ' || replace(v_level, 'z', 's') end), format('it is set for: %s', array_to_string(v_definition.levels, ', ')));
  end if;
  v_fits := case
    when new.value = 'null' then v_definition.default_value is null
    when v_definition.value_type = 'boolean' then jsonb_typeof(new.value) = 'boolean'
    when v_definition.value_type = 'rate' then
      case when jsonb_typeof(new.value) = 'object' and jsonb_typeof(new.value -> 'per_second') = 'number' and jsonb_typeof(new.value -> 'burst') = 'number'
             and new.value - array['per_second', 'burst'] = '{}'
        then (new.value -> 'per_second')::numeric between v_definition.minimum::numeric and v_definition.maximum::numeric
          and (new.value -> 'burst')::numeric between 1 and 100000 and (new.value -> 'burst')::numeric % 1 = 0
        else false end
    when jsonb_typeof(new.value) = 'number' then
      new.value::numeric between v_definition.minimum::numeric and v_definition.maximum::numeric and (v_definition.value_type = 'number' or new.value::numeric % 1 = 0)
    else false end;
  if not v_fits then
    perform orbit_private.refuse('OR001', format('%s cannot be %s', v_full, left(new.value::text, 60)), format('it is %s', orbit_private.setting_range(v_definition)));
  end if;
  return new;
end $$;
comment on function orbit_private.tg_check_setting is 'OR001, naming the setting and what it takes, for what does not fit its definition.';
create trigger "200_check" before insert or update on orbit.settings for each row execute function orbit_private.tg_check_setting();

-- Gates ------------------------------------------------------------------------------------------------------------------------------

-- Definer: gates are the queue's.
create function orbit_private.apply_gates(p_name text, p_host text, p_organization_id uuid, p_project_id uuid, p_environment_id uuid)
returns void language plpgsql security definer set search_path = '' as $$
-- In one order, so that two who do it never wait for each other crosswise.
declare v_id uuid; v_place record; v_cap int; v_rate jsonb;
begin
  if p_name = 'concurrency.environment' then
    for v_place in
      select e.id, e.organization_id, e.project_id from orbit.environments e
        where (p_organization_id is null or e.organization_id = p_organization_id) and (p_project_id is null or e.project_id = p_project_id)
          and (p_environment_id is null or e.id = p_environment_id) order by e.organization_id, e.id
    loop
      v_cap := orbit_private.setting_of(p_name, v_place.organization_id, v_place.project_id, v_place.id)::int;
      perform orbit_private.set_gate(v_place.organization_id, 'environment', v_place.id::text, v_cap, null, null);
    end loop;
  elsif p_name in ('concurrency.organization', 'concurrency.host', 'rate.host') then
    for v_id in select o.id from orbit.organizations o where p_organization_id is null or o.id = p_organization_id order by o.id loop
      if p_host is null then
        perform orbit_private.set_gate(v_id, 'organization', '', orbit_private.setting_of(p_name, v_id)::int, null, null);
      else
        v_cap := orbit_private.setting_of('concurrency.host', v_id, p_host => p_host)::int;
        v_rate := orbit_private.setting_of('rate.host', v_id, p_host => p_host);
        perform orbit_private.set_gate(v_id, 'host', p_host, v_cap, (v_rate ->> 'per_second')::float8, (v_rate ->> 'burst')::int);
      end if;
    end loop;
  end if;
end $$;
comment on function orbit_private.apply_gates is 'Makes the queue''s gates those that the settings mean, for a cap or rate and wherever it may hold: null stands for all.';

-- Definer: as apply_gates.
create function orbit_private.tg_apply_gates()
returns trigger language plpgsql security definer set search_path = '' as $$
declare v orbit.settings := case tg_op when 'DELETE' then old else new end;
begin
  if tg_op = 'UPDATE' and new.value = old.value then
    return null;
  end if;
  perform orbit_private.apply_gates(v.name, v.host, v.organization_id, v.project_id, v.environment_id);
  return null;
end $$;
comment on function orbit_private.tg_apply_gates is 'After a setting changed: its gates too.';
create trigger "500_gates" after insert or update or delete on orbit.settings for each row execute function orbit_private.tg_apply_gates();

-- Definer: as apply_gates.
create function orbit_private.tg_gates_of_place()
returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    if exists (select from orbit.organizations o where o.id = old.organization_id) and exists (select from orbit.settings s where s.name = 'concurrency.environment') then
      perform orbit_private.set_gate(old.organization_id, 'environment', old.id::text, null, null, null);
    end if;
  elsif tg_table_name = 'environments' then
    if exists (select from orbit.settings s where s.name = 'concurrency.environment') then
      perform orbit_private.apply_gates('concurrency.environment', null, new.organization_id, new.project_id, new.id);
    end if;
  else
    perform orbit_private.apply_gates(s.name, s.host, new.id, null, null)
      from orbit.settings s where s.organization_id is null and s.name in ('concurrency.organization', 'concurrency.host', 'rate.host') order by s.name, s.host;
  end if;
  return null;
end $$;
comment on function orbit_private.tg_gates_of_place is 'The gates that an organisation or environment is born with, and those that go with an environment.';
create trigger "500_gates" after insert on orbit.organizations for each row execute function orbit_private.tg_gates_of_place();
create trigger "500_gates" after insert or delete on orbit.environments for each row execute function orbit_private.tg_gates_of_place();

-- Reading and setting ----------------------------------------------------------------------------------------------------------------

create function orbit_private.settings_told(p_organization_id uuid, p_project_id uuid, p_environment_id uuid)
returns table (name text, told jsonb) language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
begin
  return query
    with held as (select * from orbit_private.settings_at(p_organization_id, p_project_id, p_environment_id)),
    hidden as (
      select h.name, h.host, jsonb_agg(jsonb_build_object('source', h.level, 'value', h.value) order by h.place) as shadows
        from held h where h.place > 1 group by h.name, h.host)
    select f.full_name, jsonb_build_object('name', f.full_name, 'value', coalesce(h.value, d.default_value), 'source', coalesce(h.level, 'default'),
        'shadows', coalesce(x.shadows, '[]')
          || case when h.level is not null and d.default_value is not null then jsonb_build_array(jsonb_build_object('source', 'default', 'value', d.default_value)) else '[]' end,
        'type', d.value_type, 'unit', d.unit, 'minimum', d.minimum, 'maximum', d.maximum, 'levels', d.levels, 'description', d.description, 'updated_at', h.updated_at)
      from orbit.setting_definitions d left join held h on h.name = d.name and h.place = 1
        left join hidden x on x.name = h.name and x.host is not distinct from h.host
        cross join lateral (select d.name || coalesce(':' || h.host, '') as full_name) f
      where not d.takes_host or h.name is not null;
end $$;
comment on function orbit_private.settings_told is 'Every setting as callers see it, by its full name; those of hosts only where they are set.';
grant execute on function orbit_private.settings_told to authenticated, service_role;

-- Definer: it may make the organisation `default`, for administrative roles.
create function orbit_private.setting_place(p_request jsonb, p_action text, out organization_id uuid, out project_id uuid, out environment_id uuid)
language plpgsql security definer set search_path = '' as $$
declare v_place orbit_private.variable_place; v_scope text;
begin
  if coalesce((p_request ->> 'all')::boolean, false) then
    if p_request ->> 'organization' is not null or p_request ->> 'project' is not null or p_request ->> 'environment' is not null then
      perform orbit_private.refuse('OR001', 'all is the installation as a whole', '', 'Leave out organization, project and environment, or all.');
    end if;
    if not orbit_private.caller_is_trusted() then
      perform orbit_private.refuse('OR003', 'settings of the installation are changed by those who run the database', '', 'It takes the service role, or the owner of the schema.');
    end if;
    return;
  end if;
  v_scope := case when p_request ->> 'environment' is not null then 'environment' when p_request ->> 'project' is not null then 'project' else 'global' end;
  -- What is named must be there; what a laptop means that names nothing is made at the first save, and this is one.
  v_place := orbit_private.variable_place_of(p_request, v_scope, case when v_scope = 'global' and p_request ->> 'organization' is null then p_action end);
  organization_id := v_place.organization_id;
  project_id := v_place.project_id;
  environment_id := v_place.environment_id;
  perform orbit_private.require(p_action, case v_scope when 'global' then 'organization' else v_scope end, coalesce(environment_id, project_id, organization_id));
end $$;
comment on function orbit_private.setting_place is 'The place that a request names: {organization?, project?, environment?} or {all: true}; OR002, OR003 unless the caller may do this there.';

create function orbit_private.setting_name(p_request jsonb, out name text, out host text)
language plpgsql immutable set search_path = '' as $$
declare v_full text := orbit_private.required(p_request, 'name');
begin
  name := split_part(v_full, ':', 1);
  host := case when position(':' in v_full) > 0 then lower(substr(v_full, position(':' in v_full) + 1)) end;
end $$;
comment on function orbit_private.setting_name is 'The parts of a setting''s name: rate.host:API.example → rate.host, api.example.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.set_setting(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_place record; v_name record; v_value jsonb := p_request -> 'value';
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'all', 'project', 'environment', 'name', 'value']);
  v_name := orbit_private.setting_name(p_request);
  v_place := orbit_private.setting_place(p_request - array['name', 'value'], 'setting.write');
  v_value := case when v_value = '"none"' then 'null' when coalesce(v_value, 'null') = 'null' then '""' else v_value end;
  if jsonb_typeof(v_value) = 'object' and v_value -> 'burst' is null and jsonb_typeof(v_value -> 'per_second') = 'number' then
    v_value := v_value || jsonb_build_object('burst', least(greatest(1, ceil((v_value -> 'per_second')::numeric)), 100000));
  end if;
  insert into orbit.settings as s (organization_id, project_id, environment_id, name, host, value, updated_by)
    values (v_place.organization_id, v_place.project_id, v_place.environment_id, v_name.name, v_name.host, v_value, (select auth.uid()))
    on conflict on constraint settings_place_name_key do update set value = excluded.value, updated_by = excluded.updated_by, updated_at = now()
      where s.value <> excluded.value;
  return (select t.told from orbit_private.settings_told(v_place.organization_id, v_place.project_id, v_place.environment_id) t
            where t.name = v_name.name || coalesce(':' || v_name.host, ''));
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.set_setting is 'See orbit.set_setting.';

create function orbit.set_setting(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.set_setting(p_request) $$;
comment on function orbit.set_setting is
  'Sets something for the narrowest place that is named: {organization?, project?, environment? | all?: true (the installation), name, value}. value: as the definition says; a rate is {per_second, burst? = what comes in a second}; "none" lifts what wider places say. Answers it as list_settings does. OR001 names the setting and what it takes; OR003: setting.write, for the installation an administrative role.';

-- Definer: as set_setting.
create function orbit_private.unset_setting(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_place record; v_name record;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'all', 'project', 'environment', 'name']);
  v_name := orbit_private.setting_name(p_request);
  v_place := orbit_private.setting_place(p_request - 'name', 'setting.write');
  delete from orbit.settings s
    where s.organization_id is not distinct from v_place.organization_id and s.project_id is not distinct from v_place.project_id
      and s.environment_id is not distinct from v_place.environment_id and s.name = v_name.name and s.host is not distinct from v_name.host;
  if not found then
    perform orbit_private.refuse('OR002', format('%s is not set there', left(p_request ->> 'name', 100)), '', 'Look where it is: orbit config show, or orbit.list_settings.');
  end if;
  return jsonb_build_object('deleted', true);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.unset_setting is 'See orbit.unset_setting.';

create function orbit.unset_setting(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.unset_setting(p_request) $$;
comment on function orbit.unset_setting is 'Takes back what was set at one place: {organization?, project?, environment? | all?: true, name} → {deleted}; what a wider place says holds again. OR002 where it is not set there.';

create function orbit.list_settings(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_project orbit.projects; v_organization_id uuid; v_environment orbit.environments;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'all', 'project', 'environment']);
  if coalesce((p_request ->> 'all')::boolean, false) then
    if p_request ->> 'organization' is not null or p_request ->> 'project' is not null or p_request ->> 'environment' is not null then
      perform orbit_private.refuse('OR001', 'all is the installation as a whole', '', 'Leave out organization, project and environment, or all.');
    end if;
  elsif p_request ->> 'project' is not null or p_request ->> 'environment' is not null then
    v_project := orbit_private.project_of(p_request);
    v_organization_id := v_project.organization_id;
    perform orbit_private.require('setting.read', 'project', v_project.id);
    if p_request ->> 'environment' is not null then
      select e.* into v_environment from orbit.environments e where e.project_id = v_project.id and e.name = p_request ->> 'environment';
      if not found then
        perform orbit_private.refuse('OR002', format('no environment %s in project %s', left(p_request ->> 'environment', 60), v_project.slug), '',
          'List them: orbit env list, or orbit.list_environments.');
      end if;
    end if;
  elsif not orbit_private.nothing_saved(p_request) then
    v_organization_id := orbit_private.organization_of(p_request);
    perform orbit_private.require('setting.read', 'organization', v_organization_id);
  end if;
  return jsonb_build_object('organization', (select o.slug from orbit.organizations o where o.id = v_organization_id), 'project', v_project.slug, 'environment', v_environment.name,
    'settings', (select jsonb_agg(t.told order by t.name collate "C") from orbit_private.settings_told(v_organization_id, v_project.id, v_environment.id) t));
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit.list_settings is
  'What holds at a place: {organization?, project?, environment? | all?: true (the installation)} → {organization, project, environment, settings: [{name, value (null: none), source: default | installation | organization | project | environment, shadows: [{source, value}], type: integer | number | boolean | rate, unit, minimum, maximum, levels, description, updated_at}]}. Of hosts those that are set.';

grant execute on function orbit.set_setting, orbit.unset_setting, orbit.list_settings, orbit_private.set_setting, orbit_private.unset_setting to authenticated, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
