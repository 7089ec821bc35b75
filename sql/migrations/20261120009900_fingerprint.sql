-- Fingerprint: what the schema looked like when it was pushed, so that a change by hand is found, and named.
--
-- Always the last file's last word: a later migration ends with `select orbit_private.take_fingerprint();`. What runs itself makes
-- (partitions) is no change, and an index that somebody added does no harm.

create view orbit_private.schema_object with (security_invoker = true) as
with ours as (
  select n.oid, n.nspname, n.nspacl, n.nspowner from pg_catalog.pg_namespace n where n.nspname in ('orbit', 'orbit_private', 'orbit_runner')
), relation as (
  select c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relacl, c.relowner, c.reloptions, format('%I.%I', o.nspname, c.relname) as name
    from pg_catalog.pg_class c join ours o on o.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'S') and not c.relispartition
      and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype in ('i', 'e'))
), object (name, relation, definition, acl) as (
  select format('schema %I', o.nspname), null::text, '', coalesce(o.nspacl, acldefault('n', o.nspowner)) from ours o
  union all
  select format('%s %s', case r.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' else 'table' end, r.name), r.name,
    concat_ws(' ', r.relkind, r.relrowsecurity, r.relforcerowsecurity, case when r.relkind in ('v', 'm') then pg_get_viewdef(r.oid) || coalesce(r.reloptions::text, '') end,
      case when r.relkind = 'p' then pg_get_partkeydef(r.oid) end),
    coalesce(r.relacl, acldefault(case when r.relkind = 'S' then 's' else 'r' end::"char", r.relowner)) from relation r
  union all
  select format('column %s.%I', r.name, a.attname), r.name,
    concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid)),
    a.attacl
    from relation r join pg_catalog.pg_attribute a on a.attrelid = r.oid left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped and r.relkind in ('r', 'p')
  union all
  select format('constraint %I on %s', c.conname, r.name), r.name, concat_ws(' ', pg_get_constraintdef(c.oid), c.convalidated), null
    from relation r join pg_catalog.pg_constraint c on c.conrelid = r.oid where c.conparentid = 0 and c.contype <> 'n'
  union all
  select format('index %s', i.indexrelid::regclass), r.name, pg_get_indexdef(i.indexrelid), null
    from relation r join pg_catalog.pg_index i on i.indrelid = r.oid
    where r.relkind in ('r', 'p') and not exists (select from pg_catalog.pg_constraint c where c.conindid = i.indexrelid and c.contype in ('p', 'u', 'x'))
  union all
  select format('function %s', p.oid::regprocedure), null, case p.prokind when 'a' then 'aggregate' else pg_get_functiondef(p.oid) end,
    coalesce(p.proacl, acldefault('f', p.proowner))
    from pg_catalog.pg_proc p join ours o on o.oid = p.pronamespace
  union all
  select format('trigger %I on %s', t.tgname, t.tgrelid::regclass), null, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled), null
    from pg_catalog.pg_trigger t where not t.tgisinternal and t.tgparentid = 0
      and (t.tgrelid in (select r.oid from relation r) or t.tgfoid in (select p.oid from pg_catalog.pg_proc p join ours o on o.oid = p.pronamespace))
  union all
  select format('policy %I on %s', p.polname, p.polrelid::regclass), r.name, concat_ws(' ', p.polcmd, p.polpermissive,
      (select string_agg(coalesce(g.rolname, 'public'), ',' order by g.rolname) from unnest(p.polroles) role (oid) left join pg_catalog.pg_roles g on g.oid = role.oid),
      'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid)), null
    from relation r join pg_catalog.pg_policy p on p.polrelid = r.oid
  union all
  select format('type %s', t.oid::regtype), null, concat_ws(' ', t.typtype, t.typnotnull, t.typdefault, format_type(nullif(t.typbasetype, 0), t.typtypmod),
      (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_catalog.pg_enum e where e.enumtypid = t.oid),
      (select string_agg(pg_get_constraintdef(c.oid), ',' order by c.conname) from pg_catalog.pg_constraint c where c.contypid = t.oid)), null
    from pg_catalog.pg_type t join ours o on o.oid = t.typnamespace where t.typtype in ('e', 'd')
)
select o.name, o.relation, md5(concat_ws(' ', o.definition, (
    select string_agg(concat_ws(' ', coalesce(g.rolname, 'public'), x.privilege_type, x.is_grantable), ',' order by coalesce(g.rolname, 'public'), x.privilege_type)
      from aclexplode(o.acl) x left join pg_catalog.pg_roles g on g.oid = x.grantee where x.grantee <> x.grantor))) as digest
  from object o;
comment on view orbit_private.schema_object is 'Everything that migrations make, by name, with the relation it belongs to and an MD5 of its definition and privileges as they are now.';

create table orbit_private.fingerprint (
  name text primary key,
  relation text,
  digest text not null,
  major int not null
);
alter table orbit_private.fingerprint enable row level security;
comment on table orbit_private.fingerprint is 'schema_object as it was after the last migration.';
comment on column orbit_private.fingerprint.name is 'Kind and name, such as `column orbit.test_runs.status`.';
comment on column orbit_private.fingerprint.relation is 'The table or view it belongs to; null for what stands for itself.';
comment on column orbit_private.fingerprint.digest is 'MD5, in hexadecimal.';
comment on column orbit_private.fingerprint.major is 'The server''s major version at that time: another one may spell the same definition in another way.';

create function orbit_private.take_fingerprint()
returns void language plpgsql set search_path = '' as $$
begin
  delete from orbit_private.fingerprint f where f.name is not null;
  insert into orbit_private.fingerprint (name, relation, digest, major)
    select o.name, o.relation, o.digest, current_setting('server_version_num')::int / 10000 from orbit_private.schema_object o;
end $$;
comment on function orbit_private.take_fingerprint is 'Takes the schema as it is now for what it should be. The last statement of a migration.';

create function orbit_private.schema_changes()
returns table (change text, name text) language sql stable set search_path = '' as $$
  select case when f.name is null then 'added' when o.name is null then 'dropped' else 'changed' end, coalesce(f.name, o.name)
    from orbit_private.fingerprint f full join orbit_private.schema_object o on o.name = f.name
    where exists (select from orbit_private.fingerprint m where m.major = current_setting('server_version_num')::int / 10000)
      and (f.digest is distinct from o.digest)
      and not (f.name is null and o.name like 'index %')
      -- Of what belongs to a relation that is gone, the relation says it all.
      and (o.name is not null or f.relation is null or to_regclass(f.relation) is not null
        or f.name ~ '^(table|view|materialized view|sequence) ')
    order by 2, 1
$$;
comment on function orbit_private.schema_changes is 'What was changed by hand since the last migration: `change` is added, dropped or changed. Empty, too, where the server was upgraded to another major version since.';

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
select orbit_private.take_fingerprint();
