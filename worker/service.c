#include "worker/service.h"

#include "base/log.h"
#include "base/own.h"
#include "base/roots.h"
#include "cache/picture_record.h"
#include "worker/box.h"
#include "worker/request.h"
#include "worker/robots.h"

#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How many pictures a worker keeps open: each costs a descriptor and its headers. */
#define OPEN_PICTURES 1024u
/* Ten million pictures take three GB; beyond the most the index is begun anew. */
#define INDEX_LEAST_BYTES ((size_t)16 << 20)
/* Documents about folders and pictures that a worker keeps in memory. */
#define DOCUMENT_BYTES   ((size_t)64 << 20)
#define INDEX_MOST_BYTES ((size_t)64 << 30)

static enum render_metadata metadata_policy(const char *name)
{
    if (strcmp(name, "always") == 0)
        return RENDER_METADATA_ALWAYS;
    return strcmp(name, "never") == 0 ? RENDER_METADATA_NEVER : RENDER_METADATA_FULL_IMAGE;
}

static uint64_t hash_options(const struct settings *settings, const struct render_options *options)
{
    const uint64_t parts[] = {IMAGE_ENCODER_VERSION,
                              options->jpeg_quality,
                              options->webp_quality,
                              options->avif_quality,
                              options->metadata,
                              options->passthrough,
                              (uint64_t)settings->max_width,
                              (uint64_t)settings->max_height,
                              (uint64_t)settings->max_area,
                              settings->upscaling};
    return bytes_hash(BYTES_HASH_START, parts, sizeof parts);
}

/* Places for renders in one worker. Together the workers have one for each CPU, where large renders run, and each one more
 * for small work, so that this never waits for a large render or a file system. */
static uint32_t processor_count(const struct settings *settings)
{
    if (settings->render_threads > 0)
        return (uint32_t)settings->render_threads;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t cpus = online < 1 ? 1 : (uint32_t)online;
    uint32_t workers = settings->workers > 0 ? (uint32_t)settings->workers : cpus;
    return (cpus + workers - 1) / workers + 1;
}

/* A cache directory that cannot be had is a loss of speed only. */
static void open_cache(struct worker_service *service)
{
    const char *path = service->settings->cache;
    uid_t user;
    gid_t group;
    struct err err;
    worker_box_user(service->settings, &user, &group);
    if (path[0] != '\0' && cache_directory_open(path, user, group, &service->cache, &err) != RC_OK)
        log_warning("%s; nothing is cached on disk", err.message);
}

/* Servers that share a cache directory are told apart by where their first image root is, so that a further one may be added and
 * all that is known of the pictures stays known. Where it lies is asked of its descriptor, without a call into its file system, which
 * may hang; one that has none, since it did not answer, goes by its name. */
static uint64_t name_root(const struct worker_service *service)
{
    struct origin_needs needs[ROOTS_MOST];
    struct roots_root root = {.name = ""};
    const char *images = service->settings->images;
    char link[64], path[PATH_MAX] = "";
    (void)origin_needs(service->origin, needs);
    (void)roots_next(&images, &root);
    snprintf(link, sizeof link, "/proc/self/fd/%d", needs[0].root_fd);
    ssize_t length = needs[0].root_fd < 0 ? -1 : readlink(link, path, sizeof path - 1);
    const char *name = length > 0 ? path : root.place;
    return bytes_hash(BYTES_HASH_START, name, strlen(name));
}

/* As the user that workers become, so that what is made is theirs. Without an index all works as with one, slower. */
static void open_index(struct worker_service *service, const struct image_source_limits *limits)
{
    char folder[CACHE_DIRECTORY_PATH_BYTES];
    struct err err;
    if (service->cache.fd < 0)
        return;
    cache_directory_path(&service->cache, CACHE_INDEX, folder);
    const struct shm_index_options options = {.directory = folder,
                                              .dialect = picture_record_dialect(limits),
                                              .least_bytes = INDEX_LEAST_BYTES,
                                              .most_bytes = INDEX_MOST_BYTES,
                                              .shared = &service->segment->index};
    if (shm_index_open(&options, &service->index, &err) != RC_OK)
        log_warning("%s; sources are read anew by each worker", err.message);
}

