"""What must hold of the queue between any two transactions, as one statement: a row for each rule that is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

__all__ = ["BROKEN", "FINAL", "OVERLOOKED", "check_invariants"]

FINAL = ("passed", "passed_on_retry", "failed", "errored", "timed_out", "skipped", "cancelled")


BROKEN = f"""
    select 'a ready job is not in exactly one place' as rule, j.id from orbit_private.job j
      where (j.state = 1)::int <> (select count(*) from orbit_private.ready y where y.job_id = j.id)
                                + (select count(*) from orbit_private.parked p where p.job_id = j.id)
    union all
    select 'listed under another lane or rank than its job''s', y.job_id from orbit_private.ready y
      left join orbit_private.job j on j.id = y.job_id
      where ((y.lane, y.rank) = (j.lane, j.rank) or y.lane = ~j.lane) is not true
    union all
    select 'parked with another rank, or at a gate that is not its own', p.job_id from orbit_private.parked p
      left join orbit_private.job j on j.id = p.job_id
      where (p.rank = j.rank and p.gate_id = any (j.gates)) is not true
    union all
    select 'held without a use of its gate', j.id from orbit_private.job j cross join unnest(j.gates) g (id)
      join orbit_private.gate o on o.id = g.id
      where j.state = 2 and not exists (select from orbit_private.gate_use u where u.job_id = j.id and u.gate_id = g.id)
    union all
    select 'a use of a gate that nobody holds', u.job_id from orbit_private.gate_use u
      left join orbit_private.job j on j.id = u.job_id left join orbit_private.gate g on g.id = u.gate_id
      where (j.state = 2 and u.gate_id = any (j.gates) and g.id is not null) is not true
    union all
    select 'a job in a lane that is not there', j.id from orbit_private.job j
      where j.lane <> j.id >> 20 and not exists (select from orbit_private.lane l where l.id = j.lane)
    union all
    select 'a job without a run in progress', j.id from orbit_private.job j
      where not exists (select from orbit_private.run_progress p where p.queue_no = j.id >> 20)
    union all
    select 'held by a worker that is gone', j.id from orbit_private.job j
      where j.state = 2 and not exists (select from orbit_private.worker w where w.id = j.worker_id)
    union all
    select 'pending is not the number of unmet requirements', j.id from orbit_private.job j
      join orbit_private.run_progress p on p.queue_no = j.id >> 20
      cross join lateral (select count(*) from orbit_private.job s where j.id >> 20 = s.id >> 20
                            and j.id = any (s.strict_children || s.loose_children)) above (n)
      -- in a run that is being stopped, one that somebody had locked is counted anew by that somebody
      where j.state = 0 and (j.pending < above.n or j.pending > above.n and p.stop_status is null)
    union all
    select 'ended, and still in the queue', j.id from orbit_private.job j
      join orbit.test_runs r on r.queue_no = j.id >> 20
      join orbit.test_results t on t.run_id = r.id and t.position = (j.id & 1048575)
    union all
    select 'a run without progress is not finished', r.queue_no << 20 from orbit.test_runs r
      where (r.finished_at is null) <> exists (select from orbit_private.run_progress p where p.queue_no = r.queue_no)
    union all
    select 'a gate of a run that is over', g.key::bigint << 20 from orbit_private.gate g
      where g.kind = 'run' and not exists (select from orbit_private.run_progress p where p.queue_no = g.key::bigint)
    union all
    select 'two results of one test', r.queue_no << 20 from orbit.test_results t join orbit.test_runs r on r.id = t.run_id
      group by r.queue_no, t.position having count(*) > 1
    union all
    select 'a gap in the events', e.queue_no << 20 from orbit_private.run_event e group by e.queue_no
      having min(e.seq) <> 1 or max(e.seq) <> count(*)
    union all
    select 'the last event is not the progress''s', p.queue_no << 20 from orbit_private.run_progress p
      where p.event_seq <> (select max(e.seq) from orbit_private.run_event e where e.queue_no = p.queue_no)
    union all
    select 'the counters are not the recount', r.queue_no << 20 from orbit.test_runs r
      left join orbit_private.run_progress p on p.queue_no = r.queue_no
      cross join lateral (
        select count(*) filter (where j.state < 2) as waiting, count(*) filter (where j.state = 2) as running
          from orbit_private.job j where j.id >> 20 = r.queue_no) q
      cross join lateral (
        select count(*) as n, {", ".join(f"count(*) filter (where t.status = '{status}') as {status}" for status in FINAL)}
          from orbit.test_results t where t.run_id = r.id) t
      where coalesce(r.counts, orbit_private.counts_of(p)) <> jsonb_build_object(
        'total', t.n + q.waiting + q.running, 'waiting', q.waiting, 'running', q.running,
        {", ".join(f"'{status}', t.{status}" for status in FINAL)})
"""

OVERLOOKED = """
    select 'parked at a gate that has room' as rule, p.job_id as id from orbit_private.parked p
      left join orbit_private.gate g on g.id = p.gate_id
      where g.per_second is null and (g.cap <= (select count(*) from orbit_private.gate_use u where u.gate_id = g.id)
          + (select count(*) from orbit_private.job j where j.state = 1 and g.id = any (j.gates)
               and not exists (select from orbit_private.parked o where o.job_id = j.id and o.gate_id = g.id))) is not true
"""
"""What the next tick puts right, and nothing but a claim that is given up may leave. Those of a gate's jobs that are listed, or
parked elsewhere, are let through first; what they leave wakes the others."""


async def check_invariants(connection: asyncpg.Connection[Any]) -> None:
    """Raises AssertionError naming the first rule that is broken; consistent, in one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        broken = await connection.fetch(BROKEN)
    assert not broken, f"{broken[0]['rule']}: {[(row['id'] >> 20, row['id'] & 0xFFFFF) for row in broken[:5]]}"
