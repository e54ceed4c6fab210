/* /status: how the server is, as JSON. deploy/operation.md says what each part means. */
#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "worker/admin_cache.h"
#include "worker/admin_parts.h"

#include <inttypes.h>
#include <string.h>

#define MOST_ERRORS 32u

/* A JSON string. What is not ASCII is left as it is where it is UTF-8; the log has made the rest harmless. */
static enum rc write_text(const char *text, struct bytes *out, struct err *err)
{
    enum rc rc = bytes_append(out, "\"", 1, err);
    for (const char *c = text; *c != '\0' && rc == RC_OK; c++) {
        if (*c == '"' || *c == '\\')
            rc = bytes_format(out, err, "\\%c", *c);
        else if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
            rc = bytes_format(out, err, "\\u%04x", (unsigned char)*c);
        else
            rc = bytes_append(out, c, 1, err);
    }
    return rc == RC_OK ? bytes_append(out, "\"", 1, err) : rc;
}

/* ---- quarantine ---- */

/* The identifier as it stands in a URL, which suits JSON as well. */
static enum rc write_identifier(const struct shm_quarantine_case *one, struct bytes *out, struct err *err)
{
    enum rc rc = RC_OK;
    for (const char *c = one->path; *c != '\0' && rc == RC_OK; c++) {
        bool is_plain = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') ||
                        strchr("-._~", *c) != NULL;
        rc = bytes_format(out, err, is_plain ? "%c" : "%%%02X", (unsigned char)*c);
    }
    if (rc == RC_OK && one->path_bytes >= sizeof one->path)
        rc = bytes_format(out, err, "...");
    return rc == RC_OK && one->page > 1 ? bytes_format(out, err, "%%3B%u", one->page) : rc;
}

static enum rc write_quarantine(const struct shm_quarantine *quarantine, int64_t now_ms, struct bytes *out,
                                struct err *err)
{
    enum rc rc = bytes_format(out, err, "\"quarantine\":[");
    const char *comma = "";
    for (uint32_t i = 0; i < SHM_QUARANTINE_ENTRIES && rc == RC_OK; i++) {
        struct shm_quarantine_case one;
        if (!shm_quarantine_get(quarantine, i, now_ms, &one))
            continue;
        rc = bytes_format(out, err, "%s{\"identifier\":\"", comma);
        if (rc == RC_OK)
            rc = write_identifier(&one, out, err);
        if (rc == RC_OK)
            rc = bytes_format(out, err, "\",\"signal\":%u,\"strikes\":%u,\"seconds_left\":%" PRId64 "}",
                              one.fault_signal, one.strikes, (one.until_ms - now_ms + 999) / 1000);
        comma = ",";
    }
    return rc == RC_OK ? bytes_format(out, err, "],") : rc;
}

/* ---- what has been answered ---- */

static enum rc write_quantiles(const uint64_t lately[SHM_TALLY_BUCKETS], struct bytes *out, struct err *err)
{
    return bytes_format(out, err, "\"p50_ms\":%.3f,\"p99_ms\":%.3f}",
                        shm_tally_quantile_us(lately, 0.5) / 1000,
                        shm_tally_quantile_us(lately, 0.99) / 1000);
}

static uint64_t total(const uint64_t count[SHM_TALLY_BUCKETS])
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SHM_TALLY_BUCKETS; i++)
        sum += count[i];
    return sum;
}

static enum rc write_class(const struct shm_tally_sum *sum, unsigned class, double lately_s,
                           struct bytes *out, struct err *err)
{
    uint64_t requests = 0, errors = 0;
    for (unsigned p = 0; p < SHM_TALLY_PROTOCOLS; p++)
        for (unsigned s = 0; s < SHM_TALLY_STATUSES; s++) {
            requests += sum->requests[class][p][s];
            errors += shm_tally_status(s) >= 500 || shm_tally_status(s) == 0 ? sum->requests[class][p][s] : 0;
        }
    enum rc rc = bytes_format(out, err,
                              "%s\"%s\":{\"requests\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"per_s\":%.2f,",
                              class > 0 ? "," : "", shm_tally_class_name(class), requests, errors,
                              (double)total(sum->lately[class]) / lately_s);
    return rc == RC_OK ? write_quantiles(sum->lately[class], out, err) : rc;
}

