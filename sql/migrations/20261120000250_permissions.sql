-- Permissions: the one place that says who may do what. Policies, functions and explanations all ask the three views below.
--
--   actions                  what can be done, and the role it takes
--   permission_assignments   what somebody was given beyond their membership, by whom, until when
--   *_access (views)         every way in which somebody has a role somewhere, with its origin
--
-- Roles are ordered: viewer < editor < admin < owner.

create function orbit_private.rank_of(p_role text)
returns int language sql immutable set search_path = '' as $$
  select array_position(array['viewer', 'editor', 'admin', 'owner'], p_role)
$$;
comment on function orbit_private.rank_of is 'A role''s place in the order, 1 to 4; null for what is none.';

create function orbit_private.roles_from(p_role text)
returns text[] language sql immutable set search_path = '' as $$
  select (array['viewer', 'editor', 'admin', 'owner'])[orbit_private.rank_of(p_role):]
$$;
comment on function orbit_private.roles_from is 'This role and those above it.';

create table orbit.actions (
  name text primary key,
  level text not null,
  role text not null,
  description text not null,
  permissions text[] not null generated always as (orbit_private.roles_from(role) || name) stored,
  constraint actions_level_check check (level in ('organization', 'business_unit', 'project')),
  constraint actions_role_check check (role in ('owner', 'admin', 'editor', 'viewer'))
);
comment on table orbit.actions is 'What can be done, where, and the least role it takes.';
comment on column orbit.actions.name is 'What policies and functions ask for: thing.verb.';
comment on column orbit.actions.level is 'Whose role counts: the organisation''s, the business unit''s or the project''s. What is of projects may be asked of a whole unit or organisation too, and then its role counts.';
comment on column orbit.actions.role is 'The least role that may.';
comment on column orbit.actions.description is 'In a sentence, for people who grant it.';
comment on column orbit.actions.permissions is 'Whoever has one of these may: the roles that suffice, and the action''s own name.';

insert into orbit.actions (name, level, role, description) values
  ('organization.read', 'organization', 'viewer', 'See the organisation and its members.'),
  ('organization.write', 'organization', 'admin', 'Rename the organisation.'),
  ('organization.delete', 'organization', 'owner', 'Delete the organisation with all it holds.'),
  ('member.write', 'organization', 'admin', 'Invite people, change their roles, take them off the list.'),
  ('permission.write', 'project', 'admin', 'Grant and revoke what one may do there oneself; see who else may.'),
  ('audit.read', 'organization', 'admin', 'Read and verify the audit log.'),
  ('limit.read', 'organization', 'viewer', 'See the limits and what is used of them.'),
  ('project.create', 'organization', 'editor', 'Make a project.'),
  ('business_unit.create', 'organization', 'admin', 'Make a business unit.'),
  ('business_unit.read', 'business_unit', 'viewer', 'See a business unit and its members.'),
  ('business_unit.write', 'business_unit', 'admin', 'Rename a business unit, change its members, make projects in it.'),
  ('project.read', 'project', 'viewer', 'See a project: suites, environments, runs, results.'),
  ('project.write', 'project', 'admin', 'Rename, move or delete a project.'),
  ('suite.write', 'project', 'editor', 'Save suites.'),
  ('run.start', 'project', 'editor', 'Start runs.'),
  ('run.control', 'project', 'editor', 'Cancel runs and write their context.'),
  ('environment.write', 'project', 'admin', 'Save and delete environments.'),
  ('variable.write', 'project', 'admin', 'Define and delete variables.'),
  ('setting.read', 'project', 'viewer', 'See the settings that hold.'),
  ('setting.write', 'project', 'admin', 'Change settings: defaults of runs, caps, rates.'),
  ('secret.write', 'project', 'admin', 'Set, replace and delete secrets.'),
  ('secret.read', 'project', 'admin', 'See the value of a secret; each look is in the audit log.'),
  ('fixture.write', 'project', 'editor', 'Save and delete data sets.'),
  ('report_template.write', 'project', 'editor', 'Save and delete report templates.'),
  ('schedule.write', 'project', 'editor', 'Make, pause and delete schedules.'),
  ('channel.write', 'project', 'admin', 'Say who is notified of what.'),
  ('token.write', 'project', 'admin', 'Make and revoke trigger tokens.'),
  ('worker.token', 'organization', 'admin', 'Make, see and revoke worker tokens.');

