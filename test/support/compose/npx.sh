#!/bin/sh
# In the stand-in's images: `npx prisma migrate deploy`, a migration tool that keeps its own books as Prisma does.
set -eu
if [ "$*" != "prisma migrate deploy" ]; then
  echo "npx: expected prisma migrate deploy, found $*" >&2
  exit 1
fi
here=$(cd -- "$(dirname -- "$0")/.." && pwd)
psql() { command psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --tuples-only --no-align "$DATABASE_URL" "$@"; }
psql -c 'CREATE TABLE IF NOT EXISTS _prisma_migrations (name text PRIMARY KEY, finished boolean NOT NULL)' 2>/dev/null
for file in "$here"/prisma/*.sql; do
  name=$(basename "$file" .sql)
  state=$(psql -c "SELECT finished FROM _prisma_migrations WHERE name = '$name'")
  if [ "$state" = t ]; then continue; fi
  if [ "$state" = f ]; then
    echo "Error: P3009: migrate found failed migrations in the target database: $name" >&2
    exit 1
  fi
  psql -c "INSERT INTO _prisma_migrations VALUES ('$name', false)"
  psql -f "$file" || { echo "Error: P3018: $name failed to apply ($DATABASE_URL)" >&2; exit 1; }
  psql -c "UPDATE _prisma_migrations SET finished = true WHERE name = '$name'"
  echo "applied $name"
done
