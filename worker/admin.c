#include "base/clock.h"
#include "base/own.h"
#include "worker/admin_parts.h"

#include <string.h>

static const char text_plain[] = "text/plain; charset=utf-8";

static void reply(struct http_exchange *exchange, unsigned status, const char *media_type, const char *text)
{
    const struct http_header header = {"Cache-Control", "no-store"};
    http_reply_text(exchange, status, media_type, text, &header, 1);
}

struct admin_workers admin_sum_workers(const struct shm_segment *segment)
{
    struct admin_workers sum = {0};
    for (uint32_t i = 0; i < segment->slot_count; i++) {
        const struct shm_slot *slot = &segment->slot[i];
        if (atomic_load_explicit(&slot->state, memory_order_relaxed) == SHM_SLOT_FREE)
            continue;
        sum.count++;
        sum.connections += admin_value(&slot->connections);
        sum.requests += admin_value(&slot->requests);
        sum.renders += admin_value(&slot->renders);
        sum.queued += admin_value(&slot->queued);
    }
    return sum;
}

uint64_t admin_count_quarantined(const struct shm_segment *segment)
{
    struct shm_quarantine_case one;
    uint64_t count = 0;
    int64_t now_ms = clock_monotonic_ms();
    if (shm_quarantine_is_used(&segment->quarantine, now_ms))
        for (uint32_t i = 0; i < SHM_QUARANTINE_ENTRIES; i++)
            count += shm_quarantine_get(&segment->quarantine, i, now_ms, &one);
    return count;
}

/* Slots that never had a worker are not touched: they have no memory yet. */
struct shm_tally_sum *admin_sum_tallies(const struct shm_segment *segment)
{
    struct shm_tally_sum *sum = calloc(1, sizeof *sum);
    int64_t now_ms = clock_monotonic_ms();
    for (uint32_t i = 0; sum != NULL && i < segment->slot_count; i++)
        if (admin_value(&segment->slot[i].generation) > 0)
            shm_tally_sum_add(sum, &segment->tally[i], now_ms);
    return sum;
}

void worker_admin_handle(struct worker_service *service, struct http_exchange *exchange)
{
    const char *target = http_exchange_target(exchange);
    size_t length = strcspn(target, "?");
    bool draining = atomic_load_explicit(&service->segment->draining, memory_order_relaxed) != 0;
    OWN(bytes_done) struct bytes text = {0};
    struct err err = {0};

    if (length == 7 && memcmp(target, "/health", 7) == 0)
        reply(exchange, 200, text_plain, "alive\n");
    else if (length == 6 && memcmp(target, "/ready", 6) == 0)
        reply(exchange, draining ? 503 : 200, text_plain, draining ? "draining\n" : "ready\n");
    else if (length == 8 && memcmp(target, "/metrics", 8) == 0 &&
             worker_admin_metrics(service, &text, &err) == RC_OK)
        reply(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", (const char *)text.data);
    else if (length == 7 && memcmp(target, "/status", 7) == 0 &&
             worker_admin_status(service, &text, &err) == RC_OK)
        reply(exchange, 200, "application/json", (const char *)text.data);
    else if (err.rc != RC_OK)
        reply(exchange, 503, text_plain, "The server is out of memory, please try again.\n");
    else if (!worker_admin_page(exchange))
        reply(exchange, 404, text_plain,
              "The admin listener answers /health, /ready, /metrics and /status.\n");
}