create table orbit.permission_assignments (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid references orbit.organizations (id) on delete cascade,
  user_id uuid not null references orbit.users (id) on delete cascade,
  permission_type text not null,
  resource_type text not null,
  resource_id uuid,
  granted_by uuid references orbit.users (id) on delete set null,
  granted_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_by uuid references orbit.users (id) on delete set null,
  revoked_at timestamptz,
  -- Whoever leaves the organisation loses what was granted in it.
  constraint permission_assignments_member_fkey foreign key (organization_id, user_id)
    references orbit.organization_members (organization_id, user_id) on delete cascade,
  constraint permission_assignments_resource_type_check check (resource_type in ('system', 'business_unit', 'project', 'environment', 'suite')),
  constraint permission_assignments_system_has_no_resource_check check (
    (resource_type = 'system') = (resource_id is null) and (resource_type = 'system') = (organization_id is null)),
  -- Nobody is made an owner by a grant.
  constraint permission_assignments_permission_type_check check (permission_type in ('viewer', 'editor', 'admin') or permission_type like '%_.%_'),
  constraint permission_assignments_expires_after_grant_check check (expires_at > granted_at),
  constraint permission_assignments_revoked_check check (revoked_by is null or revoked_at is not null)
);
-- One living grant of a kind; what was revoked stays as history.
create unique index permission_assignments_living_key on orbit.permission_assignments (user_id, resource_type, resource_id, permission_type) nulls not distinct
  where revoked_at is null;
create index idx_permission_assignments_resource_id on orbit.permission_assignments (resource_id);
create index idx_permission_assignments_user_id on orbit.permission_assignments (user_id);
create index idx_permission_assignments_organization_id on orbit.permission_assignments (organization_id, user_id);
create index idx_permission_assignments_granted_by on orbit.permission_assignments (granted_by);
create index idx_permission_assignments_revoked_by on orbit.permission_assignments (revoked_by);
comment on table orbit.permission_assignments is 'What somebody was given beyond their membership.';
comment on column orbit.permission_assignments.id is 'Drawn at random.';
comment on column orbit.permission_assignments.organization_id is 'The organisation of the resource; null for the whole system.';
comment on column orbit.permission_assignments.user_id is 'Who was given it; a member of that organisation.';
comment on column orbit.permission_assignments.permission_type is 'A role (viewer, editor, admin) or the name of one action.';
comment on column orbit.permission_assignments.resource_type is 'Of what. Granted on an environment or a suite, it raises what may be done there by somebody who sees the project; it opens no project.';
comment on column orbit.permission_assignments.resource_id is 'Of which; null for the whole system.';
comment on column orbit.permission_assignments.granted_by is 'Who gave it; null where an administrative role did, or the account is gone.';
comment on column orbit.permission_assignments.granted_at is 'When.';
comment on column orbit.permission_assignments.expires_at is 'Until when; null: until it is revoked.';
comment on column orbit.permission_assignments.revoked_by is 'Who took it back.';
comment on column orbit.permission_assignments.revoked_at is 'When it was taken back.';

-- Who has which role where, and why ------------------------------------------------------------------------------------------

create view orbit_private.living_grant with (security_invoker = true) as
  select g.*, orbit_private.rank_of(g.permission_type) as rank from orbit.permission_assignments g
    where g.revoked_at is null and (g.expires_at is null or g.expires_at > statement_timestamp());
comment on view orbit_private.living_grant is 'Grants that hold now; rank is null where one action was granted.';

create view orbit_private.organization_access with (security_invoker = true) as
  select m.organization_id, m.user_id, orbit_private.rank_of(m.role) as rank, null::text as action,
         'organization' as via, m.role as permission, null::uuid as grant_id
    from orbit.organization_members m
  union all
  select o.id, g.user_id, g.rank, g.permission_type, 'system', g.permission_type, g.id
    from orbit_private.living_grant g cross join orbit.organizations o where g.resource_type = 'system';
