/* Everything that can be configured, as one struct and one table.
 *
 * A row of the table is all there is to an option: name, type, default, bounds, help. The configuration file,
 * `--set`, the command line's short forms, `--help`, the sample configuration and the man page all come from
 * it. Filled by the master before it forks; workers inherit it and only read. Strings are owned by the struct
 * and never NULL. */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include "base/err.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct settings {
    /* where */
    char *listen, *admin; /* ADDR:PORT, [V6]:PORT; admin empty: no admin listener */
    char *admin_socket, *admin_socket_mode,
        *admin_socket_group; /* PATH, auto or empty; octal digits; a name or empty */
    char *admin_token;       /* empty: nothing is changed by way of the admin listener */
    char *images;            /* the image roots, as base/roots.h reads them */
    char *cache;             /* directory for caches; empty: none */
    char *base_url;          /* empty: from the request */
    char *trusted_proxies;
    char *identifier_rules;              /* text file; empty: none */
    char *retired;                       /* text file; empty: none */
    char *catalogue, *catalogue_columns; /* CSV; empty: none; worker/manifest/catalogue.h */
    int64_t activity_scan_s;             /* 0: never */
    int64_t activity_records;
    /* processes */
    int64_t workers;        /* 0: one per CPU */
    int64_t render_threads; /* per worker; 0: chosen from CPUs and workers */
    int64_t drain_timeout_s;
    char *error_log;         /* stderr | syslog[:PATH] | FILE */
    char *access_log;        /* off | stderr | syslog[:PATH] | FILE */
    char *access_log_format; /* common | combined | json */
    int64_t slow_request_ms; /* 0: none is */
    char *log_level;         /* error | warning | info | debug */
    /* protection */
    int64_t render_hang_timeout_s, worker_hang_timeout_s;
    int64_t quarantine_s;        /* 0: none */
    int64_t worker_max_rss;      /* bytes; 0: off */
    int64_t worker_max_requests; /* 0: off */
    int64_t worker_max_memory;   /* bytes of data; 0: no limit */
    char *user;                  /* names, the first that exists is taken; empty: stay who we are */
    bool sandbox;
    /* what is served */
    int64_t max_width, max_height, max_area;
    bool upscaling;
    int64_t jpeg_quality, webp_quality, avif_quality;
    char *metadata;    /* full-image | always | never */
    char *passthrough; /* auto | never */
    char *cache_control;
    char *robots; /* a file; empty: the text we have */
    int64_t revalidate_s;
    /* sources that are not in a folder here */
    char *s3_region, *s3_endpoint, *s3_access_key, *s3_secret_key, *s3_session_token;
    char *s3_credentials; /* auto | none */
    bool s3_path_style;
    char *http_hosts, *http_networks;
    int64_t fetch_timeout_s, fetch_tries, fetch_connections, stale_if_error_s;
    int64_t block_cache_bytes, whole_file_bytes;
    char *slow_folder; /* auto | always | never */
    int64_t folder_threads;
    bool derivative_cache;
    int64_t memory_cache;            /* bytes of small derivatives in memory */
    int64_t tile_memory;             /* bytes of stored tiles in the memory of each worker; 0: none */
    int64_t cache_size, cache_files; /* bytes and number of files; 0: none */
    int64_t cache_max_age_s;         /* 0: any */
    char *derivative_tier;           /* DIR or s3://BUCKET/PREFIX; empty: none */
    int64_t derivative_tier_size;    /* bytes, of a DIR; 0: any */
    int64_t derivative_tier_cost_ms, derivative_tier_wait_ms;
    /* limits */
    int64_t max_source_pixels, max_decode_bytes, pixel_memory_bytes;
    int64_t max_connections, connections_per_address;
    int64_t requests_per_address;       /* that need a render thread; 0: as connections_per_address */
    int64_t render_time_per_address_ms; /* per second; 0: any */
    int64_t max_header_bytes, idle_timeout_s, request_timeout_s, render_timeout_s;
    int64_t queue_deadline_s; /* 0: none */
    int64_t queue_length;     /* renders waiting per worker; above it 503 */
    /* vitrine ingest: what a pyramid is like */
    char *ingest_profile;     /* srgb | keep */
    char *ingest_alpha;       /* flatten | keep */
    char *ingest_background;  /* RRGGBB, for flatten */
    char *ingest_depth;       /* 8 | keep */
    char *ingest_compression; /* jpeg | webp | zstd | deflate | lzw */
    int64_t ingest_quality;
    char *ingest_subsampling; /* 4:2:0 | 4:4:4 | rgb */
    bool ingest_restart_intervals;
    int64_t ingest_page;
    int64_t ingest_tile_px;
    char *ingest_bigtiff;     /* auto | always */
    char *ingest_destination; /* names of pyramids, made of {path} and others */
    /* vitrine ingest: how it works */
    int64_t ingest_jobs;    /* files at the same time; 0: one per CPU */
    int64_t ingest_threads; /* per file; 0: CPUs by jobs */
    int64_t ingest_hang_timeout_s;
    char *ingest_scratch;   /* empty: the system's */
    char *ingest_manifests; /* empty: beside the pyramids */
};

