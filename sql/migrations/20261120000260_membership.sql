-- Membership: how people come and go. Accounts, organisations, members, invitations, business units, projects, grants.
--
-- Everything here asks require() first, and then keeps to two rules more:
--   · nobody gives, takes or changes more than they have themselves (refuse_beyond)
--   · an organisation keeps an owner: whoever changes owners holds the organisation's row (lock_owners), so that of two that would
--     both be the last to go, one waits and is refused
-- Locks are taken in the order organisation → invitation or unit → members.

-- Accounts ---------------------------------------------------------------------------------------------------------------------

create function orbit_private.account_name(p_meta jsonb)
returns text language plpgsql immutable set search_path = '' as $$
declare v_meta jsonb := p_meta;
begin
  if jsonb_typeof(v_meta) = 'string' then
    v_meta := (v_meta #>> '{}')::jsonb;  -- servers there are that encode it twice
  end if;
  return nullif(left(trim(coalesce(nullif(trim(v_meta ->> 'name'), ''), v_meta ->> 'full_name')), 200), '');
exception when data_exception then
  return null;
end $$;
comment on function orbit_private.account_name is 'The `name`, else the `full_name`, of an account''s metadata (an object, or a string that holds one), up to 200 characters; null where it has neither.';

-- Definer: whoever writes auth.users has no right in Orbit's schemas; called by the triggers there and by sync_accounts().
create function orbit_private.save_account(p_id uuid, p_email text, p_name text)
returns void language sql security definer set search_path = '' as $$
  insert into orbit.users as u (id, email, name) values (p_id, nullif(lower(trim(p_email)), ''), p_name)
    on conflict (id) do update set email = excluded.email, name = coalesce(excluded.name, u.name)
    where (u.email, u.name) is distinct from (excluded.email, coalesce(excluded.name, u.name))
$$;
comment on function orbit_private.save_account is 'Takes over an account as it is now. Without a name, the one that Orbit knows stays.';

-- Definer: as save_account.
create function orbit_private.tg_account()
returns trigger language plpgsql security definer set search_path = '' set lock_timeout = '3s' as $$
-- The host's sign-ups and deletions go through whatever happens here: an error is a warning in the server's log, and a lock is not
-- waited for longer than a person waits for a page. sync_accounts() makes good what was missed, me() for whoever comes back.
declare v_name text;
begin
  if tg_op = 'DELETE' or to_jsonb(new) ->> 'deleted_at' is not null then
    delete from orbit.users u where u.id = old.id;
    return null;
  end if;
  v_name := orbit_private.account_name(new.raw_user_meta_data);
  if tg_op = 'UPDATE' and v_name is not distinct from orbit_private.account_name(old.raw_user_meta_data) then
    v_name := null;  -- people may have given themselves another one in Orbit
  end if;
  perform orbit_private.save_account(new.id, new.email, v_name);
  return null;
exception when others then
  raise warning 'orbit: account % was not followed (%): %', coalesce(new.id, old.id), sqlstate, sqlerrm
    using hint = 'select orbit_private.sync_accounts() makes good what was missed.';
  return null;
end $$;
comment on function orbit_private.tg_account is 'Keeps orbit.users as auth.users is. An account deleted softly counts as deleted.';

create trigger orbit_account_made after insert on auth.users for each row execute function orbit_private.tg_account();
create trigger orbit_account_changed after update of email, raw_user_meta_data on auth.users for each row
  when (old.email is distinct from new.email or old.raw_user_meta_data is distinct from new.raw_user_meta_data)
  execute function orbit_private.tg_account();
create trigger orbit_account_deleted after delete on auth.users for each row execute function orbit_private.tg_account();

-- Definer: it reads the accounts.
create function orbit_private.sync_accounts()
returns int language plpgsql security definer set search_path = '' as $$
declare v_account record; v_count int := 0; v_gone int;
begin
  for v_account in
    select a.id, a.email::text as email, orbit_private.account_name(a.raw_user_meta_data) as name from auth.users a
      left join orbit.users u on u.id = a.id
      where (u.id is null or u.email is distinct from nullif(lower(trim(a.email)), '')) and to_jsonb(a) ->> 'deleted_at' is null
  loop
    perform orbit_private.save_account(v_account.id, v_account.email, v_account.name);
    v_count := v_count + 1;
  end loop;
  delete from orbit.users u where not exists (select from auth.users a where a.id = u.id and to_jsonb(a) ->> 'deleted_at' is null);
  get diagnostics v_gone = row_count;
  return v_count + v_gone;
end $$;
comment on function orbit_private.sync_accounts is 'Makes orbit.users what auth.users is: for an administrator, after a warning that an account was not followed. Returns how many rows it changed.';

-- Who was here before Orbit.
select orbit_private.sync_accounts();

-- Definer: whoever deletes an account has no right in Orbit's schemas.
create function orbit_private.tg_promote_heirs()
returns trigger language plpgsql security definer set search_path = '' as $$
declare v_organization record;
begin
  for v_organization in
    select o.id from orbit.organizations o where o.id in (
        select m.organization_id from orbit.organization_members m where m.user_id = old.id and m.role = 'owner')
      order by o.id for no key update
  loop
    continue when exists (select from orbit.organization_members m
      where m.organization_id = v_organization.id and m.role = 'owner' and m.user_id <> old.id);
    update orbit.organization_members m set role = 'owner' where m.organization_id = v_organization.id and m.user_id = (
      select c.user_id from orbit.organization_members c where c.organization_id = v_organization.id and c.user_id <> old.id
        order by orbit_private.rank_of(c.role) desc, c.created_at, c.user_id limit 1);
  end loop;
  return old;
end $$;
comment on function orbit_private.tg_promote_heirs is 'Where somebody goes who was an organisation''s only owner, the longest-standing of its highest members becomes owner. Where nobody is left, it stays for an administrative role.';
create trigger "100_promote_heirs" before delete on orbit.users for each row execute function orbit_private.tg_promote_heirs();

-- What was granted of a thing goes with it: grants name it without a foreign key, for it may be one of several kinds.
-- Definer: whoever may delete the thing need not be allowed to see every grant.
create function orbit_private.tg_forget_grants()
returns trigger language plpgsql security definer set search_path = '' as $$
begin
  delete from orbit.permission_assignments g where g.resource_id = any (array(select d.id from gone d));
  return null;
end $$;
comment on function orbit_private.tg_forget_grants is 'Deletes the grants on what was deleted.';
create trigger "200_forget_grants" after delete on orbit.business_units referencing old table as gone
  for each statement execute function orbit_private.tg_forget_grants();
create trigger "200_forget_grants" after delete on orbit.projects referencing old table as gone
  for each statement execute function orbit_private.tg_forget_grants();

-- Who asks, and how much they have -----------------------------------------------------------------------------------------------

-- Definer: it takes over an account that the trigger missed.
create function orbit_private.me()
returns orbit.users language plpgsql security definer set search_path = '' as $$
declare v_id uuid := (select auth.uid()); v_user orbit.users; v_account record;
begin
  if v_id is null then
    return null;
  end if;
  select * into v_user from orbit.users u where u.id = v_id;
  if not found then
    select a.email::text as email, orbit_private.account_name(a.raw_user_meta_data) as name into v_account
      from auth.users a where a.id = v_id and to_jsonb(a) ->> 'deleted_at' is null;
    if not found then
      perform orbit_private.refuse('OR003', 'this account is gone', '', 'Sign out, and in again with another.');
    end if;
    perform orbit_private.save_account(v_id, v_account.email, v_account.name);
    select * into v_user from orbit.users u where u.id = v_id;
  end if;
  return v_user;
end $$;
comment on function orbit_private.me is 'The signed-in person; null without a token, OR003 where the token outlived its account.';

-- Definer: as access_of.
create function orbit_private.my_rank(p_resource_type text, p_resource_id uuid, p_for_good boolean default false)
returns int language plpgsql stable security definer set search_path = '' as $$
begin
  if orbit_private.caller_is_trusted() then
    return 4;
  end if;
  return coalesce((select max(x.rank) from orbit_private.access_of((select auth.uid()),
    case p_resource_type when 'organization' then 'organization.read' when 'business_unit' then 'business_unit.read' else 'project.read' end,
    p_resource_type, p_resource_id) x where x.suffices and not (p_for_good and exists (
      select from orbit.permission_assignments g where g.id = x.grant_id and g.expires_at is not null))), 0);
end $$;
comment on function orbit_private.my_rank is 'The rank of the caller''s highest role there; 0 without one, 4 for administrative roles. p_for_good: without grants that end.';

create function orbit_private.refuse_beyond(p_role text, p_resource_type text, p_resource_id uuid, p_for_good boolean default false)
returns void language plpgsql stable set search_path = '' as $$
declare v_rank int := orbit_private.my_rank(p_resource_type, p_resource_id, p_for_good);
begin
  if orbit_private.rank_of(p_role) > v_rank then
    perform orbit_private.refuse('OR003', format('only somebody who is %s there may give or take the role %s', p_role, p_role),
      format(case when p_for_good then 'you are, apart from grants that end, %s' else 'you are %s' end,
        coalesce((array['viewer', 'editor', 'admin', 'owner'])[v_rank], 'none of its members')),
      'Nobody gives or takes more than they have: ask somebody who has it.');
  end if;
end $$;
comment on function orbit_private.refuse_beyond is 'OR003 unless the caller has at least this role there. p_for_good: for memberships, which do not end; a grant that does gives none.';

-- Definer: as access_of.
create function orbit_private.could_give(p_user_id uuid, p_action text, p_resource_type text, p_resource_id uuid, p_role text)
returns boolean language sql stable security definer set search_path = '' as $$
  select coalesce(bool_or(x.suffices), false) and coalesce(max(x.rank), 0) >= orbit_private.rank_of(p_role)
    from orbit_private.access_of(p_user_id, p_action, p_resource_type, p_resource_id) x
$$;
comment on function orbit_private.could_give is 'Whether somebody may do this there and has at least this role.';

create function orbit_private.role_in(p_request jsonb, p_field text, p_roles text[], p_default text default null)
returns text language plpgsql stable set search_path = '' as $$
declare v_role text := coalesce(p_request ->> p_field, p_default);
begin
  if v_role is null or v_role <> all (p_roles) then
    perform orbit_private.refuse('OR001', case when v_role is null then format('%s is missing', p_field) else format('there is no role %s', left(v_role, 60)) end,
      format('there are: %s', array_to_string(p_roles, ', ')));
  end if;
  return v_role;
end $$;
comment on function orbit_private.role_in is 'The role that a field of a request names; OR001 where it is none of these.';

-- Definer: members are looked up by address, also where the caller sees no other way to them.
create function orbit_private.member_of(p_request jsonb, p_organization_id uuid)
returns uuid language plpgsql stable security definer set search_path = '' as $$
declare v_text text := orbit_private.required(p_request, 'user'); v_ids uuid[];
begin
  v_ids := array(
    select m.user_id from orbit.organization_members m join orbit.users u on u.id = m.user_id where m.organization_id = p_organization_id
      and case when v_text = 'me' then u.id = (select auth.uid())
               when v_text ~ '^[0-9a-fA-F-]{36}$' then u.id = orbit_private.to_uuid(v_text, 'user')
               else u.email = lower(trim(v_text)) end);
  if cardinality(v_ids) > 1 then
    perform orbit_private.refuse('OR001', format('more than one member has the address %s', left(v_text, 200)), '', 'Give the id: orbit org members --json, or orbit.list_members.');
  elsif cardinality(v_ids) = 0 then
    perform orbit_private.refuse('OR002', format('%s is no member of the organisation', left(v_text, 200)), '', 'List them: orbit org members, or orbit.list_members; ask others in: orbit org invite EMAIL, or orbit.invite_member.');
  end if;
  return v_ids[1];
end $$;
comment on function orbit_private.member_of is 'The member that a request names in `user`: an id, an e-mail address, or `me`. OR002 where there is none.';

create function orbit_private.lock_owners(p_organization_id uuid)
returns void language plpgsql set search_path = '' as $$
begin
  perform 1 from orbit.organizations o where o.id = p_organization_id for no key update;
  if not found then
    perform orbit_private.refuse('OR002', 'the organisation has just been deleted', '', 'List them: orbit org list, or orbit.list_organizations.');
  end if;
end $$;
comment on function orbit_private.lock_owners is 'Whoever changes members or deletes the organisation goes through here, one after the other.';

create function orbit_private.refuse_last_owner(p_organization_id uuid, p_user_id uuid)
returns void language plpgsql stable set search_path = '' as $$
begin
  if not exists (select from orbit.organization_members m where m.organization_id = p_organization_id and m.role = 'owner' and m.user_id <> p_user_id) then
    perform orbit_private.refuse('OR004', 'an organisation keeps at least one owner', '', 'Make somebody else owner first, or delete the organisation.');
  end if;
end $$;
comment on function orbit_private.refuse_last_owner is 'OR004 where that is the only owner. The caller holds lock_owners().';

-- Organisations ------------------------------------------------------------------------------------------------------------------

create function orbit_private.organization_answer(p_id uuid)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', o.id, 'slug', o.slug, 'name', o.name, 'created_at', o.created_at,
      'role', (select m.role from orbit.organization_members m where m.organization_id = o.id and m.user_id = (select auth.uid())))
    from orbit.organizations o where o.id = p_id