comment on view orbit_private.organization_access is 'Every way in which somebody has a role, or one action, in an organisation.';

create view orbit_private.business_unit_access with (security_invoker = true) as
  select u.id as business_unit_id, m.user_id, orbit_private.rank_of(m.role) as rank, null::text as action,
         'organization' as via, m.role as permission, null::uuid as grant_id
    from orbit.organization_members m join orbit.business_units u on u.organization_id = m.organization_id where m.role in ('owner', 'admin')
  union all
  select b.business_unit_id, b.user_id, orbit_private.rank_of(b.role), null, 'business_unit', b.role, null
    from orbit.business_unit_members b
  union all
  select g.resource_id, g.user_id, g.rank, g.permission_type, 'business_unit', g.permission_type, g.id
    from orbit_private.living_grant g where g.resource_type = 'business_unit'
  union all
  select u.id, g.user_id, g.rank, g.permission_type, 'system', g.permission_type, g.id
    from orbit_private.living_grant g cross join orbit.business_units u where g.resource_type = 'system';
comment on view orbit_private.business_unit_access is 'Every way in which somebody has a role, or one action, in a business unit.';

create view orbit_private.project_access with (security_invoker = true) as
  select p.id as project_id, m.user_id, orbit_private.rank_of(m.role) as rank, null::text as action,
         'organization' as via, m.role as permission, null::uuid as grant_id
    from orbit.organization_members m join orbit.projects p on p.organization_id = m.organization_id
    where p.business_unit_id is null or m.role in ('owner', 'admin')
  union all
  select p.id, b.user_id, orbit_private.rank_of(b.role), null, 'business_unit', b.role, null
    from orbit.business_unit_members b join orbit.projects p on p.business_unit_id = b.business_unit_id
  union all
  select p.id, g.user_id, g.rank, g.permission_type, 'business_unit', g.permission_type, g.id
    from orbit_private.living_grant g join orbit.projects p on p.business_unit_id = g.resource_id where g.resource_type = 'business_unit'
  union all
  select g.resource_id, g.user_id, g.rank, g.permission_type, 'project', g.permission_type, g.id
    from orbit_private.living_grant g where g.resource_type = 'project'
  union all
  select p.id, g.user_id, g.rank, g.permission_type, 'system', g.permission_type, g.id
    from orbit_private.living_grant g cross join orbit.projects p where g.resource_type = 'system';
comment on view orbit_private.project_access is 'Every way in which somebody has a role, or one action, in a project.';

-- What policies ask ----------------------------------------------------------------------------------------------------------

-- Used as `= any (array(select …))`: asked once a statement, and an index condition where there is an index.
-- plpgsql: keeps its plans, which an SQL function would make anew in each statement. Compared by permission, as the rows have it, not
-- by rank: calling rank_of was two thirds of the 0.6 ms that such a question took.

-- Definer: what it reads is protected by policies that ask it.
create function orbit_private.my_organization_ids(p_action text default 'organization.read')
returns setof uuid language plpgsql stable security definer set search_path = '' as $$
begin
  return query select distinct x.organization_id from orbit_private.organization_access x
    where x.user_id = (select auth.uid())
      and x.permission = any ((select a.permissions from orbit.actions a where a.name = p_action)::text[]);
end $$;
comment on function orbit_private.my_organization_ids is 'The organisations in which the signed-in user may do this.';

-- Definer: what it reads is protected by policies that ask it.
create function orbit_private.my_business_unit_ids(p_action text default 'business_unit.read')
returns setof uuid language plpgsql stable security definer set search_path = '' as $$
begin
  return query select distinct x.business_unit_id from orbit_private.business_unit_access x
    where x.user_id = (select auth.uid())
      and x.permission = any ((select a.permissions from orbit.actions a where a.name = p_action)::text[]);
end $$;
comment on function orbit_private.my_business_unit_ids is 'The business units in which the signed-in user may do this.';

-- Definer: what it reads is protected by policies that ask it.
create function orbit_private.my_project_ids(p_action text default 'project.read')
returns setof uuid language plpgsql stable security definer set search_path = '' as $$
begin
  return query select distinct x.project_id from orbit_private.project_access x
    where x.user_id = (select auth.uid())
      and x.permission = any ((select a.permissions from orbit.actions a where a.name = p_action)::text[]);
