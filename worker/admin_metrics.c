/* /metrics: the Prometheus text format, version 0.0.4. */
#include "base/clock.h"
#include "base/own.h"
#include "worker/admin_cache.h"
#include "worker/admin_parts.h"

#include <inttypes.h>

/* Each octave and a half of the tallies' buckets is one of Prometheus's; the bounds are those of the buckets, so that nothing is
 * counted on the wrong side. */
#define BUCKETS_STEP 4u
#define FIRST_BUCKET 12u /* 128 µs */

struct family {
    const char *name, *type, *help;
};

static enum rc begin_family(const struct family *family, struct bytes *out, struct err *err)
{
    return bytes_format(out, err, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
                        family->type);
}

static enum rc write_requests(const struct shm_tally_sum *sum, struct bytes *out, struct err *err)
{
    static const struct family family = {"vitrine_requests_total", "counter",
                                         "Answers by class of request, protocol and status."};
    enum rc rc = begin_family(&family, out, err);
    for (unsigned c = 0; c < SHM_TALLY_CLASSES; c++)
        for (unsigned p = 0; p < SHM_TALLY_PROTOCOLS; p++)
            for (unsigned s = 0; s < SHM_TALLY_STATUSES && rc == RC_OK; s++)
                if (sum->requests[c][p][s] > 0)
                    rc = bytes_format(out, err,
                                      "%s{class=\"%s\",protocol=\"%s\",status=\"%u\"} %" PRIu64 "\n",
                                      family.name, shm_tally_class_name(c), shm_tally_protocol_name(p),
                                      shm_tally_status(s), sum->requests[c][p][s]);
    return rc;
}

static enum rc write_histogram(const struct family *family, const char *label, const char *value,
                               uint64_t sum_us, const uint64_t count[SHM_TALLY_BUCKETS], struct bytes *out,
                               struct err *err)
{
    uint64_t below = 0;
    enum rc rc = RC_OK;
    for (unsigned i = 0; i < SHM_TALLY_BUCKETS; i++) {
        bool is_last = i + 1 == SHM_TALLY_BUCKETS;
        below += count[i];
        if (rc != RC_OK || (!is_last && (i < FIRST_BUCKET || i % BUCKETS_STEP != 0)))
            continue;
        if (is_last)
            rc = bytes_format(out, err, "%s_bucket{%s=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", family->name, label,
                              value, below);
        else
            rc = bytes_format(out, err, "%s_bucket{%s=\"%s\",le=\"%g\"} %" PRIu64 "\n", family->name, label,
                              value, (double)shm_tally_bound_us(i) / 1e6, below);
    }
    if (rc == RC_OK)
        rc = bytes_format(out, err, "%s_sum{%s=\"%s\"} %.6f\n%s_count{%s=\"%s\"} %" PRIu64 "\n", family->name,
                          label, value, (double)sum_us / 1e6, family->name, label, value, below);
    return rc;
}

static enum rc write_times(const struct shm_tally_sum *sum, struct bytes *out, struct err *err)
{
    static const struct family
        by_class = {"vitrine_request_duration_seconds", "histogram",
                    "From a complete request to the last byte of its answer, by class of request."},
        by_stage = {"vitrine_stage_duration_seconds", "histogram",
                    "The parts of requests that had such a part; decode, resample and encode are CPU time."};
    enum rc rc = begin_family(&by_class, out, err);
    for (unsigned i = 0; i < SHM_TALLY_CLASSES && rc == RC_OK; i++)
        rc = write_histogram(&by_class, "class", shm_tally_class_name(i), sum->sum_us[i], sum->count[i], out,
                             err);
    if (rc == RC_OK)
        rc = begin_family(&by_stage, out, err);
    for (unsigned i = 0; i < SHM_TALLY_STAGES && rc == RC_OK; i++)
        rc = write_histogram(&by_stage, "stage", shm_tally_stage_name(i), sum->sum_us[SHM_TALLY_CLASSES + i],
                             sum->count[SHM_TALLY_CLASSES + i], out, err);
    return rc;
}

static enum rc write_memory(const struct shm_segment *segment, struct bytes *out, struct err *err)
{
    static const struct family family = {"vitrine_process_resident_bytes", "gauge",
                                         "Memory of each process, resident and not shared."};
    enum rc rc = begin_family(&family, out, err);
    if (rc == RC_OK)
        rc = bytes_format(out, err, "%s{process=\"master\"} %" PRIu64 "\n", family.name,
                          admin_value(&segment->counters.master_bytes));
    for (uint32_t i = 0; i < segment->slot_count && rc == RC_OK; i++)
        if (atomic_load_explicit(&segment->slot[i].state, memory_order_relaxed) != SHM_SLOT_FREE)
            rc = bytes_format(out, err, "%s{process=\"worker %u\"} %" PRIu64 "\n", family.name, i,
                              admin_value(&segment->tally[i].memory_bytes));
    return rc;
}

