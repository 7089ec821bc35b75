-- Configuration: environments and their variables.

create table orbit.environments (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  project_id uuid not null references orbit.projects (id) on delete cascade,
  name text not null,
  description text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint environments_project_id_name_key unique (project_id, name)
);
create index idx_environments_organization_id on orbit.environments (organization_id);
comment on table orbit.environments is 'Where a project''s tests run: local, staging, production.';

create table orbit.environment_variables (
  id uuid primary key default gen_random_uuid(),
  project_id uuid not null references orbit.projects (id) on delete cascade,
  environment_id uuid not null references orbit.environments (id) on delete cascade,
  name text not null,
  value jsonb not null,
  is_secret boolean not null default false,
  description text,
  updated_at timestamptz not null default now(),
  constraint environment_variables_environment_id_name_key unique (environment_id, name),
  -- A secret is sealed by the client: neither its text nor its key ever passes through SQL.
  constraint environment_variables_secret_is_sealed_check check (not is_secret or (value #>> '{}') like 'orbit.seal.v1.%')
);
create index idx_environment_variables_project_id on orbit.environment_variables (project_id);
comment on table orbit.environment_variables is 'Variables of an environment; the value of a secret is sealed (orbit.seal.v1.…).';

alter table orbit.environments enable row level security;
alter table orbit.environment_variables enable row level security;
grant select on orbit.environments, orbit.environment_variables to authenticated;
grant all on orbit.environments, orbit.environment_variables to service_role;
create policy environments_select on orbit.environments for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));
create policy environment_variables_select on orbit.environment_variables for select to authenticated
  using (project_id = any (array(select orbit_private.my_project_ids())));

-- Definer: it writes tables that callers may only read, after ensure_project().
create function orbit_private.save_environment(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_name text := orbit_private.required(p_request, 'name');
  v_project orbit.projects; v_id uuid; v_bad text;
begin
  v_project := orbit_private.ensure_project(p_request, 'environment.write');
  insert into orbit.environments as e (organization_id, project_id, name, description)
    values (v_project.organization_id, v_project.id, v_name, p_request ->> 'description')
    on conflict (project_id, name) do update set description = coalesce(excluded.description, e.description), updated_at = now()
    returning id into v_id;
  select v ->> 'name' into v_bad from jsonb_array_elements(coalesce(p_request -> 'variables', '[]')) v
    where coalesce((v ->> 'secret')::boolean, false) and (v ->> 'value') is not null and (v ->> 'value') not like 'orbit.seal.v1.%' limit 1;
  if found then
    perform orbit_private.refuse('OR001', format('the secret %s is not sealed', v_bad), '', 'Seal it with the project''s key before it is sent.');
  end if;
  insert into orbit.environment_variables as o (project_id, environment_id, name, value, is_secret, description)
    select v_project.id, v_id, v ->> 'name', coalesce(v -> 'value', 'null'), coalesce((v ->> 'secret')::boolean, false),
           v ->> 'description'
      from jsonb_array_elements(coalesce(p_request -> 'variables', '[]')) v
    on conflict (environment_id, name) do update set value = excluded.value, is_secret = excluded.is_secret,
      description = excluded.description, updated_at = now()
      where (o.value, o.is_secret, o.description) is distinct from (excluded.value, excluded.is_secret, excluded.description);
  delete from orbit.environment_variables o where o.environment_id = v_id and coalesce((p_request ->> 'replace')::boolean, true)
    and not exists (select from jsonb_array_elements(coalesce(p_request -> 'variables', '[]')) v where v ->> 'name' = o.name);
  return jsonb_build_object('environment_id', v_id, 'project_id', v_project.id);
exception when data_exception or check_violation or not_null_violation or cardinality_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;

create function orbit.save_environment(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_environment(p_request) $$;
comment on function orbit.save_environment is
  'Saves an environment: {organization?, project?, name, description?, variables: [{name, value, secret?, description?}], replace?: true}. A secret''s value arrives sealed. Answers {environment_id, project_id}.';

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
    'variables', coalesce((select jsonb_agg(jsonb_build_object('name', v.name, 'value', v.value, 'secret', v.is_secret) order by v.name)
                             from orbit.environment_variables v where v.environment_id = v_environment.id), '[]'));
end $$;
comment on function orbit.get_environment is 'An environment by {organization?, project?, name}: {environment_id, name, description, variables: [{name, value, secret}]}; secrets stay sealed. OR002 lists what there is.';

grant execute on function orbit_private.save_environment, orbit.save_environment, orbit.get_environment to authenticated, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