end $$;
comment on function orbit_private.my_project_ids is 'The projects in which the signed-in user may do this.';

grant execute on function orbit_private.my_organization_ids, orbit_private.my_business_unit_ids, orbit_private.my_project_ids to authenticated, service_role;

-- What functions ask ---------------------------------------------------------------------------------------------------------

-- Definer: it looks before anybody knows whether the caller may.
create function orbit_private.place_of(p_resource_type text, p_resource_id uuid,
  out organization_id uuid, out business_unit_id uuid, out project_id uuid)
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_resource_type = 'organization' then
    select o.id into organization_id from orbit.organizations o where o.id = p_resource_id;
    return;
  elsif p_resource_type = 'business_unit' then
    select u.organization_id, u.id into organization_id, business_unit_id from orbit.business_units u where u.id = p_resource_id;
    return;
  elsif p_resource_type = 'project' then
    project_id := p_resource_id;
  elsif p_resource_type = 'environment' then
    select e.project_id into project_id from orbit.environments e where e.id = p_resource_id;
  elsif p_resource_type = 'suite' then
    select s.project_id into project_id from orbit.test_suites s where s.id = p_resource_id;
  elsif p_resource_type = 'run' then
    select r.project_id into project_id from orbit.test_runs r where r.id = p_resource_id;
  elsif p_resource_type is distinct from 'system' then
    perform orbit_private.refuse('OR001', format('%s is no kind of resource', left(p_resource_type, 60)), '',
      'There are: system, organization, business_unit, project, environment, suite, run.');
  end if;
  select p.organization_id, p.business_unit_id, p.id into organization_id, business_unit_id, project_id
    from orbit.projects p where p.id = project_id;
end $$;
comment on function orbit_private.place_of is 'Where a resource lies; all null where there is none.';

-- Definer: it tells of memberships and grants; called by functions that decide what of it the caller hears.
create function orbit_private.access_of(p_user_id uuid, p_action text, p_resource_type text, p_resource_id uuid)
returns table (via text, permission text, rank int, grant_id uuid, suffices boolean)
language plpgsql stable security definer set search_path = '' as $$
declare v_action orbit.actions; v_place record; v_least int; v_sees boolean;
begin
  select * into v_action from orbit.actions a where a.name = p_action;
  if not found then
    perform orbit_private.refuse('OR001', format('there is no action %s', left(p_action, 60)),
      format('there are: %s', (select string_agg(a.name, ', ' order by a.name) from orbit.actions a)));
  end if;
  v_place := orbit_private.place_of(p_resource_type, p_resource_id);
  v_least := orbit_private.rank_of(v_action.role);
  if p_resource_type = 'system' then
    return query select 'system'::text, g.permission_type, g.rank, g.id, coalesce(g.rank >= v_least, false) or g.permission_type = p_action
      from orbit_private.living_grant g where g.user_id = p_user_id and g.resource_type = 'system';
  elsif v_action.level = 'organization' then
    return query select x.via, x.permission, x.rank, x.grant_id, coalesce(x.rank >= v_least, false) or coalesce(x.action = p_action, false)
      from orbit_private.organization_access x where x.user_id = p_user_id and x.organization_id = v_place.organization_id;
  elsif v_action.level = 'business_unit' then
    -- Of a project: of the unit that it belongs to. Of an organisation as a whole: by those whose role there counts in every unit.
    return query select x.via, x.permission, x.rank, x.grant_id, coalesce(x.rank >= v_least, false) or coalesce(x.action = p_action, false)
      from orbit_private.business_unit_access x where x.user_id = p_user_id and x.business_unit_id = v_place.business_unit_id;
    if v_place.business_unit_id is null then
      return query select x.via, x.permission, x.rank, x.grant_id,
          (x.via = 'system' or x.permission in ('owner', 'admin')) and coalesce(x.rank >= v_least, false) or coalesce(x.action = p_action, false)
        from orbit_private.organization_access x where x.user_id = p_user_id and x.organization_id = v_place.organization_id;
    end if;
  elsif v_place.project_id is not null then
    return query select x.via, x.permission, x.rank, x.grant_id, coalesce(x.rank >= v_least, false) or coalesce(x.action = p_action, false)
      from orbit_private.project_access x where x.user_id = p_user_id and x.project_id = v_place.project_id;
    if p_resource_type in ('environment', 'suite') then
      v_sees := exists (select from orbit_private.project_access x where x.user_id = p_user_id and x.project_id = v_place.project_id
                          and (x.rank >= 1 or x.action = 'project.read'));
      return query select g.resource_type, g.permission_type, g.rank, g.id, v_sees and (coalesce(g.rank >= v_least, false) or g.permission_type = p_action)
        from orbit_private.living_grant g where g.user_id = p_user_id and g.resource_type = p_resource_type and g.resource_id = p_resource_id;
    end if;
  elsif v_place.business_unit_id is not null then
    return query select x.via, x.permission, x.rank, x.grant_id, coalesce(x.rank >= v_least, false) or coalesce(x.action = p_action, false)
      from orbit_private.business_unit_access x where x.user_id = p_user_id and x.business_unit_id = v_place.business_unit_id;
  else
    -- An action of projects, asked of their organisation as a whole.
    return query select x.via, x.permission, x.rank, x.grant_id, coalesce(x.rank >= v_least, false) or coalesce(x.action = p_action, false)
      from orbit_private.organization_access x where x.user_id = p_user_id and x.organization_id = v_place.organization_id;
  end if;
