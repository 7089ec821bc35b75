-- Removal: what goes with a run, a project, an organisation. Foreign keys take most of it; here is what they cannot: queue, progress,
-- events and context, which are named by number, and results, whose partitioned tables refer to nothing.

-- Definer: the queue is nobody's; whoever may delete the run was asked before.
create function orbit_private.tg_forget_runs()
returns trigger language plpgsql security definer set search_path = '' set enable_seqscan = off as $$
declare v_queue_nos bigint[]; v_ids uuid[]; v_from timestamptz;
begin
  select array_agg(d.queue_no order by d.queue_no), array_agg(d.id), min(d.created_at) - interval '1 day' into v_queue_nos, v_ids, v_from from gone d;
  if v_queue_nos is null then
    return null;
  end if;
  perform orbit_private.lock_queue(v_queue_nos);
  delete from orbit_private.ready y using unnest(v_queue_nos) q where y.job_id >= q << 20 and y.job_id < (q + 1) << 20;
  delete from orbit_private.parked y using unnest(v_queue_nos) q where y.job_id >= q << 20 and y.job_id < (q + 1) << 20;
  -- What they had of gates that stay comes back; whoever is parked there is woken by the next tick, for progress is locked.
  delete from orbit_private.gate_use u using unnest(v_queue_nos) q where u.job_id >= q << 20 and u.job_id < (q + 1) << 20;
  delete from orbit_private.gate g using gone d where g.organization_id = d.organization_id and g.kind = 'run' and g.key = d.queue_no::text;
  delete from orbit_private.job j using unnest(v_queue_nos) q where j.id >= q << 20 and j.id < (q + 1) << 20;
  delete from orbit_private.run_progress p where p.queue_no = any (v_queue_nos);
  delete from orbit_private.context_entry e where e.queue_no = any (v_queue_nos);
  delete from orbit_private.run_event e where e.queue_no = any (v_queue_nos);
  delete from orbit.test_result_details d where d.run_id = any (v_ids) and d.created_at >= v_from;
  delete from orbit.test_results r where r.run_id = any (v_ids) and r.created_at >= v_from;
  perform pg_notify('orbit_run', q::text) from unnest(v_queue_nos) q;
  return null;
end $$;
comment on function orbit_private.tg_forget_runs is 'Deletes all that is known of runs by their number or id. A worker that reports of them later hears that it is stale; one that holds something of them, with its next heartbeat that they are being stopped.';

create function orbit_private.lock_queue(p_queue_nos bigint[])
returns void language plpgsql set search_path = '' as $$
-- In the queue's order: jobs by id, then progress by queue_no. Whoever is at one of them gets done first.
begin
  perform 1 from orbit_private.job j where j.id = any (array(
      select i.id from unnest(p_queue_nos) q join orbit_private.job i on i.id >= q << 20 and i.id < (q + 1) << 20))
    order by j.id for update;
  perform 1 from orbit_private.run_progress p where p.queue_no = any (p_queue_nos) order by p.queue_no for update;
end $$;
comment on function orbit_private.lock_queue is 'Locks the jobs and the progress of runs, so that no worker is halfway through one of them.';

create trigger "200_forget_runs" after delete on orbit.test_runs referencing old table as gone
  for each statement execute function orbit_private.tg_forget_runs();
create trigger "200_forget_grants" after delete on orbit.environments referencing old table as gone
  for each statement execute function orbit_private.tg_forget_grants();
create trigger "200_forget_grants" after delete on orbit.test_suites referencing old table as gone
  for each statement execute function orbit_private.tg_forget_grants();

create function orbit_private.lock_projects(p_project_ids uuid[])
returns void language plpgsql set search_path = '' as $$
-- Suites first: whoever starts a run holds its suite until the run is there. Then the projects themselves, to which no suite can be
-- added from then on, and then what workers hold.
begin
  perform 1 from orbit.test_suites s where s.project_id = any (p_project_ids) order by s.id for update;
  perform 1 from orbit.projects p where p.id = any (p_project_ids) order by p.id for update;
  perform orbit_private.lock_queue(array(
    select g.queue_no from orbit_private.run_progress g join orbit.test_runs r on r.queue_no = g.queue_no where r.project_id = any (p_project_ids)));
end $$;
comment on function orbit_private.lock_projects is 'Before projects are deleted: waits for whoever is at work in them, and lets nobody begin.';

create function orbit_private.refuse_unconfirmed(p_request jsonb, p_what text, p_slug text)
returns void language plpgsql stable set search_path = '' as $$
begin
  if p_request ->> 'confirm' is distinct from p_slug then
    perform orbit_private.refuse('OR001', format('deleting the %s %s is not confirmed', p_what, p_slug), 'All it holds goes with it, and does not come back.',
      format('Give its slug once more: confirm: %s', p_slug));
  end if;
end $$;
comment on function orbit_private.refuse_unconfirmed is 'OR001 unless the request''s `confirm` is the slug of what is to be deleted.';

-- Definer: it deletes what callers may only read, after require().
create function orbit_private.delete_project(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_project orbit.projects;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'project', 'confirm']);
  perform orbit_private.required(p_request, 'project');
  v_project := orbit_private.project_of(p_request);
  perform orbit_private.require('project.write', 'project', v_project.id);
  perform orbit_private.refuse_unconfirmed(p_request, 'project', v_project.slug);
  perform orbit_private.lock_projects(array[v_project.id]);
  delete from orbit.projects p where p.id = v_project.id;
  return jsonb_build_object('id', v_project.id, 'deleted', found);
end $$;
comment on function orbit_private.delete_project is 'See orbit.delete_project.';
create function orbit.delete_project(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_project(p_request) $$;
comment on function orbit.delete_project is 'Deletes a project with all it holds, runs that are going on included: {organization?, project, confirm: its slug} → {id, deleted}.';

-- Definer: as delete_project.
create function orbit_private.delete_organization(p_request jsonb)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare v_id uuid; v_slug text;
begin
  perform orbit_private.refuse_unknown(p_request, array['organization', 'confirm']);
  perform orbit_private.required(p_request, 'organization');
  v_id := orbit_private.organization_of(p_request);
  select o.slug into v_slug from orbit.organizations o where o.id = v_id;
  perform orbit_private.require('organization.delete', 'organization', v_id);
  perform orbit_private.refuse_unconfirmed(p_request, 'organization', v_slug);
  perform orbit_private.lock_owners(v_id);
  perform orbit_private.require('organization.delete', 'organization', v_id);
  perform orbit_private.lock_projects(array(select p.id from orbit.projects p where p.organization_id = v_id));
  delete from orbit.organizations o where o.id = v_id;
  return jsonb_build_object('id', v_id, 'deleted', found);
end $$;
comment on function orbit_private.delete_organization is 'See orbit.delete_organization.';
create function orbit.delete_organization(p_request jsonb)
returns jsonb language sql set search_path = '' as $$ select orbit_private.delete_organization(p_request) $$;
comment on function orbit.delete_organization is 'Deletes an organisation with all it holds, runs that are going on included: {organization, confirm: its slug} → {id, deleted}. Its owners only. What the audit log says of it stays.';

grant execute on function orbit_private.delete_project, orbit_private.delete_organization, orbit.delete_project, orbit.delete_organization to authenticated, service_role;

revoke execute on all functions in schema orbit, orbit_private, orbit_runner from public;
