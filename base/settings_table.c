#include "base/settings.h"

#include "base/roots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Further rules of texts --------------------------------------------------------------------------------- */

static const char *settings_check_address(const char *value)
{
    struct sockaddr_storage address;
    socklen_t length;
    return settings_parse_address(value, &address, &length);
}

static const char *settings_check_address_or_none(const char *value)
{
    return value[0] == '\0' ? NULL : settings_check_address(value);
}

static const char *settings_check_tier(const char *value)
{
    return strstr(value, "://") == NULL || strncmp(value, "s3://", 5) == 0
               ? NULL
               : "it is a directory or begins with s3://";
}

static const char *settings_check_endpoint(const char *value)
{
    return value[0] == '\0' || strncmp(value, "http://", 7) == 0 || strncmp(value, "https://", 8) == 0
               ? NULL
               : "it must begin with http:// or https://";
}

static const char *settings_check_printable(const char *value)
{
    for (const char *c = value; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            return "it may hold only printable ASCII characters";
    return NULL;
}

static const char *settings_check_base_url(const char *value)
{
    if (value[0] == '\0')
        return NULL;
    size_t scheme = strncmp(value, "http://", 7) == 0 ? 7 : strncmp(value, "https://", 8) == 0 ? 8 : 0;
    if (scheme == 0)
        return "it must begin with http:// or https://";
    if (value[scheme] == '\0' || value[scheme] == '/' || value[scheme] == ':')
        return "there is no host";
    for (const char *c = value; *c != '\0'; c++)
        if (*c <= 0x20 || *c > 0x7e || strchr("\"<>\\^`{|}?#", *c) != NULL)
            return "it may hold neither a query nor a fragment nor characters that must be escaped";
    return NULL;
}

const char *settings_syslog_path(const char *value)
{
    if (strcmp(value, "syslog") == 0)
        return LOG_SYSLOG_PATH;
    return strncmp(value, "syslog:", 7) == 0 ? value + 7 : NULL;
}

static const char *settings_check_socket(const char *value)
{
    return strlen(value) > 90 ? "a socket's path has at most 90 characters" : NULL;
}

static const char *settings_check_mode(const char *value)
{
    return strlen(value) == 3 && strspn(value, "01234567") == 3
               ? NULL
               : "rights are three octal digits, such as 660";
}

static const char *settings_check_log(const char *value)
{
    const char *path = settings_syslog_path(value);
    if (value[0] == '\0' || (path != NULL && path[0] == '\0'))
        return "it is empty";
    return path != NULL && strlen(path) > 100 ? "a socket's path has at most 100 characters" : NULL;
}

/* The table ---------------------------------------------------------------------------------------------- */

static const char *settings_check_colour(const char *value)
{
    size_t digits = strspn(value, "0123456789abcdefABCDEF");
    return digits == 6 && value[6] == '\0' ? NULL : "a colour is six hexadecimal digits, RRGGBB";
}

static const char *settings_check_tile(const char *value)
{
    return strtoll(value, NULL, 10) % 16 == 0 ? NULL : "tiles are a multiple of 16 pixels wide and high";
}

/* A name below the destination: the known parts in braces, no way out, and different sources differ in it. */
static const char *settings_check_destination(const char *value)
{
    static const char *const part[] = {"{path}", "{dir}", "{name}", "{extension}"};
    for (const char *c = strchr(value, '{'); c != NULL; c = strchr(c + 1, '{')) {
        bool is_known = false;
        for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
            is_known = is_known || strncmp(c, part[i], strlen(part[i])) == 0;
        if (!is_known)
            return "in braces there may be path, dir, name and extension";
    }
    if (strstr(value, "{path}") == NULL && strstr(value, "{name}") == NULL)
        return "neither {path} nor {name} is in it, so that all pyramids would get one name";
    if (value[0] == '/' || strstr(value, "..") != NULL)
        return "it lies below the folder that --into names: no / at the beginning, no .. in it";
    return NULL;
}

#define FIELD(name) offsetof(struct settings, name)
#define KIB         INT64_C(1024)
#define MIB         (1024 * KIB)
#define GIB         (1024 * MIB)

/* clang-format off */
const struct settings_row settings_table[] = {
    /* where */
    {"listen", "--listen", SETTINGS_TEXT, "127.0.0.1:8080", 0, 0, "ADDR:PORT", FIELD(listen),
     "address of the public service; [::]:80 stands for all addresses of both families",
     settings_check_address},
    {"admin", "--admin", SETTINGS_TEXT, "127.0.0.1:8081", 0, 0, "ADDR:PORT", FIELD(admin),
     "address for /health, /ready, /metrics and /status; empty: none", settings_check_address_or_none},
    {"admin_socket", "--admin-socket", SETTINGS_TEXT, "auto", 0, 0, "PATH|auto", FIELD(admin_socket),
     "UNIX socket by which purge, prune, warm and status work without the token; auto: in $RUNTIME_DIRECTORY, /run/vitrine, "
     "$XDG_RUNTIME_DIR or /tmp; empty: none", settings_check_socket},
    {"admin_socket_mode", NULL, SETTINGS_TEXT, "600", 0, 0, "MODE", FIELD(admin_socket_mode),
     "rights of its file, in octal digits; 660 lets in its group", settings_check_mode},
    {"admin_socket_group", NULL, SETTINGS_TEXT, "", 0, 0, "GROUP", FIELD(admin_socket_group),
     "whose group its file has; empty: the server's own", settings_check_printable},
    {"admin_token", NULL, SETTINGS_TEXT, "", 0, 0, "TOKEN", FIELD(admin_token),
     "what purge, prune and warm must know; empty: they are off. Not set: $VITRINE_ADMIN_TOKEN",
     settings_check_printable},
    {"images", "--images", SETTINGS_LIST, ".", 0, 0, "[NAME=]DIR|s3://BUCKET/PREFIX|http(s)://HOST/PATH", FIELD(images),
     "where the pictures are; of several the first that has a picture wins", roots_check},
    {"cache", "--cache", SETTINGS_TEXT, "", 0, 0, "DIR", FIELD(cache),
     "a directory for caches; empty: none. Not set: $CACHE_DIRECTORY, as systemd says it", NULL},
    {"base_url", NULL, SETTINGS_TEXT, "", 0, 0, "URL", FIELD(base_url),
     "how clients reach the server, for id and links; empty: as each request says", settings_check_base_url},
    {"trusted_proxies", NULL, SETTINGS_TEXT, "", 0, 0, "LIST", FIELD(trusted_proxies),
     "addresses, networks, loopback or private, whose Forwarded headers are believed",
     settings_check_printable},
    {"identifier_rules", NULL, SETTINGS_TEXT, "", 0, 0, "FILE", FIELD(identifier_rules),
     "rules that lead from identifiers to sources (prefix, suffix, regex), the first that matches wins; empty: none",
     NULL},
    {"retired", NULL, SETTINGS_TEXT, "", 0, 0, "FILE", FIELD(retired),
     "identifiers that have moved or are gone, a line \"old new\" or \"old -\" each; needs a cache; empty: none",
     NULL},
    {"catalogue", NULL, SETTINGS_TEXT, "", 0, 0, "FILE", FIELD(catalogue),
     "CSV file with a row for each picture or folder that manifests have to say more about; needs a cache; empty: none",
     NULL},
    {"catalogue_columns", NULL, SETTINGS_TEXT, "", 0, 0, "COLUMN=NAME;...", FIELD(catalogue_columns),
     "what its columns are: identifier, label, summary, rights, requiredStatement, viewingDirection, navDate, behavior, "
     "pages, or a line of the metadata; @LANGUAGE may follow; empty: as they are called",
     NULL},
    {"activity_scan", NULL, SETTINGS_WHOLE, "60", 0, 86400, "s", FIELD(activity_scan_s),
     "how often images are looked through for the changes that /activity tells, more seldom where that takes long; "
     "needs a cache; 0: never",
     NULL},
    {"activity_records", NULL, SETTINGS_WHOLE, "1000000", 1000, INT64_C(100000000), "records", FIELD(activity_records),
     "changes that are kept, or twice as many as there are images if that is more", NULL},
    /* processes */
    {"workers", "--workers", SETTINGS_WHOLE, "0", 0, 128, "processes", FIELD(workers),
     "processes that serve; 0: one per CPU", NULL},
    {"render_threads", NULL, SETTINGS_WHOLE, "0", 0, 256, "threads", FIELD(render_threads),
     "render threads of each worker; 0: chosen from CPUs and workers", NULL},
    {"drain_timeout", NULL, SETTINGS_WHOLE, "30", 0, 3600, "s", FIELD(drain_timeout_s),
     "how long answers in flight may take after TERM", NULL},
    {"error_log", "--error-log", SETTINGS_TEXT, "stderr", 0, 0, "stderr|syslog|FILE", FIELD(error_log),
     "where events are logged; a file is opened anew on USR1; syslog:PATH is another socket than /dev/log", settings_check_log},
    {"access_log", "--access-log", SETTINGS_TEXT, "off", 0, 0, "off|stderr|syslog|FILE", FIELD(access_log),
     "where each answer is logged; lines that cannot be written in time are dropped and counted", settings_check_log},
    {"access_log_format", NULL, SETTINGS_CHOICE, "combined", 0, 0, "common|combined|json", FIELD(access_log_format),
     "what a line of the access log is like; json says all there is to know", NULL},
    {"slow_request_ms", NULL, SETTINGS_WHOLE, "10000", 0, 3600000, "ms", FIELD(slow_request_ms),
     "an answer that takes longer to begin is logged with where its time went; 0: none is", NULL},
    {"log_level", NULL, SETTINGS_CHOICE, "info", 0, 0, "error|warning|info|debug", FIELD(log_level),
     "the least important events that are logged", NULL},
    /* protection */
    {"render_hang_timeout", NULL, SETTINGS_WHOLE, "30", 1, 3600, "s", FIELD(render_hang_timeout_s),
     "a render without progress for so long has its worker killed and counts as a crash of that image", NULL},
    {"worker_hang_timeout", NULL, SETTINGS_WHOLE, "10", 3, 3600, "s", FIELD(worker_hang_timeout_s),
     "a worker that shows no sign of life for so long is killed; three times as long while it starts", NULL},
    {"quarantine", NULL, SETTINGS_WHOLE, "600", 0, 86400, "s", FIELD(quarantine_s),
     "for so long an image that crashed a worker twice is answered with 503; 0: not at all", NULL},
    {"worker_max_rss", NULL, SETTINGS_WHOLE, "2G", 0, 1024 * GIB, "bytes", FIELD(worker_max_rss),
     "a worker that holds more memory is replaced once its answers are out; 0: never", NULL},
    {"worker_max_requests", NULL, SETTINGS_WHOLE, "0", 0, INT64_C(1000000000000), "requests",
     FIELD(worker_max_requests), "a worker that has answered so many is replaced; 0: never", NULL},
    {"worker_max_memory", NULL, SETTINGS_WHOLE, "8G", 0, 1024 * GIB, "bytes", FIELD(worker_max_memory),
     "above it a worker gets no memory from the system; 0: no limit", NULL},
    {"user", NULL, SETTINGS_TEXT, "vitrine,nobody", 0, 0, "NAMES", FIELD(user),
     "who workers become when started by root: the first of these that exists; empty: root",
     settings_check_printable},
    {"sandbox", NULL, SETTINGS_SWITCH, "true", 0, 0, NULL, FIELD(sandbox),
     "whether workers give up all they do not need: other files, programs, connections", NULL},
    /* what is served */
    {"max_width", NULL, SETTINGS_WHOLE, "16384", 1, 1000000, "px", FIELD(max_width),
     "widest picture that is made", NULL},
    {"max_height", NULL, SETTINGS_WHOLE, "16384", 1, 1000000, "px", FIELD(max_height),
     "highest picture that is made", NULL},
    {"max_area", NULL, SETTINGS_WHOLE, "100000000", 1, INT64_C(1000000000000), "px", FIELD(max_area),
     "largest picture that is made, width times height", NULL},
    {"upscaling", NULL, SETTINGS_SWITCH, "true", 0, 0, NULL, FIELD(upscaling),
     "whether ^ sizes may exceed the source's resolution", NULL},
    {"jpeg_quality", NULL, SETTINGS_WHOLE, "80", 1, 100, "", FIELD(jpeg_quality),
     "quality of JPEG answers", NULL},
    {"webp_quality", NULL, SETTINGS_WHOLE, "80", 1, 100, "", FIELD(webp_quality),
     "quality of WebP answers", NULL},
    {"avif_quality", NULL, SETTINGS_WHOLE, "60", 1, 100, "", FIELD(avif_quality),
     "quality of AVIF answers", NULL},
    {"metadata", NULL, SETTINGS_CHOICE, "full-image", 0, 0, "full-image|always|never", FIELD(metadata),
     "which answers carry the source's EXIF, XMP and IPTC", NULL},
    {"passthrough", NULL, SETTINGS_CHOICE, "auto", 0, 0, "auto|never", FIELD(passthrough),
     "whether stored tiles are sent without decoding where that is possible", NULL},
    {"cache_control", NULL, SETTINGS_TEXT, "public, max-age=86400", 0, 0, "TEXT", FIELD(cache_control),
     "the Cache-Control header of images and info.json; empty: none", settings_check_printable},
    {"robots", NULL, SETTINGS_TEXT, "", 0, 0, "FILE", FIELD(robots),
     "what /robots.txt says; empty: pages and documents may be collected, pixels may not", NULL},
    {"revalidate", NULL, SETTINGS_WHOLE, "5", 0, 86400, "s", FIELD(revalidate_s),
     "after so long a replaced or deleted source has been noticed", NULL},
    /* sources that are not in a folder here */
    {"s3_region", NULL, SETTINGS_TEXT, "", 0, 0, "NAME", FIELD(s3_region),
     "region of the bucket; empty: $AWS_REGION, else us-east-1", settings_check_printable},
    {"s3_endpoint", NULL, SETTINGS_TEXT, "", 0, 0, "URL", FIELD(s3_endpoint),
     "the S3 server; empty: $AWS_ENDPOINT_URL, else Amazon's in that region", settings_check_endpoint},
    {"s3_path_style", NULL, SETTINGS_SWITCH, "false", 0, 0, NULL, FIELD(s3_path_style),
     "whether the bucket is named in the path of S3 requests rather than in the host", NULL},
    {"s3_access_key", NULL, SETTINGS_TEXT, "", 0, 0, "KEY", FIELD(s3_access_key),
     "empty: from the environment, the shared credentials file or the EC2 metadata service", settings_check_printable},
    {"s3_secret_key", NULL, SETTINGS_TEXT, "", 0, 0, "KEY", FIELD(s3_secret_key),
     "the secret that belongs to s3_access_key", settings_check_printable},
    {"s3_session_token", NULL, SETTINGS_TEXT, "", 0, 0, "TOKEN", FIELD(s3_session_token),
     "the token that belongs to a temporary s3_access_key", settings_check_printable},
    {"s3_credentials", NULL, SETTINGS_CHOICE, "auto", 0, 0, "auto|none", FIELD(s3_credentials),
     "none: requests to a public bucket are not signed", NULL},
    {"http_hosts", NULL, SETTINGS_TEXT, "", 0, 0, "LIST", FIELD(http_hosts),
     "further hosts that an http origin may redirect to", settings_check_printable},
    {"http_networks", NULL, SETTINGS_TEXT, "", 0, 0, "LIST", FIELD(http_networks),
     "networks, loopback or private, in which an http origin may lie though they are not public", settings_check_printable},
    {"fetch_timeout", NULL, SETTINGS_WHOLE, "10", 1, 300, "s", FIELD(fetch_timeout_s),
     "an origin from which nothing comes for so long has failed", NULL},
    {"fetch_tries", NULL, SETTINGS_WHOLE, "3", 1, 10, "tries", FIELD(fetch_tries),
     "how often an origin is asked before a request fails", NULL},
    {"fetch_connections", NULL, SETTINGS_WHOLE, "64", 1, 1024, "connections", FIELD(fetch_connections),
     "connections of a worker to its origin", NULL},
    {"stale_if_error", NULL, SETTINGS_WHOLE, "86400", 0, 31536000, "s", FIELD(stale_if_error_s),
     "for so long what was fetched of a source is served on while its origin fails", NULL},
    {"block_cache", NULL, SETTINGS_WHOLE, "10G", 16 * MIB, 1024 * 1024 * GIB, "bytes", FIELD(block_cache_bytes),
     "room in the cache directory for what is fetched of sources", NULL},
    {"whole_file_limit", NULL, SETTINGS_WHOLE, "256M", 1 * MIB, 1024 * GIB, "bytes", FIELD(whole_file_bytes),
     "largest source that is fetched from an origin which cannot send parts", NULL},
    {"slow_folder", NULL, SETTINGS_CHOICE, "auto", 0, 0, "auto|always|never", FIELD(slow_folder),
     "whether the image directory may hang and is read by threads of its own; auto: on network file systems", NULL},
    {"folder_threads", NULL, SETTINGS_WHOLE, "16", 1, 64, "threads", FIELD(folder_threads),
     "threads of a worker that read an image directory which may hang", NULL},
    {"derivative_cache", NULL, SETTINGS_SWITCH, "true", 0, 0, NULL, FIELD(derivative_cache),
     "whether rendered answers are kept: small ones in memory, all in the cache directory if there is one", NULL},
    {"memory_cache", NULL, SETTINGS_WHOLE, "32M", 0, 1024 * GIB, "bytes", FIELD(memory_cache),
     "memory for small rendered answers, shared by all workers; 0: none", NULL},
    {"tile_memory", NULL, SETTINGS_WHOLE, "32M", 0, 1024 * GIB, "bytes", FIELD(tile_memory),
     "memory of each worker for stored tiles that are asked for again; 0: none", NULL},
    {"cache_size", NULL, SETTINGS_WHOLE, "10G", 0, 1024 * 1024 * GIB, "bytes", FIELD(cache_size),
     "how large the files of rendered answers may be together; 0: there are none", NULL},
    {"cache_files", NULL, SETTINGS_WHOLE, "1000000", 1, 100000000, "files", FIELD(cache_files),
     "how many of them there may be", NULL},
    {"cache_max_age", NULL, SETTINGS_WHOLE, "0", 0, INT64_C(315360000), "s", FIELD(cache_max_age_s),
     "a rendered answer is made again when it is older; 0: never for that reason", NULL},
    {"derivative_tier", NULL, SETTINGS_TEXT, "", 0, 0, "DIR|s3://BUCKET/PREFIX", FIELD(derivative_tier),
     "where servers share rendered answers that were dear; needs a cache; empty: nowhere", settings_check_tier},
    {"derivative_tier_size", NULL, SETTINGS_WHOLE, "100G", 0, 1024 * 1024 * GIB, "bytes", FIELD(derivative_tier_size),
     "how large they may be together there, where that is a directory; 0: any size", NULL},
    {"derivative_tier_cost", NULL, SETTINGS_WHOLE, "300", 0, 3600000, "ms", FIELD(derivative_tier_cost_ms),
     "so much CPU time makes a rendered answer dear", NULL},
    {"derivative_tier_wait", NULL, SETTINGS_WHOLE, "1000", 1, 60000, "ms", FIELD(derivative_tier_wait_ms),
     "what does not come from there in that time is rendered here", NULL},
    /* limits */
    {"max_source_pixels", NULL, SETTINGS_WHOLE, "40000000000", 1, INT64_C(1000000000000000), "px",
     FIELD(max_source_pixels), "largest source that is opened, width times height", NULL},
    {"max_decode_bytes", NULL, SETTINGS_WHOLE, "512M", 1 * MIB, 1024 * GIB, "bytes", FIELD(max_decode_bytes),
     "largest piece of a source that is decoded at once", NULL},
    {"pixel_memory_bytes", NULL, SETTINGS_WHOLE, "512M", 1 * MIB, 1024 * GIB, "bytes",
     FIELD(pixel_memory_bytes), "memory for pixels that the renders of all workers share", NULL},
    {"max_connections", NULL, SETTINGS_WHOLE, "10000", 1, 1000000, "connections", FIELD(max_connections),
     "public connections open at the same time; further ones are refused", NULL},
    {"connections_per_address", NULL, SETTINGS_WHOLE, "256", 1, 1000000, "connections",
     FIELD(connections_per_address), "the same for one client: an IPv4 address or an IPv6 /64 network", NULL},
    {"requests_per_address", NULL, SETTINGS_WHOLE, "0", 0, 1000000, "requests", FIELD(requests_per_address),
     "requests of one client that may wait for renders at the same time, then it gets 429; 0: as connections_per_address", NULL},
    {"render_time_per_address", NULL, SETTINGS_WHOLE, "0", 0, 1000000, "ms", FIELD(render_time_per_address_ms),
     "render time that one client may have per second, on an average of ten, then it gets 429; 0: any", NULL},
    {"max_header_bytes", NULL, SETTINGS_WHOLE, "16384", 1 * KIB, 1 * MIB, "bytes", FIELD(max_header_bytes),
     "longest request line and header, cookies and all; of what is longer than 15 KB, a crash of its worker is noticed", NULL},
    {"idle_timeout", NULL, SETTINGS_WHOLE, "60", 1, 86400, "s", FIELD(idle_timeout_s),
     "a connection on which nothing moves is ended after so long", NULL},
    {"request_timeout", NULL, SETTINGS_WHOLE, "20", 1, 3600, "s", FIELD(request_timeout_s),
     "a request's header must have come completely after so long", NULL},
    {"render_timeout", NULL, SETTINGS_WHOLE, "60", 1, 3600, "s", FIELD(render_timeout_s),
     "an image that takes longer, waiting included, is given up with 503", NULL},
    {"queue_deadline", NULL, SETTINGS_WHOLE, "45", 0, 3600, "s", FIELD(queue_deadline_s),
     "an image that would wait longer for its render is refused at once with 503; 0: any wait will do", NULL},
    {"queue_length", NULL, SETTINGS_WHOLE, "1000", 1, 1000000, "renders", FIELD(queue_length),
     "renders that may wait in one worker; above it the answer is 503", NULL},
    /* vitrine ingest: what a pyramid is like */
    {"ingest_profile", "--profile", SETTINGS_CHOICE, "srgb", 0, 0, "srgb|keep", FIELD(ingest_profile),
     "colours become sRGB, or stay in the source's own profile", NULL},
    {"ingest_alpha", "--alpha", SETTINGS_CHOICE, "keep", 0, 0, "keep|flatten", FIELD(ingest_alpha),
     "transparent pictures stay so where tiles can hold it (JPEG cannot), or are laid on a background", NULL},
    {"ingest_background", "--background", SETTINGS_TEXT, "ffffff", 0, 0, "RRGGBB", FIELD(ingest_background),
     "the background that transparent pictures are laid on, in sRGB", settings_check_colour},
    {"ingest_depth", "--depth", SETTINGS_CHOICE, "8", 0, 0, "8|keep", FIELD(ingest_depth),
     "bits of each sample; keep: 16 where the source has 16", NULL},
    {"ingest_compression", "--compression", SETTINGS_CHOICE, "jpeg", 0, 0, "jpeg|webp|zstd|deflate|lzw",
     FIELD(ingest_compression), "how tiles are stored", NULL},
    {"ingest_quality", "--quality", SETTINGS_WHOLE, "90", 1, 100, "", FIELD(ingest_quality),
     "quality of JPEG and WebP tiles", NULL},
    {"ingest_subsampling", "--subsampling", SETTINGS_CHOICE, "4:2:0", 0, 0, "4:2:0|4:4:4|rgb",
     FIELD(ingest_subsampling), "chroma of JPEG tiles: halved, full, or coded as RGB", NULL},
    {"ingest_restart_intervals", "--restart-intervals", SETTINGS_SWITCH, "true", 0, 0, NULL,
     FIELD(ingest_restart_intervals),
     "whether JPEG tiles can be cropped and joined by copying bytes, for less than 1 % of the size", NULL},
    {"ingest_tile", "--tile", SETTINGS_WHOLE, "256", 64, 4096, "px", FIELD(ingest_tile_px),
     "width and height of tiles, a multiple of 16", settings_check_tile},
    {"ingest_page", "--page", SETTINGS_WHOLE, "1", 1, 65536, "", FIELD(ingest_page),
     "which page of a master that has several becomes the pyramid", NULL},
    {"ingest_bigtiff", "--bigtiff", SETTINGS_CHOICE, "auto", 0, 0, "auto|always", FIELD(ingest_bigtiff),
     "auto: BigTIFF where a pyramid may exceed 2 GB", NULL},
    {"ingest_destination", "--destination", SETTINGS_TEXT, "{path}.tif", 0, 0, "NAME",
     FIELD(ingest_destination),
     "what pyramids are called, made of {path}, {dir}, {name} and {extension} of the source",
     settings_check_destination},
    /* vitrine ingest: how it works */
    {"ingest_jobs", "--jobs", SETTINGS_WHOLE, "0", 0, 256, "files", FIELD(ingest_jobs),
     "files that are converted at the same time; 0: one per CPU", NULL},
    {"ingest_threads", "--threads", SETTINGS_WHOLE, "0", 0, 256, "threads", FIELD(ingest_threads),
     "threads for each file; 0: as many as jobs leave CPUs", NULL},
    {"ingest_hang_timeout", "--hang-timeout", SETTINGS_WHOLE, "120", 1, 86400, "s",
     FIELD(ingest_hang_timeout_s),
     "a conversion without progress for so long is ended, and its file fails", NULL},
    {"ingest_scratch", "--scratch", SETTINGS_TEXT, "", 0, 0, "DIR", FIELD(ingest_scratch),
     "where masters from a bucket and pyramids for one lie meanwhile; empty: $TMPDIR, or /var/tmp", NULL},
    {"ingest_manifests", "--manifests-into", SETTINGS_TEXT, "", 0, 0, "DIR", FIELD(ingest_manifests),
     "where --manifest writes to, as DIR/presentation/3/PATH/manifest and for version 2; empty: beside the pyramid, as "
     "NAME.manifest.json",
     NULL},
};
/* clang-format on */
const size_t settings_table_length = sizeof settings_table / sizeof settings_table[0];
