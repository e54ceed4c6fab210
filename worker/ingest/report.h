/* The report of a batch: one JSON object per line and file, appended to what is there.
 *
 * Each line is written by one write() when its file has ended, so that a killed run leaves whole lines but
 * perhaps the last, which the next run takes away before it goes on. A name that is not UTF-8 has U+FFFD for
 * each odd byte in "source", and beside it "source_percent" with every byte of the name, %XX; the same for
 * "destination". Owned by the process of the batch. */
#ifndef WORKER_INGEST_REPORT_H
#define WORKER_INGEST_REPORT_H

#include "worker/ingest/convert.h"

struct ingest_report {
    int fd; /* -1: none */
};

struct ingest_report_line {
    const char *status;                 /* "made", "unchanged", "planned" or "failed" */
    const char *source, *destination;   /* destination NULL: it got none */
    const char *error;                  /* NULL: none */
    const struct ingest_result *result; /* NULL: nothing was made */
    double seconds;
    uint64_t peak_memory_bytes; /* 0: no process ran */
};

/* Opens or makes the file; a last line without an end is cut off. RC_IO. */
RC_MUST_USE enum rc ingest_report_open(const char *path, struct ingest_report *ret_report, struct err *err);
void ingest_report_close(struct ingest_report *report);
/* Nothing happens where there is no report. RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc ingest_report_write(struct ingest_report *report, const struct ingest_report_line *line,
                                        struct err *err);

#endif
