{# Each day's file, with the digest of the manifest that it was made from. #}
{% macro arrivals_made() %}
    select file_name as filename, regexp_extract(file_name, 'date=([^/]+)/[^/]*$', 1)::date as date, decode(value) as manifest_sha256
    from parquet_kv_metadata('{{ env_var("LAKE_PARQUET") }}/date=*/events.parquet')
    where decode(key) = 'manifest_sha256'
{% endmacro %}

{# What days an event of this row counts for: `date` (of arrival) stands in for an event_time that is not there. #}
{% macro event_date() %}coalesce(event_time::date, date){% endmacro %}

{# The dates on which the days that are new or were made again have events, or had. #}
{% macro remember_touched_dates(built) %}
    create or replace temp table touched_dates as
    with changed as (
        select made.* from ({{ arrivals_made() }}) as made
        anti join (select distinct date, manifest_sha256 from {{ built }}) as known using (date, manifest_sha256)
    )
    select {{ event_date() }} as event_date from {{ source('amplitude', 'arrivals') }} where date in (select date from changed)
    union
    select event_date from {{ built }} where date in (select date from changed)
{% endmacro %}