static enum rc write_traffic(const struct shm_tally_sum *sum, double lately_s, struct bytes *out,
                             struct err *err)
{
    enum rc rc = bytes_format(out, err, "\"lately_s\":%.0f,\"classes\":{", lately_s);
    for (unsigned i = 0; i < SHM_TALLY_CLASSES && rc == RC_OK; i++)
        rc = write_class(sum, i, lately_s, out, err);
    if (rc == RC_OK)
        rc = bytes_format(out, err, "},\"stages\":{");
    for (unsigned i = 0; i < SHM_TALLY_STAGES && rc == RC_OK; i++) {
        const uint64_t *lately = sum->lately[SHM_TALLY_CLASSES + i];
        rc = bytes_format(out, err, "%s\"%s\":{\"per_s\":%.2f,", i > 0 ? "," : "", shm_tally_stage_name(i),
                          (double)total(lately) / lately_s);
        if (rc == RC_OK)
            rc = write_quantiles(lately, out, err);
    }
    return rc == RC_OK ? bytes_format(out, err, "},\"bytes\":{\"sent\":%" PRIu64 ",\"read\":%" PRIu64 "},",
                                      sum->sent_bytes, sum->read_bytes)
                       : rc;
}

/* Of what was looked for, how much was found where. */
static enum rc write_tiers(const struct worker_service *service, struct bytes *out, struct err *err)
{
    const struct shm_index_shared *index = &service->segment->index;
    enum rc rc = bytes_format(out, err, "\"tiers\":{\"index\":{\"hits\":%" PRIu64 ",\"lookups\":%" PRIu64 "}",
                              admin_value(&index->hits),
                              admin_value(&index->hits) + admin_value(&index->misses));
    if (rc == RC_OK && service->derivatives != NULL) {
        const struct shm_derivatives_counters *counters =
            worker_derivatives_cache(service->derivatives)->shared->counters;
        uint64_t memory = admin_value(&counters->memory_hits), file = admin_value(&counters->file_hits);
        uint64_t misses = admin_value(&counters->misses), shared = admin_value(&counters->shared);
        rc = bytes_format(out, err,
                          ",\"memory\":{\"hits\":%" PRIu64 ",\"lookups\":%" PRIu64
                          "},\"file\":{\"hits\":%" PRIu64 ",\"lookups\":%" PRIu64
                          "},\"render\":{\"hits\":%" PRIu64 ",\"lookups\":%" PRIu64 "}",
                          memory, memory + file + misses, file, file + misses, shared, misses);
    }
    return rc == RC_OK ? bytes_format(out, err, "},") : rc;
}

/* ---- processes ---- */

static enum rc write_worker(const struct shm_segment *segment, uint32_t i, int64_t now_ms, const char *comma,
                            struct bytes *out, struct err *err)
{
    static const char *const state_name[] = {"free", "starting", "serving", "draining"};
    const struct shm_slot *slot = &segment->slot[i];
    const struct shm_tally *tally = &segment->tally[i];
    int64_t started_ms = atomic_load_explicit(&tally->started_ms, memory_order_relaxed);
    uint32_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    return bytes_format(
        out, err,
        "%s{\"slot\":%u,\"state\":\"%s\",\"pid\":%d,\"generation\":%" PRIu64 ",\"age_s\":%" PRId64
        ",\"connections\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"renders\":%" PRIu64 ",\"queued\":%" PRIu64
        ",\"memory_bytes\":%" PRIu64 ",\"crashes\":%" PRIu64 ",\"beat_age_ms\":%" PRId64 "}",
        comma, i, state_name[state & 3], atomic_load_explicit(&slot->pid, memory_order_relaxed),
        admin_value(&slot->generation), (now_ms - started_ms) / 1000, admin_value(&slot->connections),
        admin_value(&slot->requests), admin_value(&slot->renders), admin_value(&slot->queued),
        admin_value(&tally->memory_bytes), admin_value(&tally->crashes),
        now_ms - (int64_t)admin_value(&slot->beat_ms));
}

static enum rc write_workers(const struct shm_segment *segment, int64_t now_ms, struct bytes *out,
                             struct err *err)
{
    enum rc rc = bytes_format(out, err, "\"workers\":[");
    const char *comma = "";
    for (uint32_t i = 0; i < segment->slot_count && rc == RC_OK; i++) {
        if (atomic_load_explicit(&segment->slot[i].state, memory_order_relaxed) == SHM_SLOT_FREE)
            continue;
        rc = write_worker(segment, i, now_ms, comma, out, err);
        comma = ",";
    }
    return rc == RC_OK ? bytes_format(out, err, "],") : rc;
}