/* By tier: what a request found where. */
static enum rc write_tiers(const struct worker_service *service, struct bytes *out, struct err *err)
{
    static const struct family family = {"vitrine_cache_hits_total", "counter",
                                         "What was found in each tier of the caches."};
    enum rc rc = begin_family(&family, out, err);
    if (rc == RC_OK && service->derivatives != NULL) {
        const struct shm_derivatives_counters *counters =
            worker_derivatives_cache(service->derivatives)->shared->counters;
        rc = bytes_format(out, err,
                          "%s{tier=\"memory\"} %" PRIu64 "\n%s{tier=\"file\"} %" PRIu64
                          "\n%s{tier=\"render\"} %" PRIu64 "\n",
                          family.name, admin_value(&counters->memory_hits), family.name,
                          admin_value(&counters->file_hits), family.name, admin_value(&counters->shared));
    }
    if (rc == RC_OK)
        rc = bytes_format(out, err, "%s{tier=\"index\"} %" PRIu64 "\n", family.name,
                          admin_value(&service->segment->index.hits));
    return rc;
}

static enum rc write_numbers(const struct worker_service *service, const struct shm_tally_sum *sum,
                             struct bytes *out, struct err *err)
{
    const struct shm_segment *segment = service->segment;
    const struct shm_counters *counters = &segment->counters;
    struct admin_workers workers = admin_sum_workers(segment);
    const struct {
        struct family family;
        uint64_t value;
    } row[] = {
        {{"vitrine_sent_bytes_total", "counter", "Bytes of bodies sent."}, sum->sent_bytes},
        {{"vitrine_read_bytes_total", "counter", "Bytes of sources read for answers."}, sum->read_bytes},
        {{"vitrine_renders_total", "counter", "Images rendered."}, admin_value(&counters->renders)},
        {{"vitrine_slow_requests_total", "counter", "Answers that took longer than slow_request_ms."},
         sum->slow},
        {{"vitrine_access_log_dropped_total", "counter", "Lines of the access log that nobody took in time."},
         sum->log_dropped},
        {{"vitrine_connections_accepted_total", "counter", "Connections accepted."},
         admin_value(&counters->connections_accepted)},
        {{"vitrine_connections_refused_total", "counter", "Connections refused by a limit."},
         admin_value(&counters->connections_refused)},
        {{"vitrine_connections_recovered_total", "counter",
          "Connections whose worker died and that another went on with."},
         admin_value(&counters->connections_recovered)},
        {{"vitrine_answers_recovered_total", "counter",
          "Requests that were begun by a worker that died and answered by another."},
         admin_value(&counters->answers_recovered)},
        {{"vitrine_worker_crashes_total", "counter", "Workers that ended unasked."},
         admin_value(&counters->crashes)},
        {{"vitrine_request_faults_total", "counter", "Crashes and hangs that requests were blamed for."},
         admin_value(&counters->faults)},
        {{"vitrine_worker_hangs_total", "counter", "Workers killed because they, or a render, stood still."},
         admin_value(&counters->hangs)},
        {{"vitrine_workers_recycled_total", "counter",
          "Workers replaced for their size or number of requests."},
         admin_value(&counters->recycled)},
        {{"vitrine_quarantined_total", "counter", "Image versions put into quarantine."},
         admin_value(&counters->quarantined)},
        {{"vitrine_quarantine_responses_total", "counter", "Answers 503 because of quarantine."},
         admin_value(&counters->quarantine_answers)},
        {{"vitrine_troubles_total", "counter", "Errors and warnings in the log."},
         shm_troubles_count(&segment->troubles)},
        {{"vitrine_quarantined", "gauge", "Image versions in quarantine."}, admin_count_quarantined(segment)},
        {{"vitrine_workers", "gauge", "Workers alive."}, workers.count},
        {{"vitrine_connections", "gauge", "Connections open."}, workers.connections},
        {{"vitrine_render_jobs", "gauge", "Render jobs waiting or running."}, workers.queued},
        {{"vitrine_render_memory_bytes", "gauge", "Memory that renders have claimed for pixels."},
         shm_effort_held(&segment->effort, segment->slot_count)},
        {{"vitrine_uptime_seconds", "gauge", "Seconds since the master started."},
         (uint64_t)(clock_monotonic_ms() - segment->started_ms) / 1000},
    };
    enum rc rc = RC_OK;
    for (size_t i = 0; i < sizeof row / sizeof row[0] && rc == RC_OK; i++) {
        rc = begin_family(&row[i].family, out, err);
        if (rc == RC_OK)
            rc = bytes_format(out, err, "%s %" PRIu64 "\n", row[i].family.name, row[i].value);
    }
    return rc;
}

enum rc worker_admin_metrics(struct worker_service *service, struct bytes *out, struct err *err)
{
    OWN_FREE struct shm_tally_sum *sum = admin_sum_tallies(service->segment);
    if (sum == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the metrics");
    enum rc rc = write_requests(sum, out, err);
    if (rc == RC_OK)
        rc = write_times(sum, out, err);
    if (rc == RC_OK)
        rc = write_numbers(service, sum, out, err);
    if (rc == RC_OK)
        rc = write_memory(service->segment, out, err);
    if (rc == RC_OK)
        rc = write_tiers(service, out, err);
    return rc == RC_OK ? worker_cache_metrics(service, out, err) : rc;
}
