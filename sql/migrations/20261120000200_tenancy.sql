-- Tenancy: who there is, and what they belong to.

create table orbit.users (
  id uuid primary key default gen_random_uuid(),
  email text unique,
  name text,
  created_at timestamptz not null default now()
);
comment on table orbit.users is 'People. The id is the one of Supabase Auth where there is one.';

create table orbit.organizations (
  id uuid primary key default gen_random_uuid(),
  slug text not null unique,
  name text not null,
  created_at timestamptz not null default now(),
  constraint organizations_slug_check check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$')
);
comment on table orbit.organizations is 'Tenants: every other row belongs to exactly one.';

create table orbit.organization_members (
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  user_id uuid not null references orbit.users (id) on delete cascade,
  role text not null default 'viewer',
  created_at timestamptz not null default now(),
  primary key (organization_id, user_id),
  constraint organization_members_role_check check (role in ('owner', 'admin', 'editor', 'viewer'))
);
create index idx_organization_members_user_id on orbit.organization_members (user_id, organization_id);
comment on table orbit.organization_members is 'Who belongs to which organisation, and as what.';

-- Definer: it reads the membership table that its own policies protect.
create function orbit_private.my_organization_ids()
returns setof uuid language sql stable security definer set search_path = '' as $$
  select m.organization_id from orbit.organization_members m where m.user_id = (select auth.uid())
$$;
comment on function orbit_private.my_organization_ids is 'The organisations of the signed-in user; used by every policy as `= any(array(select …))`, the form an index can serve.';
grant execute on function orbit_private.my_organization_ids to authenticated, service_role;

-- Definer: as above. Roles are ordered: viewer < editor < admin < owner.
create function orbit_private.require_role(p_organization_id uuid, p_role text)
returns void language plpgsql stable security definer set search_path = '' as $$
declare v_role text;
begin
  if orbit_private.caller_is_trusted() then
    return;
  end if;
  select m.role into v_role from orbit.organization_members m
    where m.organization_id = p_organization_id and m.user_id = (select auth.uid());
  if v_role is null or array_position(array['viewer', 'editor', 'admin', 'owner'], v_role)
                       < array_position(array['viewer', 'editor', 'admin', 'owner'], p_role) then
    perform orbit_private.refuse('OR003', format('this needs the role %s', p_role),
      format('your role here is %s', coalesce(v_role, 'none')), 'Ask an owner of the organisation to grant it.');
  end if;
end $$;
comment on function orbit_private.require_role is 'OR003 unless the caller has at least this role in the organisation; administrative roles always pass.';
grant execute on function orbit_private.require_role to authenticated, service_role;

alter table orbit.users enable row level security;
alter table orbit.organizations enable row level security;
alter table orbit.organization_members enable row level security;
grant select on orbit.users, orbit.organizations, orbit.organization_members to authenticated;
grant all on orbit.users, orbit.organizations, orbit.organization_members to service_role;

create policy users_select on orbit.users for select to authenticated using (id = (select auth.uid()));
create policy organizations_select on orbit.organizations for select to authenticated
  using (id = any (array(select orbit_private.my_organization_ids())));
create policy organization_members_select on orbit.organization_members for select to authenticated
  using (organization_id = any (array(select orbit_private.my_organization_ids())));

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
