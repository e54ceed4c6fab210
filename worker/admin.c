#include "base/clock.h"
#include "base/own.h"
#include "worker/admin_cache.h"
#include "worker/service.h"

#include <inttypes.h>
#include <string.h>

static const char text_plain[] = "text/plain; charset=utf-8";

static void reply(struct worker_service *service, struct http_exchange *exchange, unsigned status,
                  const char *media_type, const char *text)
{
    const struct http_header header = {"Cache-Control", "no-store"};
    worker_service_count(service, status);
    http_reply_text(exchange, status, media_type, text, &header, 1);
}

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

struct worker_sums {
    uint64_t workers, connections, requests, renders, queued;
};

static struct worker_sums sum_workers(const struct shm_segment *segment)
{
    struct worker_sums sums = {0};
    for (uint32_t i = 0; i < segment->slot_count; i++) {
        const struct shm_slot *slot = &segment->slot[i];
        if (atomic_load_explicit(&slot->state, memory_order_relaxed) == SHM_SLOT_FREE)
            continue;
        sums.workers++;
        sums.connections += value_of(&slot->connections);
        sums.requests += value_of(&slot->requests);
        sums.renders += value_of(&slot->renders);
        sums.queued += value_of(&slot->queued);
    }
    return sums;
}

static uint64_t count_quarantined(const struct shm_segment *segment)
{
    struct shm_quarantine_case one;
    uint64_t count = 0;
    int64_t now_ms = clock_monotonic_ms();
    if (shm_quarantine_is_used(&segment->quarantine, now_ms))
        for (uint32_t i = 0; i < SHM_QUARANTINE_ENTRIES; i++)
            count += shm_quarantine_get(&segment->quarantine, i, now_ms, &one);
    return count;
}

static enum rc write_metrics(const struct shm_segment *segment, struct bytes *out, struct err *err)
{
    const struct shm_counters *counters = &segment->counters;
    struct worker_sums sums = sum_workers(segment);
    enum rc rc = bytes_format(out, err,
                              "# HELP vitrine_responses_total Answers by status class.\n"
                              "# TYPE vitrine_responses_total counter\n");
    for (int class = 2; class <= 5 && rc == RC_OK; class ++)
        rc = bytes_format(out, err, "vitrine_responses_total{class=\"%dxx\"} %" PRIu64 "\n", class,
                          value_of(&counters->status[class]));
    if (rc != RC_OK)
        return rc;
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } row[] = {
        {"vitrine_body_bytes_total", "counter", "Bytes of info and image bodies.",
         value_of(&counters->bytes_sent)},
        {"vitrine_renders_total", "counter", "Images rendered.", value_of(&counters->renders)},
        {"vitrine_connections_accepted_total", "counter", "Connections accepted.",
         value_of(&counters->connections_accepted)},
        {"vitrine_connections_refused_total", "counter", "Connections refused by a limit.",
         value_of(&counters->connections_refused)},
        {"vitrine_worker_crashes_total", "counter", "Workers that ended unasked.",
         value_of(&counters->crashes)},
        {"vitrine_request_faults_total", "counter", "Crashes and hangs that requests were blamed for.",
         value_of(&counters->faults)},
        {"vitrine_worker_hangs_total", "counter", "Workers killed because they, or a render, stood still.",
         value_of(&counters->hangs)},
        {"vitrine_workers_recycled_total", "counter",
         "Workers replaced for their size or number of requests.", value_of(&counters->recycled)},
        {"vitrine_quarantined_total", "counter", "Image versions put into quarantine.",
         value_of(&counters->quarantined)},
        {"vitrine_quarantine_responses_total", "counter", "Answers 503 because of quarantine.",
         value_of(&counters->quarantine_answers)},
        {"vitrine_quarantined", "gauge", "Image versions in quarantine.", count_quarantined(segment)},
        {"vitrine_workers", "gauge", "Workers alive.", sums.workers},
        {"vitrine_connections", "gauge", "Connections open.", sums.connections},
        {"vitrine_render_jobs", "gauge", "Render jobs waiting or running.", sums.queued},
        {"vitrine_uptime_seconds", "gauge", "Seconds since the master started.",
         (uint64_t)(clock_monotonic_ms() - segment->started_ms) / 1000},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0] && rc == RC_OK; i++)
        rc = bytes_format(out, err, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", row[i].name, row[i].help,
                          row[i].name, row[i].type, row[i].name, row[i].value);
    return rc;
}

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