end $$;
comment on function orbit_private.access_of is 'Every role and grant that somebody has where a resource lies, and whether it suffices for the action. OR001 for an unknown action or kind of resource.';

-- Definer: as access_of.
create function orbit_private.may(p_action text, p_resource_type text, p_resource_id uuid)
returns boolean language plpgsql stable security definer set search_path = '' as $$
begin
  return orbit_private.caller_is_trusted()
    or exists (select from orbit_private.access_of((select auth.uid()), p_action, p_resource_type, p_resource_id) x where x.suffices);
end $$;
comment on function orbit_private.may is 'Whether the caller may do this there; administrative roles always may.';

-- Definer: as access_of.
create function orbit_private.sees(p_resource_type text, p_resource_id uuid)
returns boolean language plpgsql stable security definer set search_path = '' as $$
begin
  return orbit_private.may(case p_resource_type when 'organization' then 'organization.read' when 'business_unit' then 'business_unit.read'
                             else 'project.read' end, p_resource_type, p_resource_id);
end $$;
comment on function orbit_private.sees is 'Whether the caller may know that this is there. What is in a project is seen by who sees the project.';

-- Definer: as access_of.
create function orbit_private.require(p_action text, p_resource_type text, p_resource_id uuid)
returns void language plpgsql stable security definer set search_path = '' as $$
declare v_action orbit.actions; v_had text;
begin
  if orbit_private.may(p_action, p_resource_type, p_resource_id) then
    return;
  end if;
  if p_resource_type <> 'system' and not orbit_private.sees(p_resource_type, p_resource_id) then
    perform orbit_private.refuse('OR002', format('no such %s', replace(p_resource_type, '_', ' ')), '', 'It is not there, or not yours to see.');
  end if;
  select * into v_action from orbit.actions a where a.name = p_action;
  select string_agg(distinct x.permission, ', ') into v_had from orbit_private.access_of((select auth.uid()), p_action, p_resource_type, p_resource_id) x;
  perform orbit_private.refuse('OR003', format('%s takes the role %s', p_action, v_action.role),
    format('you have here: %s', coalesce(v_had, 'nothing')),
    format('Ask an admin of the organisation to grant it: %s', lower(left(v_action.description, 1)) || substr(v_action.description, 2)));
end $$;
comment on function orbit_private.require is 'OR003, with what it takes and what the caller has, unless the caller may do this there; OR002 where they may not even see it.';
grant execute on function orbit_private.may, orbit_private.sees, orbit_private.require to authenticated, service_role;

-- Finding what a request names -------------------------------------------------------------------------------------------------