/* LIST: a text with a line per value; the file may have a list of them, the command line the flag several
 * times. */
enum settings_type { SETTINGS_TEXT, SETTINGS_WHOLE, SETTINGS_SWITCH, SETTINGS_CHOICE, SETTINGS_LIST };

struct settings_row {
    const char *name; /* the key in the file; differs from the field by the unit's suffix at most */
    const char *flag; /* "--listen", or NULL: only --set NAME=VALUE; of settings_command() */
    enum settings_type type;
    const char *preset;          /* the default, as text */
    int64_t least, most;         /* SETTINGS_WHOLE */
    const char *unit_or_choices; /* WHOLE: "px", "s", "bytes" (then 512K, 64M, 2G are numbers too);
                                  * TEXT: what to write, "ADDR:PORT"; CHOICE: "a|b|c" */
    size_t offset;               /* of the field in struct settings */
    const char *help;            /* one line, no full stop */
    /* A further rule for TEXT and WHOLE: NULL or what is wrong; may be NULL. */
    const char *(*check)(const char *value);
};

extern const struct settings_row settings_table[];
extern const size_t settings_table_length;

/* Every row's default; for `cache` and `admin_token` the environment may have another. */
RC_MUST_USE enum rc settings_init(struct settings *settings, struct err *err);
void settings_done(struct settings *settings);

/* "serve" or "ingest": the command that takes the row's flag. */
const char *settings_command(const struct settings_row *row);

/* NULL: no such key. */
const struct settings_row *settings_find(const char *name);
/* The key that `name` was probably meant to be, or NULL when none is near. */
const struct settings_row *settings_find_near(const char *name);

/* Sets one value from text; the former value stays when it fails. Switches: true/on/yes, false/off/no.
 * RC_BAD_REQUEST names key, value and what is allowed. */
RC_MUST_USE enum rc settings_set(struct settings *settings, const struct settings_row *row, const char *value,
                                 struct err *err);

/* The same for a further value of a SETTINGS_LIST. */
RC_MUST_USE enum rc settings_add(struct settings *settings, const struct settings_row *row, const char *value,
                                 struct err *err);

/* Whether both have the same value there. */
bool settings_is_same(const struct settings *a, const struct settings *b, const struct settings_row *row);
/* Gives `to` the value of `from`. */
RC_MUST_USE enum rc settings_copy(struct settings *to, const struct settings *from,
                                  const struct settings_row *row, struct err *err);

/* Position of `value` in "a|b|c", -1 where it is none of them. */
int settings_choice_index(const char *choices, const char *value);
/* The socket that "syslog" or "syslog:PATH" stands for, within `value` or static; NULL: it is something
 * else. */
const char *settings_syslog_path(const char *value);
enum log_level settings_log_level(const struct settings *settings);

/* Reads ADDR:PORT or [V6]:PORT (numbers only, no names). NULL, or a static phrase that says what is wrong. */
const char *settings_parse_address(const char *text, struct sockaddr_storage *ret_address,
                                   socklen_t *ret_length);

#endif
