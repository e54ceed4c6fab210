/* What all request handlers of a worker share. Made by worker_service_start(), read-only afterwards but for the counters,
 * which lie in shared memory. For the files of worker/ itself. */
#ifndef WORKER_SERVICE_H
#define WORKER_SERVICE_H

#include "cache/directory.h"
#include "cache/pictures.h"
#include "worker/access_log.h"
#include "worker/derivative.h"
#include "worker/gateway/gateway.h"
#include "worker/heritage.h"
#include "worker/http/reply.h"
#include "worker/iiif/plan.h"
#include "worker/kept_tiles.h"
#include "worker/manifest/activity.h"
#include "worker/manifest/catalogue_live.h"
#include "worker/manifest/kept.h"
#include "worker/render/pool.h"
#include "worker/render/render.h"
#include "worker/web/folder.h"
#include "worker/web/roll.h"

struct worker_service {
    const struct settings *settings;
    const char *version; /* of the program */
    char *robots;        /* /robots.txt */
    struct gateway *gateway;
    char gateway_folder[CACHE_DIRECTORY_PATH_BYTES];
    struct list_live *catalogue;
    char manifest_folder[CACHE_DIRECTORY_PATH_BYTES];
    struct manifest_kept *documents;
    struct kept_tiles *tiles;  /* the event thread's */
    struct activity *activity; /* NULL: changes are not written down */
    struct shm_segment *segment;
    struct shm_journal *journal;
    struct shm_slot *slot;
    uint32_t slot_number;
    struct shm_tally *tally;
    struct access_log *access_log;    /* NULL: none. Of worker/worker.c */
    const struct shm_fences *fences;  /* of purges; or NULL */
    const _Atomic int64_t *purged_ms; /* when something was last purged; or NULL */
    struct iiif_limits limits;
    struct render_options options;
    uint64_t options_hash; /* of all settings that change an answer's bytes */
    struct cache_directory cache;
    struct origin *origin;
    struct shm_index *index; /* NULL: none */
    struct pictures *pictures;
    struct web_folders *folders; /* what the gallery shows of them */
    struct web_roll *roll;       /* what its search finds */
    struct render_pool *pool;
    _Atomic uint32_t behind;                /* renders that wait for slow clients */
    struct worker_derivatives *derivatives; /* NULL: none are cached */
};

/* /health, /ready, /status, /metrics: answers at once, on the event thread, never behind image work. */
void worker_admin_handle(struct worker_service *service, struct http_exchange *exchange);

/* The page at its "/" and what that is made of. False: the target is none of them, and not answered. */
bool worker_admin_page(struct http_exchange *exchange);

#endif
