{{ config(materialized = 'view') }}

select * from {{ ref('events') }}
qualify row_number() over (partition by uuid order by date desc, server_upload_time desc) = 1