create function orbit_private.slug(p_text text)
returns text language sql immutable set search_path = '' as $$
  select coalesce(nullif(left(trim(both '-' from regexp_replace(lower(p_text), '[^a-z0-9]+', '-', 'g')), 60), ''), 'x')
$$;
comment on function orbit_private.slug is 'A name for URLs: lower case, digits and hyphens.';

-- Definer: a member of one business unit names the organisation like everybody else. What is not theirs is not found.
create function orbit_private.organization_of(p_request jsonb)
returns uuid language plpgsql stable security definer set search_path = '' as $$
declare v_id uuid; v_slug text := p_request ->> 'organization'; v_trusted boolean := orbit_private.caller_is_trusted();
begin
  if v_slug is null and not v_trusted then
    select o.id into v_id from orbit.organizations o where o.slug = orbit_private.preferred('organization') and o.id in (select orbit_private.my_organization_ids());
    if found then
      return v_id;
    end if;
    select min(i::text)::uuid into v_id from orbit_private.my_organization_ids() i having count(*) = 1;
    if v_id is null then
      perform orbit_private.refuse('OR001', 'organization is missing',
        format('there are: %s', coalesce((select string_agg(o.slug, ', ' order by o.slug)
                                            from (select x.slug from orbit.organizations x where x.id in (select orbit_private.my_organization_ids()) order by x.slug limit 20) o), 'none')),
        'Name one of the organisations you belong to; who belongs to none makes one or accepts an invitation.');
    end if;
    return v_id;
  end if;
  select o.id into v_id from orbit.organizations o where o.slug = coalesce(v_slug, 'default')
    and (v_trusted or o.id in (select orbit_private.my_organization_ids()));
  if not found and v_slug is null then
    select min(o.id::text)::uuid into v_id from orbit.organizations o having count(*) = 1;
    if v_id is not null then
      return v_id;
    end if;
  end if;
  if v_id is null then
    perform orbit_private.refuse('OR002', format('no organisation %s', coalesce(v_slug, 'default')), '',
      'List them: orbit org list, or orbit.list_organizations.' || case when v_slug is null then ' The first suite, environment or variable that is saved makes `default`.' else '' end);
  end if;
  return v_id;
end $$;
comment on function orbit_private.organization_of is 'The organisation that a request names by its slug in `organization`. Whoever names none means the one that they prefer (orbit.set_preferences) while they belong to it, else the only one they belong to; administrative roles then mean `default`, or the only one there is. OR002 where it is not theirs.';

create function orbit_private.nothing_saved(p_request jsonb, p_of_projects boolean default false)
returns boolean language plpgsql stable set search_path = '' as $$
begin
  return p_request ->> 'organization' is null and p_request ->> 'project' is null and orbit_private.caller_is_trusted()
    and (not exists (select from orbit.organizations) or p_of_projects and not exists (select from orbit.projects));
end $$;
comment on function orbit_private.nothing_saved is 'Whether whoever runs the database asks, naming nothing, before anything was saved: then lists are empty. p_of_projects: before there is a project.';

-- Definer: as organization_of.
create function orbit_private.preferred_project(p_organization_id uuid)
returns orbit.projects language plpgsql stable security definer set search_path = '' as $$
declare v_project orbit.projects;
begin
  if not orbit_private.caller_is_trusted() then
    select * into v_project from orbit.projects p where p.organization_id = p_organization_id and p.slug = orbit_private.preferred('project')
      and p.id in (select orbit_private.my_project_ids());
  end if;
  return v_project;
end $$;
comment on function orbit_private.preferred_project is 'The project of an organisation that the caller prefers (orbit.set_preferences) and sees: what they mean who name none, to read and to write. Null where there is none, and for administrative roles.';

-- Definer: as organization_of.
create function orbit_private.project_of(p_request jsonb)
returns orbit.projects language plpgsql stable security definer set search_path = '' as $$
declare v_organization_id uuid := orbit_private.organization_of(p_request); v_project orbit.projects;
begin
  if p_request ->> 'project' is null then
    v_project := orbit_private.preferred_project(v_organization_id);
    if v_project.id is not null then
      return v_project;
    end if;
  end if;
  select * into v_project from orbit.projects p
    where p.organization_id = v_organization_id and p.slug = orbit_private.slug(coalesce(p_request ->> 'project', 'default'))
      and (orbit_private.caller_is_trusted() or p.id in (select orbit_private.my_project_ids()));
  if not found then
    perform orbit_private.refuse('OR002', format('no project %s', coalesce(p_request ->> 'project', 'default')), '', 'List them: orbit project list, or orbit.list_projects.');
  end if;
  return v_project;
