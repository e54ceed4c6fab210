#include "worker/ingest/sources.h"

#include "base/bytes.h"
#include "base/own.h"
#include "worker/ingest/bucket.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define MAGIC_BYTES 12

enum rc ingest_sources_init(struct ingest_sources *sources, struct err *err)
{
    *sources = (struct ingest_sources){.arena = arena_new()};
    return sources->arena != NULL ? RC_OK : err_set(err, RC_NO_MEMORY, "no memory for the list of sources");
}

void ingest_sources_done(struct ingest_sources *sources)
{
    if (sources->arena != NULL)
        arena_free(TAKE_PTR(sources->arena));
    free(TAKE_PTR(sources->item));
    sources->count = sources->capacity = 0;
}

static void complain(struct ingest_sources *sources, const char *name, const char *sentence, int os_errno)
{
    struct err said;
    os_errno != 0 ? err_set_errno(&said, RC_IO, os_errno, "%s", sentence)
                  : err_set(&said, RC_IO, "%s", sentence);
    if (sources->complain != NULL)
        sources->complain(sources->context, name, said.message);
}

/* Names ----------------------------------------------------------------------------------------------- */

/* A name without "/" at its ends, "//" and "."; false when ".." is in it or nothing is left. */
static bool tidy_relative(const char *name, char *out)
{
    char *to = out;
    while (*name != '\0') {
        size_t length = strcspn(name, "/");
        bool is_dot = length == 1 && name[0] == '.';
        if (length == 2 && name[0] == '.' && name[1] == '.')
            return false;
        if (length > 0 && !is_dot) {
            if (to > out)
                *to++ = '/';
            memcpy(to, name, length);
            to += length;
        }
        name += length + (name[length] == '/');
    }
    *to = '\0';
    return to > out;
}

/* What follows `folder` in `path`, or NULL where it does not begin with it. */
static const char *below(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    if (strncmp(path, folder, length) != 0)
        return NULL;
    if (path[length] == '/')
        return path + length + 1;
    return folder[length - 1] == '/' ? path + length : NULL;
}

