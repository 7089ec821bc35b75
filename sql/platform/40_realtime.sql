-- Where broadcasts begin: the table that Realtime reads, and the functions that write to it. On Supabase the service makes a
-- partition a day; here one default partition takes everything, so that no message is lost for want of a partition.

create schema if not exists realtime;
grant usage on schema realtime to anon, authenticated, service_role;

do $platform$
begin
  if to_regclass('realtime.messages') is null then
    create table realtime.messages (
      topic text not null,
      extension text not null,
      payload jsonb,
      event text,
      private boolean default false,
      updated_at timestamp not null default now(),
      inserted_at timestamp not null default now(),
      id uuid not null default gen_random_uuid(),
      primary key (id, inserted_at)
    ) partition by range (inserted_at);
    comment on table realtime.messages is 'Orbit platform: broadcasts; kept for three days.';

    -- Unlogged: a broadcast is news for those who listen now, and need not outlive the server.
    create unlogged table realtime.messages_default partition of realtime.messages default;
    create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
      where extension = 'broadcast' and private is true;
    alter table realtime.messages enable row level security;
    alter table realtime.messages_default enable row level security;
    grant select, insert, update on realtime.messages to anon, authenticated, service_role;
  end if;

  if pg_temp.may_define('realtime.topic()') then
    create or replace function realtime.topic()
    returns text language sql stable set search_path = '' as $$
      select nullif(current_setting('realtime.topic', true), '')
    $$;
    comment on function realtime.topic() is 'Orbit platform: the channel that is being joined or sent to; for policies on realtime.messages.';
  end if;

  if pg_temp.may_define('realtime.send(jsonb,text,text,boolean)') then
    create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true)
    returns void language plpgsql as $$
    declare
      v_id uuid := gen_random_uuid();
      v_payload jsonb := payload;
    begin
      -- As the hosted function does: an id of its own where there is none, and no error ever reaches the caller.
      if jsonb_typeof(v_payload) = 'object' and not v_payload ? 'id' then
        v_payload := v_payload || jsonb_build_object('id', v_id);
      end if;
      perform set_config('realtime.topic', topic, true);
      insert into realtime.messages (id, payload, event, topic, private, extension)
      values (v_id, v_payload, event, topic, private, 'broadcast');
      -- The service drops what is older than three days; here one message in a thousand takes some of them along.
      if random() < 0.001 and to_regclass('realtime.messages_default') is not null then
        delete from realtime.messages_default d
        where d.ctid = any (array(
          select o.ctid from realtime.messages_default o
          where o.inserted_at < now() - interval '3 days' limit 5000 for update skip locked));
      end if;
    exception when others then
      raise warning 'realtime.send: the message for % was not stored: %', topic, sqlerrm;
    end $$;
    comment on function realtime.send(jsonb, text, text, boolean) is 'Orbit platform: broadcast a message on a channel; errors become warnings.';
  end if;
end $platform$;