$$;
comment on function orbit_private.organization_answer is 'An organisation as callers see it; `role` is theirs by membership.';

-- Definer: it takes over an account that the trigger missed.
create function orbit_private.whoami(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_me orbit.users;
begin
  perform orbit_private.refuse_unknown(p_request, '{}');
  v_me := orbit_private.me();
  return jsonb_build_object(
    'user', case when v_me.id is not null then jsonb_build_object('id', v_me.id, 'email', v_me.email, 'name', v_me.name) end,
    'is_administrative', orbit_private.caller_is_trusted(),
    'organizations', (select coalesce(jsonb_agg(jsonb_build_object('slug', o.slug, 'name', o.name, 'role', m.role,
        'business_units', (select coalesce(jsonb_agg(jsonb_build_object('slug', u.slug, 'name', u.name, 'role', b.role) order by u.slug), '[]')
          from orbit.business_unit_members b join orbit.business_units u on u.id = b.business_unit_id
          where b.organization_id = o.id and b.user_id = v_me.id)) order by o.slug), '[]')
      from orbit.organization_members m join orbit.organizations o on o.id = m.organization_id where m.user_id = v_me.id));
end $$;
comment on function orbit_private.whoami is 'See orbit.whoami.';
create function orbit.whoami(p_request jsonb default '{}')
returns jsonb language sql set search_path = '' as $$ select orbit_private.whoami(p_request) $$;
comment on function orbit.whoami is 'Who asks: {} → {user: {id, email, name} | null, is_administrative, organizations: [{slug, name, role, business_units: [{slug, name, role}]}]}. OR003 where the token outlived its account.';

create function orbit_private.refuse_default(p_slug text)
returns void language plpgsql stable set search_path = '' as $$
begin
  if p_slug = 'default' and not orbit_private.caller_is_trusted() then
    perform orbit_private.refuse('OR003', 'an organisation of the name default is made by administrative roles only', '', 'Give another slug.');
  end if;
end $$;
comment on function orbit_private.refuse_default is 'OR003 for whoever takes the name under which administrative roles save what they name no organisation for, and so would be given it.';

-- Definer: whoever makes an organisation is not yet allowed anything in it.
create function orbit_private.create_organization(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_me orbit.users; v_id uuid; v_name text; v_slug text;
begin
  perform orbit_private.refuse_unknown(p_request, array['name', 'slug']);
  v_name := trim(orbit_private.required(p_request, 'name')); v_slug := coalesce(p_request ->> 'slug', orbit_private.slug(v_name));
  v_me := orbit_private.me();
  if v_me.id is null and not orbit_private.caller_is_trusted() then
    perform orbit_private.refuse('OR003', 'making an organisation takes a signed-in account');
  end if;
  perform orbit_private.refuse_default(v_slug);
  insert into orbit.organizations (slug, name, created_by) values (v_slug, v_name, v_me.id) on conflict (slug) do nothing returning id into v_id;
  if v_id is null then
    perform orbit_private.refuse('OR004', format('there is an organisation %s already', v_slug), '', 'Give another slug.');
  end if;
  if v_me.id is not null then
    insert into orbit.organization_members (organization_id, user_id, role) values (v_id, v_me.id, 'owner');
    perform orbit_private.take_as_person(v_me.id, 'create_organization');
  end if;
  return orbit_private.organization_answer(v_id);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.create_organization is 'See orbit.create_organization.';
create function orbit.create_organization(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.create_organization(p_request) $$;
comment on function orbit.create_organization is 'Makes an organisation: {name, slug?}. The signed-in caller becomes its owner; made by an administrative role, it has none yet. Answers {id, slug, name, role, created_at}. OR004 where the slug is taken.';

create function orbit.list_organizations(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
begin
  perform orbit_private.refuse_unknown(p_request, '{}');
  return (select coalesce(jsonb_agg(orbit_private.organization_answer(o.id) order by o.slug), '[]') from orbit.organizations o);
end $$;
comment on function orbit.list_organizations is 'The organisations that the caller sees: {} → [{id, slug, name, role, created_at}]; role is null where they see it by a grant or as an administrative role.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.update_organization(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_id uuid;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'name', 'slug']);
  v_id := orbit_private.organization_of(p_request);
  perform orbit_private.require('organization.write', 'organization', v_id);
  if not exists (select from orbit.organizations o where o.slug = p_request ->> 'slug' and o.id = v_id) then
    perform orbit_private.refuse_default(p_request ->> 'slug');
  end if;
  if exists (select from orbit.organizations o where o.slug = p_request ->> 'slug' and o.id <> v_id) then
    perform orbit_private.refuse('OR004', format('there is an organisation %s already', p_request ->> 'slug'), '', 'Give another slug.');
  end if;
  update orbit.organizations o set name = coalesce(trim(p_request ->> 'name'), o.name), slug = coalesce(p_request ->> 'slug', o.slug) where o.id = v_id;
  return orbit_private.organization_answer(v_id);
exception
  when unique_violation then
    perform orbit_private.refuse('OR004', format('there is an organisation %s already', p_request ->> 'slug'), '', 'Give another slug.');
  when data_exception or check_violation or not_null_violation then
    perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.update_organization is 'See orbit.update_organization.';
create function orbit.update_organization(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.update_organization(p_request) $$;
comment on function orbit.update_organization is 'Renames an organisation: {organization?, name?, slug?: the new one}. Answers it. OR004 where the slug is taken.';

-- Members ------------------------------------------------------------------------------------------------------------------------

create function orbit.list_members(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_id uuid;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization']);
  if orbit_private.nothing_saved(p_request) then
    return '[]';
  end if;
  v_id := orbit_private.organization_of(p_request);
  return (select coalesce(jsonb_agg(jsonb_build_object('user_id', u.id, 'email', u.email, 'name', u.name, 'role', m.role, 'since', m.created_at,
        'business_units', (select coalesce(jsonb_agg(jsonb_build_object('slug', b.slug, 'name', b.name, 'role', x.role) order by b.slug), '[]')
          from orbit.business_unit_members x join orbit.business_units b on b.id = x.business_unit_id
          where x.organization_id = v_id and x.user_id = u.id))
      order by orbit_private.rank_of(m.role) desc, m.created_at, u.id), '[]')
    from orbit.organization_members m join orbit.users u on u.id = m.user_id where m.organization_id = v_id);
end $$;
comment on function orbit.list_members is 'Who belongs to an organisation: {organization?} → [{user_id, email, name, role, since, business_units: [{slug, name, role}]}], the highest first; of their business units, those that the caller sees.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.set_member_role(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_id uuid; v_user_id uuid; v_role text; v_old text;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'user', 'role']);
  v_role := orbit_private.role_in(p_request, 'role', array['viewer', 'editor', 'admin', 'owner']);
  v_id := orbit_private.organization_of(p_request);
  perform orbit_private.require('member.write', 'organization', v_id);
  v_user_id := orbit_private.member_of(p_request, v_id);
  perform orbit_private.lock_owners(v_id);
  -- Asked again: who held the lock before may have taken it away.
  perform orbit_private.require('member.write', 'organization', v_id);
  select m.role into v_old from orbit.organization_members m where m.organization_id = v_id and m.user_id = v_user_id for update;
  if not found then
    perform orbit_private.refuse('OR002', format('%s is no member of the organisation any more', left(p_request ->> 'user', 200)));
  end if;
  perform orbit_private.refuse_beyond(v_old, 'organization', v_id);
  perform orbit_private.refuse_beyond(v_role, 'organization', v_id, true);
  if v_old = 'owner' and v_role <> 'owner' then
    perform orbit_private.refuse_last_owner(v_id, v_user_id);
  end if;
  update orbit.organization_members m set role = v_role where m.organization_id = v_id and m.user_id = v_user_id and m.role <> v_role;
  return jsonb_build_object('user_id', v_user_id, 'role', v_role, 'changed', v_old <> v_role);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.set_member_role is 'See orbit.set_member_role.';
create function orbit.set_member_role(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.set_member_role(p_request) $$;
comment on function orbit.set_member_role is 'Gives a member another role: {organization?, user: id, e-mail or me, role: viewer | editor | admin | owner} → {user_id, role, changed}. OR003 beyond the caller''s own role, OR004 for the last owner.';

-- Definer: it writes a table that callers may only read, after require(); everybody may leave.
create function orbit_private.remove_member(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_id uuid; v_user_id uuid; v_old text; v_self boolean;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'user']);
  v_id := orbit_private.organization_of(p_request);
  v_user_id := orbit_private.member_of(p_request, v_id);
  v_self := v_user_id is not distinct from (select auth.uid());
  if not v_self then
    perform orbit_private.require('member.write', 'organization', v_id);
  end if;
  perform orbit_private.lock_owners(v_id);
  if not v_self then
    perform orbit_private.require('member.write', 'organization', v_id);
  end if;
  select m.role into v_old from orbit.organization_members m where m.organization_id = v_id and m.user_id = v_user_id for update;
  if not found then
    perform orbit_private.refuse('OR002', format('%s is no member of the organisation any more', left(p_request ->> 'user', 200)));
  end if;
  if not v_self then
    perform orbit_private.refuse_beyond(v_old, 'organization', v_id);
  end if;
  if v_old = 'owner' then
    perform orbit_private.refuse_last_owner(v_id, v_user_id);
  end if;
  -- With it go their places in its units and what was granted to them in it.
  delete from orbit.organization_members m where m.organization_id = v_id and m.user_id = v_user_id;
  return jsonb_build_object('user_id', v_user_id, 'removed', true);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.remove_member is 'See orbit.remove_member.';
create function orbit.remove_member(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.remove_member(p_request) $$;
comment on function orbit.remove_member is 'Takes somebody out of an organisation, its units and its grants: {organization?, user: id, e-mail, or me to leave} → {user_id, removed}. OR003 for somebody above the caller, OR004 for the last owner.';

-- Invitations --------------------------------------------------------------------------------------------------------------------

create table orbit.organization_invitations (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references orbit.organizations (id) on delete cascade,
  email text not null,
  role text not null default 'viewer',
  business_unit_id uuid,
  business_unit_role text,
  token_hash bytea not null,
  invited_by uuid references orbit.users (id) on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '7 days',
  accepted_by uuid references orbit.users (id) on delete set null,
  accepted_at timestamptz,
  revoked_by uuid references orbit.users (id) on delete set null,
  revoked_at timestamptz,
  constraint organization_invitations_token_hash_key unique (token_hash),
  constraint organization_invitations_business_unit_id_fkey foreign key (business_unit_id, organization_id)
    references orbit.business_units (id, organization_id) on delete cascade,
  constraint organization_invitations_email_check check (email = lower(email) and email ~ '^[^@[:space:]]+@[^@[:space:]]+$' and length(email) <= 254),
  constraint organization_invitations_role_check check (role in ('owner', 'admin', 'editor', 'viewer')),
  constraint organization_invitations_unit_has_role_check check (
    (business_unit_id is null) = (business_unit_role is null) and business_unit_role in ('admin', 'editor', 'viewer')),
  constraint organization_invitations_token_hash_check check (length(token_hash) = 32),
  constraint organization_invitations_expires_check check (expires_at > created_at),
  -- open → accepted, or open → revoked, and nothing after that. Open past expires_at is expired.
  constraint organization_invitations_ends_once_check check (accepted_at is null or revoked_at is null),
  constraint organization_invitations_accepted_check check (accepted_by is null or accepted_at is not null),
  constraint organization_invitations_accepted_in_time_check check (accepted_at <= expires_at),
  constraint organization_invitations_revoked_check check (revoked_by is null or revoked_at is not null)
);
create unique index organization_invitations_open_key on orbit.organization_invitations (organization_id, email)
  where accepted_at is null and revoked_at is null;
create index idx_organization_invitations_organization_id on orbit.organization_invitations (organization_id, created_at);
create index idx_organization_invitations_business_unit_id on orbit.organization_invitations (business_unit_id, organization_id);
create index idx_organization_invitations_invited_by on orbit.organization_invitations (invited_by);
create index idx_organization_invitations_accepted_by on orbit.organization_invitations (accepted_by);
create index idx_organization_invitations_revoked_by on orbit.organization_invitations (revoked_by);
comment on table orbit.organization_invitations is 'Who was asked in. An invitation holds as long as whoever sent it may give what it gives.';
comment on column orbit.organization_invitations.id is 'Drawn at random; names the invitation, and accepts nothing.';
comment on column orbit.organization_invitations.organization_id is 'Where to.';
comment on column orbit.organization_invitations.email is 'Whom, in lower case: the account that accepts must have this address.';
comment on column orbit.organization_invitations.role is 'The role in the organisation that it gives.';
comment on column orbit.organization_invitations.business_unit_id is 'The business unit that it leads into as well; or null.';
comment on column orbit.organization_invitations.business_unit_role is 'The role in that unit.';
comment on column orbit.organization_invitations.token_hash is 'SHA-256 of the token, which is told once and stored nowhere.';
comment on column orbit.organization_invitations.invited_by is 'Who sent it; null where an administrative role did. With the account go its invitations.';
comment on column orbit.organization_invitations.created_at is 'When it was sent.';
comment on column orbit.organization_invitations.expires_at is 'Until when it can be accepted; seven days unless said otherwise.';
comment on column orbit.organization_invitations.accepted_by is 'Who accepted it; null too where that account is gone.';
comment on column orbit.organization_invitations.accepted_at is 'When it was accepted.';
comment on column orbit.organization_invitations.revoked_by is 'Who took it back; null too where an administrative role did, or inviting the same address again.';
comment on column orbit.organization_invitations.revoked_at is 'When it was taken back.';

alter table orbit.organization_invitations enable row level security;
-- All but the token's hash.
grant select (id, organization_id, email, role, business_unit_id, business_unit_role, invited_by, created_at, expires_at, accepted_by, accepted_at, revoked_by, revoked_at)
  on orbit.organization_invitations to authenticated;
grant all on orbit.organization_invitations to service_role;
create policy organization_invitations_select on orbit.organization_invitations for select to authenticated
  using (organization_id = any (array(select orbit_private.my_organization_ids('member.write'))));

create function orbit_private.invitation_status(p_accepted_at timestamptz, p_revoked_at timestamptz, p_expires_at timestamptz, p_now timestamptz)
returns text language sql immutable set search_path = '' as $$
  select case when p_accepted_at is not null then 'accepted' when p_revoked_at is not null then 'revoked' when p_expires_at <= p_now then 'expired' else 'open' end
$$;
comment on function orbit_private.invitation_status is 'open, accepted, revoked or expired.';
grant execute on function orbit_private.invitation_status to authenticated, service_role;

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.invite_member(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid; v_email text; v_role text; v_unit orbit.business_units; v_unit_role text; v_days float8; v_made orbit.organization_invitations; v_now timestamptz := clock_timestamp();
  v_token text := 'orbit_invite_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');  -- 244 random bits
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'email', 'role', 'business_unit', 'business_unit_role', 'expires_in_days']);
  v_email := lower(trim(orbit_private.required(p_request, 'email')));
  if v_email !~ '^[^@[:space:]]+@[^@[:space:]]+$' or length(v_email) > 254 then
    perform orbit_private.refuse('OR001', 'email is no e-mail address', '', 'It looks like name@example.com.');
  end if;
  v_role := orbit_private.role_in(p_request, 'role', array['viewer', 'editor', 'admin', 'owner'], 'viewer');
  v_days := coalesce((p_request ->> 'expires_in_days')::float8, 7);
  if not v_days between 0.01 and 90 then
    perform orbit_private.refuse('OR001', 'expires_in_days is not between 0.01 and 90', '', 'Leave it out for seven days.');
  end if;
  v_id := orbit_private.organization_of(p_request);
  perform orbit_private.require('member.write', 'organization', v_id);
  perform orbit_private.refuse_beyond(v_role, 'organization', v_id, true);
  if p_request ->> 'business_unit' is not null then
    v_unit := orbit_private.business_unit_of(p_request || jsonb_build_object('organization', (select o.slug from orbit.organizations o where o.id = v_id)));
    v_unit_role := orbit_private.role_in(p_request, 'business_unit_role', array['viewer', 'editor', 'admin'], 'viewer');
    perform orbit_private.require('business_unit.write', 'business_unit', v_unit.id);
    perform orbit_private.refuse_beyond(v_unit_role, 'business_unit', v_unit.id, true);
  elsif p_request ->> 'business_unit_role' is not null then
    perform orbit_private.refuse('OR001', 'business_unit_role without a business_unit');
  end if;
  perform orbit_private.lock_owners(v_id);
  if exists (select from orbit.organization_members m join orbit.users u on u.id = m.user_id where m.organization_id = v_id and u.email = v_email) then
    perform orbit_private.refuse('OR004', format('%s is a member already', v_email), '', 'Change what they may do: orbit org role and orbit unit add, or orbit.set_member_role and orbit.set_unit_member.');
  end if;
  update orbit.organization_invitations i set revoked_at = v_now, revoked_by = (select u.id from orbit.users u where u.id = auth.uid())
    where i.organization_id = v_id and i.email = v_email and i.accepted_at is null and i.revoked_at is null;
  insert into orbit.organization_invitations (organization_id, email, role, business_unit_id, business_unit_role, token_hash, invited_by, created_at, expires_at)
    values (v_id, v_email, v_role, v_unit.id, v_unit_role, sha256(convert_to(v_token, 'UTF8')), (select u.id from orbit.users u where u.id = auth.uid()),
            v_now, v_now + make_interval(secs => v_days * 86400)) returning * into v_made;
  perform orbit_private.take(v_id, 'invite');
  return jsonb_build_object('id', v_made.id, 'email', v_email, 'role', v_role, 'business_unit', v_unit.slug, 'business_unit_role', v_unit_role,
    'expires_at', v_made.expires_at, 'token', v_token);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.invite_member is 'See orbit.invite_member.';
create function orbit.invite_member(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.invite_member(p_request) $$;
comment on function orbit.invite_member is 'Asks somebody in: {organization?, email, role? = viewer, business_unit?, business_unit_role? = viewer, expires_in_days? = 7} → {id, email, role, business_unit, business_unit_role, expires_at, token}. The token is told this once; an invitation of the same address that is still open is taken back. OR003 beyond the caller''s own role, OR004 for a member.';

create function orbit.list_invitations(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_id uuid; v_now timestamptz := clock_timestamp();
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'status']);
  if p_request ->> 'status' not in ('open', 'accepted', 'revoked', 'expired') then
    perform orbit_private.refuse('OR001', format('there is no status %s', left(p_request ->> 'status', 60)), 'there are: open, accepted, revoked, expired');
  end if;
  if orbit_private.nothing_saved(p_request) then
    return '[]';
  end if;
  v_id := orbit_private.organization_of(p_request);
  perform orbit_private.require('member.write', 'organization', v_id);
  return (select coalesce(jsonb_agg(jsonb_build_object('id', i.id, 'email', i.email, 'role', i.role, 'business_unit', b.slug, 'business_unit_role', i.business_unit_role,
        'status', orbit_private.invitation_status(i.accepted_at, i.revoked_at, i.expires_at, v_now),
        'invited_by', (select coalesce(u.email, u.id::text) from orbit.users u where u.id = i.invited_by), 'created_at', i.created_at, 'expires_at', i.expires_at,
        'accepted_at', i.accepted_at, 'revoked_at', i.revoked_at) order by i.created_at desc, i.id), '[]')
    from orbit.organization_invitations i left join orbit.business_units b on b.id = i.business_unit_id
    where i.organization_id = v_id
      and (p_request ->> 'status' is null or p_request ->> 'status' = orbit_private.invitation_status(i.accepted_at, i.revoked_at, i.expires_at, v_now)));
end $$;
comment on function orbit.list_invitations is 'Who was asked in: {organization?, status?: open | accepted | revoked | expired} → [{id, email, role, business_unit, business_unit_role, status, invited_by, created_at, expires_at, accepted_at, revoked_at}], the newest first.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.revoke_invitation(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_id uuid; v_invitation orbit.organization_invitations;
begin
  perform orbit_private.refuse_unknown(p_request, array['id']);
  v_id := orbit_private.to_uuid(orbit_private.required(p_request, 'id'), 'id');
  select * into v_invitation from orbit.organization_invitations i where i.id = v_id for update;
  if not found or not orbit_private.sees('organization', v_invitation.organization_id) then
    perform orbit_private.refuse('OR002', format('no invitation %s', v_id), '', 'List them: orbit org invitations, or orbit.list_invitations.');
  end if;
  perform orbit_private.require('member.write', 'organization', v_invitation.organization_id);
  if v_invitation.accepted_at is not null then
    perform orbit_private.refuse('OR004', 'the invitation was accepted', '', 'Take the member out: orbit org remove USER, or orbit.remove_member.');
  end if;
  update orbit.organization_invitations i set revoked_at = clock_timestamp(), revoked_by = (select u.id from orbit.users u where u.id = auth.uid())
    where i.id = v_id and i.revoked_at is null;
  return jsonb_build_object('id', v_id, 'changed', v_invitation.revoked_at is null);
end $$;
comment on function orbit_private.revoke_invitation is 'See orbit.revoke_invitation.';
create function orbit.revoke_invitation(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.revoke_invitation(p_request) $$;
comment on function orbit.revoke_invitation is 'Takes an invitation back: {id} → {id, changed}. OR004 once it was accepted.';

-- Definer: whoever accepts is not yet allowed anything in the organisation.
create function orbit_private.accept_invitation(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_me orbit.users; v_hash bytea; v_organization_id uuid; v_invitation orbit.organization_invitations; v_problem text;
  v_now timestamptz := clock_timestamp();
begin
  perform orbit_private.refuse_unknown(p_request, array['token']);
  v_hash := sha256(convert_to(orbit_private.required(p_request, 'token'), 'UTF8'));
  v_me := orbit_private.me();
  if v_me.id is null then
    perform orbit_private.refuse('OR003', 'accepting an invitation takes a signed-in account', '', 'Sign in with the address that was invited.');
  end if;
  select i.organization_id into v_organization_id from orbit.organization_invitations i where i.token_hash = v_hash;
  perform 1 from orbit.organizations o where o.id = v_organization_id for no key update;
  select * into v_invitation from orbit.organization_invitations i where i.token_hash = v_hash for update;
  if not found then
    perform orbit_private.refuse('OR002', 'there is no such invitation', '', 'Check the token, or ask to be invited again.');
  end if;
  if v_invitation.email is distinct from v_me.email then
    perform orbit_private.refuse('OR003', 'the invitation is for another address', format('you are signed in as %s', coalesce(v_me.email, 'an account without one')),
      'Sign in with the address that was invited, or ask to be invited by this one.');
  end if;
  v_problem := case orbit_private.invitation_status(v_invitation.accepted_at, v_invitation.revoked_at, v_invitation.expires_at, v_now)
    when 'accepted' then 'the invitation was accepted already' when 'revoked' then 'the invitation was taken back' when 'expired' then 'the invitation has expired' end;
  -- Whoever sent it must still be able to give it: who is about to go does not leave a way in behind.
  if v_problem is null and v_invitation.invited_by is not null and not (
       orbit_private.could_give(v_invitation.invited_by, 'member.write', 'organization', v_invitation.organization_id, v_invitation.role)
       and (v_invitation.business_unit_id is null or orbit_private.could_give(
              v_invitation.invited_by, 'business_unit.write', 'business_unit', v_invitation.business_unit_id, v_invitation.business_unit_role))) then
    v_problem := 'whoever sent the invitation may not give it any more';
  end if;
  if v_problem is not null then
    perform orbit_private.refuse('OR004', v_problem, '', 'Ask to be invited again.');
  end if;
  insert into orbit.organization_members (organization_id, user_id, role, created_at)
    values (v_invitation.organization_id, v_me.id, v_invitation.role, v_now) on conflict (organization_id, user_id) do nothing;
  if not found then
    perform orbit_private.refuse('OR004', 'you are a member already', '', 'Ask an admin to change what you may do.');
  end if;
  if v_invitation.business_unit_id is not null then
    insert into orbit.business_unit_members (business_unit_id, organization_id, user_id, role, created_at)
      values (v_invitation.business_unit_id, v_invitation.organization_id, v_me.id, v_invitation.business_unit_role, v_now);
  end if;
  update orbit.organization_invitations i set accepted_by = v_me.id, accepted_at = v_now where i.id = v_invitation.id;
  return orbit_private.organization_answer(v_invitation.organization_id);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.accept_invitation is 'See orbit.accept_invitation.';
create function orbit.accept_invitation(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.accept_invitation(p_request) $$;
comment on function orbit.accept_invitation is 'Accepts an invitation: {token}, signed in with the address that was invited. Answers the organisation, with the role. OR002 for a token that is none, OR003 for another address, OR004 where it was accepted, taken back, has expired, or its sender may not give it any more.';

-- Business units -----------------------------------------------------------------------------------------------------------------

create function orbit_private.business_unit_answer(p_id uuid)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', u.id, 'organization', o.slug, 'slug', u.slug, 'name', u.name, 'description', u.description, 'created_at', u.created_at,
      'role', (select m.role from orbit.business_unit_members m where m.business_unit_id = u.id and m.user_id = (select auth.uid())))
    from orbit.business_units u join orbit.organizations o on o.id = u.organization_id where u.id = p_id
$$;
comment on function orbit_private.business_unit_answer is 'A business unit as callers see it; `role` is theirs by membership.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.save_business_unit(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_organization_id uuid; v_slug text; v_new text; v_unit orbit.business_units; v_made boolean := false;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'business_unit', 'name', 'description', 'slug']);
  v_slug := orbit_private.slug(orbit_private.required(p_request, 'business_unit'));
  v_new := nullif(p_request ->> 'slug', '');
  v_organization_id := orbit_private.organization_of(p_request);
  select * into v_unit from orbit.business_units u where u.organization_id = v_organization_id and u.slug = v_slug for no key update;
  if not found or not orbit_private.sees('business_unit', v_unit.id) then  -- hidden, it is to the caller as if it were not there
    perform orbit_private.require('business_unit.create', 'organization', v_organization_id);
    insert into orbit.business_units (organization_id, slug, name, description)
      values (v_organization_id, coalesce(v_new, v_slug), coalesce(nullif(trim(p_request ->> 'name'), ''), p_request ->> 'business_unit'), p_request ->> 'description')
      returning * into v_unit;
    v_made := true;
  else
    perform orbit_private.require('business_unit.write', 'business_unit', v_unit.id);
    update orbit.business_units u set name = coalesce(nullif(trim(p_request ->> 'name'), ''), u.name), slug = coalesce(v_new, u.slug),
        description = case when p_request ? 'description' then p_request ->> 'description' else u.description end
      where u.id = v_unit.id;
  end if;
  return orbit_private.business_unit_answer(v_unit.id) || jsonb_build_object('created', v_made);
exception
  when unique_violation then
    perform orbit_private.refuse('OR004', format('there is a business unit %s already', coalesce(v_new, v_slug)), '', 'Give another slug.');
  when data_exception or check_violation or not_null_violation then
    perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.save_business_unit is 'See orbit.save_business_unit.';
create function orbit.save_business_unit(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_business_unit(p_request) $$;
comment on function orbit.save_business_unit is 'Makes or changes a business unit: {organization?, business_unit: its slug, name?, description?, slug?: the new one} → {id, organization, slug, name, description, role, created_at, created}. OR004 where the slug is taken.';

create function orbit.list_business_units(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_id uuid;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization']);
  if orbit_private.nothing_saved(p_request) then
    return '[]';
  end if;
  v_id := orbit_private.organization_of(p_request);
  return (select coalesce(jsonb_agg(orbit_private.business_unit_answer(u.id) || jsonb_build_object(
        'members', (select count(*) from orbit.business_unit_members m where m.business_unit_id = u.id),
        'projects', (select count(*) from orbit.projects p where p.business_unit_id = u.id)) order by u.slug), '[]')
    from orbit.business_units u where u.organization_id = v_id);
end $$;
comment on function orbit.list_business_units is 'The business units that the caller sees: {organization?} → [{id, organization, slug, name, description, role, created_at, members, projects}], members and projects as numbers.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.delete_business_unit(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_unit orbit.business_units; v_projects text;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'business_unit']);
  v_unit := orbit_private.business_unit_of(p_request);
  perform orbit_private.require('business_unit.write', 'business_unit', v_unit.id);
  perform 1 from orbit.business_units u where u.id = v_unit.id for update;
  select string_agg(p.slug, ', ' order by p.slug) into v_projects from (select x.slug from orbit.projects x where x.business_unit_id = v_unit.id order by x.slug limit 20) p;
  if v_projects is not null then
    perform orbit_private.refuse('OR004', format('the business unit %s has projects', v_unit.slug), format('there are: %s', v_projects), 'Move or delete them first: orbit project move and orbit project delete, or orbit.save_project and orbit.delete_project.');
  end if;
  delete from orbit.business_units u where u.id = v_unit.id;
  return jsonb_build_object('id', v_unit.id, 'deleted', true);
end $$;
comment on function orbit_private.delete_business_unit is 'See orbit.delete_business_unit.';
create function orbit.delete_business_unit(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_business_unit(p_request) $$;
comment on function orbit.delete_business_unit is 'Deletes a business unit without projects: {organization?, business_unit} → {id, deleted}. Its members stay in the organisation. OR004 where it has projects.';

create function orbit.list_unit_members(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_unit orbit.business_units;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'business_unit']);
  v_unit := orbit_private.business_unit_of(p_request);
  return (select coalesce(jsonb_agg(jsonb_build_object('user_id', u.id, 'email', u.email, 'name', u.name, 'role', m.role, 'since', m.created_at)
      order by orbit_private.rank_of(m.role) desc, m.created_at, u.id), '[]')
    from orbit.business_unit_members m join orbit.users u on u.id = m.user_id where m.business_unit_id = v_unit.id);
end $$;
comment on function orbit.list_unit_members is 'Who works in a business unit: {organization?, business_unit} → [{user_id, email, name, role, since}], the highest first.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.set_unit_member(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_unit orbit.business_units; v_user_id uuid; v_role text; v_old text;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'business_unit', 'user', 'role']);
  v_role := orbit_private.role_in(p_request, 'role', array['viewer', 'editor', 'admin'], 'viewer');
  v_unit := orbit_private.business_unit_of(p_request);
  perform orbit_private.require('business_unit.write', 'business_unit', v_unit.id);
  v_user_id := orbit_private.member_of(p_request, v_unit.organization_id);
  perform 1 from orbit.business_units u where u.id = v_unit.id for no key update;
  perform orbit_private.require('business_unit.write', 'business_unit', v_unit.id);
  select m.role into v_old from orbit.business_unit_members m where m.business_unit_id = v_unit.id and m.user_id = v_user_id;
  perform orbit_private.refuse_beyond(v_old, 'business_unit', v_unit.id);
  perform orbit_private.refuse_beyond(v_role, 'business_unit', v_unit.id, true);
  insert into orbit.business_unit_members as m (business_unit_id, organization_id, user_id, role) values (v_unit.id, v_unit.organization_id, v_user_id, v_role)
    on conflict (business_unit_id, user_id) do update set role = excluded.role where m.role <> excluded.role;
  return jsonb_build_object('user_id', v_user_id, 'role', v_role, 'changed', v_old is distinct from v_role);
exception
  when foreign_key_violation then
    perform orbit_private.refuse('OR002', format('%s is no member of the organisation any more', left(p_request ->> 'user', 200)));
  when data_exception then
    perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.set_unit_member is 'See orbit.set_unit_member.';
create function orbit.set_unit_member(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.set_unit_member(p_request) $$;
comment on function orbit.set_unit_member is 'Takes a member of the organisation into a business unit, or changes their role there: {organization?, business_unit, user: id, e-mail or me, role? = viewer | editor | admin} → {user_id, role, changed}. OR003 beyond the caller''s own role.';

-- Definer: it writes a table that callers may only read, after require(); everybody may leave.
create function orbit_private.remove_unit_member(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_unit orbit.business_units; v_user_id uuid; v_old text; v_self boolean;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'business_unit', 'user']);
  v_unit := orbit_private.business_unit_of(p_request);
  v_user_id := orbit_private.member_of(p_request, v_unit.organization_id);
  v_self := v_user_id is not distinct from (select auth.uid());
  if not v_self then
    perform orbit_private.require('business_unit.write', 'business_unit', v_unit.id);
  end if;
  perform 1 from orbit.business_units u where u.id = v_unit.id for no key update;
  if not v_self then
    perform orbit_private.require('business_unit.write', 'business_unit', v_unit.id);  -- again: whoever held the lock may have taken it away
  end if;
  select m.role into v_old from orbit.business_unit_members m where m.business_unit_id = v_unit.id and m.user_id = v_user_id for update;
  if not found then
    perform orbit_private.refuse('OR002', format('%s is not in the business unit %s', left(p_request ->> 'user', 200), v_unit.slug), '', 'List who is: orbit unit members UNIT, or orbit.list_unit_members.');
  end if;
  if not v_self then
    perform orbit_private.refuse_beyond(v_old, 'business_unit', v_unit.id);
  end if;
  delete from orbit.business_unit_members m where m.business_unit_id = v_unit.id and m.user_id = v_user_id;
  return jsonb_build_object('user_id', v_user_id, 'removed', true);
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.remove_unit_member is 'See orbit.remove_unit_member.';
create function orbit.remove_unit_member(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.remove_unit_member(p_request) $$;
comment on function orbit.remove_unit_member is 'Takes somebody out of a business unit: {organization?, business_unit, user: id, e-mail, or me to leave} → {user_id, removed}. They stay in the organisation.';

-- Projects -----------------------------------------------------------------------------------------------------------------------

create function orbit_private.project_answer(p_id uuid)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', p.id, 'organization', o.slug, 'slug', p.slug, 'name', p.name, 'business_unit', u.slug, 'created_at', p.created_at)
    from orbit.projects p join orbit.organizations o on o.id = p.organization_id left join orbit.business_units u on u.id = p.business_unit_id where p.id = p_id
$$;
comment on function orbit_private.project_answer is 'A project as callers see it.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.save_project(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_organization_id uuid; v_slug text; v_new text; v_project orbit.projects; v_unit orbit.business_units; v_made boolean := false; v_moves boolean;
  v_new_one boolean;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'name', 'slug', 'business_unit']);
  v_slug := orbit_private.slug(orbit_private.required(p_request, 'project'));
  v_new := nullif(p_request ->> 'slug', '');
  v_organization_id := orbit_private.organization_of(p_request);
  if p_request ->> 'business_unit' is not null then
    v_unit := orbit_private.business_unit_of(p_request || jsonb_build_object('organization', (select o.slug from orbit.organizations o where o.id = v_organization_id)));
    perform 1 from orbit.business_units u where u.id = v_unit.id for key share;
    if not found then
      perform orbit_private.refuse('OR002', format('no business unit %s', v_unit.slug), '', 'List them: orbit unit list, or orbit.list_business_units.');
    end if;
  end if;
  select * into v_project from orbit.projects p where p.organization_id = v_organization_id and p.slug = v_slug for no key update;
  -- One that is hidden is to the caller as if it were not there: whoever may make none hears nothing of its name.
  v_new_one := not found or not orbit_private.sees('project', v_project.id);
  v_moves := v_new_one or p_request ? 'business_unit' and v_project.business_unit_id is distinct from v_unit.id;
  if not v_new_one then
    perform orbit_private.require('project.write', 'project', v_project.id);
  end if;
  -- Moving one takes the right to make one where it goes.
  if v_moves and v_unit.id is not null then
    perform orbit_private.require('business_unit.write', 'business_unit', v_unit.id);
  elsif v_moves then
    perform orbit_private.require('project.create', 'organization', v_organization_id);
  end if;
  if v_new_one then
    insert into orbit.projects (organization_id, business_unit_id, slug, name)
      values (v_organization_id, v_unit.id, coalesce(v_new, v_slug), coalesce(nullif(trim(p_request ->> 'name'), ''), p_request ->> 'project')) returning * into v_project;
    v_made := true;
  else
    update orbit.projects p set name = coalesce(nullif(trim(p_request ->> 'name'), ''), p.name), slug = coalesce(v_new, p.slug),
        business_unit_id = case when p_request ? 'business_unit' then v_unit.id else p.business_unit_id end
      where p.id = v_project.id;
  end if;
  return orbit_private.project_answer(v_project.id) || jsonb_build_object('created', v_made);
exception
  when unique_violation then
    perform orbit_private.refuse('OR004', format('there is a project %s already', coalesce(v_new, v_slug)), '', 'Give another slug.');
  when data_exception or check_violation or not_null_violation then
    perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.save_project is 'See orbit.save_project.';
create function orbit.save_project(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.save_project(p_request) $$;
comment on function orbit.save_project is 'Makes, renames or moves a project: {organization?, project: its slug, name?, slug?: the new one, business_unit?: where it goes, null for none} → {id, organization, slug, name, business_unit, created_at, created}. Moving takes the right to make one where it goes. OR004 where the slug is taken.';

create function orbit.list_projects(p_request jsonb default '{}')
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_id uuid; v_unit orbit.business_units;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'business_unit']);
  if p_request ->> 'business_unit' is not null then
    v_unit := orbit_private.business_unit_of(p_request);
    v_id := v_unit.organization_id;
  elsif p_request ->> 'organization' is not null then
    v_id := orbit_private.organization_of(p_request);
  end if;
  return (select coalesce(jsonb_agg(orbit_private.project_answer(p.id) order by o.slug, p.slug), '[]')
    from orbit.projects p join orbit.organizations o on o.id = p.organization_id
    where (v_id is null or p.organization_id = v_id) and (v_unit.id is null or p.business_unit_id = v_unit.id));
end $$;
comment on function orbit.list_projects is 'The projects that the caller sees: {organization?: of all unless given, business_unit?} → [{id, organization, slug, name, business_unit, created_at}].';

-- Grants -------------------------------------------------------------------------------------------------------------------------

-- Definer: what is named and not visible is not found, as what is not there.
create function orbit_private.resource_of(p_request jsonb, out resource_type text, out resource_id uuid, out organization_id uuid, out name text)
language plpgsql stable security definer set search_path = '' as $$
declare v_project orbit.projects; v_unit orbit.business_units; v_more text := p_request ->> 'resource_type';
begin
  if v_more is not null and v_more not in ('system', 'organization', 'business_unit', 'project', 'environment', 'suite') then
    perform orbit_private.refuse('OR001', format('%s is no kind of resource', left(v_more, 60)), '', 'There are: system, organization, business_unit, project, environment, suite.');
  end if;
  if p_request ->> 'environment' is not null and p_request ->> 'suite' is not null
     or p_request ->> 'business_unit' is not null and coalesce(p_request ->> 'project', p_request ->> 'environment', p_request ->> 'suite') is not null then
    perform orbit_private.refuse('OR001', 'more than one resource is named', '', 'Name a business_unit, or a project, or of a project an environment or a suite.');
  end if;
  if p_request ->> 'resource_id' is not null then
    if coalesce(v_more, 'system') = 'system' then
      perform orbit_private.refuse('OR001', 'resource_id takes a resource_type beside it', '', 'There are: organization, business_unit, project, environment, suite.');
    end if;
    resource_type := v_more; resource_id := orbit_private.to_uuid(p_request ->> 'resource_id', 'resource_id');
    if not orbit_private.sees(resource_type, resource_id) or (orbit_private.place_of(resource_type, resource_id)).organization_id is null then
      perform orbit_private.refuse('OR002', format('no such %s', replace(resource_type, '_', ' ')), '', 'It is not there, or not yours to see.');
    end if;
  elsif v_more = 'system' then
    resource_type := 'system';
  elsif coalesce(p_request ->> 'environment', p_request ->> 'suite', p_request ->> 'project') is not null then
    v_project := orbit_private.project_of(p_request);
    if p_request ->> 'environment' is not null then
      resource_type := 'environment';
      select e.id into resource_id from orbit.environments e where e.project_id = v_project.id and e.name = p_request ->> 'environment';
    elsif p_request ->> 'suite' is not null then
      resource_type := 'suite';
      select s.id into resource_id from orbit.test_suites s where s.project_id = v_project.id and s.key = p_request ->> 'suite';
    else
      resource_type := 'project'; resource_id := v_project.id;
    end if;
    if resource_id is null then
      perform orbit_private.refuse('OR002', format('no %s %s in project %s', resource_type, left(coalesce(p_request ->> 'environment', p_request ->> 'suite'), 60), v_project.slug));
    end if;
  elsif p_request ->> 'business_unit' is not null then
    v_unit := orbit_private.business_unit_of(p_request);
    resource_type := 'business_unit'; resource_id := v_unit.id;
  else
    resource_type := 'organization'; resource_id := orbit_private.organization_of(p_request);
  end if;
  if v_more is distinct from resource_type and v_more is not null then
    perform orbit_private.refuse('OR001', format('resource_type is %s, but a %s is named', v_more, replace(resource_type, '_', ' ')));
  end if;
  organization_id := (orbit_private.place_of(resource_type, resource_id)).organization_id;
  name := orbit_private.resource_name(resource_type, resource_id);
end $$;
comment on function orbit_private.resource_of is 'What a request is about: resource_type and resource_id; or by names business_unit, project, environment, suite (of project, else `default`); or resource_type system; else the organisation. OR002 where the caller does not see it.';

-- Definer: called for resources that the caller was found to see.
create function orbit_private.resource_name(p_resource_type text, p_resource_id uuid)
returns text language plpgsql stable security definer set search_path = '' as $$
begin
  return case p_resource_type
    when 'organization' then (select o.slug from orbit.organizations o where o.id = p_resource_id)
    when 'business_unit' then (select u.slug from orbit.business_units u where u.id = p_resource_id)
    when 'project' then (select p.slug from orbit.projects p where p.id = p_resource_id)
    when 'environment' then (select p.slug || '/' || e.name from orbit.environments e join orbit.projects p on p.id = e.project_id where e.id = p_resource_id)
    when 'suite' then (select p.slug || '/' || s.key from orbit.test_suites s join orbit.projects p on p.id = s.project_id where s.id = p_resource_id) end;
end $$;
comment on function orbit_private.resource_name is 'A resource as people name it: slug, or project/environment, project/suite.';

-- Definer: as access_of.
create function orbit_private.refuse_grant(p_permission text, p_resource_type text, p_resource_id uuid)
returns void language plpgsql stable security definer set search_path = '' as $$
begin
  if orbit_private.rank_of(p_permission) is not null then
    perform orbit_private.refuse_beyond(p_permission, p_resource_type, p_resource_id);
  elsif not orbit_private.may(p_permission, p_resource_type, p_resource_id) then
    perform orbit_private.refuse('OR003', format('only somebody who has %s there may give or take it', p_permission), '', 'Nobody gives or takes more than they have: ask somebody who has it.');
  end if;
end $$;
comment on function orbit_private.refuse_grant is 'OR003 unless the caller has what is to be given or taken there.';

create function orbit_private.grant_answer(p_grant orbit.permission_assignments)
returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', p_grant.id, 'user_id', p_grant.user_id, 'email', (select u.email from orbit.users u where u.id = p_grant.user_id),
    'permission', p_grant.permission_type, 'resource_type', p_grant.resource_type, 'resource_id', p_grant.resource_id,
    'resource', orbit_private.resource_name(p_grant.resource_type, p_grant.resource_id),
    'granted_by', (select coalesce(u.email, u.id::text) from orbit.users u where u.id = p_grant.granted_by), 'granted_at', p_grant.granted_at, 'expires_at', p_grant.expires_at,
    'revoked_by', (select coalesce(u.email, u.id::text) from orbit.users u where u.id = p_grant.revoked_by), 'revoked_at', p_grant.revoked_at)
$$;
comment on function orbit_private.grant_answer is 'A grant as callers see it.';

-- Definer: it writes a table that callers may only read, after require().
create function orbit_private.grant_permission(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  v_on record; v_user_id uuid; v_permission text; v_action orbit.actions; v_expires timestamptz; v_bound timestamptz; v_grant orbit.permission_assignments;
  v_me uuid := (select u.id from orbit.users u where u.id = auth.uid()); v_now timestamptz := clock_timestamp();
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'user', 'permission', 'expires_at', 'resource_type', 'resource_id', 'business_unit', 'project', 'environment', 'suite']);
  v_permission := orbit_private.required(p_request, 'permission');
  select * into v_action from orbit.actions a where a.name = v_permission;
  if not found and v_permission not in ('viewer', 'editor', 'admin') then
    perform orbit_private.refuse('OR001', format('%s is no permission', left(v_permission, 60)),
      format('there are: viewer, editor, admin, %s', (select string_agg(a.name, ', ' order by a.name) from orbit.actions a)), 'An owner is made by orbit.set_member_role.');
  end if;
  v_expires := (p_request ->> 'expires_at')::timestamptz;
  if v_expires <= v_now then
    perform orbit_private.refuse('OR001', 'expires_at is past', '', 'Give a time to come, with its zone: 2030-01-31T18:00:00Z.');
  end if;
  v_on := orbit_private.resource_of(p_request);
  if v_on.resource_type = 'organization' then
    perform orbit_private.refuse('OR001', 'nothing is granted on an organisation as a whole', '', 'Give the role of a member: orbit.set_member_role; or name a business_unit or a project.');
  elsif v_action.level = 'organization' and v_on.resource_type <> 'system' or v_action.level = 'business_unit' and v_on.resource_type not in ('system', 'business_unit') then
    perform orbit_private.refuse('OR001', format('%s is asked of %s, and means nothing for %s', v_permission, replace(v_action.level, '_', ' '), replace(v_on.resource_type, '_', ' ')));
  end if;
  if v_on.resource_type = 'system' then
    if not orbit_private.caller_is_trusted() then
      perform orbit_private.refuse('OR003', 'what holds for the whole system is granted by administrative roles only');
    end if;
    select u.id into v_user_id from orbit.users u
      where case when p_request ->> 'user' ~ '^[0-9a-fA-F-]{36}$' then u.id = orbit_private.to_uuid(p_request ->> 'user', 'user') else u.email = lower(trim(p_request ->> 'user')) end
      order by u.created_at limit 1;
    if v_user_id is null then
      perform orbit_private.refuse('OR002', format('there is nobody called %s', left(orbit_private.required(p_request, 'user'), 200)));
    end if;
  else
    perform orbit_private.require('permission.write', v_on.resource_type, v_on.resource_id);
    perform orbit_private.refuse_grant(v_permission, v_on.resource_type, v_on.resource_id);
    v_user_id := orbit_private.member_of(p_request, v_on.organization_id);
    -- What is given lasts no longer than what it is given from.
    if not orbit_private.caller_is_trusted() then
      select max(coalesce(g.expires_at, 'infinity')) into v_bound
        from orbit_private.access_of(v_me, coalesce(v_action.name, 'project.read'), v_on.resource_type, v_on.resource_id) x
        left join orbit.permission_assignments g on g.id = x.grant_id
        where case when v_action.name is not null then x.suffices else x.rank >= orbit_private.rank_of(v_permission) end;
      v_bound := least(v_bound, (select max(coalesce(g.expires_at, 'infinity'))
        from orbit_private.access_of(v_me, 'permission.write', v_on.resource_type, v_on.resource_id) x left join orbit.permission_assignments g on g.id = x.grant_id where x.suffices));
      if coalesce(v_expires, 'infinity') > v_bound then
        perform orbit_private.refuse('OR003', 'a grant lasts no longer than what it is given from', format('yours ends at %s', v_bound), 'Give an expires_at before that.');
      end if;
    end if;
    -- The member's row: whoever leaves just now takes this grant along, or is not found.
    perform 1 from orbit.organization_members m where m.organization_id = v_on.organization_id and m.user_id = v_user_id for key share;
    if not found then
      perform orbit_private.refuse('OR002', format('%s is no member of the organisation any more', left(p_request ->> 'user', 200)));
    end if;
  end if;
  perform pg_advisory_xact_lock(hashtext('orbit.grant'), hashtext(v_user_id::text || coalesce(v_on.resource_id::text, '')));
  select * into v_grant from orbit.permission_assignments g where g.user_id = v_user_id and g.resource_type = v_on.resource_type
    and g.resource_id is not distinct from v_on.resource_id and g.permission_type = v_permission and g.revoked_at is null for update;
  if found and v_grant.expires_at is not distinct from v_expires then
    return orbit_private.grant_answer(v_grant) || jsonb_build_object('changed', false);
  end if;
  -- The one before stays as history.
  update orbit.permission_assignments g set revoked_at = v_now, revoked_by = v_me where g.id = v_grant.id;
  insert into orbit.permission_assignments (organization_id, user_id, permission_type, resource_type, resource_id, granted_by, granted_at, expires_at)
    values (v_on.organization_id, v_user_id, v_permission, v_on.resource_type, v_on.resource_id, v_me, v_now, v_expires) returning * into v_grant;
  return orbit_private.grant_answer(v_grant) || jsonb_build_object('changed', true);
exception when data_exception or check_violation or not_null_violation then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.grant_permission is 'See orbit.grant_permission.';
create function orbit.grant_permission(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.grant_permission(p_request) $$;
comment on function orbit.grant_permission is 'Gives a member a role or one action somewhere: {organization?, user: id, e-mail or me, permission: viewer | editor | admin | an action, expires_at?, and where: business_unit | project | project?, environment | project?, suite | resource_type, resource_id}; administrative roles also resource_type system. Answers the grant {id, user_id, email, permission, resource_type, resource_id, resource, granted_by, granted_at, expires_at, changed}. Granting again changes when it ends. OR003 beyond what the caller has there, or for longer.';

-- Definer: it writes a table that callers may only read, after require(); everybody may give back what they were granted.
create function orbit_private.revoke_permission(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_id uuid; v_grant orbit.permission_assignments;
begin
  perform orbit_private.refuse_unknown(p_request, array['id']);
  v_id := orbit_private.to_uuid(orbit_private.required(p_request, 'id'), 'id');
  select * into v_grant from orbit.permission_assignments g where g.id = v_id for update;
  if not found or not (v_grant.user_id is not distinct from (select auth.uid()) or orbit_private.caller_is_trusted()
                       or v_grant.resource_type <> 'system' and orbit_private.may('permission.write', v_grant.resource_type, v_grant.resource_id)) then
    perform orbit_private.refuse('OR002', format('no grant %s', v_id), '', 'List them: orbit access list, or orbit.list_permissions.');
  end if;
  if v_grant.user_id is distinct from (select auth.uid()) and not orbit_private.caller_is_trusted() then
    perform orbit_private.refuse_grant(v_grant.permission_type, v_grant.resource_type, v_grant.resource_id);
  end if;
  update orbit.permission_assignments g set revoked_at = clock_timestamp(), revoked_by = (select u.id from orbit.users u where u.id = auth.uid())
    where g.id = v_id and g.revoked_at is null;
  return jsonb_build_object('id', v_id, 'changed', v_grant.revoked_at is null);
end $$;
comment on function orbit_private.revoke_permission is 'See orbit.revoke_permission.';
create function orbit.revoke_permission(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.revoke_permission(p_request) $$;
comment on function orbit.revoke_permission is 'Takes a grant back, at once: {id} → {id, changed}. Whoever was given it may do so too. OR003 beyond what the caller has there.';

-- Definer: which grants are the caller's to see depends on where each lies.
create function orbit_private.list_permissions(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare v_id uuid; v_user_id uuid; v_on record; v_all boolean; v_named boolean;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'user', 'history', 'resource_type', 'resource_id', 'business_unit', 'project', 'environment', 'suite']);
  v_all := coalesce((p_request ->> 'history')::boolean, false);
  v_named := coalesce(p_request ->> 'resource_type', p_request ->> 'resource_id', p_request ->> 'business_unit', p_request ->> 'project', p_request ->> 'environment', p_request ->> 'suite') is not null;
  if not v_named and p_request ->> 'user' is null and orbit_private.nothing_saved(p_request) then
    return '[]';
  end if;
  v_on := orbit_private.resource_of(p_request);
  v_id := v_on.organization_id;
  if p_request ->> 'user' is not null then
    v_user_id := orbit_private.member_of(p_request, coalesce(v_id, orbit_private.organization_of(p_request - 'resource_type')));
  end if;
  return (select coalesce(jsonb_agg(orbit_private.grant_answer(g) order by g.granted_at desc, g.id), '[]') from orbit.permission_assignments g
    where (g.organization_id = v_id or g.resource_type = 'system' and v_on.resource_type in ('system', 'organization'))
      and (v_user_id is null or g.user_id = v_user_id)
      and (not v_named or v_on.resource_type = 'organization' or g.resource_type = v_on.resource_type and g.resource_id is not distinct from v_on.resource_id)
      and (v_all or g.revoked_at is null and (g.expires_at is null or g.expires_at > statement_timestamp()))
      and (orbit_private.caller_is_trusted() or g.user_id = (select auth.uid())
           or g.resource_type <> 'system' and orbit_private.may('permission.write', g.resource_type, g.resource_id)));
exception when data_exception then
  perform orbit_private.malformed(sqlstate, sqlerrm);
end $$;
comment on function orbit_private.list_permissions is 'See orbit.list_permissions.';
create function orbit.list_permissions(p_request jsonb default '{}')
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.list_permissions(p_request) $$;
comment on function orbit.list_permissions is 'Grants that hold, one''s own and those that one may change: {organization?, user?, history? = false, and where, as of grant_permission} → [{id, user_id, email, permission, resource_type, resource_id, resource, granted_by, granted_at, expires_at, revoked_by, revoked_at}], the newest first. With history, also those that ended.';

-- Definer: as access_of; what the caller hears of others takes permission.write.
create function orbit_private.explain_access(p_request jsonb)
returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare v_on record; v_user_id uuid := (select auth.uid()); v_action orbit.actions; v_because jsonb; v_allowed boolean; v_name text; v_best text;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'user', 'action', 'resource_type', 'resource_id', 'business_unit', 'project', 'environment', 'suite']);
  v_name := orbit_private.required(p_request, 'action');
  v_on := orbit_private.resource_of(p_request);
  if p_request ->> 'user' is not null and p_request ->> 'user' <> 'me' then
    v_user_id := orbit_private.member_of(p_request, coalesce(v_on.organization_id, orbit_private.organization_of(p_request - 'resource_type')));
    if v_user_id is distinct from (select auth.uid()) then
      perform orbit_private.require('permission.write', v_on.resource_type, v_on.resource_id);
    end if;
  end if;
  select coalesce(jsonb_agg(jsonb_build_object('via', x.via, 'permission', x.permission,
           'granted_by', (select coalesce(u.email, u.id::text) from orbit.users u where u.id = g.granted_by), 'granted_at', g.granted_at, 'expires_at', g.expires_at,
           'suffices', x.suffices) order by x.suffices desc, x.rank desc nulls last, x.via, x.permission), '[]'),
         coalesce(bool_or(x.suffices), false)
    into v_because, v_allowed
    from orbit_private.access_of(v_user_id, v_name, v_on.resource_type, v_on.resource_id) x left join orbit.permission_assignments g on g.id = x.grant_id;
  select * into v_action from orbit.actions a where a.name = v_name;
  v_best := format('%s in the %s', v_because -> 0 ->> 'permission', replace(v_because -> 0 ->> 'via', '_', ' '));
  if (p_request ->> 'user' is null or p_request ->> 'user' = 'me') and orbit_private.caller_is_trusted() then
    return jsonb_build_object('allowed', true, 'action', v_name, 'takes', v_action.role, 'because', v_because, 'resource_type', v_on.resource_type, 'resource', v_on.name,
      'reason', 'administrative roles may do everything');
  end if;
  return jsonb_build_object('allowed', v_allowed, 'action', v_name, 'takes', v_action.role, 'resource_type', v_on.resource_type, 'resource', v_on.name, 'because', v_because,
    'reason', case when v_allowed then format('%s suffices: %s takes %s', v_best, v_name, v_action.role)
                   when v_because = '[]' then format('%s takes %s, and there is no role or grant here', v_name, v_action.role)
                   else format('%s takes %s, and the most there is here is %s', v_name, v_action.role, v_best) end);
end $$;
comment on function orbit_private.explain_access is 'See orbit.explain_access.';
create function orbit.explain_access(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.explain_access(p_request) $$;
comment on function orbit.explain_access is 'Why somebody may do something somewhere, or not: {action, user?: oneself unless given; others take permission.write there, and where, as of grant_permission; else the organisation} → {allowed, action, takes: the least role, resource_type, resource, because: [{via: organization | business_unit | project | environment | suite | system, permission, granted_by, granted_at, expires_at, suffices}], reason}.';

create function orbit_private.can(p_request jsonb)
returns jsonb language plpgsql stable set search_path = '' as $$
declare v_told jsonb;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'action', 'resource_type', 'resource_id', 'business_unit', 'project', 'environment', 'suite']);
  v_told := orbit_private.explain_access(p_request);
  return jsonb_build_object('allowed', v_told -> 'allowed', 'reason', v_told -> 'reason');
end $$;
comment on function orbit_private.can is 'See orbit.can.';
create function orbit.can(p_request jsonb)
returns jsonb language sql stable set search_path = '' as $$ select orbit_private.can(p_request) $$;
comment on function orbit.can is 'Whether the caller may do something somewhere: {action, and where, as of grant_permission; else the organisation} → {allowed, reason}.';

-- Who may call what ----------------------------------------------------------------------------------------------------------------

grant execute on function orbit_private.whoami, orbit_private.create_organization, orbit_private.update_organization, orbit_private.set_member_role,
  orbit_private.remove_member, orbit_private.revoke_invitation, orbit_private.save_business_unit, orbit_private.delete_business_unit,
  orbit_private.set_unit_member, orbit_private.remove_unit_member, orbit_private.save_project, orbit_private.revoke_permission, orbit_private.list_permissions,
  orbit_private.explain_access, orbit_private.can, orbit_private.invite_member, orbit_private.accept_invitation,
  orbit_private.grant_permission, orbit_private.rank_of,
  orbit_private.organization_answer, orbit_private.business_unit_answer, orbit_private.project_answer to authenticated, service_role;
grant execute on function orbit.whoami, orbit.create_organization, orbit.list_organizations, orbit.update_organization, orbit.list_members,
  orbit.set_member_role, orbit.remove_member, orbit.invite_member, orbit.list_invitations, orbit.revoke_invitation, orbit.accept_invitation,
  orbit.save_business_unit, orbit.list_business_units, orbit.delete_business_unit, orbit.list_unit_members, orbit.set_unit_member,
  orbit.remove_unit_member, orbit.save_project, orbit.list_projects, orbit.grant_permission, orbit.revoke_permission, orbit.list_permissions,
  orbit.explain_access, orbit.can
  to authenticated, service_role;
grant execute on function orbit_private.sync_accounts to service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