static enum rc open_pictures(struct worker_service *service, uint64_t root,
                             const struct image_source_limits *limits, struct err *err)
{
    const struct pictures_options options = {
        .origin = service->origin,
        .root = root,
        .view = bytes_hash(BYTES_HASH_START, service->settings->images, strlen(service->settings->images)),
        .index = service->index,
        .sightings = &service->segment->sightings,
        .limits = *limits,
        .capacity = OPEN_PICTURES,
        .revalidate_ms = service->settings->revalidate_s * 1000,
        .fences = service->fences,
        .distrusted_ms = service->purged_ms};
    return pictures_new(&options, &service->pictures, err);
}

static enum rc open_gallery(struct worker_service *service, uint64_t root, struct err *err)
{
    const struct web_roll_options options = {
        .origin = service->origin, .root = root, .folder_fd = service->cache.folder[CACHE_GALLERY]};
    enum rc rc = web_folders_new(service->origin, service->settings->revalidate_s * 1000, &service->folders,
                                 err);
    return rc == RC_OK ? web_roll_new(&options, &service->roll, err) : rc;
}

static enum rc open_gateway(struct worker_service *service, struct err *err)
{
    cache_directory_path(&service->cache, CACHE_GATEWAY, service->gateway_folder);
    const struct gateway_options options = {.rules = service->settings->identifier_rules,
                                            .retired = service->settings->retired,
                                            .folder = service->gateway_folder};
    return gateway_open(&options, &service->gateway, err);
}

static enum rc open_catalogue(struct worker_service *service, struct err *err)
{
    cache_directory_path(&service->cache, CACHE_MANIFEST, service->manifest_folder);
    const struct manifest_catalogue_options options = {.file = service->settings->catalogue,
                                                       .columns = service->settings->catalogue_columns,
                                                       .folder = service->manifest_folder};
    enum rc rc = manifest_catalogue_live_open(&options, &service->catalogue, err);
    return rc == RC_OK ? manifest_kept_new(DOCUMENT_BYTES, &service->documents, err) : rc;
}

/* Whether a path's document is to be had under the path's own name. */
static bool is_public(void *context, const char *path)
{
    const struct worker_service *service = context;
    struct iiif_identifier source;
    char now[IIIF_MAX_IDENTIFIER_BYTES + 1];
    if (path[0] == '\0')
        return true;
    return strlen(path) <= IIIF_MAX_IDENTIFIER_BYTES &&
           gateway_retired(service->gateway, path, now) == GATEWAY_RETIRED_NO &&
           gateway_source(service->gateway, path, &source, NULL) == RC_OK && source.page == 1 &&
           strcmp(source.path, path) == 0;
}

/* Without it all else works. */
static void open_activity(struct worker_service *service, uint64_t root)
{
    const struct activity_options options = {.origin = service->origin,
                                             .catalogue = service->catalogue,
                                             .folder = service->manifest_folder,
                                             .root = root,
                                             .every_s = service->settings->activity_scan_s,
                                             .waits_first = roots_any_is_remote(service->settings->images),
                                             .most_records = (uint64_t)service->settings->activity_records,
                                             .is_public = is_public,
                                             .context = service};
    struct err err;
    if (service->cache.fd >= 0 && options.every_s > 0 &&
        activity_open(&options, &service->activity, &err) != RC_OK)
        log_warning("%s; changes are not written down", err.message);
}

