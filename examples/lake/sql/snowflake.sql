-- Snowflake: a day of amp-load's objects into a table, with a key template that begins events/project={project}/date={date}/.
-- Replace my-bucket/amplitude and the storage integration. Not run by the project: parsed only.
CREATE STAGE amplitude_stage
    URL = 's3://my-bucket/amplitude/events/'
    STORAGE_INTEGRATION = amplitude_s3
    FILE_FORMAT = (TYPE = JSON COMPRESSION = AUTO);

CREATE TABLE amplitude_arrivals (event VARIANT, "date" DATE, file VARCHAR, loaded_at TIMESTAMP_LTZ);

-- Once a day has its manifest, and again when its manifest changed. FORCE, because Snowflake skips a file that it knows by name, and a
-- repaired hour has the name that it had.
BEGIN;
DELETE FROM amplitude_arrivals WHERE "date" = '2025-11-06';
COPY INTO amplitude_arrivals
FROM (
    SELECT $1, TO_DATE(REGEXP_SUBSTR(METADATA$FILENAME, 'date=([0-9-]+)/', 1, 1, 'e')), METADATA$FILENAME, CURRENT_TIMESTAMP()
    FROM @amplitude_stage
)
PATTERN = '.*/date=2025-11-06/.*[.]json([.]gz)?'
FORCE = TRUE
ON_ERROR = ABORT_STATEMENT;
COMMIT;

-- Each event once, as Amplitude delivered it last.
CREATE VIEW amplitude_events AS
SELECT
    event:"$insert_id"::VARCHAR AS "$insert_id",
    event:"$insert_key"::VARCHAR AS "$insert_key",
    event:"$schema"::VARCHAR AS "$schema",
    event:"adid"::VARCHAR AS "adid",
    event:"amplitude_attribution_ids"::VARCHAR AS "amplitude_attribution_ids",
    event:"amplitude_event_type"::VARCHAR AS "amplitude_event_type",
    event:"amplitude_id"::NUMBER AS "amplitude_id",
    event:"app"::NUMBER AS "app",
    event:"city"::VARCHAR AS "city",
    event:"client_event_time"::TIMESTAMP_NTZ AS "client_event_time",
    event:"client_upload_time"::TIMESTAMP_NTZ AS "client_upload_time",
    event:"country"::VARCHAR AS "country",
    event:"data" AS "data",
    event:"data_type"::VARCHAR AS "data_type",
    event:"device_brand"::VARCHAR AS "device_brand",
    event:"device_carrier"::VARCHAR AS "device_carrier",
    event:"device_family"::VARCHAR AS "device_family",
    event:"device_id"::VARCHAR AS "device_id",
    event:"device_manufacturer"::VARCHAR AS "device_manufacturer",
    event:"device_model"::VARCHAR AS "device_model",
    event:"device_type"::VARCHAR AS "device_type",
    event:"dma"::VARCHAR AS "dma",
    event:"event_id"::NUMBER AS "event_id",
    event:"event_properties" AS "event_properties",
    event:"event_time"::TIMESTAMP_NTZ AS "event_time",
    event:"event_type"::VARCHAR AS "event_type",
    event:"global_user_properties" AS "global_user_properties",
    event:"group_properties" AS "group_properties",
    event:"groups" AS "groups",
    event:"idfa"::VARCHAR AS "idfa",
    event:"ip_address"::VARCHAR AS "ip_address",
    event:"is_attribution_event"::BOOLEAN AS "is_attribution_event",
    event:"language"::VARCHAR AS "language",
    event:"library"::VARCHAR AS "library",
    event:"location_lat"::FLOAT AS "location_lat",
    event:"location_lng"::FLOAT AS "location_lng",
    event:"os_name"::VARCHAR AS "os_name",
    event:"os_version"::VARCHAR AS "os_version",
    event:"partner_id"::VARCHAR AS "partner_id",
    event:"paying"::VARCHAR AS "paying",
    event:"plan" AS "plan",
    event:"platform"::VARCHAR AS "platform",
    event:"processed_time"::TIMESTAMP_NTZ AS "processed_time",
    event:"region"::VARCHAR AS "region",
    event:"sample_rate"::VARCHAR AS "sample_rate",
    event:"server_received_time"::TIMESTAMP_NTZ AS "server_received_time",
    event:"server_upload_time"::TIMESTAMP_NTZ AS "server_upload_time",
    event:"session_id"::NUMBER AS "session_id",
    event:"source_id"::VARCHAR AS "source_id",
    event:"start_version"::VARCHAR AS "start_version",
    event:"user_creation_time"::TIMESTAMP_NTZ AS "user_creation_time",
    event:"user_id"::VARCHAR AS "user_id",
    event:"user_properties" AS "user_properties",
    event:"uuid"::VARCHAR AS "uuid",
    event:"version_name"::VARCHAR AS "version_name",
    "date"
FROM amplitude_arrivals
QUALIFY ROW_NUMBER() OVER (PARTITION BY event:"uuid"::VARCHAR ORDER BY "date" DESC, loaded_at DESC) = 1;

-- Instead of the daily COPY, minutes after each upload: a pipe on the bucket's event notifications. It never loads a name twice, so a
-- repaired hour needs the transaction above.
CREATE PIPE amplitude_pipe AUTO_INGEST = TRUE AS
COPY INTO amplitude_arrivals
FROM (
    SELECT $1, TO_DATE(REGEXP_SUBSTR(METADATA$FILENAME, 'date=([0-9-]+)/', 1, 1, 'e')), METADATA$FILENAME, CURRENT_TIMESTAMP()
    FROM @amplitude_stage
)
PATTERN = '.*[.]json([.]gz)?';
