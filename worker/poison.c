#include "worker/poison.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char text_plain[] = "text/plain; charset=utf-8";

static struct shm_journal_slot *slot_of(struct worker_service *service, const struct http_exchange *exchange)
{
    return shm_journal_slot(service->journal, http_exchange_connection_id(exchange));
}

uint32_t worker_poison_strikes(struct worker_service *service, const struct http_exchange *exchange)
{
    struct shm_journal_slot *slot = slot_of(service, exchange);
    return slot != NULL ? atomic_load_explicit(&slot->strikes, memory_order_relaxed) : 0;
}

void worker_poison_give_up(struct http_exchange *exchange)
{
    const struct http_header header = {"Cache-Control", "no-store"};
    http_reply_text(exchange, 500, text_plain,
                    "The server crashed twice over this request; it is not tried again.\n", &header, 1);
}

void worker_poison_condemn(struct worker_service *service, struct http_exchange *exchange,
                           const struct iiif_identifier *identifier)
{
    struct shm_journal_slot *slot = slot_of(service, exchange);
    int64_t duration_s = service->settings->quarantine_s;
    struct origin_version version;
    if (slot != NULL && duration_s > 0 &&
        origin_stat_file(service->origin, identifier->path, &version, NULL) == RC_OK) {
        uint32_t signal_number = atomic_load_explicit(&slot->strike_signal, memory_order_relaxed);
        uint32_t strikes = atomic_load_explicit(&slot->strikes, memory_order_relaxed);
        if (shm_quarantine_add(&service->segment->quarantine, identifier->path, identifier->page,
                               origin_version_hash(&version), signal_number, strikes, clock_monotonic_ms(),
                               duration_s * 1000)) {
            atomic_fetch_add_explicit(&service->segment->counters.quarantined, 1, memory_order_relaxed);
            log_error("image '%s', page %u, has killed its worker %u times, by %s at last, and is in "
                      "quarantine for "
                      "%" PRId64 " s",
                      identifier->path, identifier->page, strikes,
                      signal_number == SIGKILL ? "standing still" : strsignal((int)signal_number),
                      duration_s);
        }
    }
    worker_poison_give_up(exchange);
}

bool worker_poison_refuses_version(struct worker_service *service, struct http_exchange *exchange,
                                   const struct iiif_identifier *identifier, uint64_t version_hash)
{
    const struct shm_quarantine *quarantine = &service->segment->quarantine;
    int64_t left_ms = shm_quarantine_is_used(quarantine, 0)
                          ? shm_quarantine_left_ms(quarantine, identifier->path, identifier->page,
                                                   version_hash, clock_monotonic_ms())
                          : 0;
    if (left_ms == 0)
        return false;
    char left_s[24], text[160];
    snprintf(left_s, sizeof left_s, "%" PRId64, (left_ms + 999) / 1000);
    snprintf(text, sizeof text,
             "This image has crashed the server and is not opened for another %s seconds, or until it is "
             "replaced.\n",
             left_s);
    const struct http_header headers[] = {{"Cache-Control", "no-store"}, {"Retry-After", left_s}};
    atomic_fetch_add_explicit(&service->segment->counters.quarantine_answers, 1, memory_order_relaxed);
    http_reply_text(exchange, 503, text_plain, text, headers, 2);
    return true;
}

bool worker_poison_refuses(struct worker_service *service, struct http_exchange *exchange,
                           const struct iiif_identifier *identifier)
{
    struct origin_version version;
    return shm_quarantine_is_used(&service->segment->quarantine, clock_monotonic_ms()) &&
           origin_stat_file(service->origin, identifier->path, &version, NULL) == RC_OK &&
           worker_poison_refuses_version(service, exchange, identifier, origin_version_hash(&version));
}