static enum rc write_status(struct worker_service *service, struct bytes *out, struct err *err)
{
    const struct shm_segment *segment = service->segment;
    static const char *const state_name[] = {"free", "starting", "serving", "draining"};
    int64_t now_ms = clock_monotonic_ms();
    enum rc rc = bytes_format(out, err, "{\"uptime_s\":%" PRId64 ",\"draining\":%s,\"crashes\":%" PRIu64 ",",
                              (now_ms - segment->started_ms) / 1000,
                              atomic_load_explicit(&segment->draining, memory_order_relaxed) ? "true"
                                                                                             : "false",
                              value_of(&segment->counters.crashes));
    if (rc == RC_OK)
        rc = worker_cache_status(service, out, err);
    if (rc == RC_OK)
        rc = write_quarantine(&segment->quarantine, now_ms, out, err);
    if (rc == RC_OK)
        rc = bytes_format(out, err, "\"workers\":[");
    const char *comma = "";
    for (uint32_t i = 0; i < segment->slot_count && rc == RC_OK; i++) {
        const struct shm_slot *slot = &segment->slot[i];
        uint32_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
        if (state == SHM_SLOT_FREE)
            continue;
        rc = bytes_format(out, err,
                          "%s{\"slot\":%u,\"state\":\"%s\",\"pid\":%d,\"generation\":%" PRIu64
                          ",\"connections\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"renders\":%" PRIu64
                          ",\"queued\":%" PRIu64 ",\"beat_age_ms\":%" PRId64 "}",
                          comma, i, state_name[state & 3],
                          atomic_load_explicit(&slot->pid, memory_order_relaxed), value_of(&slot->generation),
                          value_of(&slot->connections), value_of(&slot->requests), value_of(&slot->renders),
                          value_of(&slot->queued), now_ms - (int64_t)value_of(&slot->beat_ms));
        comma = ",";
    }
    return rc == RC_OK ? bytes_format(out, err, "]}\n") : rc;
}

void worker_admin_handle(struct worker_service *service, struct http_exchange *exchange)
{
    const char *target = http_exchange_target(exchange);
    size_t length = strcspn(target, "?");
    bool draining = atomic_load_explicit(&service->segment->draining, memory_order_relaxed) != 0;
    OWN(bytes_done) struct bytes text = {0};
    struct err err = {0};

    if (length == 7 && memcmp(target, "/health", 7) == 0)
        reply(service, exchange, 200, text_plain, "alive\n");
    else if (length == 6 && memcmp(target, "/ready", 6) == 0)
        reply(service, exchange, draining ? 503 : 200, text_plain, draining ? "draining\n" : "ready\n");
    else if (length == 8 && memcmp(target, "/metrics", 8) == 0 &&
             write_metrics(service->segment, &text, &err) == RC_OK &&
             worker_cache_metrics(service, &text, &err) == RC_OK)
        reply(service, exchange, 200, "text/plain; version=0.0.4; charset=utf-8", (const char *)text.data);
    else if (length == 7 && memcmp(target, "/status", 7) == 0 &&
             write_status(service, &text, &err) == RC_OK)
        reply(service, exchange, 200, "application/json", (const char *)text.data);
    else if (err.rc != RC_OK)
        reply(service, exchange, 503, text_plain, "The server is out of memory, please try again.\n");
    else
        reply(service, exchange, 404, text_plain,
              "The admin listener answers /health, /ready, /metrics and /status.\n");
}