/* With the image roots and the cache open, since its new user may be unable to get there, and before there are threads. */
static enum rc enter_box(const struct worker_heritage *heritage, const struct worker_service *service,
                         struct err *err)
{
    const char *note = NULL;
    struct origin_needs needs[ROOTS_MOST];
    struct worker_box_openings openings = {.cache_fd = service->cache.fd,
                                           .derivatives_fd = service->cache.folder[CACHE_DERIVATIVES],
                                           .tier_fd = -1};
    openings.root_count = origin_needs(service->origin, needs);
    for (size_t i = 0; i < openings.root_count; i++) {
        openings.root_fd[i] = needs[i].root_fd;
        openings.network = openings.network || needs[i].network;
        for (size_t j = 0; needs[i].network && j < ORIGIN_MOST_PORTS; j++)
            openings.port[openings.port_count++] = needs[i].port[j];
    }
    const struct tier *tier = worker_derivatives_tier(service->derivatives);
    if (tier != NULL) {
        const struct tier_needs tier_wants = tier_needs(tier);
        openings.tier_fd = tier_wants.folder_fd;
        openings.network = openings.network || tier_wants.port[0] != 0;
        for (size_t i = 0; i < sizeof tier_wants.port / sizeof tier_wants.port[0]; i++)
            openings.port[openings.port_count++] = tier_wants.port[i];
    }
    enum rc rc = worker_box_enter(heritage->settings, &openings, &note, err);
    if (rc == RC_OK && note != NULL && atomic_exchange(&heritage->segment->box_noted, 1) == 0)
        log_warning("%s", note);
    return rc;
}

/* Renders take and free the same megabytes over and over: they stay with the thread's arena instead of being given back to
 * the system and faulted in again, page by page. */
