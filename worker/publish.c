#include "worker/publish.h"

#include "base/fdio.h"
#include "base/own.h"
#include "cache/directory.h"
#include "worker/iiif/percent.h"
#include "worker/manifest/build.h"
#include "worker/manifest/catalogue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define OPEN_PICTURES 256u

struct publishing {
    const struct worker_publication *publication;
    struct cache_directory cache;
    struct origin *origin;
    struct pictures *pictures;
    struct shm_sightings *sightings;
    struct list_map *catalogue;
    struct iiif_limits limits;
    struct worker_published *published;
};

static void publishing_done(struct publishing *publishing)
{
    if (publishing->origin != NULL)
        origin_cancel(publishing->origin);
    pictures_free(&publishing->pictures);
    origin_close(&publishing->origin);
    list_map_close(&publishing->catalogue);
    cache_directory_close(&publishing->cache);
    free(publishing->sightings);
}

static void release_arena(struct arena **arena)
{
    arena_free(*arena);
}

/* ---- beginning ---- */

/* A map of the catalogue for this run alone. */
static enum rc open_catalogue(struct publishing *publishing, struct err *err)
{
    const struct settings *settings = publishing->publication->settings;
    OWN_FREE char *map = NULL;
    struct err wrong;
    uint64_t rows = 0;
    if (settings->catalogue[0] == '\0')
        return RC_OK;
    OWN_FD int text = open(settings->catalogue, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (text < 0)
        return err_set_errno(err, RC_IO, errno, "catalogue: %s", settings->catalogue);
    enum rc rc = fdio_scratch_file("catalogue", &map, err);
    if (rc != RC_OK)
        return rc;
    rc = manifest_catalogue_load(text, settings->catalogue_columns, map, NULL, NULL, &rows, &wrong);
    if (rc == RC_OK)
        rc = list_map_open(&manifest_catalogue_kind, map, &publishing->catalogue, &wrong);
    unlink(map); /* it stays mapped */
    return rc == RC_OK ? rc : err_set(err, rc, "%s: %s", settings->catalogue, wrong.message);
}

static enum rc open_sources(struct publishing *publishing, struct err *err)
{
    const struct settings *settings = publishing->publication->settings;
    publishing->sightings = calloc(1, sizeof *publishing->sightings);
    if (publishing->sightings == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for pictures");
    const struct pictures_options options = {
        .sightings = publishing->sightings,
        .limits = {.max_source_pixels = (uint64_t)settings->max_source_pixels,
                   .max_decode_bytes = (uint64_t)settings->max_decode_bytes},
        .capacity = OPEN_PICTURES,
        .revalidate_ms = settings->revalidate_s * 1000};
    /* What is fetched from afar is kept with what the server has fetched. */
    enum rc rc = settings->cache[0] == '\0'
                     ? RC_OK
                     : cache_directory_open(settings->cache, (uid_t)-1, (gid_t)-1, &publishing->cache, err);
    if (rc == RC_OK)
        rc = origin_open(settings, publishing->cache.folder[CACHE_BLOCKS], &publishing->origin, err);
    if (rc == RC_OK)
        rc = origin_start(publishing->origin, err);
    struct pictures_options with_origin = options;
    with_origin.origin = publishing->origin;
    return rc == RC_OK ? pictures_new(&with_origin, &publishing->pictures, err) : rc;
}

static enum rc begin(struct publishing *publishing, struct err *err)
{
    const struct settings *settings = publishing->publication->settings;
    publishing->limits = (struct iiif_limits){.max_width_px = (uint32_t)settings->max_width,
                                              .max_height_px = (uint32_t)settings->max_height,
                                              .max_area_px = (uint64_t)settings->max_area,
                                              .allow_upscaling = settings->upscaling};
    enum rc rc = open_sources(publishing, err);
    return rc == RC_OK ? open_catalogue(publishing, err) : rc;
}

/* ---- one document ---- */

static void warn(const char *sentence, void *context)
{
    (void)context;
    fprintf(stderr, "%s\n", sentence);
}

static bool is_cancelled(void *context)
{
    (void)context;
    return false;
}

static enum rc survey(struct publishing *publishing, const char *path, struct arena *arena,
                      struct manifest_survey *ret_survey, struct err *err)
{
    const char *away = NULL;
    enum rc rc;
    while ((rc = manifest_survey(publishing->origin, publishing->catalogue, path, arena, ret_survey, &away,
                                 err)) == RC_AWAY) {
        rc = origin_wait(publishing->origin, away, err);
        if (rc != RC_OK && rc != RC_NOT_FOUND)
            return rc;
    }
    return rc;
}

static enum rc build(struct publishing *publishing, const char *path, int version,
                     const struct manifest_survey *found, struct arena *arena,
                     struct manifest_built *ret_built, struct err *err)
{
    const struct manifest_site site = {.origin = publishing->origin,
                                       .pictures = publishing->pictures,
                                       .limits = &publishing->limits,
                                       .catalogue = publishing->catalogue,
                                       .warn = warn,
                                       .cancelled = is_cancelled};
    size_t length = strlen(path);
    char *identifier = arena_alloc(arena, IIIF_PERCENT_ENCODED_BYTES(length));
    const char *away = NULL;
    if (identifier == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the document");
    iiif_percent_encode(path, length, identifier);
    const struct manifest_wanted wanted = {.base_url = publishing->publication->settings->base_url,
                                           .version = version,
                                           .identifier = identifier,
                                           .path = path};
    enum rc rc;
    while ((rc = manifest_build(&site, &wanted, found, arena, ret_built, &away, err)) == RC_AWAY) {
        rc = origin_wait(publishing->origin, away, err);
        if (rc != RC_OK && rc != RC_NOT_FOUND)
            return rc;
    }
    return rc;
}

/* ---- files ---- */

/* Makes the folders that a file needs. */
static enum rc make_folders(char *file, struct err *err)
{
    for (char *slash = strchr(file + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool is_there = mkdir(file, 0777) == 0 || errno == EEXIST;
        if (!is_there)
            (void)err_set_errno(err, RC_IO, errno, "the folder %s cannot be made", file);
        *slash = '/';
        if (!is_there)
            return RC_IO;
    }
    return RC_OK;
}

static bool is_same(const char *file, const struct bytes *text)
{
    struct stat status;
    OWN_FD int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        (size_t)status.st_size != text->length)
        return false;
    OWN_FREE char *there = malloc(text->length + 1);
    return there != NULL && read(fd, there, text->length) == (ssize_t)text->length &&
           memcmp(there, text->data, text->length) == 0;
}

static enum rc write_new(const char *unfinished, const struct bytes *text, struct err *err)
{
    OWN_FD int fd = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return err_set_errno(err, RC_IO, errno, "%s cannot be written", unfinished);
    for (size_t at = 0; at < text->length;) {
        ssize_t wrote = write(fd, text->data + at, text->length - at);
        if (wrote < 0 && errno != EINTR)
            return err_set_errno(err, RC_IO, errno, "%s cannot be written", unfinished);
        at += wrote > 0 ? (size_t)wrote : 0;
    }
    return fsync(fd) == 0 ? RC_OK : err_set_errno(err, RC_IO, errno, "%s cannot be written", unfinished);
}

static enum rc write_file(char *file, const struct bytes *text, bool *ret_written, struct err *err)
{
    OWN_FREE char *unfinished = NULL;
    const char *slash = strrchr(file, '/'), *name = slash == NULL ? file : slash + 1;
    *ret_written = false;
    if (is_same(file, text))
        return RC_OK;
    if (asprintf(&unfinished, "%.*s.%s.new", (int)(name - file), file, name) < 0) {
        unfinished = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for a name");
    }
    enum rc rc = make_folders(file, err);
    if (rc == RC_OK)
        rc = write_new(unfinished, text, err);
    if (rc == RC_OK && rename(unfinished, file) != 0)
        rc = err_set_errno(err, RC_IO, errno, "%s cannot be written", file);
    if (rc != RC_OK)
        unlink(unfinished);
    *ret_written = rc == RC_OK;
    return rc;
}

static enum rc write_version(struct publishing *publishing, const char *path, int version,
                             const struct manifest_survey *found, struct arena *arena, struct err *err)
{
    struct manifest_built built = {.text = {0}};
    bool is_written = false;
    enum rc rc = build(publishing, path, version, found, arena, &built, err);
    OWN(bytes_done) struct bytes text = built.text;
    if (rc != RC_OK)
        return rc;
    char *file = arena_format(arena, "%s/presentation/%d/%s%s%s", publishing->publication->into, version,
                              path, path[0] == '\0' ? "" : "/",
                              found->is_collection ? "collection" : "manifest");
    rc = file == NULL ? err_set(err, RC_NO_MEMORY, "no memory for a name")
                      : write_file(file, &text, &is_written, err);
    publishing->published->documents += rc == RC_OK;
    publishing->published->written += is_written;
    return rc;
}

/* ---- all of them ---- */

static void fail(struct publishing *publishing, const char *path, const char *sentence)
{
    publishing->published->failures++;
    fprintf(stderr, "%s: %s\n", path[0] == '\0' ? "/" : path, sentence);
}

static enum rc write_all(struct publishing *publishing, const char *path, bool is_named, struct err *err);

/* What a document leads to, and the pages of a folder. */
static enum rc write_below(struct publishing *publishing, const char *path,
                           const struct manifest_survey *found, struct arena *arena, struct err *err)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < found->entry_count && rc == RC_OK; i++) {
        const struct origin_entry *entry = &found->entry[i];
        const char *below = manifest_survey_below(arena, path, entry->name);
        if (below == NULL)
            rc = err_set(err, RC_NO_MEMORY, "no memory for a folder");
        else if (entry->is_folder || manifest_survey_is_picture(entry->name))
            rc = write_all(publishing, below, false, err);
    }
    return rc;
}

/* Only what ends everything is returned. */
static enum rc write_all(struct publishing *publishing, const char *path, bool is_named, struct err *err)
{
    OWN(release_arena) struct arena *arena = arena_new();
    struct manifest_survey found;
    if (arena == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the document");
    enum rc rc = survey(publishing, path, arena, &found, err);
    for (int version = 2; version <= 3 && rc == RC_OK; version++)
        if (publishing->publication->version[version])
            rc = write_version(publishing, path, version, &found, arena, err);
    bool is_empty = rc == RC_NOT_FOUND && !is_named;
    if (rc == RC_NO_MEMORY)
        return rc;
    if (rc != RC_OK && !is_empty)
        fail(publishing, path, err->message);
    return rc == RC_OK && publishing->publication->is_recursive
               ? write_below(publishing, path, &found, arena, err)
               : RC_OK;
}

static bool is_plain(const char *path)
{
    for (const char *part = path; *part != '\0'; part += strcspn(part, "/"), part += *part == '/')
        if (part[0] == '.' || part[0] == '/')
            return false;
    return true;
}

enum rc worker_publish(const struct worker_publication *publication, const char *const *path,
                       struct worker_published *ret_published, struct err *err)
{
    struct worker_published published = {0};
    OWN(publishing_done)
    struct publishing publishing = {
        .publication = publication, .cache = CACHE_DIRECTORY_NONE, .published = &published};
    enum rc rc = begin(&publishing, err);
    for (; *path != NULL && rc == RC_OK; path++) {
        OWN_FREE char *trimmed = strdup(*path + strspn(*path, "/"));
        if (trimmed == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for a path");
        for (size_t length = strlen(trimmed); length > 0 && trimmed[length - 1] == '/'; length--)
            trimmed[length - 1] = '\0';
        if (is_plain(trimmed))
            rc = write_all(&publishing, trimmed, true, err);
        else
            fail(&publishing, trimmed, "it has to be a path below the image root");
    }
    if (rc == RC_OK)
        *ret_published = published;
    return rc;
}

enum rc worker_publish_one(const struct settings *settings, const char *path, const char *file,
                           struct err *err)
{
    const struct worker_publication publication = {.settings = settings};
    OWN(publishing_done)
    struct publishing publishing = {.publication = &publication, .cache = CACHE_DIRECTORY_NONE};
    OWN(release_arena) struct arena *arena = arena_new();
    struct manifest_survey found;
    struct manifest_built built = {.text = {0}};
    if (arena == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the document");
    enum rc rc = begin(&publishing, err);
    if (rc == RC_OK)
        rc = survey(&publishing, path, arena, &found, err);
    if (rc == RC_OK)
        rc = build(&publishing, path, 3, &found, arena, &built, err);
    OWN(bytes_done) struct bytes text = built.text;
    char *copy = arena_text(arena, file, strlen(file));
    bool is_written;
    if (rc == RC_OK)
        rc = copy == NULL ? err_set(err, RC_NO_MEMORY, "no memory for a name")
                          : write_file(copy, &text, &is_written, err);
    return rc;
}
