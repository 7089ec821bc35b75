-- Tenancy: who there is, and what they belong to.
--
--   organization ─┬─ members (owner, admin, editor, viewer)
--                 ├─ business units ── members (admin, editor, viewer)
--                 └─ projects, of one business unit or of none ── suites, environments, …
--
-- Tables only. Who may see and change what stands in 0250, how people come and go in 0260.

create table orbit.users (
  id uuid primary key default gen_random_uuid(),
  email text,
  name text,
  created_at timestamptz not null default now(),
  constraint users_email_check check (email = lower(email) and email <> ''),
  constraint users_name_check check (length(name) between 1 and 200)
);
create index idx_users_email on orbit.users (email);
comment on table orbit.users is 'People. A row comes with the account of Supabase Auth, and goes with it.';
comment on column orbit.users.id is 'The id of the account, the `sub` of its tokens.';
comment on column orbit.users.email is 'In lower case. Not unique: one address may have an account by password and one by single sign-on.';
comment on column orbit.users.name is 'As the account''s `name` or `full_name` says; people may change it.';
comment on column orbit.users.created_at is 'When Orbit first saw the account.';

create table orbit.organizations (
  id uuid primary key default gen_random_uuid(),
  slug text not null,
  name text not null,
  created_by uuid references orbit.users (id) on delete set null,
  created_at timestamptz not null default now(),
  constraint organizations_slug_key unique (slug),
  constraint organizations_slug_check check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  constraint organizations_name_check check (length(name) between 1 and 200)
);
create index idx_organizations_created_by on orbit.organizations (created_by);
comment on table orbit.organizations is 'Tenants: every other row belongs to exactly one. Deleting one deletes all it holds.';
comment on column orbit.organizations.id is 'Drawn at random.';
comment on column orbit.organizations.slug is 'Its name in addresses and requests: lower case, digits, hyphens; up to 63.';
comment on column orbit.organizations.name is 'As people read it.';
comment on column orbit.organizations.created_by is 'Null where an administrative role made it, or the account is gone.';
comment on column orbit.organizations.created_at is 'When it was made.';

create table orbit.organization_members (
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  user_id uuid not null references orbit.users (id) on delete cascade,
  role text not null default 'viewer',
  created_at timestamptz not null default now(),
  primary key (organization_id, user_id),
  constraint organization_members_role_check check (role in ('owner', 'admin', 'editor', 'viewer'))
);
create index idx_organization_members_user_id on orbit.organization_members (user_id, organization_id);
comment on table orbit.organization_members is 'Who belongs to which organisation, and as what. An organisation keeps at least one owner.';
comment on column orbit.organization_members.organization_id is 'Where.';
comment on column orbit.organization_members.user_id is 'Who.';
comment on column orbit.organization_members.role is 'viewer < editor < admin < owner. Viewer and editor hold for projects of no business unit; admin and owner for all.';
comment on column orbit.organization_members.created_at is 'Since when.';

create table orbit.business_units (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  slug text not null,
  name text not null,
  description text,
  created_at timestamptz not null default now(),
  constraint business_units_organization_id_slug_key unique (organization_id, slug),
  constraint business_units_id_organization_id_key unique (id, organization_id),
  constraint business_units_slug_check check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  constraint business_units_name_check check (length(name) between 1 and 200)
);
comment on table orbit.business_units is 'Parts of an organisation that do not see each other''s projects.';
comment on column orbit.business_units.id is 'Drawn at random.';
comment on column orbit.business_units.organization_id is 'The organisation it is a part of.';
comment on column orbit.business_units.slug is 'Its name in requests: lower case, digits, hyphens; up to 63.';
comment on column orbit.business_units.name is 'As people read it.';
comment on column orbit.business_units.description is 'What it does, in a sentence.';
comment on column orbit.business_units.created_at is 'When it was made.';

create table orbit.business_unit_members (
  business_unit_id uuid not null,
  user_id uuid not null,
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  role text not null default 'viewer',
  created_at timestamptz not null default now(),
  primary key (business_unit_id, user_id),
  constraint business_unit_members_business_unit_id_fkey foreign key (business_unit_id, organization_id)
    references orbit.business_units (id, organization_id) on delete cascade,
  -- Whoever leaves the organisation leaves its units.
  constraint business_unit_members_user_id_fkey foreign key (organization_id, user_id)
    references orbit.organization_members (organization_id, user_id) on delete cascade,
  constraint business_unit_members_role_check check (role in ('admin', 'editor', 'viewer'))
);
create index idx_business_unit_members_user_id on orbit.business_unit_members (user_id, business_unit_id);
create index idx_business_unit_members_organization_id on orbit.business_unit_members (organization_id, user_id);
create index idx_business_unit_members_business_unit_id on orbit.business_unit_members (business_unit_id, organization_id);
comment on table orbit.business_unit_members is 'Who works in which business unit, and as what; members of its organisation only.';
comment on column orbit.business_unit_members.business_unit_id is 'Where.';
comment on column orbit.business_unit_members.user_id is 'Who.';
comment on column orbit.business_unit_members.organization_id is 'The unit''s organisation.';
comment on column orbit.business_unit_members.role is 'viewer < editor < admin, for every project of the unit.';
comment on column orbit.business_unit_members.created_at is 'Since when.';

create table orbit.projects (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  business_unit_id uuid,
  slug text not null,
  name text not null,
  created_at timestamptz not null default now(),
  constraint projects_organization_id_slug_key unique (organization_id, slug),
  -- A unit that holds projects is not deleted: move them first. The organisation's own deletion takes both.
  constraint projects_business_unit_id_fkey foreign key (business_unit_id, organization_id)
    references orbit.business_units (id, organization_id) on delete no action deferrable initially deferred,
  constraint projects_slug_check check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  constraint projects_name_check check (length(name) between 1 and 200)
);
create index idx_projects_business_unit_id on orbit.projects (business_unit_id, organization_id);
comment on table orbit.projects is 'A system under test with its suites and environments. Deleting one deletes its whole history.';
comment on column orbit.projects.id is 'Drawn at random.';
comment on column orbit.projects.organization_id is 'Whose it is.';
comment on column orbit.projects.business_unit_id is 'The unit that it belongs to; null: every member of the organisation sees it.';
comment on column orbit.projects.slug is 'Its name in requests: lower case, digits, hyphens; up to 63.';
comment on column orbit.projects.name is 'As people read it.';
comment on column orbit.projects.created_at is 'When it was made.';

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