static enum rc write_server(const struct worker_service *service, int64_t now_ms, struct bytes *out,
                            struct err *err)
{
    const struct shm_segment *segment = service->segment;
    const struct shm_counters *counters = &segment->counters;
    const struct settings *settings = service->settings;
    struct admin_workers workers = admin_sum_workers(segment);
    bool draining = atomic_load_explicit(&segment->draining, memory_order_relaxed) != 0;
    enum rc rc = bytes_format(
        out, err,
        "\"version\":\"%s\",\"uptime_s\":%" PRId64 ",\"draining\":%s,\"crashes\":%" PRIu64
        ",\"hangs\":%" PRIu64 ",\"faults\":%" PRIu64 ",\"recycled\":%" PRIu64 ",\"master_bytes\":%" PRIu64
        ",",
        service->version, (now_ms - segment->started_ms) / 1000, draining ? "true" : "false",
        admin_value(&counters->crashes), admin_value(&counters->hangs), admin_value(&counters->faults),
        admin_value(&counters->recycled), admin_value(&counters->master_bytes));
    if (rc == RC_OK)
        rc = bytes_format(
            out, err,
            "\"connections\":{\"open\":%" PRIu64 ",\"most\":%" PRId64 ",\"accepted\":%" PRIu64
            ",\"refused\":%" PRIu64 ",\"recovered\":%" PRIu64 "},\"recovered_answers\":%" PRIu64 ",",
            workers.connections, settings->max_connections, admin_value(&counters->connections_accepted),
            admin_value(&counters->connections_refused), admin_value(&counters->connections_recovered),
            admin_value(&counters->answers_recovered));
    if (rc == RC_OK)
        rc = bytes_format(out, err,
                          "\"queue\":{\"jobs\":%" PRIu64 ",\"most_per_worker\":%" PRId64
                          ",\"memory_bytes\":%" PRIu64 ",\"most_memory_bytes\":%" PRId64 "},",
                          workers.queued, settings->queue_length,
                          shm_effort_held(&segment->effort, segment->slot_count),
                          settings->pixel_memory_bytes);
    return rc;
}

/* ---- errors ---- */

static enum rc write_trouble(const struct shm_trouble *trouble, const char *comma, struct bytes *out,
                             struct err *err)
{
    char when[32];
    time_t seconds = (time_t)(trouble->time_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    enum rc rc = bytes_format(out, err, "%s{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"pid\":%d,\"id\":", comma,
                              when, (int)(trouble->time_ms % 1000),
                              trouble->level == LOG_LEVEL_ERROR ? "error" : "warning", trouble->pid);
    if (rc == RC_OK)
        rc = write_text(trouble->id, out, err);
    if (rc == RC_OK)
        rc = bytes_format(out, err, ",\"text\":");
    if (rc == RC_OK)
        rc = write_text(trouble->text, out, err);
    return rc == RC_OK ? bytes_append(out, "}", 1, err) : rc;
}

/* The newest first. */
static enum rc write_troubles(const struct shm_troubles *troubles, struct bytes *out, struct err *err)
{
    uint64_t newest = shm_troubles_count(troubles);
    enum rc rc = bytes_format(out, err, "\"errors_total\":%" PRIu64 ",\"errors\":[", newest);
    const char *comma = "";
    for (uint64_t i = 0; i < MOST_ERRORS && i < newest && rc == RC_OK; i++) {
        struct shm_trouble trouble;
        if (!shm_troubles_get(troubles, newest - i, &trouble))
            continue;
        rc = write_trouble(&trouble, comma, out, err);
        comma = ",";
    }
    return rc == RC_OK ? bytes_format(out, err, "]}\n") : rc;
}

enum rc worker_admin_status(struct worker_service *service, struct bytes *out, struct err *err)
{
    const struct shm_segment *segment = service->segment;
    int64_t now_ms = clock_monotonic_ms();
    OWN_FREE struct shm_tally_sum *sum = admin_sum_tallies(segment);
    if (sum == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the status");
    enum rc rc = bytes_append(out, "{", 1, err);
    if (rc == RC_OK)
        rc = write_server(service, now_ms, out, err);
    if (rc == RC_OK)
        rc = write_traffic(sum, shm_tally_lately_s(now_ms, now_ms - segment->started_ms), out, err);
    if (rc == RC_OK)
        rc = write_tiers(service, out, err);
    if (rc == RC_OK)
        rc = bytes_format(out, err, "\"access_log_dropped\":%" PRIu64 ",\"slow_requests\":%" PRIu64 ",",
                          sum->log_dropped, sum->slow);
    if (rc == RC_OK)
        rc = worker_cache_status(service, out, err);
    if (rc == RC_OK)
        rc = write_quarantine(&segment->quarantine, now_ms, out, err);
    if (rc == RC_OK)
        rc = write_workers(segment, now_ms, out, err);
    return rc == RC_OK ? write_troubles(&segment->troubles, out, err) : rc;
}