static void keep_memory(void)
{
    enum { KEPT_BYTES = 4 << 20 };
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

/* What the service knows from the first moment on. */
static void take_over(struct worker_service *service, const struct worker_heritage *heritage)
{
    const struct settings *settings = heritage->settings;
    bool passes_tiles = strcmp(settings->passthrough, "auto") == 0;
    service->settings = settings;
    service->version = heritage->version;
    service->cache = CACHE_DIRECTORY_NONE;
    service->segment = heritage->segment;
    service->journal = heritage->journal;
    if (heritage->derivatives != NULL) {
        service->purged_ms = &heritage->derivatives->counters->purged_ms;
        service->fences = heritage->derivatives->fences;
    }
    service->slot = &heritage->segment->slot[heritage->slot];
    service->slot_number = heritage->slot;
    service->tally = &heritage->segment->tally[heritage->slot];
    service->limits = (struct iiif_limits){.max_width_px = (uint32_t)settings->max_width,
                                           .max_height_px = (uint32_t)settings->max_height,
                                           .max_area_px = (uint64_t)settings->max_area,
                                           .allow_upscaling = settings->upscaling,
                                           .join_tiles = passes_tiles};
    service->options = (struct render_options){.jpeg_quality = (uint8_t)settings->jpeg_quality,
                                               .webp_quality = (uint8_t)settings->webp_quality,
                                               .avif_quality = (uint8_t)settings->avif_quality,
                                               .metadata = metadata_policy(settings->metadata),
                                               .passthrough = passes_tiles};
    service->options_hash = hash_options(settings, &service->options);
}

/* Everything that reads files, the box, and what may come after it. */
static enum rc open_all(struct worker_service *service, const struct worker_heritage *heritage,
                        struct err *err)
{
    const struct settings *settings = heritage->settings;
    const struct image_source_limits limits = {.max_source_pixels = (uint64_t)settings->max_source_pixels,
                                               .max_decode_bytes = (uint64_t)settings->max_decode_bytes};
    enum rc rc = worker_robots_load(settings->robots, &service->robots, err);
    open_cache(service);
    if (rc == RC_OK)
        rc = origin_open(settings, service->cache.folder[CACHE_BLOCKS], &service->origin, err);
    if (rc != RC_OK)
        return rc;
    const struct shm_leaseholder holder = {
        .leases = &heritage->segment->fetches,
        .slots = heritage->segment->slot,
        .slot = heritage->slot,
        .generation = atomic_load_explicit(&service->slot->generation, memory_order_relaxed)};
    origin_share(service->origin, &holder, service->purged_ms);
    uint64_t root = name_root(service);
    if (heritage->derivatives != NULL)
        rc = worker_derivatives_new(heritage, service->cache.folder[CACHE_DERIVATIVES], &service->derivatives,
                                    err);
    if (rc == RC_OK)
        rc = open_gateway(service, err);
    if (rc == RC_OK)
        rc = open_catalogue(service, err);
    if (rc == RC_OK)
        rc = enter_box(heritage, service, err);
    if (rc == RC_OK) {
        open_index(service, &limits);
        open_activity(service, root);
        rc = open_pictures(service, root, &limits, err);
    }
    return rc == RC_OK ? open_gallery(service, root, err) : rc;
}

static enum rc start_threads(struct worker_service *service, const struct render_pool_options *pool,
                             struct err *err)
{
    enum rc rc = render_pool_start(pool, &service->pool, err);
    if (rc == RC_OK)
        rc = origin_start(service->origin, err);
    if (rc == RC_OK)
        rc = gateway_start(service->gateway, err);
    if (rc == RC_OK)
        rc = list_live_start(service->catalogue, err);
    if (rc == RC_OK && service->activity != NULL)
        rc = activity_start(service->activity, err);
    if (rc == RC_OK && service->derivatives != NULL)
        rc = worker_derivatives_start(service->derivatives, err);
    return rc;
}

enum rc worker_service_start(const struct worker_heritage *heritage, struct worker_service **ret_service,
                             struct err *err)
{
    const struct settings *settings = heritage->settings;
    keep_memory();
    struct worker_service *service = calloc(1, sizeof *service);
    if (service == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the service");
    take_over(service, heritage);
    const struct render_pool_options pool = {
        .processors = processor_count(settings), /* in the box they cannot be counted */
        .queue_length = (uint32_t)settings->queue_length,
        .deadline_ms = settings->queue_deadline_s * 1000,
        .memory_bytes = (uint64_t)settings->pixel_memory_bytes,
        .effort = &heritage->segment->effort,
        .slot = heritage->slot,
        .slot_count = heritage->segment->slot_count,
    };
    enum rc rc = open_all(service, heritage, err);
    if (rc == RC_OK)
        rc = kept_tiles_new((uint64_t)settings->tile_memory, &service->tiles, err);
    if (rc == RC_OK)
        rc = start_threads(service, &pool, err);
    if (rc != RC_OK) {
        worker_service_stop(&service);
        return rc;
    }
    *ret_service = service;
    return RC_OK;
}

void worker_service_stop(struct worker_service **service)
{
    struct worker_service *stopped = TAKE_PTR(*service);
    if (stopped == NULL)
        return;
    worker_derivatives_quit(stopped->derivatives);
    if (stopped->origin != NULL)
        origin_cancel(stopped->origin); /* whoever waits for it is answered now */
    render_pool_stop(&stopped->pool);
    web_roll_free(&stopped->roll);
    web_folders_free(&stopped->folders);
    activity_close(&stopped->activity);
    gateway_close(&stopped->gateway);
    manifest_kept_free(&stopped->documents);
    kept_tiles_free(&stopped->tiles);
    list_live_close(&stopped->catalogue);
    worker_derivatives_free(&stopped->derivatives);
    pictures_free(&stopped->pictures);
    shm_index_close(&stopped->index);
    origin_close(&stopped->origin);
    cache_directory_close(&stopped->cache);
    free(stopped->robots);
    free(stopped);
}

int worker_service_answer_fd(const struct worker_service *service)
{
    return origin_answer_fd(service->origin);
}

int worker_service_tier_answer_fd(const struct worker_service *service)
{
    return worker_derivatives_answer_fd(service->derivatives);
}
