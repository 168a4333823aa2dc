create table if not exists charts (
  chart_id uuid primary key,
  message_id uuid not null,
  -- Who may see it.
  user_id text not null,
  org_id text,
  visibility text not null check (visibility in ('PRIVATE', 'ORGANIZATION', 'PUBLIC')),
  created_at timestamptz not null,
  -- As it was saved. jsonb would refuse \u0000, and change the order of keys; use it where you look into charts by SQL.
  chart json not null
);

-- All charts of a message, newest first.
create index if not exists charts_by_message on charts (message_id, created_at desc);
-- Those that are to be deleted.
create index if not exists charts_by_age on charts (created_at);
