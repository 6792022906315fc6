#!/bin/sh
# Run once by the postgres image, on an empty data folder: two databases, each with an owner of its own, so
# that neither Airflow nor Kundresa can read or drop the other's tables.
set -eu

create() { # name password
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
        --set name="$1" --set password="$2" <<'SQL'
create role :"name" login password :'password';
create database :"name" owner :"name";
revoke connect on database :"name" from public;
SQL
}

create airflow "${AIRFLOW_DATABASE_PASSWORD:?is not set}"
create kundresa "${KUNDRESA_DATABASE_PASSWORD:?is not set}"
