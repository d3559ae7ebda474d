-- Makes the roles by which members copy the primary's data and log. A second run changes nothing.
-- A failed statement would be logged with the password in it.
SET log_min_error_statement = 'panic';
\getenv replication MEMBERS_REPLICATION_USERNAME
\getenv replication_password MEMBERS_REPLICATION_PASSWORD
\getenv rewind MEMBERS_REWIND_USERNAME
\getenv rewind_password MEMBERS_REWIND_PASSWORD
SELECT format('CREATE ROLE %I', role) FROM (VALUES (:'replication'), (:'rewind')) AS wanted (role)
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec
ALTER ROLE :"replication" LOGIN REPLICATION PASSWORD :'replication_password';
ALTER ROLE :"rewind" LOGIN PASSWORD :'rewind_password';
-- What pg_rewind asks for: https://www.postgresql.org/docs/18/app-pgrewind.html
GRANT CONNECT ON DATABASE postgres TO :"rewind";
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean),
  pg_catalog.pg_stat_file(text, boolean), pg_catalog.pg_read_binary_file(text),
  pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO :"rewind";
