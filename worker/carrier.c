#include "worker/carrier.h"

#include "base/fdio.h"
#include "base/own.h"
#include "worker/heritage.h"
#include "worker/ingest/bucket.h"
#include "worker/ingest/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

static void become_carrier(void)
{
    sigset_t none;
    signal(SIGINT, SIG_IGN); /* as a converter: who started us decides */
    signal(SIGTERM, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int say(const struct worker_errand *errand, enum worker_conversion_kind kind, enum rc rc,
               const struct err *said)
{
    struct worker_conversion_message message;
    struct err err;
    memset(&message, 0, sizeof message);
    message.kind = kind;
    message.rc = (int32_t)rc;
    if (rc != RC_OK) {
        message.os_errno = said->os_errno;
        memcpy(message.message, said->message, sizeof message.message);
    }
    /* The only thing ever said: there is room for it. */
    return fdio_send(errand->channel, &message, sizeof message, -1, &err) == RC_OK ? WORKER_EXIT_DONE
                                                                                   : WORKER_EXIT_ORPHAN;
}

/* What is there is looked at first: then the master need not be fetched at all. */
static enum rc look(const struct worker_errand *errand, bool *ret_is_unchanged, struct err *err)
{
    OWN(ingest_bucket_close) struct ingest_bucket *bucket = NULL;
    OWN(bytes_done) struct bytes first = {0};
    enum rc rc = ingest_bucket_open(errand->settings, errand->destination, &bucket, err);
    if (rc == RC_OK)
        rc = ingest_bucket_peek(bucket, INGEST_RECORD_REACH_BYTES, &first, err);
    if (rc == RC_NOT_FOUND || rc == RC_UNSUPPORTED) /* 416: it is empty */
        return RC_OK;
    if (rc == RC_OK)
        *ret_is_unchanged = ingest_record_is_at(first.data, first.length, errand->record);
    return rc;
}

static enum rc fetch(const struct worker_errand *errand, struct err *err)
{
    OWN(ingest_bucket_close) struct ingest_bucket *bucket = NULL;
    OWN_FD int fd = open(errand->local_source, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, RC_IO, errno, "the copy of the source cannot be made");
    enum rc rc = ingest_bucket_open(errand->settings, errand->source, &bucket, err);
    return rc == RC_OK ? ingest_bucket_get(bucket, errand->version, fd, err) : rc;
}

int worker_carrier_bring(const struct worker_errand *errand)
{
    struct err err = {0};
    bool is_unchanged = false;
    become_carrier();
    enum rc rc = errand->destination != NULL && errand->record != NULL ? look(errand, &is_unchanged, &err)
                                                                       : RC_OK;
    if (rc == RC_OK && is_unchanged)
        return say(errand, WORKER_UNCHANGED, RC_OK, &err);
    if (rc == RC_OK && errand->source != NULL)
        rc = fetch(errand, &err);
    return say(errand, WORKER_RESULT, rc, &err);
}

int worker_carrier_take(const struct worker_errand *errand)
{
    struct err err = {0};
    OWN(ingest_bucket_close) struct ingest_bucket *bucket = NULL;
    become_carrier();
    OWN_FD int fd = open(errand->local_destination, O_RDONLY | O_CLOEXEC);
    enum rc rc = fd >= 0 ? ingest_bucket_open(errand->settings, errand->destination, &bucket, &err)
                         : err_set_errno(&err, RC_IO, errno, "the pyramid cannot be read");
    if (rc == RC_OK)
        rc = ingest_bucket_put(bucket, fd, &err);
    return say(errand, WORKER_RESULT, rc, &err);
}
