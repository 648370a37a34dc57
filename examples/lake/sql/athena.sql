-- Athena over amp-load's objects, with the key template events/project={project}/date={date}/hour={hour}/{file}.
-- Replace my-bucket/amplitude, the project's id and the first day. Partitions are computed, so no crawler and no MSCK REPAIR. Not run by the project: parsed only.
-- Objects and times are strings: json_extract_scalar(event_properties, '$.price'), CAST(event_time AS timestamp(6)).
CREATE EXTERNAL TABLE amplitude_arrivals (
    `insert_id` string,
    `insert_key` string,
    `schema` string,
    `adid` string,
    `amplitude_attribution_ids` string,
    `amplitude_event_type` string,
    `amplitude_id` bigint,
    `app` bigint,
    `city` string,
    `client_event_time` string,
    `client_upload_time` string,
    `country` string,
    `data` string,
    `data_type` string,
    `device_brand` string,
    `device_carrier` string,
    `device_family` string,
    `device_id` string,
    `device_manufacturer` string,
    `device_model` string,
    `device_type` string,
    `dma` string,
    `event_id` bigint,
    `event_properties` string,
    `event_time` string,
    `event_type` string,
    `global_user_properties` string,
    `group_properties` string,
    `groups` string,
    `idfa` string,
    `ip_address` string,
    `is_attribution_event` boolean,
    `language` string,
    `library` string,
    `location_lat` double,
    `location_lng` double,
    `os_name` string,
    `os_version` string,
    `partner_id` string,
    `paying` string,
    `plan` string,
    `platform` string,
    `processed_time` string,
    `region` string,
    `sample_rate` string,
    `server_received_time` string,
    `server_upload_time` string,
    `session_id` bigint,
    `source_id` string,
    `start_version` string,
    `user_creation_time` string,
    `user_id` string,
    `user_properties` string,
    `uuid` string,
    `version_name` string
)
PARTITIONED BY (`project` string, `date` string, `hour` string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES (
    'ignore.malformed.json' = 'false',
    'mapping.insert_id' = '$insert_id',
    'mapping.insert_key' = '$insert_key',
    'mapping.schema' = '$schema'
)
LOCATION 's3://my-bucket/amplitude/events/'
TBLPROPERTIES (
    'projection.enabled' = 'true',
    'projection.project.type' = 'enum',
    'projection.project.values' = '100011471',
    'projection.date.type' = 'date',
    'projection.date.format' = 'yyyy-MM-dd',
    'projection.date.range' = '2025-01-01,NOW',
    'projection.hour.type' = 'integer',
    'projection.hour.range' = '0,23',
    'projection.hour.digits' = '2',
    'storage.location.template' = 's3://my-bucket/amplitude/events/project=${project}/date=${date}/hour=${hour}/'
);

-- Each event once, as Amplitude delivered it last.
CREATE VIEW amplitude_events AS
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY uuid ORDER BY "date" DESC, server_upload_time DESC) AS delivery FROM amplitude_arrivals
) WHERE delivery = 1;
