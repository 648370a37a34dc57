-- Both hooks are in the transaction of the insert. delete+insert would leave a date alone that has no events any more.
{{ config(
    materialized = 'incremental',
    incremental_strategy = 'append',
    on_schema_change = 'fail',
    pre_hook = [
        "{% if is_incremental() %}{{ remember_touched_dates(this) }}{% endif %}",
        "{% if is_incremental() %}delete from {{ this }} where event_date in (select event_date from touched_dates){% endif %}",
    ]
) }}

select arrivals.* exclude (filename), {{ event_date() }} as event_date, made.manifest_sha256
from {{ source('amplitude', 'arrivals') }} as arrivals
join ({{ arrivals_made() }}) as made using (filename, date)
{% if is_incremental() %}
where {{ event_date() }} in (select event_date from touched_dates)
{% endif %}
