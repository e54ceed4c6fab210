#include "worker/ingest/report.h"

#include "base/fdio.h"
#include "base/own.h"
#include "worker/ingest/name.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define TAIL_BYTES 4096

/* A run that was killed may have left the beginning of a line. */
static enum rc cut_half_line(int fd, struct err *err)
{
    struct stat st;
    char tail[TAIL_BYTES];
    if (fstat(fd, &st) < 0)
        return err_set_errno(err, RC_IO, errno, "the report cannot be read");
    if (!S_ISREG(st.st_mode))
        return RC_OK; /* a pipe or a terminal */
    off_t end = st.st_size;
    while (end > 0) {
        size_t length = end < TAIL_BYTES ? (size_t)end : TAIL_BYTES;
        enum rc rc = fdio_pread_exact(fd, tail, length, (uint64_t)end - length, err);
        if (rc != RC_OK)
            return rc;
        const char *line_end = memrchr(tail, '\n', length);
        if (line_end != NULL) {
            end -= (off_t)length - (line_end + 1 - tail);
            break;
        }
        end -= (off_t)length;
    }
    if (end < st.st_size && ftruncate(fd, end) < 0)
        return err_set_errno(err, RC_IO, errno, "the report cannot be written");
    return RC_OK;
}

enum rc ingest_report_open(const char *path, struct ingest_report *ret_report, struct err *err)
{
    OWN_FD int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC); /* what cannot be read, such as a pipe */
    if (fd < 0)
        return err_set_errno(err, RC_IO, errno, "the report %s cannot be opened", path);
    enum rc rc = cut_half_line(fd, err);
    if (rc == RC_OK)
        ret_report->fd = TAKE_FD(fd);
    return rc;
}

void ingest_report_close(struct ingest_report *report)
{
    own_close(&report->fd);
    report->fd = -1;
}

/* Lines ----------------------------------------------------------------------------------------------- */

static void release(json_t **json)
{
    json_decref(*json);
}

/* Text that comes from files and libraries, and need not be UTF-8. */
static json_t *text_of(const char *text)
{
    OWN(bytes_done) struct bytes clean = {0};
    if (ingest_name_replace(text, &clean, NULL) != RC_OK)
        return NULL;
    return clean.length > 0 ? json_stringn((char *)clean.data, clean.length) : json_string("");
}

static int add_name(json_t *line, const char *key, const char *name)
{
    int failed = json_object_set_new(line, key, text_of(name));
    if (ingest_name_is_utf8(name))
        return failed;
    OWN(bytes_done) struct bytes percent = {0};
    char percent_key[32];
    snprintf(percent_key, sizeof percent_key, "%s_percent", key);
    if (ingest_name_percent(name, &percent, NULL) != RC_OK)
        return -1;
    return failed |
           json_object_set_new(line, percent_key, json_stringn((char *)percent.data, percent.length));
}

static int add_whole(json_t *line, const char *key, uint64_t value)
{
    return json_object_set_new(line, key, json_integer((json_int_t)value));
}

static int add_sum(json_t *line, const char *key, uint64_t sum)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, sum);
    return json_object_set_new(line, key, json_string(text));
}

static int add_result(json_t *line, const struct ingest_result *result)
{
    int failed = add_whole(line, "width", result->size.width_px);
    failed |= add_whole(line, "height", result->size.height_px);
    failed |= add_whole(line, "levels", result->level_count);
    failed |= add_whole(line, "pages", result->page_count);
    failed |= add_whole(line, "bits", result->depth_bits);
    failed |= json_object_set_new(line, "model", text_of(result->model));
    failed |= json_object_set_new(line, "bigtiff", json_boolean(result->big_tiff));
    failed |= add_whole(line, "source_bytes", result->source_bytes);
    failed |= add_whole(line, "destination_bytes", result->destination_bytes);
    failed |= add_sum(line, "source_xxh64", result->source_xxh64);
    failed |= add_sum(line, "destination_xxh64", result->destination_xxh64);
    failed |= json_object_set_new(line, "source_profile", text_of(result->source_profile));
    failed |= json_object_set_new(line, "profile", text_of(result->profile));
    json_t *warnings = json_array();
    for (unsigned i = 0; i < result->warning_count; i++)
        failed |= json_array_append_new(warnings, text_of(result->warning[i]));
    return failed | json_object_set_new(line, "warnings", warnings);
}

static int add_time(json_t *line)
{
    time_t now = time(NULL);
    struct tm utc;
    char text[32];
    gmtime_r(&now, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_object_set_new(line, "time", json_string(text));
}

enum rc ingest_report_write(struct ingest_report *report, const struct ingest_report_line *line,
                            struct err *err)
{
    if (report->fd < 0)
        return RC_OK;
    OWN(release) json_t *json = json_object();
    int failed = add_time(json);
    failed |= json_object_set_new(json, "status", json_string(line->status));
    failed |= add_name(json, "source", line->source);
    if (line->destination != NULL)
        failed |= add_name(json, "destination", line->destination);
    if (line->error != NULL)
        failed |= json_object_set_new(json, "error", text_of(line->error));
    if (line->result != NULL)
        failed |= add_result(json, line->result);
    if (line->peak_memory_bytes > 0) {
        failed |= json_object_set_new(json, "seconds", json_real(line->seconds));
        failed |= add_whole(json, "peak_memory_bytes", line->peak_memory_bytes);
    }
    OWN_FREE char *dumped = failed == 0 ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    OWN(bytes_done) struct bytes text = {0};
    if (dumped == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a line of the report");
    enum rc rc = bytes_format(&text, err, "%s\n", dumped);
    return rc == RC_OK ? fdio_write_all(report->fd, text.data, text.length, err) : rc;
}