static enum rc add_file(struct ingest_sources *sources, const char *path, const char *relative,
                        const struct stat *st, struct err *err)
{
    if (sources->base != NULL) {
        relative = below(path, sources->base);
        if (relative == NULL) {
            complain(sources, path, "it does not lie below the folder that --base names", 0);
            return RC_OK;
        }
    }
    char *name = arena_alloc(sources->arena, strlen(relative) + 1);
    char *copy = arena_text(sources->arena, path, strlen(path));
    if (sources->count == sources->capacity) {
        size_t capacity = sources->capacity == 0 ? 64 : 2 * sources->capacity;
        struct ingest_source *item = reallocarray(sources->item, capacity, sizeof *item);
        if (item == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for a list of %zu sources", capacity);
        sources->item = item;
        sources->capacity = capacity;
    }
    if (name == NULL || copy == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the names of %zu sources", sources->count + 1);
    if (!tidy_relative(relative, name)) {
        complain(sources, path, "a name with \"..\" in it gives no destination; --base names its folder", 0);
        return RC_OK;
    }
    sources->item[sources->count++] = (struct ingest_source){.path = copy,
                                                             .relative = name,
                                                             .size_bytes = (uint64_t)st->st_size,
                                                             .device = st->st_dev,
                                                             .inode = st->st_ino};
    return RC_OK;
}

/* Folders --------------------------------------------------------------------------------------------- */

static bool has_picture_name(const char *name)
{
    static const char *const known[] = {"tif",  "tiff", "btf",  "tf8", "ptif", "ptiff", "jpg", "jpeg", "jpe",
                                        "jfif", "png",  "webp", "jp2", "jpx",  "jpf",   "j2k", "j2c",  "jpc"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof known / sizeof known[0]; i++)
        if (strcasecmp(dot + 1, known[i]) == 0)
            return true;
    return false;
}

/* What the first bytes say of a file whose name says nothing. */
static bool has_picture_magic(const char *path)
{
    static const struct {
        const char *bytes;
        size_t offset, length;
    } magic[] = {
        {"II*\0", 0, 4}, {"MM\0*", 0, 4},        {"II+\0", 0, 4},
        {"MM\0+", 0, 4}, {"\xff\xd8\xff", 0, 3}, {"\x89PNG", 0, 4},
        {"WEBP", 8, 4},  {"jP  ", 4, 4},         {"\xff\x4f\xff\x51", 0, 4},
    };
    char first[MAGIC_BYTES] = {0};
    OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || read(fd, first, sizeof first) < (ssize_t)sizeof first)
        return false;
    for (size_t i = 0; i < sizeof magic / sizeof magic[0]; i++)
        if (memcmp(first + magic[i].offset, magic[i].bytes, magic[i].length) == 0)
            return true;
    return false;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static enum rc add_entry(struct ingest_sources *sources, FTS *walk, FTSENT *entry, size_t strip,
                         struct err *err)
{
    const struct stat *st = entry->fts_statp;
    switch (entry->fts_info) {
    case FTS_D:
        if ((entry->fts_level > 0 && entry->fts_name[0] == '.') ||
            (sources->avoid_inode != 0 && st->st_ino == sources->avoid_inode &&
             st->st_dev == sources->avoid_device))
            fts_set(walk, entry, FTS_SKIP);
        return RC_OK;
    case FTS_F:
        if (entry->fts_name[0] == '.' ||
            (!has_picture_name(entry->fts_name) && !has_picture_magic(entry->fts_accpath))) {
            sources->passed_over++;
            return RC_OK;
        }
        return add_file(sources, entry->fts_path, entry->fts_path + strip, st, err);
    case FTS_DC:
        complain(sources, entry->fts_path, "a link leads back to a folder above it", 0);
        return RC_OK;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        complain(sources, entry->fts_path, "it cannot be read", entry->fts_errno);
        return RC_OK;
    case FTS_SLNONE:
        complain(sources, entry->fts_path, "the link leads nowhere", 0);
        return RC_OK;
    default: /* a folder's end; sockets and the like */
        return RC_OK;
    }
}

static void close_walk(FTS **walk)
{
    if (*walk != NULL)
        fts_close(*walk);
}

/* Its files' names begin `strip` bytes into their paths. */
static enum rc add_folder(struct ingest_sources *sources, const char *path, size_t strip, struct err *err)
{
    OWN_FREE char *root = strdup(path);
    if (root == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to walk a folder");
    char *const roots[] = {root, NULL};
    OWN(close_walk) FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    if (walk == NULL)
        return err_set_errno(err, RC_NO_MEMORY, errno, "the folder %s cannot be walked", path);
    enum rc rc = RC_OK;
    for (;;) {
        errno = 0;
        FTSENT *entry = fts_read(walk);
        if (entry == NULL)
            break;
        rc = add_entry(sources, walk, entry, strip, err);
        if (rc != RC_OK)
            return rc;
    }
    if (errno != 0)
        complain(sources, path, "the folder cannot be read to its end", errno);
    return RC_OK;
}

/* Buckets --------------------------------------------------------------------------------------------- */

struct listing {
    struct ingest_sources *sources;
    const char *url, *key; /* what was asked for; the part behind the bucket */
    bool keeps_folders;
    size_t found;
};

static bool is_avoided(const struct ingest_sources *sources, const char *path)
{
    return sources->avoid_prefix != NULL && below(path, sources->avoid_prefix) != NULL;
}

static enum rc take_object(void *context, const struct s3_list_object *object, struct err *err)
{
    struct listing *listing = context;
    struct ingest_sources *sources = listing->sources;
    OWN_FREE char *path = NULL;
    size_t asked = strlen(listing->key), bucket = (size_t)(listing->key - listing->url);
    bool is_it = strcmp(object->key, listing->key) == 0;
    if (!is_it && asked > 0 && listing->key[asked - 1] != '/' && object->key[asked] != '/')
        return RC_OK; /* "map" asks for nothing in "maps/" */
    if (asprintf(&path, "%.*s%s", (int)bucket, listing->url, object->key) < 0)
        return err_set(err, RC_NO_MEMORY, "no memory for the name of an object");
    listing->found++;
    const char *last = strrchr(path, '/') + 1;
    if (!is_it && (*last == '\0' || *last == '.' || !has_picture_name(last) || is_avoided(sources, path))) {
        sources->passed_over += *last != '\0' && !is_avoided(sources, path);
        return RC_OK;
    }
    const char *relative = listing->keeps_folders ? object->key : is_it ? last : object->key + asked;
    const struct stat st = {.st_size = (off_t)object->size_bytes};
    size_t count = sources->count;
    enum rc rc = add_file(sources, path, relative, &st, err);
    if (rc == RC_OK && sources->count > count) {
        const char *version = arena_text(sources->arena, object->etag, strlen(object->etag));
        if (version == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for the names of %zu sources", sources->count);
        sources->item[count].version = version;
    }
    return rc;
}

static enum rc add_objects(struct ingest_sources *sources, const char *url, bool keeps_folders,
                           struct err *err)
{
    OWN(ingest_bucket_close) struct ingest_bucket *bucket = NULL;
    const char *slash = strchr(url + strlen("s3://"), '/');
    struct listing listing = {.sources = sources,
                              .url = url,
                              .key = slash != NULL ? slash + 1 : url + strlen(url),
                              .keeps_folders = keeps_folders};
    OWN_FREE char *with_slash = NULL;
    if (slash == NULL) { /* then the bucket's name ends in "/" like that of a folder */
        if (asprintf(&with_slash, "%s/", url) < 0)
            return err_set(err, RC_NO_MEMORY, "no memory for the name of a bucket");
        return add_objects(sources, with_slash, keeps_folders, err);
    }
    struct err wrong = {0};
    enum rc rc = ingest_bucket_open(sources->settings, url, &bucket, &wrong);
    if (rc == RC_OK)
        rc = ingest_bucket_list(bucket, take_object, &listing, &wrong);
    if (rc == RC_NO_MEMORY)
        return err_set(err, rc, "%s", wrong.message);
    if (rc != RC_OK)
        complain(sources, url, wrong.message, 0);
    else if (listing.found == 0)
        complain(sources, url, "the bucket has nothing of this name", 0);
    return RC_OK;
}

/* Arguments ------------------------------------------------------------------------------------------- */

/* A file or folder that exists; the names begin `strip` bytes into the paths. */
static enum rc add_existing(struct ingest_sources *sources, const char *path, size_t strip,
                            const struct stat *st, struct err *err)
{
    if (S_ISDIR(st->st_mode))
        return add_folder(sources, path, strip, err);
    if (S_ISREG(st->st_mode))
        return add_file(sources, path, path + strip, st, err);
    complain(sources, path, "it is neither a file nor a folder", 0);
    return RC_OK;
}

/* A folder's files are named below it, a file by its last part. */
static size_t argument_strip(const char *path, const struct stat *st)
{
    const char *slash = S_ISDIR(st->st_mode) ? path + strlen(path) : strrchr(path, '/');
    return slash != NULL ? (size_t)(slash - path) : 0;
}

/* The folder before the first part that has a wildcard, with its "/". */
static size_t fixed_length(const char *pattern)
{
    size_t end = strcspn(pattern, "*?["), length = 0;
    for (size_t i = 0; i < end; i++)
        if (pattern[i] == '/')
            length = i + 1;
    return length;
}

static enum rc add_pattern(struct ingest_sources *sources, const char *pattern, struct err *err)
{
    OWN(globfree) glob_t found = {0};
    int failed = glob(pattern, 0, NULL, &found);
    if (failed == GLOB_NOSPACE)
        return err_set(err, RC_NO_MEMORY, "no memory for the files of a pattern");
    if (failed != 0) {
        complain(sources, pattern, "no file has this name or fits this pattern", 0);
        return RC_OK;
    }
    enum rc rc = RC_OK;
    for (size_t i = 0; i < found.gl_pathc && rc == RC_OK; i++) {
        const char *path = found.gl_pathv[i];
        struct stat st;
        if (stat(path, &st) < 0)
            complain(sources, path, "it cannot be read", errno);
        else
            rc = add_existing(sources, path, fixed_length(pattern), &st, err);
    }
    return rc;
}

enum rc ingest_sources_add(struct ingest_sources *sources, const char *argument, struct err *err)
{
    struct stat st;
    if (ingest_bucket_is_url(argument))
        return add_objects(sources, argument, false, err);
    if (stat(argument, &st) == 0)
        return add_existing(sources, argument, argument_strip(argument, &st), &st, err);
    if (strpbrk(argument, "*?[") != NULL && (errno == ENOENT || errno == ENOTDIR))
        return add_pattern(sources, argument, err);
    complain(sources, argument, "it cannot be read", errno);
    return RC_OK;
}

/* Lists ----------------------------------------------------------------------------------------------- */

static enum rc read_list(const char *path, struct bytes *text, struct err *err)
{
    OWN_FD int opened = strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    if (opened < 0)
        return err_set_errno(err, RC_IO, errno, "the list %s cannot be opened", path);
    for (;;) {
        enum rc rc = bytes_reserve(text, 65536, err);
        if (rc != RC_OK)
            return rc;
        ssize_t n = read(opened, text->data + text->length, 65535);
        if (n < 0 && errno != EINTR)
            return err_set_errno(err, RC_IO, errno, "the list %s cannot be read", path);
        if (n == 0)
            break;
        text->length += n > 0 ? (size_t)n : 0;
    }
    text->data[text->length] = '\0'; /* there is room for it */
    return RC_OK;
}

enum rc ingest_sources_add_list(struct ingest_sources *sources, const char *path, struct err *err)
{
    OWN(bytes_done) struct bytes text = {0};
    enum rc rc = read_list(path, &text, err);
    if (rc != RC_OK)
        return rc;
    char *p = (char *)text.data, *end = p + text.length;
    char separator = memchr(p, '\0', text.length) != NULL ? '\0' : '\n';
    while (p < end && rc == RC_OK) {
        char *stop = memchr(p, separator, (size_t)(end - p));
        if (stop == NULL)
            stop = end;
        *stop = '\0';
        if (separator == '\n' && stop > p && stop[-1] == '\r')
            stop[-1] = '\0';
        struct stat st;
        if (ingest_bucket_is_url(p))
            rc = add_objects(sources, p, true, err);
        else if (*p != '\0' && stat(p, &st) == 0)
            rc = add_existing(sources, p, 0, &st, err);
        else if (*p != '\0')
            complain(sources, p, "it cannot be read", errno);
        p = stop + 1;
    }
    return rc;
}