end $$;
comment on function orbit_private.project_of is 'The project that a request names in `project` and `organization`; else the one that the caller prefers, where they see it in that organisation; else `default`. OR002 where the caller does not see it.';

-- Definer: as organization_of.
create function orbit_private.business_unit_of(p_request jsonb)
returns orbit.business_units language plpgsql stable security definer set search_path = '' as $$
declare v_slug text := orbit_private.required(p_request, 'business_unit'); v_organization_id uuid := orbit_private.organization_of(p_request); v_unit orbit.business_units;
begin
  select * into v_unit from orbit.business_units u
    where u.organization_id = v_organization_id and u.slug = orbit_private.slug(v_slug)
      and (orbit_private.caller_is_trusted() or u.id in (select orbit_private.my_business_unit_ids()));
  if not found then
    perform orbit_private.refuse('OR002', format('no business unit %s', left(v_slug, 60)), '', 'List them: orbit unit list, or orbit.list_business_units.');
  end if;
  return v_unit;
end $$;
comment on function orbit_private.business_unit_of is 'The business unit that a request names in `business_unit` and `organization`. OR002 where the caller does not see it.';
grant execute on function orbit_private.slug, orbit_private.nothing_saved, orbit_private.organization_of, orbit_private.project_of, orbit_private.business_unit_of to authenticated, service_role;

-- RLS of the tables so far -----------------------------------------------------------------------------------------------------

alter table orbit.users enable row level security;
alter table orbit.organizations enable row level security;
alter table orbit.organization_members enable row level security;
alter table orbit.business_units enable row level security;
alter table orbit.business_unit_members enable row level security;
alter table orbit.projects enable row level security;
alter table orbit.actions enable row level security;
alter table orbit.permission_assignments enable row level security;

grant select on orbit.users, orbit.organizations, orbit.organization_members, orbit.business_units, orbit.business_unit_members,
  orbit.projects, orbit.actions, orbit.permission_assignments to authenticated;
grant update (name) on orbit.users to authenticated;
grant all on orbit.users, orbit.organizations, orbit.organization_members, orbit.business_units, orbit.business_unit_members,
  orbit.projects, orbit.actions, orbit.permission_assignments to service_role;

-- People see themselves and those they share an organisation with.
create policy users_select on orbit.users for select to authenticated using (
  id = (select auth.uid())
  or id = any (array(select m.user_id from orbit.organization_members m where m.organization_id = any (array(select orbit_private.my_organization_ids())))));
create policy users_update on orbit.users for update to authenticated using (id = (select auth.uid())) with check (id = (select auth.uid()));
create policy organizations_select on orbit.organizations for select to authenticated
  using (id = any (array(select orbit_private.my_organization_ids())));
create policy organization_members_select on orbit.organization_members for select to authenticated
  using (organization_id = any (array(select orbit_private.my_organization_ids())));
create policy business_units_select on orbit.business_units for select to authenticated
  using (id = any (array(select orbit_private.my_business_unit_ids())));
create policy business_unit_members_select on orbit.business_unit_members for select to authenticated
  using (business_unit_id = any (array(select orbit_private.my_business_unit_ids())));
create policy projects_select on orbit.projects for select to authenticated
  using (id = any (array(select orbit_private.my_project_ids())));
create policy actions_select on orbit.actions for select to authenticated using (true);
-- One's own grants, and those that one may change.
create policy permission_assignments_select on orbit.permission_assignments for select to authenticated using (
  user_id = (select auth.uid()) or organization_id = any (array(select orbit_private.my_organization_ids('permission.write')))
  or resource_id = any (array(select orbit_private.my_business_unit_ids('permission.write')))
  or resource_id = any (array(select orbit_private.my_project_ids('permission.write'))));

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
