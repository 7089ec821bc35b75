-- Statements tried one by one, each undone, and what they would have changed.
create schema attack;
grant usage on schema attack to public;
create table attack.baseline (name text primary key, statement text not null, digest text not null);

-- Definer: whoever attacks sees little of what they may have changed.
create function attack.changed() returns text[] language plpgsql security definer as $$
declare v_row attack.baseline; v_digest text; v_changed text[] := '{}';
begin
  for v_row in select * from attack.baseline loop
    execute v_row.statement into v_digest;
    if v_digest is distinct from v_row.digest then v_changed := v_changed || v_row.name; end if;
  end loop;
  return v_changed;
end $$;
create function attack.remember(p_organization uuid) returns void language plpgsql as $$
declare v_relation record; v_statement text; v_digest text;
begin
  for v_relation in
    select c.oid::regclass::text as name, exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'organization_id') as direct
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname like 'orbit%' and c.relkind in ('r', 'p') and not c.relispartition and c.relname !~ '^(limit_bucket|audit_)'
        and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname in ('organization_id', 'project_id'))
  loop
    v_statement := format('select coalesce(md5(string_agg(t::text, chr(10) order by t::text)), chr(45)) from %s t where %s', v_relation.name,
      case when v_relation.direct then format('organization_id = %L', p_organization)
        else format('project_id in (select id from orbit.projects where organization_id = %L)', p_organization) end);
    execute v_statement into v_digest;
    insert into attack.baseline values (v_relation.name, v_statement, v_digest);
  end loop;
end $$;
create function attack.attempt(p_statements text[])
returns table (code text, rows bigint, told text, changed text[]) language plpgsql as $$
declare v_statement text; v_message text; v_detail text; v_hint text; v_before bigint; v_after bigint;
begin
  foreach v_statement in array p_statements loop
    code := null; rows := 0; told := null; changed := '{}';
    begin
      if v_statement !~* '^\s*select' then
        execute v_statement;
        get diagnostics rows = row_count;
      else
        select sum(n_tup_ins + n_tup_upd + n_tup_del) into v_before from pg_stat_xact_user_tables;
        execute v_statement into told;
        rows := 1;
        select sum(n_tup_ins + n_tup_upd + n_tup_del) into v_after from pg_stat_xact_user_tables;
        if v_after <> v_before then
          changed := attack.changed();
        end if;
      end if;
      raise exception using errcode = 'ATTCK';
    exception
      when sqlstate 'ATTCK' then null;
      when others then
        get stacked diagnostics v_message = message_text, v_detail = pg_exception_detail, v_hint = pg_exception_hint;
        code := sqlstate;
        told := concat_ws(' | ', v_message, v_detail, v_hint);
    end;
    return next;
  end loop;
end $$;
grant execute on all functions in schema attack to public;
